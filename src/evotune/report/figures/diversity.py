"""How diverse the trials of each generation are."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from evotune.analysis.data import Recorded
from evotune.analysis.generations import BLOCKS
from evotune.analysis.text import label
from evotune.report.figures.marks import line_mode
from evotune.report.figures.theme import BLUE, finish, opened, require, require_genes


def diversity(study: Recorded) -> go.Figure:
    """Draw how diverse the trials of each generation are: a line in total, a heatmap by gene.

    100 % is as diverse as random sampling, 0 % means that all trials of a generation are alike; a
    row that fades shows a gene that has converged.

    Args:
        study: A study, or what `prepare` made of one.

    Raises:
        NoResultError: No trial is done, every gene has one value only, or there are no two
            generations, or blocks, of more than one trial.
    """
    data = opened(study, "diversity")
    require_genes(data, "diversity")
    compared = 2 <= len(np.unique(data.groups.of)) < len(data.trials)
    needed = "a second generation, of two trials or more"
    if not data.groups.are_generations:
        needed = f"more than {BLOCKS} trials"
    require(data, compared, "diversity", needed)
    result = data.diversity
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
