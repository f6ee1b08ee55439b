"""The rungs of successive halving: how many trials reached each, and what they found there."""

from collections.abc import Sequence

from evotune.evolution.survival import best_first
from evotune.report.data import StudyData
from evotune.report.markup import table
from evotune.report.text import number
from evotune.trial import Trial


def rung_table(data: StudyData) -> str:
    """Return a table of the rungs as HTML, nothing for a study without them."""
    by_budget: dict[float, list[Trial]] = {}
    for trial in data.trials:
        if "rung" in trial.note:
            by_budget.setdefault(trial.note["rung"], []).append(trial)
    if not by_budget:
        return ""
    promoted = {trial.note.get("promotes") for trial in data.trials}
    rows = [_row(data, b, by_budget[b], promoted) for b in sorted(by_budget)]
    best = f"best {data.objective.metric}"
    head = ["budget", "trials", "done", "promoted", best]
    return table(head, rows)


def _row(
    data: StudyData, budget: float, trials: Sequence[Trial], promoted: set[object]
) -> list[str]:
    done = [trial for trial in trials if trial.is_done]
    best = best_first(done)[:1]
    score = number(data.objective.score((best[0].values or (0.0,))[0])) if best else "–"
    went_on = sum(trial.number in promoted for trial in trials)
    return [f"{budget:g}", str(len(trials)), str(len(done)), str(went_on), score]
