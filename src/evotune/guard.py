"""Processes that end with the process that started them, together with all that they have started.

On POSIX systems this file, run as a script, stands between the two as a *guard*. It starts the
command, becomes the parent of every orphan below it (Linux), and kills all of them when the command
ends (where `start` does not say otherwise), when the process that started it ends in whatever way,
and when `stop` tells it to. As a process of its own it can do so whatever the command is doing: in
a long call into C, stopped, or with helpers in other sessions. It ends as the command did, with its
exit code or signal.

The script imports nothing but the standard library, and starts in some ten milliseconds.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

#: Exit code of a guard whose command cannot be started, and what it says on standard error.
CANNOT_START, SAYS = 127, "cannot be started"
_LOOK = 0.5  # seconds between two looks at the driver where the system does not tell of its end
_GRACE = 2.0  # seconds in which trackers may remove the semaphores and files of the killed
_LEAVE, _END = "leave", "end"
_PATIENCE = 10.0  # seconds in which killed processes must be gone
# They remove what killed processes leave in /dev/shm, and end by themselves once those are gone.
_TRACKERS = ("resource_tracker", "torch_shm_manager")


def start(
    command: Sequence[str], *, leave_helpers: bool = False, **options: Any
) -> "subprocess.Popen[Any]":
    """Start a command that ends with this process; Ctrl-C does not reach it.

    Args:
        command: Program and arguments.
        leave_helpers: What the command has started may outlive it, if it ends by itself.
        **options: As for `subprocess.Popen`. The exit code is that of the command.

    Returns:
        The process, to be ended by `stop`.

    Raises:
        OSError: The process cannot be started.
    """
    if os.name != "posix":
        return subprocess.Popen(command, **options)
    passed = ",".join(str(number) for number in options.get("pass_fds", ()))
    mode = _LEAVE if leave_helpers else _END
    guard = [sys.executable, "-I", "-S", __file__, str(os.getpid()), mode, passed]
    # The guard has to be up before it can ignore Ctrl-C, which reaches all of a terminal.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen([*guard, *command], **options)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stop(process: "subprocess.Popen[Any]") -> None:
    """Kill a process that `start` has started with all that it has started, and wait for its end.

    Nothing happens where it has ended.
    """
    if process.poll() is None:
        if os.name == "posix":
            process.terminate()
            process.send_signal(signal.SIGCONT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
        else:
            kill_below(process.pid)
        process.kill()
    process.wait()


def kill_below(pid: int) -> None:
    """Kill the processes that a process has started; for systems that have no guard."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()


# Below: what runs as the guard.

_SUBREAPER, _DEATH_SIGNAL = 36, 1  # PR_SET_CHILD_SUBREAPER and PR_SET_PDEATHSIG of Linux


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        with suppress(Exception):  # no ctypes, or a sandbox that forbids it: `_LOOK` is left
            import ctypes

            ctypes.CDLL(None).prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0)))


def _guard(driver: int, mode: str, passed: Sequence[int], command: list[str]) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    for wakes in (signal.SIGCHLD, signal.SIGCONT):
        signal.signal(wakes, lambda *_: None)  # they are to wake the loop
    awake, wake = os.pipe()
    for end in (awake, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    _prctl(_SUBREAPER, 1)
    # A signal that does nothing by itself wakes even a stopped guard when its driver ends.
    _prctl(_DEATH_SIGNAL, signal.SIGCONT)
    child = _start_child(command, mode)
    os.setsid()  # what a terminal or a shell does to its group must not end or stop the guard
    for number in passed:
        os.close(number)
    status = _watch(child, driver, told, awake)
    if status is None or mode == _END:
        _end_all(child)
    _end_like(status)


def _start_child(command: list[str], mode: str) -> int:
    guard = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        _prctl(_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() == guard:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, a program not
                signal.signal(number, signal.SIG_DFL)
            if mode == _LEAVE:
                os.setsid()  # so Ctrl-C does not reach it, though it does not ignore it
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execvp(command[0], command)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        print(f"{command[0]!r} {SAYS}: {why}", file=sys.stderr, flush=True)
    finally:
        os._exit(CANNOT_START)


def _watch(child: int, driver: int, told: Sequence[int], awake: int) -> int | None:
    """Wait for the first end, and return the child's status if it was that."""
    import select

    while True:
        status = _reap(child)
        if status is not None or told or os.getppid() != driver:
            return status
        if select.select([awake], [], [], _LOOK)[0]:
            os.read(awake, 4096)


def _reap(child: int) -> int | None:
    """Let ended processes go, and return the child's status if it was among them."""
    found = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == child:
                found = status
            if pid == 0:
                break
    return found


def _end_all(child: int) -> None:
    began = time.monotonic()
    while below := _below(os.getpid()):
        took = time.monotonic() - began
        if took > _PATIENCE:
            break
        for pid in below:
            if took > _GRACE or not _is_tracker(pid):
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
        _reap(child)


def _below(pid: int) -> list[int]:
    """Return the ids of all processes below a process that have not ended."""
    children: dict[int, list[int]] = {}
    for number, state, parent in _processes():
        if not state.startswith("Z"):
            children.setdefault(parent, []).append(number)
    found, waiting = [], [pid]
    while waiting:
        waiting = [child for parent in waiting for child in children.get(parent, ())]
        found += waiting
    return found


def _processes() -> list[tuple[int, str, int]]:
    """Return the id, the state and the parent's id of every process."""
    if not os.path.exists("/proc/self/stat"):  # noqa: PTH110 - pathlib is slow to import
        listed = subprocess.run(["ps", "-A", "-o", "pid=,stat=,ppid="], capture_output=True)
        rows = [line.split() for line in listed.stdout.decode().splitlines()]
        return [(int(number), state, int(parent)) for number, state, parent in rows]
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        with suppress(OSError):
            # The name of the program, in brackets, may hold anything.
            state, parent = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()[:2]
            found.append((int(name), state.decode(), int(parent)))
    return found


def _is_tracker(pid: int) -> bool:
    with suppress(OSError):
        words = _read(f"/proc/{pid}/cmdline")
        return any(tracker.encode() in words for tracker in _TRACKERS)
    return False


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def _end_like(status: int | None) -> NoReturn:
    if status is not None and os.WIFSIGNALED(status):
        import resource

        number = os.WTERMSIG(status)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the child has written its own
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(1 if status is None else os.waitstatus_to_exitcode(status) & 0xFF)


if __name__ == "__main__":
    started_by, what, descriptors, *words = sys.argv[1:]
    _guard(int(started_by), what, [int(n) for n in descriptors.split(",") if n], words)
