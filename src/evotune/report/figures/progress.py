"""How the objective improved."""

import plotly.graph_objects as go

from evotune.analysis.data import Recorded, StudyData
from evotune.analysis.generations import quantiles
from evotune.analysis.text import label
from evotune.report.figures.marks import LEVELS, POINTS_AT_MOST, band_traces, line_mode, symbols
from evotune.report.figures.theme import GREY, ORANGE, finish, opened


def progress(study: Recorded) -> go.Figure:
    """Draw how the first objective improved, generation by generation.

    The orange line is the best result so far. The blue line is the median of each generation (of
    each block of trials where an algorithm has no generations), the bands its middle 50 % and
    80 %, every grey point a trial; hollow points break a constraint.

    Args:
        study: A study, or what `prepare` made of one.

    Raises:
        NoResultError: No trial is done.
    """
    data = opened(study, "progress")
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
    groups, best = data.best_by_group
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
