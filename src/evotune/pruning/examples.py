"""The examples on which a network is calibrated, and what is wanted of it there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from evotune.errors import TaskError
from evotune.pruning.goals import Goal, Labels, Likeness
from evotune.training.data import Source, count, each, load
from evotune.training.losses import Loss, find_loss


@dataclass(frozen=True, slots=True)
class Examples:
    """Examples as tensors.

    Attributes:
        inputs: Tensor ``(examples, ...)``, or such tensors by name.
        targets: The same of labels; None where there are none.
        loss: Mean loss of (output, targets).
    """

    inputs: Any
    targets: Any
    loss: Loss

    def __len__(self) -> int:
        return count(self.inputs)

    def some(self, most: int, seed: int, device: torch.device) -> "Examples":
        """Return some of them on a device, drawn by a seed."""
        chance = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=chance)[:most]

        def pick(part: Tensor) -> Tensor:
            picked = part[order.to(part.device)].to(device)
            return picked.float() if picked.dtype in _HALVES else picked

        targets = None if self.targets is None else each(pick, self.targets)
        return Examples(each(pick, self.inputs), targets, self.loss)

    def goal(self, network: nn.Module, seed: int) -> Goal:
        """Return what is wanted on them: their labels, or what the dense network answers."""
        with torch.no_grad():
            output = network(self.inputs)
        if self.targets is None:
            return Likeness(output, seed)
        self.loss(output, self.targets)  # whether they belong together is said here
        return Labels(self.targets, self.loss, len(self))

    def source(self, device: torch.device) -> Source:
        """Return them as training data."""
        return load("data", (self.inputs, self.targets), device)


_HALVES = (torch.float16, torch.bfloat16)


def examples_of(
    data: Any, labels: Any = None, loss: str | Callable[..., Tensor] | None = None
) -> Examples:
    """Return examples as tensors.

    Args:
        data: Inputs as a tensor, an array or a dict of them, or a pair (inputs, labels).
        labels: Labels, where they are not in data.
        loss: A name, or a mean loss of (output, labels); None for the usual one.

    Raises:
        TaskError: They are something else, or too few, or not finite.
    """
    if labels is None and isinstance(data, tuple | list) and len(data) == 2:
        data, labels = data
    if not isinstance(data, Mapping) and not hasattr(data, "shape"):
        raise TaskError(
            "data= is a tensor or array of inputs (examples, ...), a dict of them, or a pair "
            f"(inputs, labels); got {type(data).__name__}. Of a DataLoader, join some batches with "
            "torch.cat"
        )
    found: Any = load("data", (data, data if labels is None else labels), torch.device("cpu"))
    for part in _each(found.inputs):
        if part.is_floating_point() and not bool(part.isfinite().all()):
            raise TaskError("data= has NaN or infinite inputs; take these examples out")
    if count(found.inputs) < 2:
        raise TaskError("data= has one example; weights are refitted to several, better 64 or more")
    targets = None if labels is None else found.targets
    return Examples(found.inputs, targets, find_loss(loss or _usual(targets)))


def _each(part: Any) -> list[Tensor]:
    return list(part.values()) if isinstance(part, Mapping) else [part]


def _usual(targets: Any) -> str:
    if targets is None:
        return "mse"
    return "mse" if _each(targets)[0].is_floating_point() else "cross_entropy"
