"""What a pruned network should do as well as before: know labels, or answer as the dense one."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from evotune.errors import TaskError
from evotune.training.data import each
from evotune.training.losses import Loss


class Goal(Protocol):
    """What is wanted of a network on the calibration examples."""

    def probe(self, output: Any) -> Tensor:
        """Return what gradients are taken of, a sum over the examples."""
        ...

    def loss(self, output: Any) -> Tensor:
        """Return the mean loss over the examples; less is better."""
        ...

    def of(self, chosen: Tensor) -> "Goal":
        """Return what is wanted on some of the examples, by their numbers."""
        ...


class Labels:
    """The labels of the examples.

    Args:
        targets: Tensor ``(examples, ...)``, or such tensors by name.
        loss: Mean loss of (output, targets).
        examples: How many there are.
    """

    def __init__(self, targets: Any, loss: Loss, examples: int) -> None:
        self._targets, self._loss, self._examples = targets, loss, examples

    def probe(self, output: Any) -> Tensor:
        """Return the sum of the losses."""
        return self._loss(output, self._targets) * self._examples

    def loss(self, output: Any) -> Tensor:
        """Return the mean loss."""
        return self._loss(output, self._targets)

    def of(self, chosen: Tensor) -> "Labels":
        """Return the labels of some examples."""
        return Labels(each(lambda part: part[chosen], self._targets), self._loss, len(chosen))


class Likeness:
    """The outputs of the dense network, where there are no labels.

    Gradients are those of the outputs along a random direction for each example: the expectation of
    their squares is the diagonal of the Gauss-Newton matrix of the squared error.

    Args:
        outputs: Of the dense network, ``(examples, ...)``, or such tensors by name.
        seed: Of the directions.
    """

    def __init__(self, outputs: Any, seed: int) -> None:
        chance = torch.Generator().manual_seed(seed)
        self._seed = seed
        self._outputs = [part.float() for part in parts_of(outputs)]
        self._directions = [
            torch.randn(part.shape, generator=chance).to(part.device) for part in self._outputs
        ]

    def probe(self, output: Any) -> Tensor:
        """Return the outputs along the directions, summed."""
        found = zip(parts_of(output), self._directions, strict=True)
        return torch.stack([(part * direction).sum() for part, direction in found]).sum()

    def loss(self, output: Any) -> Tensor:
        """Return the squared error as a share of the variance, the mean over outputs by name."""
        errors = [
            (part - dense).square().mean() / (dense.var(0).mean() + 1e-12)
            for part, dense in zip(parts_of(output), self._outputs, strict=True)
        ]
        return torch.stack(errors).mean()

    def of(self, chosen: Tensor) -> "Likeness":
        """Return the outputs of the dense network for some examples."""
        return Likeness({str(k): part[chosen] for k, part in enumerate(self._outputs)}, self._seed)


def check_finite(output: Any, whose: str, what: str) -> None:
    """Check that outputs are finite.

    Raises:
        TaskError: They are not; the words say whose they are, and what to do.
    """
    if not all(bool(part.isfinite().all()) for part in parts_of(output)):
        raise TaskError(f"{whose} gives NaN or infinite outputs for these examples; {what}")


def parts_of(output: Any) -> list[Tensor]:
    """Return the tensors of an output; of a tuple, as recurrent networks give it, the first.

    Raises:
        TaskError: There is none of numbers.
    """
    parts = list(output.values()) if isinstance(output, Mapping) else [output]
    parts = [part[0] if isinstance(part, tuple | list) and part else part for part in parts]
    found = [
        part
        for part in parts
        if isinstance(part, Tensor) and part.is_floating_point() and part.dim() and part.numel()
    ]
    if not found:
        kind = (
            f"a tensor of {output.dtype} of shape {tuple(output.shape)}"
            if isinstance(output, Tensor)
            else type(output).__name__
        )
        raise TaskError(
            f"the network returns {kind}, and needed is a tensor of real numbers (examples, ...), "
            "a dict of them, or a tuple that begins with one; wrap it in a module that returns it"
        )
    return found
