"""An SQLite file that may be taken away while it is open."""

import os
from pathlib import Path

from evotune.errors import StorageError


class WatchedFile:
    """Notices when a path no longer leads to the file that was opened.

    SQLite does not: it writes on into a file that has no name any more, and all is gone when the
    process ends.

    Args:
        path: The file, without symbolic links.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log_path = f"{path}-wal"
        self._file: tuple[int, int] | None = None
        self._log: tuple[int, int, int] | None = None
        self._look: tuple[int, int] | None = None

    def forget_log(self) -> None:
        """Take note that SQLite may rightly remove its log, or begin another one."""
        self._log = None

    def check(self) -> str:
        """Return "" or, where others have changed the file itself, "changed" or "shrunk".

        Others may do so rightly: another process moves its log into the file, or vacuums it.

        Raises:
            StorageError: The file or its log was removed, replaced or emptied.
            OSError: Nobody can tell, as the disk is away.
        """
        try:
            found = os.stat(self.path)  # noqa: PTH116  (twice as fast, and on each trial's path)
        except FileNotFoundError:
            raise self._lost("was removed, moved or renamed, or its folder was,") from None
        if self._file is None:
            self._file = found.st_dev, found.st_ino
        if self._file != (found.st_dev, found.st_ino):
            raise self._lost("was replaced by another file")
        look = self._look
        if look is None:
            return ""
        if not found.st_size:
            raise self._lost("was emptied")
        size, changed = look
        if found.st_size < size or self._log_has_shrunk():
            return "shrunk"
        return "changed" if (found.st_size, found.st_mtime_ns) != (size, changed) else ""

    def remember(self) -> None:
        """Take note of the file as it is after a write of one's own."""
        found = os.stat(self.path)  # noqa: PTH116
        self._look = found.st_size, found.st_mtime_ns
        self._log = self._state_of_log()

    def _state_of_log(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._log_path)  # noqa: PTH116
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino, found.st_size

    def _log_has_shrunk(self) -> bool:
        log = self._log
        if log is None:
            return False
        found = self._state_of_log()
        if self._log is not log:  # another thread has opened or closed a connection, or written
            return False
        if found is None or found[:2] != log[:2]:
            raise self._lost(f"was parted from its log {self._log_path}, which was removed")
        return found[2] < log[2]

    def _lost(self, what: str) -> StorageError:
        return StorageError(
            f"{self.path} {what} while it was in use; nothing can be written to it", lost=True
        )
