"""Memory of members that train together: how many fit, and keeping freed memory between steps."""

import ctypes
import platform
from collections.abc import Sequence
from functools import cache

import psutil
import torch

from evotune.training.stacked.first_step import FirstStep
from evotune.training.stacked.groups import Member

#: Most bytes that the members of one step on the CPU may keep for its backward pass, so that the
#: processor's caches remain useful.
_CPU_STEP = 8 << 20
#: Names of glibc's settings in malloc.h, and bytes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = (-1, 256 << 20), (-3, 32 << 20)


def members_at_once(group: Sequence[Member], first: FirstStep, memory: int | None) -> int:
    """Return how many members of a group may train at a time.

    Args:
        group: All members of the group.
        first: The result of the first step.
        memory: Bytes that may be used; None for half of the free memory of the device.
    """
    setup = group[0].setup
    if memory is None:
        memory = _free(setup.device) // 2
    weights = sum(p.numel() * p.element_size() for p in setup.model.parameters())
    # Parameters, gradients, the rule's scratch and up to three numbers of state for each.
    # Masks, and what removed weights were, for each, where weights are pruned; and the averages.
    numbers = 6 + 2 * bool(setup.sparsifiers) + (setup.average is not None)
    most = memory // max(1, numbers * weights + 2 * first.bytes_saved)
    if setup.device.type == "cpu":
        most = min(most, max(2, _CPU_STEP // max(1, first.bytes_saved)))
    return max(1, min(most, len(group)))


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


@cache
def keep_freed_memory() -> None:
    """Let glibc keep up to 256 MB of freed memory for the next step, in this whole process.

    By default glibc would return the large tensors of a stack to the system and allocate them again
    page by page in every step, which makes convolutional networks up to a fifth slower.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        for setting in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            libc.mallopt(*setting)
