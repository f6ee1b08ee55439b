"""What all tests need."""

import gc
import io
import os
import signal
import sys

import cloudpickle
import psutil
import pytest

# Two test processes that each use all cores wait for each other: some tests took 80 times as long.
# It counts only before numpy and torch are imported; programs that tests start inherit it.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# Where no bytecode may be written, every program that a test starts compiles the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What the modules of all tests define stays: no collection of garbage needs to look at it.
gc.disable()


def pytest_collection_finish(session):
    # Worker processes then need not import the test module, and pytest with it, for its functions.
    for module in {item.module for item in session.items if hasattr(item, "module")}:
        cloudpickle.register_pickle_by_value(module)
    gc.freeze()
    gc.enable()


# A shell that starts the tests in the background has them ignore Ctrl-C, and nohup the end of the
# terminal; every process they start inherits that, and several tests send these signals.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes the standard error a terminal; pytest changes it, too."""

    def begin():
        monkeypatch.setattr(sys, "stderr", Terminal())
        return sys.stderr

    return begin


@pytest.fixture
def no_helper_of_wandb_stays():
    """Its helper process stays for as long as this one does, and would be found by other tests."""
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()
        for process in psutil.Process().children():
            if process.name().startswith("wandb"):
                process.kill()
                process.wait(10)
