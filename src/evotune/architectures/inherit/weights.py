"""Linear layers, convolutions and embeddings.

A layer with weight W, outputs × inputs, becomes

    W′[i, j] = W[out.idx[i], in.idx[j]] · in.share[j] / scale        (1)

with kernels aligned at their centres; what was added to the input is subtracted from the bias.
"""

from math import inf

import torch
from torch import Tensor, nn

from evotune.architectures.inherit.maps import NONE, ChannelMap, Narrow, corner, repeats, split
from evotune.architectures.inherit.rules import (
    Conv,
    ConvTranspose,
    Target,
    Walk,
    fresh,
    insert,
    read,
    take,
    write,
)


def rows_of(tensor: Tensor, out: ChannelMap) -> Tensor:
    """Return the parent's rows in the child's order, ``(channels, ...)``."""
    return tensor[out.idx.clamp(min=0)]


def columns_of(weight: Tensor, way: ChannelMap) -> Tensor:
    """Return the parent's columns in the child's order, shared out, eq. 1."""
    share = (way.share / way.scale).view(-1, *[1] * (weight.dim() - 2))
    return weight[:, way.idx.clamp(min=0)] * share


def finish(
    child: nn.Linear | Conv,
    parent: nn.Linear | Conv,
    weight: Tensor,
    way: ChannelMap,
    out: ChannelMap,
) -> ChannelMap:
    """Write the bias, less what was added to the input; without one, it is added to the output."""
    known = out.idx != NONE
    added = torch.einsum("ij...,j->i", weight, way.offset)
    bias = rows_of(read(parent.bias), out) if parent.bias is not None else torch.zeros_like(added)
    if child.bias is not None:
        write(child.bias, bias - added, known)
        added = torch.zeros_like(added)
    else:
        added = added - bias
    offset = torch.where(known, added, 0.0)
    return out.clean(way, offset=offset, scale=1.0, low=-inf)


@take.register
def take_linear(
    child: nn.Linear, parent: nn.Linear, way: ChannelMap, walk: Walk, out: Target | None = None
) -> ChannelMap:
    """Carry a linear layer over, also behind a flattened signal."""
    narrow = way.narrow if not way.whole and len(way.idx) == child.in_features else None
    if narrow is not None and narrow.before.whole:
        return _through(child, parent, way, narrow, walk, out)
    way = fit(child, parent, way, walk, (child.in_features, parent.in_features))
    target = walk.choose(parent, child.out_features, parent.out_features, out)
    weight = rows_of(columns_of(read(parent.weight), way), target)
    write(child.weight, weight, target.idx != NONE)
    return finish(child, parent, weight, way, target).but(last=True)


def _through(
    child: nn.Linear,
    parent: nn.Linear,
    way: ChannelMap,
    narrow: Narrow,
    walk: Walk,
    out: Target | None,
) -> ChannelMap:
    """Let a new layer in front do the parent's sums z, and pass them on.

    Behind a corner at 0, as of ReLU, that takes two units a sum: z = relu(z) - relu(-z).
    """
    sums, units = parent.out_features, child.in_features
    signs = [1.0, -1.0] if narrow.slopes else [1.0]
    if len(signs) * sums > units:
        return take_linear(child, parent, way.but(narrow=None), walk, out)
    factor = float(read(narrow.layer.weight).max())  # it was an identity
    before = narrow.before.fitted(narrow.layer.in_features, parent.in_features, walk.shape)
    weight = columns_of(read(parent.weight), before)
    full = narrow.built.clone()
    full[: len(signs) * sums] = torch.cat([factor * sign * weight for sign in signs])
    bias = torch.zeros(units, dtype=torch.float64)
    bias[: len(signs) * sums] = -full[: len(signs) * sums] @ before.offset
    write(narrow.layer.weight, full)
    write(narrow.layer.bias, bias)
    read_as = corner(units, sums, scale=way.scale, whole=before.whole)
    share = torch.zeros(units, dtype=torch.float64)
    share[: len(signs) * sums] = torch.tensor(signs).repeat_interleave(sums) / (narrow.slopes or 1)
    places = torch.arange(units) % sums
    read_as = read_as.but(idx=places, share=share, offset=way.offset)
    walk.ledger.mark(child, "taken", parent)
    target = walk.choose(parent, child.out_features, sums, out)
    rows = rows_of(columns_of(torch.eye(sums, dtype=torch.float64), read_as), target)
    write(child.weight, rows, target.idx != NONE)
    return finish(child, parent, rows, read_as, target).but(last=True)


def fit(
    child: nn.Module, parent: nn.Module, way: ChannelMap, walk: Walk, sizes: tuple[int, int]
) -> ChannelMap:
    """Return the map of what a layer reads, and note how it was taken."""
    fitted = way.fitted(*sizes, walk.shape)
    by_place = not fitted.whole and bool((fitted.share == 0).any())
    walk.ledger.mark(child, "corner" if by_place else "taken", parent)
    if by_place:
        walk.ledger.mark(child, "taken", parent)
    return fitted


