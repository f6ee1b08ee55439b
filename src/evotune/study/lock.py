"""The driver of a study: at most one process, one thread at a time, and how to take over."""

import functools
import os
import secrets
import socket
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import psutil

from evotune.errors import StudyLockedError
from evotune.protocols import Driver, Storage

_Method = TypeVar("_Method", bound=Callable[..., Any])

#: Tokens of the drivers of this very process that are inside ``Study.run``.
running_tokens: set[str] = set()


def one_at_a_time(method: _Method) -> _Method:
    """Run a method while holding its object's reentrant ``lock``."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            return method(self, *args, **kwargs)

    return cast(_Method, call)


class _Mark(NamedTuple):
    """What tells a process from all others, on a Linux machine; nothing in it follows the clock.

    It stands in the driver's token, after a random word. Drivers of other systems, and those that
    earlier versions have recorded, have none: their start in Unix time tells a reused id.
    """

    machine: str  # "-" where the system has no id of its own, as in many containers
    boot: str
    namespace: str  # of process ids; each container has its own
    ticks: str  # of the clock since boot, at which the process started


def this_process() -> Driver:
    """Return a new driver record for this process."""
    since = time.time()
    try:
        started = psutil.Process().create_time()
    except (psutil.Error, OSError):  # /proc is that of another container
        started = since
    return Driver(
        host=socket.gethostname(),
        pid=os.getpid(),
        process_started=started,
        since=since,
        token=" ".join((secrets.token_hex(8), *(_own_mark() or ()))),
    )


def _own_mark() -> _Mark | None:
    try:
        return _Mark(
            machine=_machine(),
            boot=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            namespace=str(Path("/proc/self/ns/pid").readlink()),
            ticks=_stat("self")[_TICKS],
        )
    except (OSError, IndexError):  # no Linux, or one that hides it
        return None


def _machine() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip() or "-"
    except OSError:
        return "-"


def _mark(driver: Driver) -> _Mark | None:
    _, *words = driver.token.split(" ")
    return _Mark(*words) if len(words) == len(_Mark._fields) else None


#: The namespace in which a machine starts; no container has it.
_FIRST = "pid:[4026531836]"

#: Fields of ``/proc/<pid>/stat`` after the name of the program.
_STATE, _THREADS, _TICKS = 0, 17, 19


def _stat(pid: int | str) -> list[str]:
    """Return the fields after the name, which may hold blanks and brackets itself."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def acquire(storage: Storage, name: str, *, take_over: bool = False) -> Driver:
    """Become the driver of a study.

    A driver on this machine whose process has ended is replaced, and so is an idle driver in this
    same process (a notebook cell that was run again).

    Args:
        storage: Where the study is stored.
        name: Its name.
        take_over: Replace any other driver; its next write will fail.

    Raises:
        StudyLockedError: A running process, or one on another machine, drives the study.
    """
    me = this_process()
    holder = storage.acquire(name, me, None)
    if holder.token == me.token:
        return me
    if take_over or _is_replaceable(holder, me):
        holder = storage.acquire(name, me, holder)
        if holder.token == me.token:
            return me
    raise StudyLockedError(describe(name, holder, me))


def describe(name: str, holder: Driver, me: Driver) -> str:
    """Return a message that says who drives a study and what can be done."""
    if _is_same_process(holder, me):
        return (
            f"study {name!r} is driven by another Study object in this process: use that object, "
            "or close() it"
        )
    since = datetime.fromtimestamp(holder.since).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    text = (
        f"study {name!r} is driven by process {holder.pid} on host {holder.host!r} since {since}; "
        "only one process may drive a study. "
    )
    if _is_in_sight(holder, me):
        return text + "Stop that one first, or take over with take_over=True (--take-over)"
    where = "container" if holder.host == me.host else "machine"
    return text + (
        f"Whether it still runs cannot be seen from this {where}: if it does not, "
        "take over with take_over=True (--take-over)"
    )


def _is_same_process(holder: Driver, me: Driver) -> bool:
    mark = _mark(holder)
    same = holder.host == me.host and holder.pid == me.pid
    return same and (mark is None or mark == _mark(me))


def _is_in_sight(holder: Driver, me: Driver) -> bool:
    """Tell whether the holder's process id means the same process here as where it was written."""
    mark, mine = _mark(holder), _mark(me)
    if holder.host != me.host:
        return False
    return mark is None or (mine is not None and mark[:3] == mine[:3] and _sees_its_processes())


def _sees_its_processes() -> bool:
    """Tell whether /proc shows the process ids of this process's own namespace."""
    return str(Path("/proc/self").readlink()) == str(os.getpid())


def _is_replaceable(holder: Driver, me: Driver) -> bool:
    if _is_same_process(holder, me):
        return holder.token not in running_tokens
    return _has_ended(holder, me)


def has_ended(driver: Driver) -> bool:
    """Return whether a driver's process has ended; one that cannot be seen counts as running."""
    return _has_ended(driver, this_process())


def is_at_work(driver: Driver) -> bool:
    """Return whether a driver runs trials, or may: those of this process are inside ``run``."""
    me = this_process()
    if _is_same_process(driver, me):
        return driver.token in running_tokens
    return not _has_ended(driver, me)


def _has_ended(holder: Driver, me: Driver) -> bool:
    mark, mine = _mark(holder), _mark(me)
    if holder.host != me.host:
        return False
    if mark is None:
        return _had_other_start(holder)
    if mine is not None and _was_restarted(mark, mine):
        return True
    return _is_in_sight(holder, me) and not _runs(holder.pid, mark.ticks)


def _was_restarted(mark: _Mark, mine: _Mark) -> bool:
    """Tell whether this very machine was started again since; containers may share an id."""
    same = mark.machine == mine.machine != "-" and mark.namespace == mine.namespace == _FIRST
    return same and mark.boot != mine.boot


def _had_other_start(driver: Driver) -> bool:
    try:
        # The id may have been reused for a new process: compare the times of their starts.
        started = psutil.Process(driver.pid).create_time()
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
    return abs(started - driver.process_started) > 1.0


def _runs(pid: int, ticks: str) -> bool:
    """Tell whether the process with this id that started then still does anything."""
    try:
        stat = _stat(pid)
    except OSError:
        return _exists(pid)
    # A zombie with threads is a process whose first thread has ended, without one it is dead.
    is_zombie = stat[_STATE] in "ZX" and int(stat[_THREADS]) <= 1
    return stat[_TICKS] == ticks and not is_zombie


def _exists(pid: int) -> bool:
    """Tell whether there is a process that /proc may hide, being another user's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
