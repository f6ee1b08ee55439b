import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotune.errors import AlgorithmError
from evotune.space import Bool, Choice, Fixed, Float, Int, Ordinal, Space
from evotune.space.mutation import Creep, Gaussian, Perturb, Polynomial, UniformReset
from evotune.testing.algorithms import SPACES
from evotune.testing.domains import steady

KINDS = [UniformReset, Creep, Gaussian, Polynomial]
OPERATORS = [
    *(kind(rate=1.0) for kind in KINDS),
    *(kind() for kind in KINDS),
    Gaussian(1.0, scale=0.5),
    Polynomial(1.0, eta=0.0),
    Perturb(),
    Perturb((0.1, 10.0), resample=0.0, rate=0.5),
]
ROW = Space({f"g{k}": Float(0, 1) for k in range(10)})
MIDDLE = dict.fromkeys(ROW, 0.5)


def mutants(operator, space, genome, count=2000, seed=1):
    rng = np.random.default_rng(seed)
    return [operator(space, genome, rng) for _ in range(count)]


def column(operator, domain, value, count=2000):
    """The values that a single gene takes when it is mutated again and again."""
    space = Space(gene=domain)
    return [child["gene"] for child in mutants(operator, space, {"gene": value}, count)]


@pytest.mark.parametrize("operator", OPERATORS, ids=repr)
@steady
@given(space=st.sampled_from(list(SPACES.values())), seed=st.integers(0, 2**32))
def test_bounds_are_always_kept_and_dormant_genes_untouched(operator, space, seed):
    rng = np.random.default_rng(seed)
    corner = rng.integers(3, size=len(space)) / 2  # bounds occur often
    genome = space.decode(corner)
    before = dict(genome)
    child = operator(space, genome, np.random.default_rng(seed))
    space.check(child)
    assert genome == before
    assert child == operator(space, genome, np.random.default_rng(seed))
    for name in space.dormant(genome):
        assert child[name] == genome[name]


@pytest.mark.parametrize("operator", [kind(rate=1.0) for kind in KINDS[1:]], ids=repr)
@pytest.mark.parametrize(
    "domain",
    [
        Int(1, 1000),
        Int(1, 10**6, log=True),
        Int(0, 1),
        Ordinal("a", "b", "c"),
        Float(0, 9, step=0.5),
        Choice("a", "b", "c"),
        Choice("a", "b", weights=[1, 99]),
        Bool(),
    ],
    ids=repr,
)
def test_discrete_genes_always_change(operator, domain):
    for unit in (0.0, 0.4, 1.0):
        value = domain.from_unit(unit)
        drawn = column(operator, domain, value, 60)
        assert value not in drawn
        assert all(domain.contains(other) for other in drawn)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_rate_is_the_share_of_genes_that_change(kind, rate):
    children = mutants(kind(rate=rate, at_least_one=False), ROW, MIDDLE)
    changed = np.array([[child[name] != 0.5 for name in ROW] for child in children])
    assert changed.mean(axis=0) == pytest.approx(np.full(10, rate), abs=0.04)
    assert (changed.sum(axis=1) == 0).mean() == pytest.approx((1 - rate) ** 10, abs=0.04)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_rate_one_active_gene_changes_on_average(kind):
    """Dormant and fixed genes do not count."""
    dormant = {f"s{k}": Float(0, 1, when={"kind": "b"}) for k in range(5)}
    space = Space(ROW.domains | dormant, kind=Choice("a", "b"), constant=Fixed(1))
    genome = {**MIDDLE, **dict.fromkeys(dormant, 0.5), "kind": "a", "constant": 1}
    children = mutants(kind(rate=None, at_least_one=False), space, genome)
    counts = np.array([sum(child[name] != genome[name] for name in space) for child in children])
    lazy = 1 / 22 if kind is UniformReset else 0  # half of its draws of a kind change nothing
    assert counts.mean() == pytest.approx(1.0 - lazy, abs=0.06)
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 11) ** 11 + lazy / 3, abs=0.04)


@pytest.mark.parametrize("kind", KINDS)
def test_at_least_one_gene_changes_when_asked_for(kind):
    children = mutants(kind(rate=0.001, at_least_one=True), ROW, MIDDLE, 300)
    changed = [[name for name in ROW if child[name] != 0.5] for child in children]
    assert all(changed)
    assert {name for names in changed for name in names} == set(ROW)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_mutate(kind):
    space = Space(a=Fixed(1), b=Int(3, 3))
    assert kind(rate=1.0)(space, {"a": 1, "b": 3}, np.random.default_rng(0)) == {"a": 1, "b": 3}


