"""Recurrent layers and attention written with linear layers, which is what can be pruned.

Each class computes what PyTorch's own layer does in evaluation, to the last digits, from linear
layers that can be watched and changed; `pieces` says which of their weights are which of the
original layer's, so that masks and weights get back.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from evotune.training.sparsity import CELLS, RECURRENT

#: Rows or columns of a matrix.
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """Weights of a linear layer that are weights of the layer it was made from.

    Attributes:
        part: The name of the linear layer.
        rows: Its rows.
        columns: Its columns.
        parameter: The name of the original parameter.
        at: The rows there; all its columns.
        bias: The original parameter of the bias of these rows; None where another piece has it.
    """

    part: str
    rows: Range
    columns: Range
    parameter: str
    at: Range
    bias: str | None = None


class Lowered(nn.Module, ABC):
    """A layer written with linear ones.

    Attributes:
        flowing: Whether it passes flow on instead of numbers: gates do not multiply then but give
            the mean of what they join, so that all of their weights have a share in the flow.
    """

    flowing = False

    @property
    @abstractmethod
    def pieces(self) -> list[Piece]:
        """Where its weights come from."""

    def _gate(self, gate: Tensor, value: Tensor) -> Tensor:
        return (gate + value) / 2 if self.flowing else gate * value


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(
        weight.shape[1], weight.shape[0], bias is not None, weight.device, weight.dtype
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


class Cell(Lowered):
    """One step of an LSTM, GRU or plain recurrent layer.

    Args:
        source: The recurrent layer or cell.
        end: What the names of its parameters end with, such as ``"_l0"``.
    """

    def __init__(self, source: Any, end: str = "") -> None:
        super().__init__()
        self.kind = _kind(source)
        self.end = end
        inputs, hidden = (getattr(source, f"weight_{name}{end}").detach() for name in ("ih", "hh"))
        biases = (
            [getattr(source, f"bias_{name}{end}", None) for name in ("ih", "hh")]
            if source.bias
            else [None, None]
        )
        self.size, self.width = source.hidden_size, inputs.shape[1]
        self.has_bias = bool(source.bias)
        count = self._gates * self.size
        both = None if biases[0] is None else (biases[0] + biases[1])[:count]
        self.gates = _linear(torch.cat([inputs[:count], hidden[:count]], 1), both)
        if self.kind == "gru":
            self.new_input = _linear(
                inputs[count:], None if biases[0] is None else biases[0][count:]
            )
            self.new_hidden = _linear(
                hidden[count:], None if biases[1] is None else biases[1][count:]
            )
        if getattr(source, "proj_size", 0):
            self.projection = _linear(getattr(source, f"weight_hr{end}").detach(), None)

    @property
    def _gates(self) -> int:
        return {"lstm": 4, "gru": 2}.get(self.kind, 1)

    @property
    def pieces(self) -> list[Piece]:
        """Where its weights come from."""
        end, count = self.end, self._gates * self.size
        whole = self.gates.in_features
        ih, hh = f"weight_ih{end}", f"weight_hh{end}"
        bias_ih = f"bias_ih{end}" if self.has_bias else None
        bias_hh = f"bias_hh{end}" if self.has_bias else None
        found = [
            Piece("gates", (0, count), (0, self.width), ih, (0, count), bias_ih),
            Piece("gates", (0, count), (self.width, whole), hh, (0, count)),
        ]
        if self.kind == "gru":
            at = (count, count + self.size)
            found += [
                Piece("new_input", (0, self.size), (0, self.width), ih, at, bias_ih),
                Piece("new_hidden", (0, self.size), (0, self.size), hh, at, bias_hh),
            ]
        if hasattr(self, "projection"):
            rows = self.projection.out_features
            found.append(
                Piece("projection", (0, rows), (0, self.size), f"weight_hr{end}", (0, rows))
            )
        return found

    def step(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the next state: the hidden state first, and the cell's of an LSTM."""
        gates = self.gates(torch.cat([inputs, state[0]], -1))
        if self.kind == "lstm":
            write, forget, new, read = gates.chunk(4, -1)
            cell = self._gate(forget.sigmoid(), state[1]) + self._gate(write.sigmoid(), new.tanh())
            hidden = self._gate(read.sigmoid(), cell.tanh())
            return (self.projection(hidden) if hasattr(self, "projection") else hidden), cell
        if self.kind == "gru":
            reset, update = (gate.sigmoid() for gate in gates.chunk(2, -1))
            new = (self.new_input(inputs) + self._gate(reset, self.new_hidden(state[0]))).tanh()
            if self.flowing:
                return ((update + new + state[0]) / 3,)
            return (new + update * (state[0] - new),)
        return (gates.relu() if self.kind == "relu" else gates.tanh(),)

    def forward(self, inputs: Tensor, state: Any = None) -> Any:
        """Return what the cell of PyTorch would."""
        if state is None:
            zeros = inputs.new_zeros(*inputs.shape[:-1], self.size)
            state = (zeros, zeros) if self.kind == "lstm" else zeros
        found = self.step(inputs, state if isinstance(state, tuple) else (state,))
        return found if self.kind == "lstm" else found[0]


