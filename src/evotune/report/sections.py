"""Which figures and tables a report has, and the sentence that says how to read each."""

from collections.abc import Callable
from functools import partial
from typing import Any

from evotune import finite
from evotune.analysis.comparison import Comparison
from evotune.analysis.credit import FEW, Credit, operator_credits
from evotune.analysis.data import FAMILY_AT_MOST, StudyData
from evotune.analysis.reports import reported
from evotune.analysis.rungs import rungs
from evotune.analysis.scales import varied_genes
from evotune.analysis.text import count, percent
from evotune.analysis.volumes import reference
from evotune.errors import NoResultError
from evotune.printing import number, shorten
from evotune.report import figures
from evotune.report.figures.contour import DOTS_AT_MOST, REACH
from evotune.report.figures.credit import gain_range
from evotune.report.figures.curves import EDGES_AT_MOST, shown_curves
from evotune.report.figures.family import (
    ANCESTORS_AT_MOST,
    ARROWS_AT_MOST,
    GENERATIONS_AT_MOST,
    MEMBERS_AT_MOST,
    shown_steps,
)
from evotune.report.figures.front import PAIRS_AT_MOST
from evotune.report.figures.marks import POINTS_AT_MOST
from evotune.report.figures.panels import PANELS_AT_MOST
from evotune.report.figures.parallel import AXES_AT_MOST, TRIALS_AT_MOST
from evotune.report.figures.schedules import LINES_AT_MOST
from evotune.report.figures.slices import FAILED_AT_MOST, points_a_panel
from evotune.report.figures.structures import PARENTS_AT_MOST
from evotune.report.figures.timeline import BARS_AT_MOST
from evotune.report.figures.versus import verdicts_of
from evotune.report.findings import alarms
from evotune.report.parts import Cell, Row, Section, Table
from evotune.report.tables import all_trials, failed_trials, front_table

#: Trials of the front in its table.
FRONT_AT_MOST = 50


def sections(
    data: StudyData,
    comparison: Comparison | None = None,
    replayed: Comparison | None = None,
    *,
    pages: str = "",
) -> tuple[Section, ...]:
    """Return the sections for which this study has something to show, in the order of the page.

    Args:
        data: The study.
        comparison: Its comparison with random search, if there is one.
        replayed: The trainings with its schedule and without, if there are some.
        pages: Address of the folder with the pages of the trials, if these are written.
    """
    front = partial(_front, pages=pages)
    makers: tuple[Callable[[StudyData], Section | None], ...] = (
        *((front, _hypervolume, _progress) if data.has_several_objectives else (_progress,)),
        _structure,
        _structure_changes,
        _structures_over_time,
        _sizes,
        _schedules,
        _curves,
        _replacements,
        _inheritance,
        _credit,
        _parallel,
        _importance,
        _slices,
        _contour,
        _distributions,
        _family,
        _diversity,
        _rungs,
        _timeline,
    )
    made = [_unless_nothing(maker, data) for maker in makers]
    controls = ((replayed, _replayed), (comparison, _versus))
    for control, maker in controls:
        if control is not None and data.done:
            made.insert(0, _unless_nothing(maker, control))
    return tuple(s for s in (*made, failed_trials(data), all_trials(data, pages)) if s)


def _unless_nothing(maker: Callable[[Any], Section | None], of: Any) -> Section | None:
    """Return a section, or None where its figure has nothing to show."""
    try:
        return maker(of)
    except NoResultError:
        return None


# -- every study ----------------------------------------------------------------------------------


def _progress(data: StudyData) -> Section:
    figure = figures.progress(data)
    scale, hidden = data.score_scale
    notes = [*_first_only(data), *_thinned(data, POINTS_AT_MOST)]
    if data.infeasible:
        notes.append(f"Hollow points break a constraint: {count(len(data.infeasible), 'trial')}.")
    if any(trial.repeats > 1 for trial in data.done):
        notes.append("Trials that repeat each other are all drawn at their mean, here and below.")
    if hidden:
        is_max = data.objective.direction == "max"
        end = f"below {scale.low:.4g}" if is_max else f"above {scale.high:.4g}"
        notes.append(
            f"Results {end} are outside the axis, so that the others remain readable: "
            f"{count(hidden, 'trial')}."
        )
    return Section(
        "progress",
        f"How {_metric(data)} improved",
        "The orange line is the best result so far; the blue bands show where the middle half and "
        f"the middle 80 % of the trials of each {_unit(data)} lie, the blue line their median.",
        figure,
        notes=tuple(notes),
    )


