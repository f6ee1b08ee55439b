"""Where a study keeps weights: in memory, and in files of one folder."""

import hashlib
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import replace
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from evotune.checkpoints.folders import LocalFolder, RemoteFolder, file_name
from evotune.checkpoints.state import State, pack, size_of, unpack
from evotune.errors import CheckpointError
from evotune.trial import Checkpoint

_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kMGT]?)(i?)B?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


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
        self._is_open = False
        self._folder: LocalFolder | RemoteFolder | None = None
        self._temporary: Any = None
        self._memory: dict[int, tuple[State, float]] = {}

    def __repr__(self) -> str:
        return (
            f"Checkpoints({self._location!r}, quota={self.quota}, write_every={self.write_every})"
        )

    def __getstate__(self) -> dict[str, Any]:
        # Another process gets the place, not the weights, and does not own a temporary directory.
        return self.__dict__ | {"_memory": {}, "_temporary": None}

    def open(
        self, study: str, default: Path | None = None, owner: str = "", *, lasts: bool = True
    ) -> None:
        """Bind it to a study, and remove what a killed process left half written.

        Args:
            study: Name of the study.
            default: Directory to use when no location was given; may be None. What lies there
                belongs to the study's storage.
            owner: Tells this study from others of the same name.
            lasts: The study outlives this process, so that no other study may use its folder.

        Raises:
            CheckpointError: It holds another study's weights, or the location cannot be used.
        """
        if self._is_open and (study, owner) != (self._study, self._owner):
            raise CheckpointError(
                f"these Checkpoints hold the weights of study {self._study!r}; give study "
                f"{study!r} Checkpoints of its own, or close the other first"
            )
        if (study, owner) != (self._study, self._owner):
            self._memory.clear()
        self._study, self._owner, self._is_open = study, owner, True
        if self._folder is None:
            self._folder = self._find_folder(study, default)
        if self._folder is not None:
            self._folder.tidy()
            self._check_owner(owner if lasts else "", is_own=self._location is None)

    def _check_owner(self, owner: str, *, is_own: bool) -> None:
        """Refuse another study's folder; a deleted study's, beside its storage, is emptied."""
        if self._folder is None or not owner:
            return
        self._folder.belongs_to = owner
        found = self._folder.owner()
        if found == owner:
            return
        if found is not None and not is_own:
            raise CheckpointError(
                f"{self._folder} holds the weights of another study that is also called "
                f"{self._study!r}; give this study another name=, or checkpoints= another location"
            )
        if found is not None:
            for name in self._folder.sizes():
                self._folder.remove(name)
            self._folder.claim()

    def tidy(self, numbers: Collection[int]) -> None:
        """Remove the files of all trials but these, which a killed process may have left."""
        if self._folder is not None:
            for name in self._folder.sizes().keys() - {file_name(n) for n in numbers}:
                self._folder.remove(name)

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
            path = tempfile.mkdtemp(prefix="evotune-")
            self._folder = LocalFolder(Path(path))
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
                self._folder.write(name, data)
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
            raise CheckpointError(
                f"the weights of trial {number} in {where} are damaged: the file has {len(data)} "
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
        if checkpoint is None or checkpoint.deleted or not checkpoint.file or not self._folder:
            return False
        return self._folder.exists(checkpoint.file)

    def delete(self, number: int) -> None:
        """Delete a trial's weights, from memory and as a file; fine when they are gone."""
        self.forget(number)
        if self._folder is not None:
            self._folder.remove(file_name(number))

    def forget(self, number: int) -> None:
        """Drop the copy in memory; a file stays."""
        self._memory.pop(number, None)

    def used(self) -> int:
        """Return the bytes that the files of this study take."""
        return 0 if self._folder is None else sum(self._folder.sizes().values())

    def _find_folder(self, study: str, default: Path | None) -> LocalFolder | RemoteFolder | None:
        if self._location is None:
            return None if default is None else LocalFolder(default.absolute() / _slug(study))
        if "://" in self._location:
            return RemoteFolder(f"{self._location}/{_slug(study)}")
        return LocalFolder(Path(self._location) / _slug(study))

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
        try:
            return self._folder.read(checkpoint.file)
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


def _slug(study: str) -> str:
    """Return a folder name for a study; two studies never share one."""
    if _PLAIN_NAME.fullmatch(study):
        return study
    plain = re.sub(r"[^a-z0-9._-]+", "-", study.lower()).strip(".-")[:60] or "study"
    return f"{plain}-{hashlib.sha256(study.encode()).hexdigest()[:8]}"


def _check_location(location: Any) -> str | None:
    if location is None:
        return None
    if not isinstance(location, str | os.PathLike) or not os.fspath(location):
        raise CheckpointError(
            f"Checkpoints: location must be a directory or a URL, got {location!r}; write "
            'Checkpoints("runs/weights")'
        )
    text = str(os.fspath(location)).removeprefix("file://")
    if "://" in text:
        return text.rstrip("/")
    return str(Path(text).expanduser().absolute())  # workers may have another current directory


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
        number = float(size)
    elif isinstance(size, str) and (match := _SIZE.fullmatch(size)):
        number = float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()]
    if number is None or not isfinite(number) or number < 1:
        raise CheckpointError(
            f"Checkpoints: quota must be a number of bytes above 0, got {size!r}; write "
            'quota="2 GB"'
        )
    return int(number)