def test_uniform_reset_draws_from_the_whole_domain():
    drawn = np.log10(column(UniformReset(1.0), Float(1e-4, 1, log=True), 1e-4))
    assert np.histogram(drawn, 4, (-4, 0))[0] == pytest.approx([500] * 4, abs=80)


class TestCreep:
    def test_four_ways_with_equal_probability(self):
        ratios = np.array(column(Creep(1.0), Float(0, 1000), 100.0, 4000)) / 100 - 1
        ways = {
            "down a little": (ratios >= -0.01) & (ratios <= 0),
            "up a little": (ratios >= 0) & (ratios <= 0.01),
            "up": (ratios >= 0.1) & (ratios <= 0.2),
            "down": (ratios >= -0.2) & (ratios <= -0.1),
        }
        for drawn in ways.values():
            assert drawn.mean() == pytest.approx(0.25, abs=0.03)
        for way, middle in [("up a little", 0.005), ("up", 0.15), ("down", -0.15)]:
            assert ratios[ways[way]].mean() == pytest.approx(middle, rel=0.05)
        assert sum(drawn.sum() for drawn in ways.values()) == 4000

    def test_percentages_are_of_the_value_also_in_log_domains(self):
        drawn = np.array(column(Creep(1.0), Float(1e-6, 1, log=True), 1e-3))
        assert (np.abs(drawn / 1e-3 - 1) <= 0.2 + 1e-9).all()

    def test_negative_values_creep_too(self):
        drawn = np.array(column(Creep(1.0), Float(-10, 10), -5.0))
        assert drawn.min() == pytest.approx(-6, abs=0.05)
        assert drawn.max() == pytest.approx(-4, abs=0.05)

    def test_zero_creeps_by_a_share_of_the_range(self):
        drawn = np.array(column(Creep(1.0), Float(0, 0.1), 0.0))
        assert 0.019 < drawn.max() <= 0.02
        assert drawn.min() == 0

    def test_whole_numbers_creep_by_percent_or_by_one(self):
        assert set(column(Creep(1.0), Int(1, 1000), 4)) == {3, 5}
        drawn = set(column(Creep(1.0), Int(1, 1000), 200))
        assert {199, 201, 222, 178} < drawn
        assert min(drawn) >= 160
        assert max(drawn) <= 240
        assert set(column(Creep(1.0), Int(1, 9), 1)) == {2}

    def test_ordinals_move_by_one(self):
        assert set(column(Creep(1.0), Ordinal(8, 16, 32, 64), 32)) == {16, 64}

    def test_steps_move_along_the_lattice(self):
        drawn = set(column(Creep(1.0), Float(0, 1, step=0.1), 0.5))
        assert drawn == {0.4, 0.6}


class TestGaussian:
    @pytest.mark.parametrize("domain", [Float(0, 1), Float(1e-4, 1, log=True)], ids=repr)
    def test_scale_is_a_standard_deviation_of_the_unit_interval(self, domain):
        drawn = column(Gaussian(1.0, scale=0.05), domain, domain.from_unit(0.5), 4000)
        moves = np.array([domain.to_unit(value) for value in drawn]) - 0.5
        assert moves.mean() == pytest.approx(0, abs=0.004)
        assert moves.std() == pytest.approx(0.05, rel=0.05)
        assert np.mean(np.abs(moves) < 0.05) == pytest.approx(0.683, abs=0.03)

    def test_steps_are_reflected_not_cut(self):
        drawn = np.array(column(Gaussian(1.0, scale=0.1), Float(0, 1), 0.0))
        assert (drawn == 0).mean() == 0
        assert drawn.mean() == pytest.approx(0.1 * math.sqrt(2 / math.pi), rel=0.1)

    def test_a_pair_draws_log_uniform_scales(self):
        moves = np.abs(np.array(column(Gaussian(1.0, scale=(1e-4, 1e-1)), Float(0, 1), 0.5)) - 0.5)
        logs = np.log10(moves)
        assert np.median(logs) == pytest.approx(-2.5 + math.log10(0.6745), abs=0.15)
        assert np.percentile(logs, 90) - np.percentile(logs, 10) > 2

    def test_one_scale_for_each_gene_by_name(self):
        space = Space(still=Float(0, 1), wild=Float(0, 1), kind=Bool())
        operator = Gaussian(1.0, scale={"still": 0.001, "wild": 0.1})
        children = mutants(operator, space, {"still": 0.5, "wild": 0.5, "kind": True})
        assert np.std([c["still"] for c in children]) == pytest.approx(0.001, rel=0.1)
        assert np.std([c["wild"] for c in children]) == pytest.approx(0.1, rel=0.1)
        assert {c["kind"] for c in children} == {False}

    def test_a_list_is_a_pair(self):
        assert Gaussian(scale=[0.1, 0.2]) == Gaussian(scale=(0.1, 0.2))

    def test_a_gene_without_a_scale(self):
        with pytest.raises(AlgorithmError, match="no number for gene 'g0'"):
            Gaussian(1.0, scale={"z": 0.1})(ROW, MIDDLE, np.random.default_rng(0))

    def test_unordered_genes_change_by_their_weights(self):
        drawn = column(Gaussian(1.0), Choice("a", "b", "c", weights=[1, 1, 3]), "a")
        assert drawn.count("c") / len(drawn) == pytest.approx(0.75, abs=0.04)


