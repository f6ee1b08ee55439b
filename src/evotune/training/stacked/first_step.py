"""A trial step of two members, then discarded: checks if they can be stacked, measures memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evotune.training.data import InMemory
from evotune.training.stacked.groups import Member, numbers
from evotune.training.stacked.model import StackedModel, stack_of


@dataclass(frozen=True, slots=True)
class FirstStep:
    """The results of the first step of a group.

    Attributes:
        untrained: Names of the parameters that got no gradient.
        bytes_saved: Bytes of the tensors that one member's forward pass keeps for the backward
            pass of one batch.
    """

    untrained: frozenset[str]
    bytes_saved: int


def first_step(group: Sequence[Member], data: InMemory) -> FirstStep:
    """Compute a step and an output of the first two members, without changing them.

    Args:
        group: Members of one group.
        data: Training data, of which the first batch is used.

    Raises:
        Exception: Any error of torch for a model that cannot be mapped.
    """
    pair = group[:2]
    models = [member.setup.model for member in pair]
    parameters = stack_of(models, lambda model: model.named_parameters())
    for name, parameter in models[0].named_parameters():
        parameters[name].requires_grad_(parameter.requires_grad)
    buffers = stack_of(models, lambda model: model.named_buffers())
    model = StackedModel(models[0], parameters, buffers, numbers(models))
    size = pair[0].setup.batch_size
    # A copy: of a view, the memory of all examples would count as saved.
    inputs, targets = (part[:size].expand(2, *part[:size].shape).clone() for part in _parts(data))
    generators = [member.generator.clone_state() for member in pair]
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        losses = model.losses(pair[0].setup.loss, inputs, targets, generators)
        if losses.shape != (2,):
            raise ValueError(f"the loss has shape {tuple(losses.shape[1:])}, it must be one number")
    trained = {name: tensor for name, tensor in parameters.items() if tensor.requires_grad}
    gradients = torch.autograd.grad(losses.sum(), list(trained.values()), allow_unused=True)
    without = {name for name, found in zip(trained, gradients, strict=True) if found is None}
    model.outputs(inputs[0, :2])
    frozen = parameters.keys() - trained.keys()
    return FirstStep(frozenset(without | frozen), sum(saved.values()) // 2)


def _parts(data: InMemory) -> tuple[Tensor, Tensor]:
    return data.inputs, data.targets
