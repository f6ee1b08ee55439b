import math

import pandas as pd
import pytest

import evotune as et
from evotune.errors import (
    NoResultError,
    ObjectiveError,
    StudyError,
    StudyMismatchError,
    TaskError,
)
from helpers_study import decisions, loss, small_space, train


def random_study(objectives="min loss", **options):
    return et.Study(et.RandomSearch(small_space()), objectives, seed=1, **options)


def test_tune_needs_only_a_function_a_space_and_an_objective():
    study = et.tune(train, small_space(), "min loss", trials=40, seed=3)
    assert len(study.trials) == 40
    assert study.best.metrics["loss"] == min(t.metrics["loss"] for t in study.trials)
    assert study.best.metrics["loss"] < 1.0
    assert set(study.best.params) <= {"lr", "momentum", "booster", "depth"}


def test_a_bare_number_is_the_objective():
    study = random_study().run(lambda trial: loss(trial.params), trials=3)
    assert all(t.metrics["loss"] == t.values[0] for t in study.trials)


def test_maximised_values_are_minimised_inside_and_shown_as_given():
    study = random_study("max accuracy").run(lambda t: {"accuracy": t.params["momentum"]}, 10)
    best = study.best
    assert best.metrics["accuracy"] == max(t.params["momentum"] for t in study.trials)
    assert best.values == (-best.metrics["accuracy"],)


def test_times_are_metrics_of_every_trial():
    def slow(trial):
        for _ in trial.epochs(default=2):
            math.factorial(2000)
        return 1.0

    trial = random_study().run(slow, trials=1).trials[0]
    assert trial.metrics["train_seconds"] > 0
    assert trial.metrics["evaluation_seconds"] >= 0


def test_weighted_sum_may_use_the_training_time():
    fitness = et.WeightedSum(accuracy=1.0, train_seconds=-0.001, robustness=0.2)
    study = random_study(fitness).run(lambda t: {"accuracy": 0.5, "robustness": 0.25}, 1)
    trial = study.trials[0]
    expected = 0.5 - 0.001 * trial.metrics["train_seconds"] + 0.05
    assert trial.values == (pytest.approx(-expected),)


def test_infeasible_trials_rank_behind_feasible_ones():
    def sized(trial):
        return {"accuracy": trial.params["momentum"], "parameters": 1e5 * trial.params["momentum"]}

    study = random_study(["max accuracy", et.Constraint("parameters", at_most=50_000)])
    study.run(sized, trials=30)
    feasible = [t for t in study.trials if t.metrics["parameters"] <= 50_000]
    assert 0 < len(feasible) < 30
    assert study.best.metrics["accuracy"] == max(t.metrics["accuracy"] for t in feasible)


def test_front_of_two_objectives_is_the_non_dominated_set():
    def two(trial):
        m = trial.params["momentum"]
        return {"accuracy": m, "cost": m**2 + (trial.seed % 7) / 7}

    study = random_study(["max accuracy", "min cost"]).run(two, trials=40)
    front = {t.number for t in study.front}
    for t in study.trials:
        dominated = any(
            o.metrics["accuracy"] >= t.metrics["accuracy"]
            and o.metrics["cost"] <= t.metrics["cost"]
            and o.values != t.values
            for o in study.trials
        )
        assert (t.number in front) == (not dominated)
    assert study.best.number in front


def test_ask_and_tell_by_hand():
    study = et.Study(et.Genetic(small_space(), population_size=4), "max accuracy", seed=1)
    for _ in range(12):
        trial = study.ask()
        study.tell(trial, {"accuracy": trial.params["momentum"]})
    assert study.counts == {"done": 12}
    assert study.trials[-1].metrics["train_seconds"] >= 0


def test_ask_gives_none_while_a_generation_is_incomplete():
    study = et.Study(et.Genetic(small_space(), population_size=2), "min loss", seed=1)
    first, second = study.ask(), study.ask()
    assert study.ask() is None
    study.tell(first, 1.0)
    study.tell(second.number, et.Failed("broke"))
    assert study.trials[1].failure.message == "broke"
    assert study.ask() is not None


