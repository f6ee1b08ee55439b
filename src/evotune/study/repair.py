"""Setting damaged trials aside, so that their study goes on without them."""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evotune.errors import EvotuneError, StorageError, StudyError
from evotune.objectives import Objectives
from evotune.protocols import StudyDefinition
from evotune.seeding import trial_seed
from evotune.space import Space
from evotune.storage import tables
from evotune.storage.check import Examined, examine, file_faults, orphans
from evotune.storage.damage import NUMBERS_AT_MOST, Fault, find_faults, space_of
from evotune.storage.sql import SqlStorage
from evotune.study import lock
from evotune.trial import Failure, Trial

#: What follows from the rest of a trial's row.
_FOLLOW = frozenset({"params", "values", "violation"})
#: What a failed trial may keep of a damaged one, each where it can be read.
_KEPT = frozenset(
    {"genome", "seed", "budget", "weights_from", "parents", "note", "inherit", "origin"}
    | {"repeat_of", "results_seen", "result_order", "started", "ended"}
)


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was done to one study.

    Attributes:
        study: Its name.
        trials: Numbers of the trials that are failed ones now.
        rows: How many damaged rows were set aside.
        aside: The file in which they are; None where there was no row.
        rebuilt: Numbers of the trials that are whole again, as the rest of their rows says all.
    """

    study: str
    trials: tuple[int, ...]
    rows: int
    aside: Path | None
    rebuilt: tuple[int, ...] = ()


def repair(
    storage: SqlStorage,
    name: str | None = None,
    *,
    aside: Path | None = None,
    take_over: bool = False,
) -> list[Repaired]:
    """Set the damaged trials of a study aside, or of all studies, and rows of no study.

    The raw row of each goes to a file, one JSON object a line. In its place stands a failed trial
    with the same number, which keeps what can be read of the proposal, so that numbers stay dense
    and everything else is told in the order in which it was told before. A trial of which only
    values, violation or params are damaged stays what it is: they follow from metrics and genome.

    Args:
        storage: The database, opened.
        name: Name of the study; None repairs all that need it.
        aside: The file, which is added to; by default ``<database>.damaged.jsonl``, for a database
            without a file ``evotune-damaged.jsonl``.
        take_over: Repair although a process that cannot be seen from here drives the study, or
            although who drives it cannot be read.

    Returns:
        What was done, for each study in which something was damaged; for rows of no study, ``""``.

    Raises:
        StudyLockedError: A living process drives the study; nothing was changed in it.
        StudyError: There is no study of that name.
        StorageError: The study's own row is damaged, of which nothing can be guessed; or the file
            cannot be written, or what is left of the trials makes no study. Nothing was changed in
            it, but the other studies were repaired. Or the database's file is damaged, and nothing
            was changed at all.
    """
    every = list(repair_each(storage, name, aside=aside, take_over=take_over))
    for done in every:
        if isinstance(done, EvotuneError):
            raise done
    return [done for done in every if isinstance(done, Repaired)]


def repair_each(
    storage: SqlStorage, name: str | None, *, aside: Path | None, take_over: bool
) -> Iterator[Repaired | EvotuneError]:
    """Yield for each damaged study what was done, or why nothing was; see `repair`."""
    if aside is None:
        aside = Path("evotune-damaged.jsonl")
        if storage.path is not None:
            aside = storage.path.with_name(storage.path.name + ".damaged.jsonl")
    for fault in file_faults(storage):
        raise StorageError(
            f"{fault}. Nothing was changed, since this cannot be repaired: {fault.remedy}"
        )
    found = [e for e in examine(storage) if name is None or e.name == name]
    if name is not None and not found:
        raise StudyError(f"there is no study {name!r} in this storage")
    if name is None and (lost := orphans(storage)):
        _set_aside(aside, [_as_json(None, row, ["study_id: of no study"]) for row in lost])
        storage.remove_orphans()
        yield Repaired("", (), len(lost), aside)
    for examined in found:
        if examined.faults:
            try:
                yield _repair(storage, examined, aside, take_over)
            except EvotuneError as error:
                yield error


def _repair(storage: SqlStorage, seen: Examined, aside: Path, take_over: bool) -> Repaired:
    _refuse_lost_definition(seen)
    if any(fault.column.startswith("driver_") for fault in seen.faults):
        if not take_over:
            raise StorageError(
                f"who drives study {seen.name!r} cannot be read, so that it may be a living "
                "process: stop it, and then repair with take_over=True (--take-over)"
            )
        storage.forget_driver(seen.name)
    driver = lock.acquire(storage, seen.name, take_over=take_over)
    try:
        [now] = [e for e in examine(storage) if e.key == seen.key]  # nobody else writes any more
        plan = _Plan(now, aside)
        _set_aside(aside, plan.damaged_rows())
        storage.write(now.name, plan.mended, driver)
        storage.remove_rows(now.name, plan.stray, driver)
    finally:
        storage.release(seen.name, driver)
    rows = len(plan.damaged_rows())
    failed, rebuilt = (
        tuple(t.number for t in plan.mended if (t.number in plan.rebuilt) == is_whole)
        for is_whole in (False, True)
    )
    return Repaired(now.name, failed, rows, aside if rows else None, rebuilt)


def _refuse_lost_definition(seen: Examined) -> None:
    for fault in seen.faults:
        if fault.remedy:
            raise StorageError(f"{fault}. This cannot be repaired: {fault.remedy}")


class _Plan:
    """What takes the place of the damaged trials of a study.

    Args:
        seen: The study.
        aside: Where the rows go, for the failures' messages.

    Attributes:
        mended: What takes their places, by number.
        rebuilt: Numbers of those that are whole again; the others are failed.
        stray: Numbers, as stored, of rows that have no place in the study.

    Raises:
        StorageError: What is left makes no study.
    """

    def __init__(self, seen: Examined, aside: Path) -> None:
        assert seen.definition is not None
        self.definition: StudyDefinition = seen.definition
        self.space: Space = space_of(self.definition)
        self.objectives = Objectives.from_json(self.definition.objectives)
        self.aside = aside
        self.rows = seen.rows
        near = NUMBERS_AT_MOST * len(seen.rows)
        known = [row["number"] for row in seen.rows if _is_number(row["number"], near)]
        self.stray = [row["number"] for row in seen.rows if row["number"] not in known]
        trials = {trial.number: trial for trial in seen.trials if trial.number in known}
        self.wrong: dict[Any, list[Fault]] = {}
        self.rebuilt: set[int] = set()
        self._mended: dict[int, Trial] = {}
        faults: Sequence[Fault] = seen.faults
        while faults:  # what is set aside may bring to light what else cannot be right
            for fault in faults:
                self.wrong.setdefault(fault.trial, []).append(fault)
            places = set(self.wrong) - set(self.stray)
            if not places - (set(self._mended) - self.rebuilt) and self._mended:
                raise StorageError(f"{faults[0]}; setting trials aside does not mend this")
            for number in places:
                trials[number] = self._mended[number] = self._stand_in(number)
            self._place(trials)
            ordered = [trials[number] for number in sorted(trials)]
            faults = list(find_faults(seen.name, ordered, self.space, self.objectives))
        self.mended = [self._mended[number] for number in sorted(self._mended)]

    def damaged_rows(self) -> list[dict[str, Any]]:
        """Return what is known of each damaged row, as JSON."""
        name, wrong = self.definition.name, self.wrong
        return [
            _as_json(name, row, [f"{f.column}: {f.reason}" for f in wrong.get(row["number"], ())])
            for row in self.rows
            if row["number"] in self.wrong or row["number"] in self.stray
        ]

    def _stand_in(self, number: int) -> Trial:
        """Return a trial for a damaged one; its place in the telling comes later."""
        row = next((row for row in self.rows if row["number"] == number), None)
        fields, wrong = tables.trial_cells(list(row.values())) if row else ({}, {"number": ""})
        bad = {fault.column for fault in self.wrong[number]} | set(wrong)
        whole = self._rebuilt(fields) if bad <= _FOLLOW and number not in self.rebuilt else None
        if whole is not None:
            self.rebuilt.add(number)
            return whole
        self.rebuilt.discard(number)
        kept = {n: v for n, v in fields.items() if n in _KEPT - bad}
        kept.setdefault("genome", self.space.decode([0.5] * len(self.space)))
        kept.setdefault("seed", trial_seed(self.definition.seed, number))
        what = "; ".join(f"column {f.column!r}: {f.reason}" for f in self.wrong[number])
        message = f"its row in the database was damaged, {what}; it was set aside in {self.aside}"
        return Trial(
            number=number,
            params=self.space.params(kept["genome"]),
            state="failed",
            failure=Failure("damaged", message),
            **kept,
        )

    def _rebuilt(self, fields: Mapping[str, Any]) -> Trial | None:
        """Return the trial of which all can be read but what follows from the rest."""
        metrics = fields.get("metrics", {})
        is_measured = all(math.isfinite(metrics.get(n, math.nan)) for n in self.objectives.needed)
        has_values = is_measured and fields["state"] in ("done", "stopped")
        if fields["state"] == "done" and not has_values:
            return None
        follows = {
            "params": self.space.params(fields["genome"]),
            "values": self.objectives.values(metrics) if has_values else None,
            "violation": self.objectives.violation(metrics) if has_values else 0.0,
        }
        return Trial(**{**fields, **follows})

    def _place(self, trials: dict[int, Trial]) -> None:
        """Give the failed trials the places in the telling that the others leave free."""
        seen = 0
        for number in sorted(trials):
            if number in self._mended and not self._is_kept(number, "results_seen"):
                trials[number] = replace(trials[number], results_seen=seen)
            seen = max(seen, trials[number].results_seen)
        taken = {
            trial.result_order
            for number, trial in trials.items()
            if number not in self._mended or self._is_kept(number, "result_order")
        }
        free: Iterator[int] = (place for place in range(2 * len(trials)) if place not in taken)
        for number in sorted(self._mended):
            if not self._is_kept(number, "result_order"):
                trials[number] = replace(trials[number], result_order=next(free))
            self._mended[number] = trials[number]

    def _is_kept(self, number: int, column: str) -> bool:
        row: Mapping[str, Any] = next((r for r in self.rows if r["number"] == number), {})
        bad = {fault.column for fault in self.wrong[number]}
        return row.get(column) is not None and column not in bad


def _is_number(cell: Any, below: int) -> bool:
    return type(cell) is int and 0 <= cell < below


def _as_json(study: str | None, row: Mapping[str, Any], damage: Sequence[str]) -> dict[str, Any]:
    return {
        "study": study,
        "trial": _plain(row["number"]),
        "damage": damage,
        "set_aside": time.time(),
        "row": {column: _plain(cell) for column, cell in row.items()},
    }


def _plain(cell: Any) -> Any:
    return {"bytes": cell.hex()} if isinstance(cell, bytes) else cell


def _set_aside(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows to a file, for good before anything in the database is changed."""
    if not rows:
        return
    try:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(
            f"the damaged rows cannot be set aside in {path}, and nothing was changed: "
            f"{error.strerror}; name a file that can be written with aside= (--aside)"
        ) from error
