"""The parts of a page, as plain records; `evotune.report.templating` turns them into HTML."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import plotly.graph_objects as go


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table that has more than plain text.

    Attributes:
        text: The text.
        strong: Whether the text is bold.
        small: Remarks after the text, in small print.
        summary: What is clicked to show ``body``.
        body: A longer text, shown with its line breaks.
        link: What the text leads to: ``#`` and an anchor on the page, or another page's address.
        order: What the cell is sorted by, where that is not its text.
    """

    text: str
    strong: bool = False
    small: tuple[str, ...] = ()
    summary: str = ""
    body: str = ""
    link: str = ""
    order: float | None = None


Row: TypeAlias = tuple[str | Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        head: Names of the columns.
        rows: Each with one cell per column.
        sorts: Whether readers may sort and filter its rows.
    """

    head: tuple[str, ...]
    rows: tuple[Row, ...]
    sorts: bool = False


@dataclass(frozen=True, slots=True)
class Details:
    """All of one trial, shown when a link leads to it.

    Attributes:
        key: Anchor on the page.
        title: A few words.
        origins: What it comes from: words and, where that is on the page, what they lead to.
        tables: Its params, metrics and the like.
        curve: Corners of the curve that it reported, in a box of 300 by 80; empty for none.
        ends: What the curve shows: its metric, first and last value.
        trace: The traceback of a failure, or its reason.
    """

    key: str
    title: str
    origins: tuple[Cell, ...]
    tables: tuple[Table, ...]
    curve: str = ""
    ends: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A curve without a library: an SVG of 300 by 80.

    Attributes:
        corners: Of its line, as SVG writes them.
        words: What it shows.
    """

    corners: str
    words: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the page of a trial: a title, and tables, curves or a text below it.

    Attributes:
        title: A few words.
        caption: How to read it.
        tables: Side by side.
        curves: One below the other.
        body: A longer text, shown with its line breaks.
    """

    title: str
    caption: str = ""
    tables: tuple[Table, ...] = ()
    curves: tuple[Drawn, ...] = ()
    body: str = ""


@dataclass(frozen=True, slots=True)
class TrialPage:
    """A page about one trial, in a folder beside the report.

    Attributes:
        number: Number of the trial.
        title: Headline.
        study: Name of the study.
        links: To the report, and to the trials before and after.
        facts: Names and values below the headline.
        parts: In order.
    """

    number: int
    title: str
    study: str
    links: tuple[Cell, ...]
    facts: Mapping[str, str]
    parts: tuple[Part, ...]


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
        captions: Remarks below the title.
        params: Its active genes.
        metrics: Its metrics.
        json: Its active genes as JSON, to copy.
    """

    title: str
    captions: tuple[str, ...]
    params: Table
    metrics: Table
    json: str


@dataclass(frozen=True, slots=True)
class Section:
    """A figure, a table, or both, with their texts.

    Attributes:
        key: Anchor on the page.
        title: A few words.
        caption: How to read it.
        figure: The figure, if there is one.
        table: A table below it, if there is one.
        notes: What was left out, or how to read it with care.
        warning: Why it should not be trusted, or what went wrong; empty if there is nothing.
        method: How it is computed, as a footnote.
        table_first: Whether the table stands above the figure.
        details: Trials that links of the page lead to.
    """

    key: str
    title: str
    caption: str
    figure: go.Figure | None = None
    table: Table | None = None
    notes: tuple[str, ...] = ()
    warning: str = ""
    method: str = ""
    table_first: bool = False
    details: tuple[Details, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page; no text contains markup.

    Attributes:
        mark: A few words above the title.
        title: Headline.
        facts: Names and values below the headline.
        sections: Figures and tables, in order.
        findings: The most useful sentences, above all figures.
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
