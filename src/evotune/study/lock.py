"""One driver a study, and in it one thread at a time: who it is, and how to take over."""

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
    """Let one thread at a time into the methods of an object, by its reentrant ``lock``."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            return method(self, *args, **kwargs)

    return cast(_Method, call)


def this_process() -> Driver:
    """Return a new driver of this process."""
    return Driver(
        host=socket.gethostname(),
        pid=os.getpid(),
        process_started=psutil.Process().create_time(),
        since=time.time(),
        token=secrets.token_hex(8),
    )


def acquire(storage: Storage, name: str, *, take_over: bool = False) -> Driver:
    """Become the driver of a study.

    A driver whose process is gone from this machine is replaced, and so is an idle one of this
    very process (a notebook cell that was run again).

    Args:
        storage: Where the study is stored.
        name: Its name.
        take_over: Replace the driver whatever it is; its next write will fail.

    Raises:
        StudyLockedError: A living process, or one on another machine, drives the study.
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
    """Return who holds a study and what can be done."""
    if holder.host == me.host and holder.pid == me.pid:
        return (
            f"study {name!r} is driven by another Study object of this very process: close() that "
            "one, or use it"
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
    """Tell whether a driver's process is gone; one on another machine is taken to live."""
    if driver.host != socket.gethostname():
        return False
    try:
        # A process id may have been given to a new process: the time of its start tells.
        started = psutil.Process(driver.pid).create_time()
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
    return abs(started - driver.process_started) > 1.0
