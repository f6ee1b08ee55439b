"""Recurrent layers of all members at once: torch's own kernels cannot be mapped."""

# ruff: noqa: A002, PLR0913  (the names and the arguments are torch's)
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from evotune.training.stacked.layers import dropout_mask
from evotune.training.stacked.members import Members, Unmappable

#: ``(from the input, weights, state) -> state``; a state is ``(hidden, ...)``, each
#: ``(members, batch, hidden)``.
Cell = Callable[[Tensor, "_Weights", tuple[Tensor, ...]], tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class _Weights:
    """One direction of one layer: matrices ``(members, gates·hidden, inputs or hidden)``."""

    of_input: Tensor
    of_hidden: Tensor
    input_bias: Tensor | None
    hidden_bias: Tensor | None

    def from_input(self, rows: Tensor) -> Tensor:
        """Return the input's part for all steps, ``(members, steps, batch, gates·hidden)``."""
        flat = _product(rows.flatten(1, 2), self.of_input, self.input_bias)
        return torch.unflatten(flat, 1, rows.shape[1:3])

    def from_hidden(self, hidden: Tensor) -> Tensor:
        """Return the state's part, ``(members, batch, gates·hidden)``."""
        return _product(hidden, self.of_hidden, self.hidden_bias)


def _product(rows: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    columns = matrix.transpose(1, 2)
    if bias is None:
        return torch.bmm(rows, columns)
    return torch.baddbmm(bias.unsqueeze(1), rows, columns)


def _lstm_cell(given: Tensor, weights: _Weights, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    hidden, cell = state
    enter, forget, new, leave = (given + weights.from_hidden(hidden)).chunk(4, dim=2)
    cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
    return leave.sigmoid() * cell.tanh(), cell


def _gru_cell(given: Tensor, weights: _Weights, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    (hidden,) = state
    reset, update, new = given.chunk(3, dim=2)
    reset_hidden, update_hidden, new_hidden = weights.from_hidden(hidden).chunk(3, dim=2)
    update = (update + update_hidden).sigmoid()
    new = (new + (reset + reset_hidden).sigmoid() * new_hidden).tanh()
    return (new + update * (hidden - new),)


def _plain_cell(
    activation: Callable[[Tensor], Tensor],
    given: Tensor,
    weights: _Weights,
    state: tuple[Tensor, ...],
) -> tuple[Tensor, ...]:
    return (activation(given + weights.from_hidden(state[0])),)


def _run(
    cell: Cell, rows: Tensor, weights: _Weights, state: tuple[Tensor, ...], backwards: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the outputs ``(members, steps, batch, hidden)`` and the last state."""
    given = weights.from_input(rows).unbind(1)
    outputs = []
    for step in reversed(given) if backwards else given:
        state = cell(step, weights, state)
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if backwards else outputs, dim=1), state


def _recurrent(
    cell: Cell,
    members: Members,
    input: Tensor,
    hx: Any,
    params: Sequence[Any],
    has_biases: Any,
    num_layers: int,
    dropout: Any,
    train: bool,
    bidirectional: bool,
    batch_first: bool = False,
) -> Any:
    """Replace ``torch.lstm``, ``torch.gru`` and the like."""
    if not isinstance(has_biases, bool):
        raise Unmappable("a recurrent layer on a packed sequence")
    pairs = isinstance(hx, tuple | list)
    states = [members.first(part) for part in (hx if pairs else (hx,))]  # (members, runs, ...)
    directions = 2 if bidirectional else 1
    size, rest = divmod(len(params), num_layers * directions)
    if rest or size != (4 if has_biases else 2):
        raise Unmappable("a recurrent layer with projections (proj_size)")
    rows = members.first(input)
    rows = rows.transpose(1, 2) if batch_first else rows
    tensors = [members.first(part) for part in params]
    ends: list[tuple[Tensor, ...]] = []
    for layer in range(num_layers):
        if layer and train and (isinstance(dropout, Tensor) or dropout):
            rows = rows * dropout_mask(members, tuple(rows.shape[1:]), dropout, rows)
        outputs = []
        for run in range(layer * directions, (layer + 1) * directions):
            own = tensors[run * size : (run + 1) * size]
            weights = _Weights(*own, *[None] * (4 - size))
            start = tuple(part[:, run] for part in states)
            output, end = _run(cell, rows, weights, start, run % directions == 1)
            outputs.append(output)
            ends.append(end)
        rows = torch.cat(outputs, dim=3)
    final = [members.join(torch.stack(parts, dim=1)) for parts in zip(*ends, strict=True)]
    return members.join(rows.transpose(1, 2) if batch_first else rows), *final


#: Replacements by torch function, see `evotune.training.stacked.members.Layers`.
RECURRENT: dict[Any, Callable[..., Any]] = {
    torch.lstm: partial(_recurrent, _lstm_cell),
    torch.gru: partial(_recurrent, _gru_cell),
    torch.rnn_tanh: partial(_recurrent, partial(_plain_cell, torch.tanh)),
    torch.rnn_relu: partial(_recurrent, partial(_plain_cell, torch.relu)),
}
