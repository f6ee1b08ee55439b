"""The interface of every kind of gene, and the registry of the kinds.

Every domain maps its values onto the unit interval and back. Numbers and ordinals keep their
order there, in log scale where the domain says so. All that depends on the kind of a gene is a
method here, with a default that suits most kinds; nothing outside this folder asks for the kind.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from evotune.checks import is_number
from evotune.errors import SpaceError
from evotune.space.conditions import Range, normalise_when, when_to_json
from evotune.space.domains.lattice import Lattice
from evotune.space.folding import reflect
from evotune.space.plain import number, plain

Array = npt.NDArray[np.float64]

#: Two parents' positions in the unit interval and a uniform draw -> their child's position.
#: Shifting or scaling both parents must shift or scale the child alike.
Mix = Callable[[float, float, float], float]

#: Every kind of domain by its name in JSON and TOML; a class joins it when it is defined.
KINDS: dict[str, "type[Domain]"] = {}

_NONE: Mapping[Any, Any] = MappingProxyType({})

#: Domains of at most this many values are listed to see whether a condition can hold.
LISTED_AT_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Axis:
    """How a figure shows a gene: along numbers, or value by value.

    Attributes:
        low: Smallest number.
        high: Largest number.
        log: Logarithmic.
        values: The values in order, for a gene whose values are listed; empty for numbers.
    """

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    values: tuple[Any, ...] = ()


class Domain(ABC):
    """The base of all domains. A domain of your own is a frozen dataclass with a ``kind``.

    A continuous range of numbers needs only `contains`, `to_unit` and `from_unit`; finite values
    need `size` too. Once it is defined, `Space.from_json`, storages and files find it by its kind.

    Attributes:
        kind: Name of the domain in JSON and TOML; no two classes share one.
        ordered: True when neighbouring values are alike, so that variation may move between them.
        even: True when all values have an equal share of the unit interval and `to_unit` gives
            the middle of it, so that many rows can be computed at once.
        when: Conditions under which the gene is active; empty means always.

    Example::

        @dataclass(frozen=True)
        class Share(Domain):
            low: float
            high: float
            when: Any = None
            kind: ClassVar[str] = "share"
            ordered: ClassVar[bool] = True

            def contains(self, value): return is_number(value) and self.low <= value <= self.high
            def to_unit(self, value): ...
            def from_unit(self, unit): ...
    """

    kind: ClassVar[str] = ""
    ordered: ClassVar[bool] = False
    even: ClassVar[bool] = False
    when: Any = ()

    @property
    def members(self) -> Mapping[Any, Any]:
        """What stands in params in place of some of its plain values."""
        return _NONE

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        kind = cls.__dict__.get("kind")
        if not kind:
            return
        known = KINDS.get(kind, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise SpaceError(
                f"{cls.__qualname__}: the kind {kind!r} belongs to {known.__module__}."
                f"{known.__qualname__}; give your domain a kind of its own"
            )
        KINDS[kind] = cls

    def __post_init__(self) -> None:
        """Normalise the conditions; a subclass with its own ``__post_init__`` calls this."""
        fill(self, when=normalise_when(self.when))

    # -- its values ---------------------------------------------------------------------------

    @property
    def size(self) -> float:
        """Number of values, ``inf`` for a continuous domain."""
        return math.inf

    @abstractmethod
    def contains(self, value: Any) -> bool:
        """Return whether a value lies in the domain."""

    def canonical(self, value: Any) -> Any:
        """Return a value of the domain as a plain Python value that JSON can hold."""
        return plain(f"{type(self).__name__}: values", value)

    def key(self, value: Any) -> Any:
        """Return a hashable key, equal exactly for values that are the same to a user."""
        return value

    @property
    def keyed(self) -> bool:
        """True when a value and its key may differ."""
        return type(self).key is not Domain.key

    def values(self) -> Iterator[Any]:
        """Yield all values of a finite domain, in order."""
        for k in range(int(self.size)):
            yield self.from_unit((k + 0.5) / self.size)

    def ends(self) -> tuple[Any, Any] | None:
        """Return the smallest and the largest number; None where the values are not numbers."""
        if not self.ordered or self.size < math.inf:
            return None
        low, high = self.from_unit(0.0), self.from_unit(1.0)
        return (low, high) if is_number(low) and is_number(high) else None

    def clip(self, value: Any) -> Any:
        """Return a number brought inside the range; other values as they are."""
        ends = self.ends()
        return value if ends is None else min(max(value, ends[0]), ends[1])

    def allows(self, allowed: Range | tuple[Any, ...]) -> bool:
        """Return whether a condition on this gene, a `Range` or a tuple of values, can hold."""
        if isinstance(allowed, tuple):
            return any(self.contains(value) for value in allowed)
        if self.size <= LISTED_AT_MOST:
            return any(value in allowed for value in self.values())
        ends = self.ends()
        return ends is not None and ends[0] <= allowed.high and allowed.low <= ends[1]

    # -- the unit interval --------------------------------------------------------------------

    @abstractmethod
    def to_unit(self, value: Any) -> float:
        """Map a value of the domain to [0, 1]."""

    @abstractmethod
    def from_unit(self, unit: float) -> Any:
        """Map [0, 1] to the domain; a uniform unit gives a fair sample."""

    def snap(self, units: Array, directions: Array | None = None) -> Array:
        """Decode many units and return the units of the values that they stand for.

        Args:
            units: Shape ``(rows,)``.
            directions: 1 and -1 move a discrete ordered value by one, 0 leaves it, ``(rows,)``.
        """
        if self.size == math.inf:
            return units
        values = [self.from_unit(unit) for unit in units.tolist()]
        if directions is not None:
            pairs = zip(values, directions.tolist(), strict=True)
            values = [self.neighbour(v, int(d)) if d else v for v, d in pairs]
        return np.array([self.to_unit(value) for value in values])

    # -- variation ----------------------------------------------------------------------------

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw a value uniformly on the domain's own scale."""
        return self.from_unit(float(rng.random()))

    def other(self, value: Any, rng: np.random.Generator) -> Any:
        """Draw another value of an unordered domain, by its chances; ``value`` if it has no other.

        A continuous domain is sampled as in `draw`.
        """
        if self.size == math.inf:
            return self.draw(rng)
        pairs = zip(self.values(), self.chances(), strict=True)
        others = [(v, w) for v, w in pairs if v != value]
        draw = float(rng.random()) * sum(w for _, w in others)
        for candidate, weight in others:
            draw -= weight
            if draw < 0:
                return candidate
        return others[-1][0] if others else value

    def chances(self) -> list[float]:
        """Return the relative chance of each of the values when one is drawn, ``(values,)``."""
        return [1.0] * int(self.size)

    def move(self, value: Any, delta: float) -> Any:
        """Move an ordered value by ``delta`` in the unit interval, reflected at the bounds."""
        return self.from_unit(reflect(self.to_unit(value) + delta))

    def shift(self, value: Any, delta: float) -> Any:
        """Move an ordered value as `move` does, a discrete one by one step at least."""
        moved = self.move(value, delta)
        if moved != value or self.size <= 1 or self.size == math.inf:
            return moved
        return self.neighbour(value, 1 if delta >= 0 else -1)

    def neighbour(self, value: Any, direction: int) -> Any:
        """Move a discrete ordered value by one, the other way at a bound."""
        values = list(self.values())
        return values[Lattice(len(values)).next(values.index(value), direction)]

    def grow(self, value: Any, share: float) -> Any:
        """Add a share of its own size to a number (of the range's size where it is 0).

        The result is clipped at the bounds; a discrete number moves by at least one step. Ordered
        values that are not numbers move by one, in the direction of the share's sign.
        """
        ends = self.ends()
        direction = 1 if share > 0 else -1
        if ends is None:
            return self.neighbour(value, direction)
        low, high = ends
        target = min(max(value + share * (abs(value) or high - low), low), high)
        if self.size == math.inf:
            return target
        moved = self.from_unit(self.to_unit(target))
        return self.neighbour(value, direction) if moved == value else moved

    def cross(self, a: Any, b: Any, draw: float, mix: Mix) -> Any:
        """Return a child's value from its parents'.

        Args:
            a: The first parent's.
            b: The second parent's.
            draw: Uniform in [0, 1).
            mix: Where the child lies. Equal values and those without an order are not mixed but
                exchanged with probability one half.
        """
        if not self.ordered or a == b:
            return b if draw < 0.5 else a
        unit = self.to_unit(a)
        mixed = mix(unit, self.to_unit(b), draw)
        return a if mixed == unit else self.from_unit(reflect(mixed))

    def narrowed(
        self,
        now: "Domain",
        values: Sequence[Any],
        *,
        margin: float,
        narrowest: float,
        floor: float,
    ) -> "Domain":
        """Return this domain, narrowed from ``now`` towards good values.

        Args:
            now: The domain as narrowed before; returned as it is where it cannot be narrowed.
            values: The good values; they may lie outside ``now``.
            margin: Share of the present range to leave on each side of them.
            narrowest: Smallest width, as a share of the full range.
            floor: Chance of each value without an order that none of them has.
        """
        ends = now.ends()
        if ends is None:
            return now
        begin, end = self.to_unit(ends[0]), self.to_unit(ends[1])
        # An elite trial may lie outside: it may be older, or come from elsewhere.
        units = sorted(min(max(self.to_unit(value), begin), end) for value in values)
        room = margin * (end - begin)
        low, high = units[0] - room, units[-1] + room
        if high - low < narrowest:
            middle = (units[0] + units[-1]) / 2
            low, high = middle - narrowest / 2, middle + narrowest / 2
        return self.part(self.from_unit(max(low, begin)), self.from_unit(min(high, end)))

    def part(self, low: Any, high: Any) -> "Domain":
        """Return this domain limited to [low, high]; unchanged where it has no such bounds."""
        this: Any = self
        if not {"low", "high"} <= set(_arguments(this)):
            return self
        made: Domain = dataclasses.replace(this, low=low, high=high)
        return made

    # -- what others see ----------------------------------------------------------------------

    def axis(self) -> Axis:
        """Return how a figure shows the gene."""
        ends = self.ends()
        if ends is None:
            return Axis(values=tuple(self.values()))
        return Axis(*ends, log=getattr(self, "log", False))

    def features(self, value: Any) -> Array:
        """Return the features of a value for a surrogate, shape ``(features,)``.

        An ordered value is one number, its position in [0, 1]. An unordered one has a number for
        each value (one-hot), scaled to distance 1, like the ends of an ordered domain.
        """
        if self.ordered:
            return np.array([self.to_unit(value)])
        key = self.key(value)
        return np.array([self.key(v) == key for v in self.values()]) * math.sqrt(0.5)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able description: by default the arguments of the dataclass."""
        data = {name: getattr(self, name) for name in _arguments(self) if name != "when"}
        return {"type": self.kind} | data | when_to_json(self.when)

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "Domain":
        """Build a domain from `to_json` without its type."""
        return cls(**settings)


def _arguments(domain: Any) -> list[str]:
    """Return the names of the arguments of a domain that is a dataclass."""
    fields = dataclasses.fields(domain) if dataclasses.is_dataclass(domain) else ()
    return [field.name for field in fields if field.init]


def domain_from_json(data: Mapping[str, Any]) -> Domain:
    """Build a domain from `Domain.to_json`, or from one written by hand in a file.

    Raises:
        SpaceError: An unknown type or setting.
    """
    settings = dict(data)
    kind = settings.pop("type", None)
    if kind not in KINDS:
        raise SpaceError(
            f"a domain's type is one of {', '.join(KINDS)}; got {kind!r}. A domain of your own is "
            "known once the module that defines it is imported"
        )
    try:
        return KINDS[kind].from_json(settings)
    except TypeError as error:
        raise SpaceError(f"domain {dict(data)!r}: {error}") from None


def check_bounds(kind: str, low: Any, high: Any, *, log: bool, step: Any = None) -> None:
    """Check the settings of a range of numbers, which are plain Python numbers already.

    Raises:
        SpaceError: Bounds in the wrong order or too far apart, a log range that reaches zero, a
            step that is not positive or combined with log.
    """
    given = f"{kind}({low!r}, {high!r}"
    if low > high:
        raise SpaceError(f"{given}): low lies above high; write {kind}({high!r}, {low!r})")
    if log and low <= 0:
        raise SpaceError(
            f"{given}, log=True): a log range needs low > 0; raise low, or leave log=True out"
        )
    number(f"{kind}: high - low", high - low)
    if step is not None and (step <= 0 or log):
        raise SpaceError(
            f"{kind}: step must be positive and not combined with log, "
            f"got step={step!r}, log={log!r}"
        )


def lattice_of(domain: Any, count: int) -> Lattice:
    """Return the lattice of a range in steps.

    Raises:
        SpaceError: The step is wider than the range.
    """
    if count == 1 and domain.high > domain.low:
        raise SpaceError(
            f"{type(domain).__name__}({domain.low!r}, {domain.high!r}, step={domain.step!r}) has "
            "one value only: the step is wider than the range. Give a smaller step, or write "
            f"Fixed({domain.low!r})"
        )
    return Lattice(count)


def fill(target: object, **fields: Any) -> None:
    """Set fields of a frozen dataclass while it is made."""
    for name, value in fields.items():
        object.__setattr__(target, name, value)