def test_telling_twice_or_an_unknown_trial_is_refused():
    study = random_study()
    trial = study.ask()
    study.tell(trial, 1.0)
    with pytest.raises(StudyError, match="ended already"):
        study.tell(trial, 2.0)
    with pytest.raises(StudyError, match="no trial 7"):
        study.tell(7, 1.0)


def test_run_and_ask_go_together():
    study = random_study()
    study.ask()
    study.run(train, trials=5)
    assert study.counts == {"done": 5}


@pytest.mark.parametrize("algorithm", [et.Genetic, et.EvolutionStrategy, et.RandomSearch])
def test_same_seed_same_study(algorithm):
    studies = [
        et.Study(algorithm(small_space()), "min loss", seed=5).run(train, 70) for _ in range(2)
    ]
    assert decisions(studies[0]) == decisions(studies[1])
    other = et.Study(algorithm(small_space()), "min loss", seed=6).run(train, 70)
    assert decisions(other) != decisions(studies[0])


def test_a_drawn_seed_repeats_the_study():
    first = et.Study(et.Genetic(small_space()), "min loss").run(train, 30)
    again = et.Study(et.Genetic(small_space()), "min loss", seed=first.seed).run(train, 30)
    assert decisions(first) == decisions(again)


def test_frame_lineage_and_report(tmp_path):
    study = et.tune(train, small_space(), "min loss", trials=25, seed=1)
    frame = study.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == 25
    line = study.lineage(study.best.number)
    assert line[-1].number == study.best.number
    numbers = [t.number for t in line]
    assert numbers == sorted(numbers)
    assert line[0].parents == ()
    page = study.report(tmp_path / "report.html")
    assert "<html" in page.read_text(encoding="utf-8").lower()
    picture = study.report(tmp_path / "picture.svg")
    assert picture.read_text(encoding="utf-8").startswith("<svg")


def test_callbacks_see_every_result_and_can_stop():
    seen = []

    def callback(study, trial):
        seen.append(trial.number)
        if trial.number == 4:
            study.stop()

    study = random_study().run(train, 50, callbacks=[callback])
    assert seen == [0, 1, 2, 3, 4]
    assert study.stop_reason == "stopped"


def test_a_callback_is_told_when_the_run_ends_however_it_ends():
    class Callback:
        def __init__(self):
            self.told = []

        def __call__(self, study, trial):
            self.told.append(trial.number)

        def finish(self, study):
            self.told.append(study.stop_reason)

    def interrupted(trial):
        if trial.number == 2:
            raise KeyboardInterrupt
        return train(trial)

    def wrong(trial):
        raise TaskError("set up wrongly")

    one, study = Callback(), random_study()
    study.run(interrupted, 3, callbacks=one)
    study.run(train, 3, callbacks=[one])
    assert one.told == [0, 1, "interrupted", 2, "trials"]
    other = Callback()
    with pytest.raises(TaskError):
        random_study().run(wrong, 3, callbacks=other)
    assert other.told == [""]


# -- bad input ------------------------------------------------------------------------------------


def test_best_before_any_result_says_so():
    with pytest.raises(NoResultError, match="no finished trial yet"):
        _ = random_study().best


def test_best_after_failures_only_says_why():
    study = random_study().run(lambda t: 1 / 0, trials=3, max_failures=1)
    with pytest.raises(NoResultError, match=r"3 failed.*ZeroDivisionError"):
        _ = study.best


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "when to stop"),
        ({"trials": -5}, "trials must be a whole number from 1 up"),
        ({"trials": 0}, "trials must be a whole number from 1 up"),
        ({"timeout": -1}, "timeout must be a number above 0"),
        ({"trials": 5, "workers": 0}, "workers must be"),
        ({"trials": 5, "workers": 1.5}, "workers must be"),
        ({"trials": 5, "trial_timeout": 0}, "trial_timeout must be"),
        ({"trials": 5, "max_failures": 2}, "max_failures must lie in"),
        ({"trials": 5, "stagnation": 0}, "stagnation must be a whole number"),
        ({"trials": 5, "workers": 2, "executor": et.InlineExecutor()}, "belong to the executor"),
    ],
)
def test_bad_run_options(options, text):
    study = random_study()
    with pytest.raises(StudyError, match=text):
        study.run(train, **options)
    assert study.trials == ()


