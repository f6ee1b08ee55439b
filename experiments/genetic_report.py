"""The tables and conclusions of the genetic algorithm's rerun, all computed from its rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from genetic_setting import PaperRun
from tables import cells, figures, spread, table

from evotune.analysis.statistics import Difference, paired


@dataclass(frozen=True, slots=True)
class Row:
    """The best of one search after a number of trials, chosen by validation loss.

    Attributes:
        arm: Name of the search.
        trials: Trainings spent.
        seed: Seed of the search and of the split.
        epochs: Epochs spent; a failed trial counts in full.
        distinct: How many different settings were tried; the others repeat one of them.
        failed: How many trials failed, which here means that the training diverged.
        validation_loss: Of the best.
        validation_accuracy: Of the best, in [0, 1].
        test_accuracy: Of the best, in [0, 1]; it played no part in the choice.
        seconds: Seconds of training and measuring, summed over the trials.
    """

    arm: str
    trials: int
    seed: int
    epochs: int
    distinct: int
    failed: int
    validation_loss: float
    validation_accuracy: float
    test_accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Question:
    """One comparison: is ``arm`` better than ``other`` after so many trials each?"""

    arm: str
    trials: int
    other: str
    other_trials: int

    def __str__(self) -> str:
        if self.trials == self.other_trials:
            return f"{self.arm} − {self.other} ({self.trials} trials)"
        return f"{self.arm} ({self.trials}) − {self.other} ({self.other_trials})"


def questions(runs: Sequence[PaperRun]) -> list[Question]:
    """Return what the experiment compares: methods at equal budget, then the paper's runs."""
    largest = runs[0].trials
    asked = [("ours", "random"), ("ours, log", "random, log"), ("ours, log", "random")]
    asked += [("random, log", "random"), ("ours, log", runs[0].label)]
    found = [Question(a, largest, b, largest) for a, b in asked]
    for run in runs:
        found += [_same(arm, run) for arm in ("ours", "random")]
    pairs = [(runs[1], runs[0]), (runs[2], runs[0]), (runs[3], runs[2]), (runs[4], runs[3])]
    for run, before in pairs:
        found.append(_change(run, before))
    return found


def _same(arm: str, run: PaperRun) -> Question:
    return Question(arm, run.trials, run.label, run.trials)


def _change(run: PaperRun, before: PaperRun) -> Question:
    return Question(run.label, run.trials, before.label, before.trials)


class Results:
    """Rows of all searches and seeds, looked up by search and budget."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.groups: dict[tuple[str, int], list[Row]] = {}
        for row in rows:
            self.groups.setdefault((row.arm, row.trials), []).append(row)
        for group in self.groups.values():
            group.sort(key=lambda row: row.seed)

    def values(self, arm: str, trials: int, metric: str) -> list[float]:
        """Return one value a seed, in the order of the seeds."""
        return [getattr(row, metric) for row in self.groups[arm, trials]]

    def compare(self, question: Question, metric: str) -> Difference:
        """Compare one metric over the seeds."""
        return paired(
            self.values(question.arm, question.trials, metric),
            self.values(question.other, question.other_trials, metric),
        )


# -- tables ---------------------------------------------------------------------------------------


def summary(results: Results) -> str:
    """Return the table of all searches and budgets: mean ± standard deviation over the seeds."""
    lines = []
    for (arm, trials), rows in results.groups.items():
        lines.append(
            (
                arm,
                str(trials),
                str(rows[0].epochs),
                spread([row.validation_loss for row in rows], 4),
                spread([row.validation_accuracy for row in rows], 2, 100),
                spread([row.test_accuracy for row in rows], 2, 100),
                spread([row.seconds for row in rows], 0),
                f"{np.mean([row.distinct for row in rows]):.1f}",
                f"{np.mean([row.failed for row in rows]):.1f}",
            )
        )
    head = ("search", "trials", "epochs", "validation loss", "validation accuracy, %")
    return table((*head, "test accuracy, %", "seconds", "distinct", "failed"), lines)


def comparisons(results: Results, asked: Sequence[Question]) -> str:
    """Return the table of paired differences."""
    lines = []
    for question in asked:
        accuracy = results.compare(question, "test_accuracy")
        loss = results.compare(question, "validation_loss")
        lines.append((str(question), *cells(accuracy, 2, 100), *cells(loss, 4)))
    head = ["difference of", "test accuracy, points", "p", "larger in"]
    return table([*head, "validation loss", "p", "larger in"], lines)


# -- conclusions ----------------------------------------------------------------------------------


def conclusions(results: Results, runs: Sequence[PaperRun]) -> list[str]:
    """Return one sentence for each claim, as the figures have it."""
    largest, paper = runs[0].trials, runs[0].label

    def at_largest(a: str, b: str) -> str:
        return _verdict(results, Question(a, largest, b, largest))

    return [
        "On the paper's own space: " + at_largest("ours", paper),
        "On the paper's own space: " + at_largest("ours", "random"),
        "On the paper's own space: " + at_largest(paper, "random"),
        "On the log-scaled space, which is another one: " + at_largest("ours, log", "random, log"),
        "Scale and settings together: " + at_largest("ours, log", paper),
        "Scale and settings together: " + at_largest("ours, log", "random"),
        _headline(results, runs),
    ]


def _verdict(results: Results, question: Question) -> str:
    accuracy = results.compare(question, "test_accuracy")
    loss = results.compare(question, "validation_loss")
    words = {1: "beats", 0: "cannot be told from", -1: "is worse than"}
    return (
        f"{question.arm} {words[accuracy.sign]} {question.other} in test accuracy after "
        f"{question.trials} trials each: {figures(accuracy, 2, ' points', 100)}; and "
        f"{words[-loss.sign]} it in validation loss: {figures(loss, 4)}."
    )


def _headline(results: Results, runs: Sequence[PaperRun]) -> str:
    """Judge the paper's headline: a smaller population and fewer generations cost quality."""
    base = runs[0]
    parts, signs = [], []
    for run in runs[1:3]:
        gap = results.compare(_change(run, base), "validation_loss")
        parts.append(f"{run.name} {figures(gap, 4)}")
        signs.append(gap.sign)
    verdicts = {2: "confirmed", 1: "confirmed for one of two runs", 0: "not decided"}
    verdict = "refuted" if -1 in signs else verdicts[sum(signs)]
    return (
        "The paper's headline, that shrinking population and generations costs quality, is "
        f"{verdict}: validation loss against the baseline, {'; '.join(parts)}."
    )
