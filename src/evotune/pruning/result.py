"""What pruning gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Pruned:
    """A pruned network.

    Attributes:
        model: A module like the given one; removed weights are zero, and stay zero in training.
        masks: Which weights stay, by the name of the parameter, of its shape.
        size: How many weights could have been removed.
        left_dense: Parts of the network with weights that stayed as they are, and why.
        losses: The loss on the calibration examples after each step of refinement.
    """

    model: nn.Module
    masks: Mapping[str, Tensor]
    size: int
    left_dense: Mapping[str, str] = field(default_factory=dict)
    losses: tuple[float, ...] = ()

    @property
    def kept(self) -> int:
        """How many weights are left."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    @property
    def sparsity(self) -> float:
        """The share of the weights that went; at least what was asked for."""
        return 1 - self.kept / self.size
