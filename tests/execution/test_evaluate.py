import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from evotune.errors import TaskError
from evotune.execution.evaluate import breaks_accelerator, evaluate_trial, spoils_its_process
from evotune.testing.executors import make_trial
from evotune.trial import BARE_NUMBER, Failed, Failure, Outcome


def evaluate(function):
    return evaluate_trial(function, make_trial(0, x=1))


def returning(value):
    return evaluate(lambda trial: value)


@pytest.mark.parametrize(
    "value",
    [
        3,
        3.0,
        np.float32(3),
        np.int64(3),
        np.array(3.0),
        np.array([3.0]),
        Decimal(3),
        Fraction(6, 2),
    ],
)
def test_anything_that_is_one_number_is_taken(value):
    assert returning(value).metrics[BARE_NUMBER] == 3.0
    metrics = returning({"accuracy": value}).metrics
    assert metrics["accuracy"] == 3.0
    assert type(metrics["accuracy"]) is float


def test_torch_scalars_are_taken_with_their_graph():
    torch = pytest.importorskip("torch")
    loss = torch.tensor(2.0, requires_grad=True) * 1.5
    assert returning({"loss": loss}).metrics["loss"] == 3.0
    assert returning(torch.zeros(2)).kind == "not_a_number"


def test_nan_and_infinity_are_left_to_the_study():
    metrics = returning({"a": math.nan, "b": math.inf}).metrics
    assert math.isnan(metrics["a"])
    assert metrics["b"] == math.inf


@pytest.mark.parametrize(
    "value", ["0.93", [0.93], (0.9, 0.1), 1j, np.array([1.0, 2.0]), np.array([]), object()]
)
def test_what_is_no_number_is_a_failure_that_names_it(value):
    alone = returning(value)
    assert alone.kind == "not_a_number"
    assert type(value).__name__ in alone.message
    assert 'such as {"accuracy": 0.93}' in alone.message
    named = returning({"loss": 1.0, "accuracy": value})
    if isinstance(value, str):  # a text is a note, and no metric
        assert (dict(named.notes), "accuracy" in named.metrics) == ({"accuracy": value}, False)
        return
    assert named.kind == "not_a_number"
    assert "'accuracy'" in named.message


def test_metric_names_must_be_text():
    failure = returning({1: 0.5})
    assert failure.kind == "not_a_number"
    assert "1" in failure.message


def test_returning_nothing_is_a_missing_metric():
    failure = returning(None)
    assert failure.kind == "missing_metric"
    assert "return a number" in failure.message


def test_message_stays_one_short_line():
    message = returning(np.zeros((100, 100))).message
    assert "\n" not in message
    assert len(message) < 250


def test_value_that_cannot_be_shown_is_a_failure():
    class Mute:
        def __repr__(self):
            raise RuntimeError("no text")

    assert returning({"accuracy": Mute()}).kind == "not_a_number"


def test_returned_failed_is_a_failure():
    assert returning(Failed("diverged")) == Failure("exception", "diverged")


def test_failed_without_reason_still_says_something():
    assert returning(Failed()).message


def test_traceback_starts_in_the_users_code():
    def broken(trial):
        return trial.params["y"]

    failure = evaluate(broken)
    assert failure.message == "KeyError: 'y'"
    assert 'return trial.params["y"]' in failure.traceback
    assert "evaluate.py" not in failure.traceback.replace(__file__, "")


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(2), GeneratorExit(), StopIteration()])
def test_no_exception_of_the_function_escapes(error):
    def broken(trial):
        raise error

    failure = evaluate(broken)
    assert failure.kind == "exception"
    assert failure.message.startswith(type(error).__name__)
    assert not failure.fatal


def test_endless_recursion_is_a_failure():
    def endless(trial):
        return endless(trial)

    assert evaluate(endless).message.startswith("RecursionError")


def test_error_that_cannot_be_shown_is_a_failure():
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    def broken(trial):
        raise MuteError

    assert evaluate(broken).message.startswith("MuteError")


def test_task_error_ends_the_run():
    def broken(trial):
        raise TaskError("no such file: data.csv")

    failure = evaluate(broken)
    assert failure.fatal
    assert failure.message == "no such file: data.csv"


def test_keyboard_interrupt_goes_through():
    def interrupted(trial):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(interrupted)


def test_time_inside_epochs_is_training_and_the_rest_evaluation(monkeypatch):
    clock = iter([0.0, 1.0, 6.0, 10.0])
    monkeypatch.setattr("evotune.execution.evaluate.perf_counter", lambda: next(clock))
    monkeypatch.setattr("evotune.running.perf_counter", lambda: next(clock))

    def train(trial):
        for _ in trial.epochs(default=2):
            pass
        return 1.0

    metrics = evaluate(train).metrics
    assert metrics["train_seconds"] == 5.0
    assert metrics["evaluation_seconds"] == 5.0


