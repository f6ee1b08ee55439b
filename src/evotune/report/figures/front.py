"""Figures about several objectives: the front with its knee, and how its hypervolume grew."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from evotune.analysis.data import Floats, Indices, StudyData
from evotune.analysis.scales import score_scale
from evotune.analysis.text import count, label, number, shorten
from evotune.evolution.hypervolume import hypervolume, reference_point
from evotune.evolution.pareto import non_dominated
from evotune.report.figures.progress import POINTS_AT_MOST, hover_texts, line_mode
from evotune.report.figures.theme import GREY, ORANGE, PURPLE, Section, finish

PAIRS_AT_MOST = 6
#: With more objectives the exact hypervolume of large fronts takes minutes.
VOLUME_OBJECTIVES = 5


def front_sections(data: StudyData) -> Iterator[Section]:
    """Yield what several objectives have: the trade-off, and the hypervolume over time."""
    if len(data.objectives.objectives) < 2:
        return
    yield Section(
        "front",
        "Trade-off between the objectives",
        "The best compromises are orange: no trial is better than one of them in one objective "
        f"without being worse in another; there are {int(data.front.sum()):,} of "
        f"{count(len(data.ranking), 'trial')}.{_about_the_knee(data)}",
        pareto_front(data),
        tuple(_notes(data)),
    )
    if len(data.objectives.objectives) <= VOLUME_OBJECTIVES and _whole(data).any():
        yield Section(
            "hypervolume",
            "How the front advanced",
            "Share of the final front's hypervolume, the volume of everything that some trial "
            "beats in all objectives: it grows when a new compromise is found, and stays when "
            "none is.",
            hypervolume_over_time(data),
            (
                f"The volume reaches as far as the reference point {_reference_text(data)}, a "
                "tenth of the final front's range beyond its worst ends.",
            ),
        )


def _about_the_knee(data: StudyData) -> str:
    if data.knee is None:
        return ""
    return (
        f" The star is the knee, trial {data.done[data.knee].number}: of the front it lies "
        "farthest from the straight line, or plane, between the extremes, so that any step away "
        "from it costs most."
    )


def _notes(data: StudyData) -> Iterator[str]:
    if len(data.done) > POINTS_AT_MOST:
        yield (
            f"Of {len(data.done):,} trials {POINTS_AT_MOST:,} are drawn: the front, and a random "
            "choice of the others."
        )
    if len(data.objectives.objectives) > 4:
        yield f"Only the first {PAIRS_AT_MOST} pairs of objectives are drawn."
    if data.infeasible:
        broken = count(len(data.infeasible), "trial")
        yield f"Hollow points break a constraint and cannot be on the front: {broken}."


def pareto_front(data: StudyData) -> go.Figure:
    """Return each pair of objectives: the front in orange, its knee, dominated and infeasible."""
    pairs = list(combinations(range(len(data.objectives.objectives)), 2))[:PAIRS_AT_MOST]
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    figure = make_subplots(rows, columns, horizontal_spacing=0.09, vertical_spacing=0.16)
    for panel, pair in enumerate(pairs):
        place = {"row": panel // columns + 1, "col": panel % columns + 1}
        for trace in _traces(data, pair):
            figure.add_trace(trace.update(showlegend=panel == 0, legendgroup=trace.name), **place)
        figure.update_xaxes(title_text=_named(data, pair[0]), **_axis(data, pair[0]), **place)
        figure.update_yaxes(title_text=_named(data, pair[1]), **_axis(data, pair[1]), **place)
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
    yield _points(data, others[~broken], pair, "dominated", coloured)
    yield _front_points(data, pair)
    if data.knee is not None:
        star = {"color": PURPLE, "size": 15, "symbol": "star", "line": _EDGE}
        yield _points(data, np.array([data.knee]), pair, "knee", star)


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
    front = np.flatnonzero(data.front)
    order = front[np.argsort(data.scores[front, pair[0]], kind="stable")]
    hollow = ["circle-open" if data.done[k].violation else "circle" for k in order]
    marker = {"color": ORANGE, "size": 9, "symbol": hollow, "line": _EDGE}
    points = _points(data, order, pair, "Pareto front", marker)
    if data.scores.shape[1] > 2:  # a surface: a line would cross it at random
        return points
    # A step goes to the worse side: along it no result is better than the front's.
    shape = "hv" if data.objectives.objectives[pair[0]].direction == "min" else "vh"
    line = {"color": ORANGE, "width": 1.5, "dash": "dot", "shape": shape}
    return points.update(mode="lines+markers", line=line)


def _axis(data: StudyData, k: int) -> dict[str, Any]:
    """Return the axis of an objective, long enough for the whole front."""
    scale, _ = score_scale(data.scores[:, k], data.objectives.objectives[k].direction)
    front = data.scores[data.front, k]
    low, high = min(scale.low, front.min()), max(scale.high, front.max())
    return replace(scale, low=float(low), high=float(high)).axis(0.05)


def _named(data: StudyData, k: int) -> str:
    objective = data.objectives.objectives[k]
    better = "higher" if objective.direction == "max" else "lower"
    return f"{label(objective.metric, 40)} ({better} is better)"


def hypervolume_over_time(data: StudyData) -> go.Figure:
    """Return the share of the final front's hypervolume that was reached by each generation."""
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


def volumes(data: StudyData) -> tuple[Indices, Floats]:
    """Return each generation and the hypervolume of the front up to it, as a share of the last.

    Only finished trials that break no constraint count.

    Returns:
        Two arrays of shape ``(generations,)``.
    """
    whole = np.flatnonzero(_whole(data))
    order = whole[np.argsort(data.done_groups[whole], kind="stable")]
    groups = data.done_groups[order]
    last = np.flatnonzero(np.diff(groups, append=groups[-1:] + 1))
    # In the unit cube between the best ends and the reference point no product overflows.
    best, reference = data.values[data.front].min(axis=0), _reference(data)
    cube = (data.values[order] - best) / (reference - best)
    front, reached = cube[:0], []
    for start, end in zip([0, *(last[:-1] + 1)], last + 1, strict=True):
        front = np.concatenate([front, cube[start:end]])
        front = front[non_dominated(front)]
        reached.append(hypervolume(front, np.ones(cube.shape[1])))
    return groups[last], np.array(reached) / reached[-1]


def _whole(data: StudyData) -> npt.NDArray[np.bool_]:
    return np.array([t.violation == 0 and t.state != "stopped" for t in data.done], dtype=bool)


def _reference(data: StudyData) -> Floats:
    return reference_point(data.values[data.front])


def _reference_text(data: StudyData) -> str:
    pairs = zip(data.objectives.objectives, _reference(data).tolist(), strict=True)
    return ", ".join(f"{shorten(o.metric, 40)} = {number(o.score(value))}" for o, value in pairs)
