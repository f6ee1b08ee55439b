"""``evotune storage check`` and ``repair``: damage in a database."""

from contextlib import closing
from pathlib import Path

from evotune.analysis.text import count
from evotune.cli.console import make_console, print_next
from evotune.cli.source import open_source
from evotune.storage.check import check as find_all
from evotune.storage.sql import SqlStorage
from evotune.study.repair import repair as set_aside


def check(source: str) -> int:
    """Print everything that is damaged in a database.

    Returns:
        The exit code: 1 where something is.
    """
    storage, name = _open(source)
    with closing(storage):
        faults = list(find_all(storage))
        studies = len(storage.studies())
    console = make_console()
    for fault in faults:
        console.print(str(fault), soft_wrap=True)
    if faults:
        console.print(f"{count(len(faults), 'fault')} in {source}", soft_wrap=True)
        print_next(console, [("storage", "repair", source, *([name] if name else []))])
        return 1
    console.print(f"nothing is damaged in {source}: {studies} studies", soft_wrap=True)
    return 0


def repair(source: str, name: str | None, *, aside: Path | None, take_over: bool) -> None:
    """Set damaged trials aside and print what was done."""
    storage, own = _open(source)
    with closing(storage):
        done = set_aside(storage, name or own, aside=aside, take_over=take_over)
    console = make_console()
    for study in done:
        numbers = ", ".join(map(str, study.trials)) or "none"
        console.print(f"study {study.study!r}: trials that failed now: {numbers}", soft_wrap=True)
        if study.aside is not None:
            rows = count(study.rows, "row")
            console.print(f"{rows} set aside in {study.aside}", soft_wrap=True)
    if not done:
        console.print("nothing is damaged", soft_wrap=True)


def _open(source: str) -> tuple[SqlStorage, str | None]:
    storage, name = open_source(source)
    assert isinstance(storage, SqlStorage)  # a command line names nothing else
    return storage, name
