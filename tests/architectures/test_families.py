"""The blocks of the package: shapes, gradients, and what makes weights easy to hand on."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from evotune.architectures.blocks import SHIPPED, find_block
from evotune.architectures.build import build_chain
from evotune.architectures.families.common import ACTIVATIONS
from evotune.space import Bool, Chain, Choice, Float, Int, Ordinal, Space

ANY = Choice(*ACTIVATIONS)
CONV = {
    "filters": Int(1, 6),
    "kernel": Ordinal(1, 2, 3, 4, 5),
    "activation": ANY,
    "norm": Choice("batch", "none"),
    "dropout": Float(0.0, 0.9),
}
UNITS = {
    "units": Int(1, 6),
    "norm": Choice("none", "batch", "layer"),
    "dropout": Float(0.0, 0.9),
}
RECURRENT = UNITS | {"bidirectional": Bool()}
KIND = {"kind": Choice("max", "average")}
IMAGES = {"conv": CONV, "separable": CONV, "residual": CONV, "pool": KIND}
SEQUENCES = {
    "rnn": RECURRENT,
    "lstm": RECURRENT,
    "gru": RECURRENT,
    "conv1d": CONV | {"norm": Choice("none", "batch", "layer")},
    "attention": {
        "heads": Int(1, 3),
        "head_size": Int(1, 4),
        "feed_forward": Int(1, 6),
        "activation": ANY,
        "dropout": Float(0.0, 0.9),
    },
    "pool1d": KIND,
}
VECTORS = {"dense": UNITS | {"activation": ANY}}
CASES = [
    (name, family, shape)
    for family, shapes in (
        (IMAGES, [(1, 1, 1), (2, 5, 4), (3, 1, 3)]),
        (SEQUENCES, [(1, 1), (5, 3), (2, 1)]),
        (VECTORS, [(1,), (4,)]),
    )
    for name in family
    for shape in shapes
]
KEEP_PLACES = [name for name in (*IMAGES, *SEQUENCES) if name not in ("pool", "pool1d")]


def built(shape, *records):
    return build_chain(records, shape)


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize(("name", "family", "shape"), CASES)
def test_every_setting_builds_runs_and_passes_gradients(name, family, shape):
    space = Space(layers=Chain(1, 1, **{name: family[name]}))
    for seed in range(6):
        params = space.params(space.sample(np.random.default_rng(seed)))
        chain = build_chain(params["layers"], shape)
        inputs = torch.randn(3, *shape, requires_grad=True)
        output = chain.module(inputs)
        assert output.shape == (3, *chain.shape)
        output.square().sum().backward()
        assert torch.isfinite(inputs.grad).all()
        for parameter in chain.module.parameters():
            assert parameter.grad is not None
            assert torch.isfinite(parameter.grad).all()
        if name in KEEP_PLACES:
            places = slice(1, None) if family is IMAGES else slice(0, 1)
            assert chain.shape[places] == shape[places]


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_the_middle_of_a_kernel_stands_on_its_own_pixel(kernel):
    """So that a larger kernel can take over a smaller one's weights; even ones look ahead."""
    middle = (kernel - 1) // 2
    x = torch.randn(1, 1, 4, 4)
    image = built((1, 4, 4), {"block": "conv", "filters": 1, "kernel": kernel, "norm": "none"})
    steps = built((5, 1), {"block": "conv1d", "filters": 1, "kernel": kernel})
    for module, place in ((image, (..., middle, middle)), (steps, (..., middle))):
        conv = module.module[0].conv
        nn.init.zeros_(conv.weight)
        nn.init.zeros_(conv.bias)
        conv.weight.data[place] = 1.0
    assert torch.equal(image.module(x), x.relu())
    y = torch.randn(2, 5, 1)
    assert torch.equal(steps.module(y), y.relu())


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_residual_block_whose_body_is_zero_passes_on_what_such_a_block_gives(activation, norm):
    record = {"block": "residual", "filters": 3, "activation": activation, "norm": norm}
    two = built((2, 4, 4), record, record).module.eval()
    body = two[1].body
    last = body.norm2 if norm == "batch" else body.conv2
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    x = two[0](torch.randn(5, 2, 4, 4))
    assert torch.equal(two[1](x), x)


