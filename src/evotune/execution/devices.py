"""Cores, threads and GPUs: what this machine offers, and what one worker may use of it."""

import logging
import os
import re
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from itertools import takewhile
from shutil import which

from evotune.errors import ExecutionError
from evotune.trial import DEVICE_VARIABLE

log = logging.getLogger("evotune")

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_DEVICE = re.compile(r"[a-z]+(:\d+)?")

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


def read_devices(devices: object) -> tuple[str, ...] | None:
    """Return the devices that workers share, by name; empty where ``"auto"`` finds none.

    Args:
        devices: ``"auto"``, a list such as ``["cuda:0", "cuda:1"]``, or None.

    Raises:
        ExecutionError: It is something else, or names a GPU that this process may not use.
    """
    if devices is None:
        return None
    if isinstance(devices, str) and devices == "auto":
        found = tuple(f"cuda:{index}" for index in range(_gpus()))
        log.info("devices: %s", ", ".join(found) or "no GPU found, so trials run on the CPU")
        return found
    names = [str(each) for each in devices] if isinstance(devices, list | tuple) else []
    if not names or not all(map(_DEVICE.fullmatch, names)):
        raise ExecutionError(
            f'got devices={devices!r}; write devices="auto", or a list of names such as '
            '["cuda:0", "cuda:1"]'
        )
    for name in names:
        device_environment(name)  # refuses those that are not visible
    return tuple(names)


def device_environment(device: str) -> dict[str, str]:
    """Return the environment of a worker that is to see one device; ``trial.device`` reads it.

    A worker of ``"cuda:1"`` sees that GPU alone, and so calls it ``"cuda:0"``.

    Raises:
        ExecutionError: ``CUDA_VISIBLE_DEVICES`` of this process hides the GPU.
    """
    kind, _, index = device.partition(":")
    if kind != "cuda" or not index:
        return {DEVICE_VARIABLE: device}
    visible = _visible()
    if visible is not None and int(index) >= len(visible):
        raise ExecutionError(
            f"devices= names {device!r}, but CUDA_VISIBLE_DEVICES="
            f"{os.environ[_VISIBLE]!r} shows {len(visible)} GPUs, which are counted from cuda:0"
        )
    own = index if visible is None else visible[int(index)]
    return {DEVICE_VARIABLE: "cuda:0", _VISIBLE: own}


def _visible() -> list[str] | None:
    """Return the GPUs that ``CUDA_VISIBLE_DEVICES`` names; None where it is not set."""
    if _VISIBLE not in os.environ:
        return None
    names = [name.strip() for name in os.environ[_VISIBLE].split(",")]
    return list(takewhile(lambda name: name not in ("", "-1"), names))  # as CUDA reads it


def _gpus() -> int:
    """Return how many GPUs this process may use, without starting CUDA in it."""
    visible = _visible()
    if visible is not None:
        return len(visible)
    asked = ["nvidia-smi", "--list-gpus"]
    if which(asked[0]):
        return _answer(asked).count("GPU ")
    if find_spec("torch") is None:
        return 0
    return _gpus_of_torch(sys.executable)


@cache  # importing torch takes seconds, and a run asks more than once
def _gpus_of_torch(python: str) -> int:
    """Return how many GPUs torch finds: AMD's, and whatever else it calls cuda."""
    said = _answer([python, "-c", "import torch; print(torch.cuda.device_count())"])
    return int(said) if said.strip().isdigit() else 0


def _answer(command: list[str]) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    return ""