def _kind(source: Any) -> str:
    if isinstance(source, nn.LSTM | nn.LSTMCell):
        return "lstm"
    if isinstance(source, nn.GRU | nn.GRUCell):
        return "gru"
    return str(source.nonlinearity)


class Recurrent(Lowered):
    """An LSTM, GRU or plain recurrent layer, of several layers and in both directions.

    Args:
        source: The layer.
    """

    def __init__(self, source: Any) -> None:
        super().__init__()
        self.batch_first = source.batch_first
        self.directions = 2 if source.bidirectional else 1
        self.num_layers, self.bidirectional = source.num_layers, source.bidirectional
        self.hidden_size, self.input_size = source.hidden_size, source.input_size
        self.proj_size = source.proj_size
        ends = ["", "_reverse"][: self.directions]
        self.cells = nn.ModuleList(
            Cell(source, f"_l{layer}{end}") for layer in range(source.num_layers) for end in ends
        )

    @property
    def pieces(self) -> list[Piece]:
        """Where its weights come from."""
        return [
            Piece(
                f"cells.{k}.{piece.part}",
                piece.rows,
                piece.columns,
                piece.parameter,
                piece.at,
                piece.bias,
            )
            for k, cell in enumerate(self.cells)
            for piece in cell.pieces  # type: ignore[union-attr] # all are cells
        ]

    def flatten_parameters(self) -> None:
        """Do nothing; networks call it."""

    def forward(self, inputs: Tensor, state: Any = None) -> Any:
        """Return the outputs and the last state, as the layer of PyTorch would."""
        batched = inputs.dim() == 3
        steps = inputs if batched else inputs.unsqueeze(1)
        steps = steps.movedim(1, 0) if batched and self.batch_first else steps
        first = self._start(steps, state, batched)
        last: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self.directions):
                cell: Any = self.cells[layer * self.directions + direction]
                now = tuple(part[len(last)] for part in first)
                rows = []
                for one in steps.flip(0) if direction else steps:
                    now = cell.step(one, now)
                    rows.append(now[0])
                outputs.append(torch.stack(rows[::-1] if direction else rows))
                last.append(now)
            steps = torch.cat(outputs, -1)
        ends = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
        ends = ends if batched else tuple(end.squeeze(1) for end in ends)
        steps = steps if batched else steps.squeeze(1)
        steps = steps.movedim(0, 1) if batched and self.batch_first else steps
        return steps, (ends if len(ends) > 1 else ends[0])

    def _start(self, steps: Tensor, state: Any, batched: bool) -> tuple[Tensor, ...]:
        """Return the first states, ``(cells, batch, size)``."""
        is_lstm = self.cells[0].kind == "lstm"
        if state is not None:
            parts = tuple(state) if is_lstm else (state,)
            return parts if batched else tuple(part.unsqueeze(1) for part in parts)
        sizes = [self.proj_size or self.hidden_size, self.hidden_size][: 2 if is_lstm else 1]
        return tuple(steps.new_zeros(len(self.cells), steps.shape[1], size) for size in sizes)


