"""The hyperparameters per epoch of the members of the final population."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from evotune.analysis.data import Recorded, StudyData
from evotune.analysis.scales import gene_scale, gene_values
from evotune.analysis.steps import Step
from evotune.printing import number
from evotune.report.figures.panels import Panel, grid
from evotune.report.figures.theme import GREY, ORANGE, finish, opened, require, require_genes

#: More lines than this cover each other.
LINES_AT_MOST = 64

Line = list[Step]


def schedules(study: Recorded) -> go.Figure:
    """Draw the value of each gene in every epoch, one panel per gene.

    The orange line is the schedule through which the weights of the best trial were trained, the
    grey ones are those of the final population; lines join where members have a donor in common.

    Args:
        study: A study whose trials inherit weights, or what `prepare` made of it.

    Raises:
        NoResultError: No trial is done, none inherited weights, or every gene has only one value.
    """
    data = opened(study, "schedules")
    require_genes(data, "schedules")
    lines = data.surviving_lines if data.inherits else []
    require(data, bool(lines), "schedules", "a trial that goes on from another one's weights")
    best = data.best_line
    figure, panels, height = grid(data)
    last = max(line[-1].end for line in [*lines, best] if line)
    for panel in panels:
        panel.add(figure, _others(data, panel, lines[:LINES_AT_MOST]), _best(data, panel, best))
        x_axis, y_axis = panel.axes(figure)
        x_axis.update(title="epoch", range=[-0.01 * last, 1.01 * last], nticks=8)
        y_axis.update(gene_scale(data.space[panel.gene]).axis())
    return finish(figure, height=height, legend={"y": 1 + 30 / height}, margin={"t": 60})


def _others(data: StudyData, panel: Panel, lines: Sequence[Line]) -> go.Scatter:
    x: list[Any] = []
    y: list[Any] = []
    for line in lines:
        epochs, values = _corners(data, panel.gene, line)
        x += [*epochs, None]
        y += [*values, None]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": GREY, "width": 1},
        opacity=0.55,
        name="other members at the end",
        legendgroup="others",
        showlegend=panel.index == 0,
        hoverinfo="skip",
    )


def _best(data: StudyData, panel: Panel, line: Line) -> go.Scatter:
    x, y = _corners(data, panel.gene, line)
    texts = [
        f"epochs {step.epochs}, trial {step.trial.number}: "
        f"{number(step.trial.params.get(panel.gene, '–'))}"
        for step in line
        for _ in range(2)
    ]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": ORANGE, "width": 3},
        customdata=texts,
        hovertemplate="%{customdata}<extra></extra>",
        name="best trial",
        legendgroup="best",
        showlegend=panel.index == 0,
    )


def _corners(data: StudyData, gene: str, line: Line) -> tuple[list[float], list[float | None]]:
    """Return the corners of a gene's step line; None breaks it where the gene is inactive."""
    values = gene_values(data.space[gene], [step.trial for step in line], gene)
    known: list[float | None] = [None if np.isnan(v) else float(v) for v in values]
    x = [epoch for step in line for epoch in (step.start, step.end)]
    return x, [value for value in known for _ in range(2)]
