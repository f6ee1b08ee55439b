"""``evotune trial``: everything about one trial."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from evotune.cli.console import make_console
from evotune.cli.records import answer, trial_json
from evotune.cli.source import Record, read_study
from evotune.cli.tables import seconds_text, state_text, table
from evotune.errors import StudyError
from evotune.printing import number as shown
from evotune.trial import Trial

#: Of a longer curve, the table has so many steps, spread evenly.
STEPS_AT_MOST = 20


def trial(source: str, name: str | None, number: int, *, as_json: bool) -> None:
    """Print a trial: its params, metrics, notes, curve, origin and failure.

    Raises:
        StudyError: There is no such trial.
    """
    record = read_study(source, name)
    if not 0 <= number < len(record.trials):
        raise StudyError(
            f"study {record.name!r} has no trial {number}: it has {len(record.trials)}, numbered "
            "from 0"
        )
    found = record.trials[number]
    if as_json:
        print(answer(study=record.name, **trial_json(found)))
        return
    console = make_console()
    for part in _parts(record, found):
        console.print(part, "")


def _parts(record: Record, trial: Trial) -> Iterable[Table | Text]:
    yield _facts(record, trial)
    yield _named("params", trial.params)
    if trial.metrics:
        yield _named("metrics", trial.metrics)
    if trial.notes:
        yield _named("notes", trial.notes)
    if trial.reports:
        yield _curve(trial)
    if trial.failure is not None and trial.failure.traceback:
        yield Text(trial.failure.traceback.rstrip(), "red")


def _facts(record: Record, trial: Trial) -> Table:
    children = [t.number for t in record.trials if trial.number in t.parents]
    heirs = [t.number for t in record.trials if trial.number in t.donors]
    started = "" if trial.started is None else f"{datetime.fromtimestamp(trial.started):%F %T}"
    failure = trial.failure
    rows: dict[str, str | Text] = {
        "trial": f"{trial.number} of study {record.name}",
        "state": state_text(trial),
        "failure": "" if failure is None else f"{failure.kind}: {failure.message}",
        "started": started,
        "seconds": seconds_text(trial),
        "budget": "" if trial.budget is None else f"{trial.budget:g}",
        "seed": str(trial.seed),
        "generation": "" if trial.origin.generation is None else str(trial.origin.generation),
        "parents": _numbers(trial.parents),
        "children": _numbers(children),
        "weights from": _numbers(trial.donors),
        "weights to": _numbers(heirs),
        "repeats trial": "" if trial.repeat_of is None else str(trial.repeat_of),
        "violation": f"{trial.violation:g}" if trial.violation else "",
    }
    made = Table.grid(padding=(0, 2))
    for label, value in rows.items():
        if value:
            made.add_row(Text(label, "bold"), value)
    return made


def _numbers(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _named(title: str, values: Mapping[str, Any]) -> Table:
    made = table("", "", title=title)
    made.show_header = False
    for name, value in values.items():
        made.add_row(name, value if isinstance(value, str) else shown(value))
    return made


def _curve(trial: Trial) -> Table:
    names = list(dict.fromkeys(n for report in trial.reports for n in report if n != "step"))
    reports, count = trial.reports, len(trial.reports)
    title = "reports"
    if count > STEPS_AT_MOST:
        last = STEPS_AT_MOST - 1
        reports = tuple(reports[round(k * (count - 1) / last)] for k in range(STEPS_AT_MOST))
        title = f"{STEPS_AT_MOST} of {count} reports"
    made = table(">step", *(f">{name}" for name in names), title=title)
    made.min_width = len(title)
    for report in reports:
        made.add_row(*(shown(report[n]) if n in report else "" for n in ("step", *names)))
    return made
