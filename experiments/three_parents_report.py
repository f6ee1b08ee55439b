"""The tables and conclusions of the three-parents experiments, all computed from their rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from tables import cells, figures, machine, spread, table

from evotune.analysis.statistics import Difference, paired

#: Names of the searches without evolution.
BASELINE, RESTARTS, RANDOM = "accepted practice", "accepted practice, best of {}", "random search"
#: How far from a value "near" reaches, as a factor.
NEAR = 1.5


@dataclass(frozen=True, slots=True)
class Row:
    """What one search found with one seed; its best is chosen by the validation metric.

    Attributes:
        arm: Name of the search.
        seed: Seed of the search and of the split.
        epochs: Epochs spent, those of failed trials included.
        validation: Validation metric of the best, minimised.
        test: Test metric of the best; it played no part in the choice.
        schedule: Params of every epoch that led to the best; empty where they are given, not found.
        failed: How many trials failed, which here means that training diverged.
        seconds: Seconds of training and measuring, summed over the trials.
    """

    arm: str
    seed: int
    epochs: int
    validation: float
    test: float
    schedule: tuple[Mapping[str, Any], ...] = ()
    failed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What the paper says about the schedule of a gene.

    Attributes:
        gene: Name of the gene.
        kind: It falls or grows from the first epoch to the last, or ends near ``value``.
        value: See ``kind``.
    """

    gene: str
    kind: Literal["falls", "grows", "near"]
    value: float = 0.0

    def __str__(self) -> str:
        ending = f"comes out near {self.value:g}" if self.kind == "near" else self.kind
        return f"{self.gene} {ending}"

    def holds(self, schedule: Sequence[Mapping[str, Any]]) -> bool:
        """Tell whether one schedule shows it."""
        first, last = schedule[0][self.gene], schedule[-1][self.gene]
        if self.kind == "near":
            return self.value / NEAR <= last <= self.value * NEAR
        return bool(last < first if self.kind == "falls" else last > first)


@dataclass(frozen=True, slots=True)
class Story:
    """What the report says about an experiment beside its figures.

    Attributes:
        title: Name of network and data.
        metric: Name of the validation metric.
        unit: What stands behind a figure of it.
        factor: What turns the metric into that unit.
        setting: What was trained, and where it differs from the paper.
        evolved: Searches whose schedules and gains are judged.
        against: What they are compared with; the first is what the paper compares with.
        paper: The paper's figures before and after, in the unit; None where it has none.
        claims: What the paper says about the schedules.
    """

    title: str
    metric: str
    unit: str
    factor: float
    setting: str
    evolved: Sequence[str]
    against: Sequence[str]
    paper: tuple[float, float] | None = None
    claims: Sequence[Claim] = ()


class Results:
    """Rows of all searches and seeds, looked up by search."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.groups: dict[str, list[Row]] = {}
        for row in sorted(rows, key=lambda row: row.seed):
            self.groups.setdefault(row.arm, []).append(row)

    def tests(self, arm: str) -> list[float]:
        """Return one test figure a seed, in the order of the seeds."""
        return [row.test for row in self.groups[arm]]

    def gains(self, arm: str, other: str) -> list[float]:
        """Return by what share the test figure is lower than the other's, one number a seed."""
        pairs = zip(self.tests(arm), self.tests(other), strict=True)
        return [1 - mine / theirs for mine, theirs in pairs]

    def gap(self, arm: str, other: str) -> Difference:
        """Compare how much lower than the other's the test figures are."""
        return paired(self.tests(other), self.tests(arm))


# -- tables ---------------------------------------------------------------------------------------


def summary(results: Results, story: Story) -> str:
    """Return the table of all searches: mean ± standard deviation over the seeds."""
    lines = []
    for arm, rows in results.groups.items():
        tests = [story.factor * row.test for row in rows]
        lines.append(
            (
                arm,
                f"{np.mean([row.epochs for row in rows]):.0f}",
                spread([row.validation for row in rows], 2, story.factor),
                spread([row.test for row in rows], 2, story.factor),
                f"{min(tests):.2f} to {max(tests):.2f}",
                f"{np.mean([row.failed for row in rows]):.1f}",
                spread([row.seconds for row in rows], 0),
            )
        )
    unit = f"{story.metric}{f', {story.unit}' if story.unit else ''}"
    head = ("search", "epochs", f"validation {unit}", f"test {unit}", "min to max")
    return table((*head, "failed", "seconds"), lines)


def comparisons(results: Results, story: Story) -> str:
    """Return the table of paired gains in the test figure; above 0 is better."""
    lines = []
    for arm in story.evolved:
        for other in story.against:
            gains = [100 * gain for gain in results.gains(arm, other)]
            lines.append(
                (
                    f"{arm} against {other}",
                    f"{np.mean(gains):+.1f} ({min(gains):+.1f} to {max(gains):+.1f})",
                    *cells(results.gap(arm, other), 2, story.factor),
                )
            )
    head = ("gain in the test figure", "relative, % (min to max)", "absolute (95 % interval)")
    return table((*head, "p", "better in"), lines)


