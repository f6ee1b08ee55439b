"""The driver of a study: at most one process, one thread at a time, and how to take over."""

import functools
import os
import secrets
import socket
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar, cast

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


def this_process() -> Driver:
    """Return a new driver record for this process."""
    return Driver(
        host=socket.gethostname(),
        pid=os.getpid(),
        process_started=psutil.Process().create_time(),
        since=time.time(),
        token=secrets.token_hex(8),
    )


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
    if holder.host == me.host and holder.pid == me.pid:
        return (
            f"study {name!r} is driven by another Study object in this process: use that object, "
            "or close() it"
        )
    since = datetime.fromtimestamp(holder.since).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    text = (
        f"study {name!r} is driven by process {holder.pid} on host {holder.host!r} since {since}; "
        "only one process may drive a study. "
    )
    if holder.host == me.host:
        return text + "Stop that one first, or take over with take_over=True (--take-over)"
    return text + (
        "Whether it still runs cannot be seen from this machine: if it does not, "
        "take over with take_over=True (--take-over)"
    )


def _is_replaceable(holder: Driver, me: Driver) -> bool:
    if holder.host != me.host:
        return False
    if holder.pid == me.pid:
        return holder.token not in running_tokens
    return has_ended(holder)


def has_ended(driver: Driver) -> bool:
    """Return whether a driver's process has ended; on another machine it counts as running."""
    if driver.host != socket.gethostname():
        return False
    try:
        # The id may have been reused for a new process: compare the times of their starts.
        started = psutil.Process(driver.pid).create_time()
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
    return abs(started - driver.process_started) > 1.0
