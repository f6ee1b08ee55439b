"""Residual blocks: the signal that is led around decides what the body's outputs need to be."""

from math import inf

import torch
from torch import nn

from evotune.architectures.families.image import Residual
from evotune.architectures.inherit.maps import ChannelMap
from evotune.architectures.inherit.norms import BatchNorm
from evotune.architectures.inherit.passing import amplify, insert_activation, last_affine
from evotune.architectures.inherit.rules import (
    Conv,
    Target,
    Waiting,
    Walk,
    insert,
    remove,
    take,
    write,
)
from evotune.architectures.inherit.weights import fit


def _sizes(block: Residual) -> tuple[int, int]:
    """Return the channels before and behind a block."""
    convs = [part for part in block.body.modules() if isinstance(part, Conv)]
    return convs[0].in_channels, convs[-1].out_channels


def _led_around(block: Residual) -> bool:
    """Whether a block leads its input around unchanged."""
    return isinstance(block.skip, nn.Identity)


@take.register
def take_residual(
    child: Residual, parent: nn.Module, way: ChannelMap, walk: Walk, out: Target | None = None
) -> ChannelMap:
    """Carry a residual block over, with all ways of leading the input around."""
    if not isinstance(parent, Residual):
        return insert_residual(child, way, walk)
    (inputs, outputs), (width, parent_outputs) = _sizes(child), _sizes(parent)
    way = fit(child, parent, way, walk, (inputs, width))
    if _led_around(child):
        around = way.lost(not _led_around(parent))
    else:
        last = [part for part in parent.body.modules() if isinstance(part, Conv)][-1]
        around = walk.choose(last, outputs, parent_outputs, out).clean(way)
        around = _lead_around(child, parent, way, walk, around)
    wanted = _unscaled(around.fitted(outputs, parent_outputs))
    body = take(child.body, parent.body, way, walk, lambda c, p: wanted)
    scaled = around.scale == 1.0 or _multiply(child.body, walk, around.scale)
    whole = body.whole and scaled and not bool(body.offset.any())
    around = around.lost(not whole).but(low=-inf)
    return take(child.activation, parent.activation, around, walk)


def _unscaled(way: ChannelMap) -> ChannelMap:
    return way.but(scale=1.0, offset=torch.zeros_like(way.offset), low=-inf)


def _multiply(body: nn.Module, walk: Walk, factor: float, add: float = 0.0) -> bool:
    last = last_affine(body)
    return last is not None and amplify(last, walk, factor, add)


def _lead_around(
    child: Residual, parent: Residual, way: ChannelMap, walk: Walk, out: ChannelMap
) -> ChannelMap:
    """Set the convolution of 1 × 1 around the child's body."""
    if not _led_around(parent):
        return take(child.skip, parent.skip, way, walk, lambda c, p: out)
    equal = (out.idx[:, None] == way.idx) & (way.share > 0)
    weight = equal * way.share / way.scale
    write(child.skip.get_parameter("weight"), weight[..., None, None])
    write(child.skip.get_parameter("bias"), -weight @ way.offset)
    return out


@insert.register
def insert_residual(child: Residual, way: ChannelMap, walk: Walk) -> ChannelMap:
    """Make a residual block pass its input on: the last gain of its body is 0."""
    walk.ledger.mark(child, "inserted")
    inputs, _ = _sizes(child)
    if _led_around(child):
        way = way if len(way.idx) == inputs else way.fitted(inputs, inputs)
    else:
        way = insert(child.skip, way, walk)
    whole = _multiply(child.body, walk, 0.0)
    for part in child.body.modules():
        if isinstance(part, BatchNorm):
            walk.waiting[part] = Waiting()
    if isinstance(child.activation, nn.Identity):
        return way.lost(not whole)
    lifts = isinstance(child.activation, nn.ReLU | nn.LeakyReLU)
    before = last_affine(child.body) if lifts else None
    return insert_activation(child.activation, way.lost(not whole), walk, before)


@remove.register
def remove_residual(parent: Residual, way: ChannelMap) -> ChannelMap:
    """Return the map without what a body added, if the input was led around unchanged."""
    return way.lost() if _led_around(parent) else way.forgotten()
