"""Cores and threads: how many this machine offers, and how many one worker may use."""

import sys

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "LOKY_MAX_CPU_COUNT",  # what n_jobs=-1 means to joblib, and so to scikit-learn
)


def available_cores() -> int:
    """Return how many cores this process may use, given CPU affinity and container limits."""
    import loky

    return int(loky.cpu_count())


def thread_environment(threads: int) -> dict[str, str]:
    """Return the environment in which numerical libraries start with ``threads`` threads."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads))


def limit_torch_threads(threads: int) -> None:
    """Limit torch to ``threads`` threads if it is imported; otherwise the environment does so."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
