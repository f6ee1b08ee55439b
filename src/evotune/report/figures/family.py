"""Three figures of descent: ancestors, inherited weights, and replaced members."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go

from evotune.analysis.data import Recorded, StudyData
from evotune.analysis.lineage import changes
from evotune.analysis.scales import Scale, score_scale
from evotune.analysis.steps import Lane, Step
from evotune.analysis.structures import aligned
from evotune.analysis.text import label
from evotune.printing import number
from evotune.report.figures.marks import POINTS_AT_MOST
from evotune.report.figures.theme import BLUE, GREY, ORANGE, PURPLE, finish, opened, require
from evotune.trial import Trial

GENERATIONS_AT_MOST = 40
MEMBERS_AT_MOST = 100
#: More arrows than this hide the cells that they connect.
ARROWS_AT_MOST = 400
#: Of a larger family nobody can follow the lines.
ANCESTORS_AT_MOST = 80
_CHANGES_AT_MOST = 6

Point = tuple[float, float]
#: From one trial to another, by their numbers.
Edge = tuple[int, int]


def family(study: Recorded) -> go.Figure:
    """Draw the ancestors of the best trial: when each was born and how good it was.

    The star is the best trial, the points linked to it are its ancestors. The orange line follows
    the donors of its weights, or the better parent each time where no weights are inherited.
    Hovering over a trial shows which genes changed.

    Args:
        study: A study, or what `prepare` made of one.

    Raises:
        NoResultError: No trial is done, or the best one has no ancestors.
    """
    data = opened(study, "family")
    trials = data.family()
    require(data, len(trials) > 1, "family", "a best trial that has parents")
    line, path = [trial.number for trial in trials], [t.number for t in data.best_path()]
    born, scores = data.groups.born[data.places].tolist(), data.first_scores.tolist()
    places = zip(data.done, born, scores, strict=True)
    family = _Family(data, {trial.number: (x, y) for trial, x, y in places})
    drawn, on_path = set(line), set(path)
    parents = [(p, t.number) for t in trials for p in t.parents if p in drawn]
    colours = [ORANGE if n in on_path else BLUE for n in line[:-1]]
    figure = go.Figure(
        [
            _others(data),
            family.edges(parents, "parent to child", {"color": BLUE, "width": 1}, opacity=0.5),
            family.edges(pairwise(path), data.path_name, _THICK),
            family.nodes(line[:-1], {"color": colours, "size": 8}, name="ancestor"),
            family.best(line[-1]),
        ]
    )
    x, y = np.array([family.at[n] for n in line]).T
    scale = Scale(float(y.min()), float(y.max()), data.score_scale[0].log)
    return finish(
        figure,
        height=430,
        xaxis={
            "title": {"text": data.groups.born_name},
            **Scale(float(x.min()), float(x.max())).axis(0.04),
            "tickformat": ",d",
        },
        yaxis={"title": {"text": label(data.objective.metric, 60)}, **scale.axis(0.1)},
    )


def inheritance(study: Recorded) -> go.Figure:
    """Draw where the weights and the genes of the best trial come from, member by member.

    The star is the best trial. Solid lines show where weights came from, dotted lines where genes
    came from: the two may differ. The orange line is the training of the best trial's weights.

    Args:
        study: A study of population-based training, or what `prepare` made of it.

    Raises:
        NoResultError: No trial is done, or the best one inherited from no other member.
    """
    data = opened(study, "inheritance")
    whole = data.family_of_members
    require(data, len(whole) > 1, "inheritance", "a population whose best trial has ancestors")
    line = {step.trial.number for step in data.best_line}
    steps = _shown_ancestors(whole, line)
    rows, axis = _lane_axis(steps)
    family = _Family(data, {s.trial.number: (s.end, float(rows[s.lane])) for s in steps})
    numbers = [step.trial.number for step in steps]
    weights = list(_handed_on(steps))
    genes = ((parent, s.trial.number) for s in steps for parent in s.trial.parents)
    scale, _ = data.score_scale
    worst = scale.low if data.objective.direction == "max" else scale.high
    scores = np.array([data.score_of.get(n, worst) for n in numbers[:-1]])
    marker = {"color": scale.position(scores), "coloraxis": "coloraxis", "size": 10}
    figure = go.Figure(
        [
            family.edges(genes, "genes", {"color": PURPLE, "width": 1, "dash": "dot"}),
            family.edges(weights, "weights", {"color": BLUE, "width": 1.5}),
            family.edges(
                [edge for edge in weights if line.issuperset(edge)],
                "weights of the best trial",
                {"color": ORANGE, "width": 4},
            ),
            family.nodes(numbers[:-1], marker),
            family.best(numbers[-1]),
        ]
    )
    return finish(
        figure,
        height=_rows_height(len(rows), 26),
        coloraxis=_value_colours(data, scale),
        hovermode="closest",
        xaxis={"title": {"text": "epochs that the weights have been trained for"}},
        yaxis=axis,
    )


def replacements(study: Recorded) -> go.Figure:
    """Draw which members were replaced: a cell for each trial, by generation and member.

    The stronger its colour, the better the trial. An arrow leads from the donor of the weights to
    the child that replaced a member; a member without an arrow continued with its own weights.

    Args:
        study: A study of population-based training, or what `prepare` made of it.

    Raises:
        NoResultError: No trial is done, or no member was replaced.
    """
    data = opened(study, "replacements")
    shown = shown_steps(data)
    replaced = any(step.is_child for step in shown)
    require(data, replaced, "replacements", "a population whose members were replaced")
    # Late generations differ little, so the colour scale covers only the trials that are drawn.
    scores = [data.score_of[s.trial.number] for s in shown if s.trial.number in data.score_of]
    scale, _ = score_scale(np.array(scores), data.objective.direction)
    rows, axis = _lane_axis(shown)
    at = {s.trial.number: (float(s.generation), float(rows[s.lane])) for s in shown}
    family = _Family(data, at, frozenset(s.trial.number for s in shown if s.is_child))
    best = {step.trial.number for step in data.best_line}
    others = [s for s in shown if s.is_child and s.trial.number not in best]
    others = others if len(others) <= ARROWS_AT_MOST else []
    on_line = [s for s in shown if s.trial.number in best]
    failed = [s.trial.number for s in shown if s.trial.state == "failed"]
    figure = go.Figure(
        [
            _cells(family, shown, rows, scale),
            family.edges(_handed_on(others), "a child takes the place", _THIN),
            family.edges(_handed_on(on_line), "line of the best trial", _THICK | {"width": 2}),
            _failures([at[number] for number in failed]),
        ]
    )
    return finish(
        figure,
        height=_rows_height(len(rows), 20),
        coloraxis=_value_colours(data, scale),
        hovermode="closest",
        xaxis={"title": {"text": "generation"}, "tickformat": ",d", "showgrid": False},
        yaxis=axis,
    )


def shown_steps(data: StudyData) -> list[Step]:
    """Return the steps of the last generations, of as many members as can be told apart.

    The members through which the best trial's weights went are always among them.
    """
    made = [step for step in data.steps if step.lane]
    last = max((step.generation for step in made), default=0)
    on_line = {step.lane for step in data.best_line}
    ordered = sorted({step.lane for step in made}, key=lambda lane: (lane not in on_line, lane))
    lanes = set(ordered[:MEMBERS_AT_MOST])
    first = last - GENERATIONS_AT_MOST
    return [step for step in made if step.generation > first and step.lane in lanes]


# -- what the three share ------------------------------------------------------------------------

_THIN, _THICK = {"color": GREY, "width": 1}, {"color": ORANGE, "width": 3}
_EDGE = {"width": 1, "color": "white"}


@dataclass(frozen=True, slots=True)
class _Family:
    """Trials of a study and their positions in a figure.

    Attributes:
        data: The study.
        at: Position of each trial, by number; edges to other trials are left out.
        heads: Trials to which edges are drawn as arrows.
    """

    data: StudyData
    at: Mapping[int, Point]
    heads: frozenset[int] = frozenset()

    def edges(
        self, edges: Iterable[Edge], name: str, line: Mapping[str, Any], **style: Any
    ) -> go.Scatter:
        """Return one trace of lines, separated by None."""
        drawn = [(a, b) for a, b in edges if a in self.at and b in self.at]
        places: list[tuple[float | None, float | None]] = []
        for a, b in drawn:
            places += [self.at[a], self.at[b], (None, None)]
        if self.heads:
            sizes = [size for _, b in drawn for size in (0, 10 * (b in self.heads), 0)]
            arrow = {"symbol": "arrow", "angleref": "previous", "color": line["color"]}
            style |= {"mode": "lines+markers", "marker": arrow | {"size": sizes}}
        return go.Scatter(
            x=[x for x, _ in places],
            y=[y for _, y in places],
            line=dict(line),
            name=name,
            hoverinfo="skip",
            showlegend=bool(drawn),
            **({"mode": "lines"} | style),
        )

    def nodes(
        self, numbers: Sequence[int], marker: Mapping[str, Any], name: str = ""
    ) -> go.Scatter:
        """Return the points of trials, with hover texts."""
        return go.Scatter(
            x=[self.at[number][0] for number in numbers],
            y=[self.at[number][1] for number in numbers],
            mode="markers",
            marker={"opacity": 1, "line": _EDGE, **marker},
            customdata=[self.story(number) for number in numbers],
            hovertemplate="%{customdata}<extra></extra>",
            name=name,
            showlegend=name == "best",
        )

    def best(self, number: int) -> go.Scatter:
        """Return the star of the best trial."""
        return self.nodes([number], {"color": ORANGE, "symbol": "star", "size": 17}, name="best")

    def story(self, wanted: int) -> str:
        """Return the hover text of a trial: its result and the origin of its weights and genes."""
        step = self.data.step_of[wanted]
        trial, result = step.trial, self._result(wanted) or f": {step.trial.state}"
        member = f", member {step.member}, epochs {step.epochs}" if step.lane else ""
        lines = [f"<b>trial {wanted}</b>{member}", f"{label(self.data.objective.metric)}{result}"]
        if step.replaces is not None:
            lines.append(f"replaces trial {step.replaces}")
        lines += [f"weights from trial {donor}{self._result(donor)}" for donor in trial.donors]
        parents = [n for n in dict.fromkeys(trial.parents) if n in self.data.step_of]
        for parent in parents:
            lines.append(f"genes from trial {parent}{self._result(parent)}")
            other = self.data.step_of[parent].trial
            lines += _changed(self.data, trial, other, _CHANGES_AT_MOST // len(parents))
        return "<br>".join(lines)

    def _result(self, wanted: int) -> str:
        score = self.data.score_of.get(wanted)
        return "" if score is None else f": {number(score, 5)}"


def _changed(data: StudyData, child: Trial, parent: Trial, at_most: int) -> list[str]:
    lines = list(_differences(data, child, parent))
    more = [f"  and {len(lines) - at_most} more changes"] if len(lines) > at_most else []
    return [*lines[:at_most], *more] or ["  same genes"]


def _differences(data: StudyData, child: Trial, parent: Trial) -> Iterator[str]:
    """Yield a line for each gene, or layer of a chain, that differs."""
    chains = data.space.chains
    inside = {gene for name in chains for gene in data.space.entries[name]}
    for name, (old, new) in changes(child, parent).items():
        if name not in inside:
            yield f"  {label(name)}: {_shown(old)} → {_shown(new)}"
    before, after = data.params(parent), data.params(child)
    for name in chains:
        for pair in aligned(before.get(name, ()), after.get(name, ())):
            if pair.kind != "same":
                yield f"  {label(name)}: {label(pair, 60)}"


def _shown(value: object) -> str:
    return "–" if value is None else label(number(value))


# -- what one of them needs ---------------------------------------------------------------------


def _others(data: StudyData) -> go.Scatter:
    shown = data.thinned(POINTS_AT_MOST)
    return go.Scatter(
        x=data.groups.born[data.places[shown]],
        y=data.first_scores[shown],
        mode="markers",
        marker={"color": GREY, "size": 4, "opacity": 0.35},
        name="other trials",
        hoverinfo="skip",
    )


def _shown_ancestors(family: Sequence[Step], line: set[int]) -> list[Step]:
    """Return the family; if it is large, only the donors of weights and of genes to these."""
    if len(family) <= ANCESTORS_AT_MOST:
        return list(family)
    genes = {p for step in family if step.trial.number in line for p in step.trial.parents}
    return [step for step in family if step.trial.number in line | genes]


def _handed_on(steps: Iterable[Step]) -> Iterator[Edge]:
    """Yield the edge from each donor of weights."""
    return ((donor, step.trial.number) for step in steps for donor in step.trial.donors)


def _cells(
    family: _Family, shown: Sequence[Step], rows: dict[Lane, int], scale: Scale
) -> go.Heatmap:
    scores = family.data.score_of
    first = min(step.generation for step in shown)
    last = max(step.generation for step in shown)
    values = np.full((len(rows), last - first + 1), np.nan)
    texts = np.full(values.shape, "", dtype=object)
    for step in shown:
        place = rows[step.lane], step.generation - first
        score = scores.get(step.trial.number)
        texts[place] = family.story(step.trial.number)
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


def _failures(places: Sequence[Point]) -> go.Scatter:
    return go.Scatter(
        x=[x for x, _ in places],
        y=[y for _, y in places],
        mode="markers",
        marker={"color": PURPLE, "symbol": "x", "size": 7},
        name="failed",
        hoverinfo="skip",
        showlegend=bool(places),
    )


def _lane_axis(shown: Iterable[Step]) -> tuple[dict[Lane, int], dict[str, Any]]:
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


def _rows_height(rows: int, wanted: int) -> int:
    """Return the height in pixels of a figure with a row for each member.

    Args:
        rows: Number of rows.
        wanted: Pixels per row; fewer are used when there are many rows.
    """
    return 150 + max(min(wanted * rows, max(560, 7 * rows)), 130)


def _value_colours(data: StudyData, scale: Scale) -> dict[str, Any]:
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
