"""The rungs of successive halving."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from evotune.analysis.data import Recorded, StudyData
from evotune.analysis.rungs import Rung
from evotune.analysis.rungs import rungs as rungs_of
from evotune.analysis.text import label
from evotune.report.figures.marks import POINTS_AT_MOST, hover_texts
from evotune.report.figures.theme import BLUE, GREY, ORANGE, finish, opened, require


def rungs(study: Recorded) -> go.Figure:
    """Draw the results of each rung: which trials were promoted, and which were left behind.

    A rung is a budget, counted from fresh weights. Each point is a trial: a blue one was promoted
    (a new trial continues it on the next rung), a grey one was not. The orange line is the best
    result of each rung.

    Args:
        study: A study of `SuccessiveHalving` or `Hyperband`, or what `prepare` made of it.

    Raises:
        NoResultError: No trial is done, or the study has no rungs.
    """
    data = opened(study, "rungs")
    found = [rung for rung in rungs_of(data.trials) if rung.best]
    require(data, bool(found), "rungs", "a study of SuccessiveHalving or Hyperband")
    shown = {data.done[k].number: k for k in data.thinned(POINTS_AT_MOST)}
    colours = {"not promoted": GREY, "promoted": BLUE}
    points = [_points(data, found, shown, name, colour) for name, colour in colours.items()]
    names = [f"{rung.budget:g}" for rung in found]
    return finish(
        go.Figure([*points, _best(data, found)]),
        height=360,
        hovermode="closest",
        xaxis={
            "title": {"text": "budget of the rung"},
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "range": [-0.5, len(names) - 0.5],
            "showgrid": False,
        },
        yaxis={
            "title": {"text": label(data.objective.metric, 60)},
            **data.score_scale[0].axis(0.05),
        },
    )


def _points(
    data: StudyData, found: Sequence[Rung], shown: Mapping[int, int], name: str, colour: str
) -> go.Scatter:
    pairs = [
        (place, shown[trial.number])
        for place, rung in enumerate(found)
        for trial in rung.trials
        if trial.number in shown and (trial.number in rung.promoted) == (name == "promoted")
    ]
    places = np.array([place for place, _ in pairs], dtype=float)
    drawn = np.array([k for _, k in pairs], dtype=np.intp)
    return go.Scatter(
        x=places + np.random.default_rng(0).uniform(-0.15, 0.15, len(places)),
        y=data.first_scores[drawn],
        mode="markers",
        marker={"color": colour, "size": 6, "opacity": 0.7},
        customdata=hover_texts(data, drawn),
        hovertemplate="%{customdata}<extra></extra>",
        name=name,
        showlegend=bool(pairs),
    )


def _best(data: StudyData, found: Sequence[Rung]) -> go.Scatter:
    best = [rung.best.number if rung.best else -1 for rung in found]
    return go.Scatter(
        x=list(range(len(found))),
        y=[data.score_of.get(number) for number in best],
        customdata=best,
        mode="lines+markers",
        line={"color": ORANGE, "width": 3},
        marker={"size": 7},
        name="best of the rung",
        hovertemplate="best of the rung %{y:.5g}, trial %{customdata}<extra></extra>",
    )
