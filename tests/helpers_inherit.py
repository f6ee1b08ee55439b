"""Networks, lively ones, and how far child and parent are apart, for the tests of inheritance."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from evotune.architectures.build import build_chain
from evotune.architectures.inherit import inherit
from evotune.architectures.network import Network
from evotune.architectures.templates.image import image_classifier

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)
POOL = {"block": "pool"}


@pytest.fixture(autouse=True)
def double():
    """All networks of these tests are of double precision."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def layer(block, width=None, **settings):
    """A record; its width has the name that the block gives it."""
    names = {"conv": "filters", "residual": "filters", "separable": "filters", "conv1d": "filters"}
    return {"block": block, **({names.get(block, "units"): width} if width else {}), **settings}


def images(features, head=(), size=8, classes=5):
    """A classifier of images of two channels, `size` wide and high."""
    return image_classifier((2, size, size), classes)({"features": features, "head": list(head)})


class Last(nn.Module):
    def forward(self, inputs):
        return inputs[:, -1]


def sequences(time, head=(), steps=6):
    """A classifier of sequences of three channels, by the last step."""
    behind = build_chain(time, (steps, 3), "time")
    end = build_chain(head, behind.shape[1:], "head")
    parts = {"time": behind.module, "last": Last(), "head": end.module}
    parts["output"] = nn.Linear(end.shape[0], 4)
    return Network(parts, {"params": {"time": time, "head": list(head)}})


def batch(network, count=32):
    """Examples as a network reads them."""
    generator = torch.Generator().manual_seed(1)
    is_image = "features" in dict(network.named_children())
    shape = network.structure["options"]["shape"] if is_image else (6, 3)
    return torch.rand(count, *shape, generator=generator) - (0 if is_image else 0.5)


def lively(network, inputs):
    """The network with random gains and biases, and with the statistics of the inputs."""
    hooks = []
    for module in network.modules():
        if isinstance(module, NORMS):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
            hooks.append(module.register_forward_hook(as_in_training))
    network.train()
    with torch.no_grad():
        network(inputs)
    for hook in hooks:
        hook.remove()
    return network


def as_in_training(norm, args, output):
    norm.running_var *= 1 - norm.num_features / args[0].numel()


def logits(network, inputs, training=False):
    """What a copy of the network computes, so that its statistics stay as they are."""
    with torch.no_grad():
        return copy.deepcopy(network).train(training)(inputs)


def apart(child, parent, inputs, training=False):
    """Largest difference of the logits, relative to the parent's largest."""
    expected = logits(parent, inputs, training)
    return float((logits(child, inputs, training) - expected).abs().max() / expected.abs().max())


def handed_on(child, parent, with_inputs=True, seed=1):
    """Make the parent lively and let the child inherit; returns record and inputs."""
    inputs = batch(parent)
    lively(parent, inputs)
    given = inputs if with_inputs else None
    return inherit(child, parent, given, rng=np.random.default_rng(seed)), inputs
