"""A schedule as a torch learning-rate scheduler."""

import logging
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from evotune.checkpoints.hyperparameters import ALIASES, PARTS, add_missing_state, set_dropout

_LOG = logging.getLogger(__name__)
#: Left out of a scheduler's state: it belongs to other objects, or is given again.
_NOT_STATE = ("optimizer", "model", "schedule", "scheduled", "warned")


class Scheduled(Protocol):
    """What this module needs of an `evotune.schedules.schedule.Schedule`."""

    @property
    def names(self) -> tuple[str, ...]: ...
    def __getitem__(self, epoch: int) -> dict[str, Any]: ...
    def __len__(self) -> int: ...
    def apply(self, optimizer: Any, epoch: int, *, model: Any = None) -> set[str]: ...


class ScheduledOptimizer:
    """Applies a schedule to one optimizer, each time from what the optimizer was built with.

    So a param group keeps the multiple of a value that it was built with, whatever another
    scheduler, a loaded state or a value of 0 does in between. A gene that is dormant at an epoch
    goes back to what was built, as in the trial whose optimizer was built without it.

    Args:
        schedule: The hyperparameters per epoch.
        optimizer: The optimizer, before any state is loaded into it.
        model: A module whose dropout is scheduled too.
    """

    def __init__(
        self,
        schedule: Scheduled,
        optimizer: torch.optim.Optimizer,
        model: nn.Module | None = None,
    ) -> None:
        self._schedule = schedule
        self._optimizer = optimizer
        self._model = model
        names = {PARTS.get(gene, (ALIASES.get(gene, gene),))[0] for gene in schedule.names}
        self._defaults = {
            name: _copy(value) for name, value in optimizer.defaults.items() if name in names
        }
        self._groups = [
            {name: _copy(_built(group, name)) for name in names if name in group}
            for group in optimizer.param_groups
        ]

    @property
    def schedule(self) -> Scheduled:
        """The schedule that is applied."""
        return self._schedule

    def apply(self, epoch: int) -> set[str]:
        """Set the genes of an epoch and return those that had an effect."""
        groups = self._optimizer.param_groups
        for group, built in zip(groups, self._groups, strict=False):  # one may have been added
            for name, value in built.items():
                _assign(group, name, value)
        used = self._schedule.apply(self._optimizer, epoch, model=self._model)
        add_missing_state(self._optimizer)  # of a momentum that rises from 0
        # Both mean what was built: other schedulers and later epochs compute from them.
        self._optimizer.defaults.update({name: _copy(v) for name, v in self._defaults.items()})
        for group, built in zip(groups, self._groups, strict=False):
            if "initial_lr" in group and "lr" in built:
                group["initial_lr"] = _copy(built["lr"])
        return used


class GeneScheduler(LRScheduler):
    """Sets every gene of a schedule on an optimizer, and dropout on a model, once an epoch.

    The values do not depend on those before them, so of several schedulers on one optimizer the
    last to step wins. Without a learning rate in the schedule it leaves the learning rate alone.

    Args:
        optimizer: The optimizer, before any state is loaded into it. A param group keeps its own
            multiple of a value.
        schedule: The hyperparameters per epoch.
        model: A module whose dropout is scheduled too.
        last_epoch: The last epoch that was trained, -1 for a new training.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        schedule: Scheduled,
        *,
        model: nn.Module | None = None,
        last_epoch: int = -1,
    ) -> None:
        self.schedule = schedule
        self.model = model
        self.scheduled = ScheduledOptimizer(schedule, optimizer, model)
        self.warned: set[str] = set()
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Set the genes of ``last_epoch`` and return the learning rate of every param group."""
        epoch = max(self.last_epoch, 0)
        self._warn(set(self.schedule[epoch]) - self.scheduled.apply(epoch))
        return [_copy(group["lr"]) for group in self.optimizer.param_groups]

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


def _built(group: dict[str, Any], name: str) -> Any:
    """Return what a group was built with: another scheduler may have changed its learning rate."""
    return group.get("initial_lr", group["lr"]) if name == "lr" else group[name]


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _assign(group: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(group[name], Tensor):
        group[name].fill_(value)  # the very tensor that a captured graph reads
    else:
        group[name] = value
