import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotune.errors import GenomeError, SpaceError
from evotune.space import Bool, Chain, Choice, Fixed, Float, Int, Ordinal, Range, Space
from evotune.space.space import difference
from evotune.testing.algorithms import SPACES
from evotune.testing.domains import steady

spaces = st.sampled_from(list(SPACES.values()))
seeds = st.integers(0, 2**32)


def trees():
    return Space(
        booster=Choice("tree", "linear"), depth=Int(1, 3, when={"booster": "tree"}), bias=Bool()
    )


@steady
@given(space=spaces, seed=seeds)
def test_samples_lie_in_the_space_and_encode_exactly(space, seed):
    genome = space.sample(np.random.default_rng(seed))
    space.check(genome)
    point = space.encode(genome)
    assert point.shape == (len(space),)
    assert ((point >= 0) & (point <= 1)).all()
    again = space.decode(point)
    assert {k: v for k, v in again.items() if not isinstance(v, float)} == {
        k: v for k, v in genome.items() if not isinstance(v, float)
    }
    assert space.encode(again) == pytest.approx(point, abs=1e-9)


@steady
@given(space=spaces, seed=seeds)
def test_params_are_a_genome_again(space, seed):
    genome = space.sample(np.random.default_rng(seed))
    completed = space.complete(json.loads(json.dumps(space.params(genome))))
    assert space.params(completed) == space.params(genome)
    assert space.key(completed) == space.key(genome)


def test_samples_are_uniform_on_each_gene_s_own_scale():
    space = SPACES["continuous"]
    rng = np.random.default_rng(0)
    points = np.array([space.encode(space.sample(rng)) for _ in range(4000)])
    for column in points.T:
        assert np.histogram(column, bins=5, range=(0, 1))[0] == pytest.approx([800] * 5, abs=100)


def test_key_ignores_dormant_genes_only():
    space = trees()
    linear = {"booster": "linear", "depth": 1, "bias": True}
    assert space.key(linear) == space.key({**linear, "depth": 3})
    assert space.key(linear) != space.key({**linear, "bias": False})
    tree = {**linear, "booster": "tree"}
    assert space.key(tree) != space.key({**tree, "depth": 3})
    assert space.key(tree) != space.key(linear)


def test_names_that_are_no_identifiers():
    space = Space({"conv.1 width": Int(1, 4)}, lr=Float(0, 1))
    assert space.names == ("conv.1 width", "lr")
    assert list(space) == ["conv.1 width", "lr"]
    assert space["lr"] == Float(0, 1)
    assert len(space) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Space(), "a space needs a gene"),
        (lambda: Space({"": Bool()}), "gene names must be non-empty strings"),
        (lambda: Space({3: Bool()}), "gene names must be non-empty strings, got 3"),
        (lambda: Space(lr=0.1), r"gene 'lr' must be a domain .* write Fixed\(0.1\)"),
        (lambda: Space(kind=["a", "b"]), r"For one of these write Choice\('a', 'b'\)"),
        (lambda: Space(layers=[{"conv": {}}]), r"For layers write Chain\(1, 5, conv="),
        (lambda: Space(layers={"conv": {"filters": Int(1, 2)}}), r"For layers write Chain\("),
    ],
)
def test_bad_spaces(make, message):
    with pytest.raises(SpaceError, match=message):
        make()


@pytest.mark.parametrize(
    ("genome", "message"),
    [
        ({"booster": "tree", "depth": 9, "bias": True}, "'depth' is 9, outside its domain"),
        ({"booster": "tree", "depth": 2.0, "bias": True}, "'depth' is 2.0, outside"),
        (
            {"booster": "tree", "depth": "2", "bias": True},
            r"'depth' is '2', a text and not a number, outside its domain Int\(low=1, high=",
        ),
        ({"booster": "tree", "depth": 1}, "'bias' is missing"),
        ({"boster": "tree", "depth": 1, "bias": True}, "'boster' is not.*did you mean 'booster'"),
        ({"booster": "tree", "depth": 1, "bias": True, "z": 1}, "gene 'z' is not in the space"),
        ({"booster": "linear", "depth": 9, "bias": True}, "'depth' is 9"),
    ],
)
def test_a_genome_outside_the_space(genome, message):
    with pytest.raises(GenomeError, match=message):
        trees().check(genome)


class TestComplete:
    def test_dormant_genes_get_the_middle(self):
        genome = trees().complete({"booster": "linear", "bias": True})
        assert genome == {"booster": "linear", "depth": 2, "bias": True}

    def test_dormant_genes_keep_what_is_given(self):
        given = {"booster": "linear", "bias": True, "depth": 3}
        assert trees().complete(given) == given

    def test_values_become_plain_python(self):
        genome = trees().complete({"booster": "tree", "depth": np.int64(2), "bias": True})
        assert type(genome["depth"]) is int
        assert type(Space(x=Float(0, 1)).complete({"x": np.float32(0.5)})["x"]) is float

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"booster": "tree", "bias": True}, "'depth' is active but missing"),
            ({"depth": 1, "bias": True}, "'booster' is active but missing"),
            ({"booster": "tree", "depth": 7, "bias": True}, "'depth' is 7, outside"),
            ({"booster": "linear", "depht": 1, "bias": True}, "did you mean 'depth'"),
        ],
    )
    def test_what_cannot_be_completed(self, params, message):
        with pytest.raises(GenomeError, match=message):
            trees().complete(params)


@pytest.mark.parametrize("point", [[0.5], [0.5, 0.5, 1.5], [0.5, math.nan, 0.5], [-0.1, 0, 0]])
def test_points_outside_the_cube_are_refused(point):
    with pytest.raises(GenomeError, match="3 numbers in"):
        trees().decode(point)


