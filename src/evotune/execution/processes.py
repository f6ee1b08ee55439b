"""Run trials in worker processes on this machine.

Each worker is a lane of its own, a process and a connection: when it dies or is killed, no other
trial notices. What runs in the process is in `worker`; that it ends with this process, and all that
it has started with it, is the matter of `guard`.
"""

import inspect
import io
import math
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing import connection
from numbers import Integral
from threading import Thread
from types import FunctionType
from typing import Any

from evotune import guard
from evotune.errors import ExecutionError
from evotune.execution.devices import (
    available_cores,
    device_environment,
    read_devices,
    thread_environment,
)
from evotune.execution.evaluate import (
    read_seconds,
    spoils_its_process,
    timeout_failure,
)
from evotune.execution.worker import Setup
from evotune.protocols import Evaluate, ExecutorTraits
from evotune.trial import Failure, Outcome, Trial

_TRIES = 2
_FAREWELL = 2.0  # seconds in which idle workers may do what their libraries do at exit
_PATIENCE = 0.2  # longest wait in seconds; on Windows, Ctrl-C is noticed only between two waits


class ProcessExecutor:
    """Runs trials in worker processes, each of which loads the evaluate function once.

    Functions from the main script or a notebook, lambdas and closures work, and a script needs
    no ``if __name__ == "__main__"``. A worker that dies is replaced and its trial run once more; so
    is one that an error has spoiled, such as a failed assertion on a GPU, after which every later
    call fails. Trials may start processes of their own; they end with their worker.

    Args:
        workers: Number of processes; by default one for each of ``devices``, else the number of
            cores that this process may use.
        trial_timeout: Seconds that one trial may take once its worker is ready; None is no limit.
            A worker that takes longer is killed with all its child processes.
        threads: Threads per worker; by default the number of cores divided by ``workers``.
        start_timeout: Seconds within which a worker must have loaded the function, its data and
            modules; None is no limit.
        devices: ``"auto"``, the GPUs of this machine, or a list such as ``["cuda:0", "cuda:1"]``.
            The workers take them in turn, more workers than devices share them. A worker sees no
            other GPU than its own (``CUDA_VISIBLE_DEVICES`` is set before it starts): what to train
            on is ``trial.device``.

    Raises:
        ExecutionError: The number of workers, threads or seconds is out of bounds, or there is no
            such device.
    """

    traits = ExecutorTraits()

    def __init__(
        self,
        workers: int | None = None,
        *,
        trial_timeout: float | None = None,
        threads: int | None = None,
        start_timeout: float | None = 90.0,
        devices: str | Sequence[str] | None = None,
    ) -> None:
        _check_count("workers", workers)
        _check_count("threads", threads)
        self.devices = read_devices(devices)
        default = len(self.devices or ()) or available_cores()
        self.workers = default if workers is None else workers
        self.threads = max(1, available_cores() // self.workers) if threads is None else threads
        self.trial_timeout = read_seconds("trial_timeout", trial_timeout)
        self.start_timeout = read_seconds("start_timeout", start_timeout)
        self._lanes: list[_Lane] = []

    def __repr__(self) -> str:
        return (
            f"ProcessExecutor({self.workers}, trial_timeout={self.trial_timeout}, "
            f"threads={self.threads}, start_timeout={self.start_timeout}, devices={self.devices})"
        )

    @property
    def capacity(self) -> int:
        """One trial for each worker."""
        return self.workers

    def open(self, evaluate: Evaluate) -> None:
        """Prepare to run ``evaluate``; workers start when they are first needed.

        Raises:
            ExecutionError: The function cannot be sent to another process, or this is a process
                that runs the main script again, as it was started by spawn or forkserver.
        """
        _check_not_importing()
        shared = _Shared(
            _pickle(evaluate),
            self.threads,
            math.inf if self.trial_timeout is None else self.trial_timeout,
            math.inf if self.start_timeout is None else self.start_timeout,
        )
        self.close()
        devices = cycle(("cpu",) if self.devices == () else self.devices or (None,))
        self._lanes = [_Lane(shared, next(devices)) for _ in range(self.workers)]

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
            sources = [lane.connection for lane in busy]
            connection.wait(sources, min(max(left, 0.0), _PATIENCE))

    def close(self) -> None:
        """End every worker with what it has started; one in the middle of a trial is killed."""
        for lane in self._lanes:
            lane.dismiss()
        deadline = time.monotonic() + _FAREWELL
        for lane in self._lanes:
            lane.stop(deadline)
        self._lanes = []


def _check_count(name: str, count: int | None) -> None:
    if count is not None and (not isinstance(count, Integral) or count < 1):
        raise ExecutionError(f"got {name}={count!r}; write a whole number from 1, or None")


def _check_not_importing() -> None:
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ExecutionError(
            "a process that was started by spawn or forkserver runs this script again from its "
            'first line; write if __name__ == "__main__": before the part that runs the study'
        )


def _pickle(evaluate: Evaluate) -> bytes:
    """Return the function, and by name what it uses of the main module, for `worker`."""
    import cloudpickle

    main = sys.modules["__main__"]
    of_main: dict[str, Any] = {}

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc] # it has no types
        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, type | FunctionType) and value.__module__ == "__main__":
                name = value.__qualname__
                if getattr(main, name, None) is value:
                    of_main[name] = value
            return super().reducer_override(value)

    buffer = io.BytesIO()
    try:
        pickler = Pickler(buffer)
        pickler.dump(evaluate)
        pickler.dump(of_main)
        return buffer.getvalue()
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
class _Shared:
    """What the workers of an executor have in common.

    Attributes:
        function: The pickled evaluate function.
        threads: Threads of each.
        trial_timeout: Seconds.
        start_timeout: Seconds.
        has_started: Whether any worker has ever been ready.
        not_the_process: Names of the errors that a trial also had in a fresh process.
    """

    function: bytes
    threads: int
    trial_timeout: float
    start_timeout: float
    has_started: bool = False
    not_the_process: set[str] = field(default_factory=set)


