import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from evotune import guard

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans come back on Linux")
_ORPHAN = "import os, time; os.fork() and os._exit(0); os.setsid(); print(os.getpid(), flush=True)"
_STAYS = [sys.executable, "-c", f"{_ORPHAN}; time.sleep(3600)"]


def started(code, **options):
    return guard.start([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_it_ends_with_the_exit_code_of_the_command(code):
    with started(f"raise SystemExit({code})") as process:
        assert process.wait(20) == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGINT])
def test_it_ends_by_the_signal_that_has_ended_the_command(number):
    code = f"import os, signal as s; s.signal({number}, s.SIG_DFL)" if number != 9 else "import os"
    with started(f"{code}; os.kill(os.getpid(), {int(number)})") as process:
        assert process.wait(20) == -number


def test_what_the_command_prints_and_gets_is_as_without_a_guard():
    code = "import os, sys; print(sys.stdin.read(), os.environ['A'], os.getcwd())"
    options = {"stdin": subprocess.PIPE, "env": {**os.environ, "A": "a"}, "cwd": "/"}
    with started(code, **options) as process:
        assert process.communicate("in", timeout=20)[0] == "in a /\n"


def test_a_program_that_does_not_exist_is_an_exit_code():
    with guard.start(["no-such-program"], stderr=subprocess.PIPE, text=True) as process:
        assert (
            "'no-such-program' cannot be started: No such file"
            in process.communicate(timeout=20)[1]
        )
        assert process.returncode == 127


def test_orphans_of_a_command_end_when_it_ends():
    code = f"import subprocess; print(subprocess.Popen({_STAYS!r}, stdout=-1).stdout.readline())"
    with started(code) as process:
        orphan = int(process.stdout.readline().strip("b'\\n\n"))
        assert process.wait(20) == 0
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(orphan).wait(20)  # killed already, though the kernel may still clear up


@pytest.mark.parametrize("stops", ["command", "guard"])
def test_stop_ends_it_with_all_it_has_started_also_when_stopped(stops):
    code = f"import subprocess, time; subprocess.Popen({_STAYS!r}); time.sleep(3600)"
    with started(code) as process:
        orphan = psutil.Process(int(process.stdout.readline()))
        [command, *_] = psutil.Process(process.pid).children()
        (command if stops == "command" else process).send_signal(signal.SIGSTOP)
        guard.stop(process)
        # Both are killed by now, though it may take init a moment to clear up after them.
        assert psutil.wait_procs([command, orphan], timeout=20)[1] == []
        guard.stop(process)  # nothing happens


def test_a_command_of_a_killed_guard_ends():
    with started("print(1, flush=True); import time; time.sleep(3600)") as process:
        process.stdout.readline()
        [command] = psutil.Process(process.pid).children()
        process.kill()
        assert psutil.wait_procs([command], timeout=20)[1] == []


def test_semaphores_of_the_killed_are_removed():
    code = (
        "import multiprocessing, time\n"
        "from multiprocessing import shared_memory\n"
        "memory = shared_memory.SharedMemory(create=True, size=10)\n"
        "lock = multiprocessing.get_context('spawn').Lock()\n"
        "print(memory.name, lock._semlock.name, flush=True)\n"
        "time.sleep(3600)\n"
    )
    with started(code, stderr=subprocess.DEVNULL) as process:
        memory, lock = process.stdout.readline().split()
        guard.stop(process)
    left = os.listdir("/dev/shm")  # noqa: PTH208
    assert memory not in left
    assert f"sem.{lock.strip('/')}" not in left


def test_a_command_whose_driver_is_gone_ends():
    code = (
        "import os, sys; from evotune import guard; "
        "process = guard.start([sys.executable, '-c', 'import time; time.sleep(3600)']); "
        "print(process.pid, flush=True); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    end = time.monotonic() + 20
    while psutil.pid_exists(int(done.stdout)):
        assert time.monotonic() < end
        time.sleep(0.02)
