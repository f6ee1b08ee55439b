"""The parts of the page other than figures: its head and its tables."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from evotune import finite
from evotune.analysis.data import StudyData
from evotune.analysis.generations import has_generations
from evotune.analysis.steps import Step
from evotune.analysis.text import constraint_text, count, duration, number, shorten
from evotune.objectives import AnyObjective
from evotune.report.parts import Best, Cell, Row, Section, Table, Tile
from evotune.trial import Trial

ROWS_AT_MOST = 20
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
    if has_generations(data.trials):
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
    """Return the genes and metrics of the best trial."""
    trial = data.best
    if trial is None:
        return None
    captions, params = [], data.params(trial)
    if data.has_several_objectives:
        captions.append(
            "Several objectives have no single best trial: this is the one on the Pareto front "
            f"that is best in {data.objective.metric}."
        )
    if data.inherits:
        step = data.step_of[trial.number]
        captions.append(
            f"Its weights were trained for {step.end:g} epochs. These params apply only to "
            f"{_epochs(step)}; for earlier epochs, see Schedules."
        )
    return Best(
        f"Best trial: {trial.number}",
        tuple(captions),
        _pairs("gene", params, 4),
        _pairs("metric", trial.metrics, 6),
        json.dumps(params, indent=2, default=str),
    )


def _pairs(name: str, values: Mapping[str, Any], digits: int) -> Table:
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
    trace = first.failure.traceback if first.failure else ""
    if len(trace) > _TRACEBACK_AT_MOST:
        trace = "…\n" + trace[-_TRACEBACK_AT_MOST:]
    return Cell(
        shorten(message, 300),
        summary=f"params and traceback of trial {first.number}",
        body=f"trial {first.number}: {shorten(params, 600)}\n\n{trace or 'no traceback'}",
    )


def best_trials(data: StudyData) -> Section | None:
    """Return the best trials, their objectives and all their genes."""
    if not data.done:
        return None
    several = data.has_several_objectives
    order = "the Pareto front first, then by the first objective" if several else "best first"
    caption = f"All genes, {order}; “–” marks a gene that is not active."
    if data.inherits:
        caption += " The genes are those of the last step only; for earlier ones, see Schedules."
    title = f"Best {count(min(ROWS_AT_MOST, len(data.ranking)), 'trial')}"
    generations = any(trial.origin.generation is not None for trial in data.trials)
    head = ("", "trial", *(("generation",) if generations else ()))
    head += ("epochs", "weights from") if data.inherits else ()
    head += (*(o.metric for o in data.objectives.objectives), *data.space.entries, "training")
    rows = tuple(
        (str(rank), *_row(data, int(k), generations))
        for rank, k in enumerate(data.ranking[:ROWS_AT_MOST], start=1)
    )
    return Section("table", title, caption, table=Table(head, rows))


def _row(data: StudyData, k: int, generations: bool) -> Row:
    trial = data.done[k]
    row: list[str | Cell] = [str(trial.number)]
    if generations:
        generation = trial.origin.generation
        row.append("" if generation is None else str(generation))
    if data.inherits:
        donors = ", ".join(map(str, trial.donors))
        row += [data.step_of[trial.number].epochs, donors or "–"]
    row += [_score(data, k, column) for column in range(len(data.objectives.objectives))]
    params = data.params(trial)
    row += [number(params[name]) if name in params else "–" for name in data.space.entries]
    return (*row, _seconds(trial))


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


def _seconds(trial: Trial) -> str:
    seconds = trial.metrics.get("train_seconds")
    finite = isinstance(seconds, int | float) and math.isfinite(seconds)
    return duration(seconds) if seconds is not None and finite else ""
