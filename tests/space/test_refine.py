import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotune.errors import AlgorithmError
from evotune.space import Bool, Choice, Fixed, Float, Int, Ordinal, Range, Space
from evotune.space.refine import Refinement, into
from evotune.testing.algorithms import SPACES
from evotune.testing.domains import steady

LINE = Space(x=Float(0, 1))


def refined(rule, space, *elite, now=None):
    return rule.refine(space, now or space, elite)


def bounds(domain):
    return domain.low, domain.high


def test_ranges_shrink_to_the_elite_with_a_margin():
    space = refined(Refinement(margin=0.1), LINE, {"x": 0.4}, {"x": 0.5}, {"x": 0.45})
    assert bounds(space["x"]) == pytest.approx((0.3, 0.6))


def test_the_margin_is_a_share_of_the_present_range():
    rule = Refinement(margin=0.1)
    first = refined(rule, LINE, {"x": 0.4}, {"x": 0.5})
    second = refined(rule, LINE, {"x": 0.44}, {"x": 0.46}, now=first)
    assert bounds(second["x"]) == pytest.approx((0.44 - 0.03, 0.46 + 0.03))


def test_ranges_never_grow_again():
    rule = Refinement(margin=0.5)
    first = refined(rule, LINE, {"x": 0.4}, {"x": 0.5}, now=Space(x=Float(0.4, 0.5)))
    assert bounds(first["x"]) == (0.4, 0.5)


def test_a_negative_margin_is_the_paper_s_formula():
    """As printed: from min(θ) + ε to max(θ) − ε, narrower than the elite itself."""
    space = refined(Refinement(margin=-0.05), LINE, {"x": 0.2}, {"x": 0.7}, {"x": 0.5})
    assert bounds(space["x"]) == pytest.approx((0.25, 0.65))


def test_a_narrow_elite_leaves_the_narrowest_range():
    for margin in (0.0, -0.3):
        space = refined(Refinement(margin=margin, narrowest=0.1), LINE, {"x": 0.5}, {"x": 0.52})
        assert bounds(space["x"]) == pytest.approx((0.46, 0.56))
    at_the_end = refined(Refinement(margin=0.0, narrowest=0.1), LINE, {"x": 0.0})
    assert bounds(at_the_end["x"]) == pytest.approx((0.0, 0.05))


def test_log_ranges_shrink_in_the_logarithm():
    space = Space(lr=Float(1e-4, 1, log=True))
    now = refined(Refinement(margin=0.125), space, {"lr": 1e-3}, {"lr": 1e-2})
    assert bounds(now["lr"]) == pytest.approx((10**-3.5, 10**-1.5))
    assert now["lr"].log


def test_whole_numbers_and_steps_stay_on_their_lattice():
    space = Space(depth=Int(1, 100), share=Float(0, 1, step=0.05))
    now = refined(Refinement(), space, {"depth": 40, "share": 0.4}, {"depth": 50, "share": 0.5})
    assert now["depth"] == Int(30, 60)
    assert bounds(now["share"]) == pytest.approx((0.3, 0.6))
    assert all(space["share"].contains(value) for value in now["share"].values())


def test_values_that_died_out_keep_a_floor():
    space = Space(kind=Choice("a", "b", "c"), flag=Bool())
    elite = [{"kind": "a", "flag": True}] * 3 + [{"kind": "b", "flag": True}]
    now = refined(Refinement(floor=0.1), space, *elite)
    rng = np.random.default_rng(0)
    drawn = [now.sample(rng) for _ in range(4000)]
    shares = [sum(g["kind"] == kind for g in drawn) / 4000 for kind in "abc"]
    assert shares == pytest.approx(np.array([0.75, 0.25, 0.1]) / 1.1, abs=0.03)
    assert sum(not g["flag"] for g in drawn) / 4000 == pytest.approx(0.1 / 1.1, abs=0.02)
    assert now["kind"].size == 3


def test_ordinals_and_constants_keep_their_values():
    space = Space(size=Ordinal(8, 16, 32), constant=Fixed(3))
    assert refined(Refinement(), space, {"size": 8, "constant": 3}) == space


def test_genes_dormant_in_the_whole_elite_keep_their_range():
    space = Space(
        booster=Choice("tree", "linear"),
        depth=Int(1, 9, when={"booster": "tree"}),
        penalty=Float(0, 1, when={"booster": "linear"}),
    )
    elite = [
        {"booster": "linear", "depth": 9, "penalty": 0.5},
        {"booster": "linear", "depth": 1, "penalty": 0.5},
    ]
    now = refined(Refinement(), space, *elite)
    assert now["depth"] == space["depth"]
    assert bounds(now["penalty"]) == pytest.approx((0.4, 0.6))


def test_a_condition_on_values_that_a_range_has_left_fails_for_ever():
    space = Space(
        depth=Int(1, 9),
        deep=Float(0, 1, when={"depth": [8, 9]}),
        deeper=Float(0, 1, when={"depth": Range(9, 20)}),
    )
    elite = [{"depth": depth, "deep": 0.5, "deeper": 0.5} for depth in (2, 3)]
    now = refined(Refinement(), space, *elite)
    assert bounds(now["depth"]) == (1, 4)
    assert now.params(now.sample(np.random.default_rng(0))).keys() == {"depth"}


def test_an_elite_from_outside_the_present_range():
    rule = Refinement(margin=0.0)
    now = refined(rule, LINE, {"x": 0.9}, {"x": 0.95}, now=Space(x=Float(0.3, 0.6)))
    low, high = bounds(now["x"])
    assert 0.3 <= low < high <= 0.6


@steady
@given(space=st.sampled_from(list(SPACES.values())), seed=st.integers(0, 2**32))
def test_refined_spaces_lie_within_the_full_one(space, seed):
    """Whatever the elite and however often; children of the elite can be brought inside."""
    rng = np.random.default_rng(seed)
    rule = Refinement(margin=rng.uniform(-0.3, 0.3), narrowest=rng.uniform(0.001, 1.0))
    now = space
    for _ in range(4):
        elite = [space.sample(rng) for _ in range(rng.integers(1, 5))]
        narrower = rule.refine(space, now, elite)
        for name in space:
            if isinstance(space[name], Float | Int):
                assert now[name].low <= narrower[name].low <= narrower[name].high
                assert narrower[name].high <= now[name].high
        now = narrower
        for genome in (now.sample(rng), into(now, elite[0])):
            now.check(genome)
            space.check(genome)


def test_into_moves_numbers_to_the_nearest_bound_and_nothing_else():
    now = Space(x=Float(0.2, 0.4), n=Int(3, 5), kind=Choice("a", "b", weights=[1, 9]))
    assert into(now, {"x": 0.9, "n": 1, "kind": "a"}) == {"x": 0.4, "n": 3, "kind": "a"}
    assert into(now, {"x": 0.3, "n": 4, "kind": "b"}) == {"x": 0.3, "n": 4, "kind": "b"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every must be a whole number from 1 up"),
        ({"elite": 0.0}, r"elite must lie in"),
        ({"elite": 1.5}, "elite"),
        ({"floor": 0.0}, r"floor must lie in \(0, 0.5\)"),
        ({"narrowest": 0.0}, "narrowest"),
        ({"undo_after": 0}, "undo_after must be a whole number from 1 up"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(AlgorithmError, match=message):
        Refinement(**options)
