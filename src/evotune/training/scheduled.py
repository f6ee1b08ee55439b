"""Genes that are schedules: where they start, and what sets them before each epoch."""

from collections.abc import Collection, Mapping
from typing import Any

from evotune.checkpoints.hyperparameters import names_of_hyperparameters
from evotune.errors import TaskError
from evotune.schedules.schedule import Schedule
from evotune.schedules.torch import ScheduledOptimizer
from evotune.space.scheduled import START, is_record


def starts_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return params with the start of each schedule in its place."""
    return {n: v[START] if is_record(v) else v for n, v in params.items()}


def schedule_of(
    params: Mapping[str, Any],
    optimizer: Any,
    elsewhere: Collection[str],
    length: int,
    *,
    has_scheduler: bool,
) -> ScheduledOptimizer | None:
    """Return what sets the scheduled genes of an optimizer before each epoch, if there are some.

    Args:
        params: The active genes.
        optimizer: The trial's optimizer, built with the starts of the schedules.
        elsewhere: Names of the genes whose schedules the task's own functions read.
        length: Of the schedules, in epochs.
        has_scheduler: A scheduler sets the learning rate.

    Raises:
        TaskError: A schedule has no effect, or sets the learning rate beside a scheduler.
    """
    records = {name: r for name, r in params.items() if is_record(r)}
    names: dict[str, str] = {}
    if records and hasattr(optimizer, "defaults") and hasattr(optimizer, "param_groups"):
        names = names_of_hyperparameters(optimizer, starts_of(records))
    known = {"sparsity", *elsewhere, *names}
    wrong = next((name for name in records if name not in known), None)
    if wrong is not None:
        raise TaskError(
            f"gene {wrong!r} is a schedule, but only sparsity and the hyperparameters of the "
            f"optimizer ({type(optimizer).__name__}) are set before each epoch; write its "
            f"domain without Scheduled, or genes=({wrong!r},) if you set it yourself"
        )
    scheduled = {name: records[name] for name in names}
    rate = next((gene for gene, name in names.items() if name == "lr"), None)
    if rate is not None and has_scheduler:
        raise TaskError(
            f"gene {rate!r} is a schedule, and scheduler= sets the learning rate too; leave "
            "scheduler= out, or write the domain of the gene without Scheduled"
        )
    if not scheduled:
        return None
    return ScheduledOptimizer(Schedule.of(scheduled, epochs=length), optimizer)
