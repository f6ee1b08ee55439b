"""The handle that an evaluate function receives."""

import time

import pytest

import evotune as et
from evotune.errors import StudyError


def handle(budget=None):
    return et.RunningTrial(et.Trial(number=3, genome={"x": 1}, params={"x": 1}, budget=budget))


def test_epochs_come_from_the_budget_or_the_default():
    assert list(handle().epochs(default=3)) == [0, 1, 2]
    assert list(handle(budget=2).epochs(default=3)) == [0, 1]


@pytest.mark.parametrize("count", [-1, 2.5])
def test_epochs_that_are_no_count_are_refused(count):
    with pytest.raises(StudyError, match=str(count)):
        list(handle().epochs(default=count))
    with pytest.raises(StudyError, match=str(count)):
        list(handle(budget=count).epochs())


def test_no_number_of_epochs_says_what_to_write():
    with pytest.raises(StudyError, match=r"default=10"):
        list(handle().epochs())


def test_time_inside_epochs_is_training_time():
    trial = handle()
    assert trial.train_seconds is None
    for _ in trial.epochs(default=2):
        time.sleep(0.02)
    time.sleep(0.05)
    assert 0.04 <= trial.train_seconds < 0.09


def test_training_time_is_known_inside_an_epoch_too():
    trial = handle()
    for epoch in trial.epochs(default=2):
        time.sleep(0.02)
        assert 0.02 * (epoch + 1) <= trial.train_seconds < 0.02 * (epoch + 1) + 0.05


def test_reports_take_the_epoch_as_their_step():
    trial = handle()
    for epoch in trial.epochs(default=3):
        trial.report(accuracy=epoch / 10)
    trial.report(step=10, accuracy=1)
    trial.report(accuracy=2)
    assert [r["step"] for r in trial.reports] == [0, 1, 2, 10, 11]
    assert trial.reports[1] == {"step": 1, "accuracy": 0.1}


def test_params_are_a_copy():
    trial = et.Trial(number=0, genome={"x": 1}, params={"x": 1})
    et.RunningTrial(trial).params["x"] = 2
    assert trial.params == {"x": 1}
