"""Which weights go together: each alone, in groups such as 2 of 4, or whole channels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from evotune.errors import TaskError
from evotune.pruning.layers import Layer
from evotune.pruning.rounds import Masks, Pruning


@dataclass(frozen=True, slots=True)
class InGroups:
    """At most so many weights of each group of neighbours: N:M sparsity, which hardware reads fast.

    Neighbours are weights of one row that read neighbouring input features, or channels at the same
    place of a kernel (Mishra et al., "Accelerating sparse deep neural networks" (2021)).

    Attributes:
        keep: How many stay in each group.
        of: How many are in a group.
    """

    keep: int
    of: int

    @property
    def sparsity(self) -> float:
        """The share of the weights that go."""
        return 1 - self.keep / self.of

    def __call__(self, pruning: Pruning, scores: Mapping[str, Tensor], count: int) -> Masks:
        """Return masks of the best weights of each group; in rounds they become fewer."""
        keep = min(self.of, max(self.keep, round(self.of * count / pruning.size)))
        return {
            layer.name: self._best(layer, scores[layer.name], pruning.masks[layer.name], keep)
            for layer in pruning.layers
        }

    def _best(self, layer: Layer, scores: Tensor, mask: Tensor, keep: int) -> Tensor:
        order = self.groups(layer)
        grouped = scores.masked_fill(~mask, -torch.inf).flatten(1)[:, order]  # (g, rows·, n, of)
        chosen = torch.zeros_like(grouped, dtype=torch.bool)
        chosen.scatter_(-1, grouped.topk(keep, -1).indices, True)
        found = torch.zeros_like(mask).flatten(1)
        found[:, order] = chosen
        return found.reshape(mask.shape) & mask

    def groups(self, layer: Layer) -> Tensor:
        """Return the places of weights in a flat layer, ``(groups of neighbours, of)``."""
        shape = layer.dense.shape[1:]
        kernel = layer.module.weight[0, 0].numel()  # 1 of a linear layer
        places = torch.arange(shape.numel(), device=layer.dense.device)
        return places.reshape(shape[0], -1, kernel).movedim(1, 2).reshape(-1, self.of)

    def why_not(self, layer: Layer, name: str) -> str | None:
        """Return why a layer stays dense; None if it does not."""
        read = layer.module.weight.shape[1]
        if read % self.of == 0:
            return None
        return f"the {read} weights of a row do not divide into groups of {self.of}"


class Channels:
    """Whole output channels or features: a smaller network, which any machine runs faster.

    A channel is worth what its weights are worth together: the sum of their scores before the
    logarithm. With a channel go the weights that read it. Those of the last layers stay.
    """

    sparsity = None  # any

    def __call__(self, pruning: Pruning, scores: Mapping[str, Tensor], count: int) -> Masks:
        """Return masks of the best channels: as many as leave at most so many weights."""
        if not pruning.hidden:
            raise TaskError("no layer reads the channels of another one, so that none can go")
        worth = {
            name: scores[name].masked_fill(~mask, -torch.inf).logsumexp(2)
            for name, mask in pruning.masks.items()
        }
        flat = torch.cat([worth[name].flatten() for name in worth if name in pruning.hidden])
        order = flat.sort(descending=True).values
        low, high = 0, len(order) - 1  # places of the least channel that stays

        def kept(place: int) -> Masks:
            found = {}
            for name, mask in pruning.masks.items():
                stay = worth[name] >= min(float(order[place]), float(worth[name].max()))
                found[name] = mask & stay.unsqueeze(2) if name in pruning.hidden else mask
            return pruning.live(found)

        def fits(masks: Masks) -> bool:
            return sum(int(mask.sum()) for mask in masks.values()) <= count

        if not fits(best := kept(0)):
            raise TaskError(
                f"structure='channels' leaves {sum(int(m.sum()) for m in best.values())} weights "
                f"at least, one channel of each layer, and sparsity= wants {count}; write a "
                "smaller one"
            )
        while low < high:
            middle = (low + high + 1) // 2
            if fits(masks := kept(middle)):
                low, best = middle, masks
            else:
                high = middle - 1
        return best

    def why_not(self, layer: Layer, name: str) -> str | None:
        """Return why a layer stays dense; None if it does not."""
        if layer.name != name:
            return "channels of recurrent layers and attention do not go"
        return None


Structure = InGroups | Channels


def structure_of(text: str | None) -> Structure | None:
    """Return what chooses weights of a structure; None for single weights.

    Args:
        text: None for single weights, such as ``"2:4"``, or ``"channels"``.

    Raises:
        TaskError: It is something else.
    """
    if text is None:
        return None
    if text == "channels":
        return Channels()
    found = re.fullmatch(r"(\d+):(\d+)", text) if isinstance(text, str) else None
    if found is None or not 0 < int(found[1]) < int(found[2]):
        raise TaskError(
            f"structure={text!r}; write such as '2:4' (at most 2 weights of each 4 neighbours), "
            "'channels' (whole features and channels), or leave it out (single weights)"
        )
    return InGroups(int(found[1]), int(found[2]))
