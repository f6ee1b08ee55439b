"""Modules that join chains to a whole network; none of them is a layer of a chain."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class LastStep(nn.Module):
    """The last step of a sequence: ``(batch, length, channels)`` to ``(batch, channels)``."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the last step."""
        return inputs[:, -1]


class MeanOfSteps(nn.Module):
    """The mean over a sequence: ``(batch, length, channels)`` to ``(batch, channels)``."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the mean of all steps."""
        return inputs.mean(dim=1)


class Positions(nn.Module):
    """Adds sines of the place to each step (Vaswani et al., "Attention is all you need", 2017).

    Args:
        width: Channels of the sequence.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
        self.register_buffer("rates", rates, persistent=False)
        self.width = width

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(batch, length, width)``."""
        places = torch.arange(inputs.shape[1], device=inputs.device, dtype=inputs.dtype)
        angles = places[:, None] * self.get_buffer("rates").to(inputs.dtype)
        waves = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)
        return inputs + waves[:, : self.width]


class EachFrame(nn.Module):
    """Modules on images, applied to every image of a sequence.

    Args:
        layers: From ``(batch, channels, height, width)`` to any shape.
    """

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, inputs: Tensor) -> Tensor:
        """Turn ``(batch, length, channels, height, width)`` into ``(batch, length, features)``."""
        images: Tensor = self.layers(inputs.flatten(0, 1))
        return images.reshape(*inputs.shape[:2], -1)


class Heads(nn.ModuleDict):
    """Several outputs of one input, by name."""

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return what each head gives."""
        return {name: head(inputs) for name, head in self.items()}


class Fusion(nn.Module):
    """Makes one vector of two.

    Args:
        kind: ``"concat"`` (one behind the other), ``"sum"``, or ``"gate"`` (a learned share of
            each, as in Arevalo et al., "Gated multimodal units for information fusion", 2017).
        widths: Features of both.
        width: Features behind it, unless they are concatenated.
    """

    def __init__(self, kind: str, widths: tuple[int, int], width: int) -> None:
        super().__init__()
        self.kind = kind
        self.width = sum(widths) if kind == "concat" else width
        if kind != "concat":
            self.first = nn.Linear(widths[0], width)
            self.second = nn.Linear(widths[1], width)
        if kind == "gate":
            self.gate = nn.Linear(sum(widths), width)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return ``(batch, width)``."""
        both = torch.cat((first, second), dim=1)
        if self.kind == "concat":
            return both
        one, other = self.first(first), self.second(second)
        if self.kind == "sum":
            total: Tensor = one + other
            return total
        share = self.gate(both).sigmoid()
        mixed: Tensor = share * one.tanh() + (1 - share) * other.tanh()
        return mixed


class Branches(nn.Module):
    """Two networks on inputs of their own, and what makes one vector of theirs.

    Args:
        branches: By the name of their input, from it to ``(batch, features)``.
        fusion: What joins them, in that order.
    """

    def __init__(self, branches: Mapping[str, nn.Module], fusion: Fusion) -> None:
        super().__init__()
        self.branches = nn.ModuleDict(branches)
        self.fusion = fusion

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return ``(batch, features)`` of inputs by name."""
        joined: Tensor = self.fusion(*(part(inputs[n]) for n, part in self.branches.items()))
        return joined
