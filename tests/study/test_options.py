"""Options of the wrong type or out of bounds: refused before anything is trained, or understood."""

import datetime
import math

import numpy as np
import pytest
import torch

import evotune as et
from evotune.errors import EvotuneError, StudyError
from evotune.names import SEARCHES
from helpers_study import small_space, train


class Untrained:
    """A function that no trial may reach."""

    def __init__(self):
        self.calls = 0

    def __call__(self, trial):
        self.calls += 1
        return train(trial)


WRONG = [
    *({"trials": bad} for bad in ("5", 2.5, math.nan, True, [5], np.array([1, 2]))),
    *({"target": bad} for bad in ("0.5", math.nan, math.inf, -math.inf, np.nan, None.__class__)),
    *({"timeout": bad} for bad in ("3", 0, math.nan, datetime.timedelta(0))),
    *({"epochs": bad} for bad in ("3", 1.5, math.inf)),
    *({"stagnation": bad} for bad in ("3", 1.5, math.nan, True)),
    *({"workers": bad} for bad in ("1", 1.5, True, math.nan, math.inf)),
    *({"trial_timeout": bad} for bad in ("1", math.nan, -1)),
    *({"max_failures": bad} for bad in ("0.5", math.nan, 50, True)),
    *({"deterministic": bad} for bad in ("no", 0, None.__class__)),
    *({"executor": bad} for bad in ("processes", et.ProcessExecutor, 2)),
    *({"callbacks": bad} for bad in (3, "print", [print, None], {1: print})),
]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_a_wrong_option_of_a_run_is_named_before_the_first_training(wrong):
    function = Untrained()
    study = et.Study(et.Genetic(small_space()), "min loss", seed=1)
    with pytest.raises(EvotuneError, match=next(iter(wrong))):
        study.run(function, **{"trials": 3, **wrong})
    with pytest.raises(EvotuneError):
        et.tune(function, small_space(), "min loss", **{"trials": 3, **wrong})
    assert function.calls == 0
    assert study.trials == ()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"seed": bad} for bad in ("abc", "1", 1.5, -1, math.nan, True, 2**63, [1])),
        *({"duplicates": bad} for bad in ("never", 1, np.array(["allow", "redraw"]))),
        *({"take_over": bad} for bad in ("yes", 1)),
        *({"name": bad} for bad in (3, "", b"runs")),
        *({"constraints": bad} for bad in (3, "size", [3], {"size": 3})),
    ],
    ids=repr,
)
def test_a_wrong_option_of_a_study_is_named(wrong):
    with pytest.raises(EvotuneError, match="name" if "name" in wrong else next(iter(wrong))[:8]):
        et.Study(et.RandomSearch(small_space()), "min loss", **wrong)


def test_numbers_of_other_libraries_are_understood():
    study = et.Study(
        et.RandomSearch(small_space()), "min loss", seed=np.int64(3), take_over=np.False_
    )
    study.run(
        train,
        trials=np.int32(4),
        timeout=datetime.timedelta(minutes=5),
        target=torch.tensor(-1.0),
        workers=np.uint8(1),
        trial_timeout=datetime.timedelta(seconds=30),
        deterministic=np.True_,
        max_failures=np.float32(0.5),
    )
    assert study.counts == {"done": 4}
    assert type(study.seed) is int
    assert study.run(train, trials=math.inf, target=np.float32(1e9)).stop_reason == "target"


def test_a_number_in_quotation_marks_says_what_to_write():
    study = et.Study(et.RandomSearch(small_space()), "min loss")
    with pytest.raises(StudyError, match="trials=5, without"):
        study.run(train, trials="5")


@pytest.mark.parametrize("name", SEARCHES)
def test_stagnation_is_refused_where_no_generations_are_counted(name):
    algorithm = getattr(et, name)(small_space())
    function = Untrained()
    study = et.Study(algorithm, "min loss", seed=1)
    if algorithm.traits.generations:
        study.run(function, trials=14, stagnation=50)
        assert all(trial.origin.generation is not None for trial in study.trials)
        return
    with pytest.raises(StudyError, match="generations"):
        study.run(function, trials=14, stagnation=50)
    assert function.calls == 0
    study.run(function, trials=14)
    assert any(trial.origin.generation is None for trial in study.trials)


@pytest.mark.parametrize(
    ("wrap", "counts"),
    [
        (lambda inside: et.Prescreened(inside), True),
        (lambda inside: et.Racing(inside), True),
        (lambda inside: et.SuccessiveHalving(inside, minimum=1, maximum=3), True),
        (lambda inside: et.Islands([inside, et.Genetic(small_space())]), True),
        (lambda inside: et.Islands([inside, et.RandomSearch(small_space())]), False),
    ],
)
def test_wrappers_count_the_generations_of_what_is_inside(wrap, counts):
    assert wrap(et.Genetic(small_space())).traits.generations == counts
    assert not wrap(et.Hybrid(small_space())).traits.generations
