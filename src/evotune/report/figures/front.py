"""Figures about several objectives: the front with its knee, and how its hypervolume grew."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from evotune.analysis.data import Indices, Recorded, StudyData
from evotune.analysis.scales import score_scale
from evotune.analysis.text import label
from evotune.analysis.volumes import OBJECTIVES_AT_MOST, eligible, volumes
from evotune.report.figures.marks import POINTS_AT_MOST, hover_texts, line_mode
from evotune.report.figures.theme import BLUE, GREY, ORANGE, PURPLE, finish, opened, require

PAIRS_AT_MOST = 6


def front(study: Recorded) -> go.Figure:
    """Draw the trade-off between the objectives, one panel for each pair of them.

    The best compromises, the Pareto front, are orange: no trial is better than one of them in one
    objective without being worse in another. The star is the front's knee, see `Study.knee`.
    Hollow points break a constraint.

    Args:
        study: A study with two objectives or more, or what `prepare` made of it.

    Raises:
        NoResultError: No trial is done, or there is one objective only.
    """
    data = opened(study, "front")
    require(data, data.has_several_objectives, "front", "a second objective")
    pairs = list(combinations(range(len(data.objectives.objectives)), 2))[:PAIRS_AT_MOST]
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    figure = make_subplots(rows, columns, horizontal_spacing=0.09, vertical_spacing=0.16)
    for panel, pair in enumerate(pairs):
        place = {"row": panel // columns + 1, "col": panel % columns + 1}
        for trace in _traces(data, pair):
            first = panel == 0 and trace.name != _DOMINATED
            figure.add_trace(trace.update(showlegend=first, legendgroup=trace.name), **place)
        figure.update_xaxes(title_text=_named(data, pair[0]), **_axis(data, pair[0]), **place)
        figure.update_yaxes(title_text=_named(data, pair[1]), **_axis(data, pair[1]), **place)
    figure.add_trace(_in_legend())
    return finish(
        figure,
        height=440 if rows == 1 else 340 * rows,
        coloraxis={"colorbar": {"title": {"text": label(data.groups.name), "side": "right"}}},
    )


def _traces(data: StudyData, pair: tuple[int, int]) -> Iterator[go.Scatter]:
    shown = data.thinned(POINTS_AT_MOST)
    others = shown[~data.front[shown]]
    broken = np.array([data.done[k].violation > 0 for k in others], dtype=bool)
    if broken.any():
        hollow = {"color": GREY, "size": 6, "symbol": "circle-open"}
        yield _points(data, others[broken], pair, "breaks a constraint", hollow)
    coloured = {"color": data.done_groups[others[~broken]], "coloraxis": "coloraxis", "size": 6}
    yield _points(data, others[~broken], pair, _DOMINATED, coloured)
    yield _front_points(data, pair)
    if data.knee is not None:
        star = {"color": PURPLE, "size": 15, "symbol": "star", "line": _EDGE}
        yield _points(data, np.array([data.knee]), pair, "knee", star)


def _in_legend() -> go.Scatter:
    """Return a point in the legend alone: Plotly paints one of many colours black, also on dark."""
    marker = {"color": BLUE, "size": 6}
    return go.Scatter(
        x=[None], y=[None], mode="markers", marker=marker, name=_DOMINATED,
        legendgroup=_DOMINATED, legendrank=1,
    )  # fmt: skip


_DOMINATED = "dominated"
_EDGE = {"width": 1, "color": "white"}


def _points(
    data: StudyData, shown: Indices, pair: tuple[int, int], name: str, marker: dict[str, Any]
) -> go.Scatter:
    return go.Scatter(
        x=data.scores[shown, pair[0]],
        y=data.scores[shown, pair[1]],
        mode="markers",
        marker=marker,
        customdata=hover_texts(data, shown),
        hovertemplate="%{customdata}<extra></extra>",
        name=name,
    )


def _front_points(data: StudyData, pair: tuple[int, int]) -> go.Scatter:
    best = np.flatnonzero(data.front)
    order = best[np.argsort(data.scores[best, pair[0]], kind="stable")]
    hollow = ["circle-open" if data.done[k].violation else "circle" for k in order]
    marker = {"color": ORANGE, "size": 9, "symbol": hollow, "line": _EDGE}
    points = _points(data, order, pair, "Pareto front", marker)
    if data.scores.shape[1] > 2:  # a surface: a line would cross it at random
        return points
    # The steps turn on the worse side, so that no point on them is better than the front.
    shape = "hv" if data.objectives.objectives[pair[0]].direction == "min" else "vh"
    line = {"color": ORANGE, "width": 1.5, "dash": "dot", "shape": shape}
    return points.update(mode="lines+markers", line=line)


def _axis(data: StudyData, k: int) -> dict[str, Any]:
    """Return the axis of an objective, long enough for the whole front."""
    scale, _ = score_scale(data.scores[:, k], data.objectives.objectives[k].direction)
    best = data.scores[data.front, k]
    low, high = min(scale.low, best.min()), max(scale.high, best.max())
    return replace(scale, low=float(low), high=float(high)).axis(0.05)


def _named(data: StudyData, k: int) -> str:
    objective = data.objectives.objectives[k]
    better = "higher" if objective.direction == "max" else "lower"
    return f"{label(objective.metric, 40)} ({better} is better)"


def hypervolume(study: Recorded) -> go.Figure:
    """Draw how the front advanced: the share of its final hypervolume reached by each generation.

    The hypervolume is the volume of all points that some trial beats in every objective, up to a
    reference point that lies a tenth of the final front's range beyond its worst values. It grows
    when a new compromise is found, and else stays the same.

    Args:
        study: A study with two to five objectives, or what `prepare` made of it.

    Raises:
        NoResultError: No trial is done that keeps all constraints, or the study has one objective
            or more than five.
    """
    data = opened(study, "hypervolume")
    few = 2 <= len(data.objectives.objectives) <= OBJECTIVES_AT_MOST
    require(data, few, "hypervolume", f"a study with 2 to {OBJECTIVES_AT_MOST} objectives")
    require(data, bool(eligible(data).any()), "hypervolume", "a trial that keeps all constraints")
    groups, shares = volumes(data)
    line = go.Scatter(
        x=groups,
        y=100 * shares,
        mode=line_mode(len(groups)),
        line={"color": ORANGE, "width": 3, "shape": "hv"},
        marker={"size": 5},
        name="hypervolume",
        hovertemplate="%{y:.1f} % of the final hypervolume<extra></extra>",
    )
    return finish(
        go.Figure(line),
        height=300,
        hovermode="x unified",
        xaxis={"title": {"text": data.groups.name}, "showspikes": False, **data.groups.axis()},
        yaxis={"title": {"text": "hypervolume, % of the final"}, "range": [-3, 103]},
    )
