"""Finished runs on disk: one JSON line each, in ``benchmarks/runs/search/<set>/<method>.jsonl``."""

import hashlib
import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import methods
from methods import Run
from scale import RUNS

import evotune

#: Parts of evotune that a search depends on; a change elsewhere makes no result stale.
SEARCHING = ("algorithms", "evolution", "space", "surrogates")


@dataclass(frozen=True, slots=True)
class Key:
    """Which run it is. Runs of different lengths differ: some methods plan by the budget."""

    problem: str
    seed: int
    evaluations: int


@dataclass(frozen=True, slots=True)
class Record:
    """A finished run.

    Attributes:
        key: Which one.
        curve: Score of the incumbent after each full evaluation, rounded to 7 digits.
        proposals: How many configurations the method proposed.
        cpu_seconds: CPU time that the method took, evaluations not counted.
        version: Version of the library.
        source: Of our own methods, the digest of the code that searches; else "".
        commit: Of our own methods, the commit; else "".
        ended: Unix time in seconds.
    """

    key: Key
    curve: list[float]
    proposals: int
    cpu_seconds: float
    version: str
    source: str = ""
    commit: str = ""
    ended: float = field(default_factory=time.time)

    def is_current(self, method: str) -> bool:
        """Return whether the same code would run today; a peer that is missing has not changed."""
        version = methods.version(method) or self.version
        return (self.version, self.source) == (version, source(method))


def folder(kind: str, *, held_out: bool) -> Path:
    """Return where the runs of a set are: those on held-out tasks apart from all others."""
    return RUNS / (f"{kind}-held-out" if held_out else kind)


def read(path: Path) -> dict[Key, Record]:
    """Return the runs of one file, the newest of each."""
    return {record.key: record for record in _lines(path)}


def _lines(path: Path) -> Iterator[Record]:
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            data = json.loads(line)
            yield Record(Key(*data.pop("key")), **data)


def path_of(kind: str, method: str, *, held_out: bool) -> Path:
    """Return the file of a method's runs."""
    name = re.sub(r"[^-.,=+:\w]", "_", method)
    return folder(kind, held_out=held_out) / f"{name}.jsonl"


def finished(method: str, key: Key, run: Run) -> Record:
    """Return the record of a run that has just ended."""
    return Record(
        key,
        [float(f"{score:.7g}") for score in run.curve],
        len(run.values),
        round(run.cpu_seconds, 4),
        methods.version(method),
        source(method),
        _commit() if method not in methods.PEERS else "",
    )


def append(path: Path, record: Record) -> None:
    """Add one line; several processes may do so at a time."""
    data: Mapping[str, Any] = asdict(record) | {"key": list(asdict(record.key).values())}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(data) + "\n")


@cache
def source(method: str) -> str:
    """Return a digest of the code that an algorithm of ours may run; "" for peers."""
    if method in methods.PEERS or method == "random":
        return ""
    package = Path(evotune.__file__).parent
    files = sorted(file for part in SEARCHING for file in (package / part).glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:12]


@cache
def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
