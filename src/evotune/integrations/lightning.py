"""A schedule in Lightning, under either of its names, ``lightning`` and ``pytorch_lightning``."""

import importlib
from typing import Any

from evotune.schedules.schedule import Schedule
from evotune.schedules.torch import ScheduledOptimizer


def _callback_bases() -> tuple[type, ...]:
    """Return the Callback class of each installed Lightning: each trainer knows its own only."""
    bases = []
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            bases.append(importlib.import_module(name).Callback)
        except ModuleNotFoundError as error:
            if error.name not in (name, name.partition(".")[0]):
                raise  # it is installed, and something that it needs is not
    if not bases:
        raise ModuleNotFoundError(
            "evotune.integrations.lightning needs Lightning; "
            'install it with pip install "evotune[lightning]"'
        )
    return tuple(bases)


class ScheduleCallback(*_callback_bases()):  # type: ignore[misc]
    """Applies a schedule at the start of every training epoch.

    All optimizers of the trainer and the dropout modules of the trained module are set. Write
    ``Trainer(callbacks=[ScheduleCallback(schedule)])``, and let no other scheduler set the same
    values.

    Args:
        schedule: The hyperparameters per epoch.
    """

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule
        self._scheduled: list[ScheduledOptimizer] = []

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Take note of what the optimizers were built with, before a checkpoint is loaded."""
        self._scheduled = [
            ScheduledOptimizer(self.schedule, each, pl_module) for each in trainer.optimizers
        ]

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Set the genes of the epoch that begins."""
        for scheduled in self._scheduled:
            scheduled.apply(trainer.current_epoch)
