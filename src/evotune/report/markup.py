"""The parts of the page that are no figures: header, tables, failures. All text is escaped."""

import html
import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from evotune.analysis.data import StudyData
from evotune.analysis.steps import Step
from evotune.analysis.text import constraint_text, count, duration, number, shorten
from evotune.evolution.survival import best_first
from evotune.objectives import AnyObjective
from evotune.trial import Trial

ROWS_AT_MOST = 20
REASONS_AT_MOST = 30
_TRACEBACK_AT_MOST = 6000


def escape(value: Any) -> str:
    """Return a value as text that HTML shows literally."""
    return html.escape(str(value))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return an HTML table; cells must be escaped already."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>" for row in rows)
    whole = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{whole}</div>'


# -- header -----------------------------------------------------------------------------------


def facts(data: StudyData) -> str:
    """Return the line under the title: objective, algorithm, seed, date."""
    created = datetime.fromtimestamp(data.definition.created, UTC)
    parts = {
        "objective": data.objectives,
        "constraints": ", ".join(map(constraint_text, data.objectives.constraints)),
        "seed": data.definition.seed,
        "created": f"{created:%d %b %Y %H:%M} UTC",
        "algorithm": shorten(data.definition.algorithm, 400),
    }
    shown = {name: str(value) for name, value in parts.items() if str(value)}
    items = "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in shown.items())
    return f'<dl class="facts">{items}</dl>'


def tiles(data: StudyData) -> str:
    """Return the few large figures: best values, trials, training time."""
    cells = [_best_tile(data, k) for k in range(len(data.objectives.objectives))]
    states = _states(data.trials)
    states += [f"{len(data.infeasible):,} infeasible"] * bool(data.infeasible)
    finished = sum(trial.has_ended for trial in data.trials)
    cells.append(("trials", f"{len(data.trials):,}", " · ".join(states) or "none yet"))
    cells.append(("training time", duration(_train_seconds(data)), _training_note(data, finished)))
    if data.inherits:
        cells.append(_epochs_tile(data))
    generations = {g for g in (trial.origin.generation for trial in data.trials) if g is not None}
    if generations:
        cells.append(("generations", f"{len(generations):,}", _per_generation(data, generations)))
    drawn = "".join(
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b>'
        f"<small>{escape(note)}</small></div>"
        for name, value, note in cells
    )
    return f'<div class="tiles">{drawn}</div>'


def _best_tile(data: StudyData, k: int) -> tuple[str, str, str]:
    objective = data.objectives.objectives[k]
    name = f"best {shorten(objective.metric, 40)}"
    if not data.done:
        return name, "–", "no trial is done yet"
    eligible = [k for k in range(len(data.done)) if data.front[k]]
    best = min(eligible, key=lambda place: data.values[place, k])
    trial = data.done[best]
    broken = " · breaks a constraint" if trial.violation else ""
    return name, number(float(data.scores[best, k]), 5), f"trial {trial.number}{broken}"


def _epochs_tile(data: StudyData) -> tuple[str, str, str]:
    longest = max(step.end for step in data.steps)
    total = sum(step.trial.budget or 0.0 for step in data.steps)
    return "epochs of a member", f"{longest:g}", f"{total:,g} of all members together"


def _states(trials: Sequence[Trial]) -> list[str]:
    order = ("done", "failed", "stopped", "running", "waiting")
    counts = {state: sum(trial.state == state for trial in trials) for state in order}
    return [f"{amount:,} {state}" for state, amount in counts.items() if amount]


def _train_seconds(data: StudyData) -> float:
    seconds = (trial.metrics.get("train_seconds", 0.0) for trial in data.trials)
    return sum(s for s in seconds if isinstance(s, int | float) and math.isfinite(s))


def _training_note(data: StudyData, finished: int) -> str:
    total = _train_seconds(data)
    return f"{duration(total / finished)} a trial" if finished and total else "all trials together"


def _per_generation(data: StudyData, generations: set[int]) -> str:
    return f"about {count(round(len(data.trials) / len(generations)), 'trial')} each"


def best_params(data: StudyData) -> str:
    """Return the genes and metrics of the best trial as two small tables."""
    best = data.best
    if best is None:
        return ""
    genes = [(escape(name), escape(number(value))) for name, value in best.params.items()]
    metrics = [(escape(name), escape(number(value, 6))) for name, value in best.metrics.items()]
    note = ""
    if len(data.objectives.objectives) > 1:
        note = (
            '<p class="caption">Several objectives have no single best trial: this is the one on '
            f"the Pareto front that is best in {escape(data.objective.metric)}.</p>"
        )
    step = data.step_of[best.number]
    if data.inherits:
        note += (
            f'<p class="caption">Its weights were trained for {step.end:g} epochs. These genes '
            f"were held in {_epochs(step)} only; Schedules shows those before.</p>"
        )
    text = escape(json.dumps(dict(best.params), indent=2, default=str))
    return (
        f'<section class="card" id="best"><h2>Best trial: {best.number}</h2>{note}'
        f'<div class="pair">{table(("gene", "value"), genes)}'
        f"{table(('metric', 'value'), metrics)}</div>"
        f"<details><summary>as JSON</summary><pre>{text}</pre></details></section>"
    )


