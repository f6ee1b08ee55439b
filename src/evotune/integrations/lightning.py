"""Schedules in Lightning, installed as ``lightning`` or as ``pytorch_lightning``."""

import importlib
from typing import Any

from evotune.schedules.schedule import Schedule
from evotune.schedules.torch import ScheduledOptimizer


def _callback_bases() -> tuple[type, ...]:
    """Return the Callback class of each installed Lightning; a trainer accepts only its own."""
    bases = []
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            bases.append(importlib.import_module(name).Callback)
        except ModuleNotFoundError as error:
            if error.name not in (name, name.partition(".")[0]):
                raise  # Lightning is installed, but one of its dependencies is not
    if not bases:
        raise ModuleNotFoundError(
            "evotune.integrations.lightning needs Lightning; "
            'install it with pip install "evotune[lightning]"'
        )
    return tuple(bases)


class ScheduleCallback(*_callback_bases()):  # type: ignore[misc]
    """Applies a schedule at the start of every training epoch.

    It sets the values in all optimizers of the trainer and in the dropout modules of the trained
    module. Write ``Trainer(callbacks=[ScheduleCallback(schedule)])``, and use no other scheduler
    for the same values.

    Args:
        schedule: The hyperparameters per epoch.
    """

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule
        self._scheduled: list[ScheduledOptimizer] = []

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Record the initial values of the optimizers, before a checkpoint is loaded."""
        self._scheduled = [
            ScheduledOptimizer(self.schedule, each, pl_module) for each in trainer.optimizers
        ]

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Set the hyperparameters of the epoch that begins."""
        for scheduled in self._scheduled:
            scheduled.apply(trainer.current_epoch)
