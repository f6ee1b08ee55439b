import pytest

from evotune.errors import SpaceError
from evotune.space import Bool, Choice, Fixed, Float, Int, Ordinal, Range, Space


def nested():
    return Space(
        booster=Choice("tree", "linear", "none"),
        depth=Int(1, 15, when={"booster": "tree"}),
        leaves=Int(2, 64, when={"depth": Range(5, 10)}),
        penalty=Float(0, 1, when={"booster": ("linear", "tree")}),
        shape=Float(0, 1, when={"booster": "tree", "penalty": Range(low=0.5)}),
    )


@pytest.mark.parametrize(
    ("values", "active"),
    [
        (("tree", 7, 3, 0.6, 0.1), ["booster", "depth", "leaves", "penalty", "shape"]),
        (("tree", 5, 3, 0.4, 0.1), ["booster", "depth", "leaves", "penalty"]),
        (("tree", 11, 3, 0.5, 0.1), ["booster", "depth", "penalty", "shape"]),
        (("linear", 7, 3, 0.9, 0.1), ["booster", "penalty"]),
        (("none", 7, 3, 0.9, 0.1), ["booster"]),
    ],
)
def test_a_gene_is_active_when_all_its_conditions_hold(values, active):
    space = nested()
    genome = dict(zip(space.names, values, strict=True))
    assert list(space.params(genome)) == active
    assert space.dormant(genome) == set(space.names) - set(active)


def test_order_of_definition_does_not_matter():
    space = Space(
        leaf=Int(1, 3, when={"middle": True}),
        middle=Bool(when={"root": "on"}),
        root=Choice("on", 0),
    )
    assert space.params({"leaf": 2, "middle": True, "root": 0}) == {"root": 0}
    assert space.params({"leaf": 2, "middle": True, "root": "on"}) == {
        "leaf": 2,
        "middle": True,
        "root": "on",
    }


@pytest.mark.parametrize(
    ("allowed", "active"),
    [
        (3, [3]),
        ([3, 5], [3, 5]),
        ((3, 5), [3, 5]),
        ({3, 5}, [3, 5]),
        (Range(2, 4), [2, 3, 4]),
        (Range(7), [7, 8, 9]),
        (Range(high=2), [1, 2]),
        ({"low": 8}, [8, 9]),
        ({"low": None, "high": 1}, [1]),
    ],
)
def test_allowed_values_in_every_spelling(allowed, active):
    given = Space(width=Int(1, 9), gene=Float(0, 1, when={"width": allowed}))
    for space in (given, Space.from_json(given.to_json())):
        genomes = [{"width": width, "gene": 0.5} for width in range(1, 10)]
        assert [g["width"] for g in genomes if "gene" in space.params(g)] == active


def test_none_is_a_value_like_any_other():
    space = Space(kind=Choice(None, "a"), gene=Float(0, 1, when={"kind": None}))
    assert "gene" in space.params({"kind": None, "gene": 0.5})
    assert "gene" not in space.params({"kind": "a", "gene": 0.5})


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        (
            {"a": Int(1, 2, when={"b": 1}), "b": Int(1, 2, when={"a": 1})},
            "conditions form a cycle: a -> b -> a",
        ),
        ({"a": Int(1, 2, when={"a": 1})}, "cycle: a -> a"),
        (
            {"a": Int(1, 2, when={"boster": 1}), "c": Fixed(1)},
            "gene 'a' depends on 'boster', which is not in the space; the space has 'a', 'c'",
        ),
        (
            {"a": Int(1, 2, when={"c": "z"}), "c": Choice("x", "y")},
            "'a' is active when 'c' is 'z', which 'c' can never be",
        ),
        ({"a": Int(1, 2, when={"c": 1}), "c": Bool()}, "'c' is 1, which 'c' can never be"),
        ({"a": Int(1, 2, when={"c": [1, 11]}), "c": Int(1, 9)}, "is 11, which 'c' can never be"),
        (
            {"a": Int(1, 2, when={"c": Range(10, 20)}), "c": Int(1, 9)},
            r"'c' is Range\(low=10, high=20\), which 'c' can never be",
        ),
        ({"a": Int(1, 2, when={"c": Range(0, 9)}), "c": Choice("x", "y")}, "can never be"),
        ({"a": Int(1, 2, when={"c": Range(high=7)}), "c": Ordinal(8, 16)}, "can never be"),
    ],
)
def test_conditions_that_cannot_work(genes, message):
    with pytest.raises(SpaceError, match=message):
        Space(genes)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("booster", "must be a mapping"),
        ({"booster": []}, "allows no value"),
        ({"depth": {"from": 1}}, "a range has low and high"),
    ],
)
def test_conditions_that_are_not_understood(when, message):
    with pytest.raises(SpaceError, match=message):
        Float(0, 1, when=when)


def test_a_range_upside_down():
    with pytest.raises(SpaceError, match=r"Range\(2, 1\): low lies above high"):
        Range(2, 1)


def test_an_ordinal_may_be_compared_with_a_range():
    space = Space(size=Ordinal(8, 16, 32), gene=Float(0, 1, when={"size": Range(high=16)}))
    active = [size for size in (8, 16, 32) if "gene" in space.params({"size": size, "gene": 0.5})]
    assert active == [8, 16]


IMPOSSIBLE = {
    "two levels": {
        "a": Choice("x", "y"),
        "b": Bool(when={"a": "x"}),
        "c": Bool(when={"b": True, "a": "y"}),
    },
    "ranges apart": {
        "a": Int(1, 9),
        "b": Bool(when={"a": Range(high=3)}),
        "c": Bool(when={"b": True, "a": Range(low=4)}),
    },
    "between two whole numbers": {
        "a": Int(1, 9, step=4),
        "b": Bool(when={"a": Range(high=8)}),
        "c": Bool(when={"b": True, "a": Range(low=2)}),
        "d": Bool(when={"c": True, "a": Range(6, 9)}),
    },
    "through two genes": {
        "a": Choice("x", "y", "z"),
        "b": Bool(when={"a": ["x", "y"]}),
        "c": Bool(when={"a": ["y", "z"]}),
        "d": Bool(when={"b": True, "c": True, "a": ["x", "z"]}),
    },
}


@pytest.mark.parametrize("genes", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_conditions_that_exclude_each_other_are_refused(genes):
    with pytest.raises(SpaceError, match=r"can never be active.*'a'"):
        Space(genes)
    last = list(genes)[-1]
    Space({name: domain for name, domain in genes.items() if name != last})


def test_conditions_that_hold_together_are_kept():
    space = Space(
        a=Choice("x", "y", "z"),
        b=Bool(when={"a": ["x", "y"]}),
        c=Bool(when={"b": True, "a": ["y", "z"]}),
    )
    assert any("c" in space.params(point) for point in space.points())
