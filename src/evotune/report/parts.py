"""What a page is made of: plain records, which `evotune.report.templating` turns into HTML."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import plotly.graph_objects as go


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table that is more than a text.

    Attributes:
        text: The text.
        strong: In bold.
        small: Remarks after it.
        summary: What is pressed to read ``body``.
        body: A longer text, with its line breaks.
    """

    text: str
    strong: bool = False
    small: tuple[str, ...] = ()
    summary: str = ""
    body: str = ""


Row: TypeAlias = tuple[str | Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        head: Names of the columns.
        rows: Each with a cell a column.
    """

    head: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """A large number, with its name above it and a remark below it."""

    name: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Best:
    """The best trial.

    Attributes:
        title: A few words.
        captions: What to know of it.
        params: Its active genes.
        metrics: Its metrics.
        json: Its active genes, to copy.
    """

    title: str
    captions: tuple[str, ...]
    params: Table
    metrics: Table
    json: str


@dataclass(frozen=True, slots=True)
class Section:
    """A figure, a table, or both, with their words.

    Attributes:
        key: Name of its place on the page.
        title: A few words.
        caption: How to read it.
        figure: The figure, if there is one.
        table: A table below it, if there is one.
        notes: What was left out or wants care.
        warning: Why it should not be trusted, or what went wrong; empty when all is well.
    """

    key: str
    title: str
    caption: str
    figure: go.Figure | None = None
    table: Table | None = None
    notes: tuple[str, ...] = ()
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page; all texts are plain.

    Attributes:
        mark: A few words above the title.
        title: Headline.
        facts: What stands below it, by name.
        sections: Figures and tables, in order.
        findings: What is worth knowing at once.
        tiles: A few large numbers.
        best: The best trial.
    """

    mark: str
    title: str
    facts: Mapping[str, str]
    sections: tuple[Section, ...]
    findings: tuple[str, ...] = ()
    tiles: tuple[Tile, ...] = ()
    best: Best | None = None
