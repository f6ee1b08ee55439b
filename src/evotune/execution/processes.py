"""Run trials in worker processes on this machine, with loky and cloudpickle.

A loky pool breaks as a whole when one of its workers dies. So each slot, called a *lane*, has its
own pool of one worker: if that dies or is killed, no other trial is affected.
"""

import inspect
import math
import os
import re
import signal
import time
import traceback
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from numbers import Integral
from threading import Thread
from typing import Any

from evotune.errors import ExecutionError
from evotune.execution.devices import available_cores, limit_torch_threads, thread_environment
from evotune.execution.evaluate import (
    check_trial_timeout,
    describe_error,
    evaluate_trial,
    timeout_failure,
)
from evotune.protocols import Evaluate, ExecutorTraits
from evotune.trial import Failure, Outcome, Trial

_TRIES = 2
_PATIENCE = 0.2  # longest wait in seconds; on Windows, Ctrl-C is noticed only between two waits


class ProcessExecutor:
    """Runs trials in worker processes, each of which loads the evaluate function once.

    Functions from the main script or a notebook, lambdas and closures work, and a script needs
    no ``if __name__ == "__main__"``. A worker that dies is replaced and its trial run once more.

    Args:
        workers: Number of processes; by default the number of cores that this process may use.
        trial_timeout: Seconds that one trial may take once its worker is ready; None is no limit.
            A worker that takes longer is killed with all its child processes.
        threads: Threads per worker; by default the number of cores divided by ``workers``.

    Raises:
        ExecutionError: The number of workers, threads or seconds is out of bounds.
    """

    traits = ExecutorTraits()

    def __init__(
        self,
        workers: int | None = None,
        *,
        trial_timeout: float | None = None,
        threads: int | None = None,
    ) -> None:
        _check_count("workers", workers)
        _check_count("threads", threads)
        check_trial_timeout(trial_timeout)
        self.workers = available_cores() if workers is None else workers
        self.threads = max(1, available_cores() // self.workers) if threads is None else threads
        self.trial_timeout = trial_timeout
        self._lanes: list[_Lane] = []

    def __repr__(self) -> str:
        return (
            f"ProcessExecutor({self.workers}, trial_timeout={self.trial_timeout}, "
            f"threads={self.threads})"
        )

    @property
    def capacity(self) -> int:
        """One trial for each worker."""
        return self.workers

    def open(self, evaluate: Evaluate) -> None:
        """Prepare to run ``evaluate``; workers start when they are first needed.

        Raises:
            ExecutionError: The function cannot be sent to another process.
        """
        function = _pickle(evaluate)
        self.close()
        setup = _Setup(function, driver=os.getpid(), threads=self.threads)
        limit = math.inf if self.trial_timeout is None else self.trial_timeout
        self._lanes = [_Lane(setup, limit) for _ in range(self.workers)]

    def submit(self, trial: Trial) -> None:
        """Start a trial on an idle worker.

        Raises:
            ExecutionError: The executor is not open, or every worker is busy.
        """
        if not self._lanes:
            raise ExecutionError("the executor is not open; call open(evaluate) before submit")
        lane = next((lane for lane in self._lanes if lane.trial is None), None)
        if lane is None:
            raise ExecutionError(
                f"trial {trial.number} was submitted while all {self.workers} workers are busy; "
                "collect() results first"
            )
        lane.start(trial)

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome | Failure]]:
        """Wait up to ``timeout`` seconds for a result, and return all results that are there."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            finished = [result for lane in self._lanes if (result := lane.take()) is not None]
            busy = [lane for lane in self._lanes if lane.trial is not None]
            left = min([deadline, *(lane.deadline for lane in busy)]) - time.monotonic()
            if finished or not busy or time.monotonic() >= deadline:
                return finished
            futures = [lane.future for lane in busy]
            wait(futures, min(max(left, 0.0), _PATIENCE), return_when=FIRST_COMPLETED)

    def close(self) -> None:
        """Kill every worker and its child processes, even in the middle of a trial."""
        for lane in self._lanes:
            lane.stop()
        self._lanes = []


def _check_count(name: str, count: int | None) -> None:
    if count is not None and (not isinstance(count, Integral) or count < 1):
        raise ExecutionError(f"got {name}={count!r}; write a whole number from 1, or None")


def _pickle(evaluate: Evaluate) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(evaluate))
    except Exception as error:
        raise ExecutionError(
            f"the evaluate function cannot be sent to a worker process: {error}"
            f"{_culprits(evaluate)}; make open files, locks, connections and generators inside "
            "the function, or write workers=1 to stay in this process"
        ) from error


def _culprits(evaluate: Evaluate) -> str:
    """Name the variables of a function, or the attributes of an object, that cannot be sent."""
    import cloudpickle

    if inspect.isfunction(evaluate):
        found = inspect.getclosurevars(evaluate)
        variables = {**found.globals, **found.nonlocals}
    else:
        variables = getattr(evaluate, "__dict__", {})
    names = []
    for name, value in variables.items():
        try:
            cloudpickle.dumps(value)
        except Exception:
            names.append(f"{name!r} ({type(value).__name__})")
    return f", because of {', '.join(names)}" if names else ""


@dataclass(slots=True)
class _Setup:
    """What a worker needs to start: the pickled function, its driver's process id, its threads.

    Not frozen: a worker clears ``function`` after loading it, as it may hold a whole data set.
    """

    function: bytes
    driver: int
    threads: int


class _Lane:
    """One worker process, replaced whenever it ends, and the trial that it runs.

    Attributes:
        trial: The trial that runs here, or None.
        future: The future of the trial's result.
        deadline: Value of `time.monotonic` at which the trial times out.
    """

    def __init__(self, setup: _Setup, limit: float) -> None:
        self._setup = setup
        self._limit = limit
        self._pool: Any = None
        self._ready: Future[None] = Future()
        self._tries = 0
        self.trial: Trial | None = None
        self.future: Future[Outcome | Failure] = Future()
        self.deadline = math.inf

    def start(self, trial: Trial) -> None:
        """Run a trial on this lane's worker."""
        self._tries = 0
        try:
            self._send(trial)
        except BrokenExecutor:  # the worker ended while it had nothing to do
            self.stop()
            self._send(trial)
        self.trial = trial

    def take(self) -> tuple[int, Outcome | Failure] | None:
        """Return the trial's number and result if it has ended, and free the lane."""
        if self.trial is None:
            return None
        result = self._result(self.trial)
        if result is None:
            return None
        number = self.trial.number
        self.trial = None
        return number, result

    def stop(self) -> None:
        """Kill the worker and its child processes; the next trial gets a new worker."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None

    def _result(self, trial: Trial) -> Outcome | Failure | None:
        if not self.future.done():
            if time.monotonic() < self.deadline:
                return None
            self.stop()
            return timeout_failure(self._limit)
        try:
            return self.future.result()
        except BrokenExecutor as error:
            self.stop()
            if self._tries < _TRIES:
                self._send(trial)
                return None
            return _died(error)

    def _send(self, trial: Trial) -> None:
        if self._pool is None:
            self._start_worker()
        self._tries += 1
        self.deadline = math.inf
        self.future = self._pool.submit(_run, trial)
        self._ready.add_done_callback(self._start_clock)

    def _start_clock(self, _: Future[None]) -> None:
        self.deadline = time.monotonic() + self._limit

    def _start_worker(self) -> None:
        import loky

        environment = thread_environment(self._setup.threads)
        # loky replaces a worker that grows by 300 MB, taking for a leak what here is a data set.
        environment["LOKY_MAX_MEMORY_LEAK_SIZE"] = "1e18"
        self._pool = loky.ProcessPoolExecutor(
            max_workers=1, initializer=_start, initargs=(self._setup,), env=environment
        )
        self._ready = self._pool.submit(_load)


def _died(error: BrokenExecutor) -> Failure:
    # loky gives the exit code only in its message: "exit codes of the workers are {SIGKILL(-9)}".
    found = re.search(r"exit codes of the workers are \{(\w+)\((-?\d+)\)", str(error))
    how = "with an unknown exit code"
    if found is not None:
        name, code = found.groups()
        how = f"with exit code {code}" if name == "EXIT" else f"by signal {name}"
    hint = " (often because the machine ran out of memory)" if "SIGKILL" in how else ""
    return Failure("died", f"the worker process ended {how}{hint}; it was tried twice")


# Below: what runs in the worker process.

_setups: list[_Setup] = []


def _start(setup: _Setup) -> None:
    # Ctrl-C reaches every process of a terminal, but only the driver may react to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _setups.append(setup)
    Thread(target=_end_with, args=(setup.driver,), daemon=True).start()


def _end_with(driver: int) -> None:
    """End this worker and its child processes soon after the driver has ended or was killed."""
    import psutil

    # The children of a killed driver get another parent, except on Windows.
    while os.getppid() == driver and psutil.pid_exists(driver):
        time.sleep(0.5)
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(1)


@cache
def _loaded() -> Evaluate:
    import cloudpickle

    (setup,) = _setups
    evaluate: Evaluate = cloudpickle.loads(setup.function)
    setup.function = b""
    limit_torch_threads(setup.threads)
    return evaluate


def _load() -> None:
    with suppress(Exception, SystemExit):  # _run loads it again and reports the error
        _loaded()


def _run(trial: Trial) -> Outcome | Failure:
    try:
        evaluate = _loaded()
    except (Exception, SystemExit) as error:
        message = (
            f"a worker process cannot load the evaluate function: {describe_error(error)}; define "
            "it in the main script, or in a module that workers can import without side effects"
        )
        return Failure("exception", message, traceback.format_exc(), fatal=True)
    return evaluate_trial(evaluate, trial)
