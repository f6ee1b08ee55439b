import numpy as np
import pytest
import torch
from torch import nn

import evotune as et
from evotune.errors import TaskError

CONV = {
    "filters": et.Int(8, 128, log=True),
    "kernel": et.Ordinal(1, 3, 5),
    "activation": et.Choice("relu", "gelu"),
}
DENSE = {"units": et.Ordinal(16, 32, 64, 128), "dropout": et.Float(0, 0.5)}
SHAPE = (1, 12, 12)


def space(most=5, fewest=1, head=2):
    return et.Space(
        lr=et.Float(1e-4, 1e-2, log=True),
        features=et.Chain(fewest, most, conv=CONV, pool={}),
        head=et.Chain(0, head, dense=DENSE),
    )


def template(**limits):
    return et.image_classifier(SHAPE, 10, **limits)


def samples(space, count=25, seed=0):
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(count)]


def conv(filters, kernel=3):
    return {"block": "conv", "filters": filters, "kernel": kernel, "activation": "relu"}


def genome(space, features, head=()):
    return space.complete({"lr": 1e-3, "features": features, "head": list(head)})


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("parameters", 200_000),
        ("parameters", 20_000),
        ("parameters", 1_000),
        ("parameters", 20),
        ("multiply_adds", 500_000),
        ("multiply_adds", 20_000),
    ],
)
def test_every_genome_is_made_to_keep_the_limit(name, limit):
    model, searched = template(**{name: limit}), space()
    for before in samples(searched, 4 if limit <= 1_000 else 12):
        after = model.fit(searched, before)
        searched.check(after)
        assert getattr(et.cost(searched.params(after), model=model), name) <= limit
        assert model.fit(searched, after) == after
        assert model.fit(searched, dict(before)) == after
        assert after["lr"] == before["lr"]


def test_both_limits_are_kept():
    model, searched = template(parameters=30_000, multiply_adds=400_000), space()
    for before in samples(searched, 10):
        found = et.cost(searched.params(model.fit(searched, before)), model=model)
        assert found.parameters <= 30_000
        assert found.multiply_adds <= 400_000


def test_what_keeps_the_limit_stays_as_it_is():
    model, searched = template(parameters=50_000), space()
    small = genome(searched, [conv(8), {"block": "pool"}], [{"units": 16, "dropout": 0.1}])
    assert model.fit(searched, small) == small


def test_widths_get_smaller_and_nothing_else_changes():
    model, searched = template(parameters=100_000), space()
    before = genome(searched, [conv(128, 5), conv(100, 1)], [{"units": 128, "dropout": 0.2}])
    after = model.fit(searched, before)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"features.1.filters", "features.2.filters", "head.1.units"}
    assert all(after[name] < before[name] for name in changed)
    # The larger one is not used to the last parameter, but no step more was taken than needed.
    assert 30_000 < et.cost(searched.params(after), model=model).parameters <= 100_000


def test_widths_stay_inside_their_domains():
    searched = et.Space(
        features=et.Chain(
            2,
            3,
            conv={"filters": et.Int(8, 128, step=8)},
            pool={},
            wide={"units": et.Choice(6, 50)},
        )
    )

    @et.block
    def wide(shape, units):
        return nn.Conv2d(shape[0], units, 1)

    model = template(parameters=9_000)
    for before in samples(searched, 12):
        after = model.fit(searched, before)
        searched.check(after)
        assert et.cost(searched.params(after), model=model).parameters <= 9_000


def test_layers_that_do_not_fit_go_behind_the_depth():
    searched, model = space(most=7), template()
    pool = {"block": "pool"}
    before = genome(searched, [conv(8), pool, pool, pool, pool, pool, conv(64, 5)])
    after = model.fit(searched, before)
    # 12, 6, 3, 1: three pools fit, two do not.
    assert searched.params(after)["features"] == [conv(8), pool, pool, pool, conv(64, 5)]
    assert after["features.6.block"] == after["features.7.block"] == "pool"
    torch.manual_seed(0)
    network = model(searched.params(before))
    torch.manual_seed(0)
    assert str(list(model(searched.params(after)).features)) == str(list(network.features))