@take.register(Conv)
def take_conv(
    child: Conv, parent: nn.Module, way: ChannelMap, walk: Walk, out: Target | None = None
) -> ChannelMap:
    """Carry a convolution over: other widths, another kernel, groups, transposed ones too."""
    if not isinstance(parent, Conv) or parent.weight.dim() != child.weight.dim():
        return fresh(child, way, walk)
    way = fit(child, parent, way, walk, (child.in_channels, parent.in_channels))
    target = _target(child, parent, way, walk, out)
    weight = rows_of(columns_of(_dense(parent), _by_group(child, parent, way)), target)
    weight, cut = centred(weight, child.weight.shape[2:])
    weight = weight * _within_groups(child)
    write_dense(child, weight, target)
    same = (parent.stride, parent.dilation) == (child.stride, child.dilation)
    border = bool(way.offset.any()) and max(child.kernel_size) > 1
    whole = same and not cut and not border and _covered(child, parent, way)
    return (
        finish(child, parent, weight, way, target).but(last=child.weight.dim() == 3).lost(not whole)
    )


def _within_groups(conv: Conv) -> Tensor:
    """Return 1 where an output reads an input, else 0, of the dimensions of a dense weight."""
    outputs, inputs = (
        torch.arange(n) // (n // conv.groups) for n in (conv.out_channels, conv.in_channels)
    )
    reads = (outputs[:, None] == inputs).to(conv.weight)
    return reads.view(*reads.shape, *[1] * (conv.weight.dim() - 2))


def _dense(conv: Conv) -> Tensor:
    """Return the weight of a convolution with all groups, ``(outputs, inputs, *kernel)``."""
    weight = read(conv.weight)
    if isinstance(conv, ConvTranspose):  # (inputs, outputs / groups, *kernel)
        parts = [part.transpose(0, 1) for part in weight.chunk(conv.groups)]
    else:
        parts = list(weight.chunk(conv.groups))
    inputs = conv.in_channels // conv.groups
    dense = weight.new_zeros(conv.out_channels, conv.in_channels, *weight.shape[2:])
    for g, part in enumerate(parts):
        rows = slice(g * len(part), (g + 1) * len(part))
        dense[rows, g * inputs : (g + 1) * inputs] = part
    return dense


