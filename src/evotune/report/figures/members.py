"""The members of a population while they train: their results, and who replaced whom."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from evotune.analysis.data import StudyData
from evotune.analysis.lineage import changes
from evotune.analysis.scales import Scale, score_scale
from evotune.analysis.steps import Lane, Step
from evotune.analysis.text import label, number
from evotune.report.figures.family import star
from evotune.report.figures.schedules import line_of
from evotune.report.figures.theme import BLUE, GREY, ORANGE, PURPLE, finish

EDGES_AT_MOST = 3000
GENERATIONS_AT_MOST = 40
MEMBERS_AT_MOST = 100
#: More arrows than this hide the cells that they connect.
ARROWS_AT_MOST = 400

Point = tuple[float, float]


def best_line(data: StudyData) -> list[Step]:
    """Return the line of weights that ends in the best trial, oldest first."""
    return [] if data.best is None else line_of(data, data.best.number)


def learning_curves(data: StudyData) -> go.Figure:
    """Return every member's result over the epochs that its weights were trained for."""
    scores, best = data.score_of, best_line(data)
    known = [step for step in data.steps if step.trial.number in scores]
    scale, _ = data.score_scale
    figure = go.Figure([_curves(known, scores), _curve_of_best(best, scores)])
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


# -- who replaced whom --------------------------------------------------------------------------


def shown_steps(data: StudyData) -> list[Step]:
    """Return the steps of the last generations and of as many members as can be told apart.

    Those on the best trial's line are among them.
    """
    made = [step for step in data.steps if step.lane]
    last = max((step.generation for step in made), default=0)
    on_line = {step.lane for step in best_line(data)}
    ordered = sorted({step.lane for step in made}, key=lambda lane: (lane not in on_line, lane))
    lanes = set(ordered[:MEMBERS_AT_MOST])
    first = last - GENERATIONS_AT_MOST
    return [step for step in made if step.generation > first and step.lane in lanes]


