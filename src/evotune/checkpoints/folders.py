"""Where files of weights lie: a local directory, or any other place that fsspec knows."""

import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from evotune.errors import CheckpointError

if sys.platform != "win32":
    import fcntl

#: Says which study a folder belongs to.
OWNER = "study.txt"
_FILE = re.compile(r"trial-\d+\.safetensors")
#: What a killed process may leave behind; nothing else in the folder is ever touched.
_LEFTOVER = re.compile(rf"({_FILE.pattern}|{re.escape(OWNER)})\.[0-9a-f]{{8}}\.tmp")
#: What versions before `Owner` wrote: name, seed and time of the study.
_EARLIER = re.compile(r".* \d+ \d[\d.e+]*", re.DOTALL)
#: No write to a remote store takes longer: what is older was left behind.
_LONGEST_WRITE = timedelta(hours=1)
#: A link is not followed, and a pipe is not waited for: neither is a file that we wrote.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_READ |= getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a folder of weights is.

    Attributes:
        study: The study's name, seed and time as JSON; "" for nobody's folder.
        database: Where the study's database was, "" when it is no file.
        folder: Where this very folder was.
        lasts: False for a study that ends with its process.
    """

    study: str
    database: str = ""
    folder: str = ""
    lasts: bool = True

    @classmethod
    def read(cls, text: str) -> "Owner":
        """Return what a file says; what is empty, or written only in part, says nobody."""
        try:
            owner = cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError):
            text = " ".join(text.split())
            return cls(text if _EARLIER.fullmatch(text) else "")
        kinds = (type(owner.study), type(owner.database), type(owner.folder), type(owner.lasts))
        return owner if kinds == (str, str, str, bool) else cls("")

    def text(self) -> str:
        """Return what is written down."""
        return json.dumps(asdict(self)) + "\n"

    def is_of(self, study: str) -> bool:
        """Tell whether it is this study, also as versions before this class wrote it down."""
        name, seed, created = json.loads(study)
        return self.study in (study, " ".join(f"{name} {seed} {created!r}".split()))


def file_name(number: int) -> str:
    """Return the name of a trial's file."""
    return f"trial-{number:d}.safetensors"


def _temporary(name: str) -> str:
    return f"{name}.{token_hex(4)}.tmp"


class LocalFolder:
    """A directory of this machine, made when the first file is written.

    Args:
        path: The directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.belongs_to: Owner | None = None
        self._held: BinaryIO | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_held": None}

    def __str__(self) -> str:
        return str(self.path)

    def beside(self, name: str) -> "LocalFolder":
        """Return another folder in the same place."""
        return LocalFolder(self.path.with_name(name))

    def where(self, name: str) -> str:
        """Return the full path of a file, for people."""
        return str(self.path / name)

    def owner(self) -> Owner | None:
        """Return the owner that the folder names, or None."""
        try:
            return Owner.read(self.read(OWNER).decode("utf-8", "replace"))
        except OSError:
            return None

    def is_held(self) -> bool:
        """Tell whether it is of a study that does not last, and whose process lives."""
        return _is_locked(self.path / OWNER)

    def claim(self) -> None:
        """Write down whose the folder is, whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        if self.belongs_to is not None:
            self.path.mkdir(parents=True, exist_ok=True)
            file = self._replace(OWNER, self.belongs_to.text().encode())
            if self.belongs_to.lasts:
                file.close()
            else:
                self._held = file  # its lock tells others that this process lives

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each trial's file by name."""
        return {p.name: _size(p) for p in self._entries() if _FILE.fullmatch(p.name)}

    def tidy(self) -> None:
        """Remove what a killed process left half written, not what is being written now."""
        for path in self._entries():
            if _LEFTOVER.fullmatch(path.name):
                _remove_unlocked(path)

    def size(self, name: str) -> int:
        """Return the bytes of a file, -1 where there is none that may be read."""
        try:
            descriptor = _open_regular(self.path / name)
        except OSError:
            return -1
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def read(self, name: str, size: int = 1 << 16) -> bytes:
        """Return a file's content, at most one byte more than ``size``.

        Raises:
            OSError: It cannot be read, or is no plain file: a link may lead anywhere.
        """
        with os.fdopen(_open_regular(self.path / name), "rb") as file:
            return file.read(size + 1)

    def write(self, name: str, data: bytes, *, is_made: bool = False) -> None:
        """Write a file so that a crash leaves the old one or the new one.

        Args:
            name: Its name.
            data: Its content.
            is_made: The folder was there before: it is not made again where it is missing.

        Raises:
            OSError: It cannot be written.
        """
        if not (self.path / OWNER).exists():
            if is_made and self.belongs_to is not None:
                raise OSError(f"{self.path} was there and is gone; put it back, or mount its disk")
            self.path.mkdir(parents=True, exist_ok=True)
            self.claim()
        self._replace(name, data).close()

    def _replace(self, name: str, data: bytes) -> BinaryIO:
        """Write a file beside and move it there; return it, open and locked if possible."""
        file, temporary = self._new_file(name)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":  # an open file cannot be moved there
                file.close()
            temporary.replace(self.path / name)
        except BaseException:
            file.close()
            temporary.unlink(missing_ok=True)
            raise
        self._sync()
        return file

    def _new_file(self, name: str) -> tuple[BinaryIO, Path]:
        """Return a new file whose lock tells `tidy` of other processes that this one lives."""
        while True:
            temporary = self.path / _temporary(name)
            file = temporary.open("xb")
            _lock(file.fileno())
            if sys.platform == "win32" or os.fstat(file.fileno()).st_nlink:
                return file, temporary
            file.close()  # another process removed it before it was locked

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def move(self, path: Path) -> None:
        """Move the folder to another place on the same disk, where there is none.

        Raises:
            OSError: That cannot be done; it stays where it is.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path.rename(path)
        with suppress(OSError):
            self.path.parent.rmdir()  # only if nothing else is in it
        self.path = path

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold a lock that keeps out other processes of this machine that ask for it too."""
        self.path.mkdir(parents=True, exist_ok=True)
        with _opened(self.path) as folder:
            _lock(folder)
            yield

    def _entries(self) -> list[Path]:
        try:
            return list(self.path.iterdir())
        except FileNotFoundError:
            return []
        except NotADirectoryError as error:
            raise CheckpointError(
                f"weights are to go to {self.path}, which is a file; give a directory"
            ) from error
        except OSError as error:
            raise CheckpointError(
                f"the folder of weights {self.path} cannot be read: {error}; make it readable, or "
                "give checkpoints= another location"
            ) from error

    def _sync(self) -> None:
        """Make the new name itself survive a power cut."""
        with _opened(self.path) as folder:
            if folder >= 0:
                os.fsync(folder)


