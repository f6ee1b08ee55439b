"""The way from a parent to a child, from their inputs to their outputs."""

from collections.abc import Mapping, Sequence
from math import inf

import numpy as np
import torch
from torch import Tensor, nn

# Imported for the rules that they register.
from evotune.architectures.inherit import (
    attention,
    branches,
    norms,
    passing,
    recurrent,
    sequence,
    skips,
    weights,
)
from evotune.architectures.inherit.maps import unknown
from evotune.architectures.inherit.record import Inherited, Ledger
from evotune.architectures.inherit.rules import Walk, same_places, take, weighted_of
from evotune.architectures.inherit.statistics import settle
from evotune.errors import TaskError

RULES = (attention, branches, norms, passing, recurrent, sequence, skips, weights)


def inherit(
    child: nn.Module,
    parent: nn.Module,
    inputs: Tensor | Mapping[str, Tensor] | Sequence[Tensor] | None = None,
    *,
    rng: np.random.Generator | None = None,
) -> Inherited:
    """Write a parent's weights into a child of another structure.

    What is wider repeats channels and shares their outgoing weights out unevenly, what is new
    passes its input on, what is narrower keeps the channels that count most: a child that is only
    wider or deeper computes what its parent does, and learns on from there. After Net2Net (T. Chen,
    I. Goodfellow, J. Shlens, 2016, https://arxiv.org/abs/1511.05641), with channel maps, batch
    normalisation, curved activations, recurrent and attention layers.

    Of a user's block only the common corner of equal-named tensors is copied, unless its module
    has a method ``inherit(parent, way)``: it copies from the parent's module (None where the block
    is new) by the `ChannelMap` of what both read, and returns that of what it gives.

    Args:
        child: The network to write into; its weights are changed, its mode is not.
        parent: The trained network; it is not changed.
        inputs: Some examples as the network reads them (a tensor, tensors by name, or several
            arguments), of which at most 500 are used: they set the batch normalisation of new
            layers and behind narrower ones. Without them a child is the same in evaluation mode as
            far as possible.
        rng: Source of all randomness; None is the same each time.

    Returns:
        What became of each layer.

    Raises:
        TaskError: One of them is no network, both are the same, or the child does not run on the
            inputs.

    Example::

        child = template({"features": [{"block": "conv", "filters": 48}]})
        print(inherit(child, parent, x_train[:500], rng=np.random.default_rng(0)))
    """
    for name, network in (("child", child), ("parent", parent)):
        if not isinstance(network, nn.Module):
            raise TaskError(f"inherit: the {name} is an nn.Module, got {network!r}")
    if child is parent:
        raise TaskError("inherit: child and parent are the same network; build the child anew")
    rng = np.random.default_rng(0) if rng is None else rng
    walk = Walk(rng, Ledger(child, parent), weighted_of(parent), _shape(child))
    with torch.no_grad():
        way = take(child, parent, unknown(low=_least(inputs)), walk, same_places)
        settle(child, walk.waiting, inputs)
    return walk.ledger.result(way.whole)


def _least(inputs: object) -> float:
    """Return the least value that a network reads, as far as examples show it."""
    alone = isinstance(inputs, Tensor) and inputs.is_floating_point() and inputs.numel()
    return float(inputs.min()) if isinstance(inputs, Tensor) and alone else -inf


def _shape(network: nn.Module) -> tuple[int, ...] | None:
    """Return the shape of one image, if the network's structure says it."""
    structure = getattr(network, "structure", None) or {}
    shape = structure.get("options", {}).get("shape")
    return tuple(shape)[-3:] if isinstance(shape, list | tuple) else None
