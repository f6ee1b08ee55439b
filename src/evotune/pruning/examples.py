"""The examples on which a network is calibrated, and what is wanted of it there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from evotune.errors import TaskError
from evotune.pruning.goals import Goal, Labels, Likeness, check_finite
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
        check_finite(output, "the network", "look at its weights and at the scale of the inputs")
        if self.targets is None:
            return Likeness(output, seed)
        _check_loss(self.loss, output, self.targets)
        return Labels(self.targets, self.loss, len(self))

    def like(self, model: nn.Module) -> "Examples":
        """Return them with inputs of the floating type of a network that has only one."""
        types = {p.dtype for p in model.parameters() if p.is_floating_point()}
        if len(types) != 1:
            return self
        (dtype,) = types

        def turned(part: Tensor) -> Tensor:
            return part.to(dtype) if part.is_floating_point() else part

        return Examples(each(turned, self.inputs), self.targets, self.loss)

    def source(self, device: torch.device) -> Source:
        """Return them as training data."""
        return load("data", (self.inputs, self.targets), device)[0]


def _check_loss(loss: Loss, output: Any, targets: Any) -> None:
    """Say whether outputs and labels belong together."""
    try:
        found: Any = loss(output, targets)
    except TaskError:
        raise
    except Exception as error:
        kind = "" if isinstance(output, Tensor) else f", of which the first is a {_words(output)}"
        raise TaskError(
            f"the loss of the network's outputs and the labels fails ({type(error).__name__}: "
            f"{error}){kind}; loss= is a name or a function of (output, labels)"
        ) from error
    if not isinstance(found, Tensor) or found.numel() != 1 or not found.is_floating_point():
        raise TaskError(
            f"loss= returns a tensor with one number, the mean loss; got {found!r:.100}"
        )
    if not bool(found.isfinite()):
        raise TaskError(
            f"the loss on these examples is {float(found)}; labels= must be finite, and such that "
            "the loss of the dense network is"
        )


def _words(output: Any) -> str:
    return f"{type(output).__name__} of {', '.join(type(part).__name__ for part in output)}"


_HALVES = (torch.float16, torch.bfloat16)


def examples_of(
    data: Any,
    labels: Any = None,
    loss: str | Callable[..., Tensor] | None = None,
    most: int | None = None,
    seed: int = 0,
) -> Examples:
    """Return examples as tensors.

    Args:
        data: Inputs as a tensor, an array or a dict of them, a pair (inputs, labels), or a Dataset
            or DataLoader of such pairs or of inputs alone.
        labels: Labels, where they are not in data.
        loss: A name, or a mean loss of (output, labels); None for the usual one.
        most: Of a Dataset or DataLoader, no more are read than are needed for so many.
        seed: Of the choice of examples of a Dataset; a DataLoader keeps its own order.

    Raises:
        TaskError: They are something else, or too few, or not finite.
    """
    if isinstance(data, DataLoader | Dataset) and labels is None:
        data = _read(data, most, seed)
    if labels is None and isinstance(data, tuple | list) and len(data) == 2:
        data, labels = data
    if not isinstance(data, Mapping) and not hasattr(data, "shape"):
        raise TaskError(
            "data= is a tensor or array of inputs (examples, ...), a dict of them, a pair (inputs, "
            "labels), or a Dataset or DataLoader of such pairs; got "
            f"{type(data).__name__}{_SEVERAL}"
        )
    found: Any = load("data", (data, data if labels is None else labels), torch.device("cpu"))[0]
    for part in _each(found.inputs):
        if part.is_floating_point() and not bool(part.isfinite().all()):
            raise TaskError("data= has NaN or infinite inputs; take these examples out")
    if count(found.inputs) < 2:
        raise TaskError("data= has one example; weights are refitted to several, better 64 or more")
    targets = None if labels is None else found.targets
    return Examples(found.inputs, targets, find_loss(loss or _usual(targets)))


_SEVERAL = (
    "; a network of several inputs is called with one dict of them: write "
    "def forward(self, parts): return self.net(parts['a'], parts['b'])"
)

#: Examples of a batch that is read from a Dataset.
_BATCH = 64


def _read(data: Any, most: int | None, seed: int) -> Any:
    """Return inputs, or a pair (inputs, labels), of a Dataset or DataLoader."""
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        chance = torch.Generator().manual_seed(seed)
        size = len(data)  # type: ignore[arg-type]
        data = Subset(data, torch.randperm(size, generator=chance)[:most].tolist())
    loader = data if isinstance(data, DataLoader) else DataLoader(data, _BATCH)
    found: list[Any] = []
    examples = 0
    for batch in loader:
        parts = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
        if len(parts) not in (1, 2):
            raise TaskError(
                f"data= gives batches of {len(parts)} parts; needed are inputs, or pairs (inputs, "
                f"labels), of which inputs may be a dict{_SEVERAL}"
            )
        found.append(parts)
        examples += count(parts[0])
        if most is not None and examples >= most:
            break
    if not found:
        raise TaskError("data= has no examples; give at least two")
    joined = [each(lambda *some: torch.cat(some), *parts) for parts in zip(*found, strict=True)]
    return joined[0] if len(joined) == 1 else tuple(joined)


def _each(part: Any) -> list[Tensor]:
    return list(part.values()) if isinstance(part, Mapping) else [part]


def _usual(targets: Any) -> str:
    if targets is None:
        return "mse"
    return "mse" if _each(targets)[0].is_floating_point() else "cross_entropy"
