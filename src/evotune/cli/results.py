"""``evotune best`` and ``trials``: the results of a study, as tables, JSON or CSV."""

from collections.abc import Iterable

from evotune.cli.console import make_console, params_text
from evotune.cli.records import answer, best_json, trial_json
from evotune.cli.source import Record, read_study
from evotune.cli.tables import PLAIN_FROM, best_table, print_rows, print_trials
from evotune.garbage import no_collection
from evotune.printing import escaped, shorten
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
        from evotune.analysis.frame import to_frame  # pandas takes a while to load

        print(escaped(to_frame(chosen).to_csv(index=False, lineterminator="\n")), end="")
        return
    console = make_console()
    if not chosen:
        console.print(f"study {record.name!r} has no {'failed trial' if failed else 'trial yet'}")
    elif failed:
        print_rows(console, (">trial", "kind", "reason", "params"), _failures(chosen))
    else:
        # A long table marks no row, and to find the best takes as long as to print a tenth of it.
        best = record.ledger.best() if len(chosen) <= PLAIN_FROM else None
        print_trials(console, chosen, record, best=None if best is None else best.number)


def _failures(failed: Iterable[Trial]) -> list[list[str]]:
    return [
        [str(trial.number), why.kind, shorten(why.message, 300), params_text(trial.params)]
        for trial in failed
        if (why := trial.failure) is not None
    ]