class _Lane:
    """One worker process, replaced whenever it ends, and the trial that it runs.

    Attributes:
        trial: The trial that runs here, or None.
        connection: To the worker, while there is one.
        deadline: Value of `time.monotonic` at which the trial, or the start, has timed out.
    """

    def __init__(self, shared: _Shared, device: str | None) -> None:
        self._shared = shared
        self._device = {} if device is None else device_environment(device)
        self._process: subprocess.Popen[bytes] | None = None
        self._sender = Thread()
        self._is_ready = False
        self._has_failed = False  # the last trial in this very process
        self._tries = 0
        self.trial: Trial | None = None
        self.connection: Any = None
        self.deadline = math.inf

    def start(self, trial: Trial) -> None:
        """Run a trial on this lane's worker."""
        if self._process is not None and self.connection.poll():
            self.stop()  # the worker ended while it had nothing to do
        self.trial = trial
        self._tries = 0
        self._try(trial)

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

    def dismiss(self) -> None:
        """Tell a worker that has nothing to do to end by itself, or kill it."""
        if self.trial is None and self._process is not None:
            with suppress(OSError):
                self.connection.send_bytes(b"")
        else:
            self.stop()

    def stop(self, deadline: float = 0.0) -> None:
        """Kill the worker and what it has started; the next trial gets a new one.

        Args:
            deadline: Clock reading until which a dismissed worker may end by itself.
        """
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0.0, deadline - time.monotonic()))
            guard.stop(self._process)
            self._sender.join()
            self.connection.close()
        self._process = None
        self._is_ready = self._has_failed = False

    def _try(self, trial: Trial) -> None:
        self._tries += 1
        message = _dumps(trial)
        if self._process is None:
            self._start_worker(message)
            return
        self.deadline = time.monotonic() + self._shared.trial_timeout
        with suppress(OSError):  # it has ended, which is what is read next
            self.connection.send_bytes(message)

    def _again(self, trial: Trial, failure: Failure) -> Failure | None:
        """Run a trial once more, in another worker; the second time its failure is its result."""
        self.stop()
        if self._tries < _TRIES:
            self._try(trial)
            return None
        return failure

    def _result(self, trial: Trial) -> Outcome | Failure | None:
        if not self.connection.poll():
            return None if time.monotonic() < self.deadline else self._late(trial)
        try:
            message = self.connection.recv_bytes()
        except (EOFError, OSError):
            return self._again(trial, self._died())
        if self._is_ready:
            return self._judged(trial, pickle.loads(message))
        self._is_ready = self._shared.has_started = True
        self.deadline = time.monotonic() + self._shared.trial_timeout
        return None

    def _late(self, trial: Trial) -> Failure | None:
        if self._is_ready:
            self.stop()
            return timeout_failure(self._shared.trial_timeout)
        if not self._shared.has_started:
            self._tries = _TRIES  # nothing has ever worked: the next one would hang, too
        return self._again(trial, self._never_ready())

    def _judged(self, trial: Trial, result: Outcome | Failure) -> Outcome | Failure | None:
        """Return a result, unless the process may be to blame: then the trial runs once more."""
        error, known = _error_of(result), self._shared.not_the_process
        if isinstance(result, Failure) and spoils_its_process(result):
            return self._again(trial, result)
        if error is not None and self._tries > 1:
            known.add(error)
        elif isinstance(result, Failure) and error and self._has_failed and error not in known:
            return self._again(trial, result)
        self._has_failed = error is not None
        return result

    def _died(self) -> Failure:
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):  # the connection is closed a little earlier
            self._process.wait(5)
        guard.stop(self._process)
        code = self._process.returncode
        how = f"with exit code {code}" if code >= 0 else f"by signal {signal.Signals(-code).name}"
        hint = " (often because the machine ran out of memory)" if "SIGKILL" in how else ""
        return Failure("died", f"the worker process ended {how}{hint}; it was tried twice")

    def _never_ready(self) -> Failure:
        return Failure(
            "timeout",
            f"a worker process was not ready {self._shared.start_timeout:g} s after its start: it "
            "hangs, or needs longer, where it imports modules and loads the evaluate function; "
            "if it needs longer, write "
            "executor=ProcessExecutor(workers=2, start_timeout=600)",
            fatal=not self._shared.has_started,
        )

    def _start_worker(self, trial: bytes) -> None:
        ours, theirs = multiprocessing.Pipe()
        handle = theirs.fileno()
        options: dict[str, Any]
        if sys.platform == "win32":
            os.set_handle_inheritable(handle, True)
            options = {"close_fds": False}
        else:
            options = {"pass_fds": [handle]}
        path = [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)]  # noqa: PTH109
        code = (
            f"import sys; sys.path[:] = {path!r}; "
            f"from evotune.execution.worker import main; main({handle})"
        )
        environment = {
            **os.environ,
            **thread_environment(self._shared.threads),
            **self._device,
        }
        with theirs:
            self._process = guard.start(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                env=environment,
                **options,
            )
        self.connection = ours
        self.deadline = time.monotonic() + self._shared.start_timeout
        setup = pickle.dumps(Setup.here(self._shared.threads))
        messages = (setup, self._shared.function, trial)
        # By a thread: a data set is larger than a pipe, and a worker that hangs reads nothing.
        self._sender = Thread(target=_send_all, args=(ours, messages), daemon=True)
        self._sender.start()


def _dumps(trial: Trial) -> bytes:
    import cloudpickle

    return bytes(cloudpickle.dumps(trial))


def _send_all(receiver: Any, messages: tuple[bytes, ...]) -> None:
    with suppress(OSError):
        for message in messages:
            receiver.send_bytes(message)


def _error_of(result: Outcome | Failure) -> str | None:
    """Return the name of the error by which a trial failed, unless it was raised on purpose."""
    if not isinstance(result, Failure) or result.kind != "exception" or result.fatal:
        return None
    found = re.match(r"\w+(?=:|$)", result.message)
    return None if found is None or "\nevotune.trial.Failed" in result.traceback else found[0]
