"""The parts of the page other than figures: its head and its tables."""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from evotune import finite
from evotune.analysis.data import StudyData
from evotune.analysis.reports import Curve, curve_of, reported
from evotune.analysis.steps import Step
from evotune.analysis.text import constraint_text, count, duration
from evotune.objectives import AnyObjective
from evotune.printing import number, shorten
from evotune.report.parts import Best, Cell, Details, Drawn, Row, Section, Table, Tile
from evotune.trial import Trial

#: Further trials are not in the table of all, nor are further cells.
ROWS_AT_MOST, CELLS_AT_MOST = 500, 15_000
#: Of the curve of one trial.
CORNERS_AT_MOST = 60
_TRACE_OF_ONE = 2000
REASONS_AT_MOST = 30
_TRACEBACK_AT_MOST = 6000


# -- the top of the page --------------------------------------------------------------------------


def facts(data: StudyData) -> dict[str, str]:
    """Return the facts under the title: objective, constraints, seed, date, algorithm."""
    created = datetime.fromtimestamp(data.definition.created, UTC)
    parts = {
        "objective": data.objectives,
        "constraints": ", ".join(map(constraint_text, data.objectives.constraints)),
        "seed": data.definition.seed,
        "created": f"{created:%d %b %Y %H:%M} UTC",
        "algorithm": shorten(data.definition.algorithm, 400),
    }
    return {name: str(value) for name, value in parts.items() if str(value)}


def tiles(data: StudyData) -> tuple[Tile, ...]:
    """Return the few large numbers: best values, trials, training time."""
    found = [_best_tile(data, k) for k in range(len(data.objectives.objectives))]
    states = _states(data.trials)
    states += [f"{len(data.infeasible):,} infeasible"] * bool(data.infeasible)
    finished = sum(trial.has_ended for trial in data.trials)
    found.append(Tile("trials", f"{len(data.trials):,}", " · ".join(states) or "none yet"))
    seconds = _train_seconds(data)
    each = f"{duration(seconds / finished)} a trial" if finished and seconds else ""
    found.append(Tile("training time", duration(seconds), each or "all trials together"))
    if data.inherits:
        longest = max(step.end for step in data.steps)
        total = finite.limited(sum(step.trial.budget or 0.0 for step in data.steps))
        note = f"{total:,g} of all members together"
        found.append(Tile("epochs of a member", f"{longest:g}", note))
    if data.groups.are_generations:
        generations = {t.origin.generation for t in data.trials} - {None}
        each = count(round(len(data.trials) / len(generations)), "trial")
        found.append(Tile("generations", f"{len(generations):,}", f"about {each} each"))
    return tuple(found)


def _best_tile(data: StudyData, k: int) -> Tile:
    name = f"best {shorten(data.objectives.objectives[k].metric, 40)}"
    if not data.done:
        return Tile(name, "–", "no trial is done yet")
    eligible = [place for place in range(len(data.done)) if data.front[place]]
    best = min(eligible, key=lambda place: data.values[place, k])
    broken = " · breaks a constraint" if data.done[best].violation else ""
    value = number(float(data.scores[best, k]), 5)
    return Tile(name, value, f"trial {data.done[best].number}{broken}")


def _states(trials: Sequence[Trial]) -> list[str]:
    order = ("done", "failed", "stopped", "running", "waiting")
    counts = {state: sum(trial.state == state for trial in trials) for state in order}
    return [f"{amount:,} {state}" for state, amount in counts.items() if amount]


def _train_seconds(data: StudyData) -> float:
    seconds = (trial.metrics.get("train_seconds", 0.0) for trial in data.trials)
    known = (s for s in seconds if isinstance(s, int | float) and math.isfinite(s))
    return finite.limited(sum(known))


