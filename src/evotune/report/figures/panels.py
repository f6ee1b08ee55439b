"""A grid of small figures, one for each gene."""

import math
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from evotune.analysis.data import StudyData
from evotune.analysis.text import label, percent

#: More panels than this are hard to compare.
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
