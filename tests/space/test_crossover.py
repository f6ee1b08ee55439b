from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from evotune.errors import AlgorithmError
from evotune.space import Choice, Float, Int, Ordinal, Range, Space
from evotune.space.crossover import Blend, KPoint, Segment, SimulatedBinary, Toward, Uniform
from evotune.testing.algorithms import SPACES
from evotune.testing.domains import steady

EXCHANGES = [KPoint(1), KPoint(2), KPoint(5), Uniform(0.5), Uniform(0.33), Segment(0.33)]
OPERATORS = [*EXCHANGES, Blend(), Blend(0.0), SimulatedBinary(), SimulatedBinary(2.0, 1.0)]

ROW = Space({f"g{k}": Float(0, 1) for k in range(10)})
ZEROS, ONES = (dict.fromkeys(ROW, value) for value in (0.0, 1.0))


def patterns(operator, count=3000):
    """Which loci came from the second parent, shape (count, loci)."""
    rng = np.random.default_rng(1)
    children = [operator(ROW, ZEROS, ONES, rng) for _ in range(count)]
    return np.array([list(child.values()) for child in children])


def switches(pattern):
    return np.abs(np.diff(pattern, axis=-1)).sum(axis=-1)


def pair(operator, space, a, b, seed):
    first = operator(space, a, b, np.random.default_rng(seed))
    return first, operator(space, b, a, np.random.default_rng(seed))


@pytest.mark.parametrize("operator", OPERATORS, ids=repr)
@steady
@given(space=st.sampled_from(list(SPACES.values())), seed=st.integers(0, 2**32))
def test_children_lie_in_the_space_and_parents_stay(operator, space, seed):
    rng = np.random.default_rng(seed)
    a, b = space.sample(rng), space.sample(rng)
    before = dict(a), dict(b)
    first, again = (operator(space, a, b, np.random.default_rng(seed)) for _ in range(2))
    space.check(first)
    assert first == again
    assert (a, b) == before
    assert operator(space, a, dict(a), rng) == a


@pytest.mark.parametrize("operator", EXCHANGES, ids=repr)
@steady
@given(space=st.sampled_from(list(SPACES.values())), seed=st.integers(0, 2**32))
def test_two_children_share_out_their_parents_genes(operator, space, seed):
    """Each locus goes one way or the other, but for genes that only one parent has tested."""
    rng = np.random.default_rng(seed)
    a, b = space.sample(rng), space.sample(rng)
    asleep_in_one = space.dormant(a) ^ space.dormant(b)
    first, second = pair(operator, space, a, b, seed)
    for name in space:
        if name not in asleep_in_one:
            assert (first[name], second[name]) in {(a[name], b[name]), (b[name], a[name])}


@pytest.mark.parametrize("operator", [Blend(0.5), SimulatedBinary(5.0, 1.0)], ids=repr)
def test_two_mixed_children_lie_symmetrically(operator):
    a, b = dict.fromkeys(ROW, 0.4), dict.fromkeys(ROW, 0.6)
    first, second = pair(operator, ROW, a, b, 3)
    assert first != a
    for name in ROW:
        assert first[name] + second[name] == pytest.approx(1.0)


@pytest.mark.parametrize("operator", OPERATORS, ids=repr)
def test_a_gene_active_in_one_parent_comes_from_that_parent(operator):
    space = Space(
        booster=Choice("tree", "linear"),
        depth=Int(1, 9, when={"booster": "tree"}),
        leaves=Int(1, 9, when={"depth": Range(5, 9)}),
        rate=Float(0, 1),
    )
    tree = {"booster": "tree", "depth": 9, "leaves": 2, "rate": 0.5}
    linear = {"booster": "linear", "depth": 1, "leaves": 7, "rate": 0.25}
    rng = np.random.default_rng(0)
    orders = [(tree, linear), (linear, tree)] * 40
    children = [operator(space, *parents, rng) for parents in orders]
    assert {child["depth"] for child in children} == {9}
    assert {child["leaves"] for child in children} == {2}
    assert {child["booster"] for child in children} == {"tree", "linear"}


@pytest.mark.parametrize("operator", OPERATORS, ids=repr)
def test_a_gene_dormant_in_both_parents_keeps_a_value_that_was_tested(operator):
    space = Space(kind=Choice("a", "b"), gene=Float(0, 1, when={"kind": "b"}), x=Float(0, 1))
    a, b = {"kind": "a", "gene": 0.2, "x": 0.2}, {"kind": "a", "gene": 0.8, "x": 0.8}
    rng = np.random.default_rng(0)
    children = [operator(space, *parents, rng) for parents in [(a, b), (b, a)] * 30]
    assert {child["gene"] for child in children} == {0.2, 0.8}


@pytest.mark.parametrize("points", [1, 2, 3, 9])
def test_k_points_make_k_switches_anywhere(points):
    drawn = patterns(KPoint(points))
    assert set(switches(drawn)) == {points}
    assert set(drawn[:, 0]) == {0.0}
    cuts = np.abs(np.diff(drawn, axis=1)).sum(axis=0)
    assert len(cuts) == 9
    assert chisquare(cuts).pvalue > 0.01


def test_more_points_than_loci_alternate():
    assert (patterns(KPoint(99), 5) == [0, 1] * 5).all()
    one = Space(only=Float(0, 1))
    assert KPoint(3)(one, {"only": 0.0}, {"only": 1.0}, np.random.default_rng(0)) == {"only": 0.0}