class Attention(Lowered):
    """Attention with several heads.

    Args:
        source: The layer.
    """

    def __init__(self, source: nn.MultiheadAttention) -> None:
        super().__init__()
        self.batch_first, self.num_heads = source.batch_first, source.num_heads
        self.embed_dim, self.head_dim = source.embed_dim, source.head_dim
        self._qkv_same_embed_dim = False  # keeps the transformer layers off a faster path past us
        self._joint = source.in_proj_weight is not None
        size = self.embed_dim
        bias = source.in_proj_bias
        for k, name in enumerate("qkv"):
            at = slice(k * size, (k + 1) * size)
            weight = (
                source.in_proj_weight[at] if self._joint else getattr(source, f"{name}_proj_weight")
            )
            setattr(self, name, _linear(weight.detach(), None if bias is None else bias[at]))
        self.out_proj = _linear(source.out_proj.weight.detach(), source.out_proj.bias)
        self.in_proj_bias = None

    @property
    def pieces(self) -> list[Piece]:
        """Where its weights come from."""
        size, found = self.embed_dim, []
        for k, name in enumerate("qkv"):
            part: Any = getattr(self, name)
            parameter, start = (
                ("in_proj_weight", k * size) if self._joint else (f"{name}_proj_weight", 0)
            )
            bias = None if part.bias is None else "in_proj_bias"
            found.append(
                Piece(
                    name, (0, size), (0, part.in_features), parameter, (start, start + size), bias
                )
            )
        bias = None if self.out_proj.bias is None else "out_proj.bias"
        return [*found, Piece("out_proj", (0, size), (0, size), "out_proj.weight", (0, size), bias)]

    def forward(  # noqa: PLR0913  (the arguments are torch's)
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the outputs and the weights, as the layer of PyTorch would."""
        parts = [
            part if part.dim() == 3 else part.unsqueeze(0 if self.batch_first else 1)
            for part in (query, key, value)
        ]
        if not self.batch_first:
            parts = [part.movedim(1, 0) for part in parts]
        layers: list[Any] = [self.q, self.k, self.v]
        q, k, v = (self._heads(layer(part)) for layer, part in zip(layers, parts, strict=True))
        if self.flowing:
            joined, shares = q + (k + v).mean(-2, keepdim=True), None
        else:
            bias = self._bias(q, k, key_padding_mask, attn_mask)
            shares = (q @ k.mT / self.head_dim**0.5 + bias).softmax(-1)
            joined = shares @ v
        outputs = self.out_proj(joined.transpose(1, 2).flatten(2))
        if not self.batch_first:
            outputs = outputs.movedim(1, 0)
        if query.dim() == 2:
            outputs = outputs.squeeze(0 if self.batch_first else 1)
        if not need_weights or shares is None:
            return outputs, None
        weights = shares.mean(1) if average_attn_weights else shares
        return outputs, (weights if query.dim() == 3 else weights.squeeze(0))

    def _heads(self, steps: Tensor) -> Tensor:
        """Return ``(batch, steps, width)`` as ``(batch, heads, steps, width of a head)``."""
        heads = steps.reshape(*steps.shape[:-1], self.num_heads, self.head_dim)
        return heads.transpose(1, 2)

    def _bias(self, q: Tensor, k: Tensor, padding: Tensor | None, mask: Tensor | None) -> Tensor:
        """Return what is added to the products of queries and keys."""
        bias = q.new_zeros(1, 1, q.shape[2], k.shape[2])
        if mask is not None:
            added = _added(mask, q)
            if added.dim() == 3:
                added = added.reshape(-1, self.num_heads, *added.shape[-2:])
            bias = bias + added
        if padding is not None:
            added = _added(padding, q)
            bias = bias + added.reshape(-1, 1, 1, k.shape[2])
        return bias


def _added(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -torch.inf)
    return mask.to(like.dtype)


def lower(source: nn.Module) -> Lowered | None:
    """Return a layer written with linear ones; None where that is not its kind."""
    if isinstance(source, RECURRENT):
        return Recurrent(source)
    if isinstance(source, CELLS):
        return Cell(source)
    if (
        isinstance(source, nn.MultiheadAttention)
        and source.bias_k is None
        and not source.add_zero_attn
    ):
        return Attention(source)
    return None
