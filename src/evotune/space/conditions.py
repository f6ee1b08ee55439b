"""Conditions: when a gene is active. ``{"booster": "tree"}``, several values, or a `Range`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from evotune.errors import SpaceError
from evotune.space.plain import number, plain, whole


@dataclass(frozen=True, slots=True)
class Range:
    """All values from low to high, both included; open where a bound is left out.

    Args:
        low: Smallest value.
        high: Largest value.

    Raises:
        SpaceError: A bound is not a number, or the bounds are in the wrong order.
    """

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            bound = getattr(self, name)
            if isinstance(bound, Integral):
                bound = whole(f"Range: {name}", bound)
            elif not isinstance(bound, float | np.floating) or not math.isinf(bound):
                bound = number(f"Range: {name}", bound)
            object.__setattr__(self, name, bound)
        if not self.low <= self.high:
            raise SpaceError(f"Range({self.low!r}, {self.high!r}): low lies above high")

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


#: Pairs of (gene, allowed values); all must hold.
When = tuple[tuple[str, Range | tuple[Any, ...]], ...]


def normalise_when(when: Mapping[str, Any] | When | None) -> When:
    """Bring a condition as users and files write it into one form.

    Raises:
        SpaceError: The condition is not a mapping, or allows no value.
    """
    if when is None:
        return ()
    if isinstance(when, tuple):  # in that form already
        return when
    if not isinstance(when, Mapping):
        raise SpaceError(f'when= must be a mapping such as {{"optimizer": "sgd"}}, got {when!r}')
    return tuple((str(gene), _allowed(gene, allowed)) for gene, allowed in when.items())


def _allowed(gene: str, allowed: Any) -> Range | tuple[Any, ...]:
    if isinstance(allowed, Range):
        return allowed
    if isinstance(allowed, Mapping):  # as JSON and TOML write a Range
        unknown = set(allowed) - {"low", "high"}
        if unknown:
            raise SpaceError(f"when={{{gene!r}: ...}}: a range has low and high, got {allowed!r}")
        return Range(**{k: v for k, v in allowed.items() if v is not None})
    if isinstance(allowed, set | frozenset):
        allowed = sorted(allowed, key=repr)
    if isinstance(allowed, np.ndarray):
        allowed = np.atleast_1d(allowed).tolist()
    if not isinstance(allowed, Sequence) or isinstance(allowed, str | bytes | bytearray):
        allowed = (allowed,)
    if not allowed:
        raise SpaceError(f"when={{{gene!r}: {allowed!r}}} allows no value at all")
    return tuple(plain(f"when={{{gene!r}: ...}}: allowed values", value) for value in allowed)


def when_to_json(when: When) -> dict[str, Any]:
    """Return ``{"when": ...}`` as JSON, or nothing when there is no condition."""
    if not when:
        return {}
    return {"when": {gene: _allowed_to_json(allowed) for gene, allowed in when}}


def _allowed_to_json(allowed: Range | tuple[Any, ...]) -> Any:
    if isinstance(allowed, Range):
        ends = {"low": allowed.low, "high": allowed.high}
        return {name: end for name, end in ends.items() if math.isfinite(end)}
    return list(allowed)


def in_common(parts: Sequence[Range | tuple[Any, ...]]) -> Range | tuple[Any, ...]:
    """Return what several conditions on one gene all allow; an empty tuple for nothing."""
    listed = [part for part in parts if isinstance(part, tuple)]
    if listed:
        return tuple(v for v in listed[0] if all(v in part for part in parts))
    low = max(part.low for part in parts if isinstance(part, Range))
    high = min(part.high for part in parts if isinstance(part, Range))
    return Range(low, high) if low <= high else ()


def in_order(conditions: Mapping[str, When]) -> tuple[str, ...]:
    """Return the genes so that each comes after all genes that it depends on.

    Args:
        conditions: The conditions of every gene of a space.

    Raises:
        SpaceError: A condition names an unknown gene, or the conditions form a cycle.
    """
    for gene, when in conditions.items():
        for other, _ in when:
            if other not in conditions:
                depth, start = f"{other}.depth", f"{other}.start"
                raise SpaceError(
                    f"gene {gene!r} depends on {other!r}, which is a chain and has no single "
                    f"value; its number of layers has: write when={{{depth!r}: [1, 2]}}"
                    if depth in conditions
                    else f"gene {gene!r} depends on {other!r}, which is a schedule and has no "
                    f"single value; its start has: write when={{{start!r}: Range(0.01, 1)}}"
                    if start in conditions
                    else f"gene {gene!r} depends on {other!r}, which is not in the space; "
                    f"the space has {', '.join(map(repr, conditions))}"
                )
    ordered: dict[str, None] = {}
    open_genes: list[str] = []

    def visit(gene: str) -> None:
        if gene in ordered:
            return
        if gene in open_genes:
            circle = " -> ".join([*open_genes[open_genes.index(gene) :], gene])
            raise SpaceError(f"conditions form a cycle: {circle}; remove one of them")
        open_genes.append(gene)
        for other, _ in conditions[gene]:
            visit(other)
        open_genes.pop()
        ordered[gene] = None

    for gene in conditions:
        visit(gene)
    return tuple(ordered)
