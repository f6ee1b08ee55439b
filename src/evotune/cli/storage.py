"""``evotune storage check`` and ``repair``: damage in a database."""

from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from evotune.analysis.text import count
from evotune.cli.console import make_console, print_next
from evotune.cli.records import answer
from evotune.cli.source import open_source
from evotune.errors import EvotuneError
from evotune.storage.check import check as find_all
from evotune.storage.sql import SqlStorage
from evotune.study.repair import Repaired, repair_each


def check(source: str, *, as_json: bool) -> int:
    """Print everything that is damaged in a database, as lines or as JSON.

    Returns:
        The exit code: 1 where something is.
    """
    storage = _open(source)
    with closing(storage):
        faults = list(find_all(storage))
        studies = 0 if faults else len(storage.studies())
    if as_json:
        print(answer(faults=[{**asdict(fault), "text": str(fault)} for fault in faults]))
        return 1 if faults else 0
    console = make_console()
    for fault in faults:
        remedy = f". This cannot be repaired: {fault.remedy}" if fault.remedy else ""
        console.print(f"{fault}{remedy}", soft_wrap=True)
    if faults:
        console.print(f"{count(len(faults), 'fault')} in {source}", soft_wrap=True)
        hopeless = {fault.study for fault in faults if fault.remedy}
        if "" not in hopeless and any(fault.study not in hopeless for fault in faults):
            print_next(console, [("storage", "repair", source)])
        return 1
    what = count(studies, "study").replace("studys", "studies")
    console.print(f"nothing is damaged in {source}: {what}", soft_wrap=True)
    return 0


def repair(source: str, name: str | None, *, aside: Path | None, take_over: bool) -> int:
    """Repair what can be, and print what was done.

    Returns:
        The exit code: 1 where something is still damaged.
    """
    storage = _open(source)
    console = make_console()
    with closing(storage):
        all_done = []
        for done in repair_each(storage, name, aside=aside, take_over=take_over):
            all_done.append(done)
            _print_done(console, done)
        left = [f for f in find_all(storage) if name is None or f.study == name]
    numbers = [n for done in all_done if isinstance(done, Repaired) for n in done.trials]
    if numbers:
        again = f"study.enqueue(study.trials[{numbers[0]}].params)"
        console.print(
            f"a study runs none of its failed trials again by itself; {again} does, in Python, "
            "with params from the middle of the space where they could not be read",
            soft_wrap=True,
        )
    if left:
        console.print(f"still in {source}: {count(len(left), 'fault')}", soft_wrap=True)
        print_next(console, [("storage", "check", source)])
    elif not all_done:
        console.print("nothing is damaged", soft_wrap=True)
    return 1 if left else 0


def _print_done(console: Console, done: Repaired | EvotuneError) -> None:
    if isinstance(done, EvotuneError):
        console.print(str(done), soft_wrap=True)
        return
    if done.trials or (done.study and not done.rebuilt):
        numbers = ", ".join(map(str, done.trials)) or "none"
        console.print(f"study {done.study!r}: trials that failed now: {numbers}", soft_wrap=True)
    if done.rebuilt:
        numbers = ", ".join(map(str, done.rebuilt))
        what = "trials that are whole again, computed from their metrics and genome"
        console.print(f"study {done.study!r}: {what}: {numbers}", soft_wrap=True)
    if done.aside is not None:
        whose = "" if done.study else " of no study"
        said = f"{count(done.rows, 'row')}{whose} set aside in {done.aside}"
        console.print(said, soft_wrap=True)


def _open(source: str) -> SqlStorage:
    storage, _ = open_source(source)
    assert isinstance(storage, SqlStorage)  # a command line names nothing else
    return storage
