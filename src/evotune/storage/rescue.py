"""A study whose database is lost, written anew from memory."""

import glob
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from evotune.errors import EvotuneError
from evotune.protocols import Driver, StudyDefinition
from evotune.trial import Trial


def rescue(
    definition: StudyDefinition,
    trials: Sequence[Trial],
    driver: Driver,
    *,
    lost: Path | None,
    before: Path | None,
) -> Path | None:
    """Write a study into an SQLite database of its own and return that file.

    Args:
        definition: The study.
        trials: All its trials.
        driver: The study's driver, which gives it free again.
        lost: The file that the study was in, if it was one: the new one goes beside it, or into the
            current or the temporary directory where that cannot be.
        before: The file of an earlier rescue, which is brought up to date.

    Returns:
        The file; None when it could be written nowhere.
    """
    for path in _places(definition.name, lost, before):
        try:
            _write(path, definition, trials, driver)
            return path.absolute()
        except (EvotuneError, OSError):
            continue
    return None


def _places(name: str, lost: Path | None, before: Path | None) -> Iterator[Path]:
    if before is not None:
        yield before
    file = f"{_stem(name, lost)}{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.db"
    if lost is not None:
        yield lost.with_name(file)
    yield Path(file)
    yield Path(tempfile.gettempdir()) / file


def _stem(name: str, lost: Path | None) -> str:
    study = re.sub(r"[^\w.-]+", "_", name)[:40]
    return f"{'evotune' if lost is None else lost.name[:80]}.rescued-{study}-"


def rescue_pattern(lost: Path, name: str) -> str:
    """Return what the files match into which `rescue` writes a study, beside its database."""
    return glob.escape(_stem(name, lost)) + "*-*.db"


def _write(
    path: Path, definition: StudyDefinition, trials: Sequence[Trial], driver: Driver
) -> None:
    from evotune.storage.sql import SqlStorage

    is_new = not path.exists()
    try:
        storage = SqlStorage(path, patience=0)
        try:
            storage.create(definition)
            storage.acquire(definition.name, driver, None)
            storage.write(definition.name, trials, driver)
            storage.release(definition.name, driver)
        finally:
            storage.close()
    except EvotuneError:
        if is_new:
            path.unlink(missing_ok=True)
        raise
