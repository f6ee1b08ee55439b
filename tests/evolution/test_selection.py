import math

import numpy as np
import pytest
from scipy.stats import chisquare

from evotune.errors import AlgorithmError
from evotune.evolution.selection import (
    Boltzmann,
    Rank,
    RelativeExponential,
    Roulette,
    StochasticUniversal,
    Tournament,
    Truncation,
)

VALUES = np.array([-3.0, -2.5, 0.0, 0.5, 2.0])  # minimised, best first
SELECTIONS = [
    Truncation(),
    Tournament(3),
    Rank(),
    Roulette(),
    StochasticUniversal(),
    Boltzmann(),
    RelativeExponential(),
]


def counts(selection, values=VALUES, draws=20_000, generation=0):
    picked = selection(values, draws, np.random.default_rng(7), generation)
    assert picked.shape == (draws,)
    return np.bincount(picked, minlength=len(values))


def agrees(drawn, probabilities):
    expected = np.array(probabilities) / np.sum(probabilities) * drawn.sum()
    possible = expected > 0
    assert (drawn[~possible] == 0).all()
    return possible.sum() == 1 or chisquare(drawn[possible], expected[possible]).pvalue > 0.01


@pytest.mark.parametrize(
    ("share", "kept"), [(0.5, 3), (0.4, 2), (0.2, 1), (0.05, 1), (0.9, 5), (1.0, 5)]
)
def test_truncation_draws_uniformly_from_the_best(share, kept):
    assert agrees(counts(Truncation(share)), [1] * kept + [0] * (5 - kept))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_tournament_takes_the_best_of_its_size(size):
    """The i-th of n wins with ((n - i)^k - (n - i - 1)^k) / n^k."""
    chances = [((5 - i) ** size - (4 - i) ** size) / 5**size for i in range(5)]
    assert agrees(counts(Tournament(size)), chances)


@pytest.mark.parametrize("pressure", [1.0, 1.7, 2.0])
def test_rank_falls_linearly_from_pressure_to_the_rest(pressure):
    chances = [pressure - (2 * pressure - 2) * i / 4 for i in range(5)]
    assert agrees(counts(Rank(pressure)), chances)


def roulette_chances():
    fitness = VALUES.max() - VALUES
    return fitness + 0.1 * fitness.mean()


def test_roulette_is_proportional_to_the_distance_from_the_worst():
    assert agrees(counts(Roulette()), roulette_chances())


@pytest.mark.parametrize("draws", [1, 5, 10, 33])
def test_universal_sampling_rounds_expected_counts(draws):
    expected = roulette_chances() / roulette_chances().sum() * draws
    for seed in range(200):
        picked = StochasticUniversal()(VALUES, draws, np.random.default_rng(seed), 0)
        drawn = np.bincount(picked, minlength=5)
        assert drawn.sum() == draws
        assert (np.floor(expected) <= drawn).all()
        assert (drawn <= np.ceil(expected)).all()


def test_universal_sampling_is_fair_on_average_and_shuffled():
    rng = np.random.default_rng(0)
    picked = np.array([StochasticUniversal()(VALUES, 3, rng, 0) for _ in range(5000)])
    for place in picked.T:  # any member may come in any place
        assert np.bincount(place, minlength=5) / 5000 == pytest.approx(
            roulette_chances() / roulette_chances().sum(), abs=0.03
        )


@pytest.mark.parametrize(("beta", "growth", "generation"), [(1, 1, 9), (0.3, 1.2, 5), (0, 2, 3)])
def test_boltzmann_is_the_formula_of_its_paper(beta, growth, generation):
    """p_i = exp(β·f_i) / Σ_j exp(β·f_j) with fitness f the negated value; β grows."""
    pressure = beta * growth**generation
    chances = np.exp(pressure * -VALUES)
    assert agrees(counts(Boltzmann(beta, growth), generation=generation), chances)


def test_boltzmann_overflows_neither_for_large_values_nor_late_in_a_run():
    assert counts(Boltzmann(1.0), np.array([-1e6, 0.0, 1e6])).tolist() == [20_000, 0, 0]
    drawn = counts(Boltzmann(1.0, growth=2.0), generation=10**6)
    assert drawn.tolist() == [20_000, 0, 0, 0, 0]
    assert agrees(counts(Boltzmann(1.0, growth=0.5), generation=10**6), [1] * 5)


@pytest.mark.parametrize("strength", [0.0, 1.0, 4.0])
def test_relative_exponential_is_the_formula_of_its_paper(strength):
    """fitness = exp(-σ²·(fom - min) / (max - min)): neither scale nor offset matter."""
    chances = [math.exp(-strength * x) for x in (0.0, 0.1, 0.6, 0.7, 1.0)]
    drawn = counts(RelativeExponential(strength))
    assert agrees(drawn, chances)
    assert (counts(RelativeExponential(strength), VALUES * 1000 + 99) == drawn).all()


@pytest.mark.parametrize("selection", SELECTIONS, ids=repr)
def test_equal_values_and_single_members(selection):
    assert set(selection(np.array([2.0]), 5, np.random.default_rng(0), 0)) == {0}
    if not isinstance(selection, Truncation | Tournament | Rank):  # these read the order only
        assert agrees(counts(selection, np.full(4, 3.0)), [1] * 4)


@pytest.mark.parametrize("selection", SELECTIONS, ids=repr)
def test_better_members_are_drawn_more_often_and_values_stay(selection):
    values = VALUES.copy()
    drawn = counts(selection, values)
    assert (values == VALUES).all()
    assert (np.diff(drawn) <= 200).all()
    assert drawn[0] > drawn[-1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Truncation(0.0), r"Truncation: share must lie in \(0, 1\], got 0.0"),
        (lambda: Truncation(1.1), "Truncation"),
        (lambda: Tournament(0), "Tournament: size must be a whole number from 1 up"),
        (lambda: Rank(2.1), r"Rank: pressure must lie in \[1, 2\]"),
        (lambda: Boltzmann(-1), "beta must be a number from 0 up"),
        (lambda: Boltzmann(1, growth=0), "growth must be a number above 0"),
        (lambda: Boltzmann(math.nan), "beta must be a number from 0 up"),
        (lambda: RelativeExponential(-1), "strength must be a number from 0 up"),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(AlgorithmError, match=message):
        make()
