"""Modules in order: the parts of a network, the layers of a chain, what a block is made of."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from evotune.architectures.inherit.align import Step, align, likeness_of, names_of
from evotune.architectures.inherit.branches import into_image
from evotune.architectures.inherit.maps import NONE, ChannelMap
from evotune.architectures.inherit.norms import BatchNorm
from evotune.architectures.inherit.passing import ACTIVATIONS, insert_activation
from evotune.architectures.inherit.rules import (
    Affine,
    Norms,
    Target,
    Walk,
    fresh,
    has_width,
    insert,
    read,
    remove,
    take,
    write,
)


@take.register
def take_sequence(
    child: nn.Sequential,
    parent: nn.Module,
    way: ChannelMap,
    walk: Walk,
    out: Target | None = None,
) -> ChannelMap:
    """Carry modules in order over; of equal names, those that are most alike belong together."""
    if not isinstance(parent, nn.Sequential):
        return fresh(child, way, walk)
    steps = align(names_of(child), names_of(parent), likeness_of(child, parent))
    return follow(child, parent, steps, way, walk, out)


def follow(
    child: nn.Module,
    parent: nn.Module,
    steps: Sequence[Step],
    way: ChannelMap,
    walk: Walk,
    out: Target | None = None,
) -> ChannelMap:
    """Follow an alignment of the children of two modules.

    Args:
        child: The child's module.
        parent: The parent's.
        steps: The alignment.
        way: Map of what they read.
        walk: What all rules share.
        out: What the map of the output needs to be.
    """
    mine, theirs = list(child.children()), list(parent.children())
    wide = [k for k, module in enumerate(mine) if has_width(module)]
    before: nn.Module | None = None  # the child's affine layer that the signal comes from
    new = replaced = False  # whether that layer is new; whether the parent's layers here are lost
    for c, p in steps:
        if c is None:
            source = theirs[p or 0]
            walk.drop(source)
            if isinstance(source, BatchNorm) and before is not None and not new:
                way = fold(before, source, way)
            else:
                way = remove(source, way)
            replaced = replaced or (has_width(source) and not way.known)
        elif p is None:
            module = mine[c]
            if replaced and has_width(module):
                way = fresh(module, way, walk)
            elif isinstance(module, ACTIVATIONS):
                way = insert_activation(module, way, walk, before if new else None)
            else:
                way = insert(module, way, walk)
            before, new = (module, True) if isinstance(module, _SCALING) else (before, new)
        else:
            module = mine[c]
            wanted = out if wide and c == wide[-1] else None
            if wanted is None and c + 1 < len(mine) and p + 1 < len(theirs):
                wanted = into_image(theirs[p], mine[c + 1], theirs[p + 1], walk)
            way = take(module, theirs[p], way, walk, wanted)
            before, new = (module, False) if isinstance(module, _SCALING) else (before, new)
            replaced = False
    return way


_SCALING = (*Affine, *Norms)


@insert.register
def insert_sequence(child: nn.Sequential, way: ChannelMap, walk: Walk) -> ChannelMap:
    """Make modules in order pass their input on."""
    parts = list(child.children())
    steps = [Step(k, None) for k in range(len(parts))]
    return follow(child, nn.Sequential(), steps, way, walk)


@remove.register
def remove_sequence(parent: nn.Sequential, way: ChannelMap) -> ChannelMap:
    """Return the map behind modules in order that only the parent has."""
    for part in parent.children():
        way = remove(part, way)
    return way


def fold(layer: nn.Module, norm: nn.Module, way: ChannelMap) -> ChannelMap:
    """Let a layer do what the parent's batch normalisation behind it did in evaluation mode."""
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    mean, var = (getattr(norm, name, None) for name in ("running_mean", "running_var"))
    if mean is None or var is None or bias is None or weight is None or len(way.idx) != len(bias):
        return remove.dispatch(object)(norm, way)
    factor = (read(var) + float(norm.eps)) ** -0.5  # type: ignore[arg-type]
    if norm.weight is not None:
        factor = factor * read(norm.weight)  # type: ignore[arg-type]
    add = -read(mean) * factor
    if norm.bias is not None:
        add = add + read(norm.bias)  # type: ignore[arg-type]
    idx, known = way.idx.clamp(min=0), way.idx != NONE
    write(weight, read(weight) * _by_row(factor[idx], weight), known)
    write(bias, (read(bias) - way.offset) * factor[idx] + add[idx], known)
    return way.but(offset=torch.zeros_like(way.offset))


def _by_row(values: Tensor, weight: Tensor) -> Tensor:
    return values.view(-1, *[1] * (weight.dim() - 1))
