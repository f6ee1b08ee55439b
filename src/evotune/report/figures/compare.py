"""Several studies, or several runs of each, in one figure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from evotune import finite
from evotune.analysis.runs import RunLike, counts_epochs, curves, objectives_of, read_log
from evotune.analysis.scales import score_scale
from evotune.analysis.text import label
from evotune.errors import StudyError
from evotune.report.figures.ranking import band_and_line
from evotune.report.figures.theme import finish

#: Points of a line.
POINTS = 200

Runs = RunLike | Iterable[RunLike]


def compare(studies: Mapping[str, Runs] | Sequence[RunLike]) -> go.Figure:
    """Draw the best result so far of several studies, over the trials that each has spent.

    Where trials have budgets that differ, they are compared by epochs instead. Of a list of runs
    under one name, such as the same search with several seeds, the line is the median and the band
    the range; it ends where the shortest of them does. Of several objectives, the hypervolume is
    drawn, where the front of all studies fills the unit cube. `et.report.compare` tests which is
    better.

    Args:
        studies: Studies by a name for the legend, each one study or a list of them:
            ``{"genetic": study, "random": [first, second]}``; or just a list of studies, which are
            called by their own names.

    Raises:
        StudyError: There is no study, one of them has no ended trial, or they have different
            objectives.

    Example:
        ``et.plot.compare({"genetic": study, "random": et.open("runs.db", "random")})``
    """
    named = _named(studies)
    every = [run for runs in named.values() for run in runs]
    epochs = counts_epochs(every)
    objectives = objectives_of(named, "")
    logs = {
        name: dict(enumerate(read_log(run, epochs=epochs) for run in runs))
        for name, runs in named.items()
    }
    longest = max(float(log.spent[-1]) for of in logs.values() for log in of.values())
    points = np.unique(np.linspace(0.0, longest, min(POINTS, round(longest)) + 1)[1:])
    if not epochs:
        points = np.unique(np.ceil(points))
    drawn = curves("", objectives, logs, points.tolist())
    figure, seen = go.Figure(), [np.zeros(0)]
    for place, (name, each) in enumerate(drawn.curves.items()):
        upto = points <= min(float(log.spent[-1]) for log in logs[name].values())
        upto[0] = True
        each = each[~np.isnan(each[:, upto][:, -1])][:, upto]
        if not len(each):
            continue
        middle = finite.median(each)
        known = ~np.isnan(middle)
        seen.append(middle[known])
        low, high = each.min(axis=0)[known], each.max(axis=0)[known]
        bounds = (low, high) if len(each) > 1 else None
        for trace in band_and_line(name, place, points[upto][known], middle[known], bounds):
            figure.add_trace(trace)
    scale, _ = score_scale(np.concatenate(seen), drawn.direction)
    return finish(
        figure,
        height=400,
        hovermode="x unified",
        legend={"traceorder": "normal"},
        xaxis={"title": {"text": "epochs" if epochs else "trials"}, "tickformat": ",~r"},
        yaxis={"title": {"text": f"best {label(drawn.metric, 60)} so far"}, **scale.axis()},
    )


def _named(studies: Any) -> dict[str, list[RunLike]]:
    """Return the runs of each name."""
    if isinstance(studies, Mapping):
        pairs = [(str(name), runs) for name, runs in studies.items()]
    else:
        pairs = [(run.definition.name, run) for run in map(_checked, _several(studies))]
    named: dict[str, list[RunLike]] = {}
    for name, runs in pairs:
        few = [runs] if hasattr(runs, "definition") else _several(runs)
        named.setdefault(name, []).extend(map(_checked, few))
    if not any(named.values()):
        raise StudyError(_how(studies))
    return {name: runs for name, runs in named.items() if runs}


def _several(given: Any) -> list[Any]:
    if isinstance(given, str) or not isinstance(given, Iterable) or hasattr(given, "definition"):
        raise StudyError(_how(given))
    return list(given)


def _checked(run: Any) -> Any:
    if not (hasattr(run, "definition") and hasattr(run, "trials")):
        raise StudyError(_how(run))
    return run


def _how(given: Any) -> str:
    return (
        f"et.plot.compare draws several studies, got {given!r:.100}; write "
        'et.plot.compare({"genetic": study, "random": other})'
    )
