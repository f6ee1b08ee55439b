"""Operators that move whole layers of chains."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotune.algorithms.genetic import Genetic
from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.cli.algorithms import make_operator
from evotune.errors import AlgorithmError
from evotune.space import Chain, Choice, Fixed, Float, Int, Ordinal, Space
from evotune.space.crossover import Blend, ByLayer, KPoint, Segment, Splice, Uniform
from evotune.space.layers import EDITS
from evotune.space.mutation import Creep, Gaussian, Structural
from evotune.space.refine import Refinement
from evotune.testing.algorithms import Rehearsal
from evotune.testing.domains import steady

CONV = {
    "filters": Int(1, 1000),
    "kernel": Ordinal(1, 3, 5),
    "activation": Choice("relu", "gelu", "tanh"),
}
SPACE = Space(lr=Float(0, 1), features=Chain(1, 5, conv=CONV, pool={}), head=Chain(0, 2, dense={}))


def conv(filters, kernel=3, activation="relu"):
    return {"block": "conv", "filters": filters, "kernel": kernel, "activation": activation}


POOL = {"block": "pool"}
LAYERS = [conv(10), POOL, conv(30)]


def genome_of(layers, **others):
    return SPACE.complete({"lr": 0.5, "features": layers, "head": [], **others})


def lists(operation, layers, count=200):
    """The different lists of layers that an operation makes, as often as each comes."""
    mutation, rng = Structural(share=1.0, operations=(operation,)), np.random.default_rng(0)
    genome = genome_of(layers, head=[{"block": "dense"}])
    children = [mutation(SPACE, genome, rng) for _ in range(count)]
    for child in children:
        SPACE.check(child)
        assert child["lr"] == 0.5
    return [SPACE.params(child)["features"] for child in children]


class TestStructural:
    def test_insert(self):
        deeper = [found for found in lists("insert", LAYERS) if len(found) == 4]
        places = Counter()
        for found in deeper:
            fits = [k for k in range(4) if found[:k] + found[k + 1 :] == LAYERS]
            assert fits
            places[fits[0]] += 1
        assert set(places) == {0, 1, 2, 3}
        assert any(found == LAYERS for found in lists("insert", LAYERS))  # the head got it

    def test_delete(self):
        without = [LAYERS[:k] + LAYERS[k + 1 :] for k in range(3)]
        found = lists("delete", LAYERS)
        assert all(layers in [*without, LAYERS] for layers in found)
        assert all(layers in found for layers in without)

    def test_what_was_deleted_sleeps_behind_the_others(self):
        mutation = Structural(share=1.0, operations=("delete",))
        child = mutation(SPACE, genome_of(LAYERS), np.random.default_rng(3))
        woken = SPACE.params(child | {"features.depth": 3})["features"]
        assert sorted(map(repr, woken)) == sorted(map(repr, LAYERS))

    def test_duplicate(self):
        twice = [LAYERS[: k + 1] + LAYERS[k:] for k in range(3)]
        found = lists("duplicate", LAYERS)
        assert all(layers in [*twice, LAYERS] for layers in found)
        assert all(layers in found for layers in twice)

    def test_swap(self):
        a, b, c = LAYERS
        swapped = [[b, a, c], [a, c, b], [c, b, a]]
        assert {repr(found) for found in lists("swap", LAYERS)} == {repr(each) for each in swapped}

    def test_replace_changes_one_block(self):
        for found in lists("replace", LAYERS):
            changed = [k for k in range(3) if found[k]["block"] != LAYERS[k]["block"]]
            assert len(changed) == 1

    def test_widen_changes_one_width_by_half(self):
        found = {tuple(r.get("filters") for r in each) for each in lists("widen", LAYERS)}
        assert found == {(15, None, 30), (7, None, 30), (10, None, 45), (10, None, 20)}

    def test_widen_at_a_bound_goes_the_other_way(self):
        assert {each[0]["filters"] for each in lists("widen", [conv(1000)])} == {667}

    def test_change_takes_another_activation(self):
        for found in lists("change", [conv(10)]):
            assert found[0] in (conv(10, activation="gelu"), conv(10, activation="tanh"))

    @pytest.mark.parametrize("operation", ["insert", "duplicate"])
    def test_a_full_chain_gets_no_deeper(self, operation):
        mutation = Structural(share=1.0, operations=(operation,))
        genome = genome_of([conv(k + 1) for k in range(5)], head=[{"block": "dense"}] * 2)
        child = mutation(SPACE, genome, np.random.default_rng(0))
        assert child["features.depth"] == 5
        assert child != genome  # by the base instead

    def test_share_is_how_often(self):
        mutation, rng = Structural(share=0.3, operations=("swap",)), np.random.default_rng(0)
        genome = genome_of(LAYERS)
        children = [SPACE.params(mutation(SPACE, genome, rng))["features"] for _ in range(1000)]
        swapped = [
            c for c in children if c != LAYERS and sorted(map(repr, c)) == sorted(map(repr, LAYERS))
        ]
        assert 240 < len(swapped) < 360

    def test_a_chain_that_is_kept_stays(self):
        kept = {n: Fixed(v, when=SPACE[n].when) for n, v in genome_of(LAYERS).items() if n != "lr"}
        space = SPACE.narrowed(SPACE.domains | kept)
        rng = np.random.default_rng(0)
        for _ in range(50):
            child = Structural(share=0.9)(space, genome_of(LAYERS), rng)
            space.check(child)
            assert space.params(child)["features"] == LAYERS

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"share": 1.5}, r"share must lie in \[0, 1\]"),
            ({"operations": ()}, "one or more of insert"),
            ({"operations": "insert"}, "one or more of insert"),
            ({"operations": ("inset",)}, "did you mean 'insert'"),
            ({"base": Gaussian}, "such as Gaussian()"),
            ({"base": None}, "such as Gaussian()"),
        ],
    )
    def test_options_are_checked(self, options, message):
        with pytest.raises(AlgorithmError, match=message):
            Structural(**options)


DEEP = [conv(k, 1, "gelu") for k in range(1, 6)]
SHORT = [conv(900, 5), POOL]


class TestByLayer:
    @pytest.mark.parametrize("base", [KPoint(1), KPoint(2), Uniform(), Segment()])
    def test_a_layer_comes_whole_from_one_parent(self, base):
        rng = np.random.default_rng(0)
        other = [conv(900 + k, 5, "tanh") for k in range(5)]
        mixed = set()
        for _ in range(200):
            child = ByLayer(base)(SPACE, genome_of(DEEP), genome_of(other), rng)
            layers = SPACE.params(child)["features"]
            assert all(layers[k] in (DEEP[k], other[k]) for k in range(5))
            mixed.add(tuple(layer in DEEP for layer in layers))
        assert len(mixed) > 5

    def test_cuts_are_as_many_as_asked_for(self):
        rng, other = np.random.default_rng(0), [conv(900 + k, 5, "tanh") for k in range(5)]
        most = 0
        for _ in range(200):
            child = ByLayer(KPoint(2))(SPACE, genome_of(DEEP), genome_of(other), rng)
            origins = [layer in DEEP for layer in SPACE.params(child)["features"]]
            most = max(most, sum(x != y for x, y in pairwise(origins)))
        assert most == 2

    def test_layers_that_only_one_has_are_its_own(self):
        rng = np.random.default_rng(0)
        depths = set()
        for _ in range(100):
            child = ByLayer(Uniform())(SPACE, genome_of(DEEP), genome_of(SHORT), rng)
            layers = SPACE.params(child)["features"]
            depths.add(len(layers))
            assert layers[2:] == DEEP[2 : len(layers)]
        assert depths == {2, 5}

    @pytest.mark.parametrize("base", [Blend(), KPoint, None])
    def test_needs_an_exchange(self, base):
        with pytest.raises(AlgorithmError, match=r"ByLayer: base is KPoint\(1\)"):
            ByLayer(base)


class TestSplice:
    def test_first_layers_of_one_and_last_of_the_other(self):
        rng = np.random.default_rng(0)
        seen = set()
        for _ in range(500):
            child = Splice()(SPACE, genome_of(DEEP), genome_of(SHORT), rng)
            layers = SPACE.params(child)["features"]
            fits = [(i, j) for i in range(6) for j in range(3) if DEEP[:i] + SHORT[j:] == layers]
            assert fits
            seen.update(fits)
        assert {(0, 0), (2, 0), (3, 1), (5, 2), (1, 1)} <= seen

    @steady
    @given(seed=st.integers(0, 2**32 - 1))
    def test_both_children_share_out_all_layers(self, seed):
        rng = np.random.default_rng(seed)
        a, b = SPACE.sample(rng), SPACE.sample(rng)
        one = Splice()(SPACE, a, b, np.random.default_rng(seed))
        two = Splice()(SPACE, b, a, np.random.default_rng(seed))
        for name in SPACE.chains:
            had = SPACE.params(a)[name] + SPACE.params(b)[name]
            have = SPACE.params(one)[name] + SPACE.params(two)[name]
            assert sorted(map(repr, had)) == sorted(map(repr, have))

    def test_a_chain_of_one_parent_goes_to_the_base(self):
        space = Space(kind=Choice("net", "tree"), net=Chain(1, 3, when={"kind": "net"}, conv=CONV))
        net = space.complete({"kind": "net", "net": [conv(5), conv(6)]})
        tree = space.complete({"kind": "tree"})
        child = Splice()(space, tree, net, np.random.default_rng(0))
        assert space.params(child | {"kind": "net"}) == space.params(net)

    @pytest.mark.parametrize("base", [Blend, None])
    def test_needs_a_crossover(self, base):
        with pytest.raises(AlgorithmError, match="Splice: base is a crossover"):
            Splice(base)


OPERATORS = {
    "structural": {"mutation": Structural(share=0.8)},
    "by layer": {"crossover": ByLayer(KPoint(2)), "mutation": Structural()},
    "splice": {"crossover": Splice()},
}


@pytest.mark.parametrize("name", OPERATORS)
def test_a_space_without_chains_is_said(name, caplog):
    flat = Space(x=Float(0.0, 1.0))
    for kind in (Genetic, PopulationBasedTraining):
        caplog.clear()
        kind(SPACE, **OPERATORS[name])
        assert not caplog.text
        kind(flat, **OPERATORS[name])
        assert f"{kind.__name__}: " in caplog.text
        assert "works on chains of layers, and the space has none" in caplog.text


@pytest.mark.parametrize("name", OPERATORS)
def test_ranges_that_were_refined_hold_for_layers_too(name):
    """A width that moves to another layer is brought into that layer's range."""
    algorithm = Genetic(
        SPACE, population_size=8, refinement=Refinement(every=1, undo_after=None), **OPERATORS[name]
    )
    rehearsal = Rehearsal(algorithm).run(64)
    assert algorithm.ranges != SPACE
    for trial in rehearsal.trials:
        SPACE.check(trial.genome)


@steady
@given(
    edit=st.sampled_from(list(EDITS)),
    low=st.integers(1, 400),
    high=st.integers(500, 1000),
    seed=st.integers(0, 2**32 - 1),
)
def test_edits_stay_in_narrower_ranges(edit, low, high, seed):
    rng = np.random.default_rng(seed)
    genes = SPACE.domains
    narrow = {
        "features.2.filters": Int(low, high, when=genes["features.2.filters"].when),
        "features.3.kernel": Ordinal(1, 3, when=genes["features.3.kernel"].when),
        "features.depth": Int(2, 4),
    }
    space = SPACE.narrowed(genes | narrow)
    genome = space.sample(rng)
    space.check(Structural(share=1.0, operations=(edit,))(space, genome, rng))
    space.check(Splice()(space, genome, space.sample(rng), rng))


def test_in_a_file():
    assert make_operator("mutation", "Structural") == Structural()
    table = {"name": "Structural", "operations": ["insert"], "base": {"name": "Creep"}}
    assert make_operator("mutation", table) == Structural(Creep(), operations=("insert",))
    two = {"name": "ByLayer", "base": {"name": "KPoint", "points": 2}}
    assert make_operator("crossover", two) == ByLayer(KPoint(2))
