"""Checks that a model function returns new weights for every trial, not those of another one."""

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.parameter import is_lazy
from torch.utils.weak import WeakTensorKeyDictionary

from evotune.errors import TaskError

#: Which trial has trained each parameter that this process still has.
_trained_by = WeakTensorKeyDictionary()
_trained_memory: dict[StorageWeakRef, int] = {}  # so that a new view of it counts, too


def check_new(number: int, models: Sequence[nn.Module]) -> None:
    """Refuse models that share weights with others, which would train them further.

    Args:
        number: The trial that they are made for.
        models: One, or the networks of an ensemble.

    Raises:
        TaskError: Some weights are those of an earlier trial, or of two of the models.
    """
    mine: dict[nn.Parameter, StorageWeakRef | None] = {}  # what is lazy has no memory yet
    places: set[Any] = set()
    for model in models:
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        memory = {p: None if is_lazy(p) else _memory(p) for p in parameters.values()}
        for name, parameter in parameters.items():
            # Either alone would not do: it may have been moved to a GPU since, or be a new view.
            place = memory[parameter]
            before = None if place is None else _trained_memory.get(place)
            if parameter in _trained_by:
                before = _trained_by[parameter]
            if before is not None:
                again = f"of trial {before} again in trial {number}, trained as it is"
            elif parameter in mine or place in places:
                again = f"for two networks of one ensemble, that of trial {number}"
            else:
                continue
            raise TaskError(
                f"the model function returned {name!r} {again}; make every model anew inside the "
                "function, or return copy.deepcopy(net) there to start from given weights (what "
                "is shared on purpose needs requires_grad=False)"
            )
        mine |= memory
        places |= {*memory.values()} - {None}
    _trained_by.update(dict.fromkeys(mine, number))
    if len(_trained_memory) > 2 * len(_trained_by):  # not for every trial: it looks at all of them
        for gone in filter(StorageWeakRef.expired, [*_trained_memory]):
            del _trained_memory[gone]
    _trained_memory.update(dict.fromkeys(places, number))


def _memory(parameter: nn.Parameter) -> StorageWeakRef:
    """Return what names the memory of a parameter for as long as it lives."""
    return StorageWeakRef(parameter.untyped_storage())  # type: ignore[no-untyped-call]
