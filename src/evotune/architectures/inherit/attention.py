"""Attention: heads stay whole, further ones are not listened to at first.

A head of the child is one of the parent's or new. New heads, and new dimensions of a head, have
outgoing weights 0; so that a head's scores stay the same, new dimensions of its queries are 0 too,
and queries are multiplied by √(size/old size).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from evotune.architectures.inherit.maps import NONE, ChannelMap, corner
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
    """How the inner dimensions of an attention are made up.

    Attributes:
        number: Number of heads.
        size: Dimensions of each.
    """

    number: int
    size: int


def inner_map(child: Heads, parent: Heads, worth: Tensor) -> Tensor:
    """Return the parent's inner dimension of each of the child's, -1 for new ones.

    Args:
        child: Heads of the child.
        parent: Heads of the parent.
        worth: Of the parent's inner dimensions, ``(number · size,)``: where there is less room,
            the worthiest heads and the worthiest dimensions of each are kept.

    Returns:
        ``(child.number · child.size,)``.
    """
    table = worth.view(parent.number, parent.size)
    heads = table.sum(1).topk(min(child.number, parent.number)).indices.sort().values
    size = min(child.size, parent.size)
    found = torch.full((child.number, child.size), NONE)
    for k, head in enumerate(heads.tolist()):
        places = table[head].topk(size).indices.sort().values
        found[k, :size] = head * parent.size + places
    return found.reshape(-1)


def query_factor(child: Heads, parent: Heads) -> float:
    """Return the factor of queries that keeps scores q · k / √size the same."""
    return float((child.size / parent.size) ** 0.5)


def is_smaller(child: Heads, parent: Heads) -> bool:
    """Whether a part of the parent's heads is left out."""
    return child.number < parent.number or child.size < parent.size


@take.register
def take_attention(
    child: nn.MultiheadAttention,
    parent: nn.MultiheadAttention,
    way: ChannelMap,
    walk: Walk,
    out: Target | None = None,
) -> ChannelMap:
    """Carry PyTorch's attention of a signal to itself over; the stream's map stays as it is."""
    simple = (
        child.in_proj_weight is not None and getattr(parent, "in_proj_weight", None) is not None
    )
    if not simple or (child.in_proj_bias is None) != (parent.in_proj_bias is None):
        walk.ledger.mark(child, "corner", parent)
        return way.lost(not (copy_corner(child, parent) and way.plain))
    way = fit(child, parent, way, walk, (child.embed_dim, parent.embed_dim))
    mine, theirs = (Heads(m.num_heads, m.head_dim) for m in (child, parent))
    outgoing = read(parent.out_proj.weight)
    inner = inner_map(mine, theirs, outgoing.abs().sum(0))
    for name in ("in_proj_weight", "in_proj_bias"):
        _take_in(child, parent, name, way, (inner, query_factor(mine, theirs)))
    known = inner != NONE
    weight = rows_of(outgoing, way)[:, inner.clamp(min=0)] * known * way.scale
    write(child.out_proj.weight, weight)
    if child.out_proj.bias is not None and parent.out_proj.bias is not None:
        write(child.out_proj.bias, rows_of(read(parent.out_proj.bias), way) * way.scale)
    return way.lost(is_smaller(mine, theirs)).but(last=True, low=-torch.inf)


def _take_in(
    child: nn.MultiheadAttention,
    parent: nn.MultiheadAttention,
    name: str,
    way: ChannelMap,
    inner: tuple[Tensor, float],
) -> None:
    own, theirs = getattr(child, name), getattr(parent, name)
    if own is None:
        return
    places, factor = inner
    known = places != NONE
    shift = torch.zeros(())
    for k, (mine, source) in enumerate(zip(own.chunk(3), read(theirs).chunk(3), strict=True)):
        rows = source[places.clamp(min=0)]
        if rows.dim() == 2:
            rows = columns_of(rows, way)
        else:
            full = read(parent.in_proj_weight).chunk(3)[k][places.clamp(min=0)]
            shift = columns_of(full, way) @ way.offset
            rows = rows - shift
        if k == 0:  # new dimensions of queries are 0
            where = known.view(-1, *[1] * (rows.dim() - 1))
            write(mine, torch.where(where, rows * factor, 0.0))
        else:
            write(mine, rows, known)


@insert.register
def insert_attention(child: nn.MultiheadAttention, way: ChannelMap, walk: Walk) -> ChannelMap:
    """Make PyTorch's attention add nothing: output projection 0, as behind a skip."""
    walk.ledger.mark(child, "inserted")
    write(child.out_proj.weight, torch.zeros_like(child.out_proj.weight))
    if child.out_proj.bias is not None:
        write(child.out_proj.bias, torch.zeros_like(child.out_proj.bias))
    return way if way.known else corner(child.embed_dim, child.embed_dim)


@remove.register
def remove_attention(parent: nn.MultiheadAttention, way: ChannelMap) -> ChannelMap:
    """Return the map without what attention added to a stream."""
    return way.lost()
