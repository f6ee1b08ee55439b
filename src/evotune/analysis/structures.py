"""Chains of layers in figures: how wide layers are, and what a child changed in its parent's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evotune.printing import layer_text
from evotune.space import Chain, Domain
from evotune.space.chain import BLOCK

Layer = Mapping[str, Any]
Kind = Literal["same", "changed", "inserted", "removed", "replaced"]

#: A setting is a width if it can be larger than this: kernels, strides, heads and ratios cannot.
WIDE = 16
#: Costs of an alignment: a layer inserted or removed, another block, another value of a setting.
GAP, OTHER_BLOCK, OTHER_VALUES = 1.0, 1.7, 0.9


# -- widths ---------------------------------------------------------------------------------------


def width_settings(chain: Chain) -> dict[str, str]:
    """Return the setting that says how wide a layer is, for each block that has one.

    It is the one that counts something and can become largest, such as ``filters`` or ``units``.
    """
    found = {}
    for block, settings in chain.blocks.items():
        largest = {name: _largest(domain) for name, domain in settings.items()}
        widest = max(largest, key=lambda name: largest[name], default="")
        if widest and largest[widest] > WIDE:
            found[block] = widest
    return found


def _largest(domain: Domain) -> float:
    """Return the largest value of a gene that counts something, else 0."""
    axis = domain.axis()
    values = axis.values or (domain.from_unit(0.37), axis.low, axis.high)  # 0.37: no round number
    return max(values) if all(type(value) is int for value in values) else 0


def widths(chain: Chain, layers: Sequence[Layer]) -> list[float]:
    """Return the width of each layer; one that has none, such as a pool, keeps the last one's.

    Args:
        chain: The chain.
        layers: Its layers; before the first one that has a width, it is 1.
    """
    settings, found, last = width_settings(chain), [], 1.0
    for layer in layers:
        last = layer.get(settings.get(layer[BLOCK], ""), last)
        found.append(float(last))
    return found


# -- what a child changed -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pair:
    """A layer of a parent beside the one of its child that stands for it.

    Attributes:
        kind: ``same``, ``changed`` (other settings), ``replaced`` (another block), ``inserted`` or
            ``removed``.
        before: The parent's layer; None where the child inserted one.
        after: The child's layer; None where it removed one.
    """

    kind: Kind
    before: Layer | None
    after: Layer | None

    def __str__(self) -> str:
        sign = {"inserted": "+ ", "removed": "− "}.get(self.kind, "")
        layers = (layer for layer in (self.before, self.after) if layer is not None)
        return sign + " → ".join(map(layer_text, layers))


def aligned(parent: Sequence[Layer], child: Sequence[Layer]) -> list[Pair]:
    """Return the layers of a parent beside those of its child, with the fewest changes.

    Reference: Needleman and Wunsch, "A general method applicable to the search for similarities in
    the amino acid sequence of two proteins" (1970).
    """
    costs = _costs(parent, child)
    pairs: list[Pair] = []
    i, j = len(parent), len(child)
    while i or j:
        before, after = (parent[i - 1] if i else None), (child[j - 1] if j else None)
        if before is not None and after is not None:
            beside = costs[i - 1, j - 1] + _difference(before, after)
            if np.isclose(costs[i, j], beside):
                pairs.append(Pair(_kind(before, after), before, after))
                i, j = i - 1, j - 1
                continue
        if before is None or (after is not None and np.isclose(costs[i, j], costs[i, j - 1] + GAP)):
            pairs.append(Pair("inserted", None, after))
            j -= 1
        else:
            pairs.append(Pair("removed", before, None))
            i -= 1
    return pairs[::-1]


def _costs(parent: Sequence[Layer], child: Sequence[Layer]) -> npt.NDArray[np.float64]:
    """Return the costs of aligning the first i and j layers, ``(parent's + 1, child's + 1)``."""
    costs: npt.NDArray[np.float64] = np.zeros((len(parent) + 1, len(child) + 1))
    costs[:, 0] = GAP * np.arange(len(parent) + 1)
    costs[0] = GAP * np.arange(len(child) + 1)
    for i, before in enumerate(parent, start=1):
        for j, after in enumerate(child, start=1):
            costs[i, j] = min(
                costs[i - 1, j] + GAP,
                costs[i, j - 1] + GAP,
                costs[i - 1, j - 1] + _difference(before, after),
            )
    return costs


def _difference(before: Layer, after: Layer) -> float:
    if before[BLOCK] != after[BLOCK]:
        return OTHER_BLOCK
    names = before.keys() | after.keys()
    differ = sum(bool(before.get(name) != after.get(name)) for name in names)
    return OTHER_VALUES * differ / len(names)


def _kind(before: Layer, after: Layer) -> Kind:
    if before[BLOCK] != after[BLOCK]:
        return "replaced"
    return "same" if before == after else "changed"
