"""Where files of weights lie: a local directory, or any other place that fsspec knows."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

from evotune.errors import CheckpointError

if sys.platform != "win32":
    import fcntl

_FILE = re.compile(r"trial-\d+\.safetensors")
#: What a killed process may leave behind; nothing else in the folder is ever touched.
_LEFTOVER = re.compile(_FILE.pattern + r"\.[0-9a-f]{8}\.tmp")
#: No write to a remote store takes longer: what is older was left behind.
_LONGEST_WRITE = timedelta(hours=1)


#: Says which study a folder belongs to.
OWNER = "study.txt"


def file_name(number: int) -> str:
    """Return the name of a trial's file."""
    return f"trial-{number}.safetensors"


def _temporary(name: str) -> str:
    return f"{name}.{token_hex(4)}.tmp"


class LocalFolder:
    """A directory of this machine, made when the first file is written.

    Args:
        path: The directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.belongs_to = ""

    def __str__(self) -> str:
        return str(self._path)

    def where(self, name: str) -> str:
        """Return the full path of a file, for people."""
        return str(self._path / name)

    def owner(self) -> str | None:
        """Return the study that the folder belongs to, or None."""
        try:
            return (self._path / OWNER).read_text(encoding="utf-8").strip()
        except OSError:
            return None

    def claim(self) -> None:
        """Write down which study the folder belongs to."""
        if self.belongs_to:
            (self._path / OWNER).write_text(f"{self.belongs_to}\n", encoding="utf-8")

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each trial's file by name."""
        return {p.name: _size(p) for p in self._entries() if _FILE.fullmatch(p.name)}

    def tidy(self) -> None:
        """Remove what a killed process left half written, not what is being written now."""
        for path in self._entries():
            if _LEFTOVER.fullmatch(path.name) and not _is_locked(path):
                path.unlink(missing_ok=True)

    def exists(self, name: str) -> bool:
        """Return True when there is such a file."""
        return (self._path / name).is_file()

    def read(self, name: str) -> bytes:
        """Return a file's content; raises OSError."""
        return (self._path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Write a file so that a crash leaves the old one or the new one; raises OSError."""
        self._path.mkdir(parents=True, exist_ok=True)
        if not (self._path / OWNER).exists():
            self.claim()
        temporary = self._path / _temporary(name)
        try:
            with temporary.open("xb") as file:
                _lock(file.fileno())  # tells `tidy` of another process that this one lives
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path / name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._sync()

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        (self._path / name).unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold a lock that keeps out other processes of this machine that ask for it too."""
        self._path.mkdir(parents=True, exist_ok=True)
        with _opened(self._path) as folder:
            _lock(folder)
            yield

    def _entries(self) -> list[Path]:
        try:
            return list(self._path.iterdir())
        except FileNotFoundError:
            return []
        except NotADirectoryError as error:
            raise CheckpointError(
                f"weights are to go to {self._path}, which is a file; give a directory"
            ) from error

    def _sync(self) -> None:
        """Make the new name itself survive a power cut."""
        with _opened(self._path) as folder:
            if folder >= 0:
                os.fsync(folder)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Yield a descriptor of a directory, -1 on Windows, which has none."""
    if sys.platform == "win32":
        yield -1
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # this also unlocks it


def _lock(descriptor: int) -> None:
    """Wait for a lock that the system takes back when the process ends, however it ends."""
    if sys.platform != "win32":
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _is_locked(path: Path) -> bool:
    """Return whether another process holds a file that it is writing."""
    if sys.platform != "win32":
        with suppress(FileNotFoundError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):  # another process may just have removed it
        return path.stat().st_size
    return 0


class RemoteFolder:
    """A folder of a store that fsspec knows, such as ``s3://bucket/runs``.

    Args:
        url: Address of the folder.

    Raises:
        CheckpointError: The kind of store is not known, or its package is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.belongs_to = ""
        try:
            import fsspec

            self._files, self._path = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise CheckpointError(
                f"{url} cannot be opened: {error}; give a directory, or a URL that fsspec knows"
            ) from error

    def __reduce__(self) -> Any:
        # A connection is not sent to another process.
        return RemoteFolder, (self._url,), {"belongs_to": self.belongs_to}

    def __str__(self) -> str:
        return self._url

    def where(self, name: str) -> str:
        """Return the full address of a file, for people."""
        return f"{self._url}/{name}"

    def owner(self) -> str | None:
        """Return the study that the folder belongs to, or None."""
        self._files.invalidate_cache()
        try:
            content: bytes = self._files.cat_file(self._at(OWNER))
        except FileNotFoundError:
            return None
        return content.decode("utf-8").strip()

    def claim(self) -> None:
        """Write down which study the folder belongs to."""
        if self.belongs_to:
            self._files.makedirs(self._path, exist_ok=True)
            self._files.pipe_file(self._at(OWNER), f"{self.belongs_to}\n".encode())

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each trial's file by name."""
        return {n: size for n, size in self._entries().items() if _FILE.fullmatch(n)}

    def tidy(self) -> None:
        """Remove what a killed process left half written, once it is old enough to be sure."""
        for name in self._entries():
            if _LEFTOVER.fullmatch(name) and self._is_old(name):
                self.remove(name)

    def exists(self, name: str) -> bool:
        """Return True when there is such a file."""
        self._files.invalidate_cache()
        return bool(self._files.exists(self._at(name)))

    def read(self, name: str) -> bytes:
        """Return a file's content; raises OSError."""
        content: bytes = self._files.cat_file(self._at(name))
        return content

    def write(self, name: str, data: bytes) -> None:
        """Write a file under another name, then move it."""
        if not self._files.exists(self._at(OWNER)):
            self.claim()
        self._files.makedirs(self._path, exist_ok=True)
        temporary = _temporary(name)
        try:
            with self._files.open(self._at(temporary), "wb") as file:
                file.write(data)
            self._files.mv(self._at(temporary), self._at(name))
        except BaseException:
            with suppress(Exception):  # what went wrong first is what counts
                self.remove(temporary)
            raise

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        with suppress(FileNotFoundError):
            self._files.rm_file(self._at(name))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Do nothing: such stores have no locks."""
        yield

    def _is_old(self, name: str) -> bool:
        try:
            written: datetime = self._files.modified(self._at(name))
        except (NotImplementedError, FileNotFoundError):  # not every store tells
            return False
        return datetime.now(UTC) - written.astimezone(UTC) > _LONGEST_WRITE

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _entries(self) -> dict[str, int]:
        self._files.invalidate_cache()
        try:
            found = self._files.ls(self._path, detail=True)
        except FileNotFoundError:
            return {}
        return {entry["name"].rpartition("/")[2]: int(entry["size"] or 0) for entry in found}
