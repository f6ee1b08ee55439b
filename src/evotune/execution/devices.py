"""Cores and threads: what this machine offers, and what one worker may take of it."""

import sys

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "LOKY_MAX_CPU_COUNT",  # what joblib, and so scikit-learn, takes for n_jobs=-1
)


def available_cores() -> int:
    """Return how many cores this process may use: affinity and container limits count."""
    import loky

    return int(loky.cpu_count())


def thread_environment(threads: int) -> dict[str, str]:
    """Return the environment in which numerical libraries start with ``threads`` threads."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads))


def limit_torch_threads(threads: int) -> None:
    """Give torch ``threads`` threads if it is loaded; if not, the environment does when it is."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
