"""How the members of a population trained."""

from collections.abc import Iterable, Sequence

import numpy as np
import plotly.graph_objects as go

from evotune.analysis.data import Recorded
from evotune.analysis.steps import Step
from evotune.analysis.text import label, number
from evotune.report.figures.theme import GREY, ORANGE, finish, opened, require

EDGES_AT_MOST = 3000


def learning_curves(study: Recorded) -> go.Figure:
    """Draw every member's result over the epochs that its weights were trained for.

    Each grey line joins a trial to the donor of its weights. A line ends where a member was
    replaced and forks where one was copied. The orange line leads to the best trial.

    Args:
        study: A study whose trials inherit weights, or what `prepare` made of it.

    Raises:
        NoResultError: No trial is done, or none inherited weights.
    """
    data = opened(study, "learning_curves")
    needed = "a trial that goes on from another one's weights"
    require(data, data.inherits, "learning_curves", needed)
    scores = data.score_of
    known = [step for step in data.steps if step.trial.number in scores]
    scale, _ = data.score_scale
    figure = go.Figure([_curves(known, scores), _curve_of_best(data.best_line, scores)])
    return finish(
        figure,
        height=400,
        hovermode="closest",
        xaxis={"title": {"text": "epochs that the weights have been trained for"}, "nticks": 10},
        yaxis={"title": {"text": label(data.objective.metric, 60)}, **scale.axis()},
    )


def _curves(known: Sequence[Step], scores: dict[int, float]) -> go.Scatter:
    ends = {step.trial.number: step.end for step in known}
    drawn = np.random.default_rng(0).permutation(len(known))[:EDGES_AT_MOST]
    shown = [known[k] for k in np.sort(drawn)]
    x: list[float | None] = []
    y: list[float | None] = []
    for step in shown:
        own = step.trial.number
        donors = [donor for donor in step.trial.donors if donor in ends]
        for donor in donors:
            x += [ends[donor], step.end, None]
            y += [scores[donor], scores[own], None]
        if not donors:
            x += [step.end, None]
            y += [scores[own], None]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": GREY, "width": 1},
        marker={"size": 4},
        opacity=0.45,
        name="all members",
        hoverinfo="skip",
    )


def _curve_of_best(line: Iterable[Step], scores: dict[int, float]) -> go.Scatter:
    known = [step for step in line if step.trial.number in scores]
    return go.Scatter(
        x=[step.end for step in known],
        y=[scores[step.trial.number] for step in known],
        mode="lines+markers",
        line={"color": ORANGE, "width": 3},
        marker={"size": 6},
        customdata=[
            f"trial {step.trial.number}, epochs {step.epochs}: "
            f"{number(scores[step.trial.number], 5)}"
            for step in known
        ],
        hovertemplate="%{customdata}<extra></extra>",
        name="line of the best trial",
    )
