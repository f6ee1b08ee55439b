"""Every template: wider and deeper children are their parents, any child of any parent runs."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evotune.architectures.inherit import inherit
from evotune.architectures.network import Network
from evotune.architectures.templates.autoencoder import autoencoder
from evotune.architectures.templates.image import image_classifier
from evotune.architectures.templates.sequence import sequence_model
from evotune.architectures.templates.tabular import tabular
from evotune.architectures.templates.translation import sequence_to_sequence
from evotune.architectures.templates.two_branch import two_branch
from evotune.errors import TaskError
from helpers_inherit import POOL, double, layer, lively

__all__ = ["double"]


def tokens(*shape, high=9):
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(1))


def numbers(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


ATTENTION = {"block": "attention", "heads": 2, "head_size": 4, "feed_forward": 10}
LSTM, WIDER = [layer("lstm", 5)], [layer("lstm", 8)]
DENSE = [layer("dense", 6)]
CONV = [layer("conv", 4), POOL, layer("conv", 5)]
CONV_WIDER = [layer("conv", 7), POOL, layer("conv", 8, kernel=5), layer("conv", 9)]
FRAMES = {"frames": numbers(8, 3, 1, 6, 6), "text": tokens(8, 4)}
PAIR = {"source": tokens(8, 5), "target": tokens(8, 4)}
BRANCHES = {"frames": CONV, "time": LSTM, "text": LSTM}
BRANCHES_WIDER = {"frames": CONV_WIDER, "time": WIDER, "text": WIDER, "head": [layer("dense", 30)]}

#: Template, params of parent and child, inputs.
EXACT = {
    "classifier of numbers": (
        sequence_model((6, 3), 4),
        {"time": LSTM, "head": DENSE},
        {"time": WIDER, "head": [layer("dense", 9), layer("dense", 9)]},
        numbers(8, 6, 3),
    ),
    "classifier of tokens with attention": (
        sequence_model((6,), 4, vocabulary=9, width=8),
        {"time": [ATTENTION]},
        {"time": [ATTENTION | {"heads": 3}, ATTENTION]},
        tokens(8, 6),
    ),
    "forecaster, both ways": (
        sequence_model((6, 3), 2, kind="forecaster", horizon=4),
        {"time": [layer("gru", 5, bidirectional=True)]},
        {"time": [layer("gru", 7, bidirectional=True)], "head": [layer("dense", 20)]},
        numbers(8, 6, 3),
    ),
    "table": (
        tabular(5, 3),
        {"layers": [layer("dense", 6, norm="batch"), layer("dense", 7)]},
        {"layers": [layer("dense", 9, norm="batch"), layer("dense", 9), layer("dense", 12)]},
        numbers(16, 5),
    ),
    "table with several heads": (
        tabular(5, {"site": 3, "grade": 2}),
        {"layers": DENSE, "head": DENSE},
        {"layers": [*DENSE, layer("dense", 9)], "head": [layer("dense", 8), layer("dense", 20)]},
        numbers(16, 5),
    ),
    "autoencoder of images": (
        autoencoder((1, 8, 8), 6),
        {"encoder": CONV},
        {"encoder": [layer("conv", 7), POOL, layer("conv", 8)]},
        numbers(8, 1, 8, 8),
    ),
    "autoencoder of images, two chains": (
        autoencoder((1, 8, 8), 6),
        {"encoder": CONV, "decoder": [layer("conv", 4)]},
        {"encoder": CONV_WIDER, "decoder": [layer("conv", 6), layer("conv", 8)]},
        numbers(8, 1, 8, 8),
    ),
    "autoencoder of vectors": (
        autoencoder((9,), 3),
        {"encoder": [layer("dense", 8), layer("dense", 6)]},
        {"encoder": [layer("dense", 13), layer("dense", 9)]},
        numbers(8, 9),
    ),
    "translation": (
        sequence_to_sequence(9, 9, width=6),
        {"encoder": [ATTENTION, *LSTM], "decoder": [layer("gru", 6)]},
        {"encoder": [ATTENTION, ATTENTION, *WIDER], "decoder": [layer("gru", 10)]},
        PAIR,
    ),
    **{
        f"two branches, {kind}": (
            two_branch((3, 1, 6, 6), 4, 9, 3, fusion=kind, width=7),
            BRANCHES,
            BRANCHES_WIDER,
            FRAMES,
        )
        for kind in ("concat", "sum", "gate")
    },
}


def outputs(network, inputs):
    with torch.no_grad():
        found = copy.deepcopy(network).eval()(inputs)
    return [found] if isinstance(found, Tensor) else [found[name] for name in sorted(found)]


@pytest.mark.parametrize("name", EXACT)
def test_wider_and_deeper(name):
    template, params, wanted, inputs = EXACT[name]
    parent, child = template(params), template(wanted)
    lively(parent, inputs)
    record = inherit(child, parent, inputs, rng=np.random.default_rng(2))
    for own, expected in zip(outputs(child, inputs), outputs(parent, inputs), strict=True):
        assert (own - expected).abs().max() < 1e-5 * expected.abs().max()
    assert record.whole
    assert not record.fresh
    assert not record.corner


@pytest.mark.parametrize("name", EXACT)
def test_narrower_and_shallower(name):
    template, wanted, params, inputs = EXACT[name]
    parent, child = template(params), template(wanted)
    lively(parent, inputs)
    record = inherit(child, parent, inputs)
    assert all(torch.isfinite(own).all() for own in outputs(child, inputs))
    assert not record.whole
    assert record.taken


def test_layers_are_named_by_their_place():
    template, params, wanted, inputs = EXACT["translation"]
    record = inherit(template(wanted), template(params), inputs)
    assert record.inserted == ("translator.encoder.attention2",)
    assert dict(record.taken)["translator.encoder.lstm3"] == "translator.encoder.lstm2"
    assert ("translator.score", "translator.score") in record.taken


def test_another_fusion_is_fresh():
    template, params, wanted, inputs = EXACT["two branches, sum"]
    record = inherit(template({**wanted, "fusion": "gate"}), template(params), inputs)
    assert "branches.fusion.first" in record.fresh or "branches.fusion" in record.fresh
    assert not record.whole


def test_words_that_only_the_parent_knows_are_left_out():
    large, small = (sequence_model((6,), 4, vocabulary=n)({"time": LSTM}) for n in (9, 7))
    assert not inherit(small, large).whole
    assert torch.equal(small.embedding.weight, large.embedding.weight[:7])


def test_a_network_that_was_copied_or_sent_still_takes_weights_over():
    parent, child = (image_params(width) for width in (4, 6))
    template = image_classifier((1, 8, 8), 3)
    trained = template(parent)
    for copied in (copy.deepcopy(template(child)), pickle.loads(pickle.dumps(template(child)))):
        said = copied.take_over(trained.structure, trained.state_dict(), None, 1)
        assert "conv1" in said
        x = torch.rand(2, 1, 8, 8)
        assert torch.allclose(copied.eval()(x), trained.eval()(x), atol=1e-9)


def test_a_network_of_no_template_takes_nothing_over():
    parent = image_classifier((1, 8, 8), 3)(image_params(4))
    child = Network({"output": nn.Linear(2, 2)}, {"params": {}})
    with pytest.raises(TaskError, match="image_classifier and one of no template have no layers"):
        child.take_over(parent.structure, parent.state_dict(), None, 1)


def image_params(filters):
    return {"features": [{"block": "conv", "filters": filters}]}
