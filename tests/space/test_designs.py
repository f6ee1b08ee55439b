import numpy as np
import pytest
from scipy.stats import qmc

from evotune.errors import AlgorithmError
from evotune.space import Choice, Float, Int, Ordinal, Space
from evotune.space.designs import DESIGNS, design_named, latin_hypercube, sobol
from evotune.testing.algorithms import SPACES

CUBE = Space({f"g{k}": Float(0, 1) for k in range(4)})


def points(design, space, count, seed=0):
    genomes = design(space, count, np.random.default_rng(seed))
    return np.array([space.encode(genome) for genome in genomes])


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("count", [1, 2, 7, 32])
def test_designs_give_as_many_genomes_of_the_space_as_asked_for(name, count):
    for space in SPACES.values():
        genomes = DESIGNS[name](space, count, np.random.default_rng(0))
        assert len(genomes) == count
        for genome in genomes:
            space.check(genome)


@pytest.mark.parametrize("name", DESIGNS)
def test_designs_draw_from_the_generator_only(name):
    first, again, other = (points(DESIGNS[name], CUBE, 8, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("count", [5, 16, 33])
def test_a_latin_hypercube_uses_every_slice_of_every_gene_once(count):
    slices = np.floor(points(latin_hypercube, CUBE, count) * count).astype(int)
    assert (np.sort(slices, axis=0) == np.arange(count)[:, None]).all()


def test_a_latin_hypercube_is_that_of_scipy():
    expected = qmc.LatinHypercube(4, rng=np.random.default_rng(3)).random(7)
    assert points(latin_hypercube, CUBE, 7, seed=3) == pytest.approx(expected, abs=1e-12)


def test_a_latin_hypercube_uses_discrete_values_equally_often():
    space = Space(
        size=Ordinal(8, 16, 32, 64), kind=Choice("a", "b"), n=Int(1, 8), lr=Float(1e-4, 1, log=True)
    )
    genomes = latin_hypercube(space, 16, np.random.default_rng(0))
    for name, each in [("size", 4), ("kind", 8), ("n", 2)]:
        values = [genome[name] for genome in genomes]
        assert {values.count(value) for value in set(values)} == {each}
    decades = np.floor(np.log10([genome["lr"] for genome in genomes]))
    assert np.unique(decades, return_counts=True)[1].tolist() == [4, 4, 4, 4]


def test_sobol_points_cover_better_than_random_ones():
    def worst(design):
        return np.mean([qmc.discrepancy(points(design, CUBE, 32, seed)) for seed in range(5)])

    assert worst(sobol) < 0.5 * worst(DESIGNS["random"])
    quarters = np.floor(points(sobol, CUBE, 16)[:, :2] * 4)
    assert len({tuple(cell) for cell in quarters}) == 16


def test_a_design_by_name_or_as_a_function():
    def corner(space, count, rng):
        return [space.decode([0.0] * len(space))] * count

    assert design_named(corner) is corner
    assert design_named("sobol") is sobol
    with pytest.raises(AlgorithmError, match="one of random, latin_hypercube, sobol, got 'latin'"):
        design_named("latin")
