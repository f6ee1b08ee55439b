"""Train trials of one task together: members whose shapes agree become one stacked model."""

import math
from collections.abc import Sequence

import torch

from evotune.garbage import no_collection
from evotune.running import RunningTrial
from evotune.training.data import InMemory
from evotune.training.seeds import seed_torch
from evotune.training.stacked.first_step import first_step
from evotune.training.stacked.groups import Member, Unstackable, grouped
from evotune.training.stacked.memory import keep_freed_memory, members_at_once
from evotune.training.stacked.run import Run
from evotune.training.task import SupervisedTask, find_device

__all__ = ["Unstackable", "train_together"]

Result = dict[str, float] | Exception | Unstackable


def train_together(
    task: SupervisedTask, handles: Sequence[RunningTrial], *, memory: int | None = None
) -> list[Result]:
    """Train and measure several trials at once.

    Members whose models differ only in their numbers train as one model. The result of each equals
    that of ``task(handle)`` up to rounding: the initial weights, the order of examples and, on the
    CPU, dropout are the same. ``train_seconds`` and ``evaluation_seconds`` are each member's share
    of the total time.

    Args:
        task: What to train.
        handles: The trials.
        memory: Bytes that may be used at a time; more members than fit are trained in several
            runs. The estimate for one member is its parameters, their gradients and the optimizer's
            state, plus twice what its forward pass keeps for the backward pass. By default half of
            the free memory of the device.

    Returns:
        For each trial in order: its metrics, the exception that it raised, or an `Unstackable` if
        it must be trained by itself, with ``task(handle)``.
    """
    device = find_device(task.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        return [Unstackable(f"torch finds no {device} here") for _ in handles]
    if device.type == "cpu":
        keep_freed_memory()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        sources = {name: task.source(name, device) for name in task.data()}
        data = sources["train"]
        in_memory = all(isinstance(source, InMemory) for source in sources.values())
        if not (in_memory and isinstance(data, InMemory)):
            return [Unstackable("the data are not a pair of tensors or arrays") for _ in handles]
        with no_collection():  # of every part of every model, each time that many more are made
            found = [_prepared(task, handle, device) for handle in handles]
            members = [member for member in found if isinstance(member, Member)]
            groups = grouped(members)
        for group in groups:
            _train_group(task, group, data, memory)
    return [part.result if isinstance(part, Member) else part for part in found]  # type: ignore[misc]


def _prepared(
    task: SupervisedTask, handle: RunningTrial, device: torch.device
) -> Member | Exception:
    seed_torch(handle.seed)
    try:
        setup = task.set_up(handle, device)
    except Exception as error:
        return error
    generator = torch.Generator()
    generator.set_state(torch.get_rng_state())
    return Member(handle, setup, generator)


def _train_group(
    task: SupervisedTask, group: Sequence[Member], data: InMemory, memory: int | None
) -> None:
    try:
        first = first_step(group, data)
        runs = math.ceil(len(group) / members_at_once(group, first, memory))
        for run in range(runs):
            Run(task, group[run::runs], first.untrained).run()
    except Exception as error:
        # A model that cannot be mapped can still be trained by itself, or fails there with a better
        # error message.
        for member in group:
            member.result = member.result or Unstackable(_one_line(error))


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"the model cannot be mapped over members: {lines[0]}"
