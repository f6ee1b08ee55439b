"""The findings of a report: a few sentences above its figures."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from evotune.analysis.data import StudyData
from evotune.analysis.diversity import LIMIT, Collapse, collapses
from evotune.analysis.scales import units
from evotune.analysis.text import count, percent
from evotune.printing import number, shorten

#: A gene of the best trials lies at an end of its range when it is within this share of it.
_NEAR = 0.03
_TOP = 10


def findings(data: StudyData) -> list[str]:
    """Return the most useful findings first, each as one sentence of plain text."""
    if not data.done:
        return ["No trial is done yet, so there is nothing to draw.", *_failures(data)]
    return [
        *(_training(data) if data.inherits else _progress(data)),
        *_infeasible(data),
        *_variety(data),
        *_decisive(data),
        *_at_the_edge(data),
        *_failures(data),
    ]


def _progress(data: StudyData) -> Iterator[str]:
    best = int(data.best_so_far[-1])
    total, since = len(data.done), len(data.done) - 1 - best
    if total < 20:
        yield f"Only {count(total, 'trial')} finished: the figures may mislead."
    elif since <= 0.1 * total:
        yield (
            f"The best result is recent: {count(since, 'trial')} of {total:,} came after it, "
            "so more trials are likely to find a better one."
        )
    elif since >= 0.4 * total and len(data.objectives.objectives) == 1:
        metric = data.objective.metric
        yield f"The last {count(since, 'trial')} of {total:,} brought no better {metric}."


def _training(data: StudyData) -> Iterator[str]:
    best = data.step_of[data.done[data.ranking[0]].number]
    last = max(step.end for step in data.steps)
    yield (
        "Here a trial is one step of a member's training: it continues from the weights of an "
        "earlier trial."
    )
    if best.end < 0.75 * last:
        yield (
            f"The best result came after {best.end:g} of {last:g} epochs: the training that "
            f"followed brought no better {data.objective.metric}."
        )


def _infeasible(data: StudyData) -> Iterator[str]:
    broken = len(data.infeasible)
    if broken == len(data.done):
        yield "Every trial breaks a constraint: the best trial is the one that breaks it least."
    elif broken:
        share = percent(broken / len(data.done))
        yield f"{count(broken, 'trial')} ({share}) broke a constraint and rank behind all others."


def _decisive(data: StudyData) -> Iterator[str]:
    shares = list(data.importance.by_entry(data.space).items())
    if not data.importance.is_reliable or len(shares) < 2:
        return
    parts = [f"{name} ({percent(share)})" for name, share in shares[:3] if share >= 0.1]
    yield f"What decides {data.objective.metric}: {', '.join(parts)}."


def _at_the_edge(data: StudyData) -> Iterator[str]:
    if len(data.done) < 20:
        return
    genes = [g for g in data.space if data.space[g].ordered and data.space[g].size > 4]
    top = [data.done[k] for k in data.ranking[:_TOP]]
    for name, column in zip(genes, units(data.space, genes, top).T, strict=True):
        known = column[~np.isnan(column)]
        if known.size < _TOP // 2:
            continue
        middle = float(np.median(known))
        end = "lower" if middle < _NEAR else "upper" if middle > 1 - _NEAR else None
        if end:
            value = number(data.space[name].from_unit(0.0 if end == "lower" else 1.0))
            yield (
                f"The best trials have {name} at the {end} end of its range ({value}): "
                "a wider range may hold a better value."
            )


def _variety(data: StudyData) -> Iterator[str]:
    found = list(alarms(data))
    if found:
        yield from found
        return
    total = data.diversity.total
    total = total[~np.isnan(total)]
    if len(total) >= 3 and total[-1] < 0.2:
        yield (
            f"Diversity has fallen to {percent(float(total[-1]))} of that of random sampling: "
            "the search has almost converged."
        )


def alarms(data: StudyData) -> Iterator[str]:
    """Yield a sentence for the genes that have collapsed: which, since when, and what to do."""
    found = collapses(data.diversity)
    if not found:
        return
    generations = data.groups.are_generations
    unit = "generation" if generations else "trial"
    genes = ", ".join(_collapsed(data, found, unit))
    if not genes:
        return
    last = int(data.groups.of.max())
    yield (
        f"Diversity has collapsed in {genes}: until the end, {unit} {last}, the spread over the "
        f"{'population' if generations else 'trials of a block'} stayed below {percent(LIMIT)} of "
        "its initial value, which leaves nothing to select. A search that has converged well looks "
        "the same"
        + (
            "; if it was too early, use a larger mutation, a larger population, or Islands."
            if generations
            else "."
        )
    )


def _collapsed(data: StudyData, found: Sequence[Collapse], unit: str) -> Iterator[str]:
    """Yield which genes have collapsed, and of chains those that have lost most of their genes.

    A layer that few trials have says little, and the others of its chain may be diverse.
    """
    since = {collapse.gene: collapse.since for collapse in found}
    for name, genes in data.space.entries.items():
        lost = [gene for gene in genes if gene in since]
        varied = [gene for gene in genes if gene in data.diversity.genes]
        if name not in data.space.compounds and lost:
            yield f"{name} (since {unit} {since[name]})"
        elif 2 * len(lost) > len(varied):
            yield f"{name} ({len(lost)} of its {len(varied)} genes)"


def _failures(data: StudyData) -> Iterator[str]:
    failed = data.failed
    if failed:
        reasons = Counter(t.failure.message if t.failure else "unknown" for t in failed)
        [(reason, times)] = reasons.most_common(1)
        most = "" if len(reasons) == 1 else f", {times:,} of them with the same reason"
        yield (
            f"{len(failed):,} of {count(len(data.trials), 'trial')} failed{most}: "
            f"{shorten(reason, 100)}"
        )
    odd = sum(t.is_done for t in data.trials) - len(data.done)
    if odd:
        yield f"{count(odd, 'trial')} ended with an infinite value or NaN and are not drawn."
