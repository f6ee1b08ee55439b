"""What is wrong with a stored study: one fault a row or column, and what trials say of each other.

Rows are looked at where they are read, by `evotune.storage.cells`; what holds between the trials of
a study is looked at here, for every kind of storage.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from evotune.errors import EvotuneError, StorageError
from evotune.objectives import Objectives
from evotune.protocols import SearchSpace, StudyDefinition
from evotune.space import Space
from evotune.trial import Trial

#: So many times as many numbers as there are trials are believed; missing ones lie in between.
NUMBERS_AT_MOST = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that cannot be right.

    Attributes:
        study: Name of the study, "" where it is the database itself.
        trial: Number of the trial, as it is stored; None for the study's own row.
        column: Column of the table, "" for the database itself, or all trials of a study.
        reason: What is wrong with it.
        remedy: What to do, where a repair cannot mend it; "" where it can.
    """

    study: str
    trial: Any
    column: str
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        if not self.study:
            return self.reason
        if not self.column:
            return f"study {self.study!r}: {self.reason}"
        trial = "" if self.trial is None else f", trial {self.trial}"
        return f"study {self.study!r}{trial}, column {self.column!r}: {self.reason}"


class DamageError(StorageError):
    """What is stored cannot be right.

    Attributes:
        fault: Where and why.
    """

    def __init__(self, fault: Fault, source: str = "") -> None:
        said = f"{fault}. The database is damaged there"
        if source:
            said += f": evotune storage check {source} finds all that is"
        if fault.remedy:
            said += f"; this cannot be repaired: {fault.remedy}"
        elif source:
            said += f", evotune storage repair {source} sets damaged trials aside"
        super().__init__(said)
        self.fault = fault
        self.source = source

    def __reduce__(self) -> Any:
        return type(self), (self.fault, self.source)


def source_of(storage: Any) -> str:
    """Return what names a storage in a command, quoted for a shell; "" where nothing does."""
    return str(getattr(storage, "source", ""))


@contextmanager
def located(storage: Any) -> Iterator[None]:
    """Let errors of damage inside the block name the storage in which it is."""
    try:
        yield
    except DamageError as error:
        raise DamageError(error.fault, source_of(storage)) from error


def of_study(study: str, column: str, reason: str) -> Fault:
    """Return a fault of a study's own row, of which nothing can be guessed."""
    remedy = (
        "nothing else in the database says what it was; restore a copy of the database, or write "
        f"the right value into column {column!r} of its table evotune_studies"
    )
    return Fault(study, None, column, reason, remedy)


def space_of(definition: StudyDefinition) -> Space:
    """Return the space of a stored study.

    Raises:
        SpaceError: It has a domain of a kind that is not known here.
        DamageError: It is none.
    """
    try:
        return Space.from_json(definition.space)
    except EvotuneError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        reason = f"is no space: {error}"
        raise DamageError(of_study(definition.name, "space", reason)) from error


def refuse_damage(
    study: str, trials: Sequence[Trial], space: SearchSpace, objectives: Objectives
) -> None:
    """Check that the trials of a study can be told again.

    Raises:
        DamageError: They cannot; names the first fault.
    """
    for fault in find_faults(study, trials, space, objectives):
        raise DamageError(fault)


def find_faults(
    study: str,
    trials: Sequence[Trial],
    space: SearchSpace | None,
    objectives: Objectives,
    unread: Collection[int] = (),
) -> Iterator[Fault]:
    """Yield what cannot be right in the trials of a study, at most one fault a trial and kind.

    Args:
        study: Its name.
        trials: All that could be read, by number.
        space: Its space; None where that is not known.
        objectives: Its objectives.
        unread: Numbers of trials that are there but could not be read.
    """
    near = NUMBERS_AT_MOST * (len(trials) + len(unread))
    far = [trial.number for trial in trials if trial.number >= near]
    for number in far:
        yield Fault(study, number, "number", f"is far above those of {len(trials)} trials")
    trials = [trial for trial in trials if trial.number < near]
    read = {trial.number for trial in trials}
    count = 1 + max([-1, *read, *unread])
    for number in range(count):
        if number not in read and number not in unread:
            yield Fault(study, number, "number", "this trial is missing")
    for trial in trials:
        for column, reason in _wrong(trial, space, objectives):
            yield Fault(study, trial.number, column, reason)
    for number, column, reason in _wrong_order(trials, count):
        yield Fault(study, number, column, reason)


def _wrong(
    trial: Trial, space: SearchSpace | None, objectives: Objectives
) -> Iterator[tuple[str, str]]:
    """Yield the columns of one trial that contradict the study or each other, and why."""
    for column, other in _references(trial):
        if not 0 <= other < trial.number:
            yield column, f"names trial {other}, which is not an earlier one"
    if space is not None:
        try:
            space.check(trial.genome)
        except (EvotuneError, TypeError, ValueError, OverflowError) as error:
            yield "genome", f"does not lie in the study's space: {error}"
    if trial.params is not trial.genome and not _holds_genes(trial, space):
        yield "params", "does not hold the active genes of the genome"
    wrong = _wrong_result(trial, objectives)
    if wrong is not None:
        yield wrong


def _holds_genes(trial: Trial, space: SearchSpace | None) -> bool:
    """Return whether all params are genes of the genome; chains and schedules are taken apart."""
    params: Mapping[str, Any] = trial.params
    if isinstance(space, Space) and space.compounds:
        try:
            params = space.taken_apart(params)
        except EvotuneError:
            return False
    return params.items() <= trial.genome.items()


