import math
import os
import sys
import time

import pytest

import evotune as et
from evotune.errors import StudyError, TaskError, TooManyFailuresError
from helpers_study import decisions, small_space, train


def study(objectives="min loss", algorithm=None, **options):
    algorithm = algorithm or et.Genetic(small_space(), population_size=6)
    return et.Study(algorithm, objectives, seed=1, **options)


def every_third(action):
    def evaluate(trial):
        return action() if trial.number % 3 == 1 else train(trial)

    return evaluate


def raises():
    raise RuntimeError("cuda out of memory")


@pytest.mark.parametrize(
    ("action", "kind", "text"),
    [
        (raises, "exception", "cuda out of memory"),
        (lambda: {"loss": math.nan}, "not_finite", "'loss' is nan"),
        (lambda: {"loss": math.inf}, "not_finite", "'loss' is inf"),
        (lambda: {"accuracy": 1.0}, "missing_metric", "'loss'"),
        (lambda: {"loss": "good"}, "not_a_number", "'good'"),
        (lambda: None, "missing_metric", "nothing"),
        (lambda: et.Failed("diverged"), "exception", "diverged"),
    ],
)
def test_every_way_to_fail_is_a_failed_trial_and_the_study_goes_on(action, kind, text):
    result = study().run(every_third(action), trials=24)
    failed = [t for t in result.trials if t.state == "failed"]
    assert [t.number for t in failed] == list(range(1, 24, 3))
    assert {t.failure.kind for t in failed} == {kind}
    assert text in failed[0].failure.message
    assert all(t.values is None for t in failed)
    assert result.best.state == "done"
    assert not any(t.failure for t in result.algorithm.population)


def test_the_traceback_is_kept():
    failure = study().run(every_third(raises), trials=2).trials[1].failure
    assert "in raises" in failure.traceback
    assert "RuntimeError" in failure.traceback


def test_a_bare_number_cannot_serve_two_objectives():
    failure = study(["min loss", "max accuracy"]).run(lambda t: 1.0, trials=1).trials[0].failure
    assert failure.kind == "missing_metric"
    assert "return a dict" in failure.message


def test_a_trial_that_takes_too_long_fails_and_the_next_one_runs():
    def slow(trial):
        if trial.number == 1:
            time.sleep(30)
        return train(trial)

    result = study().run(slow, trials=4, trial_timeout=0.3)
    assert [t.state for t in result.trials] == ["done", "failed", "done", "done"]
    assert result.trials[1].failure.kind == "timeout"


def test_a_died_worker_is_a_failed_trial():
    def dies(trial):
        if trial.number == 2:
            os._exit(3)
        return train(trial)

    result = study().run(dies, trials=6, workers=2)
    assert result.trials[2].failure.kind == "died"
    assert result.counts == {"done": 5, "failed": 1}


def test_too_many_failures_stop_the_study_with_the_reason():
    with pytest.raises(TooManyFailuresError, match=r"10 of 10 .*cuda out of memory"):
        study().run(lambda t: raises(), trials=100)
    with pytest.raises(TooManyFailuresError, match=r"max_failures=0\.2"):
        study().run(every_third(raises), trials=100, max_failures=0.2)
    assert len(study().run(lambda t: raises(), trials=12, max_failures=1.0).trials) == 12


