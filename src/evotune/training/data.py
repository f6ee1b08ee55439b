"""Converts training data of any usual form to batches on a device."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
)

from evotune.errors import TaskError
from evotune.reading import ReadParams

#: ``(inputs, targets)`` as arrays or tensors, or dicts of them for a network of several inputs or
#: outputs; a Dataset, a DataLoader, or a function, without arguments or of a trial's params, that
#: returns one of these.
Data = Any
#: A tensor, or tensors by name, each with the examples first.
Part = Any
Pair = tuple[Part, Part]


@dataclass(frozen=True, slots=True)
class InMemory:
    """Examples as two tensors on the device.

    Attributes:
        inputs: Tensor ``(examples, ...)``.
        targets: Tensor ``(examples, ...)``.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, slots=True)
class Named:
    """Examples as tensors on the device, of which the inputs, the targets or both have names.

    Attributes:
        inputs: Tensor ``(examples, ...)``, or such tensors by name.
        targets: Tensor ``(examples, ...)``, or such tensors by name.
    """

    inputs: Part
    targets: Part

    def __len__(self) -> int:
        return count(self.targets)


Source = InMemory | Named | DataLoader[Any] | Dataset[Any]


def each(function: Callable[..., Any], *parts: Part) -> Part:
    """Return what a function makes of tensors, or of those of each name."""
    if isinstance(parts[0], Mapping):
        return {name: function(*(part[name] for part in parts)) for name in parts[0]}
    return function(*parts)


def count(part: Part) -> int:
    """Return the number of examples of a tensor, or of tensors by name."""
    return len(next(iter(part.values())) if isinstance(part, Mapping) else part)


def check_data(name: str, data: Data) -> None:
    """Check what can be checked without converting or loading data.

    Args:
        name: Name of the argument: ``train``, ``validation`` or ``test``.
        data: The data that the user gave.

    Raises:
        TaskError: The form is not supported, inputs and targets differ in length, or the data are
            empty.
    """
    if isinstance(data, tuple | list):
        if len(data) != 2 or not all(hasattr(part, "__len__") for part in data):
            raise TaskError(f"{name}= needs a pair (inputs, targets), got {_describe(data)}")
        inputs, targets = (_lengths(name, part) for part in data)
        if inputs != targets:
            raise TaskError(
                f"{name}= has {inputs} inputs and {targets} targets; every input needs one target"
            )
        _check_not_empty(name, range(targets))
    elif isinstance(data, Dataset | DataLoader):
        if isinstance(data, Sized) and not isinstance(_dataset(data), IterableDataset):
            _check_not_empty(name, data)
    elif not callable(data):
        raise TaskError(
            f"{name}= is a pair (inputs, targets) of arrays or tensors, a Dataset, a DataLoader, "
            f"or a function that returns one of these; got {_describe(data)}"
        )


def _lengths(name: str, part: Any) -> int:
    """Return the number of examples of one part of a pair, which all of its names must have."""
    found = {key: len(value) for key, value in part.items()} if isinstance(part, Mapping) else {}
    if len(set(found.values())) > 1:
        raise TaskError(f"{name}= has different numbers of examples by name: {found}")
    if isinstance(part, Mapping) and not part:
        raise TaskError(f"{name}= has a dict without any name; give arrays or tensors by name")
    return count(part)


def _dataset(data: Any) -> Any:
    return data.dataset if isinstance(data, DataLoader) else data


def _check_not_empty(name: str, data: Sized) -> None:
    if len(data) == 0:
        raise TaskError(f"{name}= has no examples; give at least one")


def _describe(data: Any) -> str:
    if isinstance(data, tuple | list):
        return f"a {type(data).__name__} of {[type(part).__name__ for part in data]}"
    return f"{type(data).__name__}: {data!r}"[:200]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Data that were loaded.

    Attributes:
        source: The data.
        reads: The genes that their function read, with their values; None where it reads none.
    """

    source: Source
    reads: Mapping[str, Any] | None = None

    def serves(self, params: Mapping[str, Any] | None) -> bool:
        """Return whether these are the data of some params."""
        if self.reads is None or params is None:
            return True
        return all(params.get(name) == value for name, value in self.reads.items())


def reads_params(data: Data) -> bool:
    """Return whether data are a function of a trial's params."""
    if not _is_function(data):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(data).parameters.values()
    except (TypeError, ValueError):  # of something written in C
        return False
    return any(p.kind in kinds and p.default is p.empty for p in parameters)


