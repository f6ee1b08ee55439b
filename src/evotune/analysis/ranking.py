"""Which of several methods is best: the same tasks, runs paired by seed, ranks and tests."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evotune import finite
from evotune.analysis import statistics
from evotune.analysis.pairing import Runs, pair
from evotune.analysis.runs import TaskRuns
from evotune.analysis.text import count
from evotune.errors import StudyError
from evotune.printing import number

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two methods on the same runs.

    Attributes:
        first: The method with the better mean rank.
        second: The other method.
        gain: By how much the first is better on average, in the unit of the metric; with several
            tasks, as a share of the range of all results on each task.
        low: Lower end of the 95 % interval of the gain; NaN with a single run.
        high: Upper end.
        p: Wilcoxon's signed-rank test, two-sided, corrected for the number of pairs (Holm).
        wins: Number of runs in which the first is better.
        losses: Number of runs in which it is worse.
    """

    first: str
    second: str
    gain: float
    low: float
    high: float
    p: float
    wins: int
    losses: int

    @property
    def is_sure(self) -> bool:
        """True when the difference is significant at 5 %."""
        return self.p < statistics.LEVEL

    @property
    def sign(self) -> int:
        """1 if the first is significantly better, −1 if the second is, else 0."""
        return statistics.sign_of(self.gain, self.wins - self.losses, self.p)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The comparison of several methods by their runs.

    Attributes:
        methods: Best mean rank at the end first.
        tasks: The curves of all runs, by task.
        unit: What runs are compared by: ``"evaluations"`` or ``"epochs"``.
        points: Where the curves are known, in this unit.
        checkpoints: Those of the points that tables show; the last is the end.
        mean_ranks: Of each method at each of ``points``; 1 is best.
        friedman: p-value of Friedman's test of equality; NaN with two methods or one run.
        critical_difference: Nemenyi's, at 5 %: mean ranks closer than this may differ by chance.
        pairs: All pairs of methods, by their ranks.
        notes: What was left out, or should be read with care.
    """

    methods: tuple[str, ...]
    tasks: tuple[TaskRuns, ...]
    unit: str
    points: tuple[float, ...]
    checkpoints: tuple[float, ...]
    mean_ranks: Mapping[str, tuple[float, ...]]
    friedman: float
    critical_difference: float
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> int:
        """How many runs of each method are compared, over all tasks."""
        return sum(len(task.seeds) for task in self.tasks)

    def rank(self, method: str, checkpoint: float | None = None) -> float:
        """Return the mean rank of a method at a checkpoint; by default at the end."""
        place = -1 if checkpoint is None else self.points.index(checkpoint)
        return self.mean_ranks[method][place]

    def verdicts(self) -> list[str]:
        """Return in plain words what the numbers allow to say."""
        return verdicts(self)

    def __str__(self) -> str:
        parts = [_rank_table(self), _pair_table(self), "\n".join(verdicts(self))]
        parts += [friedman_text(self), "\n".join(self.notes)]
        return "\n\n".join(filter(None, parts))


def needed_ranking(figure: str, given: Any) -> Ranking:
    """Return a ranking that a figure was given.

    Raises:
        StudyError: It is something else.
    """
    if not isinstance(given, Ranking):
        raise StudyError(
            f"et.plot.{figure} draws a ranking of methods, got {given!r:.100}; write "
            f"et.plot.{figure}(et.report.compare({{'genetic': studies, 'random': others}}))"
        )
    return given


def compare(methods: Runs | Mapping[str, Runs], *, at: Sequence[float] | None = None) -> Ranking:
    """Compare methods by runs on the same task, paired by seed.

    Runs are compared by their best result after the same number of evaluations, or of epochs where
    the trials have budgets that differ; several objectives by the hypervolume of what was found.
    A run without a result so far ranks last, and counts as the worst result of its task.

    Args:
        methods: The studies of each method, one per seed: ``{"genetic": [study, ...], "random":
            [study, ...]}``; or with several tasks such a mapping for each: ``{"digits":
            {"genetic": [...], ...}, ...}``.
        at: Evaluations (or epochs) at which ranks are shown; the last is the end. By default a
            quarter, half and all of what the shortest run has spent.

    Raises:
        StudyError: There are fewer than two methods, other objectives, or no common seed.

    Example:
        ``print(et.report.compare({"genetic": genetic_studies, "random": random_studies}))``;
        ``et.report.write_ranking("page.html", ranking)`` writes the result as a page.
    """
    runs = pair(methods, at)
    names = list(runs.tasks[0].curves)
    losses = [
        np.concatenate([task.losses(place) for task in runs.tasks])
        for place in range(len(runs.points))
    ]
    means = np.stack([statistics.mean_ranks(each) for each in losses], axis=1)
    order = np.argsort(means[:, -1], kind="stable")
    return Ranking(
        methods=tuple(names[k] for k in order),
        tasks=runs.tasks,
        unit=runs.unit,
        points=runs.points,
        checkpoints=runs.checkpoints,
        mean_ranks={names[k]: tuple(means[k].tolist()) for k in order},
        friedman=statistics.friedman(losses[-1]),
        critical_difference=statistics.critical_difference(len(names), len(losses[-1])),
        pairs=_pairs(runs.tasks, order),
        notes=runs.notes,
    )


def _pairs(tasks: Sequence[TaskRuns], order: npt.NDArray[np.intp]) -> tuple[Pair, ...]:
    """Return every two methods, the one with the better mean rank first.

    Args:
        tasks: All of them.
        order: Indices of the methods by mean rank, shape ``(methods,)``.
    """
    names = [list(tasks[0].curves)[k] for k in order]
    losses = np.concatenate([task.losses() for task in tasks])[:, order]
    filled = np.concatenate([_filled(task.losses(), len(tasks) > 1) for task in tasks])[:, order]
    couples = [(a, b) for a in range(len(names)) for b in range(a + 1, len(names))]
    gains = [finite.plus(filled[:, b], -filled[:, a]) for a, b in couples]
    adjusted = statistics.holm([statistics.signed_rank(gain) for gain in gains])
    return tuple(
        Pair(
            names[a],
            names[b],
            statistics.mean_of(gain),
            *statistics.mean_interval(gain),
            float(p),
            int((losses[:, a] < losses[:, b]).sum()),
            int((losses[:, a] > losses[:, b]).sum()),
        )
        for (a, b), gain, p in zip(couples, gains, adjusted, strict=True)
    )


def _filled(losses: Floats, relative: bool) -> Floats:
    """Return results with the worst of all where there is none, maybe in shares of their range."""
    known = losses[np.isfinite(losses)]
    if not known.size:
        return np.zeros_like(losses)
    filled = np.where(np.isfinite(losses), losses, known.max())
    if not relative:
        return filled
    filled, known = filled / finite.unit(known), known / finite.unit(known)
    shares: Floats = (filled - known.min()) / (np.ptp(known) or 1.0)
    return shares


# -- in words -------------------------------------------------------------------------------------

_TEST = "Wilcoxon with Holm's correction, 5 %"


def verdicts(ranking: Ranking) -> list[str]:
    """Return the outcome of the comparison in a few sentences."""
    best = ranking.methods[0]
    where = f"on {len(ranking.tasks)} tasks" if len(ranking.tasks) > 1 else "on the same task"
    first = [name for name in ranking.methods if ranking.rank(name) == ranking.rank(best)]
    lines = [
        f"{_list(first)} {'share' if len(first) > 1 else 'has'} the best mean rank, "
        f"{ranking.rank(best):.2f} of {len(ranking.methods)}, over "
        f"{count(ranking.runs, 'paired run')} {where}."
    ]
    own = [pair for pair in ranking.pairs if pair.first == best]
    worse, open_, better = ([p.second for p in own if p.sign == sign] for sign in (1, 0, -1))
    if worse:
        lines.append(f"{best} is better than {_list(worse)} ({_TEST}).")
    if open_:
        lines.append(f"{best} cannot be told apart from {_list(open_)} by these runs.")
    if better:
        lines.append(f"However, {_list(better)} is better than {best} in their pair ({_TEST}).")
    needed = statistics.runs_needed(len(ranking.pairs))
    if ranking.runs < needed:
        lines.append(
            f"{count(ranking.runs, 'run')} of each cannot prove a difference, however large: "
            f"{len(ranking.methods)} methods need {needed}; run more seeds."
        )
    if len(ranking.tasks) > 1:
        lines.append("The tests are about these tasks; they say nothing about others.")
    return lines


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def friedman_text(ranking: Ranking) -> str:
    """Return the results of Friedman's test and the critical difference, explained."""
    distance = (
        f"Critical difference {ranking.critical_difference:.2f} (Nemenyi, 5 %): mean ranks that "
        "are closer may differ by chance."
    )
    if math.isnan(ranking.friedman):
        return distance
    p = p_text(ranking.friedman)
    return (
        f"Friedman's test that all are equal: p {p if p[0] == '<' else f'= {p}'}. {distance} This "
        "uses ranks only; statements about two methods are based on Wilcoxon's test of the pair."
    )


