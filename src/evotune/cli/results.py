"""``evotune best`` and ``trials``: the results of a study, as tables, JSON or CSV."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from evotune.analysis.frame import to_frame
from evotune.analysis.lineage import weights_line
from evotune.analysis.text import shorten
from evotune.cli.console import make_console, params_text, print_table
from evotune.cli.source import Record, read_study
from evotune.cli.tables import best_table, table, whole_table
from evotune.printing import escaped
from evotune.trial import Trial


def best(source: str, name: str | None, *, as_json: bool) -> None:
    """Print the best trial, as a table or as JSON."""
    record = read_study(source, name)
    if as_json:
        print(to_json(_best_json(record)))
    else:
        console = make_console()
        console.print(best_table(record, console.width))


def trials(source: str, name: str | None, *, as_csv: bool, failed: bool) -> None:
    """Print all trials, or all failed ones, as a table or as CSV."""
    record = read_study(source, name)
    chosen = [t for t in record.trials if t.state == "failed"] if failed else list(record.trials)
    if as_csv:
        print(escaped(to_frame(chosen).to_csv(index=False, lineterminator="\n")), end="")
        return
    console = make_console()
    if not chosen:
        console.print(f"study {record.name!r} has no {'failed trial' if failed else 'trial yet'}")
    elif failed:
        print_table(console, _failures_table(chosen))
    else:
        done = record.ledger.best()
        number = None if done is None else done.number
        print_table(console, whole_table(chosen, record, console.width, best=number))


def to_json(data: Any) -> str:
    """Return strict JSON with all digits of every float; NaN and infinity become null."""
    return json.dumps(_strict(data), indent=2, allow_nan=False)


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value


def _best_json(record: Record) -> dict[str, Any]:
    data = {"study": record.name, **_trial_json(record.best)}
    if record.inherits:
        line = weights_line(record.trials, record.best.number)
        data["epochs"] = record.steps[record.best.number].end
        data["weights_line"] = [trial.number for trial in line]
    if len(record.objectives.objectives) > 1:
        data["front"] = [_trial_json(trial) for trial in record.ledger.front()]
    return data


def _trial_json(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "feasible": trial.violation == 0,
        "params": dict(trial.params),
        "metrics": dict(trial.metrics),
        "repeats": trial.repeats,
        "spread": dict(trial.spread),
    }


def _failures_table(failed: Iterable[Trial]) -> Table:
    made = table(">trial", "kind", "reason", "params")
    for trial in failed:
        if trial.failure is not None:
            reason = shorten(trial.failure.message, 300)
            params = params_text(trial.params)
            made.add_row(str(trial.number), trial.failure.kind, reason, params)
    return made
