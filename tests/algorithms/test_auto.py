import re

import pytest

from evotune.algorithms.auto import auto, named
from evotune.algorithms.grid import Grid
from evotune.errors import AlgorithmError
from evotune.names import SEARCHES
from evotune.space import Float, Space
from evotune.testing.algorithms import SPACES

MIXED, NUMBERS = SPACES["mixed"], SPACES["continuous"]
MANY = Space({f"x{k}": Float(0.0, 1.0) for k in range(101)})


@pytest.mark.parametrize(
    ("space", "setting", "expected"),
    [
        (MIXED, {}, "Hybrid"),
        (MIXED, {"trials": 1}, "Hybrid"),
        (MIXED, {"trials": 300, "workers": 20}, "Hybrid"),
        (MIXED, {"trials": 100, "objectives": 2}, "Hybrid"),
        (MIXED, {"trials": 301}, "DifferentialEvolution"),
        (MIXED, {"trials": 60, "workers": 21}, "DifferentialEvolution"),
        (SPACES["conditional"], {"trials": 1000}, "DifferentialEvolution"),
        (NUMBERS, {"trials": 301}, "DifferentialEvolution"),
        (MANY, {"trials": 60}, "CmaEs"),
        (MIXED, {"trials": 500, "objectives": 3}, "Nsga2"),
        (MIXED, {"trials": 60, "objectives": 4}, "Nsga3"),
        (MIXED, {"trials": 100, "budget": (1, 27)}, "SuccessiveHalving"),
    ],
)
def test_the_rule(space, setting, expected):
    algorithm = auto(space, **setting)
    assert type(algorithm).__name__ == expected
    assert algorithm.space is space


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"trials": 60}, "Hybrid: with 60 trials"),
        ({"trials": 400}, "DifferentialEvolution: more than 300 trials"),
        ({"workers": 50}, "DifferentialEvolution: more than 20 workers"),
        ({"budget": (1, 9)}, "Hybrid: with an unknown number of trials .*; in short trials first"),
    ],
)
def test_it_says_why(setting, why):
    assert re.match(why, auto(MIXED, **setting).why)


def test_the_budget_is_that_of_the_trials():
    algorithm = auto(MIXED, trials=60, budget=(2, 18))
    assert (algorithm.budgets[0], algorithm.budgets[-1]) == (2, 18)


@pytest.mark.parametrize("setting", [{"objectives": 2}, {}, {"trials": 1000}])
def test_a_population_keeps_all_workers_busy(setting):
    assert auto(MIXED, workers=40, **setting).population_size == 40


@pytest.mark.parametrize("name", SEARCHES)
def test_algorithms_by_name(name):
    algorithm = named(name, MIXED)
    assert type(algorithm).__name__ == name
    assert algorithm.space is MIXED


def test_options_are_passed_on():
    assert named("Genetic", MIXED, population_size=7).population_size == 7
    assert isinstance(named("Grid", MIXED, points=2), Grid)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Genetik", {}, "no algorithm 'Genetik'; did you mean 'Genetic'[?].* Known: auto, "),
        ("random", {}, "did you mean 'RandomSearch'"),
        ("Auto", {}, "did you mean 'auto'"),
        ("zzz", {}, "there is no algorithm 'zzz'. Known: auto, .*CmaEs, "),
        ("Genetic", {"populationsize": 3}, "Genetic: .*populationsize"),
        ("Genetic", {"population_size": 1}, "population_size must be a whole number from 2 up"),
        ("Genetic", {"population_size": "many"}, "Genetic: "),
    ],
)
def test_what_cannot_be_built(name, options, message):
    with pytest.raises(AlgorithmError, match=message):
        named(name, MIXED, **options)
