"""The three things that may become of a layer, each a function with a rule for each kind of module.

`take` carries a layer's weights to the child's layer, `insert` makes a new layer pass its input on,
and `remove` says what is left of the map behind a layer that the child lacks. Rules are registered
for a type of module by the files beside this one; what is here is for modules without a rule.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evotune.architectures.inherit.maps import ChannelMap, corner, grown, kept, unknown
from evotune.architectures.inherit.record import Ledger
from evotune.errors import TaskError

#: Gives the map that the output of a layer needs to have, of its channels and the parent's.
Target = Callable[[int, int], ChannelMap]
Recurrent = nn.RNNBase
Conv = nn.modules.conv._ConvNd
ConvTranspose = nn.modules.conv._ConvTransposeNd
Affine = (nn.Linear, Conv)
Norms = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
Weighted = (*Affine, Recurrent, nn.Embedding, nn.MultiheadAttention)
_DROPOUTS = nn.modules.dropout._DropoutNd
_PADS = (
    nn.modules.padding._ConstantPadNd,
    nn.modules.padding._ReflectionPadNd,
    nn.modules.padding._ReplicationPadNd,
)
Passive = (nn.Identity, nn.Flatten, nn.Unflatten, _DROPOUTS, *_PADS)


@dataclass(slots=True)
class Waiting:
    """A new or doubtful normalisation, to be set by the statistics of a batch.

    Attributes:
        factor: What its output is to be, divided by its input; None keeps gain and offset.
        add: What is added to its output, a number or one a channel.
    """

    factor: float | None = None
    add: Tensor | float = 0.0


@dataclass(slots=True)
class Walk:
    """What the rules share on one way along two networks.

    Attributes:
        rng: Random generator.
        ledger: Record of what became of each layer.
        parents: The parent's layers that have weights, in order.
        shape: Shape of one example, if the networks say it.
        waiting: Normalisations of the child that need the statistics of a batch.
    """

    rng: np.random.Generator
    ledger: Ledger
    parents: list[nn.Module]
    shape: tuple[int, ...] | None = None
    waiting: dict[nn.Module, Waiting] = field(default_factory=dict)

    def drop(self, module: nn.Module) -> None:
        """Note that the child lacks a part of the parent."""
        for part in module.modules():
            if next(part.parameters(recurse=False), None) is not None:
                self.ledger.drop(part)

    def choose(self, layer: nn.Module, channels: int, width: int, out: Target | None) -> ChannelMap:
        """Return the map of a layer's output: as wanted, wider, or narrower.

        Args:
            layer: The parent's layer.
            channels: Outputs of the child's layer.
            width: Outputs of the parent's layer.
            out: What is wanted, if anything is.
        """
        if out is not None:
            return out(channels, width)
        if channels >= width:
            return grown(channels, width, self.rng)
        best = torch.topk(self.worth(layer, width), channels).indices
        return kept(best.sort().values, width, whole=False)

    def worth(self, layer: nn.Module, width: int) -> Tensor:
        """Return the worth of a layer's channels: |gain behind it| · Σ|outgoing weight|."""
        place = next((k for k, other in enumerate(self.parents) if other is layer), None)
        worth = torch.ones(width, dtype=torch.float64)
        for follower in self.parents[place + 1 :] if place is not None else ():
            if isinstance(follower, Norms):
                gain = follower.weight
                if isinstance(gain, Tensor) and gain.shape == (width,):
                    worth *= gain.detach().abs().double().cpu()
                continue
            outgoing = reading(follower)
            if len(outgoing) % width == 0:
                places = len(outgoing) // width
                if isinstance(layer, Conv) and not isinstance(layer, nn.Conv1d):
                    worth *= outgoing.view(width, places).sum(1)
                else:
                    worth *= outgoing.view(places, width).sum(0)
            break
        return worth


