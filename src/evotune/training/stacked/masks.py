"""The masks of all members, for steps that are taken together."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from evotune.training.sparsity import multiply
from evotune.training.stacked.groups import Member
from evotune.training.trainer import update_masks


class StackedMasks:
    """What removes weights of the members of a stack; nothing where no weights are removed.

    Args:
        members: Of one group, whose parameters are views on the stacks.
        parameters: The stacks ``(members, ...)`` by name.
        trained: Names of those that are trained, in the order of the gradients.
    """

    def __init__(
        self, members: Sequence[Member], parameters: Mapping[str, Tensor], trained: Sequence[str]
    ) -> None:
        self._members = members
        names = {id(p): name for name, p in members[0].setup.model.named_parameters()}
        self._places: list[list[int | None]] = []  # of each sparsifier's weights in the gradients
        self._weights: list[Tensor] = []
        self._masks: list[Tensor] = []
        self._masked: list[tuple[int, Tensor]] = []  # places in the gradients, and their masks
        for number, sparsifier in enumerate(members[0].setup.sparsifiers):
            own = [names[id(weight)] for weight in sparsifier.weights]
            places = [trained.index(name) if name in trained else None for name in own]
            self._places.append(places)
            for index, (name, place) in enumerate(zip(own, places, strict=True)):
                masks = self._stacked(number, index)
                self._weights.append(parameters[name].detach())
                self._masks.append(masks)
                if place is not None:
                    self._masked.append((place, masks))

    def _stacked(self, number: int, index: int) -> Tensor:
        """Stack the members' masks of one weight; each member's becomes a row of it."""
        sparsifiers = [member.setup.sparsifiers[number] for member in self._members]
        masks = torch.stack([sparsifier.masks[index] for sparsifier in sparsifiers])
        for sparsifier, row in zip(sparsifiers, masks, strict=True):
            sparsifier.masks[index] = row
        return masks

    def update(self, step: int) -> None:
        """Make the masks of a step of the members' epochs."""
        for member in self._members if self._masks else ():
            update_masks(member.setup, member.epoch, step)

    def before_step(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return the gradients ``(members, ...)`` without those of removed weights."""
        for row, member in enumerate(self._members if self._masks else ()):
            for sparsifier, places in zip(member.setup.sparsifiers, self._places, strict=True):
                if sparsifier.has_room:
                    own = [None if place is None else gradients[place][row] for place in places]
                    sparsifier.grow(own)
        found = list(gradients)
        for place, masks in self._masked:
            found[place] = found[place] * masks  # not in place: two may be one tensor
        return found

    def after_step(self) -> None:
        """Make removed weights zero again."""
        if self._masks:
            multiply(self._weights, self._masks)
