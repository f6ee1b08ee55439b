"""Ends the programs of a process that is gone, however it went: ended, terminated or killed.

A process cannot clean up after SIGKILL, and by default not after SIGTERM. So a small child of it,
which runs this file as a script and imports nothing else of evotune, is told which process groups
are running and kills them once its parent is gone. Needs POSIX; elsewhere nothing is watched.
"""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: Seconds between two looks at whether the parent lives. The end of the pipe tells at once, but a
#: fork of the parent may hold it open.
_PAUSE = 0.5

_lock = threading.Lock()
_watchdogs: dict[int, "subprocess.Popen[bytes]"] = {}


@contextmanager
def watched(group: int) -> Iterator[None]:
    """Have a process group killed if this process ends within the block.

    Args:
        group: Id of the group.
    """
    if os.name != "posix":
        yield
        return
    _tell(b"+%d\n" % group)
    try:
        yield
    finally:
        _tell(b"-%d\n" % group)


def _tell(line: bytes) -> None:
    with _lock:
        for _ in range(2):  # it may have been killed, as a child of this process, by others
            with suppress(OSError):
                pipe = _watchdog().stdin
                if pipe is not None:
                    pipe.write(line)
                    return
            _watchdogs.pop(os.getpid(), None)


def _watchdog() -> "subprocess.Popen[bytes]":
    """Return the watchdog of this process; a fork gets its own."""
    pid = os.getpid()
    if pid not in _watchdogs:
        _watchdogs.clear()
        _watchdogs[pid] = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C reaches the parent's group
        )
    return _watchdogs[pid]


def _watch(parent: int) -> None:
    groups: set[int] = set()
    rest, is_open = b"", True
    while is_open and os.getppid() == parent:
        if select.select([0], [], [], _PAUSE)[0]:
            data = os.read(0, 65536)
            is_open = bool(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                change = groups.add if line.startswith(b"+") else groups.discard
                change(int(line[1:]))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    _watch(int(sys.argv[1]))
