"""Domains given by their values: ordinals, choices, booleans, constants; and domains from JSON."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from evotune.errors import SpaceError
from evotune.space.conditions import normalise_when, when_to_json
from evotune.space.domains import Domain, Float, Int, move_index

Scalar = str | int | float | bool | None


class _Listed(Domain):
    """A domain given by its values."""

    def __init__(self, *values: Any, when: Mapping[str, Any] | None = None) -> None:
        name = type(self).__name__
        if len(values) == 1 and isinstance(values[0], Sequence) and not isinstance(values[0], str):
            values = tuple(values[0])
        if not values:
            raise SpaceError(f'{name}() has no values; write {name}("a", "b")')
        for value in values:
            if not isinstance(value, str | int | float | bool | None):
                raise SpaceError(
                    f"{name}: values must be texts, numbers, True, False or None, so that they "
                    f"can be stored; got {type(value).__name__}: {value!r}. Give it a name and "
                    "look the object up by that name in your function"
                )
            if isinstance(value, float) and not math.isfinite(value):
                raise SpaceError(f"{name}: values must be finite, got {value!r}")
        if len(set(values)) < len(values):
            raise SpaceError(f"{name}: a value stands twice in {values!r}")
        self.options: tuple[Scalar, ...] = tuple(values)
        self.when = normalise_when(when)
        self._index: dict[Any, int] = {value: k for k, value in enumerate(values)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.options))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Listed) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.kind, self.options))

    @property
    def size(self) -> float:
        return len(self.options)

    def index(self, value: Any) -> int:
        """Return the position of a value."""
        return self._index[value]

    def contains(self, value: Any) -> bool:
        # True == 1 in Python: they are different values to a user, so the types must agree too.
        try:
            k = self._index.get(value)
        except TypeError:
            return False
        return k is not None and isinstance(value, bool) == isinstance(self.options[k], bool)

    def to_unit(self, value: Any) -> float:
        return (self._index[value] + 0.5) / len(self.options)

    def from_unit(self, unit: float) -> Any:
        return self.options[min(int(unit * len(self.options)), len(self.options) - 1)]

    def canonical(self, value: Any) -> Any:
        return self.options[self._index[value]]

    def values(self) -> Iterator[Any]:
        yield from self.options

    def to_json(self) -> dict[str, Any]:
        return {"type": self.kind, "values": list(self.options)} | when_to_json(self.when)


class Ordinal(_Listed):
    """Values in a meaningful order, e.g. ``Ordinal(16, 32, 64, 128)``; variation moves along it.

    Args:
        *values: The values in order: texts, numbers, True, False or None.
        when: Conditions.

    Raises:
        SpaceError: No values, one that stands twice, or one that JSON cannot hold.
    """

    kind: ClassVar[str] = "ordinal"
    ordered: ClassVar[bool] = True

    def neighbour(self, value: Any, direction: int) -> Any:
        return self.options[move_index(self._index[value], direction, len(self.options))]


class Choice(_Listed):
    """Values without an order, e.g. ``Choice("relu", "tanh")``.

    Args:
        *values: The values: texts, numbers, True, False or None.
        weights: Chance of each when drawn afresh, relative to each other; equal by default.
        when: Conditions.

    Raises:
        SpaceError: No values, one that stands twice, one that JSON cannot hold, or weights that
            are not positive, one for each value.
    """

    kind: ClassVar[str] = "choice"

    def __init__(
        self,
        *values: Any,
        weights: Sequence[float] | None = None,
        when: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(*values, when=when)
        cumulative = None
        if weights is not None:
            if len(weights) != len(self.options) or not all(0 < w < math.inf for w in weights):
                raise SpaceError(
                    "Choice: weights must be positive numbers, one for each of the "
                    f"{len(self.options)} values; got {list(weights)!r}"
                )
            total = sum(weights)
            cumulative = [sum(weights[: k + 1]) / total for k in range(len(weights))]
        self.weights = None if weights is None else tuple(map(float, weights))
        self._cumulative: list[float] | None = cumulative

    def from_unit(self, unit: float) -> Any:
        if self._cumulative is None:
            return super().from_unit(unit)
        k = next((k for k, end in enumerate(self._cumulative) if unit < end), -1)
        return self.options[k]

    def to_unit(self, value: Any) -> float:
        if self._cumulative is None:
            return super().to_unit(value)
        k = self._index[value]
        begin = self._cumulative[k - 1] if k else 0.0
        return (begin + self._cumulative[k]) / 2

    def to_json(self) -> dict[str, Any]:
        weights = {} if self.weights is None else {"weights": list(self.weights)}
        return super().to_json() | weights


class Bool(Choice):
    """True or False.

    Args:
        when: Conditions.
    """

    kind: ClassVar[str] = "bool"

    def __init__(self, *, when: Mapping[str, Any] | None = None) -> None:
        super().__init__(False, True, when=when)

    def to_json(self) -> dict[str, Any]:
        return {"type": self.kind} | when_to_json(self.when)


class Fixed(_Listed):
    """One value that is never varied, but passed on with the others.

    Args:
        value: A text, a number, True, False or None.
        when: Conditions.
    """

    kind: ClassVar[str] = "fixed"

    def __init__(self, value: Any, *, when: Mapping[str, Any] | None = None) -> None:
        super().__init__((value,), when=when)

    def to_json(self) -> dict[str, Any]:
        return {"type": self.kind, "value": self.options[0]} | when_to_json(self.when)


def other_value(domain: Domain, value: Any, rng: np.random.Generator) -> Any:
    """Draw another value of an unordered domain, by its weights where it has some."""
    values = list(domain.values())
    weights = getattr(domain, "weights", None) or [1.0] * len(values)
    others = [(v, w) for v, w in zip(values, weights, strict=True) if v != value]
    draw = float(rng.random()) * sum(w for _, w in others)
    for candidate, weight in others:
        draw -= weight
        if draw < 0:
            return candidate
    return others[-1][0] if others else value


def domain_from_json(data: Mapping[str, Any]) -> Domain:
    """Build a domain from `Domain.to_json`, or from one written by hand in a file.

    Raises:
        SpaceError: An unknown type or setting.
    """
    settings = dict(data)
    kind = settings.pop("type", None)
    if kind not in KINDS:
        raise SpaceError(f"a domain's type is one of {', '.join(KINDS)}; got {kind!r}")
    values = settings.pop("values", ()) if kind in ("ordinal", "choice") else ()
    try:
        domain: Domain = KINDS[kind](*values, **settings)
    except TypeError as error:
        raise SpaceError(f"domain {dict(data)!r}: {error}") from None
    return domain


KINDS: dict[str, Any] = {c.kind: c for c in (Float, Int, Ordinal, Choice, Bool, Fixed)}