def _open_regular(path: Path) -> int:
    """Return a descriptor of a plain file, to read."""
    if path.is_symlink():  # where the system has no O_NOFOLLOW
        raise OSError(f"{path} is a link, and weights are read from plain files only")
    descriptor = os.open(path, _READ)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no plain file")
    return descriptor


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


def _lock(descriptor: int, how: int = 0) -> bool:
    """Wait for a lock that the system takes back when the process ends, however it ends.

    Returns:
        False where there are no locks, or another process has it and ``how`` is not to wait.
    """
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
    except OSError:  # some file systems know no locks
        return False
    return True


def _is_locked(path: Path) -> bool:
    """Tell whether a process holds a file."""
    return not _unlocked(path, lambda: None)


def _remove_unlocked(path: Path) -> None:
    """Remove a file that no process is writing: its lock is held until it is gone."""
    with suppress(OSError):  # one that cannot be removed does no harm
        _unlocked(path, path.unlink)


def _unlocked(path: Path, act: Callable[[], None]) -> bool:
    """Do something while holding the lock of a file; return False where another process has it."""
    if sys.platform == "win32":  # an open file cannot be removed there
        act()
        return True
    try:
        descriptor = _open_regular(path)
    except OSError:
        return True
    try:
        if not _lock(descriptor, fcntl.LOCK_NB):
            return False
        act()
        return True
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    with suppress(OSError):  # another process may just have removed it
        return path.lstat().st_size
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
        self.belongs_to: Owner | None = None
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

    def beside(self, name: str) -> "RemoteFolder":
        """Return another folder in the same place."""
        return RemoteFolder(f"{self._url.rpartition('/')[0]}/{name}")

    def owner(self) -> Owner | None:
        """Return the owner that the folder names, or None."""
        self._files.invalidate_cache()
        try:
            content: bytes = self._files.cat_file(self._at(OWNER))
        except FileNotFoundError:
            return None
        return Owner.read(content.decode("utf-8", "replace"))

    def is_held(self) -> bool:
        """Return False: such stores have no locks."""
        return False

    def claim(self) -> None:
        """Write down whose the folder is."""
        if self.belongs_to is not None:
            self._files.makedirs(self._path, exist_ok=True)
            self._files.pipe_file(self._at(OWNER), self.belongs_to.text().encode())

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each trial's file by name."""
        return {n: size for n, size in self._entries().items() if _FILE.fullmatch(n)}

    def tidy(self) -> None:
        """Remove what a killed process left half written, once it is old enough to be sure."""
        for name in self._entries():
            if _LEFTOVER.fullmatch(name) and self._is_old(name):
                self.remove(name)

    def size(self, name: str) -> int:
        """Return the bytes of a file, -1 where there is none."""
        self._files.invalidate_cache()
        try:
            return int(self._files.info(self._at(name))["size"] or 0)
        except FileNotFoundError:
            return -1

    def read(self, name: str, size: int) -> bytes:
        """Return a file's content, at most one byte more than ``size``; raises OSError."""
        with self._files.open(self._at(name), "rb") as file:
            content: bytes = file.read(size + 1)
        return content

    def write(self, name: str, data: bytes, *, is_made: bool = False) -> None:
        """Write a file under another name, then move it; ``is_made`` does not matter here."""
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