def lane_axis(shown: Iterable[Step]) -> tuple[dict[Lane, int], dict[str, Any]]:
    """Return the row of each member, and the layout of an axis that names them."""
    lanes = sorted({step.lane for step in shown})
    names = [".".join(map(str, lane)) for lane in lanes]
    title = "member" if not lanes or len(lanes[0]) == 1 else "island.member"
    layout = {
        "title": {"text": title},
        "tickvals": list(range(len(lanes)))[:: 1 + len(lanes) // 30],
        "ticktext": names[:: 1 + len(lanes) // 30],
        "range": [len(lanes) - 0.4, -0.6],
        "showgrid": False,
    }
    return {lane: row for row, lane in enumerate(lanes)}, layout


def rows_height(rows: int, wanted: int) -> int:
    """Return the height in pixels of a figure with a row for each member.

    Args:
        rows: How many.
        wanted: Pixels of a row, fewer when there are many.
    """
    return 150 + max(min(wanted * rows, max(560, 7 * rows)), 130)


def replacements(data: StudyData) -> go.Figure:
    """Return a cell for each trial, by generation and member, an arrow to each child's cell."""
    shown = shown_steps(data)
    # Late generations differ little: their colours are told apart by what is drawn, not by all.
    scores = [data.score_of[s.trial.number] for s in shown if s.trial.number in data.score_of]
    scale, _ = score_scale(np.array(scores), data.objective.direction)
    rows, axis = lane_axis(shown)
    at = {s.trial.number: (float(s.generation), float(rows[s.lane])) for s in shown}
    best = {step.trial.number for step in best_line(data)}
    children = [s for s in shown if s.is_child and s.trial.number not in best]
    if len(children) > ARROWS_AT_MOST:
        children = []
    figure = go.Figure(
        [
            _cells(data, shown, rows, scale),
            _arrows(children, at, "a child takes the place", GREY),
            _arrows(
                [s for s in shown if s.trial.number in best], at, "line of the best trial", ORANGE
            ),
            _failures(shown, at),
        ]
    )
    return finish(
        figure,
        height=rows_height(len(rows), 20),
        coloraxis=value_colours(data, scale),
        hovermode="closest",
        xaxis={"title": {"text": "generation"}, "tickformat": ",d", "showgrid": False},
        yaxis=axis,
    )


def value_colours(data: StudyData, scale: Scale) -> dict[str, Any]:
    """Return the layout of a colour axis of the first objective, strong for good values."""
    ticks, texts = scale.ticks()
    low, high = scale.ends()
    return {
        "cmin": low,
        "cmax": high,
        "reversescale": data.objective.direction == "min",
        "colorbar": {
            "title": {"text": label(data.objective.metric, 40), "side": "right"},
            "tickvals": scale.position(np.array(ticks)),
            "ticktext": texts,
        },
    }


def _cells(
    data: StudyData, shown: Sequence[Step], rows: dict[Lane, int], scale: Scale
) -> go.Heatmap:
    scores = data.score_of
    first = min(step.generation for step in shown)
    last = max(step.generation for step in shown)
    values = np.full((len(rows), last - first + 1), np.nan)
    texts = np.full(values.shape, "", dtype=object)
    for step in shown:
        place = rows[step.lane], step.generation - first
        score = scores.get(step.trial.number)
        texts[place] = story(data, step)
        if score is not None:
            values[place] = scale.position(np.array([score]))[0]
    return go.Heatmap(
        x=list(range(first, last + 1)),
        y=list(range(len(rows))),
        z=values,
        customdata=texts,
        coloraxis="coloraxis",
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
        xgap=2 if len(rows) <= 30 else 1,
        ygap=2 if len(rows) <= 30 else 1,
    )


def _arrows(steps: Iterable[Step], at: dict[int, Point], name: str, colour: str) -> go.Scatter:
    """Return a line to each step from its donor; its point says that a child took the place."""
    points: list[tuple[float | None, float | None]] = []
    sizes: list[int] = []
    for step in steps:
        for donor in step.trial.donors:
            if donor in at:
                points += [at[donor], at[step.trial.number], (None, None)]
                sizes += [0, 10 if step.is_child else 0, 0]
    return go.Scatter(
        x=[x for x, _ in points],
        y=[y for _, y in points],
        mode="lines+markers",
        line={"color": colour, "width": 2 if colour == ORANGE else 1},
        marker={
            "symbol": "arrow",
            "angleref": "previous",
            "color": colour,
            "size": sizes,
        },
        name=name,
        hoverinfo="skip",
        showlegend=bool(points),
    )


def _failures(shown: Iterable[Step], at: dict[int, Point]) -> go.Scatter:
    failed = [at[step.trial.number] for step in shown if step.trial.state == "failed"]
    return go.Scatter(
        x=[x for x, _ in failed],
        y=[y for _, y in failed],
        mode="markers",
        marker={"color": PURPLE, "symbol": "x", "size": 7},
        name="failed",
        hoverinfo="skip",
        showlegend=bool(failed),
    )


def story(data: StudyData, step: Step) -> str:
    """Return what the mouse shows at a trial: what it is, and where weights and genes are from."""
    trial, scores = step.trial, data.score_of
    lines = [f"<b>trial {trial.number}</b>, member {step.member}, epochs {step.epochs}"]
    score = scores.get(trial.number)
    result = trial.state if score is None else number(score, 5)
    lines.append(f"{label(data.objective.metric)}: {result}")
    if step.replaces is not None:
        lines.append(f"replaces trial {step.replaces}")
    for donor in trial.donors:
        better = f": {number(scores[donor], 5)}" if donor in scores else ""
        lines.append(f"weights from trial {donor}{better}")
    if trial.parents:
        lines.append(f"genes from {' and '.join(map(str, trial.parents))}")
    parent = data.step_of.get(trial.parents[0]) if trial.parents else None
    for name, (old, new) in list(changes(trial, parent.trial).items())[:6] if parent else ():
        lines.append(f"  {label(name)}: {label(_shown(old))} → {label(_shown(new))}")
    return "<br>".join(lines)


def _shown(value: object) -> str:
    return "–" if value is None else number(value)


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
    family = _shown_ancestors(family_of_best(data), line)
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


def _shown_ancestors(family: Sequence[Step], line: set[int]) -> list[Step]:
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
