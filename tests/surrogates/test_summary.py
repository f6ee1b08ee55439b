import numpy as np
import pytest

from evotune.space import Chain, Choice, Float, Int, Ordinal, Space
from evotune.surrogates.features import Features
from evotune.surrogates.rows import Rows
from evotune.surrogates.summary import MIDDLE, Summary

CONV = {
    "filters": Int(8, 128, log=True),
    "kernel": Ordinal(1, 3, 5),
    "activation": Choice("relu", "gelu", "tanh"),
}
NETS = Space(lr=Float(1e-4, 1e-1, log=True), features=Chain(0, 4, conv=CONV, pool={}))
RELU = {"block": "conv", "kernel": 3, "activation": "relu"}
POOL = {"block": "pool"}


def summary_of(space, *params):
    rows = Rows(space)
    matrix = np.array([rows.row(space.complete(each)) for each in params])
    return Summary(rows)(matrix, rows.active(matrix))


def unit(filters):
    return Rows(NETS).space["features.1.filters"].to_unit(filters)


def test_a_chain_is_summarised_by_blocks_values_and_settings():
    layers = [RELU | {"filters": 16}, POOL, RELU | {"filters": 64, "activation": "gelu"}]
    (seen,) = summary_of(NETS, {"lr": 0.01, "features": layers})
    counts, firsts, shares = seen[:2], seen[2:4], seen[4:7]
    np.testing.assert_allclose(counts, [2 / 4, 1 / 4])
    np.testing.assert_allclose(firsts, [0 / 4, 1 / 4])
    np.testing.assert_allclose(shares, [1 / 2, 1 / 2, 0])
    narrow, wide = unit(16), unit(64)
    mean, first, last, least = seen[7:].reshape(4, 2)[:, 0]  # of filters; then kernel
    assert (mean, first, last, least) == pytest.approx(((narrow + wide) / 2, narrow, wide, narrow))
    np.testing.assert_allclose(seen[7:].reshape(4, 2)[:, 1], 0.5)  # all kernels are the middle one


def test_without_a_layer_of_the_kind_settings_are_in_the_middle():
    empty, pools = summary_of(
        NETS, {"lr": 0.01, "features": []}, {"lr": 0.01, "features": [POOL, POOL]}
    )
    np.testing.assert_allclose(empty[:4], [0, 0, 1, 1])  # no block, so none has a first place
    np.testing.assert_allclose(pools[:4], [0, 2 / 4, 1, 0])
    for seen in (empty, pools):
        np.testing.assert_allclose(seen[4:7], 0)
        np.testing.assert_allclose(seen[7:], MIDDLE)


def test_dormant_slots_are_not_seen():
    rows = Rows(NETS)
    genome = NETS.complete({"lr": 0.01, "features": [RELU | {"filters": 16}]})
    other = genome | {"features.3.filters": 128, "features.4.block": "pool"}
    matrix = np.array([rows.row(genome), rows.row(other)])
    seen = Summary(rows)(matrix, rows.active(matrix))
    np.testing.assert_array_equal(seen[0], seen[1])


def test_a_layer_moved_by_one_in_front_leaves_most_of_the_summary():
    layers = [RELU | {"filters": 16}, RELU | {"filters": 64}]
    short, long = summary_of(
        NETS, {"lr": 0.1, "features": layers}, {"lr": 0.1, "features": [POOL, *layers]}
    )
    np.testing.assert_allclose(short[4:], long[4:])


def test_a_setting_of_unequal_domains_is_summarised_block_by_block():
    space = Space(c=Chain(1, 3, conv={"width": Int(8, 128)}, dense={"width": Int(1, 1000)}))
    (seen,) = summary_of(space, {"c": [{"block": "dense", "width": 1000}]})
    conv, dense = seen[4:].reshape(4, 2).T
    np.testing.assert_allclose(conv, MIDDLE)
    np.testing.assert_allclose(dense, 1.0, atol=1e-3)


def test_all_numbers_lie_in_the_unit_interval_and_chains_of_one_block_have_them_too():
    space = Space(
        head=Chain(0, 3, dense={"units": Int(16, 256, log=True), "dropout": Float(0, 0.6)}),
        fixed=Chain(1, 1, pool={}),
        features=NETS.chains["features"],
        asleep=Chain(1, 2, rnn={"units": Int(1, 9)}, when={"kind": "b"}),
        kind=Choice("a", "b"),
    )
    rows = Rows(space)
    drawn = rows.sample(300, np.random.default_rng(0))
    seen = Summary(rows)(drawn, rows.active(drawn))
    assert seen.shape == (300, Summary(rows).size)
    assert np.isfinite(seen).all()
    assert seen.min() >= 0
    assert seen.max() <= 1
    assert Features(rows)(drawn, rows.active(drawn)).shape[1] == len(Features(rows).layout.gene)


def test_a_narrowed_space_still_has_a_summary():
    slot = NETS["features.1.filters"]
    narrow = NETS.narrowed(NETS.domains | {"features.1.filters": slot.part(16, 16)})
    assert Summary(Rows(narrow)).size == Summary(Rows(NETS)).size - 4  # filters are left out


def test_spaces_without_chains_have_no_summary():
    layout = Features(Rows(Space(x=Float(0, 1), kind=Choice(*"ab")))).layout
    assert (layout.genes, layout.warped, layout.gene.tolist()) == (2, 1, [0, 1, 1])
    assert layout.slots == ()


def test_the_genes_of_layers_are_known_as_slots():
    rows = Rows(NETS)
    layout = Features(rows).layout
    own = [n for n in rows.names if n in NETS.entries or n.endswith(".depth")]
    assert layout.genes - len(layout.slots) == len(own) + Summary(rows).size
    numbers = [name for name, ordered in zip(rows.names, rows.ordered, strict=True) if ordered]
    assert {numbers[k] for k in range(layout.warped) if k not in layout.slots} <= set(own)
