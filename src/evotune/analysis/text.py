"""Numbers, durations, layers and names as readable text."""

import html
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from evotune.checks import is_number
from evotune.objectives import Constraint
from evotune.space.chain import BLOCK


def number(value: Any, digits: int = 4) -> str:
    """Return a param's or metric's value as short text.

    Args:
        value: Floats are shown with about so many digits, lists of layers as `layers_text` does.
        digits: How many.
    """
    if isinstance(value, list | tuple) and all(map(_is_layer, value)):
        return layers_text(value, digits)
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.{digits}g}"


def _is_layer(value: Any) -> bool:
    return isinstance(value, Mapping) and BLOCK in value


def layers_text(layers: Sequence[Mapping[str, Any]], digits: int = 4) -> str:
    """Return the layers of a chain on one line, e.g. ``2 × conv 32·3 relu → pool``.

    Args:
        layers: Records of layers, first to last.
        digits: Digits of floats.
    """
    texts = [layer_text(layer, digits) for layer in layers]
    counted = [(text, len(list(same))) for text, same in groupby(texts)]
    parts = [text if times == 1 else f"{times} × {text}" for text, times in counted]
    return " → ".join(parts) or "no layer"


def layer_text(layer: Mapping[str, Any], digits: int = 4) -> str:
    """Return a layer in short: its block, its numbers, its other settings, e.g. ``conv 32·3 relu``.

    Of settings that are true or false, the name is there where it is true.

    Args:
        layer: The record of a layer.
        digits: Digits of floats.
    """
    settings = {name: value for name, value in layer.items() if name != BLOCK}
    numbers = [number(value, digits) for value in settings.values() if is_number(value)]
    others = [
        name if value is True else str(value)
        for name, value in settings.items()
        if not is_number(value) and value is not False
    ]
    return " ".join([str(layer[BLOCK]), *(["·".join(numbers)] if numbers else []), *others])


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


def shorten(text: Any, width: int = 60) -> str:
    """Return the text on one line, cut to ``width`` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


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
