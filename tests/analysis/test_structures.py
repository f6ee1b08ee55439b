"""Widths of layers, and what a child changed in its parent's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotune.analysis.structures import aligned, width_settings, widths
from evotune.space import Bool, Chain, Choice, Fixed, Float, Int, Ordinal

POOL = {"block": "pool"}


def conv(filters, kernel=3):
    return {"block": "conv", "filters": filters, "kernel": kernel}


def test_the_width_is_what_counts_most():
    chain = Chain(
        1,
        9,
        conv={"kernel": Ordinal(1, 3, 5), "filters": Int(8, 128), "share": Float(0, 500)},
        fixed={"units": Fixed(64)},
        listed={"units": Ordinal(16, 32), "act": Choice("relu", "gelu"), "norm": Bool()},
        squeeze={"ratio": Ordinal(4, 8, 16)},
        pool={},
    )
    assert width_settings(chain) == {"conv": "filters", "fixed": "units", "listed": "units"}


def test_a_layer_without_width_keeps_the_last_one():
    chain = Chain(1, 9, conv={"filters": Int(8, 64)}, pool={})
    layers = [POOL, {"block": "conv", "filters": 16}, POOL, {"block": "conv", "filters": 8}]
    assert widths(chain, layers) == [1, 16, 16, 8]
    assert widths(chain, []) == []


@pytest.mark.parametrize(
    ("parent", "child", "kinds"),
    [
        ([], [], []),
        ([], [POOL], ["inserted"]),
        ([POOL], [], ["removed"]),
        ([conv(8), POOL], [conv(8), POOL], ["same", "same"]),
        ([conv(8), POOL], [conv(9), POOL], ["changed", "same"]),
        ([conv(8), conv(64)], [conv(8), POOL, conv(64)], ["same", "inserted", "same"]),
        ([conv(8), POOL, conv(64)], [conv(8), conv(64)], ["same", "removed", "same"]),
        ([conv(8), conv(64)], [conv(8), POOL], ["same", "replaced"]),
        ([conv(8), conv(64)], [conv(64)], ["removed", "same"]),
    ],
)
def test_layers_are_aligned_with_the_fewest_changes(parent, child, kinds):
    assert [pair.kind for pair in aligned(parent, child)] == kinds


def test_changes_in_words():
    pairs = aligned([conv(8), POOL, conv(64)], [conv(16), conv(64), conv(64, 5)])
    assert [str(pair) for pair in aligned([POOL], [])] == ["− pool"]
    assert [str(pair) for pair in aligned([], [conv(8)])] == ["+ conv 8·3"]
    assert "conv 8·3 → conv 16·3" in map(str, pairs)


LAYERS = st.lists(st.sampled_from([POOL, conv(8), conv(16), conv(16, 5)]), max_size=20)


@given(LAYERS, LAYERS)
def test_no_layer_is_lost_in_an_alignment(parent, child):
    pairs = aligned(parent, child)
    assert [p.before for p in pairs if p.before is not None] == parent
    assert [p.after for p in pairs if p.after is not None] == child
    assert all((p.kind == "same") == (p.before == p.after) for p in pairs)
