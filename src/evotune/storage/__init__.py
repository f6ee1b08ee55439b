"""Storages: where studies and trials are recorded."""

import os
import re
from pathlib import Path

from evotune.errors import StorageError
from evotune.protocols import Storage
from evotune.storage.memory import MemoryStorage
from evotune.storage.outages import PATIENCE

__all__ = ["MemoryStorage", "open_storage"]


def open_storage(
    spec: str | os.PathLike[str] | Storage | None = None, *, patience: float = PATIENCE
) -> Storage:
    """Open the storage that a user names.

    Args:
        spec: None or ``"memory"``; the path of an SQLite file, which needs a suffix or a directory
            (``"runs.db"``, ``"out/runs"``); an ``sqlite:///...`` or ``postgresql://...`` URL; or
            a storage, which is returned as it is.
        patience: Seconds to wait, amid a run, while the database is away: a server that restarts,
            a full disk, a lock. ``?patience=60`` in a URL says the same.

    Raises:
        StorageError: ``spec`` is none of these, or the database cannot be used.
    """
    if spec is None or (isinstance(spec, str) and spec == "memory"):
        return MemoryStorage()
    if isinstance(spec, os.PathLike):
        return _open_sql(spec, patience)
    if isinstance(spec, str):
        if "://" in spec:
            return _open_sql(spec, patience)
        if _is_path(spec):
            return _open_sql(Path(spec), patience)
    elif callable(getattr(spec, "acquire", None)):
        return spec
    raise StorageError(
        f'a storage cannot be opened from {spec!r}; write "memory", a file such as "runs.db", '
        '"sqlite:///runs.db" or "postgresql://user@host/database"'
    )


def _is_path(spec: str) -> bool:
    # A bare word is more likely a misspelt "memory" than a file; one letter is a Windows drive.
    path = Path(spec)
    has_scheme = re.match(r"[A-Za-z][\w+]+:", spec) is not None
    return not has_scheme and (path.suffix != "" or len(path.parts) > 1)


def _open_sql(url: str | os.PathLike[str], patience: float) -> Storage:
    from evotune.storage.sql import SqlStorage  # sqlalchemy is heavy: only those who need it pay

    return SqlStorage(url, patience=patience)