def test_without_epochs_the_whole_call_is_training(monkeypatch):
    clock = iter([2.0, 5.0])
    monkeypatch.setattr("evotune.execution.evaluate.perf_counter", lambda: next(clock))
    metrics = returning(1.0).metrics
    assert (metrics["train_seconds"], metrics["evaluation_seconds"]) == (3.0, 0.0)


def test_times_that_the_function_measured_itself_stay():
    metrics = returning({"accuracy": 1.0, "train_seconds": 42.0}).metrics
    assert metrics["train_seconds"] == 42.0
    assert metrics["evaluation_seconds"] >= 0.0


def test_reports_are_part_of_the_outcome():
    def train(trial):
        trial.report(step=5, loss=0.5)
        return 1.0

    outcome = evaluate(train)
    assert isinstance(outcome, Outcome)
    assert outcome.reports == ({"step": 5, "loss": 0.5},)


class StopsAt:
    """A bar that ends a trial at a step."""

    def __init__(self, step):
        self.step = step

    def stops(self, report):
        return report["step"] == self.step


def evaluate_until(step, function):
    return evaluate_trial(function, replace(make_trial(0, x=1), bar=StopsAt(step)))


class TestStopped:
    def test_metrics_are_those_that_were_reported_last(self):
        after = []

        def train(trial):
            assert trial.watched
            for epoch in trial.epochs(default=5):
                time.sleep(0.01)
                if epoch == 1:
                    trial.report(epoch, size=7.0)
                trial.report(epoch, loss=float(epoch))
            after.append(trial)

        outcome = evaluate_until(3, train)
        assert outcome.stopped
        assert not after
        assert {k: v for k, v in outcome.metrics.items() if "seconds" not in k} == {
            "size": 7.0,
            "loss": 3.0,
        }
        assert len(outcome.reports) == 5
        assert 0.04 <= outcome.metrics["train_seconds"] < 0.2
        assert outcome.metrics["evaluation_seconds"] < 0.03

    def test_a_trial_without_a_bar_is_never_stopped(self):
        def train(trial):
            assert not trial.watched
            trial.report(loss=1.0)
            return 2.0

        outcome = evaluate(train)
        assert not outcome.stopped

    def test_cleaning_up_runs_and_its_error_is_a_failure(self):
        cleaned = []

        def train(trial):
            try:
                trial.report(0, loss=1.0)
            finally:
                cleaned.append(trial)
                if trial.params["x"] == 1:
                    raise OSError("the log is full")

        failure = evaluate_until(0, train)
        assert cleaned
        assert failure.message == "OSError: the log is full"


@pytest.mark.parametrize(
    ("error", "breaks", "spoils"),
    [
        (RuntimeError("CUDA error: device-side assert triggered"), True, True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_MAPPING_ERROR"), True, True),
        (RuntimeError("HIP error: invalid device function"), True, True),
        (type("AcceleratorError", (RuntimeError,), {})("..."), True, True),
        (MemoryError(), False, True),
        (OSError(24, "Too many open files"), False, True),
        (RuntimeError("can't start new thread"), False, True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), False, False),
        (ValueError("a custom error: shapes differ"), False, False),
    ],
    ids=str,
)
def test_errors_that_stay_with_a_process(error, breaks, spoils):
    def evaluate(trial):
        raise error

    for function in (evaluate, lambda trial: as_cause(error)):
        result = evaluate_trial(function, make_trial(0))
        assert (breaks_accelerator(result), spoils_its_process(result)) == (breaks, spoils)


def as_cause(error):
    raise KeyError("x") from error


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("code", ["return", "sys.exit(3)", "sys.exit('words')", "raise ValueError"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_fork_that_comes_out_of_the_function_ends_there(tmp_path, workers, code):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        "import evotune as et\n"
        "def train(trial):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        f"        {code}\n"
        "    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        "space = et.Space(x=et.Float(0, 1))\n"
        "study = et.Study(et.RandomSearch(space), 'min loss')\n"
        f"study.run(train, trials=3, workers={workers})\n"
        "print(os.getpid(), [trial.metrics['loss'] for trial in study.trials])\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    expected = {"return": 0, "sys.exit(3)": 3}.get(code, 1)
    assert done.stdout.count("\n") == 1, done.stderr
    assert done.stdout.endswith(f"{[float(expected)] * 3}\n")


@pytest.mark.parametrize("error", [ValueError, Failed])
def test_a_failure_of_any_length_keeps_its_beginning_and_its_end(error):
    def fails(trial):
        raise error("begins" + "x" * 5_000_000 + "ends")

    failure = evaluate(fails)
    assert len(failure.message) < 20_000
    assert len(failure.traceback) < 200_000
    assert "begins" in failure.message
    assert failure.message.endswith("ends")