def _is_function(data: Data) -> bool:
    return callable(data) and not isinstance(data, Dataset | DataLoader)


def load(
    name: str, data: Data, device: torch.device, params: Mapping[str, Any] | None = None
) -> tuple[Source, Mapping[str, Any] | None]:
    """Load the data; arrays and tensors are moved to the device once.

    Args:
        name: What the task calls them.
        data: The data, or a function.
        device: The device.
        params: The active genes, for a function that reads them.

    Returns:
        The data, and the genes that were read, with their values; None where none could be.

    Raises:
        TaskError: See `check_data`; or an array holds strings or objects, or there are no params
            to be read.
    """
    reads: Mapping[str, Any] | None = None
    if reads_params(data):
        if params is None:
            raise TaskError(
                f"{name}= is a function of a trial's params, of which there are none here"
            )
        used: set[str] = set()
        data = data(ReadParams(params, used))
        reads = {gene: params.get(gene) for gene in used}
    elif _is_function(data):
        data = data()
    if _is_function(data):
        raise TaskError(f"the function given as {name}= returned another function, not data")
    return _loaded(name, data, device), reads


def _loaded(name: str, data: Data, device: torch.device) -> Source:
    check_data(name, data)
    if isinstance(data, TensorDataset) and len(data.tensors) == 2:
        data = data.tensors
    if isinstance(data, tuple | list):
        inputs, targets = (each(lambda part: _as_tensor(name, part).to(device), p) for p in data)
        are_plain = isinstance(inputs, Tensor) and isinstance(targets, Tensor)
        return (InMemory if are_plain else Named)(inputs, each(_as_targets, targets))
    return data  # type: ignore[no-any-return]


def joined(sources: Sequence[Source]) -> Source:
    """Return several data as one, in their order.

    Raises:
        TaskError: One is a DataLoader, which has batches of its own, or they differ in kind.
    """
    first = sources[0]
    if len(sources) == 1:
        return first
    if all(isinstance(each_, InMemory | Named) for each_ in sources):
        inputs, targets = ([getattr(s, part) for s in sources] for part in ("inputs", "targets"))
        kind = InMemory if isinstance(first, InMemory) else Named
        return kind(*(each(lambda *p: torch.cat(p), *parts) for parts in (inputs, targets)))
    if any(isinstance(s, DataLoader | IterableDataset | InMemory | Named) for s in sources):
        raise TaskError(
            'data="train+validation" joins arrays with arrays, or a Dataset with a Dataset; got '
            + " and ".join(type(s).__name__ for s in sources)
        )
    return ConcatDataset(sources)  # type: ignore[arg-type]


def check_parts(data: Data) -> None:
    """Check that a share of training data can be taken; those of a function are checked later.

    Raises:
        TaskError: The data are a DataLoader, or cannot be indexed.
    """
    if isinstance(data, DataLoader):
        raise TaskError(
            'fidelity="data" takes parts of the training data, and a DataLoader has its own '
            "batches; give its Dataset as train="
        )
    if isinstance(data, IterableDataset):
        raise TaskError(
            'fidelity="data" takes parts of the training data, and an IterableDataset has none; '
            "give arrays, or a Dataset with __len__ and __getitem__, as train="
        )


def part(source: Source, share: float) -> Source:
    """Return a share of training data, always the same; larger shares contain the smaller ones.

    Args:
        source: The result of `load`.
        share: In (0, 1].

    Raises:
        TaskError: The data cannot be divided, or the share has no example.
    """
    if share == 1:
        return source
    check_parts(source)
    examples = len(source)  # type: ignore[arg-type]
    chosen = round(share * examples)
    if not chosen:
        raise TaskError(
            f"a share of {share:g} of {examples} training examples is less than one example; "
            f"write minimum={1 / examples:.2g} or more"
        )
    order = torch.randperm(examples, generator=torch.Generator().manual_seed(0))[:chosen]
    if isinstance(source, InMemory | Named):
        return type(source)(*_picked(source, order))
    return Subset(source, order.tolist())  # type: ignore[arg-type]


