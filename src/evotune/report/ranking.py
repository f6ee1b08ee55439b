"""Which of several methods is best: the same tasks, runs paired by seed, ranks and tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evotune.report import ranks
from evotune.report.pairing import Runs, pair
from evotune.report.runs import TaskRuns

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two methods on the same runs.

    Attributes:
        first: The one with the better mean rank.
        second: The other.
        gain: By how much the first is better on average, in units of the metric; with several
            tasks in shares of the range of all results on each.
        low: Lower end of the 95 % bootstrap interval of the gain.
        high: Upper end.
        p: Wilcoxon's signed-rank test, two-sided, corrected for the number of pairs (Holm).
        wins: In how many runs the first is better.
        losses: In how many it is worse.
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
        """True when the test leaves no doubt that they differ."""
        return self.p < ranks.LEVEL


@dataclass(frozen=True, slots=True)
class Ranking:
    """What runs of several methods allow to say of them.

    Attributes:
        methods: Best mean rank at the end first.
        tasks: The curves of all runs, by task.
        unit: What runs are compared by: ``"evaluations"`` or ``"epochs"``.
        points: Where the curves are known, in this unit.
        checkpoints: Those of the points that tables show; the last is the end.
        mean_ranks: Of each method at each of ``points``; 1 is best.
        friedman: p-value of the test that all are alike; NaN with two methods or one run.
        critical_difference: Nemenyi's, at 5 %: mean ranks closer than this may differ by chance.
        pairs: Every two methods, by their places.
        notes: What was left out or wants care.
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
        from evotune.report.ranking_text import verdicts

        return verdicts(self)

    def report(self, path: str | PathLike[str]) -> Path:
        """Write one self-contained HTML page, and return its path.

        Raises:
            StudyError: The path cannot be written.
        """
        from evotune.report.ranking_page import write_ranking

        return write_ranking(Path(path), self)

    def __str__(self) -> str:
        from evotune.report.ranking_text import text

        return text(self)


def compare(methods: Runs | Mapping[str, Runs], *, at: Sequence[float] | None = None) -> Ranking:
    """Compare methods by runs on the same task, paired by seed.

    Runs are compared by their best result after the same number of evaluations, or of epochs where
    the trials have budgets that differ; several objectives by the hypervolume of what was found.
    A run that has found nothing yet ranks last, and counts as the worst result of its task.

    Args:
        methods: The studies of each method, one a seed: ``{"genetic": [study, ...], "random":
            [study, ...]}``; or with several tasks such a mapping for each: ``{"digits":
            {"genetic": [...], ...}, ...}``.
        at: Evaluations (or epochs) at which ranks are shown; the last is the end. By default a
            quarter, half and all of what the shortest run has.

    Raises:
        StudyError: Fewer than two methods, other objectives, or no seed that all have run with.

    Example:
        ``print(report.compare({"genetic": genetic_studies, "random": random_studies}))``
    """
    runs = pair(methods, at)
    names = list(runs.tasks[0].curves)
    losses = [
        np.concatenate([task.losses(place) for task in runs.tasks])
        for place in range(len(runs.points))
    ]
    means = np.stack([ranks.mean_ranks(each) for each in losses], axis=1)
    order = np.argsort(means[:, -1], kind="stable")
    return Ranking(
        methods=tuple(names[k] for k in order),
        tasks=runs.tasks,
        unit=runs.unit,
        points=runs.points,
        checkpoints=runs.checkpoints,
        mean_ranks={names[k]: tuple(means[k].tolist()) for k in order},
        friedman=ranks.friedman(losses[-1]),
        critical_difference=ranks.critical_difference(len(names), len(losses[-1])),
        pairs=_pairs(runs.tasks, order),
        notes=runs.notes,
    )


def _pairs(tasks: Sequence[TaskRuns], order: npt.NDArray[np.intp]) -> tuple[Pair, ...]:
    """Return every two methods, given their places by mean rank."""
    names = [list(tasks[0].curves)[k] for k in order]
    losses = np.concatenate([task.losses() for task in tasks])[:, order]
    filled = np.concatenate([_filled(task.losses(), len(tasks) > 1) for task in tasks])[:, order]
    couples = [(a, b) for a in range(len(names)) for b in range(a + 1, len(names))]
    gains = [filled[:, b] - filled[:, a] for a, b in couples]
    adjusted = ranks.holm([ranks.signed_rank(gain) for gain in gains])
    return tuple(
        Pair(
            names[a],
            names[b],
            float(gain.mean()),
            *ranks.mean_interval(gain),
            float(p),
            int((losses[:, a] < losses[:, b]).sum()),
            int((losses[:, a] > losses[:, b]).sum()),
        )
        for (a, b), gain, p in zip(couples, gains, adjusted, strict=True)
    )


def _filled(losses: Floats, relative: bool) -> Floats:
    """Return results with the worst of all where there is none, maybe in shares of their range."""
    finite = losses[np.isfinite(losses)]
    if not finite.size:
        return np.zeros_like(losses)
    filled = np.where(np.isfinite(losses), losses, finite.max())
    return (filled - finite.min()) / (np.ptp(finite) or 1.0) if relative else filled
