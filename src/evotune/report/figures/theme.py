"""What all figures share: colours safe for colour-blind readers, templates, and checks."""

from functools import cache
from typing import Any

import plotly.graph_objects as go

from evotune.analysis.data import Recorded, StudyData, prepare
from evotune.analysis.scales import varied_genes
from evotune.errors import NoResultError
from evotune.space import Space

BLUE = "#3b7dc9"
ORANGE = "#e8830c"
PURPLE = "#a8447f"
GREY = "#8a94a3"
#: Trials that were stopped early.
TEAL = "#2aa6a0"

#: For genes without an order: Paul Tol's bright scheme, less the orange that marks the best.
CATEGORIES = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#9aa3af")

#: Top part of the colours of parallel coordinates, which only the best trial has.
BEST_SHARE = 0.03

FONT = 'Inter, "Segoe UI", system-ui, -apple-system, "Helvetica Neue", Arial, sans-serif'

_LIGHT = {
    "text": "#3d4653",
    "grid": "#e9edf2",
    "line": "#c4ccd6",
    "hover": "#ffffff",
    "scale": ("#dde3ea", "#a5c4e8", "#4a89d0", "#0c3c80"),
}
_DARK = {
    "text": "#c3ccd8",
    "grid": "#2a313b",
    "line": "#475161",
    "hover": "#1f2630",
    "scale": ("#333c48", "#37598a", "#4f94e0", "#d5e8ff"),
}


@cache  # figures copy it
def template(*, dark: bool = False) -> go.layout.Template:
    """Return the look of every figure.

    Strong means good: the colour scale runs from a tone near the page's own to a strong one.
    """
    tone: dict[str, Any] = _DARK if dark else _LIGHT
    scale = [[k / 3, colour] for k, colour in enumerate(tone["scale"])]
    axis = {
        "gridcolor": tone["grid"],
        "linecolor": tone["line"],
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": tone["line"],
        "ticklen": 4,
        "automargin": True,
        "exponentformat": "power",
        "minexponent": 5,
        "title": {"standoff": 8, "font": {"size": 12}},
        "tickfont": {"size": 11},
    }
    bar = {"outlinewidth": 0, "thickness": 10, "tickfont": {"size": 11}, "ticks": ""}
    layout = {
        "font": {"family": FONT, "size": 12, "color": tone["text"]},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": axis,
        "yaxis": axis,
        "colorway": [BLUE, *CATEGORIES[1:]],
        "coloraxis": {"colorscale": scale, "colorbar": bar},
        "hoverlabel": {
            "bgcolor": tone["hover"],
            "bordercolor": tone["line"],
            "font": {"color": tone["text"], "size": 12, "family": FONT},
            "align": "left",
        },
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": tone["line"], "activecolor": BLUE},
        "margin": {"l": 60, "r": 24, "t": 40, "b": 50},
    }
    marked = [[share * (1 - BEST_SHARE), colour] for share, colour in scale]
    marked += [[1 - BEST_SHARE / 2, ORANGE], [1.0, ORANGE]]
    lines = [{"line": {"colorscale": marked, "colorbar": bar}}]
    return go.layout.Template(layout=layout, data={"parcoords": lines})


def finish(figure: go.Figure, *, height: int, **layout: Any) -> go.Figure:
    """Give a figure its height in pixels, the light template and further layout."""
    return figure.update_layout(template=template(), height=height, **layout)


def block_colours(space: Space) -> dict[str, str]:
    """Return the colour of each block, the same in all figures."""
    blocks = dict.fromkeys(block for chain in space.chains.values() for block in chain.blocks)
    return {block: CATEGORIES[k % len(CATEGORIES)] for k, block in enumerate(blocks)}


def faded(colour: str, opacity: float) -> str:
    """Return a colour such as ``#3b7dc9`` with an opacity."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def opened(study: Recorded, figure: str) -> StudyData:
    """Return the prepared record of a study that has something to draw.

    Args:
        study: A study, or what `prepare` made of one.
        figure: Name of the figure, for the message.

    Raises:
        NoResultError: No trial is done.
    """
    data = prepare(study)
    require(data, bool(data.done), figure, "a trial that is done")
    return data


def require(data: StudyData, has: bool, figure: str, needed: str) -> None:
    """Check that a study has what a figure needs.

    Raises:
        NoResultError: ``has`` is False.
    """
    if not has:
        name = data.definition.name
        raise NoResultError(
            f"et.plot.{figure} has nothing to show of study {name!r}: it needs {needed}"
        )


def require_genes(data: StudyData, figure: str) -> None:
    """Check that a gene was varied.

    Raises:
        NoResultError: Every gene has one value only.
    """
    varied = bool(varied_genes(data.space))
    require(data, varied, figure, "a gene with more than one value")
