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


@pytest.mark.parametrize("name", [*SEARCHES, "Grid"])
@pytest.mark.parametrize("space", ["space", None, {"x": et.Float(0, 1)}, et.Space])
def test_an_algorithm_needs_a_space(name, space):
    with pytest.raises(EvotuneError, match="needs a space"):
        getattr(et, name)(space)


@pytest.mark.parametrize("name", ["CmaEs", "Genetic", "Hybrid", "PopulationBasedTraining"])
@pytest.mark.parametrize("seeds", [None, 3, "x", {"x": 1.0}, [3], [["x", 1.0]]])
def test_seeds_are_a_list_of_params(name, seeds):
    with pytest.raises(EvotuneError, match="seeds is a list"):
        getattr(et, name)(et.Space(x=et.Float(0, 1)), seeds=seeds)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: et.Genetic(small_space(), start=["sobol"]), "start"),
        (lambda: et.Genetic(small_space(), start=int), "start"),
        (lambda: et.Genetic(small_space(), mutation_rate="0.5"), "mutation_rate"),
        (lambda: et.Genetic(small_space(), population_size=10**400), "population_size"),
        (lambda: et.EvolutionStrategy(small_space(), parents=None), "parents"),
        (lambda: et.PopulationBasedTraining(small_space(), interval=np.ones(2)), "interval"),
        (lambda: et.InlineExecutor(trial_timeout="3"), "trial_timeout"),
        (lambda: et.ProcessExecutor(2, start_timeout=math.nan), "start_timeout"),
        (lambda: et.StackedExecutor(None), "members"),
        (lambda: et.Islands([et.Genetic(small_space()) for _ in "ab"], topology=["r"]), "topology"),
        (lambda: et.Prescreened(et.Genetic(small_space()), surrogate=["gp"]), "surrogate"),
        (lambda: et.Phases("Genetic", lambda best: best, trials=3), "first"),
        (lambda: et.Drifting(et.Genetic(small_space()), every=np.int64(0)), "every"),
        (lambda: et.Checkpoints(quota=10**400), "quota"),
        (lambda: et.WeightedSum(loss=10**400), "loss"),
        (lambda: et.Study(et.Genetic(small_space()), "min a", storage=np.ones(2)), "storage"),
    ],
)
def test_a_wrong_option_of_a_part_is_named(make, named):
    with pytest.raises(EvotuneError, match=named):
        make()


@pytest.mark.parametrize(
    "rule", [et.MedianStopping(metric=["loss"]), et.DominationStopping(metrics=3)], ids=repr
)
def test_a_rule_watches_metrics_by_name(rule):
    function = Untrained()
    with pytest.raises(EvotuneError, match="Stopping"):
        et.Study(et.Genetic(small_space()), "min loss").run(function, trials=3, stopping=rule)
    assert function.calls == 0


@pytest.mark.parametrize("limit", [math.inf, 10.0**18, np.float32(30), datetime.timedelta(days=1)])
def test_any_time_limit_is_understood(limit):
    study = et.Study(et.Hybrid(small_space(), initial=np.int64(2)), "min loss", seed=1)
    study.run(train, trials=3, executor=et.InlineExecutor(trial_timeout=limit))
    assert study.counts == {"done": 3}


def test_a_schedule_to_replay_is_a_schedule():
    study = et.Study(et.Genetic(small_space()), "min loss", seed=1).run(train, trials=3)
    with pytest.raises(StudyError, match="schedule="):
        study.replay(train, {"lr": 0.1})
    with pytest.raises(StudyError, match="there is no trial"):
        study.schedule([1])