def best(data: StudyData) -> Best | None:
    """Return the genes and metrics of the best trial; None where there is a front instead."""
    trial = data.best
    if trial is None or data.has_several_objectives:
        return None
    captions, params = [], data.params(trial)
    if data.inherits:
        step = data.step_of[trial.number]
        captions.append(
            f"Its weights were trained for {step.end:g} epochs. These params apply only to "
            f"{_epochs(step)}; for earlier epochs, see Schedules."
        )
    return Best(
        f"Best trial: {trial.number}",
        tuple(captions),
        pairs("gene", params, 4),
        pairs("metric", trial.metrics, 6),
        json.dumps(params, indent=2, default=str),
    )


def pairs(name: str, values: Mapping[str, Any], digits: int) -> Table:
    """Return names and values as a table, floats with about so many digits."""
    return Table((name, "value"), tuple((k, number(v, digits)) for k, v in values.items()))


def _epochs(step: Step) -> str:
    return f"epoch{'s' if '-' in step.epochs else ''} {step.epochs}"


# -- sections without a figure --------------------------------------------------------------------


def failed_trials(data: StudyData) -> Section | None:
    """Return the failed trials, equal reasons together, with the traceback of the first."""
    reasons: dict[tuple[str, str], list[Trial]] = {}
    for trial in data.failed:
        kind = trial.failure.kind.replace("_", " ") if trial.failure else "unknown"
        message = trial.failure.message if trial.failure else ""
        reasons.setdefault((kind, message), []).append(trial)
    ordered = sorted(reasons.items(), key=lambda item: -len(item[1]))
    rows: list[Row] = [
        (str(len(trials)), kind, _reason(data, message, trials[0]), _numbers(trials))
        for (kind, message), trials in ordered[:REASONS_AT_MOST]
    ]
    if not rows:
        return None
    left = len(ordered) - len(rows)
    return Section(
        "failed",
        "Failed trials",
        "Grouped by reason, the most frequent first; open one for its traceback.",
        table=Table(("trials", "kind", "reason", "numbers"), tuple(rows)),
        notes=(f"{count(left, 'more reason')} not shown.",) if left else (),
    )


def _numbers(trials: Sequence[Trial]) -> str:
    shown = ", ".join(str(trial.number) for trial in trials[:12])
    return shown if len(trials) <= 12 else f"{shown}, …"


def _reason(data: StudyData, message: str, first: Trial) -> Cell:
    params = ", ".join(f"{name}={number(value)}" for name, value in data.params(first).items())
    trace = (first.failure.traceback or first.failure.message) if first.failure else ""
    if len(trace) > _TRACEBACK_AT_MOST:
        trace = "…\n" + trace[-_TRACEBACK_AT_MOST:]
    return Cell(
        shorten(message, 300),
        summary=f"params and traceback of trial {first.number}",
        body=f"trial {first.number}: {shorten(params, 600)}\n\n{trace or 'no traceback'}",
    )


def all_trials(data: StudyData, pages: str = "") -> Section | None:
    """Return all trials, best first, and what is known of each; of very many, a part of them.

    Args:
        data: The study.
        pages: Address of the folder with the pages of the trials, if these are written: the table
            leads to them then, and has every trial.
    """
    if not data.trials:
        return None
    several = data.has_several_objectives
    shown = _shown(data, pages)
    known = {trial.number for trial, _ in shown}
    order = "the Pareto front first, then by the first objective" if several else "best first"
    caption = (
        f"A number leads to {'the page' if pages else 'all'} of that trial. In the beginning the "
        f"order is {order}; click a name to sort by it. “–” marks a gene that is not active."
    )
    if data.inherits:
        caption += " The genes are those of the last step only; for earlier ones, see Schedules."
    title, notes = f"All {count(len(data.trials), 'trial')}", tuple[str, ...]()
    if len(shown) < len(data.trials):
        title = "Trials"
        notes = (
            f"Of {len(data.trials):,} trials {len(shown):,} are in this table: the best, and the "
            "last ones. study.to_frame(), or evotune export, has them all.",
        )
    generations = data.groups.are_generations  # not those of the first trials of another search
    head = ("", "trial", "state", *(("generation",) if generations else ()))
    head += ("epochs", "weights from") if data.inherits else ()
    head += (*(o.metric for o in data.objectives.objectives), *data.space.entries, "training")
    rank = {int(k): str(place) for place, k in enumerate(data.ranking, start=1)}
    rows = tuple((rank.get(k, ""), *_row(data, trial, k, generations, pages)) for trial, k in shown)
    metric, _ = reported(data)
    made = () if pages else tuple(_details(data, trial, metric, known) for trial, _ in shown)
    return Section(
        "table", title, caption, table=Table(head, rows, sorts=True), notes=notes, details=made
    )


