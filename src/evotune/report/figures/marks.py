"""How all figures draw trials: markers, hover texts, lines and bands."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from evotune.analysis.data import Floats, Indices, StudyData
from evotune.analysis.text import label
from evotune.printing import number
from evotune.report.figures.theme import BLUE

#: Further points would make a scatter plot only darker, and the page larger.
POINTS_AT_MOST = 2000
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


def band_traces(x: Any, bands: Floats, *, legend: bool = True) -> list[go.Scatter]:
    """Return the middle 80 % and 50 % as bands and the median as a line.

    Args:
        x: Shape ``(groups,)``.
        bands: Quantiles at `LEVELS`, shape ``(5, groups)``.
        legend: Whether they appear in the legend.
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
        customdata=bands[[0, 4]].T,
        mode=line_mode(len(x)),
        marker={"size": 5},
        line={"color": BLUE, "width": 2},
        name="median",
        showlegend=legend,
        hovertemplate="median %{y:.4g}, middle 80 %: %{customdata[0]:.4g} to %{customdata[1]:.4g}"
        "<extra></extra>",
    )
    return [*traces, median]


def line_mode(points: int) -> str:
    """Return Plotly's mode for a line: with markers as long as these can be told apart."""
    return "lines+markers" if points <= 50 else "lines"


def symbols(data: StudyData, shown: Sequence[int] | Indices) -> str | list[str]:
    """Return the marker of each trial, hollow if it breaks a constraint; one if all are filled."""
    if not data.infeasible:
        return "circle"
    return ["circle-open" if data.done[k].violation else "circle" for k in shown]


def hover_texts(data: StudyData, shown: Sequence[int] | Indices) -> list[str]:
    """Return the hover text of each trial: number, objectives, most important params."""
    names = list(data.importance.by_entry(data.space))[:8]
    wide = {name: 90 if name in data.space.compounds else 28 for name in names}
    texts = []
    for k in shown:
        trial = data.done[k]
        scores = zip(data.objectives.objectives, data.scores[k], strict=True)
        born = f", generation {data.groups.born[data.places[k]]}" * data.groups.are_generations
        lines = [f"<b>trial {trial.number}</b>{born}"]
        lines += [f"{label(o.metric)} = {number(float(score))}" for o, score in scores]
        lines += ["breaks a constraint"] * (trial.violation > 0)
        step = data.step_of[trial.number]
        lines += [f"epochs {step.epochs} of its weights"] * bool(trial.donors)
        params = data.params(trial)
        lines += [f"{label(n)}: {label(number(params[n]), wide[n])}" for n in names if n in params]
        texts.append("<br>".join(lines))
    return texts
