"""Base of the domains that are given as a list of values."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, EnumType
from typing import Any

import numpy as np

from evotune.errors import SpaceError
from evotune.space.conditions import normalise_when, when_to_json
from evotune.space.domains.base import Domain
from evotune.space.plain import Scalar, plain

_PLAIN = frozenset((str, int, float, bool, type(None)))


class Listed(Domain):
    """A domain given as a list of values; not used directly.

    Attributes:
        options: The values, plain.
    """

    def __init__(self, *values: Any, when: Mapping[str, Any] | None = None) -> None:
        name = type(self).__name__
        if len(values) == 1 and _is_list(values[0]):
            values = tuple(values[0])
        if not values:
            raise SpaceError(f'{name}() has no values; write {name}("a", "b")')
        self.options: tuple[Scalar, ...] = tuple(plain(f"{name}: values", v) for v in values)
        if len(set(self.options)) < len(self.options):
            raise SpaceError(f"{name}: a value is given twice in {values!r}")
        self._members = {
            p: v for p, v in zip(self.options, values, strict=True) if isinstance(v, Enum)
        }
        self.when = normalise_when(when)
        self._index: dict[Any, int] = {value: k for k, value in enumerate(self.options)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.options))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Listed) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.kind, self.options))

    @property
    def members(self) -> Mapping[Any, Any]:
        """The member of an ``Enum`` that each plain value was given as, if it was."""
        return self._members

    @property
    def size(self) -> float:
        return len(self.options)

    def contains(self, value: Any) -> bool:
        if type(value) not in _PLAIN:
            try:
                given, value = value, plain("value", value)
            except SpaceError:
                return False
            if isinstance(given, Enum) and self._members.get(value, given) is not given:
                return False  # of the same name, but another enumeration's
        # True == 1 in Python: they are different values to a user, so the types must agree too.
        k = self._index.get(value)
        return k is not None and isinstance(value, bool) == isinstance(self.options[k], bool)

    def canonical(self, value: Any) -> Any:
        return self.options[self._index[plain("value", value)]]

    def to_unit(self, value: Any) -> float:
        return (self._index[value] + 0.5) / len(self.options)

    def from_unit(self, unit: float) -> Any:
        return self.options[min(int(unit * len(self.options)), len(self.options) - 1)]

    def values(self) -> Iterator[Any]:
        yield from self.options

    def ends(self) -> None:
        return None

    def to_json(self) -> dict[str, Any]:
        return {"type": self.kind, "values": list(self.options)} | when_to_json(self.when)

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Domain:
        rest = dict(settings)
        return cls(*rest.pop("values", ()), **rest)


def _is_list(value: Any) -> bool:
    if isinstance(value, EnumType):
        return True
    if isinstance(value, np.ndarray):
        return value.ndim == 1
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
