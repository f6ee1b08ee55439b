"""Figures about the objective: progress, importance, Pareto front. One function each, pure."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from evotune.report.data import Floats, Indices, StudyData
from evotune.report.generations import quantiles
from evotune.report.scales import score_scale
from evotune.report.text import label, number
from evotune.report.theme import BLUE, GREY, ORANGE, finish

#: A scatter plot with more points only gets darker, and the page heavier.
POINTS_AT_MOST = 2000
BARS_AT_MOST = 20
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


def importance_bars(data: StudyData) -> go.Figure:
    """Return the share of each gene in what decides the objective, largest on top."""
    shares = list(data.importance.shares.items())
    worth = sum(share >= 0.005 for _, share in shares[:BARS_AT_MOST])
    shown, rest = shares[:worth], shares[worth:]
    if len(rest) == 1:
        shown, rest = shares, []
    if rest:
        shown.append((f"{len(rest)} other genes", sum(share for _, share in rest)))
    names = [label(name) for name, _ in shown]
    values = [100 * share for _, share in shown]
    bars = go.Bar(
        x=values,
        y=list(range(len(shown))),
        orientation="h",
        marker={"color": BLUE if data.importance.is_reliable else GREY},
        text=[f"{value:.0f} %" for value in values],
        textposition="outside",
        cliponaxis=False,
        customdata=names,
        hovertemplate="%{customdata}: %{x:.1f} %<extra></extra>",
    )
    return finish(
        go.Figure(bars),
        height=90 + 30 * len(shown),
        bargap=0.35,
        margin={"t": 10, "r": 50},
        xaxis={"title": {"text": "share of importance, %"}, "rangemode": "tozero"},
        yaxis={
            "tickvals": list(range(len(shown))),
            "ticktext": names,
            "autorange": "reversed",
            "tickcolor": "rgba(0,0,0,0)",
        },
    )


def pareto_front(data: StudyData) -> go.Figure:
    """Return each pair of objectives, the trials that no other beats in all of them in orange."""
    pairs = list(combinations(range(len(data.objectives.objectives)), 2))[:6]
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    figure = make_subplots(rows, columns, horizontal_spacing=0.09, vertical_spacing=0.16)
    shown = data.thinned(POINTS_AT_MOST)
    front = np.flatnonzero(data.front)
    dominated = shown[~data.front[shown]]
    for panel, (a, b) in enumerate(pairs):
        place = {"row": panel // columns + 1, "col": panel % columns + 1}
        figure.add_trace(_points(data, dominated, (a, b)), **place)
        figure.add_trace(_front_points(data, front, (a, b)), **place)
        figure.update_xaxes(title_text=_named(data, a), **_front_axis(data, a), **place)
        figure.update_yaxes(title_text=_named(data, b), **_front_axis(data, b), **place)
    return finish(
        figure,
        height=420 if rows == 1 else 340 * rows,
        showlegend=False,
        coloraxis={"colorbar": {"title": {"text": label(data.groups.name), "side": "right"}}},
    )


def _front_axis(data: StudyData, k: int) -> dict[str, Any]:
    """Return the axis of an objective, long enough for the whole front."""
    scale, _ = score_scale(data.scores[:, k], data.objectives.objectives[k].direction)
    front = data.scores[data.front, k]
    low, high = min(scale.low, front.min()), max(scale.high, front.max())
    return replace(scale, low=float(low), high=float(high)).axis(0.05)


def _named(data: StudyData, k: int) -> str:
    objective = data.objectives.objectives[k]
    better = "higher" if objective.direction == "max" else "lower"
    return f"{label(objective.metric, 40)} ({better} is better)"


def _points(data: StudyData, shown: Indices, pair: tuple[int, int]) -> go.Scatter:
    return go.Scatter(
        x=data.scores[shown, pair[0]],
        y=data.scores[shown, pair[1]],
        mode="markers",
        marker={
            "color": data.done_groups[shown],
            "coloraxis": "coloraxis",
            "size": 6,
            "symbol": symbols(data, shown),
        },
        customdata=hover_texts(data, shown),
        hovertemplate="%{customdata}<extra></extra>",
        name="other trials",
    )


def _front_points(data: StudyData, front: Indices, pair: tuple[int, int]) -> go.Scatter:
    order = front[np.argsort(data.scores[front, pair[0]], kind="stable")]
    # A step goes to the worse side: along it no result is better than the front's.
    shape = "hv" if data.objectives.objectives[pair[0]].direction == "min" else "vh"
    return go.Scatter(
        x=data.scores[order, pair[0]],
        y=data.scores[order, pair[1]],
        # With more than two objectives the front is a surface: a line would cross it at random.
        mode="lines+markers" if data.scores.shape[1] == 2 else "markers",
        line={"color": ORANGE, "width": 1.5, "dash": "dot", "shape": shape},
        marker={"color": ORANGE, "size": 9, "line": {"width": 1, "color": "white"}},
        customdata=hover_texts(data, order),
        hovertemplate="%{customdata}<extra></extra>",
        name="Pareto front",
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