class TestPolynomial:
    def test_the_larger_eta_the_smaller_the_step(self):
        spread = [
            np.std(column(Polynomial(1.0, eta=eta), Float(0, 1), 0.5)) for eta in (5.0, 20.0, 80.0)
        ]
        assert spread == sorted(spread, reverse=True)
        assert spread[0] > 5 * spread[2]

    def test_both_directions_equally_likely_also_near_a_bound(self):
        drawn = np.array(column(Polynomial(1.0), Float(0, 1), 0.02, 4000))
        assert (drawn < 0.02).mean() == pytest.approx(0.5, abs=0.03)
        assert drawn.min() >= 0
        assert (drawn == 0).mean() < 0.01  # steps end at the bound, they are not cut there

    def test_steps_are_distributed_as_published(self):
        """Far from the bounds 1 - |step| is the (η+1)-th root of a uniform number."""
        drawn = np.array(column(Polynomial(1.0, eta=50.0), Float(0, 1), 0.5, 4000))
        uniform = (1 - np.abs(drawn - 0.5)) ** 51
        assert np.histogram(uniform, 5, (0, 1))[0] == pytest.approx([800] * 5, abs=100)


class TestPerturb:
    def test_a_gene_is_multiplied_by_one_of_the_factors_or_drawn_anew(self):
        drawn = np.array(column(Perturb(), Float(0, 1000), 100.0, 4000))
        up, down = np.isclose(drawn, 120), np.isclose(drawn, 80)
        assert up.mean() == pytest.approx(0.375, abs=0.03)
        assert down.mean() == pytest.approx(0.375, abs=0.03)
        rest = drawn[~(up | down)]
        assert np.histogram(rest, 4, (0, 1000))[0] == pytest.approx([250] * 4, abs=60)

    def test_what_is_drawn_anew_is_uniform_on_the_genes_own_scale(self):
        drawn = np.log10(column(Perturb(resample=1.0), Float(1e-4, 1, log=True), 1e-4))
        assert np.histogram(drawn, 4, (-4, 0))[0] == pytest.approx([500] * 4, abs=80)

    @pytest.mark.parametrize("rate", [0.3, 0.7])
    def test_rate_is_the_share_of_genes_that_change(self, rate):
        children = mutants(Perturb(rate=rate), ROW, MIDDLE)
        changed = np.array([[child[name] != 0.5 for name in ROW] for child in children])
        assert changed.mean(axis=0) == pytest.approx(np.full(10, rate), abs=0.04)

    def test_at_least_one_gene_changes_when_asked_for(self):
        children = mutants(Perturb(rate=0.001, at_least_one=True), ROW, MIDDLE, 100)
        assert all(child != MIDDLE for child in children)

    def test_factors_multiply_log_domains_and_negative_values_too(self):
        drawn = set(column(Perturb((0.5, 2.0), resample=0.0), Float(1e-6, 1, log=True), 1e-3))
        assert sorted(drawn) == pytest.approx([5e-4, 2e-3])
        drawn = set(column(Perturb(resample=0.0), Float(-10, 10), -5.0))
        assert sorted(drawn) == pytest.approx([-6, -4])

    @pytest.mark.parametrize("domain", [Float(0.5, 2), Float(0.5, 2, log=True), Float(-2, 2)])
    def test_at_a_bound_it_goes_the_other_way(self, domain):
        assert set(column(Perturb(resample=0.0), domain, 2.0)) == {1.6}
        (up,) = set(column(Perturb(resample=0.0), domain, domain.low))
        assert up == pytest.approx(domain.low + 0.2 * abs(domain.low))
        near = set(column(Perturb(resample=0.0), domain, 1.9))  # a step that is cut is a step
        assert sorted(near) == pytest.approx([1.52, 2.0])

    def test_zero_moves_by_the_same_share_of_the_range(self):
        (moved,) = set(column(Perturb(resample=0.0), Float(0, 0.1), 0.0))
        assert moved == pytest.approx(0.02)
        drawn = set(column(Perturb(resample=0.0), Float(-1, 1), 0.0))
        assert sorted(drawn) == pytest.approx([-0.4, 0.4])
        assert set(column(Perturb(resample=0.0), Int(0, 100), 0)) == {20}

    def test_whole_numbers_move_by_the_factor_or_by_one(self):
        assert set(column(Perturb(resample=0.0), Int(1, 1000), 100)) == {80, 120}
        assert set(column(Perturb(resample=0.0), Int(1, 100), 100)) == {80}
        assert set(column(Perturb(resample=0.0), Int(1, 9), 2)) == {1, 3}
        assert set(column(Perturb(resample=0.0), Int(1, 9), 1)) == {2}
        assert set(column(Perturb((1.001,), resample=0.0), Int(1, 9), 9)) == {8}

    def test_ordinals_and_steps_move_by_one(self):
        assert set(column(Perturb(resample=0.0), Ordinal(8, 16, 32, 64), 32)) == {16, 64}
        assert set(column(Perturb((2.0,), resample=0.0), Ordinal(8, 16, 32), 8)) == {16}
        assert set(column(Perturb((2.0,), resample=0.0), Ordinal(8, 16, 32), 32)) == {16}
        assert set(column(Perturb(resample=0.0), Float(0, 1, step=0.1), 0.3)) == {0.2, 0.4}

    @pytest.mark.parametrize("resample", [0.0, 0.5, 1.0])
    @pytest.mark.parametrize(
        "domain",
        [
            Int(1, 1000),
            Int(1, 10**6, log=True),
            Int(0, 1),
            Ordinal("a", "b"),
            Float(0, 1, step=0.3),
        ],
        ids=repr,
    )
    def test_discrete_ordered_genes_always_change(self, domain, resample):
        for unit in (0.0, 0.4, 1.0):
            value = domain.from_unit(unit)
            drawn = column(Perturb(resample=resample), domain, value, 60)
            assert value not in drawn
            assert all(domain.contains(other) for other in drawn)

    def test_unordered_genes_change_when_drawn_anew_and_only_then(self):
        drawn = column(Perturb(), Choice("a", "b", "c"), "a")
        assert drawn.count("a") / len(drawn) == pytest.approx(0.75, abs=0.03)
        assert drawn.count("b") / len(drawn) == pytest.approx(0.125, abs=0.03)
        assert set(column(Perturb(resample=1.0), Bool(), True)) == {False}

    def test_nothing_to_mutate(self):
        space = Space(a=Fixed(1), b=Int(3, 3), c=Float(0, 0))
        genome = {"a": 1, "b": 3, "c": 0.0}
        assert Perturb()(space, genome, np.random.default_rng(0)) == genome

    def test_a_list_of_factors_is_a_tuple(self):
        assert Perturb([0.5, 2.0]) == Perturb((0.5, 2.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *(
            (lambda kind=kind: kind(rate=1.5), f"{kind.__name__}: rate must lie in")
            for kind in KINDS
        ),
        *((lambda kind=kind: kind(rate=-0.1), "rate must lie in") for kind in KINDS),
        (lambda: Gaussian(scale=0.0), "scale is a positive number, a pair"),
        (lambda: Gaussian(scale=(0.1, 0.2, 0.3)), "a pair"),
        (lambda: Gaussian(scale={"a": -1.0}), "got {'a': -1.0}"),
        (lambda: Polynomial(eta=-1), "Polynomial: eta must not be negative"),
        (lambda: Perturb(rate=1.5), "Perturb: rate must lie in"),
        (lambda: Perturb(resample=-0.1), r"Perturb: resample must lie in \[0, 1\], got -0.1"),
        *(
            (lambda factors=factors: Perturb(factors), "Perturb: factors are positive numbers")
            for factors in ((), (0.8, 1.0), (0.0, 2.0), (-0.8,), (math.inf,), 1.2)
        ),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(AlgorithmError, match=message):
        make()
