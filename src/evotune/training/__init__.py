"""Ready-made evaluate functions: a supervised PyTorch training, and any command."""

from typing import Any

from evotune.training.command import CommandTask

__all__ = ["CommandTask", "SupervisedTask"]


def __getattr__(name: str) -> Any:
    if name == "SupervisedTask":  # loaded on demand: it imports torch, which takes a second
        from evotune.training.task import SupervisedTask

        return SupervisedTask
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
