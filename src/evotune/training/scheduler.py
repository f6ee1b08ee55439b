"""A schedule as a torch learning-rate scheduler."""

import logging
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from evotune.training.hyperparameters import set_dropout
from evotune.training.schedules import Schedule

_LOG = logging.getLogger(__name__)
#: What a scheduler's state leaves out: it belongs to others, or is given again.
_NOT_STATE = ("optimizer", "model", "schedule", "warned")


class GeneScheduler(LRScheduler):
    """Sets every gene of a schedule on an optimizer, and dropout on a model, once an epoch.

    The values do not depend on those before them, so of several schedulers on one optimizer the
    last to step wins. Without a learning rate in the schedule it leaves the learning rate alone.

    Args:
        optimizer: The optimizer. A param group keeps its own multiple of a value.
        schedule: The hyperparameters per epoch.
        model: A module whose dropout is scheduled too.
        last_epoch: The last epoch that was trained, -1 for a new training.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        *,
        model: nn.Module | None = None,
        last_epoch: int = -1,
    ) -> None:
        self.schedule = schedule
        self.model = model
        self.warned: set[str] = set()
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Set the genes of ``last_epoch`` and return the learning rate of every param group."""
        epoch = max(self.last_epoch, 0)
        used = self.schedule.apply(self.optimizer, epoch, model=self.model)
        self._warn(set(self.schedule[epoch]) - used)
        rates = (group["lr"] for group in self.optimizer.param_groups)
        return [rate.clone() if isinstance(rate, torch.Tensor) else rate for rate in rates]

    def _warn(self, unused: set[str]) -> None:
        if unused - self.warned:
            _LOG.warning(
                "genes of the schedule have no effect on %s%s: %s",
                type(self.optimizer).__name__,
                "" if self.model is None else " and the model's dropout",
                ", ".join(sorted(unused - self.warned)),
            )
            self.warned |= unused

    def state_dict(self) -> dict[str, Any]:
        """Return the state, numbers only: the schedule itself is given again when it is loaded."""
        return {name: value for name, value in vars(self).items() if name not in _NOT_STATE}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state; the optimizer's genes come with the optimizer's own state."""
        super().load_state_dict(state_dict)
        if self.model is not None and self.last_epoch >= 0:  # no state holds a model's dropout
            set_dropout(self.model, self.schedule[self.last_epoch])
