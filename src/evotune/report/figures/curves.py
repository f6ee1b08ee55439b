"""How trials trained: what they reported, or how the weights of a population went on."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from evotune.analysis.data import Recorded, StudyData, prepare
from evotune.analysis.reports import Curve, reported
from evotune.analysis.scales import Scale, score_scale
from evotune.analysis.steps import Step
from evotune.analysis.text import label
from evotune.printing import number
from evotune.report.figures.theme import GREY, ORANGE, TEAL, finish, require

EDGES_AT_MOST = 3000
CURVES_AT_MOST = 300
POINTS_A_CURVE = 200


def curves(study: Recorded) -> go.Figure:
    """Draw how trials trained: the first objective over the epochs.

    Where trials inherit weights, as in population-based training, each grey line joins a trial to
    the donor of its weights: a line ends where a member was replaced and forks where one was
    copied, and the orange line leads to the best trial. Else each line is what one trial passed to
    ``trial.report`` (a `SupervisedTask` reports where it has ``validate_every=1``, or a stopping
    rule asks for it): grey ones ran to their end, green ones were stopped early, the orange one is
    the best trial.

    Args:
        study: A study whose trials inherit weights or report, or what `prepare` made of it.

    Raises:
        NoResultError: No trial inherited weights, and none reported the metric of the objective.
    """
    data = prepare(study)
    if data.inherits and data.done:
        return _of_members(data)
    metric, found = reported(data)
    needed = (
        "a trial that calls trial.report(...), which a SupervisedTask does where it has "
        "validate_every=1, or a population that trains on"
    )
    require(data, bool(found), "curves", needed)
    return _of_reports(data, metric, found)


# -- what trials reported -------------------------------------------------------------------------


def shown_curves(data: StudyData, found: Sequence[Curve]) -> list[Curve]:
    """Return at most 300 curves: the best trials', and a random choice of the others."""
    if len(found) <= CURVES_AT_MOST:
        return list(found)
    best = {data.done[k].number for k in data.ranking[: CURVES_AT_MOST // 5]}
    rest = [k for k, curve in enumerate(found) if curve.trial.number not in best]
    drawn = np.random.default_rng(0).permutation(len(rest))[: CURVES_AT_MOST - len(best)]
    kept = best | {found[rest[k]].trial.number for k in drawn}
    return [curve for curve in found if curve.trial.number in kept]


def _of_reports(data: StudyData, metric: str, found: Sequence[Curve]) -> go.Figure:
    shown = shown_curves(data, found)
    best = data.best.number if data.best is not None else -1
    others = [curve for curve in shown if curve.trial.number != best]
    traces = []
    for name, colour, stopped in (("ran to its end", GREY, False), ("stopped", TEAL, True)):
        of_it = [curve for curve in others if (curve.trial.state == "stopped") == stopped]
        traces += [_lines(of_it, name, colour)] * bool(of_it)
    of_best = next((curve for curve in found if curve.trial.number == best), None)
    traces += [] if of_best is None else [_best(of_best)]
    return finish(
        go.Figure(traces),
        height=400,
        hovermode="closest",
        xaxis={"title": {"text": "epoch or step that was reported"}, "nticks": 10},
        yaxis={"title": {"text": label(metric, 60)}, **_scale(data, shown).axis()},
    )


def _scale(data: StudyData, shown: Sequence[Curve]) -> Scale:
    known = np.concatenate([np.asarray(curve.values) for curve in shown])
    return score_scale(known, data.objective.direction)[0]


def _thinned(values: Sequence[float]) -> list[float]:
    step = -(-len(values) // POINTS_A_CURVE)
    return [*values[:-1:step], *values[-1:]]


def _lines(found: Sequence[Curve], name: str, colour: str) -> go.Scatter:
    x: list[Any] = []
    y: list[Any] = []
    texts: list[Any] = []
    for curve in found:
        xs, ys = _thinned(curve.steps), _thinned(curve.values)
        x += [*xs, None]
        y += [*ys, None]
        texts += [*_hovers(curve, xs, ys), ""]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers" if len(x) < 1500 else "lines",
        line={"color": colour, "width": 1},
        marker={"size": 4},
        opacity=0.5,
        customdata=texts,
        hovertemplate="%{customdata}<extra></extra>",
        name=name,
    )


def _best(curve: Curve) -> go.Scatter:
    xs, ys = _thinned(curve.steps), _thinned(curve.values)
    return go.Scatter(
        x=xs,
        y=ys,
        mode="lines+markers" if len(xs) <= 50 else "lines",
        line={"color": ORANGE, "width": 3},
        marker={"size": 6},
        customdata=_hovers(curve, xs, ys),
        hovertemplate="%{customdata}<extra></extra>",
        name="best trial",
    )


def _hovers(curve: Curve, xs: Sequence[float], ys: Sequence[float]) -> list[str]:
    end = ", stopped" if curve.trial.state == "stopped" else ""
    return [
        f"trial {curve.trial.number}{end}<br>{x:g}: {number(float(y), 5)}"
        for x, y in zip(xs, ys, strict=True)
    ]


# -- members of a population ----------------------------------------------------------------------


def _of_members(data: StudyData) -> go.Figure:
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
