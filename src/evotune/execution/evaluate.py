"""One evaluation: call the user's function, and turn its result or error into a record."""

import logging
import math
import os
import re
import reprlib
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from evotune.checks import seconds
from evotune.errors import CheckpointError, ExecutionError, TaskError
from evotune.protocols import Evaluate
from evotune.running import RunningTrial
from evotune.trial import (
    BARE_NUMBER,
    Failed,
    Failure,
    FailureKind,
    Outcome,
    StopTrial,
    Trial,
    as_number,
)

log = logging.getLogger("evotune")

#: Params that a function of this process has replaced.
_replaced: set[str] = set()

_PACKAGE = Path(__file__).parents[1]
_PRUNED = (
    "Optuna's way to end a trial, which counts as a failure here: call "
    "trial.report(accuracy=value) as training goes on and give the study a rule, "
    "stopping=et.MedianStopping(); or return what was reached"
)
_ADVICE = 'return a number or a dict of numbers such as {"accuracy": 0.93}'

# Both look at those lines of a traceback that name an error, its causes included: they are not
# indented. Memory of an accelerator that is used up ("CUDA out of memory") spoils nothing.
_BROKEN_ACCELERATOR = re.compile(
    r"^\S*(AcceleratorError\b|.*("
    r"(CUDA|HIP|XPU|MPS|NCCL|cu[A-Z]\w+|hip[A-Z]\w+|roc[A-Z]\w+)( driver| runtime)? error\b"
    r"|\b(CU|HIP|ROC)\w+_STATUS_[A-Z]|device-side assert|illegal memory access"
    r"|unspecified launch failure|XlaRuntimeError: INTERNAL))",
    re.MULTILINE,
)
_USED_UP = re.compile(
    r"^\S*(MemoryError\b|BrokenProcessPool\b|.*("
    r"[Cc]an(no|')t allocate memory|can't start new thread|Too many open files))",
    re.MULTILINE,
)


class TimedOut(BaseException):
    """Raised in an evaluation that takes too long; ``except Exception`` does not swallow it."""


def evaluate_trial(evaluate: Evaluate, trial: Trial) -> Outcome | Failure:
    """Evaluate one trial; an error of the user's function is returned as a `Failure`.

    Args:
        evaluate: The user's function. It gets a `RunningTrial` and returns a number, or a mapping
            from metric names to numbers; a tensor or array of one element counts as a number.
        trial: The trial to evaluate.

    Returns:
        An Outcome with the metrics as floats and, unless the function returned them,
        ``train_seconds`` (spent in ``trial.epochs()``, or in the whole call if that was not used)
        and ``evaluation_seconds`` (the rest of the call). NaN and infinity are kept.
        If a stopping rule ended the trial, its metrics are the last reported ones.
        A Failure when the function raised an error or returned something else, or when the kept
        weights could not be written.

    Raises:
        KeyboardInterrupt: The user interrupts the run.
        TimedOut: The executor interrupts this evaluation because of its timeout.
    """
    handle = RunningTrial(trial)
    began, process = perf_counter(), os.getpid()
    try:
        returned = evaluate(handle)
    except StopTrial:
        returned = _reported_last(handle)
    except (KeyboardInterrupt, TimedOut):
        raise
    except BaseException as error:
        _end_fork(process, error)
        return replace(failure_of(error), notes=handle.notes)
    _end_fork(process, None)
    return outcome_of(handle, returned, perf_counter() - began)


def _warn_of_changed_params(handle: RunningTrial) -> None:
    """Log once for each param that the function replaced: it is recorded as it was proposed."""
    own = handle.record.params
    with suppress(Exception):  # whatever comparing with an object of the user's raises
        if handle.params == own:
            return
    for name in own.keys() & handle.params.keys() - _replaced:
        with suppress(Exception):
            if handle.params[name] != own[name]:
                _replaced.add(name)
                log.warning(
                    "the function set trial.params[%r] to %r, but the trial is recorded with %r, "
                    "which was proposed; use a variable of your own",
                    *(name, handle.params[name], own[name]),
                )


def _end_fork(process: int, error: BaseException | None) -> None:
    """End a fork that the user's function made and that came out of it: the trial is its parent's.

    It ends as a program does that reaches its end, raises an error or calls ``sys.exit``.
    """
    if os.getpid() == process:
        return
    code: object = 0
    if isinstance(error, SystemExit):
        code = error.code or 0
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF)


def outcome_of(handle: RunningTrial, returned: Any, seconds: float) -> Outcome | Failure:
    """Return the result of an evaluation that ended without an error, after writing its weights.

    Args:
        handle: The `RunningTrial` that the evaluation was given.
        returned: What the evaluation returned.
        seconds: How long it took.
    """
    metrics, texts = without_texts(returned)
    metrics = read_metrics(metrics)
    notes = handle.notes | texts
    if isinstance(metrics, Failure):
        return replace(metrics, notes=notes)
    _warn_of_changed_params(handle)
    train_seconds = seconds if handle.train_seconds is None else handle.train_seconds
    metrics.setdefault("train_seconds", train_seconds)
    metrics.setdefault("evaluation_seconds", max(0.0, seconds - train_seconds))
    try:
        checkpoint = None if handle.weights is None else handle.weights.written()
    except CheckpointError as error:
        if handle.keeps:
            # A full disk or quota would fail all later trials too, so the whole run ends here.
            return Failure("checkpoint", str(error), fatal=True)
        log.warning("the weights of trial %d are not kept: %s", handle.number, error)
        checkpoint = None
    if checkpoint is not None:
        checkpoint = replace(checkpoint, purpose=handle.purpose)
    return Outcome(metrics, tuple(handle.reports), handle.stopped, checkpoint, notes)


