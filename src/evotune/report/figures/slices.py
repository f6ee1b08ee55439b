"""Slices: the objective against each gene."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from evotune.analysis.data import Floats, Indices, Recorded, StudyData
from evotune.analysis.scales import gene_scale, gene_values
from evotune.analysis.text import label
from evotune.report.figures.marks import hover_texts, symbols
from evotune.report.figures.panels import Panel, grid, panel_genes
from evotune.report.figures.theme import ORANGE, PURPLE, finish, opened, require_genes
from evotune.trial import Trial

#: Points of all panels together: each is an element of the page.
POINTS_AT_MOST = 6000
FAILED_AT_MOST = 200


def slices(study: Recorded) -> go.Figure:
    """Draw the first objective against each gene, one panel per gene.

    Each point is a trial: the later it came, the stronger its colour. The star is the best one,
    hollow points break a constraint, crosses at the bad end show where trials failed. Points of
    one option are spread a little sideways. If trials inherit weights, each is ranked among those
    that end after the same number of epochs.

    Args:
        study: A study, or what `prepare` made of one.

    Raises:
        NoResultError: No trial is done, or every gene has one value only.
    """
    data = opened(study, "slices").comparable
    require_genes(data, "slices")
    figure, panels, height = grid(data, shared_y=True)
    shown = data.thinned(points_a_panel(data))
    texts = hover_texts(data, shown)
    scale, _ = data.score_scale
    for panel in panels:
        panel.add(
            figure,
            _points(data, panel, shown, texts),
            _failures(data, panel),
            _star(data, panel),
        )
        x_axis, y_axis = panel.axes(figure)
        x_axis.update(gene_scale(data.space[panel.gene]).axis())
        y_axis.update(scale.axis(0.12))
        if panel.col == 1:
            y_axis.update(title=label(data.objective.metric, 30))
    bar = {"title": {"text": label(data.groups.name), "side": "right"}, "tickformat": ",d"}
    colour = {"colorbar": bar, "showscale": len(np.unique(data.done_groups)) > 1}
    return finish(figure, height=height, coloraxis=colour, legend={"y": 1 + 30 / height})


def points_a_panel(data: StudyData) -> int:
    """Return how many trials each panel shows."""
    return POINTS_AT_MOST // len(panel_genes(data))


def _points(data: StudyData, panel: Panel, shown: Indices, texts: list[str]) -> go.Scatter:
    return go.Scatter(
        x=_across(data, panel.gene, [data.done[k] for k in shown]),
        y=data.first_scores[shown],
        mode="markers",
        marker={
            "color": data.done_groups[shown],
            "coloraxis": "coloraxis",
            "size": 5,
            "symbol": symbols(data, shown),
        },
        customdata=texts,
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )


def _failures(data: StudyData, panel: Panel) -> go.Scatter:
    failed = data.failed[-FAILED_AT_MOST:]
    scale, _ = data.score_scale
    bad_end = -0.09 if data.objective.direction == "max" else 1.09
    return go.Scatter(
        x=_across(data, panel.gene, failed),
        y=np.full(len(failed), scale.at(bad_end)),
        mode="markers",
        marker={
            "color": PURPLE,
            "symbol": "x-thin",
            "size": 7,
            "line": {"width": 1.5, "color": PURPLE},
        },
        customdata=[f"trial {t.number} failed: {label(_reason(t), 60)}" for t in failed],
        hovertemplate="%{customdata}<extra></extra>",
        name="failed",
        legendgroup="failed",
        showlegend=panel.index == 0 and bool(failed),
    )


def _star(data: StudyData, panel: Panel) -> go.Scatter:
    best = data.ranking[:1]
    return go.Scatter(
        x=gene_values(data.space[panel.gene], [data.done[k] for k in best], panel.gene),
        y=data.first_scores[best],
        mode="markers",
        marker={
            "color": ORANGE,
            "symbol": "star",
            "size": 13,
            "line": {"width": 1, "color": "white"},
        },
        customdata=hover_texts(data, best),
        hovertemplate="%{customdata}<extra></extra>",
        name="best",
        legendgroup="best",
        showlegend=panel.index == 0,
    )


def _across(data: StudyData, gene: str, trials: list[Trial]) -> Floats:
    """Return the x of each trial; points of one option are spread a little sideways."""
    values = gene_values(data.space[gene], trials, gene)
    if not gene_scale(data.space[gene]).labels:
        return values
    return values + np.random.default_rng(0).uniform(-0.18, 0.18, len(values))


def _reason(trial: Trial) -> Any:
    return trial.failure.message if trial.failure else "no reason recorded"
