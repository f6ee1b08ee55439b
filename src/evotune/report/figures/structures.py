"""Chains of layers: the network of a trial, and what changed from its parents to it."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from evotune.analysis.data import Recorded, StudyData
from evotune.analysis.structures import Pair, aligned, widths
from evotune.analysis.text import label
from evotune.errors import StudyError
from evotune.printing import layer_text, number
from evotune.report.figures.theme import block_colours, finish, opened, require
from evotune.space import Space
from evotune.space.chain import BLOCK
from evotune.trial import Trial

#: Parents that are drawn beside a child.
PARENTS_AT_MOST = 2
#: Pixels of a row, and above and below all rows.
_ROW, _AROUND = 30, 90
#: Share of a row that its bar takes.
_THICK = 0.78
#: Share of the picture that the narrowest layer takes.
_NARROWEST = 0.12
#: Of the texts on them, in light and dark pages alike.
_INK = "#1d2530"
#: Colour of each kind of change: nothing, another value, another block, more, less.
_KINDS = {
    "same": "#d3d9e0",
    "changed": "#66ccee",
    "replaced": "#ccbb44",
    "inserted": "#5cb56e",
    "removed": "#ee8591",
}


@dataclass(frozen=True, slots=True)
class _Row:
    """A layer in the picture of a network.

    Attributes:
        name: Its chain and its number in it.
        layer: Its record; None for a chain without layers.
        width: How wide it is.
    """

    name: str
    layer: Mapping[str, Any] | None
    width: float


def structure(study: Recorded, trial: int | None = None) -> go.Figure:
    """Draw the layers of a network, from its input downwards, one bar each.

    The wider a layer, the wider its bar, on a logarithmic scale; the colour is its block. A layer
    that has no width, such as a pool, is as wide as the one before.

    Args:
        study: A study whose space has a chain, or what `prepare` made of it.
        trial: Number of the trial; the best one by default.

    Raises:
        NoResultError: The space has no chain, or no trial is done.
        StudyError: There is no trial of this number.
    """
    data, chosen = _chosen(study, trial, "structure")
    rows = list(_rows(data.space, data.params(chosen)))
    colours = block_colours(data.space)
    figure = go.Figure()
    for block, colour in colours.items():
        places = [k for k, row in enumerate(rows) if row.layer and row.layer[BLOCK] == block]
        if places:
            figure.add_trace(_bars(rows, places, label(block), colour))
    figure.add_trace(_texts(rows))
    return finish(
        figure,
        height=_AROUND + _ROW * len(rows),
        barmode="overlay",
        margin={"t": 36, "b": 20, "l": 110},
        xaxis={"visible": False, "range": [-0.55, 1.9], "fixedrange": True},
        yaxis={
            "tickvals": list(range(len(rows))),
            "ticktext": [label(row.name, 20) for row in rows],
            "range": [len(rows) - 0.4, -0.6],
            "showgrid": False,
            "fixedrange": True,
            "tickcolor": "rgba(0,0,0,0)",
        },
    )


def _chosen(study: Recorded, number: int | None, figure: str) -> tuple[StudyData, Trial]:
    data = opened(study, figure)
    require(data, bool(data.space.chains), figure, "a space with a chain of layers, et.Chain")
    if number is None:
        best = data.best
        assert best is not None, "a study without a trial that is done is refused"
        return data, best
    found = next((t for t in data.trials if t.number == number), None)
    if found is None:
        raise StudyError(
            f"et.plot.{figure}(trial={number!r}): there is no such trial; the study has "
            f"{len(data.trials)}, take a number from study.trials"
        )
    return data, found


def _rows(space: Space, params: Mapping[str, Any]) -> Iterator[_Row]:
    for name, chain in space.chains.items():
        layers = params.get(name)  # None where a condition puts the chain to sleep
        if not layers:
            yield _Row(name, None, 0.0)
        for k, width in enumerate(widths(chain, layers or ())):
            yield _Row(f"{name} {k + 1}", (layers or ())[k], width)


def _bars(rows: Sequence[_Row], places: Sequence[int], name: str, colour: str) -> go.Bar:
    widest = math.log2(1.0 + max(row.width for row in rows))
    shares = [math.log2(1.0 + rows[k].width) / widest for k in places]
    bars = [_NARROWEST + (1.0 - _NARROWEST) * share for share in shares]
    return go.Bar(
        x=bars,
        width=_THICK,
        y=list(places),
        base=[-bar / 2 for bar in bars],
        orientation="h",
        marker={"color": colour, "line": {"width": 0}},
        customdata=[_story(rows[k].layer or {}) for k in places],
        hovertemplate="%{customdata}<extra></extra>",
        name=name,
    )


def _texts(rows: Sequence[_Row]) -> go.Scatter:
    texts = ["no layer" if row.layer is None else layer_text(row.layer) for row in rows]
    return go.Scatter(
        x=[0.58] * len(rows),
        y=list(range(len(rows))),
        mode="text",
        text=[label(text, 60) for text in texts],
        textposition="middle right",
        hoverinfo="skip",
        showlegend=False,
    )


def _story(layer: Mapping[str, Any]) -> str:
    """Return the hover text of a layer: its block and each of its settings."""
    settings = [f"{label(n)}: {label(number(v))}" for n, v in layer.items() if n != BLOCK]
    return "<br>".join([f"<b>{label(layer[BLOCK])}</b>", *settings])


# -- from parents to a child ----------------------------------------------------------------------


def structure_changes(study: Recorded, trial: int | None = None) -> go.Figure:
    """Draw the layers of a trial beside those of its parents, with what changed.

    Layers stand beside each other such that as little as possible changed: grey ones are the same,
    blue ones have other settings, yellow ones another block; green ones were inserted, red ones
    removed.

    Args:
        study: A study whose space has a chain, or what `prepare` made of it.
        trial: Number of the child; the best trial by default.

    Raises:
        NoResultError: The space has no chain, no trial is done, or this one has no parents, or
            neither it nor they have a layer.
        StudyError: There is no trial of this number.
    """
    data, child = _chosen(study, trial, "structure_changes")
    parents = shown_parents(data, child)
    require(data, bool(parents), "structure_changes", f"parents of trial {child.number}")
    rows = [_pairs(data, parent, child) for parent in parents]
    names = [_title(data, t) for parent in parents for t in (parent, child)]
    count = max(map(len, rows))
    require(data, count > 0, "structure_changes", f"layers in trial {child.number} or its parents")
    figure = make_subplots(1, len(parents), horizontal_spacing=0.08)
    drawn: set[str] = set()
    for column, pairs in enumerate(rows, start=1):
        for trace in _sides(pairs):
            trace.update(showlegend=trace.name not in drawn, legendgroup=trace.name)
            drawn.add(trace.name)
            figure.add_trace(trace, row=1, col=column)
        two = names[2 * column - 2 : 2 * column]
        figure.update_xaxes(tickvals=[0.5, 1.6], ticktext=two, **_ABOVE, row=1, col=column)
        figure.update_yaxes(**_lines(pairs, count), row=1, col=column)
    return finish(
        figure,
        height=_AROUND + 30 + _ROW * count,
        barmode="overlay",
        margin={"t": 76, "b": 20, "l": 90},
        legend={"y": 1 + 34 / (_ROW * count), "traceorder": "normal"},
    )


_ABOVE = {
    "side": "top",
    "range": [-0.05, 2.15],
    "showgrid": False,
    "fixedrange": True,
    "tickcolor": "rgba(0,0,0,0)",
}


def shown_parents(data: StudyData, child: Trial) -> list[Trial]:
    """Return the parents that are drawn beside a child; the donor where no others are known."""
    known = {trial.number: trial for trial in data.trials}
    origins = dict.fromkeys((*child.parents, *child.donors))
    found = [known[number] for number in origins if number in known]
    return found[:PARENTS_AT_MOST]


def _pairs(data: StudyData, parent: Trial, child: Trial) -> list[tuple[str, Pair]]:
    """Return the layers side by side, each with the name of its chain."""
    before, after = data.params(parent), data.params(child)
    return [
        (name, pair)
        for name in data.space.chains
        for pair in aligned(before.get(name, ()), after.get(name, ()))
    ]


def _title(data: StudyData, trial: Trial) -> str:
    score = data.score_of.get(trial.number)
    result = trial.state if score is None else f"{label(data.objective.metric, 16)} {number(score)}"
    return f"<b>trial {trial.number}</b><br>{result}"


def _sides(pairs: Sequence[tuple[str, Pair]]) -> Iterator[go.Bar]:
    """Yield the bars of each kind of change: the parent's layers on the left, the child's right."""
    for kind, colour in _KINDS.items():
        both = [
            (side, place, layer)
            for place, (_, pair) in enumerate(pairs)
            for side, layer in ((0.0, pair.before), (1.1, pair.after))
            if pair.kind == kind and layer is not None
        ]
        if both:
            yield _boxes(both, kind, colour)


def _boxes(both: Iterable[tuple[float, int, Mapping[str, Any]]], kind: str, colour: str) -> go.Bar:
    sides, places, layers = zip(*both, strict=True)
    return go.Bar(
        x=[1.0] * len(places),
        width=_THICK,
        y=places,
        base=sides,
        orientation="h",
        marker={"color": colour, "line": {"width": 0}},
        text=[label(layer_text(layer), 40) for layer in layers],
        textposition="inside",
        insidetextanchor="middle",
        textfont={"color": _INK},
        customdata=[_story(layer) for layer in layers],
        hovertemplate=f"%{{customdata}}<br>{kind}<extra></extra>",
        name=kind,
    )


def _lines(pairs: Sequence[tuple[str, Pair]], count: int) -> dict[str, Any]:
    """Return the layout of a y axis that names each chain at its first layer."""
    names = [name for name, _ in pairs]
    first = [k for k, name in enumerate(names) if k == 0 or names[k - 1] != name]
    return {
        "tickvals": first,
        "ticktext": [label(names[k], 16) for k in first],
        "range": [count - 0.4, -0.6],
        "showgrid": False,
        "fixedrange": True,
        "tickcolor": "rgba(0,0,0,0)",
    }
