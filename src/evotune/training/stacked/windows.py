"""Stacks of members' tensors: each member's own model has windows on its row of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def trained_parameters(
    models: Sequence[nn.Module], names: Sequence[str]
) -> tuple[dict[str, Tensor], Tensor]:
    """Return stacked parameters by name, and the matrix ``(members, numbers)`` they lie in."""
    first = dict(models[0].named_parameters())
    sizes = [first[name].numel() for name in names]
    like = next(iter(first.values()))
    matrix = torch.empty(len(models), sum(sizes), dtype=like.dtype, device=like.device)
    parameters = {
        name: columns.view(len(models), *first[name].shape)
        for name, columns in zip(names, torch.split(matrix, sizes, dim=1), strict=True)
    }
    for name, stack in parameters.items():
        _open_windows(models, name, stack)
    return {name: stack.detach().requires_grad_() for name, stack in parameters.items()}, matrix


def parameter_stack(models: Sequence[nn.Module], name: str) -> Tensor:
    """Return a stack ``(members, ...)`` of one parameter, a row for each model."""
    like = models[0].get_parameter(name)
    stack = torch.empty(len(models), *like.shape, dtype=like.dtype, device=like.device)
    _open_windows(models, name, stack)
    return stack


def _open_windows(models: Sequence[nn.Module], name: str, stack: Tensor) -> None:
    """Move a parameter of every model into its row of the stack."""
    for model, row in zip(models, stack, strict=True):
        parameter = model.get_parameter(name)
        row.copy_(parameter.detach())
        parameter.data = row


def buffer_stacks(models: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Return stacks ``(members, ...)`` of all buffers by name, a row for each model."""
    tensors = [dict(model.named_buffers()) for model in models]
    stacks = {name: torch.stack([own[name] for own in tensors]) for name in tensors[0]}
    for index, own in enumerate(tensors):
        for name, buffer in own.items():
            buffer.data = stacks[name][index]
    return stacks
