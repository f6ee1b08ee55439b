"""What inherited weights are worth: copies learn different things, narrower beats random."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

from evotune.architectures.inherit import inherit
from evotune.architectures.templates.image import image_classifier
from evotune.space.chain import Chain
from evotune.space.domains.choice import Choice
from evotune.space.domains.int import Int
from evotune.space.domains.ordinal import Ordinal
from evotune.space.space import Space
from helpers_inherit import POOL, batch, double, images, layer, lively, logits, sequences

__all__ = ["double"]


def step(network, x, y, rate=0.1):
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    optimizer.zero_grad()
    cross_entropy(network.train()(x), y).backward()
    optimizer.step()


@pytest.mark.parametrize(
    ("parent", "child", "weight"),
    [
        (images, [layer("conv", 4), POOL, layer("conv", 5)], "features.conv1.conv.weight"),
        (images, [layer("separable", 4), layer("conv", 5)], "features.separable1.pointwise.weight"),
        (images, [layer("conv", 3), layer("residual", 4)], "features.residual2.body.conv1.weight"),
        (sequences, [layer("lstm", 4)], "time.lstm1.recurrent.weight_ih_l0"),
        (sequences, [layer("gru", 4)], "time.gru1.recurrent.weight_ih_l0"),
        (sequences, [layer("conv1d", 4)], "time.conv1d1.conv.weight"),
    ],
)
def test_copies_of_a_channel_learn_different_things(parent, child, weight):
    wider = [
        {key: 2 * value if key in ("filters", "units") else value for key, value in record.items()}
        for record in child
    ]
    build, parent = parent, parent(child)
    child = build(wider)
    x = batch(parent)
    lively(parent, x)
    inherit(child, parent, x)

    def equal_rows():
        rows = child.get_parameter(weight).detach().flatten(1)
        near = (rows[:, None] - rows).abs().sum(-1) < 1e-12
        return int(near.sum()) - len(rows)

    assert equal_rows() > 0
    for _ in range(2):
        step(child, x, torch.arange(len(x)) % 4)
    assert equal_rows() == 0


def digits():
    x, y = load_digits(return_X_y=True)
    images = torch.from_numpy(x.reshape(-1, 1, 8, 8) / 16)
    return images, torch.from_numpy(y)


def test_narrower_is_better_than_random():
    x, y = digits()
    make = image_classifier((1, 8, 8), 10)

    def network(width):
        features = [layer("conv", width), POOL, layer("conv", width), POOL]
        return make({"features": features, "head": [layer("dense", width)]})

    parent, child, random = network(32), network(20), network(20)
    for k in range(40):
        step(parent, x[k * 32 : k * 32 + 32], y[k * 32 : k * 32 + 32])
    inherit(child, parent, x[:500])

    def accuracy(network):
        return float((logits(network, x[1300:]).argmax(1) == y[1300:]).double().mean())

    assert accuracy(parent) > 0.7
    assert accuracy(child) > accuracy(random) + 0.2


CURVES = Choice("relu", "gelu", "tanh")
CONV = {
    "filters": Int(2, 9),
    "kernel": Ordinal(1, 2, 3, 5),
    "activation": CURVES,
    "norm": Choice("batch", "none"),
}
IMAGES = Space(
    features=Chain(1, 5, conv=CONV, residual=CONV, separable=CONV, pool={}),
    head=Chain(
        0,
        2,
        dense={"units": Int(2, 30), "activation": CURVES, "norm": Choice("none", "batch", "layer")},
    ),
)
UNITS = {"units": Int(2, 9), "bidirectional": Choice(False, True), "norm": Choice("none", "batch")}
SEQUENCES = Space(
    time=Chain(
        1,
        4,
        lstm=UNITS,
        gru=UNITS,
        rnn=UNITS,
        conv1d={**CONV, "kernel": Ordinal(1, 3, 4)},
        attention={"heads": Int(1, 3), "head_size": Int(2, 5), "feed_forward": Int(2, 12)},
        pool1d={},
    ),
    head=Chain(0, 1, dense={"units": Int(2, 30), "activation": CURVES}),
)


def some_network(space, rng):
    params = space.params(space.sample(rng))
    if space is IMAGES:
        return images(params["features"], params.get("head", ()))
    return sequences(params["time"], params.get("head", ()))


@pytest.mark.parametrize("space", [IMAGES, SEQUENCES], ids=["images", "sequences"])
@given(seed=st.integers(0, 2**32 - 1), with_inputs=st.booleans())
@settings(max_examples=20, deadline=None)
def test_any_child_of_any_parent(space, seed, with_inputs):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    parent, one = some_network(space, rng), some_network(space, rng)
    two = copy.deepcopy(one)
    x = batch(parent, 8)
    lively(parent, x)
    records = [
        inherit(child, parent, x if with_inputs else None, rng=np.random.default_rng(seed))
        for child in (one, two)
    ]
    assert records[0] == records[1]
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name
    found = logits(one, x)
    assert torch.isfinite(found).all()
    if records[0].whole:
        expected = logits(parent, x)
        assert (found - expected).abs().max() < 0.5 * expected.abs().max() + 0.05


@pytest.mark.parametrize("space", [IMAGES, SEQUENCES], ids=["images", "sequences"])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_a_child_of_the_same_structure_is_a_copy(space, seed):
    torch.manual_seed(seed)
    parent = some_network(space, np.random.default_rng(seed))
    child = some_network(space, np.random.default_rng(seed))
    x = batch(parent, 8)
    lively(parent, x)
    record = inherit(child, parent, x)
    assert record.whole, record
    for name, tensor in parent.state_dict().items():
        assert torch.allclose(child.state_dict()[name], tensor, rtol=1e-12), name
