"""Wider and deeper children compute what their parent does."""

import copy
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch

from evotune.architectures.inherit import inherit
from helpers_inherit import POOL, apart, batch, double, handed_on, images, layer, lively, sequences

__all__ = ["double"]
BASE = [layer("conv", 6), POOL, layer("conv", 8), POOL]
HEAD = [layer("dense", 10)]


def conv(width, **settings):
    return layer("conv", width, **settings)


def residual(width, **settings):
    return layer("residual", width, **settings)


IMAGES = {
    "the same": (BASE, HEAD, BASE, HEAD),
    "wider": (BASE, HEAD, [conv(9), POOL, conv(12), POOL], [layer("dense", 15)]),
    "many times as wide": (BASE, HEAD, [conv(20), POOL, conv(25), POOL], [layer("dense", 33)]),
    "larger kernels": (BASE, HEAD, [conv(6, kernel=5), POOL, conv(8, kernel=4), POOL], HEAD),
    "even to odd kernel": ([conv(6, kernel=2)], HEAD, [conv(7, kernel=5)], HEAD),
    "1 × 1 to 3 × 3": ([conv(6, kernel=1)], HEAD, [conv(6)], HEAD),
    "new conv": (BASE, HEAD, [conv(6), POOL, conv(8), conv(8), POOL], HEAD),
    "new wider conv": (BASE, HEAD, [conv(6), POOL, conv(8), conv(11, kernel=5), POOL], HEAD),
    "new conv at the input": (BASE, HEAD, [conv(4), *BASE], HEAD),
    "new conv of a line": (BASE, HEAD, [*BASE, conv(9, activation="identity")], HEAD),
    "new separable": (BASE, HEAD, [*BASE[:3], layer("separable", 9), POOL], HEAD),
    "wider separable": (
        [conv(6), layer("separable", 8)],
        HEAD,
        [conv(9), layer("separable", 13, kernel=5)],
        HEAD,
    ),
    "wider, without norm": (
        [conv(6, norm="none"), POOL, conv(8, norm="none")],
        HEAD,
        [conv(9, norm="none"), POOL, conv(13, norm="none")],
        HEAD,
    ),
    "wider, average pool": (
        [conv(6, activation="tanh"), layer("pool", kind="average")],
        HEAD,
        [conv(9, activation="tanh"), layer("pool", kind="average")],
        HEAD,
    ),
    "norm folded": (BASE, HEAD, [conv(6, norm="none"), POOL, conv(9, norm="none"), POOL], HEAD),
    "new norm": ([conv(6, norm="none")], HEAD, [conv(9)], [layer("dense", 10, norm="batch")]),
    "wider residual": ([conv(6), residual(6)], HEAD, [conv(9), residual(9)], HEAD),
    "wider residual that widens": ([conv(6), residual(8)], HEAD, [conv(9), residual(13)], HEAD),
    "skip becomes a convolution": ([conv(6), residual(6)], HEAD, [conv(7), residual(9)], HEAD),
    "wider residual, gelu": (
        [conv(6), residual(6, activation="gelu")],
        HEAD,
        [conv(9), residual(9, activation="gelu", kernel=5)],
        HEAD,
    ),
    "new residual": (BASE, HEAD, [conv(6), POOL, conv(8), residual(8), POOL], HEAD),
    "new residual that widens": (BASE, HEAD, [*BASE, residual(11)], HEAD),
    "new residual, gelu": (BASE, HEAD, [*BASE, residual(8, activation="gelu")], HEAD),
    "new residual behind tanh": (
        [conv(6, activation="tanh")],
        [],
        [conv(6, activation="tanh"), residual(6)],
        [],
    ),
    "new dense": (BASE, HEAD, BASE, [*HEAD, layer("dense", 12)]),
    "new dense behind tanh": (
        BASE,
        [layer("dense", 10, activation="tanh")],
        BASE,
        [layer("dense", 10, activation="tanh"), layer("dense", 12)],
    ),
    "narrow new dense behind tanh": (
        BASE,
        [layer("dense", 26, activation="tanh")],
        BASE,
        [layer("dense", 26, activation="tanh"), layer("dense", 11, norm="batch")],
    ),
    "first dense": (BASE, [], BASE, [layer("dense", 12)]),
    "first dense, leaky": (BASE, [], BASE, [layer("dense", 12, activation="leaky_relu")]),
    "first dense, norm": (BASE, [], BASE, [layer("dense", 12, norm="batch")]),
    "narrow new dense": (BASE, [layer("dense", 30)], BASE, [layer("dense", 30), *HEAD]),
    "first dense behind wider": (BASE, [], [conv(9), POOL, conv(13), POOL], [layer("dense", 16)]),
    "all at once": (
        BASE,
        HEAD,
        [conv(9), residual(9), POOL, conv(12, kernel=5), conv(13), POOL],
        [layer("dense", 15), layer("dense", 20)],
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images(name):
    features, head, wanted, wanted_head = IMAGES[name]
    parent, child = images(features, head), images(wanted, wanted_head)
    record, inputs = handed_on(child, parent)
    assert apart(child, parent, inputs) < 1e-5
    assert apart(child, parent, inputs, training=True) < 1e-5
    assert record.whole
    assert not record.fresh
    assert not record.corner


ATTENTION = {"block": "attention", "heads": 2, "head_size": 4, "feed_forward": 12}
SEQUENCES = {
    "attention, more heads": ([ATTENTION], [ATTENTION | {"heads": 3}]),
    "attention, larger heads": ([ATTENTION], [ATTENTION | {"head_size": 7}]),
    "attention, wider feed-forward": ([ATTENTION], [ATTENTION | {"feed_forward": 18}]),
    "attention, all": (
        [ATTENTION],
        [{**ATTENTION, "heads": 5, "head_size": 6, "feed_forward": 31}],
    ),
    "new attention": ([ATTENTION], [ATTENTION, ATTENTION | {"heads": 3}]),
    "attention on a doubled stream": (
        [layer("conv1d", 6), ATTENTION],
        [layer("conv1d", 12), ATTENTION],
    ),
    "wider conv1d": (
        [layer("conv1d", 6, norm="batch"), layer("conv1d", 5)],
        [layer("conv1d", 9, norm="batch", kernel=4), layer("conv1d", 7, kernel=5)],
    ),
    "new conv1d": (
        [layer("conv1d", 6, norm="batch")],
        [layer("conv1d", 6, norm="batch"), layer("conv1d", 8, norm="batch")],
    ),
    "first conv1d of a line": (
        [layer("lstm", 5)],
        [layer("conv1d", 5, activation="identity"), layer("lstm", 5)],
    ),
}
for block, both in product(("lstm", "gru", "rnn"), (False, True)):
    ways = ", both ways" if both else ""
    recurrent = partial(layer, block, bidirectional=both)
    SEQUENCES |= {
        f"wider {block}{ways}": ([recurrent(4), recurrent(5)], [recurrent(6), recurrent(9)]),
        f"wider {block} with norm{ways}": (
            [recurrent(4, norm="batch")],
            [recurrent(6, norm="batch")],
        ),
        f"doubled {block} with layer norm{ways}": (
            [recurrent(4, norm="layer")],
            [recurrent(8, norm="layer")],
        ),
        f"{block} one way, then{ways or ' the same'}": ([layer(block, 4)], [recurrent(4)]),
    }


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences(name):
    parent, child = map(sequences, SEQUENCES[name])
    record, inputs = handed_on(child, parent)
    assert apart(child, parent, inputs) < 1e-5
    assert apart(child, parent, inputs, training=True) < 1e-5
    assert record.whole


def test_a_dense_layer_behind_a_recurrent_one():
    parent = sequences([layer("gru", 5)])
    child = sequences([layer("gru", 7)], [layer("dense", 12)])
    record, inputs = handed_on(child, parent)
    assert apart(child, parent, inputs) < 1e-5
    assert record.inserted == ("head.dense1",)


# Relative to the largest logit; of the nearest an activation comes to a line at a tenth.
CLOSE = {
    "tanh": 0.01,
    "sigmoid": 0.005,
    "elu": 0.03,
    "silu": 0.15,
    "gelu": 0.25,
    "leaky_relu": 0.02,
}


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("activation", CLOSE)
def test_new_layers_with_curved_activations_are_close(activation, norm):
    here = {"activation": activation, "norm": norm}
    parent = images([conv(6, **here), POOL, conv(8, **here)], [layer("dense", 10, **here)])
    child = images(
        [conv(6, **here), POOL, conv(8, **here), conv(9, **here)],
        [layer("dense", 10, **here), layer("dense", 12, **here)],
    )
    _, inputs = handed_on(child, parent)
    assert apart(child, parent, inputs) < 2 * CLOSE[activation]
    assert apart(child, parent, inputs, training=True) < 2 * CLOSE[activation]


@pytest.mark.parametrize(("block", "bound"), [("lstm", 0.04), ("gru", 0.04), ("rnn", 0.01)])
@pytest.mark.parametrize("width", [5, 12])
@pytest.mark.parametrize("both", [False, True])
def test_new_recurrent_layers_are_close(block, bound, width, both):
    parent = sequences([layer(block, 5, bidirectional=both)])
    child = sequences(
        [layer(block, 5, bidirectional=both), layer(block, width, bidirectional=both)]
    )
    record, inputs = handed_on(child, parent)
    assert apart(child, parent, inputs) < bound
    assert record.inserted == (f"time.{block}2",)


def test_a_small_signal_stays_small_through_more_new_layers_and_a_skip():
    here = {"activation": "tanh"}
    parent = images([conv(6, **here), residual(6)])
    child = images([conv(6, **here), conv(6, **here), conv(7, **here), residual(7)])
    _, inputs = handed_on(child, parent)
    assert apart(child, parent, inputs) < 0.02


def test_without_inputs_it_is_exact_in_evaluation_mode():
    parent = images(BASE, HEAD)
    child = images([conv(9), POOL, conv(12), conv(12), residual(12), POOL], HEAD)
    _, inputs = handed_on(child, parent, with_inputs=False)
    assert apart(child, parent, inputs) < 1e-5


def test_single_precision_and_modes():
    parent = images(BASE, HEAD).float()
    child = images([conv(9), POOL, conv(12), conv(12), POOL], HEAD).float().eval()
    inputs = batch(parent).float()
    lively(parent, inputs)
    inherit(child, parent, inputs)
    assert not child.training
    assert child.output.weight.dtype == torch.float32
    assert apart(child, parent, inputs) < 1e-4


def test_the_parent_is_not_changed_and_shares_nothing():
    parent, child = images(BASE, HEAD), images(BASE, HEAD)
    inputs = batch(parent)
    lively(parent, inputs).train()
    before = copy.deepcopy(parent.state_dict())
    inherit(child, parent, inputs)
    for tensor in child.parameters():
        torch.nn.init.zeros_(tensor)
    assert parent.training
    for name, tensor in parent.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_same_generator_gives_the_same_child():
    def child_of(parent, rng):
        torch.manual_seed(3)
        child = images([conv(9), POOL, conv(12), conv(13), POOL], HEAD)
        inherit(child, parent, batch(parent), rng=rng)
        return child.state_dict()

    parent = images(BASE, HEAD)
    lively(parent, batch(parent))
    one, two = (child_of(parent, np.random.default_rng(7)) for _ in range(2))
    other = child_of(parent, np.random.default_rng(8))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
    first, second = child_of(parent, None), child_of(parent, None)
    assert all(torch.equal(first[name], second[name]) for name in first)
