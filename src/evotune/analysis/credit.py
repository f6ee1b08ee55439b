"""What each operator contributes: how much its children improve on the donors of their weights."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evotune import finite
from evotune.analysis.data import StudyData
from evotune.analysis.statistics import median_interval
from evotune.analysis.steps import Step, gain

#: A row of fewer trials is marked as unreliable.
FEW = 10
GENES_AT_MOST = 20
UNCHANGED = "went on unchanged"


@dataclass(frozen=True, slots=True)
class Credit:
    """The results of all trials of one kind.

    Attributes:
        kind: What was done to their genes.
        trials: Number of trials, failed ones included.
        failed: Number of failed trials.
        better: Number of trials with a better result than the donor of their weights.
        gain: Median gain over the donor, in the objective's unit; positive is better.
        advantage: Median of the gain minus the median gain of their generation.
        low: Lower end of the 95 % interval of the advantage; NaN with too few trials.
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
    mean = finite.mean(donors)
    try:
        return round(mean, digits)
    except OverflowError:  # what it would be rounded up to lies beyond floats
        return mean


def _digits(data: StudyData) -> int:
    """Return the number of significant decimals; further ones are single-precision noise."""
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
    return {span: float(finite.median(found)) for span, found in spans.items()}


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
    advantage = finite.plus(own, -others)
    low, high = median_interval(advantage)
    return Credit(
        kind,
        len(members),
        len(members) - len(done),
        int((own > 0).sum()),
        float(finite.median(own)),
        float(finite.median(advantage)),
        float(low),
        float(high),
    )
