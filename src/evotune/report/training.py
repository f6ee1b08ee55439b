"""The sections of a study whose trials inherit weights: schedules, members, families, credit."""

from collections.abc import Iterator

from evotune.report.credit import FEW, credit_figure, credit_table, operator_credits
from evotune.report.data import StudyData
from evotune.report.inheritance import ANCESTORS_AT_MOST, family_of_best, inheritance
from evotune.report.members import (
    ARROWS_AT_MOST,
    EDGES_AT_MOST,
    GENERATIONS_AT_MOST,
    MEMBERS_AT_MOST,
    learning_curves,
    replacements,
    shown_steps,
)
from evotune.report.panels import PANELS_AT_MOST
from evotune.report.scales import varied_genes
from evotune.report.schedules import LINES_AT_MOST, schedule_panels, surviving_lines
from evotune.report.section import Section
from evotune.report.text import shorten


def training_sections(data: StudyData) -> Iterator[Section]:
    """Yield what there is to see of members that train on; nothing where weights are not kept."""
    if not data.inherits:
        return
    yield from _schedules(data)
    yield from _curves(data)
    if any(step.lane for step in data.steps):
        yield from _replacements(data)
        yield from _inheritance(data)
    yield from _credit(data)


def _schedules(data: StudyData) -> Iterator[Section]:
    lines = surviving_lines(data)
    if not varied_genes(data.space) or not lines:
        return
    notes = []
    if len(lines) > LINES_AT_MOST:
        notes.append(f"Of {len(lines)} members at the end the {LINES_AT_MOST} best are drawn.")
    genes = len(varied_genes(data.space))
    if genes > PANELS_AT_MOST:
        notes.append(f"Of {genes} genes the {PANELS_AT_MOST} most important are drawn.")
    yield Section(
        "schedules",
        "Schedules",
        "What each gene was at every epoch along the line of weights that ends in the best trial "
        "(orange), and along those of the members at the end (grey); lines join where members "
        "have a donor in common. To train with it: study.schedule(), or evotune schedule.",
        schedule_panels(data, lines),
        tuple(notes),
    )


def _curves(data: StudyData) -> Iterator[Section]:
    notes = []
    if len(data.done) > EDGES_AT_MOST:
        notes.append(f"Of {len(data.done):,} trials {EDGES_AT_MOST:,} are drawn, at random.")
    yield Section(
        "curves",
        f"How the members trained: {shorten(data.objective.metric, 50)}",
        "Each grey line joins a trial with the one that gave it its weights: a line that ends "
        "belongs to a member that was replaced, one that forks to a donor. The orange line leads "
        "to the best trial.",
        learning_curves(data),
        tuple(notes),
    )


def _replacements(data: StudyData) -> Iterator[Section]:
    shown, all_steps = shown_steps(data), [step for step in data.steps if step.lane]
    if not any(step.is_child for step in shown):
        return
    notes = []
    if len(shown) < len(all_steps):
        notes.append(
            f"Only the last {GENERATIONS_AT_MOST} generations and at most {MEMBERS_AT_MOST} "
            "members are drawn."
        )
    if sum(step.is_child for step in shown) > ARROWS_AT_MOST:
        notes.append("So many were replaced that only arrows on the best trial's line are drawn.")
    yield Section(
        "replaced",
        "Who replaced whom",
        "Each cell is one step of a member, the stronger its colour the better. An arrow ends "
        "where a member gave way to a child and begins at the trial that gave the child its "
        "weights; where none ends, the member went on with its own.",
        replacements(data),
        tuple(notes),
    )


def _inheritance(data: StudyData) -> Iterator[Section]:
    family = family_of_best(data)
    if len(family) < 2:
        return
    cut = (
        f"Of its {len(family) - 1} ancestors those are drawn that its weights went through, and "
        "those from which a gene came into that line."
    )
    yield Section(
        "inheritance",
        "Where the best trial comes from",
        "The star is the best trial. Solid lines hand on weights, dotted ones genes: a child may "
        "have its weights from another trial than its genes. The orange line is the training that "
        "its weights went through.",
        inheritance(data),
        (cut,) if len(family) > ANCESTORS_AT_MOST else (),
    )


def _credit(data: StudyData) -> Iterator[Section]:
    rows = operator_credits(data)
    if not any(row.trials > row.failed for row in rows):
        return
    notes = [
        "Donors are chosen for a good result, which is partly luck: even a child that changes "
        "nothing falls back a little on average.",
        "Better: ended with a better result than the donor of its weights had. Compared: median "
        "of the gain minus the median gain of those that trained the same epochs, with its 95 % "
        "interval (from order statistics).",
    ]
    if any(row.trials < FEW for row in rows):
        notes.append(f"“few” and grey points: fewer than {FEW} trials, do not rely on them.")
    yield Section(
        "credit",
        "What each operator is worth",
        "How much trials improved on the donor of their weights, by what was done to their genes: "
        "right of the dotted line they improved more than others of their generation. An interval "
        "that crosses it proves nothing.",
        credit_figure(data, rows),
        tuple(notes),
        table=credit_table(rows),
    )
