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


class EncoderDecoder(nn.Module):
    """Reads a sequence, then predicts each token of another from those before it.

    Where the decoder looks in the source is learned: the general score of Luong et al., "Effective
    approaches to attention-based neural machine translation" (2015), eq. 7 and 8.

    Args:
        source: Embedding of the source's tokens, with their positions.
        encoder: Layers on it.
        target: Embedding of the target's tokens.
        decoder: Recurrent layers on it, beside the mean of what the encoder gives.
        widths: Channels behind the encoder and behind the decoder.
    """

    def __init__(
        self,
        source: nn.Module,
        encoder: nn.Module,
        target: nn.Embedding,
        decoder: nn.Module,
        widths: tuple[int, int],
    ) -> None:
        super().__init__()
        self.source = source
        self.encoder = encoder
        self.target = target
        self.decoder = decoder
        self.score = nn.Linear(widths[1], widths[0], bias=False)
        self.output = nn.Linear(sum(widths), target.num_embeddings)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the scores of the next tokens.

        Args:
            inputs: ``source``, ``(batch, source length)``, and ``target``, ``(batch, target
                length)``: the tokens before those to predict, as teacher forcing gives them.

        Returns:
            ``(batch, tokens, target length)``: the form that cross-entropy needs.
        """
        read = self.encoder(self.source(inputs["source"]))
        return self._scores(read, inputs["target"]).transpose(1, 2)

    def _scores(self, read: Tensor, tokens: Tensor) -> Tensor:
        summary = read.mean(dim=1, keepdim=True).expand(-1, tokens.shape[1], -1)
        states = self.decoder(torch.cat((self.target(tokens), summary), dim=-1))
        weights = (self.score(states) @ read.transpose(1, 2)).softmax(dim=-1)
        scores: Tensor = self.output(torch.cat((weights @ read, states), dim=-1))
        return scores

    @torch.no_grad()
    def translate(self, source: Tensor, start: int, end: int, longest: int = 100) -> Tensor:
        """Write the likeliest next token again and again.

        Args:
            source: ``(batch, source length)``.
            start: The token that the target begins with.
            end: The token that ends it.
            longest: Most tokens.

        Returns:
            ``(batch, tokens)`` without the start; behind an end there are further ends.
        """
        read = self.encoder(self.source(source))
        tokens = torch.full((len(source), 1), start, device=source.device)
        ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
        for _ in range(longest):
            following = self._scores(read, tokens)[:, -1].argmax(dim=-1)
            following = torch.where(ended, end, following)
            tokens = torch.cat((tokens, following[:, None]), dim=1)
            ended = ended | (following == end)
            if ended.all():
                break
        return tokens[:, 1:]
