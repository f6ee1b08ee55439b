"""The figure that compares a search with others, such as random search, run by run."""

import plotly.graph_objects as go

from evotune.analysis.comparison import Comparison
from evotune.analysis.text import label
from evotune.errors import NoResultError, StudyError
from evotune.report.figures.theme import BLUE, GREY, ORANGE, finish


def versus(comparison: Comparison) -> go.Figure:
    """Draw the results of several searches at equal cost: each point is the best of one run.

    Lines join the runs that had the same seed.

    Args:
        comparison: The comparison of the searches, as `Study.compare_with_random` returns it.

    Raises:
        StudyError: It is no comparison.
        NoResultError: There are fewer than two searches, or fewer than two runs of one.
    """
    if not isinstance(comparison, Comparison):
        raise StudyError(
            f"et.plot.versus draws a comparison of searches, got {comparison!r:.100}; write "
            "et.plot.versus(study.compare_with_random(...))"
        )
    if len(comparison.arms) < 2 or _runs(comparison) < 2:
        given = ", ".join(f"{name} with {len(runs)}" for name, runs in comparison.arms.items())
        raise NoResultError(
            f"et.plot.versus needs two runs or more of two searches or more, got {given or 'none'}"
        )
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


def verdicts_of(comparison: Comparison | None) -> list[str]:
    """Return one sentence for each other arm that compares the first arm with it."""
    if comparison is None or _runs(comparison) < 2:
        return []
    verdicts = [comparison.verdict(other) for other in list(comparison.arms)[1:]]
    return [verdict[0].upper() + verdict[1:] for verdict in verdicts]


def _runs(comparison: Comparison) -> int:
    return min(map(len, comparison.arms.values()), default=0)