def _parallel(data: StudyData) -> Section:
    conditional = any(g in data.space.conditional for g in varied_genes(data.space))
    level = " A line at “–” means that the gene is not active in that trial." if conditional else ""
    return Section(
        "parallel",
        "Which combinations work",
        "Each line is a trial: the stronger its colour, the better; the best is orange. Drag along "
        "an axis to keep only the lines through that range, drag an axis by its name to move it."
        + level
        + _ages(data),
        figures.parallel(data),
        notes=(*_first_only(data), *_thinned(data, TRIALS_AT_MOST), *_capped(data, AXES_AT_MOST)),
    )


def _importance(data: StudyData) -> Section:
    figure, result = figures.importance(data), data.importance
    why = "the forest hardly predicts the ranking, so the bars may be chance"
    if result.trials < 20:
        why = f"{result.trials} trials are too few to tell signal from chance"
    chains = " All genes of a chain of layers have a bar together." if data.space.chains else ""
    if data.space.compounds.keys() - data.space.chains.keys():
        chains += " All genes of a schedule have a bar together."
    explained = f"{100 * result.quality:.0f} %" if result.quality > 0 else "nothing"
    return Section(
        "importance",
        f"What decides {_metric(data)}",
        "The longer a bar, the more the gene decides how good a trial is. Blue: over all that was "
        "tried, strong for the gene alone, faded for what it does together with others. Orange: "
        f"for being among the best tenth.{chains}" + _ages(data),
        figure,
        notes=_first_only(data),
        method="blue is the share of the variance of the ranking over the whole space, as a random "
        f"forest predicts it (fANOVA, Hutter et al., 2014); the forest explains {explained} of the "
        "ranking of unseen trials (R²). Orange is PED-ANOVA (Watanabe et al., 2023).",
        warning="" if result.is_reliable else f"Do not rely on this: {why}.",
    )


def _slices(data: StudyData) -> Section:
    figure = figures.slices(data)
    notes = [*_first_only(data), *_thinned(data, points_a_panel(data)), *_capped(data)]
    if data.infeasible:
        notes.append("Hollow points break a constraint.")
    end = "bottom" if data.objective.direction == "max" else "top"
    crosses = f", crosses at the {end} show where trials failed" if data.failed else ""
    if len(data.failed) > FAILED_AT_MOST:
        notes.append(f"Of the failed trials only the last {FAILED_AT_MOST} are marked.")
    return Section(
        "slices",
        f"Each gene against {_metric(data)}",
        "Each point is a trial: the later it came, the stronger its colour; the star is the best "
        f"one{crosses}.{_ages(data)}",
        figure,
        notes=tuple(notes),
    )


def _contour(data: StudyData) -> Section:
    figure = figures.contour(data)
    best = "high" if data.comparable.objective.direction == "max" else "low"
    return Section(
        "contour",
        "The two genes that decide most",
        f"The stronger the colour, the better ({best}) the trials there; each point is a trial, "
        "the star the best one. There is colour only where a trial lies within "
        f"{percent(REACH)} of the length of the axes, of options only at those that were tried. "
        "For two others: "
        f"et.plot.contour(study, genes=(…, …)).{_ages(data)}",
        figure,
        notes=(*_first_only(data), *_thinned(data, DOTS_AT_MOST)),
        method="the colour is the mean of the trials near, weighted by a Gaussian of their "
        "distance, whatever their other genes are (Nadaraya, 1964; Watson, 1964).",
    )


def _timeline(data: StudyData) -> Section:
    figure = figures.timeline(data)
    notes = []
    if any(len(trace.y or ()) for trace in figure.data) and figure.layout.shapes:
        notes.append("Dotted lines: a time in which nothing ran is cut short there.")
    begun = sum(trial.started is not None for trial in data.trials)
    if begun > BARS_AT_MOST:
        notes.append(f"Of {begun:,} trials the last {BARS_AT_MOST:,} are drawn.")
    return Section(
        "timeline",
        "When the trials ran",
        "Each bar is a trial from its start to its end, in one row for each that ran at the same "
        "time: gaps are workers that had nothing to do.",
        figure,
        notes=tuple(notes),
    )