def test_structures_that_differ_in_layers_without_effect_are_the_same_params():
    searched, model = space(most=7), template()
    pool = {"block": "pool"}
    one = genome(searched, [pool, pool, pool, pool, conv(8)])
    other = genome(searched, [pool, pool, pool, conv(8), pool])
    assert searched.key(one) != searched.key(other)
    assert searched.key(model.fit(searched, one)) == searched.key(model.fit(searched, other))


def test_moved_genes_are_kept():
    searched, model = space(most=6), template()
    before = genome(searched, [{"block": "pool"}] * 5 + [conv(50, 5)])
    before |= {"features.4.filters": 99, "features.5.filters": 77}
    after = model.fit(searched, before)
    assert sorted(str(v) for v in after.values()) == sorted(
        str(4 if name == "features.depth" else value) for name, value in before.items()
    )


def test_the_fewest_layers_of_a_chain_stay():
    searched, model = space(most=6, fewest=5), template()
    before = genome(searched, [{"block": "pool"}] * 6)
    after = model.fit(searched, before)
    assert after["features.depth"] == 5
    assert model.fit(searched, after) == after


def test_a_narrower_space_is_never_left():
    model = template(parameters=5_000)
    base = et.Space(features=et.Chain(1, 4, conv=CONV, pool={}))
    narrow = base.narrowed(base.domains | {"features.2.filters": et.Int(60, 70, log=True)})
    for before in samples(narrow, 15):
        after = model.fit(narrow, before)
        narrow.check(after)
        assert et.cost(narrow.params(after), model=model).parameters <= 5_000


def test_a_chain_that_is_not_there_is_left_alone():
    searched = et.Space(
        deep=et.Bool(),
        features=et.Chain(1, 3, conv=CONV, pool={}),
        head=et.Chain(1, 2, when={"deep": True}, dense=DENSE),
    )
    model = template(parameters=3_000)
    for before in samples(searched, 12):
        after = model.fit(searched, before)
        assert after["deep"] == before["deep"]
        assert et.cost(searched.params(after), model=model).parameters <= 3_000


@pytest.mark.parametrize("name", ["parameters", "multiply_adds"])
def test_an_impossible_limit_is_refused_and_names_the_smallest_size(name):
    searched = et.Space(features=et.Chain(1, 3, conv={"filters": et.Int(8, 64)}))
    least = et.cost({"features": [{"block": "conv", "filters": 8}]}, model=template())
    size = getattr(least, name)
    genome = samples(searched, 1)[0]
    fitted = template(**{name: size}).fit(searched, genome)
    assert searched.params(fitted)["features"] == [{"block": "conv", "filters": 8}]
    with pytest.raises(TaskError, match=f"{size:,} {name.replace('_', '-')}"):
        template(**{name: size - 1}).fit(searched, genome)


KERNELS = {"filters": et.Int(4, 8), "kernel": et.Ordinal(1, 3, 5)}
ONLY_SETTINGS = {
    "kernels": (
        lambda: et.image_classifier((1, 5, 5), 3, parameters=380),
        et.Space(features=et.Chain(2, 2, conv=KERNELS)),
    ),
    "directions": (
        lambda: et.sequence_model((6, 3), 2, parameters=200),
        et.Space(time=et.Chain(1, 1, lstm={"units": et.Int(4, 8), "bidirectional": et.Bool()})),
    ),
    "a gene of the template": (
        lambda: et.image_classifier((1, 9, 9), 3, parameters=200),
        et.Space(
            pooling=et.Choice("flatten", "average", weights=(3, 1)),
            features=et.Chain(1, 1, conv={"filters": et.Int(4, 8)}),
        ),
    ),
}


@pytest.mark.parametrize("name", ONLY_SETTINGS)
def test_where_no_layer_helps_other_settings_change(name):
    make, searched = ONLY_SETTINGS[name]
    model = make()
    for before in samples(searched, 20):
        after = model.fit(searched, before)
        searched.check(after)
        assert et.cost(searched.params(after), model=model).parameters <= model.parameters
        assert model.fit(searched, after) == after