def _as_tensor(name: str, data: Any) -> Tensor:
    if isinstance(data, Tensor):
        return data
    array = np.asarray(data)
    if array.dtype.kind not in "biuf":
        raise TaskError(
            f"{name}= holds {array.dtype} values; a network needs numbers: encode texts as whole "
            "numbers first, e.g. with sklearn.preprocessing.LabelEncoder"
        )
    if array.dtype == np.float64:  # numpy's default, while torch's layers are float32
        array = array.astype(np.float32)
    if not array.flags.writeable or array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("="))
    return torch.from_numpy(np.ascontiguousarray(array))


def _as_targets(targets: Tensor) -> Tensor:
    return targets if targets.is_floating_point() else targets.long()


def batches(
    source: Source, size: int, device: torch.device, shuffle: torch.Generator | None = None
) -> Iterator[Pair]:
    """Yield (inputs, targets) on the device, once through the data.

    Args:
        source: The result of `load`. A DataLoader keeps its own batches and order.
        size: Examples per batch.
        device: The device for the batches.
        shuffle: Generator that draws the order; None keeps the order. When shuffling, a last batch
            of a single example is left out, because batch normalisation cannot train on it.

    Raises:
        TaskError: A batch is not a pair of inputs and targets, or there is no batch at all.
    """
    if isinstance(source, InMemory | Named):
        yield from _slices(source, size, shuffle)
        return
    loader = source if isinstance(source, DataLoader) else _loader(source, size, shuffle)
    number = 0
    for number, batch in enumerate(loader, 1):  # noqa: B007  (it is needed after the loop)
        yield _pair(batch, device)
    if not number:
        raise TaskError("the data gave no batch at all; give at least one example")


def _slices(data: InMemory | Named, size: int, shuffle: torch.Generator | None) -> Iterator[Pair]:
    if shuffle is None:
        for first in range(0, len(data), size):
            yield _picked(data, slice(first, first + size))
        return
    for chosen in torch.split(epoch_order(len(data), size, shuffle), size):
        yield _picked(data, chosen)


def _picked(data: InMemory | Named, chosen: Tensor | slice) -> Pair:
    def pick(tensor: Tensor) -> Tensor:
        return tensor[chosen.to(tensor.device) if isinstance(chosen, Tensor) else chosen]

    return each(pick, data.inputs), each(pick, data.targets)


def epoch_order(examples: int, size: int, shuffle: torch.Generator) -> Tensor:
    """Return the order of the examples in an epoch, without a last batch of one example."""
    order = torch.randperm(examples, generator=shuffle)
    return order[: examples - _left_out(examples, size)]


def steps_in(source: Source, size: int) -> int | None:
    """Return the number of batches of an epoch, shuffled; None where only its end tells.

    Args:
        source: The result of `load`.
        size: Examples per batch; a DataLoader has its own.
    """
    if isinstance(_dataset(source), IterableDataset):
        return None
    examples = len(source)  # type: ignore[arg-type]
    if isinstance(source, DataLoader):
        return examples
    return -(-(examples - _left_out(examples, size)) // size)


def _left_out(examples: int, size: int) -> int:
    return 1 if examples > 1 and examples % size == 1 else 0


def _loader(dataset: Dataset[Any], size: int, shuffle: torch.Generator | None) -> DataLoader[Any]:
    if shuffle is None or isinstance(dataset, IterableDataset):
        return DataLoader(dataset, size)
    single = _left_out(len(dataset), size) == 1  # type: ignore[arg-type]
    return DataLoader(dataset, size, shuffle=True, generator=shuffle, drop_last=single)


def _pair(batch: Any, device: torch.device) -> Pair:
    if not (isinstance(batch, tuple | list) and len(batch) == 2):
        raise TaskError(f"every batch must be a pair (inputs, targets), got {_describe(batch)}")
    inputs, targets = (each(lambda part: part.to(device, non_blocking=True), p) for p in batch)
    return inputs, each(_as_targets, targets)


def reseed(source: Source, seed: int) -> None:
    """Seed the generator of a DataLoader, if it has its own, with the trial's seed."""
    if isinstance(source, DataLoader) and source.generator is not None:
        source.generator.manual_seed(seed)