def _distributions(data: StudyData) -> Section:
    return Section(
        "distributions",
        "Where the search went",
        f"For numbers, bands show the middle 80 % and 50 % of the values in each {_unit(data)}, "
        "with the median in blue and the best trial so far in orange; for options, bars show the "
        "share of each (hover over a bar to see which).",
        figures.distributions(data),
        notes=_capped(data),
    )


def _family(data: StudyData) -> Section | None:
    if data.inherits and data.has_members:
        return None  # inheritance shows both
    line = data.family()
    cut = f"Only its latest {FAMILY_AT_MOST - 1} ancestors are drawn."
    back = "its weights" if data.inherits else "the better parent each time"
    return Section(
        "family",
        "Where the best trial comes from",
        f"The star is the best trial and the points linked to it are its {len(line) - 1:,} "
        f"ancestors; the orange line goes back through {back}. Hover over a trial to see which "
        "genes changed.",
        figures.family(data),
        notes=(cut,) if len(line) == FAMILY_AT_MOST else (),
    )


def _diversity(data: StudyData) -> Section:
    return Section(
        "diversity",
        "How diverse the trials stayed",
        f"100 % is as diverse as random sampling, 0 % means that all trials of a {_unit(data)} are "
        "alike; a row that fades shows a gene that has converged.",
        figures.diversity(data),
        warning=" ".join(alarms(data)),
    )


# -- several objectives ---------------------------------------------------------------------------


def _front(data: StudyData, pages: str) -> Section:
    figure, knee, notes = figures.front(data), "", []
    if data.knee is not None:
        knee = (
            f" The star is the knee, trial {data.done[data.knee].number}: a balanced compromise, "
            "from which each objective can be improved only at a high price in another."
        )
    on_front = int(data.front.sum())
    if on_front > FRONT_AT_MOST:
        notes.append(f"Of {on_front:,} trials on the front {FRONT_AT_MOST} are in the table.")
    if len(data.done) > POINTS_AT_MOST:
        notes.append(
            f"Of {len(data.done):,} trials {POINTS_AT_MOST:,} are drawn: the front, and a random "
            "choice of the others."
        )
    if len(data.objectives.objectives) > 4:
        notes.append(f"Only the first {PAIRS_AT_MOST} pairs of objectives are drawn.")
    if data.infeasible:
        broken = count(len(data.infeasible), "trial")
        notes.append(f"Hollow points break a constraint and cannot be on the front: {broken}.")
    return Section(
        "front",
        "Trade-off between the objectives",
        "The best compromises are orange: no trial is better than one of them in one objective "
        f"without being worse in another; there are {on_front:,} of "
        f"{count(len(data.ranking), 'trial')}.{knee}",
        figure,
        front_table(data, FRONT_AT_MOST, pages),
        notes=tuple(notes),
        method="the knee is the point of the front farthest from the line or plane through its "
        "extremes, each objective scaled to the front's range (Das, 1999)."
        if knee
        else "",
        table_first=True,
    )


def _hypervolume(data: StudyData) -> Section:
    figure = figures.hypervolume(data)
    pairs = zip(data.objectives.objectives, reference(data).tolist(), strict=True)
    point = ", ".join(f"{shorten(o.metric, 40)} = {number(o.score(value))}" for o, value in pairs)
    return Section(
        "hypervolume",
        "How the front advanced",
        "It rises when a new compromise is found, and else stays the same; where it has long been "
        "level, further trials bring little.",
        figure,
        method="the share of the final front's hypervolume, the volume of all points that some "
        f"trial beats in every objective, up to the reference point {point}, which lies a tenth of "
        "the final front's range beyond its worst values.",
    )


# -- chains of layers -----------------------------------------------------------------------------


def _structure(data: StudyData) -> Section:
    figure = figures.structure(data)
    return Section(
        "structure",
        "The layers of the best trial",
        "From the input downwards: the wider a layer, the wider its bar (on a logarithmic scale); "
        "one that has no width, such as a pool, is as wide as the one before. Colours are blocks. "
        "Hover over a layer for its settings.",
        figure,
    )


def _structure_changes(data: StudyData) -> Section | None:
    best = data.best
    if best is None:
        return None
    figure = figures.structure_changes(data)
    origins = len(dict.fromkeys((*best.parents, *best.donors)))
    cut = f"Of {origins} parents {PARENTS_AT_MOST} are drawn."
    return Section(
        "changes",
        "The best trial beside its parents",
        "The layers of a parent on the left, those of the best trial on the right, side by side "
        "such that as little as possible changed.",
        figure,
        notes=(cut,) if origins > PARENTS_AT_MOST else (),
    )


