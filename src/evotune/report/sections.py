"""Which figures a report has, and the sentence that says how to read each."""

import math
from collections.abc import Iterator

from evotune.analysis.comparison import Comparison
from evotune.analysis.data import FAMILY_AT_MOST, StudyData
from evotune.analysis.diversity import alarms
from evotune.analysis.scales import varied_genes
from evotune.analysis.text import count, shorten
from evotune.report.figures import progress as figures
from evotune.report.figures.credit import FEW, credit_figure, credit_table, operator_credits
from evotune.report.figures.distributions import distributions, diversity_over_time
from evotune.report.figures.family import family_tree
from evotune.report.figures.front import front_sections
from evotune.report.figures.importance import importance_bars
from evotune.report.figures.members import (
    ANCESTORS_AT_MOST,
    ARROWS_AT_MOST,
    EDGES_AT_MOST,
    GENERATIONS_AT_MOST,
    MEMBERS_AT_MOST,
    family_of_best,
    inheritance,
    learning_curves,
    replacements,
    shown_steps,
)
from evotune.report.figures.parallel import AXES_AT_MOST, TRIALS_AT_MOST, parallel_coordinates
from evotune.report.figures.schedules import LINES_AT_MOST, schedule_panels, surviving_lines
from evotune.report.figures.slices import FAILED_AT_MOST, points_a_panel, slices
from evotune.report.figures.theme import PANELS_AT_MOST, Section
from evotune.report.figures.versus import versus


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


def sections(data: StudyData, comparison: Comparison | None = None) -> list[Section]:
    """Return the figures that this study has something for, in the order of the page.

    Args:
        data: The study.
        comparison: What came of comparing it with random search.
    """
    if not data.done:
        return []
    makers = (
        _progress,
        front_sections,
        training_sections,
        _parallel,
        _importance,
        _slices,
        _distributions,
        _family,
        _diversity,
    )
    made = [section for maker in makers for section in maker(data)]
    return [*versus(comparison), *made]


def _progress(data: StudyData) -> Iterator[Section]:
    scale, hidden = data.score_scale
    notes = [*_first_only(data), *_thinned(data, figures.POINTS_AT_MOST)]
    if data.infeasible:
        notes.append(f"Hollow points break a constraint: {count(len(data.infeasible), 'trial')}.")
    if any(trial.repeats > 1 for trial in data.done):
        notes.append("Trials that repeat each other are all drawn at their mean, here and below.")
    if hidden:
        is_max = data.objective.direction == "max"
        end = f"below {scale.low:.4g}" if is_max else f"above {scale.high:.4g}"
        notes.append(
            f"Results {end} lie outside the axis, so that they do not squash the rest: "
            f"{count(hidden, 'trial')}."
        )
    yield Section(
        "progress",
        f"How {_metric(data)} improved",
        "The orange line is the best result so far; the blue bands show where the middle half and "
        f"the middle 80 % of the trials of each {_unit(data)} lie, the blue line their median.",
        figures.progress(data),
        tuple(notes),
    )


def _parallel(data: StudyData) -> Iterator[Section]:
    if not varied_genes(data.space):
        return
    conditional = any(g in data.space.conditional for g in varied_genes(data.space))
    level = " A line at “–” means that the gene is not active in that trial." if conditional else ""
    yield Section(
        "parallel",
        "Which combinations work",
        "Each line is a trial, the stronger its colour the better, the best in orange: drag along "
        "an axis to keep only the lines through that range, drag an axis by its name to move it."
        + level
        + _ages(data),
        parallel_coordinates(data.comparable),
        (*_first_only(data), *_thinned(data, TRIALS_AT_MOST), *_capped(data, AXES_AT_MOST)),
    )


def _importance(data: StudyData) -> Iterator[Section]:
    result = data.importance
    if math.isnan(result.quality) or not any(result.shares.values()):
        return
    why = "the forest hardly predicts the ranking, so the bars may be chance"
    if result.trials < 20:
        why = f"{result.trials} trials are too few to tell signal from chance"
    yield Section(
        "importance",
        f"What decides {_metric(data)}",
        "Blue: how much of a random forest's ranking of all points of the space varies with this "
        "gene, strong by itself, faded together with others (fANOVA); the forest explains "
        f"{_explained(result.quality)} of the ranking (R²) on trials it has not seen. Orange: how "
        "much the gene decides whether a trial is among the best tenth (PED-ANOVA)." + _ages(data),
        importance_bars(result, data.importance_by("ped_anova")),
        _first_only(data),
        "" if result.is_reliable else f"Do not rely on this: {why}.",
    )


