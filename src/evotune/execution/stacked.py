"""Run trials in this process, with networks of equal shapes stacked into one model."""

import logging
from time import perf_counter
from typing import Any

from evotune.checks import check_whole
from evotune.errors import ExecutionError
from evotune.execution.evaluate import (
    breaks_accelerator,
    evaluate_trial,
    failure_of,
    fatal_if_broken_before,
    outcome_of,
)
from evotune.protocols import Evaluate, ExecutorTraits, task_traits
from evotune.running import RunningTrial
from evotune.trial import Failure, Outcome, Trial

log = logging.getLogger("evotune")


class StackedExecutor:
    """Trains all submitted trials at once, in this process, as one model with a member axis.

    The trials of a `SupervisedTask` whose networks have the same shapes are stacked. All others,
    and those of any other function, are trained one by one, and a warning in the log says why.

    Args:
        members: Most trials that are taken at once. Use it with algorithms that work in
            generations, which submit a whole generation; any other algorithm would propose all
            these trials without knowing the results of one another.
        memory: Bytes that one stack may take; further members are trained in a second stack, and
            so on. By default half of the free memory of the device.

    Raises:
        ExecutionError: ``members`` or ``memory`` is not a whole number of at least 1.
    """

    traits = ExecutorTraits(shares_memory=True, stacks=True)

    def __init__(self, members: int = 1024, *, memory: int | None = None) -> None:
        _check("members", members)
        if memory is not None:
            _check("memory", memory)
        self.members = members
        self.memory = memory
        self._evaluate: Evaluate | None = None
        self._waiting: list[Trial] = []
        self._said: set[str] = set()
        self._is_broken = False  # by the last trials, as far as an accelerator goes

    def __repr__(self) -> str:
        return f"StackedExecutor({self.members}, memory={self.memory})"

    @property
    def capacity(self) -> int:
        """Most trials that are taken at once."""
        return self.members

    def open(self, evaluate: Evaluate) -> None:
        """Prepare to run ``evaluate``."""
        self._evaluate = evaluate
        self._waiting = []
        if not task_traits(evaluate).stacks:
            self._say(f"{type(evaluate).__name__} is not a SupervisedTask")

    def submit(self, trial: Trial) -> None:
        """Take a trial that the next `collect` runs.

        Raises:
            ExecutionError: The executor is not open, or holds ``members`` trials already.
        """
        if self._evaluate is None:
            raise ExecutionError("the executor is not open; call open(evaluate) before submit")
        if len(self._waiting) >= self.members:
            raise ExecutionError(
                f"trial {trial.number} was submitted while {self.members} trials wait, which is "
                "the capacity; collect() results first"
            )
        self._waiting.append(trial)

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome | Failure]]:
        """Run the submitted trials to their end; ``timeout`` cannot interrupt them here."""
        waiting, self._waiting = self._waiting, []
        evaluate = self._evaluate
        if not waiting or evaluate is None:
            return []
        if task_traits(evaluate).stacks:
            collected = self._together(evaluate, waiting)
        else:
            collected = [(trial.number, evaluate_trial(evaluate, trial)) for trial in waiting]
        broken = sum(breaks_accelerator(result) for _, result in collected)
        # Of several, nobody knows which is to blame: they were in one model, or one after another.
        was_broken, self._is_broken = self._is_broken or broken > 1, broken > 0
        return [(n, fatal_if_broken_before(result, was_broken)) for n, result in collected]

    def close(self) -> None:
        """Drop the function and the waiting trials."""
        self._evaluate = None
        self._waiting = []

    def _together(self, evaluate: Any, waiting: list[Trial]) -> list[tuple[int, Outcome | Failure]]:
        from evotune.training.stacked.together import Unstackable, train_together

        handles = [RunningTrial(trial) for trial in waiting]
        began = perf_counter()
        returned = train_together(evaluate, handles, memory=self.memory)
        share = (perf_counter() - began) / len(handles)
        collected: list[tuple[int, Outcome | Failure]] = []
        for trial, handle, result in zip(waiting, handles, returned, strict=True):
            if isinstance(result, Unstackable):
                self._say(result.reason)
                collected.append((trial.number, evaluate_trial(evaluate, trial)))
            elif isinstance(result, Exception):
                collected.append((trial.number, failure_of(result)))
            else:
                collected.append((trial.number, outcome_of(handle, result, share)))
        return collected

    def _say(self, reason: str) -> None:
        if reason and reason not in self._said:
            self._said.add(reason)
            log.warning("trials are trained one by one, not stacked: %s", reason)


def _check(name: str, value: int) -> None:
    try:
        check_whole("StackedExecutor", name, value, 1)
    except ValueError as error:
        raise ExecutionError(str(error)) from error
