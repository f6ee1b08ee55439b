"""What pruning gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from evotune.pruning.compact import compact


@dataclass(frozen=True, slots=True)
class Pruned:
    """A pruned network.

    Attributes:
        model: A module like the given one; removed weights are zero, and stay zero in training.
        masks: Which weights stay, by the name of the parameter, of its shape.
        size: How many weights could have been removed.
        inputs: A few examples, as the network takes them.
        left_dense: Parts of the network with weights that stayed as they are, and why.
        losses: The loss on the calibration examples after each step of refinement.
    """

    model: nn.Module
    masks: Mapping[str, Tensor]
    size: int
    inputs: Any = None
    left_dense: Mapping[str, str] = field(default_factory=dict)
    losses: tuple[float, ...] = ()

    @property
    def kept(self) -> int:
        """How many weights are left."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    @property
    def sparsity(self) -> float:
        """The share of the weights that went; a little more than asked for where some were dead."""
        return 1 - self.kept / self.size

    def compact(self) -> nn.Module:
        """Return a smaller plain network with the same outputs, without masks.

        Features and channels go that nobody reads, or that are constant. Where the graph of the
        network cannot be traced, the network is the same with zeros, and a warning says why.
        """
        return compact(self.model, self.inputs)
