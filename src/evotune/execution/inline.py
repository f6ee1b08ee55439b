"""Run trials in the calling process, one after another."""

import signal
import threading
from time import monotonic
from typing import Any, NoReturn

from evotune.errors import ExecutionError
from evotune.execution.evaluate import (
    TimedOut,
    breaks_accelerator,
    evaluate_trial,
    fatal_if_broken_before,
    read_seconds,
    timeout_failure,
)
from evotune.protocols import Evaluate, ExecutorTraits
from evotune.trial import Failure, Outcome, Trial

_LONGEST = 1e9  # seconds; timers of the system end somewhere above


class InlineExecutor:
    """Runs one trial at a time in this process, inside `collect`.

    Args:
        trial_timeout: Seconds that one trial may take; None is no limit. It needs the main thread
            of a POSIX system and cannot interrupt a long call into C before that returns;
            `ProcessExecutor` has neither limitation.

    Raises:
        ExecutionError: ``trial_timeout`` is not above 0.
    """

    traits = ExecutorTraits(shares_memory=True)

    def __init__(self, *, trial_timeout: float | None = None) -> None:
        self.trial_timeout = read_seconds("trial_timeout", trial_timeout)
        self._evaluate: Evaluate | None = None
        self._waiting: Trial | None = None
        self._is_broken = False  # by the last trial, as far as an accelerator goes

    def __repr__(self) -> str:
        return f"InlineExecutor(trial_timeout={self.trial_timeout})"

    @property
    def capacity(self) -> int:
        """One trial."""
        return 1

    def open(self, evaluate: Evaluate) -> None:
        """Prepare to run ``evaluate``.

        Raises:
            ExecutionError: A trial timeout is set and cannot be enforced in this thread or system.
        """
        if self.trial_timeout is not None and not _can_interrupt():
            raise ExecutionError(
                f"trial_timeout={self.trial_timeout:g} cannot be enforced here: InlineExecutor can "
                "end a trial only in the main thread of a POSIX system; write "
                f"executor=ProcessExecutor(workers=1, trial_timeout={self.trial_timeout:g})"
            )
        self._evaluate = evaluate
        self._waiting = None

    def submit(self, trial: Trial) -> None:
        """Take the trial that the next `collect` runs.

        Raises:
            ExecutionError: The executor is not open, or already holds a trial.
        """
        if self._evaluate is None:
            raise ExecutionError("the executor is not open; call open(evaluate) before submit")
        if self._waiting is not None:
            raise ExecutionError(
                f"trial {trial.number} was submitted before trial {self._waiting.number} was "
                "collected; InlineExecutor takes one trial at a time: call collect() first"
            )
        self._waiting = trial

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome | Failure]]:
        """Run the submitted trial to its end; ``timeout`` cannot interrupt it here."""
        trial, self._waiting = self._waiting, None
        if trial is None or self._evaluate is None:
            return []
        if self.trial_timeout is None:
            result = evaluate_trial(self._evaluate, trial)
        else:
            result = _evaluate_within(self.trial_timeout, self._evaluate, trial)
        was_broken, self._is_broken = self._is_broken, breaks_accelerator(result)
        return [(trial.number, fatal_if_broken_before(result, was_broken))]

    def close(self) -> None:
        """Drop the function and the waiting trial."""
        self._evaluate = None
        self._waiting = None


def _can_interrupt() -> bool:
    in_main_thread = threading.current_thread() is threading.main_thread()
    return in_main_thread and hasattr(signal, "setitimer")


def _raise_timed_out(*_: Any) -> NoReturn:
    raise TimedOut


def _evaluate_within(seconds: float, evaluate: Evaluate, trial: Trial) -> Outcome | Failure:
    began = monotonic()
    handler_before = signal.signal(signal.SIGALRM, _raise_timed_out)
    # Repeated every second: a __del__ or a bare except may swallow the first exception.
    delay_before, interval_before = signal.setitimer(
        signal.ITIMER_REAL, min(seconds, _LONGEST), 1.0
    )
    try:
        result = evaluate_trial(evaluate, trial)
        signal.setitimer(signal.ITIMER_REAL, 0)
        return result
    except TimedOut:
        return timeout_failure(seconds)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler_before)
        if delay_before:
            left = max(delay_before - (monotonic() - began), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left, interval_before)
