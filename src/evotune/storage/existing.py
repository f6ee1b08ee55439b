"""Studies that are there: a file that holds some, and the name of one of them."""

import os
import shlex
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from evotune.checks import did_you_mean
from evotune.errors import StorageError, StudyError
from evotune.storage.tables import METADATA


def choose(source: str, names: Sequence[str], name: str | None) -> str:
    """Return the name of a study: the given one, or the only one that there is.

    Args:
        source: How the user called the storage.
        names: Of all its studies.
        name: What the user asks for, if anything.

    Raises:
        StudyError: There is no such study, or several to choose from.
    """
    if name is None:
        # The studies of a comparison are named after the main study.
        main = [n for n in names if not any(n.startswith(f"{other} · ") for other in names)]
        if len(main) == 1:
            return main[0]
        if main:
            raise StudyError(
                f"{source} holds {len(main)} studies: {', '.join(main)}; name one of them, e.g. "
                f"evotune show {shlex.quote(source)} {shlex.quote(main[0])}"
            )
    if name is None or name not in names:
        which = "study yet" if name is None else f"study {name!r}"
        hint = did_you_mean(name or "", names) or (f"; it has: {', '.join(names)}" if names else "")
        raise StudyError(f"there is no {which} in {source}{hint}")
    return name


def check_file(path: Path, hint: str) -> None:
    """Refuse a missing file or one without studies, because opening it would create tables.

    What is no database is left to whoever opens it, whose errors say more.

    Args:
        path: Of an SQLite file.
        hint: What may be done where there is none, such as ``"; create it with ..."``.

    Raises:
        StorageError: There is no such file, or it holds no studies.
    """
    if os.path.isdir(path):  # noqa: PTH112  (False also where that can be no name)
        files = ", ".join(map(str, sorted(path.glob("*.db"))))
        raise StorageError(f"{path} is a folder{f'; name a file in it: {files}' if files else ''}")
    if not os.path.exists(path):  # noqa: PTH110
        raise StorageError(f"there is no file {path}{hint}")
    if not path.is_file():
        return
    try:
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            found = connection.execute("SELECT name FROM sqlite_master").fetchall()
    except sqlite3.Error:
        return
    if not METADATA.tables.keys() & {name for (name,) in found}:
        raise StorageError(f"{path} holds no studies of evotune")
