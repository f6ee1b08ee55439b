"""Whether evolution helped: a search beside random search at equal epochs, run by run."""

from collections.abc import Iterator

import plotly.graph_objects as go

from evotune.analysis.comparison import Comparison
from evotune.analysis.text import label, number
from evotune.report.figures.theme import BLUE, GREY, ORANGE, Section, finish
from evotune.report.markup import escape, table


def versus(comparison: Comparison | None) -> Iterator[Section]:
    """Yield the section of a comparison, if there is one with two runs or more of each arm."""
    if comparison is None or len(comparison.arms) < 2 or _runs(comparison) < 2:
        return
    verdicts = " ".join(verdicts_of(comparison))
    paired = "; lines join the runs that had the same seed" if comparison.are_paired else ""
    yield Section(
        "comparison",
        "Whether evolution helped",
        f"{verdicts} Each point is the best result of one run{paired}.",
        dots(comparison),
        table=_table(comparison),
    )


def verdicts_of(comparison: Comparison | None) -> list[str]:
    """Return what the numbers allow to say of the first arm beside each other one."""
    if comparison is None or _runs(comparison) < 2:
        return []
    verdicts = [comparison.verdict(other) for other in list(comparison.arms)[1:]]
    return [verdict[0].upper() + verdict[1:] for verdict in verdicts]


def dots(comparison: Comparison) -> go.Figure:
    """Return a dot for each run, by arm; paired runs joined by a line."""
    arms = list(comparison.arms.items())
    figure = go.Figure()
    if comparison.are_paired:
        x: list[float | None] = []
        y: list[float | None] = []
        for shift, values in zip(
            _aside(_runs(comparison)), zip(*(v for _, v in arms), strict=True), strict=True
        ):
            x += [*(place + shift for place in range(len(arms))), None]
            y += [*values, None]
        line = {"color": GREY, "width": 1}
        figure.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    for place, (name, values) in enumerate(arms):
        figure.add_scatter(
            x=[place + shift for shift in _aside(len(values))],
            y=values,
            mode="markers",
            marker={"color": BLUE if place else ORANGE, "size": 11},
            customdata=[f"{label(name)}, run {run}" for run in range(len(values))],
            hovertemplate="%{customdata}: %{y:.5g}<extra></extra>",
            showlegend=False,
        )
    return finish(
        figure,
        height=330,
        margin={"t": 16},
        xaxis={
            "tickvals": list(range(len(arms))),
            "ticktext": [label(name) for name, _ in arms],
            "range": [-0.6, len(arms) - 0.4],
            "showgrid": False,
        },
        yaxis={"title": {"text": label(comparison.metric, 60)}},
    )


def _aside(runs: int) -> list[float]:
    """Return how far each run's point is moved, so that equal results can be told apart."""
    return [0.03 * (run - (runs - 1) / 2) for run in range(runs)]


def _table(comparison: Comparison) -> str:
    head = ("arm", "runs", "mean", "best", "worst", "epochs of a run", "every run")
    rows = []
    for name, values in comparison.arms.items():
        ordered = sorted(values, reverse=comparison.direction == "max")
        rows.append(
            (
                escape(name),
                str(len(values)),
                number(sum(values) / len(values), 5),
                number(ordered[0], 5),
                number(ordered[-1], 5),
                f"{comparison.epochs.get(name, 0.0):g}",
                ", ".join(number(value, 5) for value in values[:12]),
            )
        )
    return table(head, rows)


def _runs(comparison: Comparison) -> int:
    return min(map(len, comparison.arms.values()), default=0)
