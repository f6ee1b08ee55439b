"""Parallel coordinates: each trial is a line through its genes and objectives."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from evotune.analysis.data import Floats, Recorded, StudyData
from evotune.analysis.scales import Scale, gene_scale, gene_values, score_scale
from evotune.analysis.text import label
from evotune.report.figures.panels import panel_genes
from evotune.report.figures.theme import BEST_SHARE, finish, opened, require_genes
from evotune.trial import Trial

AXES_AT_MOST = 11
TRIALS_AT_MOST = 1500
_ABREAST = np.linspace(-0.004, 0.004, 5)
_WIDTH = 1000  # pixels that names have side by side
_INVISIBLE = {"color": "rgba(0,0,0,0)", "size": 1}


def parallel(study: Recorded) -> go.Figure:
    """Draw each trial as a line through its genes and objectives, to see which combinations work.

    The stronger its colour, the better the trial; the best is orange. A line at "–" means that the
    gene is not active in that trial. Drag along an axis to keep only the lines through that range,
    drag an axis by its name to move it. If trials inherit weights, each is ranked among those that
    end after the same number of epochs.

    Args:
        study: A study, or what `prepare` made of one.

    Raises:
        NoResultError: No trial is done, or every gene has one value only.
    """
    data = opened(study, "parallel").comparable
    require_genes(data, "parallel")
    shown = data.thinned(TRIALS_AT_MOST)
    # All lines have the same width: the best trial looks wider as it is drawn several times.
    shown = np.append(shown, np.repeat(data.ranking[:1], len(_ABREAST)))
    offsets = np.append(np.zeros(len(shown) - len(_ABREAST)), _ABREAST)
    trials = [data.done[k] for k in shown]
    genes = panel_genes(data, AXES_AT_MOST)
    axes = [_gene_axis(data, name, trials) for name in genes]
    for k, objective in enumerate(data.objectives.objectives):
        scale, _ = score_scale(data.scores[:, k], objective.direction)
        name = f"<b>{label(objective.metric, 20)}</b>"
        axes.append(_axis(name, scale, scale.position(data.scores[shown, k])))
    for axis in axes:
        low, high = axis["range"]
        axis["values"] = axis["values"] + offsets * (high - low)
    lines = go.Parcoords(
        dimensions=axes,
        labelangle=-20 if max(map(len, genes)) * 8 * len(axes) > _WIDTH else 0,
        rangefont=_INVISIBLE,  # the ticks show the range already
        tickfont={"size": 11},
        labelfont={"size": 13},
        unselected={"line": {"opacity": 0.05}},
        line=_line(data, data.first_scores[shown]),
    )
    return finish(go.Figure(lines), height=460, margin={"l": 90, "r": 30, "t": 90, "b": 30})


def _line(data: StudyData, scores: Floats) -> dict[str, Any]:
    scale, _ = data.score_scale
    sign = data.objective.score(1.0) * -1.0  # high colours lie on top: they must be the good ones
    low, high = sorted(sign * end for end in scale.ends())
    top = low + (high - low) / (1 - BEST_SHARE)
    colours = sign * scale.position(scores)
    colours[-len(_ABREAST) :] = top
    ticks, texts = scale.ticks()
    return {
        "color": colours,
        "cmin": low,
        "cmax": top,
        "showscale": True,
        "colorbar": {"tickvals": sign * scale.position(np.array(ticks)), "ticktext": texts},
    }


def _gene_axis(data: StudyData, name: str, trials: Sequence[Trial]) -> dict[str, Any]:
    scale = gene_scale(data.space[name])
    positions = scale.position(gene_values(data.space[name], trials, name))
    if scale.labels:  # lines through one option fan out a little, so that they can be told apart
        positions = positions + np.random.default_rng(0).uniform(-0.1, 0.1, len(positions))
    return _axis(label(name, 20), scale, positions)


def _axis(name: str, scale: Scale, positions: Floats) -> dict[str, Any]:
    """Return one axis; trials in which the gene is not active get a level of their own."""
    low, high = scale.ends()
    width = (high - low) or 1.0
    ticks, texts = scale.ticks()
    places = list(scale.position(np.array(ticks)))
    missing = np.isnan(positions)
    if missing.any():
        low -= 0.18 * width
        positions = np.where(missing, low, positions)
        places, texts = [low, *places], ["–", *texts]
    return {
        "label": name,
        "values": positions,
        "range": [low - 0.02 * width, high + 0.02 * width],
        "tickvals": places,
        "ticktext": texts,
    }