class TestFiniteSpaces:
    def test_size_counts_distinct_params(self):
        assert trees().size() == (3 + 1) * 2
        assert Space(a=Int(1, 4), b=Bool(), c=Fixed(7)).size() == 8
        assert Space(a=Int(1, 4), b=Float(0, 1)).size() == math.inf
        assert Space(a=Float(0, 1, step=0.25)).size() == 5

    def test_size_of_a_conditional_space_too_large_to_list(self):
        wide = {f"g{k}": Int(1, 10) for k in range(6)}
        assert Space(wide, on=Bool(), x=Int(1, 2, when={"on": True})).size() == math.inf

    def test_a_dormant_continuous_gene_makes_it_infinite(self):
        assert Space(on=Bool(), x=Float(0, 1, when={"on": True})).size() == math.inf

    def test_points_are_all_distinct_params(self):
        space = trees()
        points = list(space.points())
        assert len({space.key(point) for point in points}) == len(points) == space.size()
        for point in points:
            space.check(point)

    def test_points_of_nested_conditions(self):
        space = Space(
            a=Bool(), b=Int(1, 2, when={"a": True}), c=Choice("x", "y", when={"b": Range(2)})
        )
        params = [tuple(space.params(point).values()) for point in space.points()]
        assert sorted(params, key=repr) == sorted(
            [(False,), (True, 1), (True, 2, "x"), (True, 2, "y")], key=repr
        )

    def test_points_of_a_continuous_space(self):
        with pytest.raises(SpaceError, match="'b' is continuous"):
            list(Space(a=Bool(), b=Float(0, 1)).points())

    def test_unseen_finds_every_point_once(self):
        space, rng = trees(), np.random.default_rng(0)
        seen = set()
        genome = {"booster": "tree", "depth": 1, "bias": False}
        for _ in range(8):
            found = space.unseen(genome, seen, rng)
            space.check(found)
            assert space.key(found) not in seen
            seen.add(space.key(found))
        assert space.unseen(genome, seen, rng) is None

    def test_unseen_stays_near(self):
        space, rng = Space(a=Int(1, 5), b=Int(1, 5), c=Int(1, 5)), np.random.default_rng(0)
        genome = {"a": 3, "b": 3, "c": 3}
        for _ in range(20):
            found = space.unseen(genome, {space.key(genome)}, rng)
            assert sum(found[name] != genome[name] for name in genome) == 1

    def test_unseen_remembers_dormant_genes(self):
        space, rng = trees(), np.random.default_rng(0)
        seen = {space.key(p) for p in space.points() if p["booster"] == "tree"}
        found = space.unseen({"booster": "tree", "depth": 3, "bias": True}, seen, rng)
        assert found == {"booster": "linear", "depth": 3, "bias": True}

    def test_unseen_gives_up_on_large_spaces(self):
        space = Space(a=Int(1, 5000))
        assert space.unseen({"a": 1}, {(1,)}, np.random.default_rng(0)) is None


class TestJson:
    @pytest.mark.parametrize("name", SPACES)
    def test_round_trip(self, name):
        space = SPACES[name]
        text = json.dumps(space.to_json(), allow_nan=False)
        again = Space.from_json(json.loads(text))
        assert again == space
        assert json.dumps(again.to_json()) == text
        genome = space.sample(np.random.default_rng(0))
        assert again.params(genome) == space.params(genome)

    def test_spaces_with_other_domains_are_not_equal(self):
        assert Space(a=Int(1, 2)) != Space(a=Int(1, 3))
        assert Space(a=Int(1, 2)) != Space(b=Int(1, 2))
        assert Space(a=Ordinal(1, 2)) != Space(a=Choice(1, 2))
        assert Space(a=Int(1, 2)) != "a"

    def test_repr_names_every_gene(self):
        assert repr(trees()).startswith("Space(booster=Choice('")

    def test_difference_has_a_line_for_each_gene_that_differs(self):
        old = Space(a=Int(1, 2), b=Bool(), c=Fixed(1)).to_json()
        new = Space(b=Bool(), c=Fixed(2), d=Bool()).to_json()
        lines = difference(old, new)
        assert [line[:4] for line in lines] == ["- a:", "+ d:", "~ c:"]
        assert lines[2].endswith("-> {'type': 'fixed', 'value': 2}")
        assert difference(old, old) == []

    def test_of_a_chain_only_what_differs_is_told(self):
        conv = {"filters": Int(1, 4), "kernel": Int(1, 3)}
        old = Space(lr=Float(0, 1), f=Chain(1, 4, conv=conv, pool={}, own={})).to_json()
        new = Space(
            lr=Float(0, 1), f=Chain(1, 5, conv=conv | {"kernel": Bool()}, own={}, a={})
        ).to_json()
        assert difference(old, new) == [
            "- f, block pool: {}",
            "+ f, block a: {}",
            "~ f, max: 4 -> 5",
            f"~ f, block conv, kernel: {Int(1, 3).to_json()} -> {Bool().to_json()}",
        ]
        assert difference(old, old) == []


def test_narrowed_spaces_keep_conditions_that_no_longer_hold():
    space = Space(depth=Int(1, 9), gene=Float(0, 1, when={"depth": [8, 9]}))
    narrow = space.narrowed({"depth": Int(1, 3), "gene": space["gene"]})
    assert narrow.names == space.names
    assert narrow.params({"depth": 2, "gene": 0.5}) == {"depth": 2}
    assert space["depth"] == Int(1, 9)