def test_the_skip_is_a_convolution_only_where_the_width_changes():
    layers = built(
        (2, 4, 4), {"block": "residual", "filters": 3}, {"block": "residual", "filters": 3}
    ).module
    assert isinstance(layers[0].skip, nn.Conv2d)
    assert isinstance(layers[1].skip, nn.Identity)


def test_attention_whose_parts_give_zero_passes_its_input_on():
    module = built((5, 4), {"block": "attention", "heads": 2, "head_size": 3}).module[0]
    for part in (module.output, module.down):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    x = torch.randn(2, 5, 4)
    assert torch.equal(module(x), x)


def test_attention_mixes_steps_as_the_formula_says():
    module = built((3, 4), {"block": "attention", "heads": 1, "head_size": 2}).module[0].eval()
    nn.init.zeros_(module.down.weight)
    nn.init.zeros_(module.down.bias)
    x = torch.randn(1, 3, 4)
    normed = module.attention_norm(x)
    queries, keys, values = (p(normed)[0] for p in (module.queries, module.keys, module.values))
    weights = (queries @ keys.T / 2**0.5).softmax(-1)  # softmax(Q Kᵀ / √d) V
    assert torch.allclose(module(x)[0], x[0] + module.output(weights @ values), atol=1e-6)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_both_directions_are_twice_as_wide_and_the_second_sees_what_follows(name):
    one = built((4, 2), {"block": name, "units": 3})
    both = built((4, 2), {"block": name, "units": 3, "bidirectional": True, "norm": "layer"})
    assert (one.shape, both.shape) == ((4, 3), (4, 6))
    x = torch.randn(1, 4, 2)
    later = x.clone()
    later[0, 3] += 1
    assert torch.equal(one.module(x)[:, 0], one.module(later)[:, 0])
    assert not torch.equal(both.module(x)[:, 0], both.module(later)[:, 0])


def test_the_recurrent_block_of_the_papers_has_tanh():
    module = built((1, 2), {"block": "rnn", "units": 3}).module[0]
    layer = next(part for part in module.modules() if isinstance(part, nn.RNN))
    x = torch.randn(2, 1, 2)
    by_hand = x[:, 0] @ layer.weight_ih_l0.T + layer.bias_ih_l0 + layer.bias_hh_l0
    assert torch.allclose(module(x)[:, 0], by_hand.tanh(), atol=1e-6)


def test_batch_normalisation_of_a_sequence_is_over_batch_and_steps():
    module = built((6, 2), {"block": "conv1d", "filters": 3, "norm": "batch"}).module[0]
    output = module.norm(module.conv(torch.randn(8, 6, 2)))
    assert torch.allclose(output.mean(dim=(0, 1)), torch.zeros(3), atol=1e-6)
    assert torch.allclose(output.var(dim=(0, 1), correction=0), torch.ones(3), atol=1e-3)


def test_pools_halve():
    assert built((2, 5, 4), {"block": "pool"}).shape == (2, 2, 2)
    assert built((5, 2), {"block": "pool1d", "kind": "average"}).shape == (2, 2)
    average = built((1, 2, 2), {"block": "pool", "kind": "average"}).module
    assert average(torch.arange(4.0).view(1, 1, 2, 2)).item() == 1.5


@pytest.mark.parametrize("name", SHIPPED)
def test_the_page_on_structures_lists_every_setting_and_its_default(name):
    page = (Path(__file__).parents[2] / "docs" / "structures.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|") and f"`{name}`" in line]
    assert len(rows) == 1
    for setting in list(inspect.signature(find_block(name).build).parameters.values())[1:]:
        assert f"`{_written(setting)}`" in rows[0]


def _written(setting):
    if setting.default is setting.empty:
        return setting.name
    text = isinstance(setting.default, str)
    return f"{setting.name}=" + (f'"{setting.default}"' if text else f"{setting.default}")
