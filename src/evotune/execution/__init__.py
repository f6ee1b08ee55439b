"""Where trials run: in this process or in worker processes."""

from evotune.execution.inline import InlineExecutor
from evotune.execution.processes import ProcessExecutor

__all__ = ["InlineExecutor", "ProcessExecutor"]
