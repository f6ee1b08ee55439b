"""Activations and pools: what they leave of a signal, and how a new one lets it through.

A new activation that is curved at 0, such as tanh or GELU, gets a small signal: .1 of what it was,
so that it acts as a line. One with a corner at 0, such as ReLU, passes what is never negative; what
may be negative down to a bound is lifted above 0.
"""

from dataclasses import replace
from math import inf

import torch
from torch import Tensor, nn

from evotune.architectures.inherit.maps import ChannelMap
from evotune.architectures.inherit.rules import (
    Affine,
    Norms,
    Target,
    Walk,
    insert,
    read,
    take,
    write,
)

#: Scale at which a signal passes a curved activation.
SMALL = 0.1
#: Least values of activations.
LOWS: dict[type[nn.Module], float] = {
    nn.ReLU: 0.0,
    nn.ReLU6: 0.0,
    nn.Sigmoid: 0.0,
    nn.Hardsigmoid: 0.0,
    nn.Softplus: 0.0,
    nn.GELU: -0.17,
    nn.SiLU: -0.279,
    nn.Mish: -0.31,
    nn.Hardswish: -0.375,
    nn.ELU: -1.0,
    nn.Tanh: -1.0,
    nn.Hardtanh: -1.0,
    nn.Softsign: -1.0,
}
_NOT_BY_ELEMENT = (nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.Softmax2d, nn.GLU)


ACTIVATIONS: tuple[type[nn.Module], ...] = tuple(
    kind
    for name in nn.modules.activation.__all__
    for kind in [getattr(nn, name)]
    if kind not in (*_NOT_BY_ELEMENT, nn.MultiheadAttention, nn.PReLU)
)


def behind(activation: nn.Module, low: float) -> float:
    """Return the least value behind an activation of values that are at least `low`."""
    bound = LOWS.get(type(activation), -inf)
    if _keeps_positive(activation) and low >= 0:
        return low
    return bound


def take_activation(
    child: nn.Module, parent: nn.Module, way: ChannelMap, walk: Walk, out: Target | None = None
) -> ChannelMap:
    """Return the map behind an activation that both have."""
    if way.known and bool(way.offset.any()):
        way = way.lost()
    if way.scale != 1.0 and not _keeps_scale(child):
        way = way.lost()
    same = type(child) is type(parent) and repr(child) == repr(parent)
    return way.lost(not same).but(narrow=None, low=behind(child, way.low))


@torch.no_grad()
def insert_activation(
    child: nn.Module, way: ChannelMap, walk: Walk, before: nn.Module | None = None
) -> ChannelMap:
    """Let a signal through a new activation.

    Args:
        child: The activation.
        way: Map of what it reads.
        walk: What all rules share.
        before: The new affine layer in front of it, which sets scale and offset; None if there is
            none.
    """
    if _keeps_positive(child) and way.low >= 0 and way.narrow is None:
        return way
    left, right, at_zero = _at_zero(child)
    if abs(left - right) > 0.01 or right == 0:  # a corner at 0
        if way.narrow is not None:
            narrow = replace(way.narrow, slopes=left + right)
            return way.lost().but(low=behind(child, way.low), narrow=narrow)
        lift = max(0.0, -way.low)
        if before is None or lift == inf or not amplify(before, walk, 1.0, lift):
            return way.lost().but(low=behind(child, way.low))
        return way.but(offset=way.offset + lift, low=0.0)
    factor = SMALL / way.scale
    if before is None or not amplify(before, walk, factor):
        return way.lost().but(low=behind(child, way.low))
    return way.but(
        scale=way.scale * factor * right,
        offset=way.offset * factor * right + at_zero,
        low=behind(child, -inf),
    )


def _at_zero(activation: nn.Module) -> tuple[float, float, float]:
    """Return the slopes left and right of 0, and the value there."""
    step = 1e-4
    low, zero, high = _values(activation, (-step, 0.0, step))
    return (zero - low) / step, (high - zero) / step, zero


def _keeps_positive(activation: nn.Module) -> bool:
    values = (0.01, 0.5, 3.0, 100.0)
    return _values(activation, values) == list(values)


def _keeps_scale(activation: nn.Module) -> bool:
    """Whether twice the signal gives twice the result."""
    once, twice = _values(activation, (-3.0, -0.5, 0.5)), _values(activation, (-6.0, -1.0, 1.0))
    return [2 * value for value in once] == twice


def _values(activation: nn.Module, at: tuple[float, ...]) -> list[float]:
    if isinstance(activation, nn.PReLU):
        slope = float(read(activation.weight).mean())
        return [x if x > 0 else slope * x for x in at]
    with torch.no_grad():
        found: list[float] = activation(torch.tensor(at, dtype=torch.float64)).tolist()
    return found


def amplify(layer: nn.Module, walk: Walk, factor: float, add: float = 0.0) -> bool:
    """Multiply the output of an affine layer by a factor, then add a number.

    Returns:
        Whether it can.
    """
    waits = walk.waiting.get(layer)
    if waits is not None and waits.factor is not None:
        if add and getattr(layer, "bias", None) is None:
            return False
        waits.factor, waits.add = waits.factor * factor, waits.add * factor + add
        return True
    bias = getattr(layer, "bias", None)
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor) or (add and bias is None):
        return False
    write(weight, read(weight) * factor)
    if bias is not None:
        write(bias, read(bias) * factor + add)
    return True


def last_affine(module: nn.Module) -> nn.Module | None:
    """Return the layer that sets the scale of a module's output, if it ends with one."""
    last: nn.Module | None = None
    for part in module.modules():
        if isinstance(part, (*Affine, *Norms)):
            last = part
        elif isinstance(part, ACTIVATIONS):
            last = None
    return last


@take.register
def take_prelu(
    child: nn.PReLU, parent: nn.PReLU, way: ChannelMap, walk: Walk, out: Target | None = None
) -> ChannelMap:
    """Carry the slopes of a PReLU over."""
    slopes = read(parent.weight)
    if child.num_parameters == 1 or len(slopes) == 1:
        write(child.weight, slopes.mean().expand(child.num_parameters))
    else:
        fitted = way.fitted(child.num_parameters, len(slopes))
        write(child.weight, slopes[fitted.idx.clamp(min=0)])
    walk.ledger.mark(child, "taken", parent)
    return way.but(low=-inf)


@insert.register
def insert_prelu(child: nn.PReLU, way: ChannelMap, walk: Walk) -> ChannelMap:
    """Make a PReLU an identity."""
    write(child.weight, torch.ones(child.num_parameters))
    walk.ledger.mark(child, "inserted")
    return way


for kind in ACTIVATIONS:
    take.register(kind)(take_activation)
    insert.register(kind)(insert_activation)
