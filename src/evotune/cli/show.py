"""``evotune list`` and ``show``: the studies of a storage, and the progress of one."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from evotune import finite
from evotune.analysis.generations import Groups, group
from evotune.analysis.steps import Step, latest
from evotune.analysis.text import constraint_text
from evotune.cli.console import make_console, print_next
from evotune.cli.members import OWN_COLUMNS, members_table
from evotune.cli.records import answer, study_json, summary_json
from evotune.cli.source import Record, open_source, read_study
from evotune.cli.tables import best_table, genes_that_fit, is_infeasible, table
from evotune.objectives import Objectives
from evotune.printing import number
from evotune.protocols import Driver, StudySummary
from evotune.space import Chain, Domain, Scheduled, Space
from evotune.study.lock import has_ended
from evotune.trial import Trial

GENERATIONS_AT_MOST = 20
MEMBERS_AT_MOST = 40


def list_studies(source: str, *, as_json: bool) -> None:
    """Print one line for each study of a storage, or JSON."""
    storage, _ = open_source(source)
    try:
        summaries = storage.studies()
    finally:
        storage.close()
    if as_json:
        print(answer(studies=list(map(summary_json, summaries))))
        return
    console = make_console()
    if not summaries:
        console.print(f"{source} holds no study yet")
        return
    made = table("study", "objectives", ">trials", ">done", ">failed", "driver", "created")
    for summary in summaries:
        made.add_row(*_summary_texts(summary), style="red" if summary.damage else None)
    console.print(made)
    for summary in summaries:
        if summary.damage:
            text = f"damaged: study {summary.definition.name!r}, {summary.damage}"
            console.print(text, style="red", soft_wrap=True)
    if any(summary.damage for summary in summaries):
        print_next(console, [("storage", "check", source)])


def _summary_texts(summary: StudySummary) -> list[str]:
    definition, counts = summary.definition, summary.counts
    objectives = definition.objectives
    return [
        definition.name,
        str(Objectives.from_json(objectives)) if objectives else "damaged",
        str(sum(counts.values())),
        str(counts.get("done", 0) + counts.get("stopped", 0)),
        str(counts.get("failed", 0)),
        "damaged" if summary.damage else _driver_text(summary.driver),
        _date(definition.created),
    ]


def show(source: str, name: str | None, *, as_json: bool) -> None:
    """Print the settings of a study, its progress and its best trial, or JSON."""
    record = read_study(source, name)
    if as_json:
        print(answer(**study_json(record)))
        return
    console = make_console()
    parts = [_facts(record), _space_table(record.space)]
    found = group(record.trials) if record.trials else None
    if found is not None and len(set(found.of.tolist())) < len(record.trials):
        parts.append(_progress_table(record, found))
    members = latest(list(record.steps.values()))
    if record.inherits and members:
        parts.append(_members_table(record, members, console.width))
    if record.ledger.best() is not None:
        parts.append(best_table(record, console.width))
    for part in parts:
        console.print(part, "")


def _facts(record: Record) -> Table:
    definition = record.definition
    made = Table.grid(padding=(0, 2))
    rows = {
        "study": definition.name,
        "objectives": str(record.objectives),
        "constraints": ", ".join(map(constraint_text, record.objectives.constraints)),
        "algorithm": definition.algorithm,
        "seed": str(definition.seed),
        "created": _date(definition.created),
        "trials": _counts_text(record),
        "epochs": _epochs_text(record),
        "driver": _driver_text(record.driver),
    }
    for name, value in rows.items():
        if value:
            made.add_row(Text(name, "bold"), value)
    return made


def _counts_text(record: Record) -> str:
    texts = []
    for state, n in record.ledger.counts.items():
        bad = sum(t.state == state and is_infeasible(t) for t in record.trials)
        texts += [f"{n} {state}" + (f", {bad} of them infeasible" if bad else "")] * (n > 0)
    return ("; " if any("," in text for text in texts) else ", ").join(texts) or "none yet"


def _epochs_text(record: Record) -> str:
    if not record.inherits:
        return ""
    longest = max(step.end for step in record.steps.values())
    total = finite.limited(sum(trial.budget or 0.0 for trial in record.trials))
    return f"{longest:g} of a member's weights, {total:g} of all members together"


def _members_table(record: Record, members: Sequence[Step], width: int) -> Table:
    genes = genes_that_fit(record.space, record.objectives, width, OWN_COLUMNS)
    best = record.ledger.best()
    made = members_table(
        members[:MEMBERS_AT_MOST],
        record.objectives,
        genes,
        best=None if best is None else best.number,
    )
    made.title = "members"
    if len(members) > MEMBERS_AT_MOST:
        made.title = f"the first {MEMBERS_AT_MOST} of {len(members)} members"
    return made


def _space_table(space: Space) -> Table:
    made = table("gene", "type", "range", "active when", title="space")
    for name in space.entries:
        whole = space.compounds.get(name)
        data = space[name].to_json() if whole is None else whole.to_json()
        if whole is None:
            text = _range_text(space[name])
        elif isinstance(whole, Chain):
            text = _chain_text(whole)
        else:
            text = _schedule_text(whole)
        when = data.get("domain", data).get("when", {})
        made.add_row(name, data["type"], text, _when_text(when))
    return made


def _range_text(domain: Domain) -> str:
    axis, data = domain.axis(), domain.to_json()
    step, weights = data.get("step"), data.get("weights")
    if axis.values:
        text = ", ".join(number(value) for value in axis.values)
        return text + (f" (weights {', '.join(map(number, weights))})" if weights else "")
    text = f"{number(axis.low)} to {number(axis.high)}"
    return text + (", log" if axis.log else "") + (f", step {number(step)}" if step else "")


def _schedule_text(made: Scheduled) -> str:
    """Return the values of a schedule and its shapes, on two lines."""
    shapes = " or ".join(made.shapes).replace("piecewise", f"piecewise ({made.knots} knots)")
    warm = f", warm-up up to {number(100 * made.warmup)} %" if made.warmup else ""
    return f"{_range_text(made.domain)}\n  {shapes}{warm}"


def _chain_text(chain: Chain) -> str:
    """Return how many layers there are and, on a line for each block, what its settings may be."""
    depth = f"{chain.min} to {chain.max}" if chain.max > chain.min else str(chain.max)
    lines = [f"{depth} layer{'' if chain.max == 1 else 's'} of"]
    for block, settings in chain.blocks.items():
        texts = [f"{name} {_range_text(domain)}" for name, domain in settings.items()]
        lines.append(f"  {block}: {'; '.join(texts)}" if texts else f"  {block}")
    return "\n".join(lines)


def _when_text(when: Mapping[str, Any]) -> str:
    def one(gene: str, allowed: Any) -> str:
        if isinstance(allowed, list):
            return f"{gene} = {' or '.join(map(number, allowed))}"
        low, high = allowed.get("low"), allowed.get("high")
        before = "" if low is None else f"{number(low)} <= "
        return before + gene + ("" if high is None else f" <= {number(high)}")

    return ", ".join(one(gene, allowed) for gene, allowed in when.items())


def _progress_table(record: Record, found: Groups) -> Table:
    """Return best and median of each generation, or of each block of trials.

    Only feasible trials count. A generation has a best of its own; a block is no unit of the
    search, so that it has the best up to its end.
    """
    by_generation = found.born_name == "generation"
    of, head, many, best = (
        (found.born, ">generation", "generations", "best")
        if by_generation
        else (found.of, ">from trial", "blocks", "best so far")
    )
    names = [objective.metric for objective in record.objectives.objectives]
    columns = [f">{which}\n{name}" for name in names for which in (best, "median")]
    bounds = [">infeasible"] * bool(record.objectives.constraints)
    groups: dict[int, list[Trial]] = {}
    for trial, first in zip(record.trials, of.tolist(), strict=True):
        groups.setdefault(first, []).append(trial)
    title = "generations" if by_generation else "progress"
    made = table(head, ">trials", *columns, *bounds, ">failed", title=title)
    if len(groups) > GENERATIONS_AT_MOST:
        made.title = f"the last {GENERATIONS_AT_MOST} of {len(groups)} {many}"
    lowest = nothing = [math.inf] * len(names)
    for k, (first, members) in enumerate(groups.items(), 1):
        if by_generation:
            rivals, lowest = _feasible(members), nothing
        else:  # what `best` chooses from
            counting = (t for t in members if t.state == "done" and record.ledger.is_comparable(t))
            rivals = _feasible(counting)
        for values in rivals:
            lowest = list(map(min, lowest, values))
        if k <= len(groups) - GENERATIONS_AT_MOST:
            continue
        failed = sum(trial.state == "failed" for trial in members)
        infeasible = [str(sum(map(is_infeasible, members)) or "")] * len(bounds)
        cells = _best_and_median(lowest, _feasible(members), record.objectives)
        made.add_row(str(first), str(len(members)), *cells, *infeasible, str(failed or ""))
    return made


def _feasible(trials: Iterable[Trial]) -> list[tuple[float, ...]]:
    return [t.values for t in trials if t.values is not None and not t.violation]


def _best_and_median(
    lowest: Sequence[float], rows: Sequence[tuple[float, ...]], objectives: Objectives
) -> list[str]:
    """Return the lowest value of each objective, in its sign, and the median of some rows."""
    texts = []
    for k, objective in enumerate(objectives.objectives):
        texts.append(number(objective.score(lowest[k])) if math.isfinite(lowest[k]) else "")
        middle = float(finite.median([row[k] for row in rows])) if rows else math.nan
        texts.append(number(objective.score(middle)) if rows else "")
    return texts


def _driver_text(driver: Driver | None) -> str:
    if driver is None:
        return ""
    who = f"process {driver.pid} on {driver.host} since {_date(driver.since)}"
    return f"{who}, which has ended" if has_ended(driver) else who


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}"