def _epochs(step: Step) -> str:
    return f"epoch{'s' if '-' in step.epochs else ''} {step.epochs}"


def sentences(lines: Sequence[str]) -> str:
    """Return findings as a list."""
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<section class="card found"><h2>In short</h2><ul>{items}</ul></section>'


# -- tables -----------------------------------------------------------------------------------


def best_table(data: StudyData) -> str:
    """Return the best trials, their objectives and all their genes."""
    genes = list(data.space)
    generations = any(trial.origin.generation is not None for trial in data.trials)
    head = ["", "trial", *(["generation"] if generations else [])]
    head += ["epochs", "weights from"] if data.inherits else []
    head += [escape(o.metric) for o in data.objectives.objectives]
    head += [*map(escape, genes), "training"]
    rows = []
    for rank, k in enumerate(data.ranking[:ROWS_AT_MOST], start=1):
        trial = data.done[k]
        row = [str(rank), str(trial.number)]
        row += [_maybe(trial.origin.generation)] if generations else []
        row += _origin(data, trial) if data.inherits else []
        scores = zip(data.objectives.objectives, data.scores[k], strict=True)
        row += [f"<b>{escape(number(float(s), 5))}</b>{_repeats(trial, o)}" for o, s in scores]
        row[-1] += " <small>infeasible</small>" * (trial.violation > 0)
        row += [_maybe(trial.params[g]) if g in trial.params else "–" for g in genes]
        rows.append([*row, _seconds(trial)])
    return table(head, rows)


def _origin(data: StudyData, trial: Trial) -> list[str]:
    donors = ", ".join(map(str, trial.donors)) or "–"
    return [escape(data.step_of[trial.number].epochs), donors]


def _maybe(value: Any) -> str:
    return "" if value is None else escape(number(value))


def _repeats(trial: Trial, objective: AnyObjective) -> str:
    if trial.repeats == 1:
        return ""
    spread = trial.spread.get(objective.metric)
    around = "" if spread is None else f" ± {number(spread, 2)}"
    return f" <small>{around} (mean of {trial.repeats})</small>"


def _seconds(trial: Trial) -> str:
    seconds = trial.metrics.get("train_seconds")
    finite = isinstance(seconds, int | float) and math.isfinite(seconds)
    return escape(duration(seconds)) if seconds is not None and finite else ""


def failed_table(data: StudyData) -> str:
    """Return the failed trials, equal reasons together, with the traceback of the first."""
    reasons: dict[tuple[str, str], list[Trial]] = {}
    for trial in data.failed:
        kind = trial.failure.kind.replace("_", " ") if trial.failure else "unknown"
        message = trial.failure.message if trial.failure else ""
        reasons.setdefault((kind, message), []).append(trial)
    ordered = sorted(reasons.items(), key=lambda item: -len(item[1]))
    rows = [
        (str(len(trials)), escape(kind), _reason(message, trials), _numbers(trials))
        for (kind, message), trials in ordered[:REASONS_AT_MOST]
    ]
    left = len(ordered) - len(rows)
    more = f'<p class="note">{count(left, "more reason")} not shown.</p>' if left else ""
    return table(("trials", "kind", "reason", "numbers"), rows) + more


def _numbers(trials: Sequence[Trial]) -> str:
    shown = ", ".join(str(trial.number) for trial in trials[:12])
    return shown if len(trials) <= 12 else f"{shown}, …"


def _reason(message: str, trials: Sequence[Trial]) -> str:
    first = trials[0]
    params = ", ".join(f"{name}={number(value)}" for name, value in first.params.items())
    trace = first.failure.traceback if first.failure else ""
    if len(trace) > _TRACEBACK_AT_MOST:
        trace = "…\n" + trace[-_TRACEBACK_AT_MOST:]
    body = f"trial {first.number}: {shorten(params, 600)}\n\n{trace or 'no traceback'}"
    return (
        f'<span class="reason">{escape(shorten(message, 300))}</span>'
        f"<details><summary>params and traceback of trial {first.number}</summary>"
        f"<pre>{escape(body)}</pre></details>"
    )


def rung_table(data: StudyData) -> str:
    """Return a table of the rungs as HTML, nothing for a study without them."""
    by_budget: dict[float, list[Trial]] = {}
    for trial in data.trials:
        if trial.origin.rung is not None:
            by_budget.setdefault(trial.origin.rung, []).append(trial)
    if not by_budget:
        return ""
    promoted: set[object] = {trial.origin.promotes for trial in data.trials}
    rows = [_row(data, b, by_budget[b], promoted) for b in sorted(by_budget)]
    best = f"best {data.objective.metric}"
    head = ["budget", "trials", "done", "promoted", best]
    return table(head, rows)


def _row(
    data: StudyData, budget: float, trials: Sequence[Trial], promoted: set[object]
) -> list[str]:
    done = [trial for trial in trials if trial.is_done]
    best = best_first(done)[:1]
    score = number(data.objective.score((best[0].values or (0.0,))[0])) if best else "–"
    went_on = sum(trial.number in promoted for trial in trials)
    return [f"{budget:g}", str(len(trials)), str(len(done)), str(went_on), score]
