"""Which layers of child and parent belong together: equal names in order, as many as possible."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import nn


class Step(NamedTuple):
    """A place of the alignment: of both, the child only (new) or the parent only (removed)."""

    child: int | None
    parent: int | None


def align(
    child: Sequence[str],
    parent: Sequence[str],
    likeness: Callable[[int, int], float] = lambda c, p: 0.0,
) -> list[Step]:
    """Align two lists of names: a longest common subsequence.

    Among those, it is one whose pairs are most alike; among these, one whose first layers are
    paired, so that new layers come late, behind an activation.

    Args:
        child: Names of the child's layers, in order.
        parent: Those of the parent's.
        likeness: Of a pair of places, in [0, 1].

    Returns:
        Steps in order; between two pairs, removed ones go before inserted ones.
    """
    rows, columns = len(child), len(parent)
    few = 2 * (1 + min(rows, columns))  # all likenesses together count less than one pair
    best = np.zeros((rows + 1, columns + 1))
    pair = np.full((rows, columns), -np.inf)
    for c in reversed(range(rows)):
        for p in reversed(range(columns)):
            if child[c] == parent[p]:
                pair[c, p] = 1 + likeness(c, p) / few + best[c + 1, p + 1]
            best[c, p] = max(pair[c, p], best[c + 1, p], best[c, p + 1])
    return _trace(pair, best)


def _trace(pair: Any, best: Any) -> list[Step]:
    rows, columns = pair.shape
    steps: list[Step] = []
    c = p = 0
    while c < rows and p < columns:
        if pair[c, p] >= best[c, p] - 1e-12:
            steps.append(Step(c, p))
            c, p = c + 1, p + 1
        elif best[c, p + 1] >= best[c, p] - 1e-12:
            steps.append(Step(None, p))
            p += 1
        else:
            steps.append(Step(c, None))
            c += 1
    steps += [Step(None, k) for k in range(p, columns)] + [Step(k, None) for k in range(c, rows)]
    return _removed_first(steps)


def _removed_first(steps: list[Step]) -> list[Step]:
    ordered: list[Step] = []
    gap: list[Step] = []
    for step in [*steps, Step(-1, -1)]:
        if step.child is None or step.parent is None:
            gap.append(step)
            continue
        ordered += sorted(gap, key=lambda s: s.child is not None)
        gap = []
        ordered.append(step)
    return ordered[:-1]


def names_of(module: nn.Module) -> list[str]:
    """Return the names by which the children of a module are aligned.

    The number behind a name (``conv2``) is that of its place and does not count; children without
    a name, as of a plain ``nn.Sequential``, are named by their type.
    """
    return [
        re.sub(r"\d+$", "", name) or type(part).__name__ for name, part in module.named_children()
    ]


def likeness_of(child: nn.Module, parent: nn.Module) -> Callable[[int, int], float]:
    """Return the likeness of two children by their places: the share of equal settings.

    Settings are what a layer is made of: types, kernels and widths behind it, not those before it,
    which are another layer's.
    """
    mine, theirs = ([_settings(part) for part in m.children()] for m in (child, parent))

    def likeness(c: int, p: int) -> float:
        both = mine[c] | theirs[p]
        return len(mine[c] & theirs[p]) / len(both) if both else 1.0

    return likeness


def _settings(module: nn.Module) -> set[tuple[str, ...]]:
    found = {(name, type(part).__name__) for name, part in module.named_modules()}
    shapes = {
        (name, str((tensor.shape[0], *tensor.shape[2:])))
        for name, tensor in module.named_parameters()
        if tensor.dim()
    }
    return found | shapes
