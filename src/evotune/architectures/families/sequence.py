"""Blocks on sequences, ``(length, channels)``; all but `pool1d` keep the length."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from evotune.architectures.families.common import (
    Shape,
    activation_named,
    counts,
    dropped,
    in_order,
    one_of,
)
from evotune.checks import flag
from evotune.errors import TaskError

# Torch's recurrent layers return their last state too, and its convolutions want the channels
# before the steps. As subclasses they fit into a chain and stay what they are to all else.


class RNN(nn.RNN):
    """A recurrent layer that returns its outputs only, ``(batch, length, units)``."""

    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        """Return the output of each step."""
        outputs: Tensor = super().forward(inputs)[0]
        return outputs


class LSTM(nn.LSTM):
    """A long short-term memory that returns its outputs only, ``(batch, length, units)``."""

    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        """Return the output of each step."""
        outputs: Tensor = super().forward(inputs)[0]
        return outputs


class GRU(nn.GRU):
    """A gated recurrent unit that returns its outputs only, ``(batch, length, units)``."""

    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        """Return the output of each step."""
        outputs: Tensor = super().forward(inputs)[0]
        return outputs


class Conv1d(nn.Conv1d):
    """A convolution over the steps of ``(batch, length, channels)``."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the filtered sequence, ``(batch, length, filters)``."""
        return super().forward(inputs.transpose(1, 2)).transpose(1, 2)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of ``(batch, length, channels)`` over batch and steps."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the normalised sequence."""
        return super().forward(inputs.transpose(1, 2)).transpose(1, 2)


class Pool(nn.Module):
    """A pool over pairs of steps of ``(batch, length, channels)``.

    Args:
        kind: ``"max"`` or ``"average"``.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.pool = POOLS[kind](2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return half as many steps."""
        pooled: Tensor = self.pool(inputs.transpose(1, 2))
        return pooled.transpose(1, 2)


class Attention(nn.Module):
    """Self-attention and a feed-forward part, each added to the stream that it reads normalised.

    Vaswani et al., "Attention is all you need" (2017); the normalisation comes first, as in Xiong
    et al., "On layer normalization in the transformer architecture" (2020).

    Args:
        width: Channels of the stream.
        heads: Number of heads.
        head_size: Channels of each.
        feed_forward: Units of the feed-forward part.
        activation: Its activation.
        dropout: Probability that a value of either part is dropped before it is added.

    Attributes:
        attention_norm: Layer norm before the attention.
        queries: ``(width -> heads · head_size)``; `keys` and `values` alike.
        output: ``(heads · head_size -> width)``.
        feed_forward_norm: Layer norm before the feed-forward part.
        up: ``(width -> feed_forward)``.
        down: ``(feed_forward -> width)``.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_size: int,
        feed_forward: int,
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.head_size = head_size
        inner = heads * head_size
        self.attention_norm = nn.LayerNorm(width)
        self.queries = nn.Linear(width, inner)
        self.keys = nn.Linear(width, inner)
        self.values = nn.Linear(width, inner)
        self.output = nn.Linear(inner, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, feed_forward)
        self.activation = activation_named(activation)
        self.down = nn.Linear(feed_forward, width)
        self.dropout = dropped(dropout) or nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the stream, ``(batch, length, width)``."""
        stream = inputs + self.dropout(self._attended(self.attention_norm(inputs)))
        hidden = self.activation(self.up(self.feed_forward_norm(stream)))
        added: Tensor = stream + self.dropout(self.down(hidden))
        return added

    def _attended(self, inputs: Tensor) -> Tensor:
        parts = (self.queries(inputs), self.keys(inputs), self.values(inputs))
        by_head = [
            part.unflatten(-1, (self.heads, self.head_size)).transpose(1, 2) for part in parts
        ]
        mixed = nn.functional.scaled_dot_product_attention(*by_head)
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return output


NORMS: dict[str, Any] = {"none": None, "batch": BatchNorm, "layer": nn.LayerNorm}
POOLS: dict[str, Any] = {"max": nn.MaxPool1d, "average": nn.AvgPool1d}