def p_text(p: float) -> str:
    """Return a p-value as text."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def gain_texts(ranking: Ranking, pair: Pair) -> tuple[str, str]:
    """Return the gain of a pair and its interval, in per cent where there are several tasks."""
    scale, unit = (100.0, " %") if len(ranking.tasks) > 1 else (1.0, "")
    mean, low, high = (f"{scale * x:+.4g}{unit}" for x in (pair.gain, pair.low, pair.high))
    return mean, "–" if math.isnan(pair.low) else f"{low} to {high}"


def gain_name(ranking: Ranking) -> str:
    """Return the column name of the gain of a pair, with its unit."""
    if len(ranking.tasks) > 1:
        return "gain in % of each task's range"
    return f"gain in {ranking.tasks[0].metric}"


def result_texts(ranking: Ranking, method: str, task: int = 0) -> list[str]:
    """Return the median and the range of a method's results at the end of one task."""
    of_task = ranking.tasks[task]
    found = sorted(x for x in of_task.curves[method][:, -1] if not math.isnan(x))
    if not found:
        return ["–", "–"]
    middle = finite.mean([found[(len(found) - 1) // 2], found[len(found) // 2]])
    ends = found if of_task.direction == "max" else found[::-1]
    return [f"{middle:.5g}", f"{ends[0]:.5g} to {ends[-1]:.5g}"]


def _rank_table(ranking: Ranking) -> str:
    heads = [f"rank at {number(point)}" for point in ranking.checkpoints]
    rows = [
        [
            name,
            *(f"{ranking.rank(name, point):.2f}" for point in ranking.checkpoints),
            *([] if len(ranking.tasks) > 1 else result_texts(ranking, name)),
        ]
        for name in ranking.methods
    ]
    if len(ranking.tasks) == 1:
        task = ranking.tasks[0]
        heads += [f"median {task.metric} ({task.direction})", "worst to best"]
    return _columns(["method", *heads], rows)


def _pair_table(ranking: Ranking) -> str:
    heads = ["pair", gain_name(ranking), "95 % interval", "wins", "ties", "losses", "p (Holm)"]
    rows = []
    for one in ranking.pairs:
        ties = ranking.runs - one.wins - one.losses
        tally = [str(one.wins), str(ties), str(one.losses)]
        who = f"{one.first} − {one.second}"
        rows.append([who, *gain_texts(ranking, one), *tally, p_text(one.p)])
    return _columns(heads, rows)


def _columns(heads: list[str], rows: list[list[str]]) -> str:
    table = [heads, *rows]
    widths = [max(len(row[k]) for row in table) for k in range(len(heads))]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