def _references(trial: Trial) -> Iterator[tuple[str, int]]:
    """Yield the numbers of all other trials that a trial names, with their columns."""
    if trial.weights_from is not None:
        yield "weights_from", trial.weights_from
    if trial.repeat_of is not None:
        yield "repeat_of", trial.repeat_of
    for parent in trial.parents:
        yield "parents", parent
    for donor in (*trial.inherit.get("networks", ()), *trial.inherit.get("kin", ())):
        if donor is not None:
            yield "inherit", donor
    for other in (trial.origin.promotes, trial.origin.replaces):
        if other is not None:
            yield "origin", other


def _wrong_result(trial: Trial, objectives: Objectives) -> tuple[str, str] | None:
    if trial.has_ended != (trial.result_order is not None):
        given = "is empty" if trial.has_ended else f"is {trial.result_order}"
        return "result_order", f"{given}, but the trial is {trial.state}"
    if (trial.state == "failed") != (trial.failure is not None):
        return "failure", f"does not fit a trial that is {trial.state}"
    may_have_values = trial.state in ("done", "stopped")
    if trial.values is None:
        return ("values", "is empty, but the trial is done") if trial.state == "done" else None
    if not may_have_values or len(trial.values) != len(objectives.objectives):
        wanted = len(objectives.objectives) if may_have_values else 0
        held = f"holds {len(trial.values)}, not {wanted}"
        return "values", f"{held}, of a trial that is {trial.state}"
    if not all(map(math.isfinite, trial.values)):
        return "values", "holds a number that is not finite"
    for name in objectives.needed:
        if not math.isfinite(trial.metrics.get(name, math.nan)):
            return "metrics", f"has no finite {name!r}, but the trial has values"
    return None


def find_contradictions(
    study: str, trials: Sequence[Trial], objectives: Objectives
) -> Iterator[Fault]:
    """Yield the trials whose metrics give another result than the one that is recorded.

    It is not looked for when a study is opened, as it takes the longest. Where most trials differ,
    the study's objectives are of a class of the user's own, which is not stored.

    Args:
        study: Its name.
        trials: All that could be read.
        objectives: Its objectives.
    """
    judged = [t for t in trials if t.values is not None and _wrong_result(t, objectives) is None]
    for column in ("values", "violation"):
        found = [(t.number, why) for t in judged if (why := _contradiction(t, column, objectives))]
        if 2 * len(found) <= len(judged):
            for number, why in found:
                yield Fault(study, number, "metrics", why)


def _contradiction(trial: Trial, column: str, objectives: Objectives) -> str:
    stored = trial.values if column == "values" else (trial.violation,)
    given = (
        objectives.values(trial.metrics)
        if column == "values"
        else (objectives.violation(trial.metrics),)
    )
    assert stored is not None
    pairs = zip(stored, given, strict=True)
    if all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) for a, b in pairs):
        return ""
    return f"gives {list(given)}, but column {column!r} holds {list(stored)}"


def _wrong_order(trials: Sequence[Trial], count: int) -> Iterator[tuple[int, str, str]]:
    """Yield the trials whose place in the telling cannot be right: number, column, reason."""
    deadline: list[int] = []  # by place of a result: the first trial that was proposed after it
    for trial in trials:
        if not len(deadline) <= trial.results_seen <= trial.number:
            possible = f"from {len(deadline)} to {trial.number}"
            yield trial.number, "results_seen", f"is {trial.results_seen}, but must be {possible}"
        else:
            deadline += [trial.number] * (trial.results_seen - len(deadline))
    held = {trial.result_order for trial in trials}
    lost = [place for place in range(len(deadline)) if place not in held]
    holders: dict[int, int] = {}
    untold: list[int] = []  # two of them may share a place until they are told
    for trial in trials:
        place, number = trial.result_order, trial.number
        if place is None:
            continue
        reason = _wrong_place(place, number, count, deadline)
        if reason is None and place in holders:
            reason = "as that of another trial is"
            fits = [n for n in (number, holders[place]) if any(deadline[p] > n for p in lost)]
            if fits == [holders[place]]:  # that one may have had the lost place, this one not
                holders[place], number = number, holders[place]
        if reason is not None:
            yield number, "result_order", f"is {place}, {reason}"
        elif place < len(deadline):
            holders[place] = number
        else:
            untold.append(number)
    # Trials that could not be read or have been named already may have had these places.
    waiting = {trial.number for trial in trials if not trial.has_ended}
    known = count - len(waiting.union(holders.values(), untold))
    lost = [place for place in range(len(deadline)) if place not in holders]
    yield from _lost_places(lost[known:], untold, deadline)


def _wrong_place(place: int, number: int, count: int, deadline: Sequence[int]) -> str | None:
    if place >= count:
        return f"but there are only {count} trials"
    if place < len(deadline) and deadline[place] <= number:
        return f"but trial {deadline[place]} had seen that result before"
    return None


def _lost_places(
    lost: Sequence[int], untold: Sequence[int], deadline: Sequence[int]
) -> Iterator[tuple[int, str, str]]:
    """Yield trials that must have had a place that no trial has, though others saw its result."""
    suspects = list(untold)
    for place in lost:
        number = next((n for n in suspects if n < deadline[place]), None)
        if number is None:
            yield deadline[place], "results_seen", f"tells of result {place}, which no trial has"
        else:
            suspects.remove(number)
            yield number, "result_order", f"is not {place}, which no trial has"