UNITS = {"units": et.Int(8, 128, log=True)}
RNN = {"lstm": UNITS, "gru": UNITS}
STREAM = {"heads": et.Int(1, 4), "head_size": et.Ordinal(8, 16), "feed_forward": et.Int(32, 256)}
IMAGE = {name: {"filters": CONV["filters"]} for name in ("conv", "separable", "residual")}
IMAGE["pool"] = {}
TEMPLATES = {
    "image_classifier": (
        lambda **limits: et.image_classifier((3, 12, 12), 5, **limits),
        {"features": et.Chain(1, 5, **IMAGE), "head": et.Chain(0, 2, dense=UNITS)},
    ),
    "sequence_model": (
        lambda **limits: et.sequence_model((20,), 5, vocabulary=50, width=16, **limits),
        {"time": et.Chain(1, 4, **RNN, attention=STREAM), "head": et.Chain(0, 2, dense=UNITS)},
    ),
    "tabular": (
        lambda **limits: et.tabular(12, {"a": 3, "b": 2}, **limits),
        {"layers": et.Chain(1, 4, dense=UNITS), "head": et.Chain(0, 2, dense=UNITS)},
    ),
    "autoencoder": (
        lambda **limits: et.autoencoder((1, 12, 12), 8, **limits),
        {"encoder": et.Chain(1, 6, conv=IMAGE["conv"], pool={})},
    ),
    "sequence_to_sequence": (
        lambda **limits: et.sequence_to_sequence(30, 30, width=16, **limits),
        {"encoder": et.Chain(1, 3, **RNN), "decoder": et.Chain(1, 3, **RNN)},
    ),
    "two_branch": (
        lambda **limits: et.two_branch((4, 1, 12, 12), 6, 30, 5, width=16, **limits),
        {
            "frames": et.Chain(1, 4, conv=IMAGE["conv"], pool={}),
            "time": et.Chain(1, 2, **RNN),
            "text": et.Chain(1, 2, **RNN),
        },
    ),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_all_templates_keep_to_their_limits(name):
    make, chains = TEMPLATES[name]
    model, searched = make(parameters=15_000, multiply_adds=600_000), et.Space(**chains)
    changed = 0
    for before in samples(searched, 6):
        after = model.fit(searched, before)
        found = et.cost(searched.params(after), model=model)
        assert found.parameters <= 15_000
        assert found.multiply_adds <= 600_000
        changed += after != before
    assert changed


def test_a_block_that_needs_its_weights_is_measured_for_real():
    @et.block
    def scaled(shape, filters):
        layer = nn.Conv2d(shape[0], filters, 5)
        layer.gain = float(layer.weight.detach().std())
        return nn.Sequential(layer, nn.AdaptiveAvgPool2d(shape[1:]))

    searched = et.Space(features=et.Chain(2, 3, scaled={"filters": et.Int(4, 200)}))
    model = template(parameters=20_000)
    state = torch.get_rng_state()
    for before in samples(searched, 4):
        after = model.fit(searched, before)
        assert et.cost(searched.params(after), model=model).parameters <= 20_000
    assert torch.equal(torch.get_rng_state(), state)


def test_oversized_networks_are_never_built():
    searched = et.Space(
        features=et.Chain(1, 1, conv={"filters": et.Int(1, 10**6, log=True)}),
        head=et.Chain(1, 1, dense={"units": et.Int(1, 10**7, log=True)}),
    )
    model = template(parameters=10_000)
    largest = searched.complete({"features": [{"filters": 500}], "head": [{"units": 10**7}]})
    after = model.fit(searched, largest)  # 2.9 TB of weights
    assert et.cost(searched.params(after), model=model).parameters <= 10_000


@pytest.mark.parametrize("limit", [0, -3, 2.5, "many"])
def test_a_limit_is_a_whole_number(limit):
    with pytest.raises(TaskError, match="parameters"):
        template(parameters=limit)