def _reported_last(handle: RunningTrial) -> dict[str, float]:
    """Return the last number that was reported of each metric."""
    return {k: v for report in handle.reports for k, v in report.items() if k != "step"}


def read_seconds(name: str, given: Any) -> float | None:
    """Return a limit in seconds, also that of a ``datetime.timedelta``; None is no limit.

    Raises:
        ExecutionError: It is something else, or not above 0.
    """
    if given is None:
        return None
    found = seconds(name, given, "(0, inf]", ExecutionError)
    return None if found == math.inf else float(found)


def breaks_accelerator(result: Outcome | Failure) -> bool:
    """Return whether a trial met an error of a GPU after which its process can use none.

    Such as a failed assertion: every later call fails, too, for good.
    """
    return _names_error(_BROKEN_ACCELERATOR, result)


def spoils_its_process(result: Outcome | Failure) -> bool:
    """Return whether a trial failed by what later trials in the same process would meet, too.

    That is a broken accelerator, or open files, threads or memory that the process has used up.
    """
    return breaks_accelerator(result) or _names_error(_USED_UP, result)


def fatal_if_broken_before(result: Outcome | Failure, was_broken: bool) -> Outcome | Failure:
    """Return what becomes of a trial in a process that cannot be replaced.

    The trial that breaks an accelerator has failed. The next one that meets the same is not to
    blame: its failure is fatal, so that it is not recorded and the run ends.
    """
    if not (was_broken and isinstance(result, Failure) and breaks_accelerator(result)):
        return result
    message = (
        f"{result.message}; an earlier trial has left the accelerator unusable for this process: "
        "start it again to go on with the study, or write executor=ProcessExecutor(workers=1), "
        "which replaces such processes"
    )
    return replace(result, message=message, fatal=True)


def _names_error(errors: re.Pattern[str], result: Outcome | Failure) -> bool:
    return isinstance(result, Failure) and errors.search(result.traceback) is not None


def timeout_failure(seconds: float) -> Failure:
    """Return the failure of a trial that took longer than ``seconds``."""
    return Failure("timeout", f"took longer than {seconds:g} s")


def describe_error(error: BaseException) -> str:
    """Return one line such as ``ZeroDivisionError: division by zero``."""
    # TracebackException survives an error whose own __str__ raises.
    lines = str(traceback.TracebackException.from_exception(error)).strip().splitlines()
    name = type(error).__name__
    return f"{name}: {lines[0]}" if lines else name


def failure_of(error: BaseException) -> Failure:
    """Return the failure of a trial whose evaluation raised; long texts lose their middle."""
    failure = _failure_of(error)
    message, text = _within(failure.message, 10_000), _within(failure.traceback, 100_000)
    return replace(failure, message=message, traceback=text)


def _within(text: str, most: int) -> str:
    """Return a text, without its middle where it is longer: it is stored, and printed."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} [...] {text[-half:]}"


def _failure_of(error: BaseException) -> Failure:
    # The first frame is evotune's own, where the error was caught.
    below = error.__traceback__.tb_next if error.__traceback__ else None
    text = "".join(traceback.format_exception(type(error), error, below))
    if isinstance(error, Failed):
        # Where a task of evotune gives the reason, its own lines say nothing to the user.
        frames = traceback.extract_tb(below)
        ours = all(Path(frame.filename).is_relative_to(_PACKAGE) for frame in frames)
        return Failure("exception", _reason(error), "" if ours else text)
    if isinstance(error, TaskError):
        return Failure("exception", str(error), text, fatal=True)
    if isinstance(error, CheckpointError):
        kind: FailureKind = "exception" if error.trial is None else "checkpoint"
        return Failure(kind, str(error), text, donor=error.trial)
    said = describe_error(error)
    if type(error).__name__ == "TrialPruned" and type(error).__module__.startswith("optuna"):
        said += f" ({_PRUNED})"
    return Failure("exception", said, text)


def _reason(failed: Failed) -> str:
    return str(failed) or "the evaluate function gave no reason"


def without_texts(returned: Any) -> tuple[Any, dict[str, str]]:
    """Return an evaluation's result without the texts among its metrics, and these: notes."""
    if not isinstance(returned, Mapping):
        return returned, {}
    texts = {n: v for n, v in returned.items() if isinstance(n, str) and isinstance(v, str)}
    return {name: value for name, value in returned.items() if name not in texts}, texts


def read_metrics(returned: Any) -> dict[str, float] | Failure:
    """Return an evaluation's result as named floats; a bare number is named `BARE_NUMBER`."""
    if returned is None:
        return Failure("missing_metric", f"the evaluate function returned nothing; {_ADVICE}")
    if isinstance(returned, Failed):
        return Failure("exception", _reason(returned))
    named = returned if isinstance(returned, Mapping) else {BARE_NUMBER: returned}
    metrics: dict[str, float] = {}
    for name, value in named.items():
        number = as_number(value)
        if number is None or not isinstance(name, str):
            return _no_number(name, value)
        metrics[name] = number
    return metrics


def _no_number(name: Any, value: Any) -> Failure:
    if not isinstance(name, str):
        return Failure("not_a_number", f"metric name {name!r} is not a string; {_ADVICE}")
    given = f"{type(value).__name__} {' '.join(reprlib.repr(value).split())}"
    if name == BARE_NUMBER:
        return Failure("not_a_number", f"the evaluate function returned {given}; {_ADVICE}")
    return Failure(
        "not_a_number", f"metric {name!r} is {given}, not a number; write float(...) of one value"
    )
