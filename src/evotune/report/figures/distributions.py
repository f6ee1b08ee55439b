"""What happens to the genes over time: their distributions, and how diverse they stay."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from evotune.analysis.data import Floats, StudyData
from evotune.analysis.diversity import diversity
from evotune.analysis.generations import quantiles
from evotune.analysis.scales import gene_scale, gene_values, is_listed
from evotune.analysis.text import label
from evotune.report.figures.progress import LEVELS, band_traces, line_mode
from evotune.report.figures.theme import BLUE, CATEGORIES, ORANGE, Panel, finish, grid
from evotune.space import Domain

#: Of more options than this the last share one colour.
OPTIONS_AT_MOST = len(CATEGORIES)
_WIDTH = 1000  # pixels of all panels side by side
_OTHERS, _DORMANT = "#9aa3af", "rgba(138,148,163,0.25)"


def distributions(data: StudyData) -> go.Figure:
    """Return how the values of each gene are spread in each generation."""
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
    groups, places = data.best_by_group()
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


def diversity_over_time(data: StudyData) -> go.Figure:
    """Return the diversity of each generation: in total as a line, per gene as a heat map."""
    result = diversity(data.space, data.trials, data.groups.of)
    rows = 22 * len(result.genes) + 20
    figure = make_subplots(
        2,
        1,
        shared_xaxes=True,
        vertical_spacing=30 / (rows + 200),
        row_heights=[170 / (rows + 170), rows / (rows + 170)],
    )
    total = go.Scatter(
        x=result.groups,
        y=100 * result.total,
        mode=line_mode(len(result.groups)),
        line={"color": BLUE, "width": 3},
        fill="tozeroy",
        fillcolor="rgba(59,125,201,0.12)",
        hovertemplate="all genes: %{y:.0f} %<extra></extra>",
        showlegend=False,
    )
    heat = go.Heatmap(
        x=result.groups,
        y=list(range(len(result.genes))),
        z=100 * result.per_gene,
        coloraxis="coloraxis",
        customdata=[[label(name)] * len(result.groups) for name in result.genes],
        hovertemplate="%{customdata}: %{z:.0f} %<extra></extra>",
        hoverongaps=False,
        xgap=1,
        ygap=2,
    )
    figure.add_trace(total, row=1, col=1)
    figure.add_trace(heat, row=2, col=1)
    figure.update_yaxes(row=1, col=1, rangemode="tozero", ticksuffix=" %", title_text="all genes")
    figure.update_yaxes(
        row=2,
        col=1,
        tickvals=list(range(len(result.genes))),
        ticktext=[label(name) for name in result.genes],
        autorange="reversed",
        showgrid=False,
        tickcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(
        row=2, col=1, title_text=data.groups.name, showgrid=False, **data.groups.axis()
    )
    bar = {"ticksuffix": " %", "len": figure.layout.yaxis2.domain[1], "y": 0, "yanchor": "bottom"}
    colour = {"cmin": 0, "cmax": 100, "colorbar": bar}
    return finish(figure, height=rows + 270, coloraxis=colour, margin={"t": 20})
