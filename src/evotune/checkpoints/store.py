"""Where a study keeps weights: in memory, and in files of one folder."""

import hashlib
import logging
import os
import re
import shutil
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from evotune.checkpoints.folders import (
    OWNER,
    LocalFolder,
    Owner,
    RemoteFolder,
    file_name,
)
from evotune.checkpoints.state import State, pack, size_of, unpack
from evotune.checks import user_path
from evotune.errors import CheckpointError
from evotune.printing import printable
from evotune.trial import Checkpoint

_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kMGT]?)(i?)B?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_ENDING = ".checkpoints"
_TEMPORARY = "evotune-"
_EARLIER_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
#: On Windows a dot at the end is left out.
_PLAIN_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,78}[a-z0-9_-])?")
#: What could be the name that another study's was turned into.
_HASHED = re.compile(r"-([0-9a-f]{8}|[0-9a-f]{32})$")
#: Devices, whatever their ending, and not folders on Windows.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)")

Folder = LocalFolder | RemoteFolder

log = logging.getLogger("evotune")


class Checkpoints:
    """Keeps the weights of one study's trials.

    Trials that run in this process hand their weights over in memory; files are written besides, so
    that a killed study goes on, and trials in other processes can inherit. Deleting is up to the
    study: files are deleted here only on request.

    Args:
        location: Directory, or any URL that fsspec knows (``s3://bucket/runs``). Each study gets a
            folder of its name in it. Without one, a study that is stored in a file keeps weights
            beside that file, and any other in memory only.
        quota: Bytes that all files of the study together may take: a number, or a text such as
            ``"2 GB"`` or ``"500 MiB"``.
        write_every: Write the weights of every n-th generation; None writes only when a run ends.

    Raises:
        CheckpointError: An option cannot be understood.
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | None = None,
        *,
        quota: float | str | None = None,
        write_every: int | None = 1,
    ) -> None:
        self._location = _check_location(location)
        self.quota = None if quota is None else _read_size(quota)
        self.write_every = _check_write_every(write_every)
        self._study: str | None = None
        self._owner = ""
        self._database = ""
        self._lasts = True
        self._is_open = False
        self._folder: Folder | None = None
        self._is_ours = True  # else nothing there may be changed
        self._is_claimed = False
        self._is_made = False
        self._moves_to: Path | None = None
        self._temporary: Any = None
        self._memory: dict[int, tuple[State, float]] = {}

    def __repr__(self) -> str:
        options = f"quota={self.quota}, write_every={self.write_every}"
        return printable(f"Checkpoints({self._location!r}, {options})")

    def __getstate__(self) -> dict[str, Any]:
        # Another process gets the place, not the weights, and does not own a temporary directory.
        return self.__dict__ | {"_memory": {}, "_temporary": None}

    def open(
        self, study: str, default: Path | None = None, owner: str = "", *, lasts: bool = True
    ) -> None:
        """Bind it to a study, and remove what a killed process left half written.

        Args:
            study: Name of the study.
            default: Directory to use when no location was given; may be None. That of a database
                bears its name and ``.checkpoints``; it is found again when both were moved, or
                the database was renamed.
            owner: Tells this study from others of the same name: its name, seed and time as JSON;
                "" takes the folder as it is.
            lasts: The study outlives this process, so that no other study may use its folder.

        Raises:
            CheckpointError: It holds another study's weights, the location does, or cannot be used.
        """
        if self._is_open and (study, owner) != (self._study, self._owner):
            raise CheckpointError(
                f"these Checkpoints hold the weights of study {self._study!r}; give study "
                f"{study!r} Checkpoints of its own, or close the other first"
            )
        if (study, owner) != (self._study, self._owner):
            self._memory.clear()
        self._study, self._owner, self._lasts, self._is_open = study, owner, lasts, True
        if self._folder is None:
            self._database = _database_of(default)
            try:
                self._folder = self._find_folder(study, default)
                if self._folder is not None and self._is_ours:
                    self._folder.belongs_to = self._as_owner(self._folder)
                    self._folder.tidy()
            except CheckpointError:
                raise
            except Exception as error:  # whatever a disk or a remote store raises
                raise CheckpointError(
                    f"{self._location or default} cannot be used for weights: {error}"
                ) from error

    def _find_folder(self, study: str, default: Path | None) -> Folder | None:
        """Return this study's folder: the one that says so, else a new one.

        Raises:
            CheckpointError: Another study's weights are at the location that was given.
        """
        self._is_ours, self._is_claimed, self._moves_to = True, not self._owner, None
        self._is_made = False
        if self._location is None and default is None:
            return None
        root = self._location or str(default)
        names = [_slug(study), _earlier_slug(study), self._name_apart()]
        places = [_folder(root, name) for name in names]
        first, apart = places[0], places[2]
        if not self._owner:
            return first
        found = next((place for place in places if self._is_mine(place.owner(), place)), None)
        found = found or self._left_by_a_renamed_database(default, names)
        if found is not None:
            return found
        owner = first.owner()
        if owner is None or not owner.study:
            self._is_ours = not first.sizes()  # else `tidy` finds out
            return first
        if not (self._lasts or owner.lasts or first.is_held()):
            return first
        self._refuse(first, "of another study that is also called " + repr(study))
        return apart

    def _name_apart(self) -> str:
        """Return the name of a folder that only this very study ever has."""
        return f"{_plain(self._study or '')}-{_digest(self._owner)}"

    def _refuse(self, folder: Folder, whose: str) -> None:
        """Raise at a location that was given; elsewhere another folder is taken."""
        if self._location is not None and self._lasts:
            raise CheckpointError(
                f"{folder} holds the weights {whose}; give this study another name=, or "
                "checkpoints= another location"
            )
        log.warning(
            "%s holds the weights %s; they are left as they are: remove that folder once nobody "
            "needs it",
            folder,
            whose,
        )

    def _is_mine(self, owner: Owner | None, folder: Folder) -> bool:
        """Tell whether a folder is this study's, and not that of a database which it was copied to.

        Raises:
            CheckpointError: Two databases with this study have one location for its weights.
        """
        if owner is None or not owner.is_of(self._owner):
            return False
        if owner.folder != _real(folder) or not self._is_another(owner.database):
            return True
        raise CheckpointError(
            f"{folder} holds the weights of study {self._study!r} in {owner.database}, of which "
            f"{self._database} seems to be a copy; copy the weights too, and give the copy "
            "checkpoints= that location"
        )

    def _is_another(self, database: str) -> bool:
        """Tell whether a path leads to a database that is not this study's."""
        if not database or not self._database:
            return False
        try:
            return not Path(database).samefile(self._database)
        except OSError:  # there is none any more
            return False

    def _left_by_a_renamed_database(
        self, default: Path | None, names: Sequence[str]
    ) -> LocalFolder | None:
        """Return this study's folder beside a database that was renamed, or lost and rescued."""
        if self._location is not None or default is None or not self._database:
            return None
        for root in sorted(default.parent.glob(f"*{_ENDING}")):
            is_anothers = self._is_another(_database_of(root))
            for name in names:
                place = LocalFolder(root / name)
                owner = place.owner()
                if owner is None or not owner.is_of(self._owner):
                    continue
                if not is_anothers or owner.database == self._database:
                    self._moves_to = default / names[0]
                    return place
        return None

    def follow(self, database: Path) -> None:
        """Record that the study is in another database now, which its weights belong to.

        Args:
            database: The file that the study is in now.
        """
        if isinstance(self._folder, LocalFolder) and self._folder.path.is_dir() and self._is_ours:
            with suppress(OSError):  # then checkpoints= has to be given
                self._database = str(database)
                self._folder.belongs_to = self._as_owner(self._folder)
                self._folder.claim()

    def tidy(self, kept: Mapping[int, Checkpoint]) -> None:
        """Make the folder this study's, and remove what a killed process may have left in it.

        Only who drives the study may call this.

        Args:
            kept: Records of all weights that the study still has, by trial number.

        Raises:
            CheckpointError: The location holds weights, nothing says whose, and they are not these.
        """
        if self._folder is None:
            return
        if not self._is_ours and not any(self._holds(n, record) for n, record in kept.items()):
            self._refuse(self._folder, f"of a study that its {OWNER} does not name")
            self._folder = self._folder.beside(self._name_apart())
        self._is_ours = True
        try:
            self._claim()
            self._is_made = self._folder.size(OWNER) >= 0
            for name in self._folder.sizes().keys() - {file_name(n) for n in kept}:
                self._folder.remove(name)
        except OSError as error:
            log.warning("%s could not be tidied: %s", self._folder, error)

    def _claim(self) -> None:
        """Write down that the folder is this study's, where it is there already."""
        folder = self._folder
        if folder is None or self._is_claimed:
            return
        if self._moves_to is not None and isinstance(folder, LocalFolder):
            with suppress(OSError):  # it also serves where it is
                folder.move(self._moves_to)
            self._moves_to = None
        mine, found = self._as_owner(folder), folder.owner()
        folder.belongs_to = mine
        # A study that does not last claims at once: others must see that its process lives.
        if not self._lasts or (found is not None and found != mine) or folder.sizes():
            folder.claim()
        self._is_claimed = True

    def _as_owner(self, folder: Folder) -> Owner | None:
        if not self._owner:
            return None
        return Owner(self._owner, self._database, _real(folder), self._lasts)

    def _holds(self, number: int, record: Checkpoint) -> bool:
        """Tell whether the folder has weights just as they were recorded."""
        try:
            return bool(record.file) and bool(self._load(number, record))
        except CheckpointError:
            return False

    @property
    def has_location(self) -> bool:
        """True when weights can be written to files."""
        return self._folder is not None

    @property
    def is_temporary(self) -> bool:
        """True when the files go with this process."""
        return self._temporary is not None

    def is_due(self, generation: int) -> bool:
        """Return whether the weights of a generation, counted from 0, are to be written at once."""
        return self.write_every is not None and (generation + 1) % self.write_every == 0

    def another(self) -> "Checkpoints":
        """Return a store with the same settings, for another study."""
        return Checkpoints(self._location, quota=self.quota, write_every=self.write_every)

    def ensure_location(self) -> None:
        """Make a temporary directory when there is no location, for trials in other processes."""
        if self._folder is None:
            _remove_leftovers()
            path = tempfile.mkdtemp(prefix=_TEMPORARY)
            self._folder = LocalFolder(Path(path))
            self._folder.belongs_to = Owner("", folder=_real(self._folder), lasts=False)
            self._folder.claim()  # holds a lock as long as this process lives
            self._temporary = weakref.finalize(self, _remove_tree, path, os.getpid())

    def close(self) -> None:
        """Remove a temporary directory; weights in memory stay for the same study."""
        self._is_open, self._folder = False, None
        if self._temporary is not None:
            self._temporary()
            self._temporary = None

    def keep(self, number: int, state: State, epochs: float) -> Checkpoint:
        """Keep a trial's weights in memory; the state is taken as it is, not copied.

        Args:
            number: The trial.
            state: Nested plain parts, see `evotune.checkpoints.state`.
            epochs: Epochs that the weights have been trained for.
        """
        self._memory[number] = (state, epochs)
        return Checkpoint(epochs, size_of(state))

    def write(self, number: int, checkpoint: Checkpoint) -> Checkpoint:
        """Write weights that are in memory to a file, if there is a place for files.

        Returns:
            The record with the file's name, size and digest; the given one where there is no place
            for files, or the file is already written.

        Raises:
            CheckpointError: The quota or the disk is full, or the weights are not in memory.
        """
        if self._folder is None or checkpoint.file:
            return checkpoint
        if number not in self._memory:
            raise CheckpointError(f"the weights of trial {number} are not in memory any more")
        data = pack(*self._memory[number])
        name = file_name(number)
        with nullcontext() if self.quota is None else self._folder.alone():
            self._check_quota(number, name, len(data))
            try:
                self._folder.write(name, data, is_made=self._is_made)
            except Exception as error:  # a full disk, or whatever a remote store raises
                raise CheckpointError(
                    f"the weights of trial {number}, {len(data)} bytes, could not be written to "
                    f"{self._folder.where(name)}: {error}"
                ) from error
        digest = hashlib.sha256(data).hexdigest()
        return replace(checkpoint, size=len(data), file=name, digest=digest)

    def load(self, number: int, checkpoint: Checkpoint) -> tuple[State, float]:
        """Return a trial's weights and the epochs they have been trained for.

        The state is shared with other callers: copy it before changing it, as
        `evotune.checkpoints.state.restore` does.

        Raises:
            CheckpointError: The weights are gone, truncated or damaged; says which and where.
        """
        if number in self._memory:
            return self._memory[number]
        try:
            return self._load(number, checkpoint)
        except CheckpointError as error:
            error.trial = number
            raise

    def _load(self, number: int, checkpoint: Checkpoint) -> tuple[State, float]:
        data = self._read(number, checkpoint)
        where = self._where(checkpoint)
        if len(data) != checkpoint.size:
            more = "more" if len(data) > checkpoint.size else f"{len(data)}"
            raise CheckpointError(
                f"the weights of trial {number} in {where} are damaged: the file has {more} "
                f"bytes where {checkpoint.size} were written"
            )
        if hashlib.sha256(data).hexdigest() != checkpoint.digest:
            raise CheckpointError(
                f"the weights of trial {number} in {where} are damaged: the file's SHA-256 is not "
                "that of what was written"
            )
        try:
            return unpack(data)
        except CheckpointError as error:
            raise CheckpointError(
                f"the weights of trial {number} in {where} cannot be read: {error}"
            ) from error

    def available(self, number: int, checkpoint: Checkpoint | None) -> bool:
        """Return True when the weights are in memory, or their file is there."""
        if number in self._memory:
            return True
        if checkpoint is None or checkpoint.deleted:
            return False
        return self.has_file(number, checkpoint)

    def has_file(self, number: int, checkpoint: Checkpoint) -> bool:
        """Return True when the weights' file is there, in its full length, and may be read."""
        if self._folder is None or checkpoint.file != file_name(number):
            return False
        try:
            return self._folder.size(checkpoint.file) == checkpoint.size
        except Exception:  # whatever a remote store raises
            return False

    def missing(self, records: Mapping[int, Checkpoint]) -> CheckpointError:
        """Return the error that says that none of these trials' files can be read."""
        if self._folder is None:
            return CheckpointError(
                "the weights that this study goes on from are in files, and it was opened without "
                "a place for them; nothing was recorded: give checkpoints= as before, and run again"
            )
        name = file_name(min(records))
        return CheckpointError(
            f"none of the {len(records)} files of weights that study {self._study!r} goes on from "
            f"can be read, such as {self._folder.where(name)}; nothing was recorded. Put the "
            "folder back (beside a database that was moved or copied, it must be moved or copied "
            "too), mount its disk, or give checkpoints= as before, and run again"
        )

    def delete(self, number: int) -> None:
        """Delete a trial's weights, from memory and as a file; fine when they are gone."""
        self.forget(number)
        if self._folder is not None and self._is_ours:
            self._folder.remove(file_name(number))

    def wrote(self, checkpoint: Checkpoint) -> None:
        """Take note of a file that a process wrote here: from now on the folder must be there."""
        self._is_made = self._is_made or bool(checkpoint.file)

    def forget(self, number: int) -> None:
        """Drop the copy in memory; a file stays."""
        self._memory.pop(number, None)

    def used(self) -> int:
        """Return the bytes that the files of this study take."""
        return 0 if self._folder is None else sum(self._folder.sizes().values())

    def _check_quota(self, number: int, name: str, needed: int) -> None:
        if self.quota is None or self._folder is None:
            return
        sizes = self._folder.sizes()
        used = sum(sizes.values()) - sizes.get(name, 0)
        if used + needed > self.quota:
            raise CheckpointError(
                f"the weights of trial {number} need {needed} bytes, {used} of the quota of "
                f"{self.quota} bytes are used in {self._folder}; nothing was written. Give "
                f"Checkpoints(quota={used + needed}) or more"
            )

    def _read(self, number: int, checkpoint: Checkpoint) -> bytes:
        if checkpoint.external:
            raise CheckpointError(
                f"the weights of trial {number} are with the program that told its result by "
                "study.tell; go on with ask and tell, or begin a new study for run"
            )
        if checkpoint.deleted:
            raise CheckpointError(
                f"the weights of trial {number} were deleted, as nothing needed them any more"
            )
        if not checkpoint.file or self._folder is None:
            raise CheckpointError(
                f"the weights of trial {number} were in the memory of a process that has ended; "
                'give Checkpoints("a/directory") so that they are written'
            )
        if checkpoint.file != file_name(number) or not _is_count(checkpoint.size):
            raise CheckpointError(
                f"the record of the weights of trial {number} is damaged: it names a file "
                f"{checkpoint.file!r} of {checkpoint.size!r} bytes, where {file_name(number)!r} "
                "was written; nothing was read"
            )
        try:
            return self._folder.read(checkpoint.file, checkpoint.size)
        except FileNotFoundError as error:
            raise CheckpointError(
                f"the weights of trial {number} are missing: there is no {self._where(checkpoint)}"
            ) from error
        except Exception as error:  # whatever a disk or a remote store raises
            raise CheckpointError(
                f"the weights of trial {number} in {self._where(checkpoint)} cannot be read: "
                f"{error}"
            ) from error

    def _where(self, checkpoint: Checkpoint) -> str:
        return "memory" if self._folder is None else self._folder.where(checkpoint.file)


