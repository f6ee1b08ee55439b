"""The family tree of the best trial."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from evotune.analysis.data import StudyData
from evotune.analysis.lineage import changes
from evotune.analysis.scales import Scale
from evotune.analysis.text import label, number
from evotune.report.figures.progress import POINTS_AT_MOST
from evotune.report.figures.theme import BLUE, GREY, ORANGE, finish
from evotune.trial import Trial

_CHANGES_AT_MOST = 6


def family_tree(data: StudyData) -> go.Figure:
    """Return the ancestors of the best trial: when each was born and how good it was."""
    line = data.family()
    places = _places(data)
    path = data.best_path()
    shown = np.array([places[trial.number] for trial in line])
    scale = Scale(shown[:, 1].min(), shown[:, 1].max(), data.score_scale[0].log)
    born = Scale(shown[:, 0].min(), shown[:, 0].max())
    figure = go.Figure(
        [
            _others(data, places),
            _edges(line, places),
            _path(path, places, data.path_name),
            _nodes(line, {t.number for t in path}, places),
            _best(line[-1], line, places),
        ]
    )
    return finish(
        figure,
        height=430,
        xaxis={"title": {"text": data.groups.born_name}, **born.axis(0.04), "tickformat": ",d"},
        yaxis={"title": {"text": label(data.objective.metric, 60)}, **scale.axis(0.1)},
    )


def _places(data: StudyData) -> dict[int, tuple[float, float]]:
    born = data.groups.born[data.places]
    return {
        trial.number: (float(x), float(y))
        for trial, x, y in zip(data.done, born, data.first_scores, strict=True)
    }


def _others(data: StudyData, places: dict[int, tuple[float, float]]) -> go.Scatter:
    shown = [places[data.done[k].number] for k in data.thinned(POINTS_AT_MOST)]
    x, y = np.array(shown).T
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"color": GREY, "size": 4, "opacity": 0.35},
        name="other trials",
        hoverinfo="skip",
    )


def _edges(line: Sequence[Trial], places: dict[int, tuple[float, float]]) -> go.Scatter:
    known = {trial.number for trial in line}
    points: list[tuple[float | None, float | None]] = []
    for child in line:
        for parent in child.parents:
            if parent in known:
                points += [places[parent], places[child.number], (None, None)]
    return go.Scatter(
        x=[x for x, _ in points],
        y=[y for _, y in points],
        mode="lines",
        line={"color": BLUE, "width": 1},
        opacity=0.5,
        name="parent to child",
        hoverinfo="skip",
    )


def _path(path: Sequence[Trial], places: dict[int, tuple[float, float]], name: str) -> go.Scatter:
    return go.Scatter(
        x=[places[trial.number][0] for trial in path],
        y=[places[trial.number][1] for trial in path],
        mode="lines",
        line={"color": ORANGE, "width": 3},
        name=name,
        hoverinfo="skip",
    )


def _nodes(
    line: Sequence[Trial], on_path: set[int], places: dict[int, tuple[float, float]]
) -> go.Scatter:
    return go.Scatter(
        x=[places[trial.number][0] for trial in line[:-1]],
        y=[places[trial.number][1] for trial in line[:-1]],
        mode="markers",
        marker={
            "color": [ORANGE if t.number in on_path else BLUE for t in line[:-1]],
            "size": 8,
            "line": {"width": 1, "color": "white"},
        },
        customdata=[_story(trial, line, places) for trial in line[:-1]],
        hovertemplate="%{customdata}<extra></extra>",
        name="ancestor",
        showlegend=False,
    )


def _best(best: Trial, line: Sequence[Trial], places: dict[int, tuple[float, float]]) -> go.Scatter:
    return star(places[best.number], _story(best, line, places))


def star(place: tuple[float, float], story: str) -> go.Scatter:
    """Return the mark of the best trial in a family tree, with what the mouse shows."""
    return go.Scatter(
        x=[place[0]],
        y=[place[1]],
        mode="markers",
        marker={
            "color": ORANGE,
            "symbol": "star",
            "size": 17,
            "opacity": 1,
            "line": {"width": 1, "color": "white"},
        },
        customdata=[story],
        hovertemplate="%{customdata}<extra></extra>",
        name="best",
    )


def _story(trial: Trial, line: Sequence[Trial], places: dict[int, tuple[float, float]]) -> str:
    """Return what the mouse shows: the trial, and what changed from each parent."""
    known = {other.number: other for other in line}
    lines = [f"<b>trial {trial.number}</b>: {number(places[trial.number][1])}"]
    for parent in trial.parents:
        if parent in known:
            lines.append(f"from trial {parent}: {number(places[parent][1])}")
            lines += _changed(trial, known[parent])
    return "<br>".join(lines)


def _changed(child: Trial, parent: Trial) -> list[str]:
    changed = list(changes(child, parent).items())
    lines = [
        f"  {label(name)}: {label(_shown(old))} → {label(_shown(new))}"
        for name, (old, new) in changed[:_CHANGES_AT_MOST]
    ]
    if len(changed) > _CHANGES_AT_MOST:
        lines.append(f"  and {len(changed) - _CHANGES_AT_MOST} more genes")
    return lines or ["  same genes"]


def _shown(value: object) -> str:
    return "–" if value is None else number(value)
