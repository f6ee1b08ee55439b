"""A constant."""

from collections.abc import Mapping
from typing import Any, ClassVar

from evotune.space.conditions import when_to_json
from evotune.space.domains.listed import Listed


class Fixed(Listed):
    """One value that is never varied, but passed on with the others.

    Args:
        value: A string, a number, True, False, None, or a member of an ``Enum``.
        when: Conditions.
    """

    kind: ClassVar[str] = "fixed"

    def __init__(self, value: Any, *, when: Mapping[str, Any] | None = None) -> None:
        super().__init__((value,), when=when)

    def to_json(self) -> dict[str, Any]:
        return {"type": self.kind, "value": self.options[0]} | when_to_json(self.when)
