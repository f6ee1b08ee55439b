"""What runs in a worker process: it loads the evaluate function once, then runs trials.

To the user's code it looks like the script in which the driver runs: the same paths and arguments,
the same start method of `multiprocessing`, and a main module of the same file that has what came
from there. So processes that a trial starts find what they would find in a plain script.
"""

import faulthandler
import importlib.machinery
import io
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
import types
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from evotune import guard
from evotune.execution.devices import limit_torch_threads
from evotune.execution.evaluate import describe_error, evaluate_trial, failure_of
from evotune.protocols import Evaluate
from evotune.trial import Failure


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is told of its driver.

    Attributes:
        driver: Process id.
        threads: Threads that the worker may use.
        arguments: ``sys.argv``.
        start_method: How processes are started, where the driver has chosen it.
        main_name: Name by which the main module was imported (``python -m name``), if any.
        main_path: File of the main module, if any.
    """

    driver: int
    threads: int
    arguments: list[str]
    start_method: str | None
    main_name: str | None
    main_path: str | None

    @classmethod
    def here(cls, threads: int) -> "Setup":
        """Return the setup of workers of this process."""
        main = sys.modules["__main__"]
        path = getattr(main, "__file__", None)
        return cls(
            driver=os.getpid(),
            threads=threads,
            arguments=list(sys.argv),
            start_method=multiprocessing.get_start_method(allow_none=True),
            main_name=getattr(getattr(main, "__spec__", None), "name", None),
            # Where the script came from a pipe it is called "<stdin>".
            main_path=os.path.abspath(path) if path and os.path.isfile(path) else None,  # noqa: PTH100,PTH113
        )


def main(handle: int) -> None:
    """Serve the driver at the other end of a connection until it says or is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver alone decides what Ctrl-C ends
    if "PYTHONFAULTHANDLER" not in os.environ:
        faulthandler.enable()  # a crash in C says where it was
    connection = _connection(handle)
    setup: Setup = pickle.loads(connection.recv_bytes())
    if os.name != "posix":  # elsewhere the guard does it
        Thread(target=_end_with, args=(setup.driver,), daemon=True).start()
    main_module = _become(setup)
    evaluate = _load(connection.recv_bytes(), main_module)
    limit_torch_threads(setup.threads)
    connection.send_bytes(b"")  # ready
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            return
        if not message:
            return
        connection.send_bytes(_dumps(_run(evaluate, message)))


def _connection(handle: int) -> Any:
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection

        return PipeConnection(handle)
    os.set_inheritable(handle, False)
    return Connection(handle)


def _become(setup: Setup) -> types.ModuleType:
    sys.argv[:] = setup.arguments
    if setup.start_method is not None:
        multiprocessing.set_start_method(setup.start_method, force=True)
    module = types.ModuleType("__main__")
    if setup.main_name is not None:
        module.__spec__ = importlib.machinery.ModuleSpec(setup.main_name, None)
    if setup.main_path is not None:
        module.__file__ = setup.main_path
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module  # as children call it
    return module


def _load(function: bytes, main_module: types.ModuleType) -> Evaluate | Failure:
    try:
        unpickler = pickle.Unpickler(io.BytesIO(function))
        evaluate: Evaluate = unpickler.load()
        main_module.__dict__.update(unpickler.load())
    except (Exception, SystemExit) as error:
        message = (
            f"a worker process cannot load the evaluate function: {describe_error(error)}; define "
            "it in the main script, or in a module that can be imported there without side effects"
        )
        return Failure("exception", message, traceback.format_exc(), fatal=True)
    return evaluate


def _run(evaluate: Evaluate | Failure, message: bytes) -> Any:
    if isinstance(evaluate, Failure):
        return evaluate
    try:
        trial = pickle.loads(message)
    except Exception as error:
        return failure_of(error)
    try:
        return evaluate_trial(evaluate, trial)
    except BaseException as error:  # no Ctrl-C, which does not reach a worker
        return failure_of(error)


def _dumps(result: Any) -> bytes:
    import cloudpickle

    return bytes(cloudpickle.dumps(result))


def _end_with(driver: int) -> None:
    """End this worker and what it has started soon after its driver, however that ended."""
    import psutil

    while psutil.pid_exists(driver):
        time.sleep(0.5)
    guard.kill_below(os.getpid())
    os._exit(1)
