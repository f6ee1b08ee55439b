"""One run of members that train together, from freshly built models to their results."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from evotune.training.data import InMemory
from evotune.training.metrics import find_metrics, measure
from evotune.training.seeds import seed_torch
from evotune.training.stacked.groups import Member, Unstackable
from evotune.training.stacked.training import Stack
from evotune.training.stacked.weights import keep, resume
from evotune.training.task import FIXED_SEED, SupervisedTask
from evotune.training.trainer import noise, set_scheduled, timed
from evotune.trial import Failed

#: Examples whose outputs are compared with those of each member's own model.
_COMPARED = 2
#: Relative difference above which outputs count as different; rounding errors are far smaller.
_TOLERANCE = 0.02


class Run:
    """One run of members of a group.

    Args:
        task: What is trained.
        members: Freshly built members that can be stacked.
        untrained: Names of the parameters that the optimizers leave alone.
    """

    def __init__(
        self, task: SupervisedTask, members: Sequence[Member], untrained: Collection[str]
    ) -> None:
        self._task = task
        self._members = members
        self._seconds = {"train_seconds": 0.0, "evaluation_seconds": 0.0}
        self._stack = Stack(members, untrained)
        for row, member in enumerate(members):
            member.row = row

    def run(self) -> None:
        """Train, keep and measure; every member has a result afterwards."""
        self._each(resume)
        self._compare()
        # Where members cannot have a random stream of their own they share this one.
        seed_torch(self._members[0].handle.seed)
        self._train()
        self._each(_end_pruning)
        self._stack.hand_back()
        self._each(self._keep)
        with self._timed("evaluation_seconds"):
            self._measure_all()
        self._each(self._finish)

    def _keep(self, member: Member) -> None:
        if member.handle.keeps:
            keep(member)
        else:
            self._task.keep_weights(member.handle, member.setup.state)

    def _each(self, action: Callable[[Member], Any]) -> None:
        """Call a function for every member without a result; an error becomes its result."""
        for member in self._members:
            if member.result is None:
                try:
                    action(member)
                except Exception as error:
                    member.result = error

    def _any(self) -> bool:
        return any(member.result is None for member in self._members)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        """Add each member's share of the seconds that the block takes."""
        taken = {name: 0.0}
        with timed(taken, name):
            yield
        self._seconds[name] += taken[name] / len(self._members)

    def _compare(self) -> None:
        """Remove members whose own model gives another output than the stacked model."""
        inputs = self._data("train").inputs[:_COMPARED]
        outputs = self._stack.model.outputs(inputs)
        expected: dict[int, Tensor] = {}

        def compute(member: Member) -> None:
            member.setup.model.eval()
            expected[member.row] = member.setup.model(inputs)

        with torch.no_grad():
            self._each(compute)
        for row, are_close in _are_close(outputs, expected).items():
            if not are_close:
                reason = "its model computes something else as one of a stack"
                self._members[row].result = Unstackable(reason)

    def _train(self) -> None:
        epochs = self._members[0].setup.epochs
        running = [member.handle.epochs(default=epochs) for member in self._members]
        for passed in range(epochs):
            self._each(lambda member: setattr(member, "epoch", next(running[member.row])))
            if not self._any():
                break
            self._each(lambda member: set_scheduled(member.setup, member.epoch))
            if not passed:  # what is needed of their state depends on the values of the epoch
                self._stack.load_optimizers()
            with self._timed("train_seconds"):
                losses = self._stack.train_epoch(self._data("train"))
                for member, loss in zip(self._members, losses, strict=True):
                    member.scores["train_loss"] = loss
                self._each(_end_epoch)
            self._report()
        for steps in running:
            next(steps, None)  # so that it records the time

    def _report(self) -> None:
        every = self._task.validate_every
        due = {m for m in self._members if every and (m.epoch + 1) % every == 0}
        if not due:
            return
        with self._timed("evaluation_seconds"):
            outputs = self._outputs("validation")

            def report(member: Member) -> None:
                if member in due:
                    scores = self._scores(member, "validation", outputs)
                    scores |= member.setup.sparsity()
                    member.handle.report(member.epoch, **member.scores, **scores)

            self._each(report)

    def _measure_all(self) -> None:
        if not self._any():
            return
        self._add("validation", "")
        if self._task.test is not None:
            self._add("test", "test_")
        robustness = self._task.robustness
        if robustness is not None:
            seed_torch(FIXED_SEED)
            change = robustness if callable(robustness) else noise(robustness)
            outputs = self._outputs("validation", change)

            def add(member: Member) -> None:
                scores = self._scores(member, "validation", outputs)
                member.scores["robustness"] = next(iter(scores.values()))

            self._each(add)

    def _add(self, name: str, prefix: str) -> None:
        outputs = self._outputs(name)

        def add(member: Member) -> None:
            scores = self._scores(member, name, outputs)
            member.scores |= {f"{prefix}{metric}": value for metric, value in scores.items()}

        self._each(add)

    def _outputs(self, name: str, change: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        return self._stack.outputs(self._data(name), self._task.evaluation_batch_size, change)

    def _scores(self, member: Member, name: str, outputs: Tensor) -> dict[str, float]:
        metrics = find_metrics(self._task.metrics, self._task.loss)
        return measure(metrics, outputs[member.row], self._data(name).targets)

    def _data(self, name: str) -> InMemory:
        source = self._task.source(name, self._members[0].setup.device)
        assert isinstance(source, InMemory)  # what train_together has made sure of
        return source

    def _finish(self, member: Member) -> None:
        member.result = member.scores | self._task.size(member.setup) | self._seconds


def _end_pruning(member: Member) -> None:
    for sparsifier in member.setup.sparsifiers:
        sparsifier.finish()


def _end_epoch(member: Member) -> None:
    setup, loss = member.setup, member.scores["train_loss"]
    if not math.isfinite(loss):
        raise Failed(
            f"the training loss became {loss} in epoch {member.epoch + 1} of {setup.epochs}"
        )
    if setup.scheduler is None:
        return
    setup.optimizer.step()  # without gradients it changes nothing; schedulers look for the call
    if isinstance(setup.scheduler, ReduceLROnPlateau):
        setup.scheduler.step(loss)
    else:
        setup.scheduler.step()


def _are_close(found: Tensor, expected: Mapping[int, Tensor]) -> dict[int, bool]:
    """Return by row whether outputs ``(members, ...)`` are what was expected of that member."""
    alike = {row: own for row, own in expected.items() if own.shape == found.shape[1:]}
    close = dict.fromkeys(expected, False)
    if alike:  # all at once: for each member it takes as long as a step of its training
        wanted, given = torch.stack([*alike.values()]), found[[*alike]]
        wanted, given = (
            torch.nan_to_num(both.double()).reshape(len(alike), -1) for both in (wanted, given)
        )
        most = _TOLERANCE * wanted.norm(dim=1) + 1e-6
        close |= zip(alike, ((given - wanted).norm(dim=1) <= most).tolist(), strict=True)
    return close
