"""One model computed for all members, with stacked tensors in place of one member's."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from evotune.training.losses import Loss
from evotune.training.stacked.layers import LAYERS
from evotune.training.stacked.members import Members, mapping
from evotune.training.stacked.recurrent import RECURRENT

_TABLE = LAYERS | RECURRENT
#: A dict of a module, and the key at which one of its tensors or numbers stands.
Place = tuple[dict[str, Any], str]


class StackedModel:
    """A model whose parameters, buffers and numbers are stacks ``(members, ...)``.

    Args:
        model: One member's model. Its code computes all members; meanwhile the stacks replace its
            own tensors.
        parameters: Stacks by the names of ``named_parameters()``.
        buffers: Stacks by the names of ``named_buffers()``; changed in place by training.
        numbers: Attributes of modules that differ between members, such as ``("2", "p")`` for the
            rate of a dropout module, each ``(members,)``, float64.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        numbers: Mapping[tuple[str, str], Tensor],
    ) -> None:
        self.model = model
        self.members = len(next(iter(parameters.values())))
        places = _places(model)
        named = dict(model.named_parameters()) | dict(model.named_buffers())
        stacks = dict(parameters) | dict(buffers)
        self._stacks = [*stacks.values(), *numbers.values()]
        self._places = [places[id(named[name])] for name in stacks]
        self._places += [[(vars(model.get_submodule(name)), key)] for name, key in numbers]
        self._buffers = range(len(parameters), len(stacks))
        self._recurrent = [part for part in model.modules() if isinstance(part, nn.RNNBase)]

    def losses(
        self,
        loss: Loss,
        inputs: Tensor,
        targets: Tensor,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """Return each member's loss ``(members,)`` on a batch of its own, in training mode.

        Args:
            loss: ``(output, target) -> loss`` of one member.
            inputs: ``(members, batch, ...)``.
            targets: ``(members, batch, ...)``.
            generators: Each member's, for its dropout.
        """
        self._train(True)
        with self._entered(generators) as members:
            result = loss(self.model(members.join(inputs)), members.join(targets))
            return members.first(result)

    def outputs(self, inputs: Tensor) -> Tensor:
        """Return each member's output ``(members, batch, ...)``, in evaluation mode.

        Args:
            inputs: ``(batch, ...)``, the same for all members.
        """
        self._train(False)
        with torch.no_grad(), self._entered(None) as members:
            return members.first(self.model(inputs))

    def _train(self, mode: bool) -> None:
        if self.model.training != mode:
            self.model.train(mode)

    @contextmanager
    def _entered(self, generators: Sequence[torch.Generator] | None) -> Iterator[Members]:
        """Replace the model's own tensors by the stacks, and restore them afterwards."""
        own = [places[0][0][places[0][1]] for places in self._places]
        with mapping(self.members, generators, _TABLE) as members:
            stacks = [members.join(stack) for stack in self._stacks]
            _put(self._places, stacks)
            self._tell_recurrent()
            try:
                yield members
                self._take_over_buffers(stacks)
            finally:
                _put(self._places, own)
                self._tell_recurrent()

    def _take_over_buffers(self, stacks: Sequence[Tensor]) -> None:
        """Copy buffers that the model has reassigned instead of changing them in place."""
        for index in self._buffers:
            owner, key = self._places[index][0]
            if owner[key] is not stacks[index]:
                with torch.no_grad():
                    stacks[index].copy_(owner[key])

    def _tell_recurrent(self) -> None:
        for part in self._recurrent:
            part._flat_weights = [getattr(part, name) for name in part._flat_weights_names]


def _put(places: Sequence[Sequence[Place]], values: Sequence[Any]) -> None:
    for same, value in zip(places, values, strict=True):
        for owner, key in same:
            owner[key] = value


def _places(model: nn.Module) -> dict[int, list[Place]]:
    """Return where a model refers to each tensor, by id; tied tensors have several places."""
    places: dict[int, list[Place]] = {}
    for module in model.modules():
        for owner in (module._parameters, module._buffers):
            for key, tensor in owner.items():
                if tensor is not None:
                    places.setdefault(id(tensor), []).append((owner, key))
    return places


def stack_of(models: Sequence[nn.Module], named: Callable[[nn.Module], Any]) -> dict[str, Tensor]:
    """Return copies of the models' tensors of the same names, each ``(members, ...)``."""
    tensors = [dict(named(model)) for model in models]
    return {name: torch.stack([own[name].detach() for own in tensors]) for name in tensors[0]}