def rnn(
    shape: Shape,
    units: int,
    bidirectional: bool = False,
    norm: str = "none",
    dropout: float = 0.0,
) -> nn.Module:
    """Return a recurrent layer with tanh (Elman, "Finding structure in time", 1990).

    Args:
        shape: ``(length, channels)``.
        units: Units of each direction.
        bidirectional: Read backwards too; the channels behind it are twice the units then.
        norm: ``"none"``, ``"batch"`` or ``"layer"``.
        dropout: Probability that a value is dropped.

    Raises:
        TaskError: A setting out of bounds, or an unknown name.
    """
    return _recurrent(RNN, shape, units, bidirectional, norm, dropout)


def lstm(
    shape: Shape,
    units: int,
    bidirectional: bool = False,
    norm: str = "none",
    dropout: float = 0.0,
) -> nn.Module:
    """Return a long short-term memory (Hochreiter and Schmidhuber, 1997); see `rnn`."""
    return _recurrent(LSTM, shape, units, bidirectional, norm, dropout)


def gru(
    shape: Shape,
    units: int,
    bidirectional: bool = False,
    norm: str = "none",
    dropout: float = 0.0,
) -> nn.Module:
    """Return a gated recurrent unit (Cho et al., 2014); see `rnn`."""
    return _recurrent(GRU, shape, units, bidirectional, norm, dropout)


def _recurrent(
    kind: Callable[..., nn.RNNBase],
    shape: Shape,
    units: int,
    bidirectional: bool,
    norm: str,
    dropout: float,
) -> nn.Module:
    counts(units=units)
    one_of("norm", norm, NORMS)
    flag("bidirectional", bidirectional, TaskError)
    return in_order(
        recurrent=kind(shape[1], units, batch_first=True, bidirectional=bidirectional),
        norm=_norm(units * (2 if bidirectional else 1), norm),
        dropout=dropped(dropout),
    )


def conv1d(
    shape: Shape,
    filters: int,
    kernel: int = 3,
    activation: str = "relu",
    norm: str = "none",
    dropout: float = 0.0,
) -> nn.Module:
    """Return a convolution over steps with normalisation, activation and dropout.

    Args:
        shape: ``(length, channels)``.
        filters: Channels behind it.
        kernel: Steps of the kernel; the sequence is padded with zeros.
        activation: Name out of `evotune.architectures.families.common.ACTIVATIONS`.
        norm: ``"none"``, ``"batch"`` or ``"layer"``.
        dropout: Probability that a value is dropped.

    Raises:
        TaskError: A setting out of bounds, or an unknown name.
    """
    counts(filters=filters, kernel=kernel)
    one_of("norm", norm, NORMS)
    before, behind = (kernel - 1) // 2, kernel // 2
    return in_order(
        pad=None if kernel % 2 else nn.ZeroPad2d((0, 0, before, behind)),
        conv=Conv1d(
            shape[1], filters, kernel, padding=before if kernel % 2 else 0, bias=norm != "batch"
        ),
        norm=_norm(filters, norm),
        activation=activation_named(activation),
        dropout=dropped(dropout),
    )


def attention(
    shape: Shape,
    heads: int = 4,
    head_size: int = 16,
    feed_forward: int = 128,
    activation: str = "gelu",
    dropout: float = 0.0,
) -> nn.Module:
    """Return self-attention with a feed-forward part; the width of the stream stays as it is.

    Args:
        shape: ``(length, channels)``.
        heads: Number of heads.
        head_size: Channels of each head.
        feed_forward: Units of the feed-forward part.
        activation: Its activation.
        dropout: Probability that a value of either part is dropped.

    Raises:
        TaskError: A setting out of bounds, or an unknown name.
    """
    counts(heads=heads, head_size=head_size, feed_forward=feed_forward)
    return Attention(shape[1], heads, head_size, feed_forward, activation, dropout)


def pool1d(shape: Shape, kind: str = "max") -> nn.Module | None:
    """Return a pool that halves the length; None on sequences of one step.

    Args:
        shape: ``(length, channels)``.
        kind: ``"max"`` or ``"average"``.

    Raises:
        TaskError: An unknown kind.
    """
    one_of("kind", kind, POOLS)
    return Pool(kind) if shape[0] >= 2 else None


def _norm(channels: int, norm: str) -> nn.Module | None:
    made: nn.Module | None = None if NORMS[norm] is None else NORMS[norm](channels)
    return made