def schedules(results: Results, story: Story) -> str:
    """Return the table of the best lines' schedules: medians over the seeds."""
    lines = []
    for arm in story.evolved:
        found = [row.schedule for row in results.groups[arm] if row.schedule]
        for gene in found[0][0] if found else ():
            first = [each[0][gene] for each in found]
            middle = [each[len(each) // 2][gene] for each in found]
            last = [each[-1][gene] for each in found]
            medians = (f"{np.median(values):.3g}" for values in (first, middle, last))
            lines.append((arm, gene, *medians, _ratios(first, last), _directions(first, last)))
    head = ("search", "gene", "start", "middle", "end", "end / start (min to max)")
    return table((*head, "falls, grows in"), lines)


def _ratios(first: Sequence[float], last: Sequence[float]) -> str:
    if not all(first):
        return "-"
    ratios = np.divide(last, first)
    return f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"


def _directions(first: Sequence[float], last: Sequence[float]) -> str:
    signs = np.sign(np.subtract(last, first))
    return f"{(signs < 0).sum()}, {(signs > 0).sum()} of {len(signs)}"


# -- conclusions ----------------------------------------------------------------------------------


def conclusions(results: Results, story: Story) -> list[str]:
    """Return one sentence for each question, as the figures have it."""
    lines = []
    for arm in story.evolved:
        if story.paper is not None:
            lines.append(_beside_the_paper(results, story, arm, story.paper))
        others = story.against[1:] if story.paper is not None else story.against
        lines += [_verdict(results, story, arm, other) for other in others]
    return lines + [_claim(results, claim, arm) for claim in story.claims for arm in story.evolved]


def _beside_the_paper(results: Results, story: Story, arm: str, paper: tuple[float, float]) -> str:
    before, after = paper
    gains = [100 * gain for gain in results.gains(arm, story.against[0])]
    mean, reported = float(np.mean(gains)), 100 * (1 - after / before)
    verdict = "reaches" if mean >= reported else "misses"
    return (
        f"{arm} {verdict} the paper's improvement: {mean:+.1f} % on average over "
        f"{len(gains)} seeds ({min(gains):+.1f} to {max(gains):+.1f}) against one line of "
        f"{story.against[0]}, {reported:.1f} % in the paper ({before:g} to {after:g}); "
        + _verdict(results, story, arm, story.against[0])
    )


def _verdict(results: Results, story: Story, arm: str, other: str) -> str:
    gap = results.gap(arm, other)
    words = {1: "beats", 0: "cannot be told from", -1: "is worse than"}
    unit = f" {story.unit}" if story.unit else ""
    return (
        f"{arm} {words[gap.sign]} {other} in test {story.metric}: better by "
        f"{figures(gap, 2, unit, story.factor)}."
    )


def _claim(results: Results, claim: Claim, arm: str) -> str:
    found = [row.schedule for row in results.groups[arm] if row.schedule]
    held = sum(claim.holds(schedule) for schedule in found)
    verdict = "seen" if held > len(found) / 2 else "not seen"
    return (
        f'The paper\'s "{claim}" is {verdict} in the winners of {arm}: so in {held} of '
        f"{len(found)} seeds."
    )


# -- the section ----------------------------------------------------------------------------------


def section(story: Story, rows: Sequence[Row], command: str) -> str:
    """Return what the rows say, as Markdown.

    Args:
        story: What is told beside the figures.
        rows: All of them.
        command: How it was started.
    """
    results = Results(rows)
    seeds = sorted({row.seed for row in rows})
    minutes = sum(row.seconds for row in rows if row.arm != BASELINE) / 60  # counted among its best
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}. Seeds: {', '.join(map(str, seeds))}; "
        f"{minutes:.0f} minutes of training and measuring in all. Command: `{command}`.",
        story.setting,
        "Mean ± standard deviation over seeds; the validation figure chooses, the test figure "
        "plays no part in any choice; failed are trials that diverged:",
        summary(results, story),
    ]
    if len(seeds) == 1:
        parts.append("A pilot with one seed: differences cannot be told from chance.")
    else:
        parts += [
            "Paired over seeds, above 0 is better: mean (95 % interval), Wilcoxon's two-sided p "
            f"(which {len(seeds)} seeds cannot bring below {2 / 2 ** len(seeds):.2g}); not "
            "corrected for the number of comparisons:",
            comparisons(results, story),
        ]
    parts += ["Schedules of the best lines, medians over the seeds:", schedules(results, story)]
    if len(seeds) > 1:
        listed = "\n".join(f"- {line}" for line in conclusions(results, story))
        parts += ["Conclusions, written by the script from these figures:", listed]
    return "\n\n".join(parts)
