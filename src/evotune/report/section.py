"""What every part of a report that holds a figure is made of."""

from dataclasses import dataclass

import plotly.graph_objects as go


@dataclass(frozen=True, slots=True)
class Section:
    """A figure with its words, as plain text.

    Attributes:
        key: Name of its place on the page.
        title: A few words.
        caption: How to read it.
        figure: The figure.
        notes: What was left out or wants care.
        warning: Why it should not be trusted, or what went wrong; empty when all is well.
        table: A table below the figure: HTML, its texts escaped already.
    """

    key: str
    title: str
    caption: str
    figure: go.Figure
    notes: tuple[str, ...] = ()
    warning: str = ""
    table: str = ""