def test_failures_of_an_earlier_run_do_not_count_again(tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"
    with study(storage=url) as first, pytest.raises(TooManyFailuresError):
        first.run(lambda t: raises(), trials=40)
    with study(storage=url) as second:
        second.run(train, trials=40)
        assert second.counts == {"failed": 10, "done": 30}


def test_a_wrongly_set_up_task_ends_the_run_at_once_and_costs_no_trial():
    def wrong(trial):
        raise TaskError("gene 'momentun' is used by nothing")

    broken = study()
    with pytest.raises(TaskError, match="momentun"):
        broken.run(wrong, trials=20)
    assert broken.counts == {"waiting": 1}
    broken.run(train, trials=20)
    assert decisions(broken) == decisions(study().run(train, trials=20))


def test_a_whole_generation_of_failures_does_not_end_evolution():
    def late(trial):
        return raises() if trial.number < 12 else train(trial)

    result = study().run(late, trials=30, max_failures=1.0)
    assert result.counts == {"failed": 12, "done": 18}
    assert result.trials[-1].parents


def test_an_unsendable_function_is_refused_before_any_trial(tmp_path):
    with (tmp_path / "log").open("w") as handle:
        target = study()
        with pytest.raises(ValueError, match="handle"):
            target.run(lambda t: handle.write("x"), trials=4, workers=2)
    assert target.trials == ()


def test_an_error_in_a_callback_loses_no_result(tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"

    def callback(_, trial):
        if trial.number == 3:
            raise KeyError("in the callback")

    with study(storage=url) as first, pytest.raises(KeyError, match="in the callback"):
        first.run(train, trials=10, callbacks=[callback])
    with study(storage=url) as second:
        assert second.counts == {"done": 4}
        second.run(train, trials=10)
        assert decisions(second) == decisions(study().run(train, trials=10))


def test_stopping_rules():
    by_target = study().run(train, trials=500, target=0.3)
    assert by_target.stop_reason == "target"
    assert by_target.best.metrics["loss"] <= 0.3
    assert len(by_target.trials) < 500
    assert all(t.metrics["loss"] > 0.3 for t in by_target.trials[:-1])

    by_time = study().run(lambda t: time.sleep(0.02) or 1.0, timeout=0.3)
    assert by_time.stop_reason == "timeout"
    assert 2 <= len(by_time.trials) <= 16

    flat = study().run(lambda t: 1.0, trials=500, stagnation=3)
    assert flat.stop_reason == "stagnation"
    assert 4 * 6 <= len(flat.trials) <= 5 * 6

    with pytest.raises(StudyError, match="generations"):
        study(algorithm=et.RandomSearch(small_space())).run(train, trials=5, stagnation=2)


def test_a_maximised_target():
    best = study("max accuracy").run(lambda t: t.params["momentum"], 200, target=0.9)
    assert best.stop_reason == "target"
    assert best.best.metrics["accuracy"] >= 0.9


def test_a_reached_target_needs_no_further_trial(tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"
    with study(storage=url) as first:
        count = len(first.run(train, trials=500, target=0.3).trials)
    with study(storage=url) as again:
        again.run(train, trials=500, target=0.3)
        assert len(again.trials) == count


@pytest.mark.parametrize("options", [{}, {"workers": 2}])
@pytest.mark.parametrize("trials", [2, 8])
def test_a_run_of_failures_only_never_ends_well(trials, options):
    broken = study()
    with pytest.raises(TooManyFailuresError, match=rf"all of {trials} .*cuda out of memory"):
        broken.run(lambda t: raises(), trials=trials, **options)
    assert broken.counts == {"failed": trials}
    with pytest.raises(TooManyFailuresError, match="all of"):  # nor does the same command again
        broken.run(lambda t: raises(), trials=trials)
    assert broken.run(train, trials=trials + 1).best.number == trials


def test_who_wants_to_go_on_whatever_fails_is_told_so(caplog):
    study().run(lambda t: raises(), trials=3, max_failures=1)
    assert "all of 3 trials failed" in caplog.text
    assert "cuda out of memory" in caplog.text


def test_a_single_failure_is_told_by_run_and_refused_by_tune(caplog):
    study().run(lambda t: raises(), trials=1)
    assert "cuda out of memory" in caplog.text
    with pytest.raises(et.errors.EvotuneError, match="cuda out of memory"):
        et.tune(lambda t: raises(), small_space(), "min loss", trials=1)


def test_stopping_a_run_that_fails_is_no_error():
    stopped = study().run(lambda t: raises(), trials=8, callbacks=lambda s, t: s.stop())
    assert stopped.counts == {"failed": 1}


@pytest.mark.parametrize(
    "returned", [{"acc": 0.5}, None, "good", {"loss": "good"}, [0.5, 0.5], {}], ids=repr
)
def test_a_metric_that_never_comes_ends_the_run_after_three_trials(returned):
    broken = study()
    with pytest.raises(TooManyFailuresError, match=r"'loss'.*\n?.*(acc|nothing|good|list|metric)"):
        broken.run(lambda t: returned, trials=40)
    assert len(broken.trials) == 3


@pytest.mark.parametrize(
    ("needed", "returned", "says", "not_said"),
    [
        ("accuracy", {"acuracy": 0.5}, "did you mean 'acuracy'?", "use one name"),
        ("accuracy", {"Accuracy": 0.5}, "did you mean 'Accuracy'?", "use one name"),
        ("accuracy", {"acc": 0.5}, "did you mean 'acc'?", "use one name"),
        ("loss", {"acc": 0.5}, "use one name in the objective and the function", "did you"),
        ("loss", None, "return a number or a dict", "name"),
        ("loss", "good", "return a number or a dict", "name"),
        ("loss", (0.1, 0.2), "return a number or a dict", "name"),
    ],
)
def test_advice_for_a_metric_that_is_missing(needed, returned, says, not_said):
    with pytest.raises(TooManyFailuresError) as error:
        study(f"max {needed}").run(lambda t: returned, trials=4)
    assert says in str(error.value)
    assert not_said not in str(error.value)


def test_a_metric_that_comes_at_times_is_a_failure_like_others():
    result = study().run(lambda t: train(t) if t.number in (2, 8) else {}, trials=9)
    assert result.counts == {"done": 2, "failed": 7}
    result = study().run(lambda t: train(t) if t.number else {}, trials=6)
    assert result.counts == {"done": 5, "failed": 1}


def test_errors_in_between_do_not_hide_that_the_metric_never_comes():
    broken = study()
    with pytest.raises(TooManyFailuresError, match="acc"):
        broken.run(lambda t: raises() if t.number % 2 else {"acc": 1.0}, trials=40)
    assert len(broken.trials) == 5


def test_a_weighted_sum_beyond_floats_is_the_largest_float(tmp_path):
    path, objective = tmp_path / "runs.db", et.WeightedSum(a=1e300, b=1.0)
    for _ in range(2):  # and what is stored can be opened again
        algorithm = et.RandomSearch(et.Space(x=et.Float(0, 1)))
        with et.Study(algorithm, objective, storage=path, seed=1) as study:
            study.run(lambda trial: {"a": 1e300, "b": 1.0}, trials=2, max_failures=1.0)
    assert [trial.values for trial in study.trials] == [(-sys.float_info.max,)] * 2