def write_dense(conv: Conv, dense: Tensor, out: ChannelMap) -> None:
    """Write what a convolution with groups can hold of a dense weight."""
    known = (out.idx != NONE).view(-1, *[1] * (dense.dim() - 1))
    dense = torch.where(known, dense, _dense(conv))
    parts = []
    outputs, inputs = (n // conv.groups for n in (conv.out_channels, conv.in_channels))
    for g in range(conv.groups):
        part = dense[g * outputs : (g + 1) * outputs, g * inputs : (g + 1) * inputs]
        parts.append(part.transpose(0, 1) if isinstance(conv, ConvTranspose) else part)
    write(conv.weight, torch.cat(parts))


def _is_depthwise(conv: Conv) -> bool:
    return conv.groups == conv.in_channels > 1 and not isinstance(conv, ConvTranspose)


def _target(
    child: Conv, parent: Conv, way: ChannelMap, walk: Walk, out: Target | None
) -> ChannelMap:
    """Return the map of the output; a depthwise convolution's is that of its input."""
    each, of_parent = (c.out_channels // c.in_channels for c in (child, parent))
    if not (_is_depthwise(child) and _is_depthwise(parent) and each == of_parent):
        return walk.choose(parent, child.out_channels, parent.out_channels, out)
    more = torch.arange(each)
    idx = torch.where(way.idx[:, None] == NONE, NONE, way.idx[:, None] * each + more)
    return way.but(
        idx=idx.reshape(-1),
        share=way.share.repeat_interleave(each),
        offset=way.offset.repeat_interleave(each),
        width=parent.out_channels,
    )


def _by_group(child: Conv, parent: Conv, way: ChannelMap) -> ChannelMap:
    """Return the map with shares that add up to 1 within each group that reads them."""
    if child.groups == 1:
        return way
    groups = torch.arange(child.in_channels) // (child.in_channels // child.groups)
    cell = groups * way.width + way.idx.clamp(min=0)
    total = torch.zeros(child.groups * way.width, dtype=torch.float64)
    total.index_add_(0, cell, way.share)
    return way.but(share=way.share / total[cell].clamp(min=1e-12))


def _covered(child: Conv, parent: Conv, way: ChannelMap) -> bool:
    """Whether each group of the child reads all that its outputs read in the parent."""
    return (
        child.groups == parent.groups == 1
        or (
            _is_depthwise(child)
            and _is_depthwise(parent)
            and child.out_channels * parent.in_channels == parent.out_channels * child.in_channels
        )
        or (child.groups == parent.groups and way.plain)
    )


def centred(weight: Tensor, kernel: torch.Size) -> tuple[Tensor, bool]:
    """Return a weight padded with zeros, or cropped, around the centre of its kernel.

    Args:
        weight: ``(outputs, inputs, *kernel)``.
        kernel: Sizes that it is to have.

    Returns:
        The weight, and whether anything was cut off.
    """
    cut = False
    for dim, size in enumerate(kernel, start=2):
        old = weight.shape[dim]
        shift = (size - 1) // 2 - (old - 1) // 2
        first, end = max(0, shift), min(size, old + shift)
        moved = weight.new_zeros(*weight.shape[:dim], size, *weight.shape[dim + 1 :])
        part = weight.narrow(dim, first - shift, end - first)
        moved.narrow(dim, first, end - first).copy_(part)
        cut = cut or size < old
        weight = moved
    return weight, cut


@take.register
def take_embedding(
    child: nn.Embedding,
    parent: nn.Embedding,
    way: ChannelMap,
    walk: Walk,
    out: Target | None = None,
) -> ChannelMap:
    """Carry an embedding over: other widths; words are told by their numbers."""
    walk.ledger.mark(child, "taken", parent)
    target = walk.choose(parent, child.embedding_dim, parent.embedding_dim, out)
    words = min(child.num_embeddings, parent.num_embeddings)
    weight = rows_of(read(parent.weight)[:words].t(), target)
    write(child.weight.t()[:, :words], weight, target.idx != NONE)
    whole = child.num_embeddings >= parent.num_embeddings
    return target.but(last=True).lost(not (whole and way.whole))


def sources(inputs: int, outputs: int, way: ChannelMap, walk: Walk) -> tuple[Tensor, ChannelMap]:
    """Choose what the outputs of a layer that passes its input on are.

    Args:
        inputs: Channels that it reads.
        outputs: Channels behind it.
        way: Map of what it reads.
        walk: What all rules share.

    Returns:
        The input of each output, ``(outputs,)``, and the map of the output.
    """
    way = of_inputs(way, inputs, walk)
    if outputs < inputs:
        src = torch.arange(outputs)
        return src, _picked(way, src, way.share[src]).lost()
    src = repeats(outputs, inputs, walk.rng)
    return src, _picked(way, src, way.share[src] * split(src, inputs, walk.rng))


def of_inputs(way: ChannelMap, inputs: int, walk: Walk) -> ChannelMap:
    """Return the map of so many inputs of a new layer: the parent's signal has the same places."""
    if len(way.idx) == inputs:
        return way
    places = inputs // len(way.idx) if way.known and inputs % len(way.idx) == 0 else 0
    return way.fitted(inputs, way.width * places or inputs, walk.shape)


def _picked(way: ChannelMap, src: Tensor, share: Tensor) -> ChannelMap:
    return way.but(idx=way.idx[src], share=share, offset=way.offset[src])


@insert.register
def insert_linear(child: nn.Linear, way: ChannelMap, walk: Walk) -> ChannelMap:
    """Make a linear layer an identity."""
    src, out = sources(child.in_features, child.out_features, way, walk)
    walk.ledger.mark(child, "inserted")
    lossy = child.out_features < child.in_features or way.low == -inf
    narrow = Narrow(child, read(child.weight).clone(), way) if lossy else None
    weight = torch.zeros(child.out_features, child.in_features, dtype=torch.float64)
    weight[torch.arange(len(src)), src] = 1
    write(child.weight, weight)
    write(child.bias, torch.zeros(len(src)))
    return out.but(last=True, narrow=narrow)


@insert.register(Conv)
def insert_conv(child: Conv, way: ChannelMap, walk: Walk) -> ChannelMap:
    """Make a convolution an identity: 1 at the centre of its kernel."""
    moves = max(child.stride) > 1 or isinstance(child, ConvTranspose)
    if moves or (child.groups > 1 and not _is_depthwise(child)):
        return fresh(child, way, walk)
    way = of_inputs(way, child.in_channels, walk)
    src, out = sources(child.in_channels, child.out_channels, way, walk)
    if _is_depthwise(child):
        src = torch.arange(child.out_channels) // (child.out_channels // child.in_channels)
        share = way.share[src] / torch.bincount(src)[src]
        out = _picked(way, src, share)
    walk.ledger.mark(child, "inserted")
    dense = torch.zeros(
        child.out_channels, child.in_channels, *child.kernel_size, dtype=torch.float64
    )
    centre = tuple(torch.tensor((size - 1) // 2) for size in child.kernel_size)
    dense[(torch.arange(len(src)), src, *centre)] = 1
    write_dense(child, dense, corner(child.out_channels, child.out_channels))
    write(child.bias, torch.zeros(len(src)))
    return out.but(last=child.weight.dim() == 3)
