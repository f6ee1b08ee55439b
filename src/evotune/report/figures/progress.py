"""How the objective improved, and what points of all figures share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from evotune.analysis.data import Floats, Indices, StudyData
from evotune.analysis.generations import quantiles
from evotune.analysis.text import label, number
from evotune.report.figures.theme import BLUE, GREY, ORANGE, finish

#: A scatter plot with more points only gets darker, and the page heavier.
POINTS_AT_MOST = 2000
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


def band_traces(x: Any, bands: Floats, *, legend: bool = True) -> list[go.Scatter]:
    """Return the middle 80 % and 50 % as bands and the median as a line.

    Args:
        x: Shape ``(groups,)``.
        bands: Quantiles at `LEVELS`, shape ``(5, groups)``.
        legend: Whether they stand in the legend.
    """
    traces = []
    for low, high, name, colour in (
        (0, 4, "middle 80 %", "rgba(59,125,201,0.16)"),
        (1, 3, "middle 50 %", "rgba(59,125,201,0.28)"),
    ):
        traces.append(
            go.Scatter(
                x=np.concatenate([x, x[::-1]]),
                y=np.concatenate([bands[low], bands[high][::-1]]),
                fill="toself",
                fillcolor=colour,
                line={"width": 0},
                mode="lines",
                name=name,
                hoverinfo="skip",
                showlegend=legend,
            )
        )
    median = go.Scatter(
        x=x,
        y=bands[2],
        customdata=bands.T,
        mode=line_mode(len(x)),
        marker={"size": 5},
        line={"color": BLUE, "width": 2},
        name="median",
        showlegend=legend,
        hovertemplate="median %{y:.4g}, middle 80 %: %{customdata[0]:.4g} to %{customdata[4]:.4g}"
        "<extra></extra>",
    )
    return [*traces, median]


def line_mode(points: int) -> str:
    """Return Plotly's mode for a line: with a marker at each point while they can be told apart."""
    return "lines+markers" if points <= 50 else "lines"


def progress(data: StudyData) -> go.Figure:
    """Return the best so far and the spread of each generation over time."""
    scale, _ = data.score_scale
    x, bands = quantiles(data.done_groups, data.first_scores, LEVELS)
    figure = go.Figure([_dots(data), *band_traces(x, bands), _best_line(data)])
    return finish(
        figure,
        height=400,
        hovermode="x unified",
        xaxis={"title": {"text": data.groups.name}, "showspikes": False, **data.groups.axis()},
        yaxis={"title": {"text": label(data.objective.metric, 60)}, **scale.axis()},
    )


def _dots(data: StudyData) -> go.Scatter:
    shown = data.thinned(POINTS_AT_MOST)
    return go.Scatter(
        x=data.done_groups[shown],
        y=data.first_scores[shown],
        mode="markers",
        marker={
            "color": GREY,
            "size": 4,
            "opacity": 0.4,
            "symbol": symbols(data, shown),
        },
        name="one trial",
        hoverinfo="skip",
    )


def _best_line(data: StudyData) -> go.Scatter:
    groups, best = data.best_by_group()
    return go.Scatter(
        x=groups,
        y=data.first_scores[best],
        customdata=[data.done[k].number for k in best],
        mode=line_mode(len(groups)),
        line={"color": ORANGE, "width": 3, "shape": "hv"},
        marker={"size": 5},
        name="best so far",
        hovertemplate="best so far %{y:.5g}, trial %{customdata}<extra></extra>",
    )


def symbols(data: StudyData, shown: Sequence[int] | Indices) -> list[str]:
    """Return the marker of each trial: hollow where it breaks a constraint."""
    return ["circle-open" if data.done[k].violation else "circle" for k in shown]


def hover_texts(data: StudyData, shown: Sequence[int] | Indices) -> list[str]:
    """Return what the mouse shows at a trial: number, objectives, most important genes."""
    genes = data.importance.genes[:8]
    texts = []
    for k in shown:
        trial = data.done[k]
        scores = zip(data.objectives.objectives, data.scores[k], strict=True)
        lines = [
            f"<b>trial {trial.number}</b>, {data.groups.name.split(',')[0]} {data.done_groups[k]}"
        ]
        lines += [f"{label(o.metric)} = {number(float(score))}" for o, score in scores]
        lines += ["breaks a constraint"] * (trial.violation > 0)
        step = data.step_of[trial.number]
        lines += [f"epochs {step.epochs} of its weights"] * bool(trial.donors)
        lines += [
            f"{label(name)}: {label(number(trial.params[name]))}"
            for name in genes
            if name in trial.params
        ]
        texts.append("<br>".join(lines))
    return texts
