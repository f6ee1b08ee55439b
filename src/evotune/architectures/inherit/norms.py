"""Normalisations; a new one gives back what it took away, by the statistics of a batch."""

from math import inf

import torch
from torch import Tensor, nn

from evotune.architectures.inherit.maps import NONE, ChannelMap
from evotune.architectures.inherit.rules import (
    Target,
    Waiting,
    Walk,
    copy_corner,
    insert,
    read,
    take,
    write,
)
from evotune.architectures.inherit.weights import rows_of

BatchNorm = nn.modules.batchnorm._BatchNorm
_NormBase = nn.modules.batchnorm._NormBase


@take.register(_NormBase)
def take_batch_norm(
    child: _NormBase, parent: nn.Module, way: ChannelMap, walk: Walk, out: Target | None = None
) -> ChannelMap:
    """Carry gain, offset, mean and variance over; a scaled or shifted input is normalised away."""
    if not isinstance(parent, _NormBase):
        return insert(child, way, walk)
    way = way.fitted(child.num_features, parent.num_features)
    walk.ledger.mark(child, "taken", parent)
    known = way.idx != NONE
    for name in ("weight", "bias"):
        _write_rows(child, parent, name, way, known)
    if parent.running_mean is not None and parent.running_var is not None:
        mean, var = (rows_of(read(t), way) for t in (parent.running_mean, parent.running_var))
        write(child.running_mean, way.scale * mean + way.offset, known)
        var = way.scale**2 * (var + parent.eps) - child.eps
        write(child.running_var, var.clamp(min=0), known)
        if parent.num_batches_tracked is not None:
            write(child.num_batches_tracked, parent.num_batches_tracked)
    if not way.whole:
        walk.waiting[child] = Waiting()
    return _normal(way)


def _normal(way: ChannelMap) -> ChannelMap:
    return way.but(scale=1.0, offset=torch.zeros_like(way.offset), low=-inf, narrow=None)


def _write_rows(
    child: nn.Module, parent: nn.Module, name: str, way: ChannelMap, known: Tensor
) -> None:
    own, theirs = getattr(child, name, None), getattr(parent, name, None)
    if own is not None and theirs is not None:
        write(own, rows_of(read(theirs), way), known)


@take.register(nn.LayerNorm)
@take.register(nn.GroupNorm)
@take.register(nn.RMSNorm)
def take_layer_norm(
    child: nn.LayerNorm | nn.GroupNorm | nn.RMSNorm,
    parent: nn.Module,
    way: ChannelMap,
    walk: Walk,
    out: Target | None = None,
) -> ChannelMap:
    """Carry gain and offset over; exact where every channel is repeated equally often."""
    if type(parent) is not type(child):
        return insert(child, way, walk)
    if child.weight is not None and child.weight.dim() != 1:
        equal = copy_corner(child, parent)
        walk.ledger.mark(child, "taken" if equal else "corner", parent)
        return way.lost(not (equal and way.plain))
    walk.ledger.mark(child, "taken", parent)
    if child.weight is None or parent.weight is None:
        return _normal(way)
    way = way.fitted(len(child.weight), len(parent.weight))
    for name in ("weight", "bias"):
        _write_rows(child, parent, name, way, way.idx != NONE)
    times = torch.bincount(way.idx.clamp(min=0), minlength=way.width)
    even = bool((times == times[0]).all())
    shifted = bool((way.offset != way.offset[0]).any())
    way = _normal(way)
    return way.lost(not even or shifted)


@insert.register(_NormBase)
def insert_batch_norm(child: _NormBase, way: ChannelMap, walk: Walk) -> ChannelMap:
    """Make a batch normalisation an identity: gain √(var + eps), offset mean."""
    walk.ledger.mark(child, "inserted")
    if child.weight is None or child.running_mean is None:
        return way.lost().but(low=-inf)
    return _give_back(child, way, walk)


def _give_back(child: nn.Module, way: ChannelMap, walk: Walk) -> ChannelMap:
    """Let a new normalisation be an identity, which also takes back what was added."""
    if getattr(child, "bias", None) is None:
        walk.waiting[child] = Waiting(1.0)
        return way
    walk.waiting[child] = Waiting(1.0, -way.offset if way.known else 0.0)
    low = -inf if bool(way.offset.any()) else way.low
    return way.but(offset=torch.zeros_like(way.offset), low=low)


@insert.register(nn.LayerNorm)
@insert.register(nn.GroupNorm)
@insert.register(nn.RMSNorm)
def insert_layer_norm(
    child: nn.LayerNorm | nn.GroupNorm | nn.RMSNorm, way: ChannelMap, walk: Walk
) -> ChannelMap:
    """Make a layer normalisation as near an identity as it can be."""
    walk.ledger.mark(child, "inserted")
    if isinstance(child, nn.LayerNorm) and child.weight is not None:
        way = _give_back(child, way, walk)
    return way.lost().but(low=-inf, narrow=None)
