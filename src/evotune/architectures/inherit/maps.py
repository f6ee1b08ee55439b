"""Channel maps: which of the parent's channels each channel of the child repeats.

Walking along both networks, the map of the current signal says, for each channel j of the child,

    child[j] = scale · parent[idx[j]] + offset[j],

and with which share a next layer is to read it: over the repeats of one parent's channel the shares
add up to 1, so that a sum over the child's channels equals the sum over the parent's.
"""

from dataclasses import dataclass, replace
from math import inf, isqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: Marks a channel of the child that repeats none of the parent's.
NONE = -1


@dataclass(frozen=True, slots=True)
class ChannelMap:
    """Where the channels of the child's signal come from.

    Attributes:
        idx: Parent's channel of each channel, ``(channels,)``; -1 for none. Empty while the
            channels are not known: then equal places mean equal channels.
        share: With which share a next layer reads each channel, ``(channels,)``; 0 for none.
        width: Number of the parent's channels.
        scale: Child's signal divided by the parent's.
        offset: What was added to each channel, ``(channels,)``.
        low: The child's signal is never below this; -inf where no bound is known.
        last: Channels are the last dimension, as of sequences, not the first one behind the batch.
        whole: Nothing of the parent's function was lost up to here.
        narrow: The new linear layer that the signal comes from, if it could not pass all of it on;
            see `Narrow`.
    """

    idx: Tensor
    share: Tensor
    width: int
    offset: Tensor
    scale: float = 1.0
    low: float = -inf
    last: bool = False
    whole: bool = True
    narrow: "Narrow | None" = None

    @property
    def known(self) -> bool:
        """Whether the channels are known."""
        return len(self.idx) > 0

    @property
    def plain(self) -> bool:
        """Whether it changes nothing."""
        same = not self.known or (
            len(self.idx) == self.width and bool((self.idx == torch.arange(self.width)).all())
        )
        return same and self.scale == 1.0 and not bool(self.offset.any())

    def but(self, **changes: Any) -> "ChannelMap":
        """Return it with changes."""
        return replace(self, **changes)

    def lost(self, loss: bool = True) -> "ChannelMap":
        """Return it as one on the way to which something was lost."""
        return replace(self, whole=False, narrow=None) if loss else self

    def forgotten(self) -> "ChannelMap":
        """Return the map of a signal of which no more is known than the order of its channels."""
        return unknown(whole=False, last=self.last)

    def clean(self, source: "ChannelMap", **changes: Any) -> "ChannelMap":
        """Return it for the output of a layer that has undone scale and offset of its input."""
        return replace(self, whole=self.whole and source.whole, **changes)

    def fitted(
        self, channels: int, width: int, shape: tuple[int, ...] | None = None
    ) -> "ChannelMap":
        """Return the map for a layer that reads so many channels.

        Args:
            channels: Inputs of the child's layer.
            width: Inputs of the parent's layer.
            shape: Shape of the network's images, to know height and width of flattened ones.

        Returns:
            Itself, itself repeated over the places of a flattened signal, or, where neither fits,
            equal places.
        """
        if len(self.idx) == channels and self.width == width:
            return self
        if self.known and channels % len(self.idx) == 0 and width % self.width == 0:
            return self._flattened(channels // len(self.idx), width // self.width, shape)
        whole = self.whole and not self.known and channels == width
        return corner(channels, width, low=self.low, last=self.last, whole=whole)

    def _flattened(
        self, places: int, parent_places: int, shape: tuple[int, ...] | None
    ) -> "ChannelMap":
        place, weight = _places(places, parent_places, shape)
        idx, offset = self.idx, self.offset
        if self.last:  # place by place
            spread = place[:, None] * self.width + idx
            spread = torch.where(idx == NONE, NONE, spread)
            share, offset = weight[:, None] * self.share, offset.expand(places, -1)
        else:  # channel by channel
            spread = torch.where((idx == NONE)[:, None], NONE, idx[:, None] * parent_places + place)
            share, offset = self.share[:, None] * weight, offset[:, None].expand(-1, places)
        return self.but(
            idx=spread.reshape(-1),
            share=share.reshape(-1),
            offset=offset.reshape(-1),
            width=self.width * parent_places,
            whole=self.whole and places == parent_places,
        )


@dataclass(frozen=True, slots=True)
class Narrow:
    """A new linear layer that cannot pass its input on.

    It has fewer outputs than inputs, or an activation behind it cuts off what is negative. But it
    can do the sums of the next linear layer, if that has few outputs, as a network's last one.

    Attributes:
        layer: The layer, a ``nn.Linear``.
        built: Its weight as it was built, ``(outputs, inputs)``.
        before: Map of what it reads.
        slopes: Sum of the slopes left and right of 0 of an activation with a corner behind it; 0
            where there is none.
    """

    layer: Any
    built: Tensor
    before: ChannelMap
    slopes: float = 0.0


def _places(
    places: int, parent_places: int, shape: tuple[int, ...] | None
) -> tuple[Tensor, Tensor]:
    """Return the parent's place of each place of a flattened signal, and its weight."""
    if places == parent_places:
        return torch.arange(places), torch.ones(places, dtype=torch.float64)
    (h, w), (h0, w0) = _grid(places, shape), _grid(parent_places, shape)
    rows, columns = torch.arange(h) * h0 // h, torch.arange(w) * w0 // w
    place = (rows[:, None] * w0 + columns).reshape(-1)
    repeats = torch.bincount(place, minlength=parent_places)[place].double()
    return place, max(1.0, parent_places / places) / repeats


def _grid(places: int, shape: tuple[int, ...] | None) -> tuple[int, int]:
    """Return height and width of so many places, out of halvings of the images or a square."""
    height, width = shape[1:] if shape is not None and len(shape) == 3 else (0, 0)
    while height and width:
        if height * width == places:
            return height, width
        height, width = height // 2, width // 2
    side = isqrt(places)
    return (side, side) if side * side == places else (1, places)


def unknown(**settings: Any) -> ChannelMap:
    """Return the map of a signal whose channels are not known, as at the network's input."""
    none = torch.zeros(0, dtype=torch.float64)
    return ChannelMap(none.long(), none, 0, none, **settings)


def corner(channels: int, width: int, **settings: Any) -> ChannelMap:
    """Return the map of equal places: the first channels are the parent's, further ones nobody's.

    Args:
        channels: Of the child.
        width: The parent's channels.
        settings: Other attributes of `ChannelMap`.
    """
    places = torch.arange(channels)
    inside = places < width
    settings.setdefault("whole", channels == width)
    return ChannelMap(
        torch.where(inside, places, NONE),
        inside.double(),
        width,
        torch.zeros(channels, dtype=torch.float64),
        **settings,
    )


def grown(channels: int, width: int, rng: np.random.Generator, **settings: Any) -> ChannelMap:
    """Return the map of a wider layer: all the parent's channels, then random ones of them again.

    Shares are drawn as .25 + U(0, 1), then normalised over the repeats of a channel, so that the
    repeats learn different things.
    """
    idx = repeats(channels, width, rng)
    return ChannelMap(
        idx,
        split(idx, width, rng),
        width,
        torch.zeros(channels, dtype=torch.float64),
        **settings,
    )


def repeats(channels: int, width: int, rng: np.random.Generator) -> Tensor:
    """Return all of `width` channels in order, then random ones of them, ``(channels,)``."""
    rounds = -(-channels // width) - 1
    more = [rng.permutation(width) for _ in range(rounds)]
    return torch.from_numpy(np.concatenate([np.arange(width), *more])[:channels])


def split(idx: Tensor, width: int, rng: np.random.Generator) -> Tensor:
    """Return random shares that add up to 1 over equal indices, ``(channels,)``."""
    draw = torch.from_numpy(0.25 + rng.random(len(idx)))
    total = torch.zeros(width, dtype=torch.float64).index_add_(0, idx, draw)
    return draw / total[idx]


def kept(idx: Tensor, width: int, **settings: Any) -> ChannelMap:
    """Return the map of a narrower layer that keeps some of the parent's channels."""
    ones = torch.ones(len(idx), dtype=torch.float64)
    return ChannelMap(idx, ones, width, torch.zeros_like(ones), **settings)


def joined(maps: list[ChannelMap], widths: list[tuple[int, int]]) -> ChannelMap:
    """Return the map of signals that are put side by side.

    Args:
        maps: One a signal.
        widths: Channels of the child's and of the parent's signal, for each.
    """
    fitted = [m.fitted(*both) for m, both in zip(maps, widths, strict=True)]
    scale = fitted[0].scale
    before = np.cumsum([0, *(m.width for m in fitted)])[:-1].tolist()
    idx = [
        torch.where(m.idx == NONE, NONE, m.idx + start)
        for m, start in zip(fitted, before, strict=True)
    ]
    return ChannelMap(
        torch.cat(idx),
        torch.cat([m.share * scale / m.scale for m in fitted]),
        sum(m.width for m in fitted),
        torch.cat([m.offset for m in fitted]),
        scale=scale,
        low=min(m.low for m in fitted),
        last=fitted[0].last,
        whole=all(m.whole for m in fitted),
    )