def test_run_needs_a_function():
    with pytest.raises(StudyError, match="needs a function"):
        random_study().run(3, trials=2)


@pytest.mark.parametrize("objectives", ["accuracy", "maximise accuracy", "", [], 3.0, ["max a", 3]])
def test_unclear_objectives_are_refused(objectives):
    with pytest.raises((ObjectiveError, TypeError)):
        random_study(objectives)


def test_two_objectives_with_one_name_are_refused():
    with pytest.raises(ObjectiveError, match="'accuracy'"):
        random_study(["max accuracy", "min accuracy"])


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(StudyError, match="seed"):
        et.Study(et.RandomSearch(small_space()), "min loss", seed=seed)


def test_unknown_algorithm_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'Genetic'"):
        et.tune(train, small_space(), "min loss", trials=3, algorithm="Genetik")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_trials": 5}, "write trials="),
        ({"n_jobs": 5}, "write workers="),
        ({"wokers": 5}, "did you mean 'workers'"),
        ({"algorithm": et.Genetic}, r"Genetic\(space\)"),
    ],
)
def test_options_of_tune_that_are_not_there(options, text):
    with pytest.raises(StudyError, match=text):
        et.tune(train, small_space(), "min loss", **{"trials": 3, **options})


def test_a_dict_is_no_space():
    with pytest.raises(StudyError, match="needs a space"):
        et.tune(train, {"x": et.Float(0, 1)}, "min loss", trials=3)


def test_one_callback_needs_no_list():
    seen = []
    random_study().run(train, trials=3, callbacks=lambda study, trial: seen.append(trial.number))
    assert seen == [0, 1, 2]


def test_an_algorithm_is_not_shared_between_studies():
    algorithm = et.Genetic(small_space())
    et.Study(algorithm, "min loss")
    with pytest.raises(StudyError, match="another study"):
        et.Study(algorithm, "min loss")


def test_a_space_instead_of_an_algorithm_is_explained():
    with pytest.raises(StudyError, match=r"Genetic\(space\)"):
        et.Study(small_space(), "min loss")


def test_another_space_under_the_same_name_shows_the_difference(tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"
    et.Study(et.Genetic(small_space()), "min loss", storage=url, name="a", seed=1).close()
    other = et.Space(lr=et.Float(1e-5, 1.0, log=True), width=et.Int(1, 9))
    with pytest.raises(StudyMismatchError) as caught:
        et.Study(et.Genetic(other), "min loss", storage=url, name="a")
    text = str(caught.value)
    assert "~ lr" in text
    assert "- booster" in text
    assert "+ width" in text
    with pytest.raises(StudyMismatchError, match="objectives"):
        et.Study(et.Genetic(small_space()), "max loss", storage=url, name="a")
    with pytest.raises(StudyMismatchError, match="seed: 1 -> 2"):
        et.Study(et.Genetic(small_space()), "min loss", storage=url, name="a", seed=2)


def test_tune_takes_each_option_of_a_study(tmp_path):
    space = et.Space(x=et.Float(0.0, 1.0))
    study = et.tune(
        lambda trial: trial.params["x"], space, "min loss", trials=2, checkpoints=tmp_path / "kept"
    )
    assert study.counts["done"] == 2
    with pytest.raises(et.EvotuneError, match="checkpoints"):
        et.tune(lambda trial: 0.0, space, "min loss", trials=2, checkpoint=tmp_path)
