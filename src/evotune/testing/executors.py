"""The contract of an executor as a test suite."""

import time
from collections.abc import Iterable

import pytest

from evotune.errors import ExecutionError, TaskError
from evotune.protocols import Executor
from evotune.running import RunningTrial
from evotune.trial import Failed, Failure, Outcome, Trial


def make_trial(number: int, **params: object) -> Trial:
    """Return a waiting trial with these params as its genome, and seed ``100 + number``."""
    return Trial(number=number, genome=params, params=params, seed=100 + number)


def run_trials(executor: Executor, trials: Iterable[Trial]) -> dict[int, Outcome | Failure]:
    """Run trials on an open executor, as many at once as it takes; return results by number."""
    results: dict[int, Outcome | Failure] = {}
    running: set[int] = set()
    for trial in trials:
        executor.submit(trial)
        running.add(trial.number)
        while len(running) == executor.capacity:
            _collect(executor, running, results)
    while running:
        _collect(executor, running, results)
    return results


def _collect(executor: Executor, running: set[int], results: dict[int, Outcome | Failure]) -> None:
    collected = executor.collect()
    assert collected, "collect() without a timeout returned while trials are running"
    for number, result in collected:
        running.remove(number)
        results[number] = result


def _echo(trial: RunningTrial) -> dict[str, float]:
    return {
        "x": trial.params["x"],
        "number": trial.number,
        "seed": trial.seed,
        "budget": trial.budget or -1.0,
    }


def _negated(trial: RunningTrial) -> float:
    return -float(trial.params["x"])


def _reporting(trial: RunningTrial) -> float:
    for epoch in trial.epochs(default=3):
        trial.report(loss=1.0 / (1 + epoch))
    return 1.0


def _failing(trial: RunningTrial) -> float:
    if trial.params["x"] == "divide":
        return 1 / 0
    if trial.params["x"] == "give up":
        raise Failed("diverged at epoch 3")
    if trial.params["x"] == "task":
        raise TaskError("the data has 3 classes, the model 2")
    return 1.0


def _sleeping(trial: RunningTrial) -> float:
    time.sleep(float(trial.params["x"]))
    return 1.0


class ExecutorContract:
    """What every executor promises. Subclass it and write a fixture ``executor``.

    The fixture yields an executor that is not open and has no trial timeout, and closes it.

    Attributes:
        runs_in_background: False for an executor that runs its trials inside `collect`.
    """

    runs_in_background = True

    def test_every_trial_has_one_result_of_its_own(self, executor: Executor) -> None:
        executor.open(_echo)
        count = 2 * executor.capacity + 1
        results = run_trials(executor, [make_trial(n, x=n * n) for n in range(count)])
        metrics = {n: r.metrics["x"] for n, r in results.items() if isinstance(r, Outcome)}
        assert metrics == {n: n * n for n in range(count)}

    def test_function_sees_params_number_seed_and_budget(self, executor: Executor) -> None:
        executor.open(_echo)
        trial = Trial(number=7, genome={"x": 1, "dormant": 2}, params={"x": 1}, seed=11, budget=3)
        result = run_trials(executor, [trial])[7]
        assert isinstance(result, Outcome)
        expected = {"x": 1.0, "number": 7.0, "seed": 11.0, "budget": 3.0}
        assert {name: result.metrics[name] for name in expected} == expected

    def test_times_exist(self, executor: Executor) -> None:
        executor.open(_sleeping)
        result = run_trials(executor, [make_trial(0, x=0.05)])[0]
        assert isinstance(result, Outcome)
        assert result.metrics["train_seconds"] >= 0.05
        assert result.metrics["evaluation_seconds"] >= 0.0

    def test_reports_come_back_in_order(self, executor: Executor) -> None:
        executor.open(_reporting)
        result = run_trials(executor, [make_trial(0)])[0]
        assert isinstance(result, Outcome)
        assert [report["step"] for report in result.reports] == [0, 1, 2]
        assert [report["loss"] for report in result.reports] == [1.0, 1 / 2, 1 / 3]

    def test_exception_becomes_a_failure_with_traceback(self, executor: Executor) -> None:
        executor.open(_failing)
        result = run_trials(executor, [make_trial(0, x="divide")])[0]
        assert isinstance(result, Failure)
        assert (result.kind, result.fatal) == ("exception", False)
        assert result.message == "ZeroDivisionError: division by zero"
        assert "return 1 / 0" in result.traceback

    def test_failed_gives_its_reason(self, executor: Executor) -> None:
        executor.open(_failing)
        result = run_trials(executor, [make_trial(0, x="give up")])[0]
        assert isinstance(result, Failure)
        assert result.message == "diverged at epoch 3"

    def test_task_error_is_fatal(self, executor: Executor) -> None:
        executor.open(_failing)
        result = run_trials(executor, [make_trial(0, x="task")])[0]
        assert isinstance(result, Failure)
        assert result.fatal
        assert "3 classes" in result.message

    def test_trials_after_a_failure_run(self, executor: Executor) -> None:
        executor.open(_failing)
        results = run_trials(executor, [make_trial(0, x="divide"), make_trial(1, x="fine")])
        assert isinstance(results[0], Failure)
        assert isinstance(results[1], Outcome)

    def test_collect_with_nothing_submitted_returns_at_once(self, executor: Executor) -> None:
        executor.open(_echo)
        assert executor.collect() == []
        assert executor.collect(timeout=0.0) == []

    def test_collect_returns_empty_when_the_time_is_over(self, executor: Executor) -> None:
        if not self.runs_in_background:
            pytest.skip("this executor runs trials inside collect")
        executor.open(_sleeping)
        executor.submit(make_trial(0, x=3600))
        assert executor.collect(timeout=0.01) == []

    def test_close_drops_what_runs(self, executor: Executor) -> None:
        executor.open(_sleeping)
        executor.submit(make_trial(0, x=3600))
        executor.close()
        executor.open(_sleeping)
        assert executor.collect(timeout=0.0) == []
        assert set(run_trials(executor, [make_trial(1, x=0)])) == {1}

    def test_close_is_harmless_before_open_and_twice(self, executor: Executor) -> None:
        executor.close()
        executor.open(_echo)
        executor.close()
        executor.close()

    def test_opens_again_with_another_function(self, executor: Executor) -> None:
        executor.open(_echo)
        run_trials(executor, [make_trial(0, x=2)])
        executor.close()
        executor.open(_negated)
        result = run_trials(executor, [make_trial(1, x=2)])[1]
        assert isinstance(result, Outcome)
        assert -2.0 in result.metrics.values()

    def test_submit_needs_open(self, executor: Executor) -> None:
        with pytest.raises(ExecutionError, match="open"):
            executor.submit(make_trial(0, x=1))

    def test_more_than_capacity_is_refused(self, executor: Executor) -> None:
        executor.open(_sleeping)
        for number in range(executor.capacity):
            executor.submit(make_trial(number, x=3600))
        with pytest.raises(ExecutionError, match="collect"):
            executor.submit(make_trial(executor.capacity, x=0))
