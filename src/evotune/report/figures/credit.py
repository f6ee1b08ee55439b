"""What each operator is worth: how much its children improved on the donors of their weights."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from evotune.analysis.data import StudyData
from evotune.analysis.statistics import median_interval
from evotune.analysis.steps import Step, gain
from evotune.analysis.text import label, number, percent
from evotune.report.figures.theme import BLUE, GREY, finish
from evotune.report.markup import escape, table

#: With fewer trials a row says next to nothing.
FEW = 10
GENES_AT_MOST = 20
UNCHANGED = "went on unchanged"


@dataclass(frozen=True, slots=True)
class Credit:
    """What came of all trials of one kind.

    Attributes:
        kind: What was done to their genes.
        trials: How many there are, failed ones included.
        failed: How many of them failed.
        better: How many ended better than the donor of their weights.
        gain: Median gain over the donor, in the objective's unit; positive is better.
        advantage: Median of the gain minus the median gain of their generation.
        low: Lower end of the 95 % interval of the advantage; NaN where so few allow none.
        high: Upper end.
    """

    kind: str
    trials: int
    failed: int
    better: int
    gain: float
    advantage: float
    low: float
    high: float


def operator_credits(data: StudyData) -> list[Credit]:
    """Return the credit of each kind of trial that inherits weights, then of each mutated gene.

    The gain shrinks as training goes on, whatever is done to the genes; so a trial's gain is also
    compared with the median of its generation (of those that trained the same epochs).
    """
    heirs = [step for step in data.steps if step.trial.donors and step.trial.has_ended]
    digits = _digits(data)
    gains = {s.trial.number: _gain(data, s, digits) for s in heirs}
    usual = _usual(heirs, gains)
    kinds: dict[str, list[Step]] = defaultdict(list, {UNCHANGED: []})
    genes: dict[str, list[Step]] = defaultdict(list)
    for step in heirs:
        kinds[_kind(step)].append(step)
        for gene in step.mutated:
            genes[f"mutated {gene}"].append(step)
    ordered = [UNCHANGED, *sorted(set(kinds) - {UNCHANGED})]
    found = {kind: kinds[kind] for kind in ordered}
    found |= dict(sorted(genes.items())[:GENES_AT_MOST])
    return [_credit(kind, members, gains, usual) for kind, members in found.items() if members]


def _gain(data: StudyData, step: Step, digits: int) -> float:
    donors = [gain(step, data.step_of.get(donor)) for donor in step.trial.donors]
    return round(float(np.mean(donors)), digits)


def _digits(data: StudyData) -> int:
    """Return the decimals that count: those beyond are noise of single precision."""
    largest = float(np.abs(data.first_scores).max())
    return 6 - math.floor(math.log10(largest)) if largest > 0 else 6


def _kind(step: Step) -> str:
    if not step.is_child:
        return UNCHANGED
    crossed = len(set(step.trial.parents)) > 1
    origin = "two parents" if crossed else "one parent" if step.trial.parents else "new genes"
    return f"child of {origin}, {'mutated' if step.mutated else 'not mutated'}"


def _usual(heirs: Iterable[Step], gains: dict[int, float]) -> dict[tuple[float, float], float]:
    """Return the median gain of all that trained the same epochs."""
    spans: dict[tuple[float, float], list[float]] = defaultdict(list)
    for step in heirs:
        if not math.isnan(gains[step.trial.number]):
            spans[step.start, step.trial.budget or 0.0].append(gains[step.trial.number])
    return {span: float(np.median(found)) for span, found in spans.items()}


def _credit(
    kind: str,
    members: Sequence[Step],
    gains: Mapping[int, float],
    usual: Mapping[tuple[float, float], float],
) -> Credit:
    done = [step for step in members if not math.isnan(gains[step.trial.number])]
    own = np.array([gains[step.trial.number] for step in done])
    others = np.array([usual[step.start, step.trial.budget or 0.0] for step in done])
    if not done:
        return Credit(kind, len(members), len(members), 0, *(math.nan,) * 4)
    low, high = median_interval(own - others)
    return Credit(
        kind,
        len(members),
        len(members) - len(done),
        int((own > 0).sum()),
        float(np.median(own)),
        float(np.median(own - others)),
        float(low),
        float(high),
    )


def credit_figure(data: StudyData, rows: Sequence[Credit]) -> go.Figure:
    """Return each kind's advantage with its interval; grey where there are too few trials."""
    shown = [row for row in rows if not math.isnan(row.advantage)]
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
                "width": 4,
            },
            marker={"color": [GREY if row.trials < FEW else BLUE for row in shown], "size": 10},
            customdata=[_hover(row) for row in shown],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    figure.add_vline(x=0, line={"color": GREY, "width": 1, "dash": "dot"})
    metric = label(data.objective.metric, 40)
    return finish(
        figure,
        height=114 + 30 * len(shown),
        margin={"t": 34},
        xaxis={"title": {"text": f"gain in {metric}, compared with its generation"}},
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
    return f"<b>{label(row.kind, 44)}</b><br>{row.trials} trials{few}<br>{_range(row)}"


def _range(row: Credit) -> str:
    if math.isnan(row.low):
        return f"{row.advantage:+.3g}"
    return f"{row.advantage:+.3g} ({row.low:+.3g} to {row.high:+.3g})"


def credit_table(rows: Sequence[Credit]) -> str:
    """Return the credits as an HTML table."""
    head = ("what was done", "trials", "failed", "better than donor", "median gain", "compared")
    return table(head, [_cells(row) for row in rows])


def _cells(row: Credit) -> tuple[str, ...]:
    few = " <small>few</small>" if row.trials < FEW else ""
    share = f"{row.better} <small>({percent(row.better / row.trials)})</small>"
    known = not math.isnan(row.advantage)
    return (
        escape(row.kind),
        f"{row.trials}{few}",
        str(row.failed or ""),
        share,
        escape(number(row.gain, 3)) if known else "–",
        escape(_range(row)) if known else "–",
    )
