"""Figures of a ranking of methods: critical differences, ranks over time, anytime curves."""

import math
from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go

from evotune import finite
from evotune.analysis import statistics
from evotune.analysis.ranking import Ranking, needed_ranking
from evotune.analysis.runs import TaskRuns
from evotune.analysis.scales import score_scale
from evotune.analysis.text import label
from evotune.errors import StudyError
from evotune.report.figures.theme import BLUE, CATEGORIES, GREY, ORANGE, faded, finish

COLOURS = (ORANGE, BLUE, *CATEGORIES[2:])
_DASHES = ("solid", "dash", "dot")
#: How far lines and bars of the critical-difference plot lie from each other.
_STEP = 0.5


def critical_differences(ranking: Ranking) -> go.Figure:
    """Return a critical-difference plot (Demšar, 2006): bars join methods not told apart.

    Raises:
        StudyError: It is no ranking.
    """
    methods = needed_ranking("critical_differences", ranking).methods
    places = np.array([ranking.rank(method) for method in methods])
    groups = statistics.alike(places, ranking.critical_difference)
    left = math.ceil(len(methods) / 2)
    top = _STEP * (len(groups) + 1)
    figure = go.Figure()
    for k, (method, place) in enumerate(zip(methods, places, strict=True)):
        row = k if k < left else len(methods) - 1 - k
        side, edge = ("right", 0.75) if k < left else ("left", len(methods) + 0.25)
        y = -top - row
        figure.add_scatter(
            x=[place, place, edge],
            y=[0, y, y],
            mode="lines",
            line={"color": colour(ranking, method), "width": 2},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_annotation(
            x=edge, y=y, text=f"{label(method)} {place:.2f}", xanchor=side, showarrow=False
        )
    for k, (first, last) in enumerate(groups):
        _bar(figure, places[first] - 0.03, places[last] + 0.03, -_STEP * (k + 1), 6)
    _bar(figure, 1.0, 1.0 + ranking.critical_difference, 1.2, 3)
    text = f"critical difference {ranking.critical_difference:.2f}"
    figure.add_annotation(x=1.0, y=1.2, text=text, xanchor="left", yanchor="bottom")
    figure.update_annotations(showarrow=False)
    reach = max(len(methods) + 0.25, 1.0 + ranking.critical_difference)
    return finish(
        figure,
        height=round(170 + 32 * (top + left)),
        margin={"t": 20, "b": 20, "l": 180, "r": 180},
        xaxis={
            "side": "top",
            "range": [0.75, reach],
            "tickvals": list(range(1, len(methods) + 1)),
            "title": {"text": "mean rank (1 is best)"},
            "showgrid": True,
        },
        yaxis={"visible": False, "range": [-top - left, 2.2]},
    )


def _bar(figure: go.Figure, start: float, end: float, y: float, width: float) -> None:
    figure.add_scatter(
        x=[start, end],
        y=[y, y],
        mode="lines",
        line={"color": GREY, "width": width},
        hoverinfo="skip",
        showlegend=False,
    )


def colour(ranking: Ranking, method: str) -> str:
    """Return the colour of a method, the same in all figures."""
    return COLOURS[ranking.methods.index(method) % len(COLOURS)]


def ranks_over_time(ranking: Ranking) -> go.Figure:
    """Return the mean rank of each method against what was spent.

    Raises:
        StudyError: It is no ranking.
    """
    figure = go.Figure()
    for method in needed_ranking("ranks_over_time", ranking).methods:
        figure.add_scatter(
            x=ranking.points,
            y=ranking.mean_ranks[method],
            mode="lines",
            name=label(method),
            line=_line(ranking, method),
            hovertemplate="%{y:.2f}",
        )
    return finish(
        figure,
        height=360,
        hovermode="x unified",
        xaxis={"title": {"text": ranking.unit}},
        yaxis={"title": {"text": "mean rank (1 is best)"}, "autorange": "reversed"},
    )


def anytime(ranking: Ranking, task: TaskRuns) -> go.Figure:
    """Return the median best so far of each method, with its 95 % confidence interval.

    With fewer than six runs, for which there is no such interval, the band is their range.

    Args:
        ranking: The ranking.
        task: One of ``ranking.tasks``.

    Raises:
        StudyError: It is no ranking, or that no task.
    """
    figure = go.Figure()
    seen = []
    needed_ranking("anytime", ranking)
    if not isinstance(task, TaskRuns):
        raise StudyError(
            f"et.plot.anytime draws one task of a ranking, got {task!r:.100}; write "
            "et.plot.anytime(ranking, ranking.tasks[0])"
        )
    for method in ranking.methods:
        curves = task.curves[method]
        curves = curves[~np.isnan(curves[:, -1])]
        if not len(curves):
            continue
        median = finite.median(curves)
        low, high = statistics.median_interval(curves)
        if np.isnan(low).all():
            low, high = curves.min(axis=0), curves.max(axis=0)
        known = ~np.isnan(median)
        x, place = np.array(ranking.points)[known], ranking.methods.index(method)
        bounds = (low[known], high[known])
        for trace in band_and_line(method, place, x, median[known], bounds):
            figure.add_trace(trace)
        seen.append(median[known])
    scale, _ = score_scale(np.concatenate([np.zeros(0), *seen]), task.direction)
    return finish(
        figure,
        height=380,
        hovermode="x unified",
        legend={"traceorder": "normal"},
        xaxis={"title": {"text": ranking.unit}},
        yaxis={"title": {"text": label(task.metric, 60)}, **scale.axis()},
    )


def _line(ranking: Ranking, method: str) -> dict[str, object]:
    return _style(ranking.methods.index(method))


def _style(place: int) -> dict[str, object]:
    dash = _DASHES[place // len(COLOURS) % len(_DASHES)]
    return {"color": COLOURS[place % len(COLOURS)], "width": 2, "dash": dash}


def band_and_line(
    name: str,
    place: int,
    x: np.ndarray,
    y: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray] | None,
) -> Iterator[go.Scatter]:
    """Yield the traces of one method: its band, if there is one, and its line.

    Args:
        name: Its name.
        place: Its position among all methods, which decides its colour.
        x: Shape ``(points,)``.
        y: The line, shape ``(points,)``.
        bounds: Lower and upper end of the band, each of shape ``(points,)``; None for no band.
    """
    if bounds is not None:
        yield from _band(x, *bounds, COLOURS[place % len(COLOURS)])
    yield go.Scatter(
        x=x,
        y=y,
        mode="lines",
        name=label(name),
        line=_style(place) | {"shape": "hv"},
        hovertemplate="%{y:.5g}",
    )


def _band(x: np.ndarray, low: np.ndarray, high: np.ndarray, tone: str) -> Iterator[go.Scatter]:
    common = {"mode": "lines", "line": {"width": 0, "shape": "hv"}, "hoverinfo": "skip"}
    yield go.Scatter(x=x, y=low, showlegend=False, **common)
    fill = {"fill": "tonexty", "fillcolor": faded(tone, 0.14)}
    yield go.Scatter(x=x, y=high, showlegend=False, **fill, **common)
