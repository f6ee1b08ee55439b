"""Colours and the Plotly templates: one scheme for all figures, safe for colour-blind readers."""

import math
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from evotune.analysis.data import StudyData
from evotune.analysis.text import label, percent

BLUE = "#3b7dc9"
ORANGE = "#e8830c"
PURPLE = "#a8447f"
GREY = "#8a94a3"

#: For genes without an order: Paul Tol's bright scheme, less the orange that marks the best.
CATEGORIES = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#9aa3af")

#: Top part of the colours of parallel coordinates, which only the best trial has.
BEST_SHARE = 0.03

FONT = 'Inter, "Segoe UI", system-ui, -apple-system, "Helvetica Neue", Arial, sans-serif'

_LIGHT = {
    "text": "#3d4653",
    "grid": "#e9edf2",
    "line": "#c4ccd6",
    "hover": "#ffffff",
    "scale": ("#dde3ea", "#a5c4e8", "#4a89d0", "#0c3c80"),
}
_DARK = {
    "text": "#c3ccd8",
    "grid": "#2a313b",
    "line": "#475161",
    "hover": "#1f2630",
    "scale": ("#333c48", "#37598a", "#4f94e0", "#d5e8ff"),
}


def template(*, dark: bool = False) -> go.layout.Template:
    """Return the look of every figure.

    Strong means good: the colour scale runs from a tone near the page's own to a strong one.
    """
    tone: dict[str, Any] = _DARK if dark else _LIGHT
    scale = [[k / 3, colour] for k, colour in enumerate(tone["scale"])]
    axis = {
        "gridcolor": tone["grid"],
        "linecolor": tone["line"],
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": tone["line"],
        "ticklen": 4,
        "automargin": True,
        "exponentformat": "power",
        "minexponent": 5,
        "title": {"standoff": 8, "font": {"size": 12}},
        "tickfont": {"size": 11},
    }
    bar = {"outlinewidth": 0, "thickness": 10, "tickfont": {"size": 11}, "ticks": ""}
    layout = {
        "font": {"family": FONT, "size": 12, "color": tone["text"]},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": axis,
        "yaxis": axis,
        "colorway": [BLUE, *CATEGORIES[1:]],
        "coloraxis": {"colorscale": scale, "colorbar": bar},
        "hoverlabel": {
            "bgcolor": tone["hover"],
            "bordercolor": tone["line"],
            "font": {"color": tone["text"], "size": 12, "family": FONT},
            "align": "left",
        },
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": tone["line"], "activecolor": BLUE},
        "margin": {"l": 60, "r": 24, "t": 40, "b": 50},
    }
    marked = [[share * (1 - BEST_SHARE), colour] for share, colour in scale]
    marked += [[1 - BEST_SHARE / 2, ORANGE], [1.0, ORANGE]]
    lines = [{"line": {"colorscale": marked, "colorbar": bar}}]
    return go.layout.Template(layout=layout, data={"parcoords": lines})


def finish(figure: go.Figure, *, height: int, **layout: Any) -> go.Figure:
    """Give a figure its height in pixels, the light template and further layout."""
    return figure.update_layout(template=template(), height=height, **layout)


def faded(colour: str, opacity: float) -> str:
    """Return a colour such as ``#3b7dc9`` with an opacity."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


#: More panels than this nobody compares.
PANELS_AT_MOST = 12
COLUMNS = 3
_GAP = 0.07


@dataclass(frozen=True, slots=True)
class Panel:
    """One small figure of a grid.

    Attributes:
        gene: Name of its gene.
        index: Position in the grid, from 0, row by row.
        row: From 1, as Plotly counts.
        col: From 1.
    """

    gene: str
    index: int
    row: int
    col: int

    def add(self, figure: go.Figure, *traces: Any) -> None:
        """Draw traces in this panel."""
        for trace in traces:
            figure.add_trace(trace, row=self.row, col=self.col)

    def axes(self, figure: go.Figure) -> tuple[Any, Any]:
        """Return the layouts of its x and y axis."""
        suffix = self.index + 1 if self.index else ""
        return figure.layout[f"xaxis{suffix}"], figure.layout[f"yaxis{suffix}"]


def panel_genes(data: StudyData, limit: int = PANELS_AT_MOST) -> list[str]:
    """Return the most important genes, in the order of the space."""
    kept = set(data.importance.genes[:limit])
    return [name for name in data.space if name in kept]


def grid(data: StudyData, *, shared_y: bool = False) -> tuple[go.Figure, list[Panel], int]:
    """Return an empty grid, its panels, and its height in pixels."""
    genes = panel_genes(data)
    columns = 2 if len(genes) == 4 else min(COLUMNS, len(genes))
    rows = math.ceil(len(genes) / columns)
    height = 100 + 245 * rows
    figure = make_subplots(
        rows,
        columns,
        specs=[
            [{} if row * columns + col < len(genes) else None for col in range(columns)]
            for row in range(rows)
        ],
        subplot_titles=[label(name) for name in genes],
        shared_yaxes=shared_y,
        horizontal_spacing=_GAP,
        vertical_spacing=min(0.25, 100 / height),
    )
    panels = [Panel(gene, k, k // columns + 1, k % columns + 1) for k, gene in enumerate(genes)]
    for panel, title in zip(panels, figure.layout.annotations, strict=True):
        left = panel.axes(figure)[0].domain[0]
        title.update(
            text=f"<b>{title.text}</b>{_activity(data, panel.gene)}",
            font={"size": 12},
            xanchor="left",
            x=left,
        )
    return figure, panels, height


def _activity(data: StudyData, gene: str) -> str:
    """Return in how many trials a conditional gene is active, for its title."""
    if gene not in data.space.conditional:
        return ""
    share = sum(gene in trial.params for trial in data.trials) / len(data.trials)
    return f"  active in {percent(share)} of trials"


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