@pytest.mark.parametrize("rate", [0.5, 0.33, 0.05])
def test_uniform_takes_each_locus_on_its_own(rate):
    drawn = patterns(Uniform(rate))
    assert drawn.mean(axis=0) == pytest.approx(np.full(10, rate), abs=0.03)
    assert switches(drawn).mean() / 9 == pytest.approx(2 * rate * (1 - rate), abs=0.02)


@pytest.mark.parametrize("rate", [0.33, 0.8])
def test_a_segment_crossing_switches_all_following_loci(rate):
    drawn = patterns(Segment(rate))
    assert drawn[:, 0].mean() == pytest.approx(rate, abs=0.03)
    changes = np.abs(np.diff(drawn, axis=1)).mean(axis=0)
    assert changes == pytest.approx(np.full(9, rate), abs=0.03)


@pytest.mark.parametrize(
    ("operator", "same"),
    [(Uniform(0.0), ZEROS), (Uniform(1.0), ONES), (Segment(0.0), ZEROS)],
)
def test_rates_at_their_ends(operator, same):
    assert operator(ROW, ZEROS, ONES, np.random.default_rng(0)) == same


def units(operator, low, high, count=4000, domain=None):
    space = Space(gene=domain or Float(0, 1))
    rng = np.random.default_rng(2)
    a, b = ({"gene": space["gene"].from_unit(unit)} for unit in (low, high))
    children = [operator(space, a, b, rng) for _ in range(count)]
    return np.array([space["gene"].to_unit(child["gene"]) for child in children])


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_blend_is_uniform_in_the_widened_interval(alpha):
    drawn = units(Blend(alpha), 0.4, 0.6)
    low, high = 0.4 - 0.2 * alpha, 0.6 + 0.2 * alpha
    assert low <= drawn.min() < low + 0.01
    assert high - 0.01 < drawn.max() <= high
    assert chisquare(np.histogram(drawn, 8, (low, high))[0]).pvalue > 0.01


def test_blend_is_reflected_at_the_bounds():
    drawn = units(Blend(0.5), 0.0, 0.4)
    assert drawn.min() >= 0
    assert drawn.max() <= 0.6
    assert (drawn < 0.2).mean() == pytest.approx(0.4 / 0.8, abs=0.03)  # [-0.2, 0] folds here


def test_blend_of_log_genes_is_uniform_in_the_logarithm():
    drawn = units(Blend(0.0), 0.25, 0.75, domain=Float(1e-4, 1, log=True))
    assert chisquare(np.histogram(drawn, 8, (0.25, 0.75))[0]).pvalue > 0.01


@pytest.mark.parametrize("eta", [2.0, 15.0])
def test_simulated_binary_spreads_as_published(eta):
    """Half of the children contract, with mean spread (η+1)/(η+2); half expand, (η+1)/η."""
    spread = (0.5 - units(SimulatedBinary(eta, rate=1.0), 0.475, 0.525)) / 0.025
    assert (spread < 1).mean() == pytest.approx(0.5, abs=0.03)
    assert spread[spread < 1].mean() == pytest.approx((eta + 1) / (eta + 2), rel=0.03)
    assert spread[spread > 1].mean() == pytest.approx((eta + 1) / eta, rel=0.05)


def test_simulated_binary_crosses_at_its_rate():
    drawn = units(SimulatedBinary(15.0, rate=0.3), 0.4, 0.6)
    assert (drawn == 0.4).mean() == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize("operator", [Blend(), SimulatedBinary(rate=1.0)], ids=repr)
def test_unordered_genes_are_exchanged_when_others_are_mixed(operator):
    space = Space(kind=Choice("a", "b", "c"), x=Float(0, 1))
    rng = np.random.default_rng(0)
    a, b = {"kind": "a", "x": 0.2}, {"kind": "c", "x": 0.8}
    kinds = Counter(operator(space, a, b, rng)["kind"] for _ in range(1000))
    assert set(kinds) == {"a", "c"}
    assert kinds["a"] == pytest.approx(500, abs=60)


def test_whole_numbers_and_ordinals_are_mixed_on_their_lattice():
    space = Space(count=Int(1, 9), size=Ordinal(8, 16, 32, 64, 128))
    rng = np.random.default_rng(0)
    a, b = {"count": 3, "size": 16}, {"count": 6, "size": 64}
    children = [Blend(0.0)(space, a, b, rng) for _ in range(300)]
    assert {child["count"] for child in children} == {3, 4, 5, 6}
    assert {child["size"] for child in children} == {16, 32, 64}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KPoint(0), "KPoint: points must be a whole number from 1 up, got 0"),
        (lambda: Uniform(1.1), r"Uniform: rate must lie in \[0, 1\], got 1.1"),
        (lambda: Segment(-0.1), "Segment: rate"),
        (lambda: Uniform(float("nan")), "Uniform: rate"),
        (lambda: Blend(-1), "Blend: alpha must not be negative"),
        (lambda: SimulatedBinary(-1), "SimulatedBinary: eta must not be negative"),
        (lambda: SimulatedBinary(rate=2), "SimulatedBinary: rate"),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(AlgorithmError, match=message):
        make()


def test_toward_moves_each_gene_its_own_share_of_the_way():
    found = patterns(Toward())
    assert found.min() >= 0.0
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    assert np.std(found[0]) > 0.1
    near = patterns(Toward(0.2))
    assert 0.19 < near.max() <= 0.2


@pytest.mark.parametrize("reach", [0.0, -1.0, float("inf"), float("nan")])
def test_toward_needs_a_reach(reach):
    with pytest.raises(AlgorithmError, match="reach is a number above 0"):
        Toward(reach)
