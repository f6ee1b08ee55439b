"""True or False."""

from collections.abc import Mapping
from typing import Any, ClassVar

from evotune.space.conditions import when_to_json
from evotune.space.domains.choice import Choice


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
