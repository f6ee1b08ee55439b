"""What is printed: values as short text, tables for notebooks, and texts that can do no harm."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

# Control characters but for tab and new line, what turns the direction of writing, separators
# that end a line, and halves of characters, which no file and no terminal takes.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_PASSWORDS = (
    re.compile(r"(\b[\w+.-]+://[^\s:/@]*:)\S*(?=@)"),
    # An address that was misspelt is printed, as what could not be opened.
    re.compile(
        r"(?i)(\b(?:postgres|mysql|mariadb|oracle|mssql|redis)[\w+]*:?/*[^\s:/@]+:)(?!/)\S*(?=@)"
    ),
    re.compile(r"(?i)((?:passw(?:or)?d|pwd)=)(?:\\?'[^']*'|\"[^\"]*\"|[^\s&'\"]+)"),
)


def escaped(text: str) -> str:
    r"""Return a text with harmful characters written out, as ``\u001b``; JSON stays JSON."""
    return _HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def printable(text: str) -> str:
    """Return a text as it may be printed: `escaped`, and without the passwords of URLs."""
    if "@" in text or "=" in text:
        for password in _PASSWORDS:
            text = password.sub(r"\1***", text)
    return escaped(text)


class _Printable(logging.Filter):
    """Makes every message of evotune's log printable, whoever handles it."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        shown = printable(message)
        if shown != message:
            record.msg, record.args = shown, ()
        return True


logging.getLogger("evotune").addFilter(_Printable())


# -- values ---------------------------------------------------------------------------------------

_BLOCK = "block"  # what a record of a layer calls its kind, see `evotune.space.chain`


def number(value: Any, digits: int = 4) -> str:
    """Return a param's or metric's value as short text.

    Args:
        value: Floats are shown with about so many digits, lists of layers as `layers_text` does,
            records of schedules as `schedule_text` does.
        digits: How many.
    """
    if isinstance(value, float):
        return f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.{digits}g}"
    if isinstance(value, list | tuple) and all(map(_is_layer, value)):
        return layers_text(value, digits)
    if _is_schedule(value):
        return schedule_text(value, digits)
    return str(value)


def _is_schedule(value: Any) -> bool:  # as `evotune.space.scheduled.is_record`
    return isinstance(value, Mapping) and "shape" in value and "start" in value


def schedule_text(record: Mapping[str, Any], digits: int = 4) -> str:
    """Return a schedule on one line, e.g. ``0.1 → 0.001 cosine, warm-up 10 %``.

    Args:
        record: Its shape, start, and end or knots; a share of the start is shown as the value.
        digits: Digits of floats.
    """
    values = [record["start"]]
    if "end_share" in record:
        values.append(record["start"] * record["end_share"])
    values += [v for key, v in record.items() if key == "end" or str(key).startswith("knot")]
    line = " → ".join(number(value, digits) for value in values)
    share = record.get("warmup", 0)
    warm = f", warm-up {number(100 * share, 2)} %" if share else ""
    return f"{line} {record['shape']}{warm}"


def _is_layer(value: Any) -> bool:
    return isinstance(value, Mapping) and _BLOCK in value


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
    settings = {name: value for name, value in layer.items() if name != _BLOCK}
    numbers = [number(value, digits) for value in settings.values() if _is_number(value)]
    others = [
        name if value is True else str(value)
        for name, value in settings.items()
        if not _is_number(value) and value is not False
    ]
    return " ".join([str(layer[_BLOCK]), *(["·".join(numbers)] if numbers else []), *others])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shorten(text: Any, width: int = 60) -> str:
    """Return the text on one line, cut to ``width`` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


# -- what a notebook shows ------------------------------------------------------------------------


def html_table(
    head: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    *,
    title: str = "",
    notes: Iterable[str] = (),
    bars: Sequence[float] = (),
) -> str:
    """Return a small table as HTML for a notebook, in the notebook's own colours.

    Args:
        head: Names of the columns.
        rows: A cell for each column; everything is escaped.
        title: A line above it.
        notes: Lines below it.
        bars: Shares in [0, 1], one a row, drawn as bars after the last column.
    """
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    made: str = _table_template().render(
        head=[printable(str(name)) for name in head],
        rows=cells,
        title=printable(title),
        notes=list(map(printable, notes)),
        widths=[round(160 * share) for share in bars] if bars else [None] * len(cells),
    )
    return made


@cache
def _table_template() -> Any:
    from jinja2 import Environment  # only notebooks need it here

    source = files("evotune").joinpath("table.html.j2").read_text(encoding="utf-8")
    made = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return made.from_string(source)
