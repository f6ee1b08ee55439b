"""Attention: heads stay whole, and new ones are not listened to at first.

New heads, and new dimensions of a head, have outgoing weights 0. So that a head's scores stay the
same, new dimensions of its queries are 0 too, and queries are multiplied by √(size/old size).
"""

from dataclasses import dataclass
from math import inf, sqrt

import torch
from torch import Tensor, nn

from evotune.architectures.families.sequence import Attention
from evotune.architectures.inherit.maps import NONE, ChannelMap, corner
from evotune.architectures.inherit.passing import amplify
from evotune.architectures.inherit.rules import (
    Target,
    Walk,
    copy_corner,
    insert,
    read,
    remove,
    take,
    write,
)
from evotune.architectures.inherit.weights import columns_of, fit, rows_of


@dataclass(frozen=True, slots=True)
class Heads:
    """The projections of an attention.

    Attributes:
        number: Number of heads.
        size: Dimensions of each; `number` · `size` are the inner dimensions.
        inward: (weight, bias) of queries, keys and values, ``(inner, width)`` and ``(inner,)``.
        outward: (weight, bias) of the output, ``(width, inner)`` and ``(width,)``.
    """

    number: int
    size: int
    inward: tuple[tuple[Tensor, Tensor | None], ...]
    outward: tuple[Tensor, Tensor | None]


def _torch_heads(layer: nn.MultiheadAttention) -> Heads:
    weights = layer.in_proj_weight.chunk(3)
    none = (None, None, None)
    biases = none if layer.in_proj_bias is None else layer.in_proj_bias.chunk(3)
    output = layer.out_proj
    return Heads(
        layer.num_heads,
        layer.head_dim,
        tuple(zip(weights, biases, strict=True)),
        (output.weight, output.bias),
    )


def _heads(layer: Attention) -> Heads:
    inward = tuple((p.weight, p.bias) for p in (layer.queries, layer.keys, layer.values))
    output = layer.output
    return Heads(layer.heads, layer.head_size, inward, (output.weight, output.bias))


def take_heads(child: Heads, parent: Heads, read_as: ChannelMap, stream: ChannelMap) -> bool:
    """Carry the projections over.

    Args:
        child: Those of the child.
        parent: Those of the parent.
        read_as: Map of what queries, keys and values read.
        stream: Map of the signal to which the output is added.

    Returns:
        Whether all of the parent's heads are there.
    """
    outgoing = read(parent.outward[0])
    inner = _inner(child, parent, outgoing.abs().sum(0))
    known = inner != NONE
    for k, (own, theirs) in enumerate(zip(child.inward, parent.inward, strict=True)):
        factor = sqrt(child.size / parent.size) if k == 0 else 1.0
        weight = columns_of(read(theirs[0])[inner.clamp(min=0)], read_as) * factor
        bias = torch.zeros(len(inner), dtype=torch.float64) - weight @ read_as.offset
        if theirs[1] is not None:
            bias = bias + read(theirs[1])[inner.clamp(min=0)] * factor
        if k == 0:  # new dimensions of queries
            weight, bias = weight * known[:, None], bias * known
        write(own[0], weight, None if k == 0 else known)
        write(own[1], bias, None if k == 0 else known)
    there = stream.idx != NONE
    weight = rows_of(outgoing, stream)[:, inner.clamp(min=0)] * known * stream.scale
    write(child.outward[0], weight, there)
    if parent.outward[1] is not None:
        write(child.outward[1], rows_of(read(parent.outward[1]), stream) * stream.scale, there)
    return child.number >= parent.number and child.size >= parent.size


def _inner(child: Heads, parent: Heads, worth: Tensor) -> Tensor:
    """Return the parent's inner dimension of each of the child's, -1 for new ones.

    Where there is less room, the worthiest heads and the worthiest dimensions of each are kept.
    """
    table = worth.view(parent.number, parent.size)
    heads = table.sum(1).topk(min(child.number, parent.number)).indices.sort().values
    size = min(child.size, parent.size)
    found = torch.full((child.number, child.size), NONE)
    for k, head in enumerate(heads.tolist()):
        found[k, :size] = head * parent.size + table[head].topk(size).indices.sort().values
    return found.reshape(-1)


@take.register
def take_torch_attention(
    child: nn.MultiheadAttention,
    parent: nn.MultiheadAttention,
    way: ChannelMap,
    walk: Walk,
    out: Target | None = None,
) -> ChannelMap:
    """Carry PyTorch's attention over; what its output is added to has the map of its input."""
    if child.in_proj_weight is None or getattr(parent, "in_proj_weight", None) is None:
        walk.ledger.mark(child, "corner", parent)
        return way.lost(not (copy_corner(child, parent) and way.plain))
    way = fit(child, parent, way, walk, (child.embed_dim, parent.embed_dim))
    all_there = take_heads(_torch_heads(child), _torch_heads(parent), way, way)
    return way.lost(not all_there).but(last=True, low=-inf)


@insert.register
def insert_torch_attention(child: nn.MultiheadAttention, way: ChannelMap, walk: Walk) -> ChannelMap:
    """Make PyTorch's attention add nothing: output projection 0."""
    walk.ledger.mark(child, "inserted")
    amplify(child.out_proj, walk, 0.0)
    return way if way.known else corner(child.embed_dim, child.embed_dim)


@take.register
def take_attention(
    child: Attention,
    parent: nn.Module,
    way: ChannelMap,
    walk: Walk,
    out: Target | None = None,
) -> ChannelMap:
    """Carry attention and feed-forward part over; the stream keeps its map."""
    if not isinstance(parent, Attention):
        return insert_attention(child, way, walk)
    sizes = (child.output.out_features, parent.output.out_features)
    stream = fit(child, parent, way, walk, sizes).but(low=-inf, last=True)
    normal = take(child.attention_norm, parent.attention_norm, stream, walk)
    all_there = take_heads(_heads(child), _heads(parent), normal, stream)
    normal = take(child.feed_forward_norm, parent.feed_forward_norm, stream, walk)
    hidden = take(child.up, parent.up, normal, walk)
    hidden = take(child.activation, parent.activation, hidden, walk)
    added = take(child.down, parent.down, hidden, walk, lambda c, p: _unscaled(stream))
    amplify(child.down, walk, stream.scale)
    return stream.lost(not (all_there and normal.whole and added.whole))


def _unscaled(stream: ChannelMap) -> ChannelMap:
    return stream.but(scale=1.0, offset=torch.zeros_like(stream.offset))


@insert.register
def insert_attention(child: Attention, way: ChannelMap, walk: Walk) -> ChannelMap:
    """Make attention and feed-forward part add nothing: their output projections are 0."""
    walk.ledger.mark(child, "inserted")
    amplify(child.output, walk, 0.0)
    amplify(child.down, walk, 0.0)
    width = child.output.out_features
    return (way if len(way.idx) == width else way.fitted(width, width)).but(last=True)


@remove.register(nn.MultiheadAttention)
@remove.register(Attention)
def remove_attention(parent: nn.Module, way: ChannelMap) -> ChannelMap:
    """Return the map without what attention added to a stream."""
    return way.lost()
