"""Opening a study: what must match a stored study of the same name, and what is refused."""

import logging
import time
import weakref
from pathlib import Path
from typing import Any

from evotune.checks import option
from evotune.errors import StudyError, StudyMismatchError
from evotune.objectives import Objectives
from evotune.protocols import Algorithm, Storage, StudyDefinition
from evotune.seeding import fresh_seed
from evotune.space.space import difference
from evotune.storage.rescue import rescue_pattern

log = logging.getLogger("evotune")

#: Algorithms that already belong to a study.
studied: "weakref.WeakSet[Any]" = weakref.WeakSet()


def open_definition(
    storage: Storage, algorithm: Algorithm, objectives: Objectives, name: str, seed: int | None
) -> StudyDefinition:
    """Store the definition of a new study, or return that of the stored study of this name.

    Raises:
        StudyMismatchError: The stored one has another space, other objectives or another seed.
        StudyError: The name is empty or no text, or the seed is no whole number in range.
    """
    seed = None if seed is None else _checked_seed(seed)
    wanted = StudyDefinition(
        name=_checked_name(name),
        seed=fresh_seed() if seed is None else seed,
        space=algorithm.space.to_json(),
        objectives=objectives.to_json(),
        algorithm=repr(algorithm),
        created=time.time(),
    )
    stored = storage.create(wanted)
    if stored == wanted:
        _mention_rescued(storage, name)
    lines = [] if seed in (None, stored.seed) else [f"~ seed: {stored.seed} -> {seed}"]
    if stored.objectives != wanted.objectives:
        lines.append(f"~ objectives: {stored.objectives} -> {wanted.objectives}")
    if stored.space != wanted.space:
        lines += difference(stored.space, wanted.space)
    for change in _changes(stored.algorithm, wanted.algorithm):
        log.warning("study %r resumes with a different algorithm than before: %s", name, change)
    if lines:
        raise StudyMismatchError(
            f"study {name!r} exists already and differs:\n  " + "\n  ".join(lines) + "\n"
            "Give the new study another name=, or undo the changes to resume the old one"
        )
    return stored


def _changes(before: str, now: str) -> list[str]:
    """Return what differs between two descriptions; options that only one has are ignored."""
    (kind, old), (new_kind, new) = _parts(before), _parts(now)
    if kind != new_kind:
        return [f"{before} -> {now}"]
    return [f"{n}={old[n]} -> {n}={new[n]}" for n in old if n in new and old[n] != new[n]]


def _parts(description: str) -> tuple[str, dict[str, str]]:
    """Return the class and the options of ``Class(name=value, ...)``; values may be nested."""
    kind, _, inside = description.partition("(")
    options, depth, start = [], 0, 0
    for place, character in enumerate(inside):
        depth += (character in "([{") - (character in ")]}")
        if depth < 0 or (depth == 0 and character == ","):
            options.append(inside[start:place].strip())
            start = place + 1
    named = (option.partition("=") for option in options)
    return kind, {name: value for name, _, value in named}


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise StudyError(f'a study needs a name, such as name="lenet"; got {name!r}')
    return name


def _checked_seed(seed: int) -> int:
    number: int = option("seed", seed, "[0, inf)", whole=True)
    if number >= 2**63:
        raise StudyError(f"seed must be a whole number from 0 to 2**63 - 1, got {seed!r}")
    return number


def check_new(algorithm: Algorithm) -> None:
    """Refuse an algorithm that another study already uses.

    Raises:
        StudyError: The algorithm is in use, or the object is no algorithm.
    """
    for method in ("ask", "tell", "space"):
        if not hasattr(algorithm, method) or isinstance(algorithm, type):
            raise StudyError(
                f"a study needs an algorithm such as Genetic(space), got {algorithm!r}"
            )
    if not hasattr(algorithm.space, "to_json"):
        raise StudyError(
            f"the space of {type(algorithm).__name__} is {algorithm.space!r}; write "
            f"{type(algorithm).__name__}(et.Space(lr=et.Float(1e-4, 1.0, log=True), ...))"
        )
    if algorithm in studied:
        raise StudyError(
            "this algorithm object was already used in another study and holds its state; "
            f"create a new one: {type(algorithm).__name__}(space, ...)"
        )
    studied.add(algorithm)


def _mention_rescued(storage: Storage, name: str) -> None:
    """Log where a study of this name was saved when its database was lost, as a new one begins."""
    path: Path | None = getattr(storage, "path", None)
    if path is not None:
        rescued = sorted(path.parent.glob(rescue_pattern(path, name)))
        if rescued:
            log.warning(
                "study %r begins anew, but one of this name was rescued when %s was lost: to go on "
                "with that one, write storage=%r",
                name,
                path.name,
                str(rescued[-1]),
            )