def _structures_over_time(data: StudyData) -> Section:
    return Section(
        "structures",
        "How structures changed",
        f"Layers: bands show the middle 80 % and 50 % of the trials of each {_unit(data)}, with "
        "the median in blue and the best trial so far in orange. Blocks: the share of each among "
        "all layers (hover over a bar to see which).",
        figures.structures_over_time(data),
    )


def _sizes(data: StudyData) -> Section:
    return Section(
        "sizes",
        f"Parameters against {_metric(data)}",
        "Each point is a trial: the more layers its network has, the stronger its colour; the star "
        f"is the best one.{_ages(data)}",
        figures.sizes(data),
        notes=(*_first_only(data), *_thinned(data, POINTS_AT_MOST)),
    )


# -- members that train on ------------------------------------------------------------------------


def _schedules(data: StudyData) -> Section:
    figure, lines, notes = figures.schedules(data), len(data.surviving_lines), []
    if lines > LINES_AT_MOST:
        notes.append(f"Of the final {lines} members the {LINES_AT_MOST} best are drawn.")
    best = 0 if data.best is None else data.best.number
    return Section(
        "schedules",
        "Schedules",
        "The value of each gene in every epoch through which the weights of the best trial "
        "(orange) and of the final population (grey) were trained; lines join where members have a "
        f"donor in common. To train with the orange one: study.schedule({best}), or evotune "
        f"schedule --trial {best}; study.schedule() is that of the best network at the end of the "
        "run. study.replay(...) tells whether a schedule beats constants, "
        "study.compare_with_random(...) whether evolution helped.",
        figure,
        notes=(*notes, *_capped(data)),
    )


def _curves(data: StudyData) -> Section:
    if data.inherits and data.done:
        cut = f"Of {len(data.done):,} trials {EDGES_AT_MOST:,} are drawn, at random."
        return Section(
            "curves",
            f"How the members trained: {_metric(data)}",
            "Each grey line joins a trial to the donor of its weights. A line ends where a member "
            "was replaced and forks where one was copied. The orange line leads to the best trial.",
            figures.curves(data),
            notes=(cut,) if len(data.done) > EDGES_AT_MOST else (),
        )
    figure = figures.curves(data)
    metric, found = reported(data)
    stopped = sum(curve.trial.state == "stopped" for curve in found)
    few = len(shown_curves(data, found))
    ends = (
        f" {count(stopped, 'trial')} of {len(found):,} were stopped early (green), by what they "
        "had reported so far; the grey ones ran to their end."
        if stopped
        else ""
    )
    return Section(
        "curves",
        f"How the trials trained: {shorten(metric, 50)}",
        f"Each line is what one trial reported; the orange one is the best trial.{ends}",
        figure,
        notes=(f"Of {len(found):,} curves {few:,} are drawn.",) if few < len(found) else (),
    )


def _replacements(data: StudyData) -> Section:
    figure, shown, notes = figures.replacements(data), shown_steps(data), []
    if len(shown) < sum(bool(step.lane) for step in data.steps):
        notes.append(
            f"Only the last {GENERATIONS_AT_MOST} generations and at most {MEMBERS_AT_MOST} "
            "members are drawn."
        )
    if sum(step.is_child for step in shown) > ARROWS_AT_MOST:
        notes.append("As many members were replaced, only arrows to the best trial are drawn.")
    return Section(
        "replaced",
        "Which members were replaced",
        "Each cell is one step of a member: the stronger its colour, the better. An arrow leads "
        "from the donor of the weights to the child that replaced a member; a member without an "
        "arrow continued with its own weights.",
        figure,
        notes=tuple(notes),
    )


def _inheritance(data: StudyData) -> Section | None:
    if not data.inherits:
        return None
    family = len(data.family_of_members)
    cut = (
        f"Of its {family - 1} ancestors, only those are drawn that trained its weights, or from "
        "which one of these got a gene."
    )
    return Section(
        "inheritance",
        "Where the best trial comes from",
        "The star is the best trial. Solid lines show where weights came from, dotted lines where "
        "genes came from: the two may differ. The orange line is the training of the best trial's "
        "weights.",
        figures.inheritance(data),
        notes=(cut,) if family > ANCESTORS_AT_MOST else (),
    )


