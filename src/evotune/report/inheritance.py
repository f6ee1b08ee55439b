"""The family tree of the best trial where genes and weights have parents of their own."""

from collections.abc import Iterable, Sequence

import numpy as np
import plotly.graph_objects as go

from evotune.report.data import StudyData
from evotune.report.family import star
from evotune.report.members import Point, best_line, lane_axis, rows_height, story, value_colours
from evotune.report.steps import Step
from evotune.report.theme import BLUE, ORANGE, PURPLE, finish

#: Of a larger family nobody can follow the lines.
ANCESTORS_AT_MOST = 80


def family_of_best(data: StudyData) -> list[Step]:
    """Return the best trial and all from which its weights and genes come, oldest first."""
    if data.best is None:
        return []
    found, waiting = {data.best.number}, [data.best.number]
    while waiting:
        trial = data.step_of[waiting.pop()].trial
        for parent in (*trial.parents, *trial.donors):
            if parent in data.step_of and parent not in found:
                found.add(parent)
                waiting.append(parent)
    return [data.step_of[number] for number in sorted(found) if data.step_of[number].lane]


def inheritance(data: StudyData) -> go.Figure:
    """Return the ancestors of the best trial: solid edges are weights, dotted ones genes."""
    line = {step.trial.number for step in best_line(data)}
    family = _shown(family_of_best(data), line)
    rows, axis = lane_axis(family)
    at = {s.trial.number: (s.end, float(rows[s.lane])) for s in family}
    genes = [(p, s.trial.number) for s in family for p in s.trial.parents if p in at]
    weights = [(d, s.trial.number) for s in family for d in s.trial.donors if d in at]
    figure = go.Figure(
        [
            _edges(at, genes, "genes", {"color": PURPLE, "width": 1, "dash": "dot"}),
            _edges(at, weights, "weights", {"color": BLUE, "width": 1.5}),
            _edges(
                at,
                [(a, b) for a, b in weights if a in line and b in line],
                "weights of the best trial",
                {"color": ORANGE, "width": 4},
            ),
            _nodes(data, family[:-1], at),
            star(at[family[-1].trial.number], story(data, family[-1])),
        ]
    )
    return finish(
        figure,
        height=rows_height(len(rows), 26),
        coloraxis=value_colours(data, data.score_scale[0]),
        hovermode="closest",
        xaxis={"title": {"text": "epochs that the weights have been trained for"}},
        yaxis=axis,
    )


def _shown(family: Sequence[Step], line: set[int]) -> list[Step]:
    """Return the family; of a large one the line of weights, and whose genes came into it."""
    if len(family) <= ANCESTORS_AT_MOST:
        return list(family)
    genes = {p for step in family if step.trial.number in line for p in step.trial.parents}
    return [step for step in family if step.trial.number in line | genes]


def _edges(
    at: dict[int, Point], pairs: Iterable[tuple[int, int]], name: str, line: dict[str, object]
) -> go.Scatter:
    points: list[tuple[float | None, float | None]] = []
    for a, b in pairs:
        points += [at[a], at[b], (None, None)]
    return go.Scatter(
        x=[x for x, _ in points],
        y=[y for _, y in points],
        mode="lines",
        line=line,
        name=name,
        hoverinfo="skip",
    )


def _nodes(data: StudyData, family: Sequence[Step], at: dict[int, Point]) -> go.Scatter:
    scale, _ = data.score_scale
    worst = scale.low if data.objective.direction == "max" else scale.high
    scores = [data.score_of.get(step.trial.number, worst) for step in family]
    return go.Scatter(
        x=[at[step.trial.number][0] for step in family],
        y=[at[step.trial.number][1] for step in family],
        mode="markers",
        marker={
            "color": scale.position(np.array(scores)),
            "coloraxis": "coloraxis",
            "opacity": 1,
            "size": 10,
            "line": {"width": 1, "color": "white"},
        },
        customdata=[story(data, step) for step in family],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )
