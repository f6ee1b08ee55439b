"""Where the search went: the values of each gene over time."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from evotune.analysis.data import Floats, Recorded, StudyData
from evotune.analysis.generations import quantiles
from evotune.analysis.scales import gene_scale, gene_values, is_listed
from evotune.report.figures.marks import LEVELS, band_traces, line_mode
from evotune.report.figures.panels import Panel, grid
from evotune.report.figures.theme import CATEGORIES, ORANGE, finish, opened, require_genes
from evotune.space import Domain

#: Of more options than this the last share one colour.
OPTIONS_AT_MOST = len(CATEGORIES)
_WIDTH = 1000  # pixels of all panels side by side
_OTHERS, _DORMANT = "#9aa3af", "rgba(138,148,163,0.25)"


def distributions(study: Recorded) -> go.Figure:
    """Draw the distribution of each gene's values in each generation, one panel per gene.

    For numbers, bands show the middle 80 % and 50 % of the values, the blue line their median and
    the orange one the best trial so far. For options, bars show the share of each.

    Args:
        study: A study, or what `prepare` made of one.

    Raises:
        NoResultError: No trial is done, or every gene has one value only.
    """
    data = opened(study, "distributions")
    require_genes(data, "distributions")
    figure, panels, height = grid(data)
    for panel in panels:
        if is_listed(data.space[panel.gene]):
            _draw_shares(figure, panel, data)
        else:
            _draw_bands(figure, panel, data)
        panel.axes(figure)[0].update(title=data.groups.name, **data.groups.axis())
    return finish(figure, height=height, barmode="stack", bargap=0.04, margin={"t": 56})


def _draw_bands(figure: go.Figure, panel: Panel, data: StudyData) -> None:
    domain = data.space[panel.gene]
    values = gene_values(domain, data.trials, panel.gene)
    x, bands = quantiles(data.groups.of, values, LEVELS)
    panel.add(figure, *band_traces(x, bands, legend=False), _best(data, panel.gene))
    panel.axes(figure)[1].update(gene_scale(domain).axis())


def _best(data: StudyData, gene: str) -> go.Scatter:
    """Return the gene's value in the best trial so far, at the end of each generation."""
    groups, places = data.best_by_group
    best = [data.done[k] for k in places]
    return go.Scatter(
        x=groups,
        y=gene_values(data.space[gene], best, gene),
        mode=line_mode(len(groups)),
        line={"color": ORANGE, "width": 2, "shape": "hv"},
        marker={"size": 4},
        name="best so far",
        showlegend=False,
        hovertemplate="best so far: %{y:.4g}<extra></extra>",
    )


def _draw_shares(figure: go.Figure, panel: Panel, data: StudyData) -> None:
    domain = data.space[panel.gene]
    values = gene_values(domain, data.trials, panel.gene)
    x = np.unique(data.groups.of)
    sizes = np.array([np.sum(data.groups.of == name) for name in x])
    legend = f"legend{panel.index + 2}"
    room = figure.layout.xaxis.domain[1] * _WIDTH
    for name, colour, chosen in _options(domain, values):
        room -= 34 + 7 * len(name)
        counts = np.array([np.sum(chosen[data.groups.of == name]) for name in x])
        bars = go.Bar(
            x=x,
            y=100 * counts / sizes,
            name=name,
            legend=legend,
            showlegend=room > 0,  # the mouse names the others
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"{name}: %{{y:.0f}} %<extra></extra>",
        )
        panel.add(figure, bars)
    x_axis, y_axis = panel.axes(figure)
    figure.layout.annotations[panel.index].update(yshift=20)  # room for the legend
    y_axis.update(range=[0, 100], ticksuffix=" %")
    figure.layout[legend] = {
        "x": x_axis.domain[0],
        "y": y_axis.domain[1],
        "yanchor": "bottom",
        "orientation": "h",
        "font": {"size": 11},
        "itemwidth": 30,
        "traceorder": "normal",
    }


def _options(domain: Domain, values: Floats) -> list[tuple[str, str, Any]]:
    """Return (label, colour, which trials have it) of what the bars of a gene are made of."""
    texts = gene_scale(domain).labels
    if domain.ordered and len(texts) > 1:
        shades = [[0.0, "#c3d8f1"], [0.5, "#3b7dc9"], [1.0, "#123a70"]]
        colours = sample_colorscale(shades, len(texts))
    else:
        colours = list(CATEGORIES)
    many = len(texts) > OPTIONS_AT_MOST and not domain.ordered
    kept = OPTIONS_AT_MOST - 1 if many else len(texts)
    options = [(texts[k], colours[k], values == k) for k in range(kept)]
    if kept < len(texts):
        options.append(("others", _OTHERS, values >= kept))
    if np.isnan(values).any():
        options.append(("–", _DORMANT, np.isnan(values)))
    return options