def _credit(data: StudyData) -> Section:
    figure, rows = figures.credit(data), operator_credits(data)
    notes = [
        "Donors are chosen for a good result, which is partly luck: even an unchanged copy gets a "
        "slightly worse result on average.",
    ]
    if any(row.trials < FEW for row in rows):
        notes.append(f"“few” and grey points: fewer than {FEW} trials, too few to rely on.")
    head = ("what was done", "trials", "failed", "better than donor", "median gain", "compared")
    return Section(
        "credit",
        "What each operator is worth",
        "How much trials improved on the donor of their weights, by what was done to their genes. "
        "Right of the dotted line they improved more than others of their generation; an interval "
        "that crosses the line is no evidence of a difference.",
        figure,
        Table(head, tuple(map(_credit_row, rows))),
        tuple(notes),
        method="better than donor: the result is better than that of the donor of the weights. "
        "Compared: median gain minus the median gain of the trials that trained the same epochs, "
        "with its 95 % interval (from order statistics).",
    )


def _credit_row(row: Credit) -> Row:
    known = row.trials > row.failed
    return (
        row.kind,
        Cell(str(row.trials), small=("few",) if row.trials < FEW else ()),
        str(row.failed or ""),
        Cell(str(row.better), small=(f"({percent(row.better / row.trials)})",)),
        number(row.gain, 3) if known else "–",
        gain_range(row) if known else "–",
    )


# -- successive halving, and other searches -------------------------------------------------------


def _rungs(data: StudyData) -> Section:
    rows = tuple(
        (
            f"{rung.budget:g}",
            str(len(rung.trials)),
            str(sum(trial.is_done for trial in rung.trials)),
            str(len(rung.promoted)),
            number(data.score_of[rung.best.number]) if rung.best else "–",
        )
        for rung in rungs(data.trials)
    )
    return Section(
        "rungs",
        "Rungs",
        "A rung is a budget, counted from fresh weights. The best trials of each rung (blue) are "
        "promoted: new trials continue them on the next. The orange line is the best result.",
        figures.rungs(data),
        Table(("budget", "trials", "done", "promoted", f"best {data.objective.metric}"), rows),
    )


def _versus(comparison: Comparison) -> Section:
    paired = "; lines join the runs that had the same seed" if comparison.are_paired else ""
    return _arms(
        comparison,
        "comparison",
        "Whether evolution helped",
        f"Each point is the best result of one run{paired}.",
    )


def _replayed(replayed: Comparison) -> Section:
    held = (
        f"{arm.capitalize()}: {', '.join(f'{name} {number(v)}' for name, v in params.items())}."
        for arm, params in replayed.settings.items()
    )
    return _arms(
        replayed,
        "replay",
        "Whether the schedule helped",
        "Each point is the end of one training from fresh weights, along the schedule or with "
        "constant params, as study.replay(...) made it.",
        tuple(held),
    )


def _arms(
    comparison: Comparison, key: str, title: str, points: str, notes: tuple[str, ...] = ()
) -> Section:
    head = ("arm", "runs", "mean", "best", "worst", "epochs of a run", "every run")
    rows = []
    for name, values in comparison.arms.items():
        ordered = sorted(values, reverse=comparison.direction == "max")
        ends = (finite.mean(values), ordered[0], ordered[-1])
        epochs = f"{comparison.epochs.get(name, 0.0):g}"
        every = ", ".join(number(value, 5) for value in values[:12])
        rows.append((name, str(len(values)), *(number(v, 5) for v in ends), epochs, every))
    return Section(
        key,
        title,
        f"{' '.join(verdicts_of(comparison))} {points}",
        figures.versus(comparison),
        Table(head, tuple(rows)),
        notes,
    )


# -- words that many have in common ---------------------------------------------------------------


def _ages(data: StudyData) -> str:
    """Return how trials are compared where some have had more training than others."""
    if not data.inherits:
        return ""
    return (
        " As later trials start from better weights, each trial is ranked only among those that "
        "end after the same number of epochs: rank 100 % is the best of them."
    )


def _metric(data: StudyData) -> str:
    return shorten(data.objective.metric, 50)


def _unit(data: StudyData) -> str:
    return "generation" if data.groups.are_generations else "block"


def _first_only(data: StudyData) -> tuple[str, ...]:
    if not data.has_several_objectives:
        return ()
    return (f"Of several objectives, only the first is shown: {_metric(data)}.",)


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