def _shown(data: StudyData, pages: str) -> list[tuple[Trial, int]]:
    """Return the trials of the table, each with its position in ``done``, or -1.

    Ranked ones are in their order, then all others by number.
    """
    limit = min(ROWS_AT_MOST, max(50, CELLS_AT_MOST // (6 + len(data.space.entries))))
    place = {data.done[k].number: k for k in range(len(data.done))}
    ranked = [(data.done[k], int(k)) for k in data.ranking]
    inside = {trial.number for trial, _ in ranked}
    others = [(t, place.get(t.number, -1)) for t in data.trials if t.number not in inside]
    others = [(t if k < 0 else data.done[k], k) for t, k in others]
    if pages or len(ranked) + len(others) <= limit:
        return ranked + others
    best = {trial.number for trial, _ in ranked[: limit * 3 // 5]}
    last = [t.number for t in reversed(data.trials) if t.number not in best]
    kept = best | set(last[: limit - len(best)])
    return [pair for pair in ranked + others if pair[0].number in kept]


def _key(number: int) -> str:
    """Return the anchor of a trial on the page."""
    return f"trial-{number}"


def _link(number: int, pages: str = "") -> str:
    """Return what leads to all of a trial, from the report."""
    return f"{pages}/{number}.html" if pages else f"#{_key(number)}"


def _row(data: StudyData, trial: Trial, k: int, generations: bool, pages: str) -> Row:
    row: list[str | Cell] = [Cell(str(trial.number), link=_link(trial.number, pages)), trial.state]
    if generations:
        generation = trial.origin.generation
        row.append("" if generation is None else str(generation))
    if data.inherits:
        donors = ", ".join(map(str, trial.donors))
        row += [data.step_of[trial.number].epochs, donors or "–"]
    objectives = range(len(data.objectives.objectives))
    row += ["–" if k < 0 else _score(data, k, column) for column in objectives]
    params = data.params(trial)
    row += [number(params[name]) if name in params else "–" for name in data.space.entries]
    return (*row, _seconds(trial))


def front_table(data: StudyData, limit: int, pages: str = "") -> Table:
    """Return the trials of the Pareto front, by the first objective, with all their genes."""
    places = [int(k) for k in np.flatnonzero(data.front)]
    places.sort(key=lambda k: tuple(data.values[k]))
    shown = {trial.number for trial, _ in _shown(data, pages)}
    rows: list[Row] = []
    for k in places[:limit]:
        trial, params = data.done[k], data.params(data.done[k])
        link = _link(trial.number, pages) if trial.number in shown else ""
        small = ("knee",) if k == data.knee else ()
        scores = [_score(data, k, column) for column in range(len(data.objectives.objectives))]
        genes = [number(params[n]) if n in params else "–" for n in data.space.entries]
        rows.append((Cell(str(trial.number), link=link, small=small), *scores, *genes))
    names = (o.metric for o in data.objectives.objectives)
    return Table(("trial", *names, *data.space.entries), tuple(rows), sorts=True)


# -- one trial ------------------------------------------------------------------------------------


def _details(data: StudyData, trial: Trial, metric: str, known: Collection[int]) -> Details:
    params = pairs("gene", data.params(trial), 6)
    curve = drawn(curve_of(trial, metric), metric) or Drawn("", "")
    trace = trace_of(trial)
    if len(trace) > _TRACE_OF_ONE:
        trace = "…\n" + trace[-_TRACE_OF_ONE:]
    origins = tuple(_origins(data, trial, known))
    title = f"Trial {trial.number}: {trial.state}"
    tables = (params, *measured(trial))
    return Details(_key(trial.number), title, origins, tables, curve.corners, curve.words, trace)


def measured(trial: Trial) -> tuple[Table, ...]:
    """Return the metrics of a trial, and what it noted, where there are any."""
    noted = {name: shorten(value, 500) for name, value in trial.notes.items()}
    given = (("metric", trial.metrics), ("note", noted))
    return tuple(pairs(name, values, 6) for name, values in given if values)


def trace_of(trial: Trial) -> str:
    """Return the traceback of a failure or its reason; empty where there is none."""
    if trial.failure is None:
        return ""
    return trial.failure.traceback or trial.failure.message or "no reason was recorded"


def _origins(data: StudyData, trial: Trial, known: Collection[int]) -> Iterator[Cell]:
    """Yield where a trial comes from, and when it ran."""
    if data.groups.are_generations and trial.origin.generation is not None:
        yield Cell(f"Generation {trial.origin.generation}.")
    if trial.budget is not None:
        yield Cell(f"Budget {trial.budget:g}.")
    for name, numbers in (("Parents", trial.parents), ("Weights from", trial.donors)):
        if numbers:
            yield Cell(f"{name}:")
            yield from (Cell(str(n), link=_link(n) if n in known else "") for n in numbers)
    if trial.repeat_of is not None:
        yield Cell("Repeats")
        yield Cell(
            f"{trial.repeat_of}", link=_link(trial.repeat_of) if trial.repeat_of in known else ""
        )
    if trial.violation > 0:
        yield Cell("It breaks a constraint.")
    if trial.started is not None:
        took = "" if trial.ended is None else f", took {duration(trial.ended - trial.started)}"
        yield Cell(f"Started {moment(trial.started)}{took}.")


def moment(time: float) -> str:
    """Return a Unix time in seconds as date and time."""
    return f"{datetime.fromtimestamp(time, UTC):%d %b %Y %H:%M:%S} UTC"


def drawn(curve: Curve | None, metric: str, corners_at_most: int = CORNERS_AT_MOST) -> Drawn | None:
    """Return a curve in a box of 300 by 80; None for one of fewer than two points."""
    if curve is None or len(curve.values) < 2:
        return None
    scale = float(np.max(np.abs(curve.values))) or 1.0  # differences of the largest floats
    y, x = np.array(curve.values) / scale, np.array(curve.steps, dtype=float)
    thin = np.unique(np.linspace(0, len(x) - 1, corners_at_most).round().astype(int))
    across = 300 * (x - x.min()) / (np.ptp(x) or 1.0)
    down = 80 - 80 * (y - y.min()) / (np.ptp(y) or 1.0)
    corners = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across[thin], down[thin], strict=True))
    low, high = min(curve.values), max(curve.values)
    ends = (
        f"{shorten(metric, 60)} as reported, {count(len(x), 'time')}: from "
        f"{number(float(curve.values[0]))} to {number(float(curve.values[-1]))}, "
        f"between {number(float(low))} and {number(float(high))}"
    )
    return Drawn(corners, ends)


def _score(data: StudyData, k: int, column: int) -> Cell:
    trial, objectives = data.done[k], data.objectives.objectives
    small = _repeats(trial, objectives[column])
    if column == len(objectives) - 1 and trial.violation > 0:
        small = (*small, "infeasible")
    return Cell(number(float(data.scores[k, column]), 5), strong=True, small=small)


def _repeats(trial: Trial, objective: AnyObjective) -> tuple[str, ...]:
    if trial.repeats == 1:
        return ()
    spread = trial.spread.get(objective.metric)
    around = "" if spread is None else f"± {number(spread, 2)} "
    return (f"{around}(mean of {trial.repeats})",)


def _seconds(trial: Trial) -> Cell:
    seconds = trial.metrics.get("train_seconds")
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return Cell("")
    return Cell(duration(seconds), order=float(f"{seconds:.4g}"))
