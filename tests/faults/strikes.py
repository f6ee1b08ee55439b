"""What strikes the study of the fault table from inside its processes, once."""

import functools
import gc
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from decimal import Decimal
from pathlib import Path

import numpy as np


@functools.cache
def plan():
    """Return the plan of this run."""
    return json.loads(Path(os.environ["FAULT_PLAN"]).read_text())


def reach(where, moment):
    """Strike if the plan says so, for the first time that this place is reached in any process.

    Args:
        where: The running trial, or the number of the driver's transaction.
        moment: ``"start"``, ``"middle"``, ``"end"``, ``"before commit"`` or ``"after commit"``.
    """
    if spoilt:
        raise RuntimeError(spoilt[0])
    number = where if isinstance(where, int) else where.number
    if moment == plan()["moment"] and number >= plan()["number"]:
        path = Path(plan()["folder"], "struck")
        if path.exists():
            return
        try:
            marker = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return
        os.write(marker, str(os.getpid()).encode())
        os.close(marker)
        STRIKES[plan()["fault"]]()


spoilt: list[str] = []


def driver():
    """Return the process id of the driver; that of this process where it is not a worker."""
    return int(Path(plan()["folder"], "driver.pid").read_text())


def odd(number):
    """Return a number as other libraries have it."""
    if plan()["fault"] != "numbers of other types":
        return number
    kinds = [np.float64, np.array, Decimal] if isinstance(number, float) else [np.int16, np.array]
    return kinds[plan()["number"] % len(kinds)](number)


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def planned_error():
    """Return the error that some trials fail with."""
    if plan()["fault"] != "odd errors":
        return RuntimeError("planned")
    texts = ["\ud800 \x1b[2J\0 \u202e", "x" * 5_000_000, "a\n" * 100_000]
    errors = [RuntimeError(text) for text in texts] + [UnprintableError(), SystemExit(3)]
    errors.append(ExceptionGroup("several", [ValueError(1), KeyError("\udcff")]))
    return errors[plan()["number"] % len(errors)]


def _kill(process, how):
    os.kill(process, how)
    time.sleep(20)  # until it takes effect


def _pause(process):
    subprocess.Popen(
        ["sh", "-c", f"sleep 0.7; kill -CONT {process}"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.kill(process, signal.SIGSTOP)


def _spoil():
    spoilt.append("CUDA error: device-side assert triggered")
    raise RuntimeError(spoilt[0])


def _hold_the_interpreter():
    os.kill(driver(), signal.SIGKILL)
    re.match(r"(a*)*b", "a" * 40)  # for hours, without letting another thread run


def _fork(ends):
    child = os.fork()
    if not child:
        ends()
    os.waitpid(child, 0)


def _return_to_the_study():
    raise RuntimeError("this is a copy of the process, which comes out of the user's function")


def _leave_behind():
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    subprocess.Popen(["sleep", "15"])
    subprocess.Popen(["sh", "-c", "setsid sleep 15 &"])


def _without_descriptors():
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        threading.Timer(1.0, lambda: [os.close(descriptor) for descriptor in taken]).start()


def _hold_the_write_lock():
    code = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print(1, flush=True); time.sleep(1); c.execute('ROLLBACK')"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, plan()["storage"]], stdout=subprocess.PIPE
    )
    holder.stdout.readline()


def _fill_the_disk():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that may not grow is an error then
    size = Path(plan()["storage"] + "-wal").stat().st_size + 100
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    everything = resource.RLIM_INFINITY, resource.RLIM_INFINITY
    threading.Timer(1.0, resource.setrlimit, [resource.RLIMIT_FSIZE, everything]).start()


def _files():
    database = Path(plan()["storage"])
    return [database, database.with_name("runs.db-wal"), database.with_name("runs.db-shm")]


def _remove(*, and_make=False):
    for path in _files():
        path.unlink(missing_ok=True)
    if and_make:
        _files()[0].touch()


def _cut():
    for path in _files()[:2]:
        os.truncate(path, path.stat().st_size // 2)


def _change_settings():
    for name in SETTINGS:
        STRIKES[name]()


#: What a user's code may change in its process; one more strike changes all of them.
SETTINGS = (
    "other directory",
    "environment cleared",
    "random streams seeded",
    "warnings as errors",
    "floating-point errors raised",
    "no garbage collection",
)
proxy = None

#: By name; each is called once.
STRIKES = {
    "": lambda: None,
    "driver killed": lambda: _kill(driver(), signal.SIGKILL),
    "driver terminated": lambda: _kill(driver(), signal.SIGTERM),
    "driver hung up": lambda: _kill(driver(), signal.SIGHUP),
    "driver interrupted": lambda: os.kill(driver(), signal.SIGINT),
    "driver paused": lambda: _pause(driver()),
    "driver killed while a worker holds the interpreter": _hold_the_interpreter,
    "process killed": lambda: _kill(os.getpid(), signal.SIGKILL),
    "process crashed": lambda: _kill(os.getpid(), signal.SIGSEGV),
    "process aborted": os.abort,
    "process ended with 0": lambda: os._exit(0),
    "process ended with 1": lambda: os._exit(1),
    "process paused": lambda: _pause(os.getpid()),
    "process spoilt": _spoil,
    "fork that exits": lambda: _fork(sys.exit),
    "fork that ends at once": lambda: _fork(lambda: os._exit(0)),
    "fork that comes back": lambda: _fork(_return_to_the_study),
    "threads and programs left behind": _leave_behind,
    "other directory": lambda: os.chdir("/"),
    "output closed": lambda: (sys.stdout.close(), sys.stderr.close()),
    "environment cleared": os.environ.clear,
    "random streams seeded": lambda: np.random.seed(0),  # noqa: NPY002
    "warnings as errors": lambda: warnings.simplefilter("error"),
    "floating-point errors raised": lambda: np.seterr(all="raise"),
    "no garbage collection": gc.disable,
    "all settings of the process changed": _change_settings,
    "no descriptors left": _without_descriptors,
    "disk full for a while": _fill_the_disk,
    "database removed": _remove,
    "database replaced": lambda: _remove(and_make=True),
    "database cut short": _cut,
    "log removed": lambda: _files()[1].unlink(),
    "server away for a while": lambda: proxy.go_away(1.0),
    "connections cut": lambda: proxy.cut(),
    "answer of a commit lost": lambda: setattr(proxy, "swallows", 1),
    "guard killed": lambda: _kill(os.getppid(), signal.SIGKILL),
    "database busy": _hold_the_write_lock,
    "odd errors": lambda: None,
    "numbers of other types": lambda: None,
}
