"""Values without an order."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from evotune import finite
from evotune.errors import SpaceError
from evotune.space.domains.base import Domain
from evotune.space.domains.listed import Listed
from evotune.space.plain import number


class Choice(Listed):
    """Values without an order, e.g. ``Choice("relu", "tanh")``.

    Args:
        *values: The values: strings, numbers, True, False, None, or members of an ``Enum``, which
            are stored by name and stand in params as they are.
        weights: Relative probability of each value when one is drawn; equal by default.
        when: Conditions.

    Raises:
        SpaceError: No values, a repeated value, one that JSON cannot hold, or weights that are not
            one positive number per value.
    """

    kind: ClassVar[str] = "choice"

    def __init__(
        self,
        *values: Any,
        weights: Sequence[float] | None = None,
        when: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(*values, when=when)
        self.weights = None if weights is None else _checked(weights, len(self.options))
        self._cumulative: list[float] | None = None
        if self.weights is not None:
            chances = self.chances()
            total = sum(chances)
            self._cumulative = [sum(chances[:k]) / total for k in range(1, len(chances) + 1)]

    def __repr__(self) -> str:
        if self.weights is None:
            return super().__repr__()
        return f"{super().__repr__()[:-1]}, weights={self.weights!r})"

    def chances(self) -> list[float]:
        if self.weights is None:
            return super().chances()
        unit = finite.unit(self.weights)  # they are added up
        return [weight / unit for weight in self.weights]

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

    def narrowed(
        self,
        now: Domain,
        values: Sequence[Any],
        *,
        margin: float,
        narrowest: float,
        floor: float,
    ) -> Domain:
        shares = [max(floor, values.count(v) / len(values)) for v in self.options]
        return Choice(*self.options, weights=shares, when=self.when)

    def to_json(self) -> dict[str, Any]:
        weights = {} if self.weights is None else {"weights": list(self.weights)}
        return super().to_json() | weights


def _checked(weights: Any, count: int) -> tuple[float, ...]:
    try:
        given = [number("Choice: weights", weight) for weight in weights]
    except TypeError:
        given = []
    if len(given) != count or not all(w > 0 for w in given):
        raise SpaceError(
            f"Choice: weights must be positive numbers, one for each of the {count} values; "
            f"got {weights!r}"
        )
    return tuple(given)
