"""Numbers, durations, layers and names as readable text."""

import html
import math
from typing import Any

from evotune.objectives import Constraint
from evotune.printing import number, shorten


def percent(share: float) -> str:
    """Return a share in [0, 1] as per cent."""
    return "< 1 %" if 0.0005 <= share < 0.01 else f"{100 * share:.0f} %"


def duration(seconds: float) -> str:
    """Return seconds as text in the two largest units that fit."""
    if seconds <= 0:
        return "0 s"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms" if seconds >= 0.001 else "< 1 ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    shown = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(shown[:2])


def label(text: Any, width: int = 28) -> str:
    """Return text escaped and shortened for labels, which Plotly reads as HTML."""
    return html.escape(shorten(text, width))


def constraint_text(constraint: Constraint) -> str:
    """Return a constraint as people write it, e.g. ``0.1 <= size <= 0.9``."""
    low = f"{number(constraint.at_least)} <= " if constraint.at_least > -math.inf else ""
    high = f" <= {number(constraint.at_most)}" if constraint.at_most < math.inf else ""
    return f"{low}{constraint.metric}{high}"


def count(amount: int, noun: str) -> str:
    """Return an amount with its noun, e.g. ``1 trial`` or ``1,200 trials``."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"
