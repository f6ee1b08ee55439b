"""When each trial ran, side by side where several ran at once."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from evotune.analysis.data import Recorded, prepare
from evotune.analysis.text import duration, label
from evotune.printing import number
from evotune.report.figures.theme import BLUE, GREY, PURPLE, TEAL, finish, require
from evotune.trial import Trial

#: Each bar is an element of the page.
BARS_AT_MOST = 1000
#: A pause is drawn no longer than this share of the time in which something ran.
PAUSE = 0.03
_COLOURS = {"done": BLUE, "stopped": TEAL, "failed": PURPLE, "running": GREY}
_UNITS = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"), (0.0, "seconds"))


@dataclass(frozen=True, slots=True)
class _Bar:
    """A trial that ran: when, and in which row; seconds since the first one, pauses cut short."""

    trial: Trial
    start: float
    seconds: float
    row: int


def timeline(study: Recorded) -> go.Figure:
    """Draw when each trial ran: a bar from its start to its end, one row for each that ran at once.

    There are as many rows as trials were running at the same time, so gaps between bars show where
    workers had nothing to do. A time in which nothing ran, as between two runs of a study, is cut
    short and marked by a dotted line. A trial that is still running ends at the last event that
    was recorded.

    Args:
        study: A study, or what `prepare` made of one; the last 1000 of its trials are drawn.

    Raises:
        NoResultError: No trial has a recorded start.
    """
    data = prepare(study)
    begun = [t for t in data.trials if t.started is not None and t.state in _COLOURS]
    require(data, bool(begun), "timeline", "a trial that has started")
    bars, cuts = _arranged(begun[-BARS_AT_MOST:])
    end = max(bar.start + bar.seconds for bar in bars)
    unit, name = next((u, n) for u, n in _UNITS if end > 2 * u)
    unit = unit or 1.0
    figure = go.Figure()
    for state, colour in _COLOURS.items():
        of_it = [bar for bar in bars if bar.trial.state == state]
        if of_it:
            figure.add_trace(_bars(data.objective.metric, of_it, state, colour, unit))
    rows = 1 + max(bar.row for bar in bars)
    left = len(begun) - len(bars)
    since = f" since trial {bars[0].trial.number} started" if left else ""
    return finish(
        figure,
        height=130 + min(24 * rows, 520),
        barmode="overlay",
        bargap=0.15,
        hovermode="closest",
        shapes=[_cut(cut / unit) for cut in cuts],
        xaxis={
            "title": {"text": f"{name}{since}"},
            "range": [-0.01 * end / unit, 1.01 * end / unit],
        },
        yaxis={
            "title": {"text": "trials at once"},
            "range": [rows - 0.5, -0.5],
            "tickvals": list(range(0, rows, max(1, rows // 8))),
            "ticktext": [str(row + 1) for row in range(0, rows, max(1, rows // 8))],
            "showgrid": False,
        },
    )


def _arranged(trials: Sequence[Trial]) -> tuple[list[_Bar], list[float]]:
    """Return the bars, and where time was cut short."""
    order = sorted(trials, key=lambda t: (_start(t), t.number))
    last = max(max(_start(t), _start(t) if t.ended is None else t.ended) for t in order)
    spans = [(_start(t), max(_start(t), last if t.ended is None else t.ended)) for t in order]
    pause = PAUSE * _busy(spans)
    bars: list[_Bar] = []
    cuts: list[float] = []
    free: list[int] = []  # rows
    taken: list[tuple[float, int]] = []  # (end, row)
    shift, reached = spans[0][0], spans[0][0]
    for trial, (start, end) in zip(order, spans, strict=True):
        if start - reached > pause > 0:
            cuts.append(reached + pause / 2 - shift)
            shift += start - reached - pause
        reached = max(reached, end)
        while taken and taken[0][0] <= start:
            heapq.heappush(free, heapq.heappop(taken)[1])
        row = heapq.heappop(free) if free else len(taken)
        heapq.heappush(taken, (end, row))
        bars.append(_Bar(trial, start - shift, end - start, row))
    return bars, cuts


def _start(trial: Trial) -> float:
    return trial.started or 0.0


def _busy(spans: Sequence[tuple[float, float]]) -> float:
    """Return the seconds in which something ran; spans are in the order of their starts."""
    total, reached = 0.0, -math.inf
    for start, end in spans:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _bars(metric: str, bars: Sequence[_Bar], state: str, colour: str, unit: float) -> go.Bar:
    return go.Bar(
        orientation="h",
        y=[bar.row for bar in bars],
        base=[bar.start / unit for bar in bars],
        x=[bar.seconds / unit for bar in bars],
        name=state,
        marker={"color": colour, "line": {"width": 0}},
        customdata=[_hover(metric, bar) for bar in bars],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _cut(x: float) -> go.layout.Shape:
    """Return a dotted line from bottom to top; `add_vline` is quadratic in their number."""
    look = {"type": "line", "line": {"color": GREY, "width": 1, "dash": "dot"}}
    return go.layout.Shape(look, x0=x, x1=x, xref="x", y0=0, y1=1, yref="y domain")


def _hover(metric: str, bar: _Bar) -> str:
    trial = bar.trial
    lines = [f"<b>trial {trial.number}</b>, {trial.state}, {duration(bar.seconds)}"]
    if metric in trial.metrics:
        lines.append(f"{label(metric)} = {number(trial.metrics[metric])}")
    if trial.budget is not None:
        lines.append(f"budget {trial.budget:g}")
    if trial.failure is not None:
        lines.append(label(trial.failure.message, 80))
    return "<br>".join(lines)
