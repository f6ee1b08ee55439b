"""Values in a meaningful order."""

from typing import ClassVar

from evotune.space.domains.listed import Listed


class Ordinal(Listed):
    """Values in a meaningful order, e.g. ``Ordinal(16, 32, 64, 128)``; variation moves along it.

    Args:
        *values: The values in order: strings, numbers, True, False, None, or members of an
            ``Enum``, which are stored by name and stand in params as they are.
        when: Conditions.

    Raises:
        SpaceError: No values, a repeated value, or one that JSON cannot hold.
    """

    kind: ClassVar[str] = "ordinal"
    ordered: ClassVar[bool] = True
    even: ClassVar[bool] = True
