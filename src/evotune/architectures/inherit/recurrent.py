"""LSTM, GRU and plain recurrent layers: rows within each gate, columns shared out.

A new one lets its input through by its gates: of an LSTM, input and output bias 4 and forget −4, a
candidate of .1 · identity, which comes out at .1 · σ(4)²; of a GRU, update bias −4.
"""

import math

import torch
from torch import Tensor, nn

from evotune.architectures.inherit.maps import NONE, ChannelMap, corner, grown, joined, kept
from evotune.architectures.inherit.passing import SMALL
from evotune.architectures.inherit.rules import (
    Recurrent,
    Target,
    Walk,
    copy_corner,
    fresh,
    insert,
    read,
    take,
    write,
)
from evotune.architectures.inherit.weights import columns_of, fit, sources

#: How far gates are opened or closed.
OPEN = 4.0


def _directions(layer: Recurrent) -> list[str]:
    return ["", "_reverse"] if layer.bidirectional else [""]


@take.register(nn.RNNBase)
def take_recurrent(
    child: Recurrent, parent: nn.Module, way: ChannelMap, walk: Walk, out: Target | None = None
) -> ChannelMap:
    """Carry a recurrent layer over, both directions and stacked ones too."""
    if not isinstance(parent, Recurrent) or child.mode != parent.mode:
        return fresh(child, way, walk)
    way = fit(child, parent, way, walk, (child.input_size, parent.input_size))
    if child.proj_size or parent.proj_size:
        walk.ledger.mark(child, "corner", parent)
        return way.forgotten().lost(not copy_corner(child, parent))
    whole = child.bidirectional >= parent.bidirectional and child.num_layers >= parent.num_layers
    for layer in range(child.num_layers):
        last = layer == child.num_layers - 1
        if layer < parent.num_layers:
            way = _take_layer(child, parent, layer, way, walk, out if last else None)
        else:
            way = _insert_layer(child, layer, way, walk)
    return way.lost(not whole).but(last=True)


def _take_layer(
    child: Recurrent,
    parent: Recurrent,
    layer: int,
    way: ChannelMap,
    walk: Walk,
    out: Target | None,
) -> ChannelMap:
    maps = []
    for direction in _directions(child):
        suffix = f"_l{layer}{direction}"
        if f"weight_ih{suffix}" not in dict(parent.named_parameters()):
            maps.append(corner(child.hidden_size, 0, whole=True))  # nobody listens to it yet
            continue
        target = _hidden(child, parent, suffix, walk, out)
        _write(child, parent, suffix, way, target)
        maps.append(target.clean(way, low=_low(child)))
    missing = len(_directions(parent)) - len(_directions(child))
    sizes = [(child.hidden_size, m.width) for m in maps]
    found = joined(maps, sizes)
    return found.but(width=found.width + missing * parent.hidden_size) if missing > 0 else found


def _low(layer: Recurrent) -> float:
    return 0.0 if layer.mode == "RNN_RELU" else -1.0


def _hidden(
    child: Recurrent, parent: Recurrent, suffix: str, walk: Walk, out: Target | None
) -> ChannelMap:
    """Return the map of the hidden units of one direction; the worthiest are kept."""
    size, width = child.hidden_size, parent.hidden_size
    if out is not None and len(_directions(child)) == 1:
        return out(size, width).but(scale=1.0)
    if size >= width:
        return grown(size, width, walk.rng)
    directions = len(_directions(parent))
    worth = walk.worth(parent, width * directions).view(directions, width)
    place = 1 if suffix.endswith("_reverse") else 0
    recurrent = read(getattr(parent, f"weight_hh{suffix}")).abs().sum(0)
    worth_here = worth[place] / worth[place].mean() + recurrent / recurrent.mean()
    return kept(torch.topk(worth_here, size).indices.sort().values, width, whole=False)


def _write(
    child: Recurrent, parent: Recurrent, suffix: str, way: ChannelMap, target: ChannelMap
) -> None:
    gates = getattr(parent, f"weight_hh{suffix}").shape[0] // parent.hidden_size
    start = torch.arange(gates)[:, None] * parent.hidden_size
    rows = (start + target.idx.clamp(min=0)).reshape(-1)
    known = (target.idx != NONE).repeat(gates)
    reads = read(getattr(parent, f"weight_ih{suffix}"))[rows]
    write(getattr(child, f"weight_ih{suffix}"), columns_of(reads, way), known)
    recurs = read(getattr(parent, f"weight_hh{suffix}"))[rows]
    write(getattr(child, f"weight_hh{suffix}"), columns_of(recurs, target.but(scale=1.0)), known)
    if child.bias and parent.bias:
        added = columns_of(reads, way) @ way.offset
        write(
            getattr(child, f"bias_ih{suffix}"),
            read(getattr(parent, f"bias_ih{suffix}"))[rows] - added,
            known,
        )
        write(
            getattr(child, f"bias_hh{suffix}"),
            read(getattr(parent, f"bias_hh{suffix}"))[rows],
            known,
        )


@insert.register(nn.RNNBase)
def insert_recurrent(child: Recurrent, way: ChannelMap, walk: Walk) -> ChannelMap:
    """Make a recurrent layer pass each step on."""
    if child.proj_size or not child.bias:
        return fresh(child, way, walk)
    walk.ledger.mark(child, "inserted")
    for layer in range(child.num_layers):
        way = _insert_layer(child, layer, way, walk)
    return way.but(last=True)


def _insert_layer(child: Recurrent, layer: int, way: ChannelMap, walk: Walk) -> ChannelMap:
    directions = _directions(child)
    inputs = getattr(child, f"weight_ih_l{layer}").shape[1]
    size = child.hidden_size
    src, out = sources(inputs, size * len(directions), way, walk)
    lost = child.mode == "RNN_RELU" and way.low < 0
    factor = 1.0 if child.mode == "RNN_RELU" else SMALL / way.scale
    for k, direction in enumerate(directions):
        part = slice(k * size, (k + 1) * size)
        _let_through(child, f"_l{layer}{direction}", src[part], factor, out.offset[part])
    slope = factor * _gain(child)
    offset = torch.zeros_like(out.offset)
    return out.but(scale=way.scale * slope, offset=offset, low=_low(child)).lost(lost)


def _gain(layer: Recurrent) -> float:
    opened = 1 / (1 + math.exp(-OPEN))
    return {"LSTM": opened**2, "GRU": opened}.get(layer.mode, 1.0)


def _let_through(child: Recurrent, suffix: str, src: Tensor, factor: float, offset: Tensor) -> None:
    size = child.hidden_size
    weight = torch.zeros_like(getattr(child, f"weight_ih{suffix}"), dtype=torch.float64)
    bias = torch.zeros(len(weight), dtype=torch.float64)
    candidate = {"LSTM": 2, "GRU": 2}.get(child.mode, 0) * size
    weight[candidate + torch.arange(size), src] = factor
    bias[candidate : candidate + size] = -factor * offset
    if child.mode == "LSTM":  # input, forget, candidate, output
        bias[:size], bias[size : 2 * size], bias[3 * size :] = OPEN, -OPEN, OPEN
    elif child.mode == "GRU":  # reset, update, candidate
        bias[size : 2 * size] = -OPEN
    write(getattr(child, f"weight_ih{suffix}"), weight)
    write(getattr(child, f"bias_ih{suffix}"), bias)
    for name in ("weight_hh", "bias_hh"):
        tensor = getattr(child, f"{name}{suffix}")
        write(tensor, torch.zeros_like(tensor))
