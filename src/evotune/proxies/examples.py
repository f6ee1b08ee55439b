"""A mini-batch of examples as tensors, whole, in halves, or in the form that a score needs."""

import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evotune.errors import TaskError

#: A tensor ``(examples, ...)``, or such tensors by name.
Part = Any


@dataclass(frozen=True, slots=True)
class Examples:
    """A mini-batch.

    Attributes:
        inputs: Tensor ``(examples, ...)``, or such tensors by name.
        targets: Tensor ``(examples, ...)``, or such tensors by name.
    """

    inputs: Part
    targets: Part

    def __len__(self) -> int:
        return _count(self.inputs)

    @property
    def device(self) -> torch.device:
        """Where the inputs are."""
        return tensors_of(self.inputs)[0].device

    def taken(self, which: slice | Tensor) -> "Examples":
        """Return some of the examples."""
        return Examples(*(each(lambda t: t[which], part) for part in (self.inputs, self.targets)))

    def on(self, device: torch.device) -> "Examples":
        """Return the examples on a device."""
        return Examples(*(each(lambda t: t.to(device), p) for p in (self.inputs, self.targets)))

    def halves(self) -> tuple["Examples", "Examples"]:
        """Return the first half of the examples, and the second."""
        middle = len(self) // 2
        return self.taken(slice(middle)), self.taken(slice(middle, None))


def examples_of(inputs: Any, targets: Any) -> Examples:
    """Return examples as tensors: arrays of float64 as float32, whole targets as int64.

    Args:
        inputs: Array or tensor ``(examples, ...)``, or a dict of them.
        targets: Array or tensor ``(examples, ...)``, or a dict of them.

    Raises:
        TaskError: They are something else, are fewer than two, or do not belong together.
    """
    with torch.inference_mode(False):  # tensors made in it have no gradients, ever
        found = Examples(each(_tensor, inputs), each(_tensor, targets))
    counts = {_count(part) for part in (found.inputs, found.targets)}
    if len(counts) > 1:
        raise TaskError(
            f"proxies need a target for every input, got {_count(found.inputs)} inputs and "
            f"{_count(found.targets)} targets"
        )
    if len(found) < 2:
        raise TaskError(
            f"proxies compare two halves of a mini-batch, so they need two examples or more, "
            f"better 16; got {len(found)}"
        )
    return found


def _tensor(given: Any) -> Tensor:
    try:
        tensor = given if isinstance(given, Tensor) else torch.from_numpy(_array(given))
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"proxies need inputs and targets as arrays or tensors of numbers, got {given!r:.200}"
        ) from error
    if tensor.dim() == 0:
        raise TaskError(f"proxies need inputs and targets for several examples, got {given!r}")
    is_whole = not tensor.is_floating_point() and not tensor.is_complex()
    return tensor.detach().to(torch.int64 if is_whole else tensor.dtype).clone()


def _array(given: Any) -> Any:
    array = np.array(given)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def each(function: Callable[..., Any], *parts: Part) -> Part:
    """Return what a function makes of tensors, or of those of each name."""
    if isinstance(parts[0], Mapping):
        return {name: function(*(part[name] for part in parts)) for name in parts[0]}
    return function(*parts)


def tensors_of(part: Any) -> list[Tensor]:
    """Return the tensors of inputs or of a network's output.

    Of a tuple, as an LSTM layer returns it, only the first counts.
    """
    if isinstance(part, Mapping):
        return list(part.values())
    return [part[0] if isinstance(part, tuple | list) else part]


def total(part: Any) -> Tensor:
    """Return the sum of all numbers of a network's output."""
    return functools.reduce(operator.add, [tensor.sum() for tensor in tensors_of(part)])


def _count(part: Part) -> int:
    return len(tensors_of(part)[0])
