"""The figure of what each operator contributes."""

import math

import plotly.graph_objects as go

from evotune.analysis.credit import FEW, Credit, operator_credits
from evotune.analysis.data import Recorded
from evotune.analysis.text import label
from evotune.report.figures.theme import BLUE, GREY, finish, opened, require


def credit(study: Recorded) -> go.Figure:
    """Draw what each operator is worth: how much trials improved on the donors of their weights.

    Each row is one operator on the genes. Right of the dotted line its trials improved more than
    others that trained the same epochs; if an interval (95 %, of the median) crosses the line, it
    is no evidence of a difference. Grey points are based on too few trials.

    Args:
        study: A study whose trials inherit weights, or what `prepare` made of it.

    Raises:
        NoResultError: No trial that inherited weights is done.
    """
    data = opened(study, "credit")
    shown = [row for row in operator_credits(data) if not math.isnan(row.advantage)]
    require(
        data,
        data.inherits and bool(shown),
        "credit",
        "a trial that goes on from another one's weights",
    )
    names = [label(row.kind, 44) for row in shown]
    figure = go.Figure(
        go.Scatter(
            x=[row.advantage for row in shown],
            y=list(range(len(shown))),
            mode="markers",
            error_x={
                "array": [_reach(row.high - row.advantage) for row in shown],
                "arrayminus": [_reach(row.advantage - row.low) for row in shown],
                "thickness": 1.5,
                "color": GREY,
                "width": 4,
            },
            marker={"color": [GREY if row.trials < FEW else BLUE for row in shown], "size": 10},
            customdata=[_hover(row) for row in shown],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    figure.add_vline(x=0, line={"color": GREY, "width": 1, "dash": "dot"})
    # Names may leave the axis little room: its title ends where it ends, and begins before it.
    metric = label(data.objective.metric, 24)
    figure.add_annotation(
        text=f"gain in {metric}, compared with its generation",
        showarrow=False,
        xref="paper",
        yref="paper",
        x=1,
        xanchor="right",
        y=0,
        yshift=-44,
    )
    return finish(
        figure,
        height=124 + 30 * len(shown),
        margin={"t": 34, "b": 60},
        yaxis={
            "tickvals": list(range(len(shown))),
            "ticktext": names,
            "range": [len(shown) - 0.4, -0.6],
            "tickcolor": "rgba(0,0,0,0)",
        },
    )


def _reach(length: float) -> float:
    return 0.0 if math.isnan(length) else length


def _hover(row: Credit) -> str:
    few = ", too few to tell" if row.trials < FEW else ""
    return f"<b>{label(row.kind, 44)}</b><br>{row.trials} trials{few}<br>{gain_range(row)}"


def gain_range(row: Credit) -> str:
    """Return the advantage as text, with its interval if it has one."""
    if math.isnan(row.low):
        return f"{row.advantage:+.3g}"
    return f"{row.advantage:+.3g} ({row.low:+.3g} to {row.high:+.3g})"
