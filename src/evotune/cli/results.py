"""``evotune best`` and ``trials``: the results of a study, as tables, JSON or CSV."""

from collections.abc import Iterable

from rich.table import Table

from evotune.analysis.frame import to_frame
from evotune.cli.console import make_console, params_text, print_table
from evotune.cli.records import answer, best_json, trial_json
from evotune.cli.source import Record, read_study
from evotune.cli.tables import best_table, table, whole_table
from evotune.printing import escaped, shorten
from evotune.study.engine import no_collection
from evotune.trial import Trial


def best(source: str, name: str | None, *, as_json: bool) -> None:
    """Print the best trial, as a table or as JSON."""
    record = read_study(source, name)
    if as_json:
        print(answer(**best_json(record)))
    else:
        console = make_console()
        console.print(best_table(record, console.width))


def trials(source: str, name: str | None, *, as_csv: bool, as_json: bool, failed: bool) -> None:
    """Print all trials, or all failed ones, as a table, as CSV or as JSON."""
    with no_collection():
        _trials(read_study(source, name), as_csv=as_csv, as_json=as_json, failed=failed)


def _trials(record: Record, *, as_csv: bool, as_json: bool, failed: bool) -> None:
    chosen = [t for t in record.trials if t.state == "failed"] if failed else list(record.trials)
    if as_json:
        print(answer(study=record.name, trials=list(map(trial_json, chosen))))
        return
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


def _failures_table(failed: Iterable[Trial]) -> Table:
    made = table(">trial", "kind", "reason", "params")
    for trial in failed:
        if trial.failure is not None:
            reason = shorten(trial.failure.message, 300)
            params = params_text(trial.params)
            made.add_row(str(trial.number), trial.failure.kind, reason, params)
    return made
