"""Structures over time, and how large networks are beside how good."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from evotune.analysis.data import Floats, Recorded, StudyData
from evotune.analysis.generations import quantiles
from evotune.analysis.scales import Scale
from evotune.analysis.text import label
from evotune.report.figures.marks import (
    LEVELS,
    POINTS_AT_MOST,
    band_traces,
    hover_texts,
    line_mode,
    symbols,
)
from evotune.report.figures.theme import ORANGE, block_colours, finish, opened, require
from evotune.space.chain import BLOCK, DEPTH
from evotune.trial import Trial

#: Metric that says how large a network is; `SupervisedTask` measures it.
PARAMETERS = "parameters"
_PANEL = 250  # pixels


@dataclass(frozen=True, slots=True)
class _Place:
    """A panel: its position in the grid, both from 1, and its index, from 0."""

    row: int
    col: int
    index: int


def structures_over_time(study: Recorded) -> go.Figure:
    """Draw how chains of layers changed: how deep they are, and which blocks they are made of.

    On the left, bands show the number of layers of the middle 80 % and 50 % of the trials of each
    generation, the blue line the median, the orange one the best trial so far. On the right, bars
    show the share of each block among all layers of the trials of a generation.

    Args:
        study: A study whose space has a chain, or what `prepare` made of it.

    Raises:
        NoResultError: No trial is done, or no chain of the space varies in depth or blocks.
    """
    data = opened(study, "structures_over_time")
    panels = list(_panels(data))
    needed = "a space with a chain of layers, et.Chain, that may vary in depth or blocks"
    require(data, bool(panels), "structures_over_time", needed)
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    height = 70 + _PANEL * rows
    titles = [f"{label(name)}: {what}" for name, what in panels]
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=titles,
        horizontal_spacing=0.08,
        vertical_spacing=min(0.3, 110 / height),
    )
    for index, (name, what) in enumerate(panels):
        place = _Place(index // columns + 1, index % columns + 1, index)
        draw = _draw_depth if what == "layers" else _draw_blocks
        draw(figure, place, data, name)
    figure.update_xaxes(title=data.groups.name, **data.groups.axis())
    for title in figure.layout.annotations[: len(panels)]:
        title.update(font={"size": 12}, text=f"<b>{title.text}</b>", yshift=18)
    return finish(figure, height=height, barmode="stack", bargap=0.04, margin={"t": 60})


def _panels(data: StudyData) -> Iterator[tuple[str, str]]:
    for name, chain in data.space.chains.items():
        if chain.max > chain.min:
            yield name, "layers"
        if len(chain.blocks) > 1:
            yield name, "blocks"


def _draw_depth(figure: go.Figure, place: _Place, data: StudyData, name: str) -> None:
    gene, chain = f"{name}.{DEPTH}", data.space.chains[name]
    x, bands = quantiles(data.groups.of, _depths(data.trials, gene), LEVELS)
    groups, best = data.best_by_group
    line = go.Scatter(
        x=groups,
        y=_depths([data.done[k] for k in best], gene),
        mode=line_mode(len(groups)),
        line={"color": ORANGE, "width": 2, "shape": "hv"},
        marker={"size": 4},
        name="best so far",
        showlegend=False,
        hovertemplate="best so far: %{y} layers<extra></extra>",
    )
    for trace in (*band_traces(x, bands, legend=False), line):
        figure.add_trace(trace, row=place.row, col=place.col)
    step = math.ceil((chain.max - chain.min) / 6)  # whole numbers only
    axis = Scale(chain.min, chain.max).axis(0.06) | {"dtick": step, "tick0": chain.min}
    figure.update_yaxes(row=place.row, col=place.col, **axis)


def _depths(trials: Any, gene: str) -> Floats:
    return np.array([trial.params.get(gene, np.nan) for trial in trials], dtype=float)


def _draw_blocks(figure: go.Figure, place: _Place, data: StudyData, name: str) -> None:
    shares = block_shares(data, name)
    x = np.unique(data.groups.of)
    legend = f"legend{place.index + 2}"
    colours = block_colours(data.space)
    for block, share in shares.items():
        bars = go.Bar(
            x=x,
            y=100 * share,
            name=label(block),
            legend=legend,
            marker={"color": colours[block], "line": {"width": 0}},
            hovertemplate=f"{label(block)}: %{{y:.0f}} % of the layers<extra></extra>",
        )
        figure.add_trace(bars, row=place.row, col=place.col)
    figure.update_yaxes(range=[0, 100], ticksuffix=" %", row=place.row, col=place.col)
    axis = "" if place.index == 0 else str(place.index + 1)
    figure.layout[legend] = {
        "x": figure.layout[f"xaxis{axis}"].domain[0],
        "y": figure.layout[f"yaxis{axis}"].domain[1],
        "yanchor": "bottom",
        "orientation": "h",
        "font": {"size": 11},
        "itemwidth": 30,
        "traceorder": "normal",
    }


def block_shares(data: StudyData, name: str) -> dict[str, Floats]:
    """Return the share of each block among the layers of a chain, ``(generations,)``; 0 of none."""
    groups = np.unique(data.groups.of)
    counts = {block: np.zeros(len(groups)) for block in data.space.chains[name].blocks}
    for trial, group in zip(data.trials, np.searchsorted(groups, data.groups.of), strict=True):
        for layer in data.params(trial).get(name, ()):
            counts[layer[BLOCK]][group] += 1
    every = np.maximum(sum(counts.values()), 1)
    return {block: count / every for block, count in counts.items()}


# -- how large they are ---------------------------------------------------------------------------


def sizes(study: Recorded) -> go.Figure:
    """Draw the first objective against the number of parameters of each network.

    Each point is a trial: the more layers it has, the stronger its colour; the star is the best
    one, hollow points break a constraint.

    Args:
        study: A study whose space has a chain and whose trials have the metric ``parameters``, as
            those of `SupervisedTask` have, or what `prepare` made of it.

    Raises:
        NoResultError: The space has no chain, or fewer than two numbers of parameters are known.
    """
    data = opened(study, "sizes").comparable
    require(data, bool(data.space.chains), "sizes", "a space with a chain of layers, et.Chain")
    shown = np.array([k for k in data.thinned(POINTS_AT_MOST) if _size(data.done[k]) > 0], np.intp)
    parameters = np.array([_size(data.done[k]) for k in shown])
    various = len(np.unique(parameters)) > 1
    require(data, various, "sizes", f"trials with a metric {PARAMETERS!r} that differs")
    least, most = parameters.min(), parameters.max()
    scale = Scale(least, most, bool(most > 8 * least), whole=True)
    best = data.ranking[:1]
    return finish(
        go.Figure([_points(data, shown, parameters), _star(data, best)]),
        height=400,
        hovermode="closest",
        xaxis={"title": {"text": "parameters"}, **scale.axis(0.05)},
        yaxis={
            "title": {"text": label(data.objective.metric, 60)},
            **data.score_scale[0].axis(0.05),
        },
        coloraxis={
            "colorbar": {"title": {"text": "layers", "side": "right"}, "tickformat": ",d"},
        },
    )


def _size(trial: Trial) -> float:
    size = trial.metrics.get(PARAMETERS, np.nan)
    return float(size) if np.isfinite(size) else np.nan


def _points(data: StudyData, shown: Any, parameters: Floats) -> go.Scatter:
    return go.Scatter(
        x=parameters,
        y=data.first_scores[shown],
        mode="markers",
        marker={
            "color": [_layers(data, data.done[k]) for k in shown],
            "coloraxis": "coloraxis",
            "size": 7,
            "symbol": symbols(data, shown),
        },
        customdata=hover_texts(data, shown),
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )


def _layers(data: StudyData, trial: Trial) -> int:
    return sum(int(trial.params.get(f"{name}.{DEPTH}", 0)) for name in data.space.chains)


def _star(data: StudyData, best: Any) -> go.Scatter:
    return go.Scatter(
        x=[_size(data.done[k]) for k in best],
        y=data.first_scores[best],
        mode="markers",
        marker={
            "color": ORANGE,
            "symbol": "star",
            "size": 14,
            "line": {"width": 1, "color": "white"},
        },
        customdata=hover_texts(data, best),
        hovertemplate="%{customdata}<extra></extra>",
        name="best",
    )
