import signal
import threading
import time

import pytest

from evotune.errors import ExecutionError
from evotune.execution import InlineExecutor
from evotune.execution.stacked import StackedExecutor
from evotune.testing.executors import ExecutorContract, make_trial, run_trials

needs_timer = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="this system has no interval timer"
)


def result_of(executor, function):
    executor.open(function)
    return run_trials(executor, [make_trial(0)])[0]


class TestInlineExecutor(ExecutorContract):
    runs_in_background = False

    @pytest.fixture
    def executor(self):
        executor = InlineExecutor()
        yield executor
        executor.close()


@needs_timer
class TestTimeout:
    def test_trial_over_its_time_fails(self):
        result = result_of(InlineExecutor(trial_timeout=0.05), lambda trial: time.sleep(60))
        assert (result.kind, result.message) == ("timeout", "took longer than 0.05 s")

    def test_except_exception_in_the_function_does_not_swallow_it(self):
        def stubborn(trial):
            while True:
                try:
                    time.sleep(60)
                except Exception:
                    continue

        assert result_of(InlineExecutor(trial_timeout=0.05), stubborn).kind == "timeout"

    def test_bare_except_swallows_it_only_once(self):
        def stubborn(trial):
            try:
                time.sleep(60)
            except:  # noqa: E722
                time.sleep(60)

        assert result_of(InlineExecutor(trial_timeout=0.05), stubborn).kind == "timeout"

    def test_trial_within_its_time_is_left_alone(self):
        result = result_of(InlineExecutor(trial_timeout=60), lambda trial: 1.0)
        assert result.metrics[""] == 1.0

    @pytest.mark.parametrize("seconds", [0.01, 60])
    def test_handler_and_timer_are_as_before(self, seconds):
        rung = []
        handler = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
        before = signal.setitimer(signal.ITIMER_REAL, 1000.0)
        try:
            result_of(InlineExecutor(trial_timeout=seconds), lambda trial: time.sleep(0.05))
            left, _ = signal.getitimer(signal.ITIMER_REAL)
            assert 900 < left <= 1000
            signal.raise_signal(signal.SIGALRM)
            assert rung == [True]
        finally:
            signal.setitimer(signal.ITIMER_REAL, *before)
            signal.signal(signal.SIGALRM, handler)

    def test_outside_the_main_thread_it_is_refused(self):
        refused = []

        def open_there():
            with pytest.raises(ExecutionError, match="ProcessExecutor") as error:
                InlineExecutor(trial_timeout=1).open(lambda trial: 1.0)
            refused.append(error)

        thread = threading.Thread(target=open_there)
        thread.start()
        thread.join()
        assert refused


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "5"])
def test_timeout_must_be_above_zero(seconds):
    with pytest.raises(ExecutionError, match="trial_timeout"):
        InlineExecutor(trial_timeout=seconds)


def test_keyboard_interrupt_leaves_an_executor_that_goes_on():
    def interrupted(trial):
        if trial.number == 0:
            raise KeyboardInterrupt
        return 1.0

    executor = InlineExecutor()
    executor.open(interrupted)
    executor.submit(make_trial(0))
    with pytest.raises(KeyboardInterrupt):
        executor.collect()
    assert set(run_trials(executor, [make_trial(1)])) == {1}


@pytest.mark.parametrize("executor", [InlineExecutor(), StackedExecutor(1)], ids=["1", "stacked"])
def test_trials_after_a_broken_accelerator_are_no_failures_of_theirs(executor):
    def breaks(trial):
        if trial.number:
            raise RuntimeError("CUDA error: device-side assert triggered")
        return 1.0

    executor.open(breaks)
    results = run_trials(executor, [make_trial(number) for number in range(3)])
    assert [getattr(results[n], "fatal", None) for n in range(3)] == [None, False, True]
    assert "ProcessExecutor" in results[2].message