def reading(layer: nn.Module) -> Tensor:
    """Return Σ|weight| with which a layer reads each of its inputs, ``(inputs,)``."""
    if isinstance(layer, nn.Linear):
        found = layer.weight.abs().sum(0)
    elif isinstance(layer, Conv):
        size = layer.weight.abs().flatten(2).sum(2)
        size = size.t() if isinstance(layer, ConvTranspose) else size
        inputs, groups = layer.in_channels, layer.groups
        found = size.reshape(groups, -1, inputs // groups).sum(1).reshape(-1)
    elif isinstance(layer, Recurrent):
        found = layer.get_parameter("weight_ih_l0").abs().sum(0)
    elif isinstance(layer, nn.MultiheadAttention) and layer.in_proj_weight is not None:
        found = layer.in_proj_weight.abs().sum(0)
    else:
        found = torch.ones(1)
    return found.detach().double().cpu()


def weighted_of(network: nn.Module) -> list[nn.Module]:
    """Return the layers of a network that have weights, in order."""
    found: list[nn.Module] = []
    inner: set[int] = set()
    for module in network.modules():
        if id(module) in inner:
            continue
        if isinstance(module, (*Weighted, *Norms)):
            found.append(module)
            inner |= {id(part) for part in module.modules()}
    return found


def has_width(module: nn.Module) -> bool:
    """Whether the channels behind a module are not those in front of it, as far as is known."""
    parts = list(module.modules())
    return any(isinstance(part, Weighted) for part in parts) or (
        any(True for _ in module.parameters()) and not all(_is_plain(part) for part in parts)
    )


def _is_plain(module: nn.Module) -> bool:
    own = any(True for _ in module.parameters(recurse=False))
    return not own or isinstance(module, (*Norms, nn.PReLU))


@singledispatch
def take(
    child: nn.Module,
    parent: nn.Module,
    way: ChannelMap,
    walk: Walk,
    out: Target | None = None,
) -> ChannelMap:
    """Carry the weights of a parent's layer to the child's.

    Args:
        child: The child's layer, which is changed.
        parent: The parent's.
        way: Map of what the layers read.
        walk: What all rules share.
        out: What the map of the output needs to be; None leaves the choice.

    Returns:
        The map of the output.
    """
    own = getattr(child, "inherit", None)
    if callable(own):
        return _own_rule(child, parent, way, walk)
    if isinstance(child, Passive) and isinstance(parent, Passive):
        return way
    if not any(True for _ in child.state_dict()):
        return way.lost(type(child) is not type(parent) or repr(child) != repr(parent))
    equal = copy_corner(child, parent)
    whole = way.whole and equal and way.plain
    walk.ledger.mark(child, "taken" if whole else "corner", parent)
    return unknown(whole=whole, last=way.last)


@singledispatch
def insert(child: nn.Module, way: ChannelMap, walk: Walk) -> ChannelMap:
    """Make a new layer of the child pass its input on.

    Args:
        child: The layer.
        way: Map of what it reads.
        walk: What all rules share.

    Returns:
        The map of its output.
    """
    if callable(getattr(child, "inherit", None)):
        return _own_rule(child, None, way, walk)
    if isinstance(child, Passive):
        return way
    if not any(True for _ in child.parameters()):
        return way.lost()
    return fresh(child, way, walk)


@singledispatch
def remove(parent: nn.Module, way: ChannelMap) -> ChannelMap:
    """Return the map behind a layer that only the parent has.

    Args:
        parent: The layer.
        way: Map of what it would have read.
    """
    if isinstance(parent, Passive):
        return way
    return way.forgotten() if has_width(parent) else way.lost()


def fresh(child: nn.Module, way: ChannelMap, walk: Walk) -> ChannelMap:
    """Leave a layer as it was built."""
    if not any(True for _ in child.parameters()):
        return way
    walk.ledger.mark(child, "fresh")
    return way.forgotten() if has_width(child) else way.lost()


def _own_rule(
    child: nn.Module, parent: nn.Module | None, way: ChannelMap, walk: Walk
) -> ChannelMap:
    """Let a user's block carry its weights over itself."""
    rule: Any = child.inherit
    try:
        found = rule(parent, way)
    except Exception as error:
        error.add_note(f"(in the method inherit of the block {type(child).__name__})")
        raise
    if not isinstance(found, ChannelMap):
        raise TaskError(
            f"the method inherit of {type(child).__name__} returned {type(found).__name__}; it "
            "needs to return the map of its output: the map that it was given, if its channels "
            "are still the same"
        )
    walk.ledger.mark(child, "inserted" if parent is None else "taken", parent)
    return found


def copy_corner(child: nn.Module, parent: nn.Module) -> bool:
    """Copy the common corner of all equal-named tensors of two modules.

    Returns:
        Whether that was all of both.
    """
    own, theirs = child.state_dict(), parent.state_dict()
    for name, tensor in own.items():
        if name in theirs and theirs[name].dim() == tensor.dim():
            both = zip(tensor.shape, theirs[name].shape, strict=True)
            part = tuple(slice(min(sizes)) for sizes in both)
            tensor[part].copy_(theirs[name][part])
    return own.keys() == theirs.keys() and all(own[n].shape == theirs[n].shape for n in own)


def same_places(channels: int, width: int) -> ChannelMap:
    """The `Target` of a network's output: equal places."""
    return corner(channels, width)


def write(target: Tensor | None, value: Tensor, rows: Tensor | None = None) -> None:
    """Write a tensor into a parameter or buffer.

    Args:
        target: Of the child; None is left out.
        value: What to write, of the same shape.
        rows: Which rows are written, ``(rows,)`` of bool; None for all. The others keep what they
            have.
    """
    if target is None:
        return
    with torch.no_grad():
        value = value.to(target.device, target.dtype)
        if rows is not None and not bool(rows.all()):
            where = rows.to(target.device).view(-1, *[1] * (target.dim() - 1))
            value = torch.where(where, value, target)
        target.copy_(value)


def read(source: Tensor) -> Tensor:
    """Return a parameter or buffer as numbers of double precision on the CPU."""
    return source.detach().double().cpu()
