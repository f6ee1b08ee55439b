import pytest

from evotune.algorithms.auto import ALGORITHMS, auto, named
from evotune.algorithms.genetic import Genetic
from evotune.algorithms.grid import Grid
from evotune.errors import AlgorithmError
from evotune.testing.algorithms import SPACES

SPACE = SPACES["mixed"]


@pytest.mark.parametrize("trials", [None, 1, 30, 60, 1000])
def test_auto_takes_a_population_that_leaves_generations(trials):
    algorithm = auto(SPACE, trials=trials)
    assert isinstance(algorithm, Genetic)
    assert algorithm.space is SPACE
    if trials and trials >= 30:
        assert algorithm.population_size + 4 * algorithm.offspring <= trials
    assert repr(named("auto", SPACE, trials=trials)) == repr(algorithm)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithms_by_name(name):
    algorithm = named(name, SPACE)
    assert type(algorithm).__name__ == name
    assert algorithm.space is SPACE


def test_options_are_passed_on():
    assert named("Genetic", SPACE, population_size=7).population_size == 7
    assert isinstance(named("Grid", SPACE, points=2), Grid)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Genetik", {}, "no algorithm 'Genetik'; did you mean 'Genetic'[?].* Known: auto, Random"),
        ("random", {}, "did you mean 'RandomSearch'"),
        ("Auto", {}, "did you mean 'auto'"),
        ("zzz", {}, "there is no algorithm 'zzz'. Known: auto, RandomSearch, Grid, Genetic"),
        ("auto", {"points": 3}, '"auto" has no options, got points'),
        ("Genetic", {"populationsize": 3}, "Genetic: .*populationsize"),
        ("Genetic", {"population_size": 1}, "population_size must be a whole number from 2 up"),
        ("Genetic", {"population_size": "many"}, "Genetic: "),
    ],
)
def test_what_cannot_be_built(name, options, message):
    with pytest.raises(AlgorithmError, match=message):
        named(name, SPACE, **options)