def _remove_tree(path: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked child inherits the finalizer, not the directory
        shutil.rmtree(path, ignore_errors=True)


def _remove_leftovers() -> None:
    """Remove temporary directories whose processes were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*"):
        folder = LocalFolder(path)
        owner = folder.owner()
        # What does not say of itself that it is one was made by somebody else.
        is_one = owner is not None and not owner.lasts and owner.folder == _real(folder)
        if is_one and not folder.is_held():
            shutil.rmtree(path, ignore_errors=True)


def _is_count(size: Any) -> bool:
    return isinstance(size, int) and 0 <= size < sys.maxsize


def _folder(root: str, name: str) -> Folder:
    return RemoteFolder(f"{root}/{name}") if "://" in root else LocalFolder(Path(root) / name)


def _real(folder: Folder) -> str:
    return os.path.realpath(folder.path) if isinstance(folder, LocalFolder) else str(folder)


def _database_of(default: Path | None) -> str:
    """Return the database beside which a folder lies, "" for another folder."""
    if default is None or not default.name.endswith(_ENDING):
        return ""
    return os.path.realpath(default.with_name(default.name.removesuffix(_ENDING)))


def _slug(study: str) -> str:
    """Return a folder name for a study; two studies never share one, on no file system."""
    if _PLAIN_NAME.fullmatch(study) and not _HASHED.search(study) and not _RESERVED.match(study):
        return study
    return f"{_plain(study)}-{_digest(study)}"


def _plain(study: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", study.lower()).strip("-")[:40] or "study"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _earlier_slug(study: str) -> str:
    """Return the folder name that versions before this one gave a study."""
    if _EARLIER_PLAIN_NAME.fullmatch(study):
        return study
    plain = re.sub(r"[^a-z0-9._-]+", "-", study.lower()).strip(".-")[:60] or "study"
    return f"{plain}-{_digest(study)[:8]}"


def _check_location(location: Any) -> str | None:
    if location is None:
        return None
    if not isinstance(location, str | os.PathLike) or not os.fspath(location):
        raise CheckpointError(
            f"Checkpoints: location must be a directory or a URL, got {location!r}; write "
            'Checkpoints("runs/weights")'
        )
    text = re.sub("^(file|local)://", "", str(os.fspath(location)))
    if "://" in text:
        return text.rstrip("/")
    # Workers may have another current directory.
    return str(user_path(text, CheckpointError).absolute())


def _check_write_every(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise CheckpointError(
            "Checkpoints: write_every must be a whole number of generations from 1 up, or None to "
            f"write only when a run ends, got {value!r}"
        )
    return int(value)


def _read_size(size: Any) -> int:
    """Return bytes from a number or a text such as ``"2 GB"`` or ``"500 MiB"``."""
    number: float | None = None
    if isinstance(size, Real) and not isinstance(size, bool):
        with suppress(OverflowError):
            number = float(size)
    elif isinstance(size, str) and (match := _SIZE.fullmatch(size)):
        number = float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()]
    if number is None or not isfinite(number) or number < 1:
        raise CheckpointError(
            f"Checkpoints: quota must be a number of bytes above 0, got {size!r}; write "
            'quota="2 GB"'
        )
    return int(number)
