"""The first objective over two genes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from evotune.analysis.data import Floats, Indices, Recorded, StudyData
from evotune.analysis.scales import Scale, gene_scale, gene_values, varied_genes
from evotune.analysis.text import label
from evotune.errors import StudyError
from evotune.report.figures.marks import POINTS_AT_MOST, hover_texts, symbols
from evotune.report.figures.theme import GREY, ORANGE, finish, opened, require

#: Each drawn trial is an element of the page; the surface is of more of them.
DOTS_AT_MOST = 500
_CELLS = 48
#: Where even the nearest trial is farther away than this, nothing is drawn; each axis is 1 long.
REACH = 0.1
#: How far an option reaches to both sides of its place on the axis.
_HALF = 0.42


def contour(study: Recorded, genes: Sequence[str] | None = None) -> go.Figure:
    """Draw the first objective over two genes: where in their plane good trials lie.

    The surface is the mean of the trials near each point, weighted by a Gaussian of their distance
    (Nadaraya, 1964; Watson, 1964), whatever their other genes are; it is blank where none is within
    a tenth of the length of the axes. Each point is a trial, the star the best one. If trials
    inherit weights, each is ranked among those that end after the same number of epochs.

    Args:
        study: A study, or what `prepare` made of one.
        genes: Names of two genes, such as ``("lr", "momentum")``; by default the two most important
            ones. A gene inside a chain of layers is named as in ``study.importance()``.

    Raises:
        NoResultError: No trial is done, there are no two genes with more than one value, or they
            are not active together in any three trials.
        StudyError: ``genes`` are no two genes of the space.
    """
    data = opened(study, "contour").comparable
    known = varied_genes(data.space)
    require(data, len(known) > 1, "contour", "two genes with more than one value")
    names = _most_important(data) if genes is None else _checked(genes, known)
    scales = [gene_scale(data.space[name]) for name in names]
    places = np.stack([_places(data, name) for name in names], axis=1)
    together = np.flatnonzero(~np.isnan(places).any(axis=1))
    require(
        data,
        len(together) > 2,
        "contour",
        f"three trials in which both {names[0]!r} and {names[1]!r} are active; give two others: "
        "et.plot.contour(study, genes=(...))",
    )
    shown = np.intersect1d(data.thinned(POINTS_AT_MOST), together)
    shown = shown if len(shown) > 2 else together[:POINTS_AT_MOST]
    figure = go.Figure([_surface(data, shown, places[shown], scales)])
    dots = np.intersect1d(data.thinned(DOTS_AT_MOST), shown)
    figure.add_trace(_dots(data, dots, places[dots]))
    best = data.ranking[:1]
    if not np.isnan(places[best]).any():
        figure.add_trace(_star(data, best, places[best]))
    x, y = (scale.axis(0.02) | {"title": {"text": label(n, 60)}, "showgrid": False}
            for scale, n in zip(scales, names, strict=True))  # fmt: skip
    bar = {"title": {"text": label(data.objective.metric, 40), "side": "right"}}
    return finish(
        figure,
        height=460,
        hovermode="closest",
        xaxis=x,
        yaxis=y,
        coloraxis={"colorbar": bar, "reversescale": data.objective.direction == "min"},
    )


def _most_important(data: StudyData) -> list[str]:
    kept = data.importance.genes
    always = [gene for gene in kept if gene not in data.space.conditional]
    return (always if len(always) > 1 else kept)[:2]


def _checked(genes: Sequence[str], known: Sequence[str]) -> list[str]:
    given = [] if isinstance(genes, str) else list(genes)
    if len(given) == 2 and len(set(map(str, given))) == 2 and all(g in known for g in given):
        return given
    choice = ", ".join(map(repr, known[:20]))
    raise StudyError(
        f"et.plot.contour draws two different genes that have more than one value, got {genes!r}; "
        f"write et.plot.contour(study, genes=({known[0]!r}, {known[1]!r})). There are: {choice}"
    )


def _places(data: StudyData, gene: str) -> Floats:
    return gene_values(data.space[gene], data.done, gene)


def _units(scale: Scale, values: Floats) -> Floats:
    low, high = scale.ends()
    return (scale.position(values) - low) / ((high - low) or 1.0)


def _cells(scale: Scale) -> tuple[Floats, Floats]:
    """Return where the surface is drawn along an axis, and of which values it is drawn there."""
    if scale.labels:  # an option is as wide as a bar, and the same all over
        middles = np.repeat(np.arange(len(scale.labels), dtype=float), 2)
        return middles + np.tile([-_HALF, _HALF], len(scale.labels)), middles
    low, high = scale.ends()
    line = np.linspace(low, high, _CELLS)
    drawn = np.clip(10.0**line, scale.low, scale.high) if scale.log else line
    return drawn, drawn


def _surface(data: StudyData, shown: Indices, at: Floats, scales: Sequence[Scale]) -> go.Contour:
    (x, columns), (y, rows) = map(_cells, scales)
    # Scott's rule for two dimensions, no narrower than the cells.
    width = max(0.35 * len(shown) ** (-1 / 6), 1.5 / _CELLS)
    near, squares = [], []
    for scale, values, cells in zip(scales, at.T, (columns, rows), strict=True):
        apart = _units(scale, cells)[:, None] - _units(scale, values)
        if scale.labels:
            apart = np.where(cells[:, None] == values, 0.0, np.inf)
        near.append(np.exp(-0.5 * (apart / width) ** 2))
        squares.append(apart**2)
    scale, _ = data.score_scale
    scores = np.clip(data.first_scores[shown], scale.low, scale.high)
    middle = scale.low / 2 + scale.high / 2
    weights = near[1] @ near[0].T
    nearest = np.min(squares[1][:, None, :] + squares[0][None, :, :], axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = middle + (near[1] * (scores - middle)) @ near[0].T / weights
    z = np.where(nearest <= REACH**2, mean, np.nan)
    return go.Contour(
        x=x,
        y=y,
        z=z,
        coloraxis="coloraxis",
        ncontours=12,
        contours={"coloring": "heatmap"},
        line={"width": 0.5, "color": GREY},
        connectgaps=False,
        hoverinfo="skip",
    )


def _dots(data: StudyData, shown: Indices, at: Floats) -> go.Scatter:
    marker = {"color": GREY, "size": 5, "symbol": symbols(data, shown)}
    return _points(data, shown, at, "one trial", marker)


def _star(data: StudyData, best: Indices, at: Floats) -> go.Scatter:
    edge = {"width": 1, "color": "white"}
    return _points(
        data, best, at, "best", {"color": ORANGE, "symbol": "star", "size": 14, "line": edge}
    )


def _points(
    data: StudyData, shown: Indices, at: Floats, name: str, marker: dict[str, Any]
) -> go.Scatter:
    return go.Scatter(
        x=at[:, 0],
        y=at[:, 1],
        mode="markers",
        marker=marker,
        customdata=hover_texts(data, shown),
        hovertemplate="%{customdata}<extra></extra>",
        name=name,
    )