def _explained(quality: float) -> str:
    return f"{100 * quality:.0f} %" if quality > 0 else "nothing"


def _slices(data: StudyData) -> Iterator[Section]:
    if not varied_genes(data.space):
        return
    notes = [*_first_only(data), *_thinned(data, points_a_panel(data)), *_capped(data)]
    if data.infeasible:
        notes.append("Hollow points break a constraint.")
    crosses = f", crosses at the {_bad_end(data)} show where trials failed" if data.failed else ""
    if len(data.failed) > FAILED_AT_MOST:
        notes.append(f"Of the failed trials only the last {FAILED_AT_MOST} are marked.")
    yield Section(
        "slices",
        f"Each gene against {_metric(data)}",
        "Each point is a trial, stronger in colour the later it came; the star is the best one"
        f"{crosses}.{_ages(data)}",
        slices(data.comparable),
        tuple(notes),
    )


def _distributions(data: StudyData) -> Iterator[Section]:
    if not varied_genes(data.space):
        return
    yield Section(
        "distributions",
        "Where the search went",
        f"For numbers, bands show the middle 80 % and 50 % of the values in each {_unit(data)}, "
        "with the median in blue and the best trial so far in orange; for options, bars show the "
        "share of each (point at one for its name).",
        distributions(data),
        _capped(data),
    )


def _family(data: StudyData) -> Iterator[Section]:
    line = data.family()
    if len(line) < 2 or (data.inherits and any(step.lane for step in data.steps)):
        return  # where weights are inherited too, another tree shows both
    cut = f"Only its latest {FAMILY_AT_MOST - 1} ancestors are drawn."
    yield Section(
        "family",
        "Where the best trial comes from",
        f"The star is the best trial and the points linked to it are its {len(line) - 1:,} "
        f"ancestors; the orange line goes back through {_back(data)}, and pointing at a trial "
        "shows which genes changed.",
        family_tree(data),
        (cut,) if len(line) == FAMILY_AT_MOST else (),
    )


def _back(data: StudyData) -> str:
    return "its weights" if data.inherits else "the better parent each time"


def _diversity(data: StudyData) -> Iterator[Section]:
    if not varied_genes(data.space) or len(set(data.groups.of.tolist())) < 2:
        return
    if len(set(data.groups.of.tolist())) == len(data.trials):
        return  # one trial each: there is nothing to compare
    yield Section(
        "diversity",
        "How diverse the trials stayed",
        f"100 % is as diverse as random sampling, 0 % means that all trials of a {_unit(data)} are "
        "alike; a row that fades shows a gene on which the search has settled.",
        diversity_over_time(data),
        warning=" ".join(alarms(data)),
    )


def _ages(data: StudyData) -> str:
    """Return how trials are compared where some have had more training than others."""
    if not data.inherits:
        return ""
    return (
        " As later trials start from better weights, each is compared with those only that end "
        "after as many epochs: rank 100 % is the best of them."
    )


def _bad_end(data: StudyData) -> str:
    return "foot" if data.objective.direction == "max" else "top"


def _metric(data: StudyData) -> str:
    return shorten(data.objective.metric, 50)


def _unit(data: StudyData) -> str:
    return "generation" if data.groups.born_name == "generation" else "block"


def _first_only(data: StudyData) -> tuple[str, ...]:
    if len(data.objectives.objectives) == 1:
        return ()
    return (f"Of several objectives this is about the first, {_metric(data)}.",)


def _thinned(data: StudyData, limit: int) -> tuple[str, ...]:
    if len(data.done) <= limit:
        return ()
    return (
        f"Of {len(data.done):,} trials {limit:,} are drawn: the best, and a random choice of the "
        "others.",
    )


def _capped(data: StudyData, limit: int = PANELS_AT_MOST) -> tuple[str, ...]:
    genes = len(varied_genes(data.space))
    if genes <= limit:
        return ()
    return (f"Of {genes} genes the {limit} most important are drawn.",)
