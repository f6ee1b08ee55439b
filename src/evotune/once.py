"""Warnings that are logged once: what holds for one trial often holds for all that follow."""

import logging
from collections.abc import Hashable

log = logging.getLogger("evotune")

#: What this process has logged.
said: set[Hashable] = set()


def warn_once(key: Hashable, message: str, *values: object) -> None:
    """Log a warning, unless one of this key was logged in this process.

    Args:
        key: What the warning is about.
        message: The text, with places for the values as `logging` has them.
        *values: The values.
    """
    if key not in said:
        said.add(key)
        log.warning(message, *values)
