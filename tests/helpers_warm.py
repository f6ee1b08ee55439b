"""Programs that start at once: forked from a process that has imported what they need.

A test that kills a study and runs it again starts many processes, and nearly all their time goes
into imports. Here a template process imports once, and each program is a fork of it: a process
with its own id, session, environment and directory, which ends as any program of Python does. It
differs from a new interpreter in what is imported already, and in its seed of hashes, which is
that of its template. Programs that it starts itself are new interpreters.
"""

import contextlib
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import types
from pathlib import Path

#: What a study in a file needs.
STUDY = (
    "cloudpickle",
    "psutil",
    "sqlalchemy.dialects.sqlite",
    "evotune.algorithms.genetic",
    "evotune.algorithms.population_based",
    "evotune.checkpoints.store",
    "evotune.execution.processes",
    "evotune.storage.sql",
    "evotune.study.run",
    "evotune.study.study",
)
#: What commands need, those that draw and export included.
COMMANDS = (
    *STUDY,
    "pandas",
    "plotly.graph_objects",
    "evotune.cli.main",
    "evotune.cli.config",
    "evotune.cli.run",
    "evotune.report.page",
)
#: What a study needs that trains networks; optimizers import the second one at their first step.
TRAINING = (*COMMANDS, "torch", "torch._dynamo", "sklearn.datasets", "evotune.training.task")

#: The command line as a program: its arguments follow.
EVOTUNE = ("-c", "import sys; from evotune.cli.main import main; sys.exit(main())")


class Program:
    """A running program, used like `subprocess.Popen`; its output goes to files.

    Attributes:
        pid: Its process id, and that of its session.
        returncode: Exit status, negative for a signal; None while it runs.
    """

    def __init__(self, connection, output, errors):
        self._connection, self._files = connection, (output, errors)
        self._status = connection.makefile("r")
        self.pid = int(self._status.readline())
        self.returncode = None

    def poll(self):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout=None):
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("program", timeout)
            self.returncode = int(self._status.readline())
            self._status.close()
            self._connection.close()
        return self.returncode

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def said(self):
        """Return what it has written to its output so far."""
        file = self._files[0].fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode()

    def communicate(self, timeout=None):
        """Wait for its end; return what it wrote to its output and to its errors."""
        self.wait(timeout)
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read())
            file.close()
        return tuple(texts)


def start(*command, cwd=None, env=None, modules=STUDY, hash_seed=0, terminal=None):
    """Start a program.

    Args:
        command: What would follow ``python``: a script, or ``-c`` and code, and arguments.
        cwd: Directory to start in; by default that of the tests.
        env: The whole environment; by default that of the tests.
        modules: What it has imported.
        hash_seed: Seed of its hashes.
        terminal: Descriptor that takes what it writes, instead of files.
    """
    output, errors = (tempfile.TemporaryFile("w+") for _ in range(2))  # noqa: SIM115
    outputs = [output.fileno(), errors.fileno()] if terminal is None else [terminal, terminal]
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(_template(tuple(modules), hash_seed))
    env = dict(os.environ if env is None else env)
    asked = json.dumps([[str(each) for each in command], str(cwd or Path.cwd()), env]).encode()
    socket.send_fds(connection, [len(asked).to_bytes(4, "big")], outputs)
    connection.sendall(asked)
    return Program(connection, output, errors)


def run(*command, timeout=None, **options):
    """Run a program to its end and return it as `subprocess.run` does."""
    program = start(*command, **options)
    try:
        out, err = program.communicate(timeout)
    except subprocess.TimeoutExpired:
        program.kill()
        raise
    return subprocess.CompletedProcess(command, program.returncode, out, err)


@functools.cache
def _template(modules, hash_seed):
    """Return the address of a template, which lives as long as this process."""
    # A name in the abstract namespace would need no folder, but only Linux has it.
    address = str(Path(tempfile.mkdtemp(prefix="warm")) / "at")
    process = subprocess.Popen(
        [sys.executable, __file__, address, *modules],
        env=os.environ | {"PYTHONHASHSEED": str(hash_seed), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    _held.append(process.stdin)  # its end is that of the template
    process.wait()  # until it listens
    assert process.returncode == 0, "the template of programs did not start"
    return address


_held = []


# Below: what runs as the template, and in its forks.


def main(address, modules):
    """Import, then fork a program for each that is asked for; only these return.

    Returns:
        The command of the program.
    """
    for module in modules:
        __import__(module)
    sys.path.pop(0)  # the folder of this file, which a program has only if it asks for it
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    if os.fork():
        os._exit(0)  # no child of the tests, some of which look for children left behind
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running = {}
    while True:
        ready = select.select([0, ended, listener], [], [])[0]
        if 0 in ready:  # the tests have ended
            shutil.rmtree(Path(address).parent, ignore_errors=True)
            os._exit(0)
        if ended in ready:
            os.read(ended, 4096)
            _tell_ends(running)
        if listener in ready:
            connection = listener.accept()[0]
            length, files, _, _ = socket.recv_fds(connection, 4, 2)
            child = os.fork()
            if not child:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(ended)
                os.close(wake)
                for other in (listener, *running.values()):
                    other.close()
                with connection:
                    return _become(connection, int.from_bytes(length, "big"), files)
            for file in files:
                os.close(file)
            running[child] = connection


def _tell_ends(running):
    with contextlib.suppress(ChildProcessError):
        while True:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                return
            with running.pop(child) as connection, contextlib.suppress(OSError):
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(connection, length, files):
    """Make this fork the program that is asked for, but for its code; return its command."""
    asked = b""
    while len(asked) < length:
        asked += connection.recv(1 << 20)
    command, cwd, env = json.loads(asked)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, *files)):
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    given = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [*given, *(path for path in sys.path if path not in given)]
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    connection.sendall(f"{os.getpid()}\n".encode())
    return command


def execute(command):
    """Run the command as the main module."""
    module = types.ModuleType("__main__")
    if command[0] == "-c":
        code = compile(command[1], "<string>", "exec")
        sys.argv[:] = ["-c", *command[2:]]
        sys.path.insert(0, "")
    else:
        module.__file__ = command[0]
        code = compile(Path(command[0]).read_bytes(), command[0], "exec")
        sys.argv[:] = command
        sys.path.insert(0, str(Path(command[0]).parent))
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


if __name__ == "__main__":
    execute(main(sys.argv[1], sys.argv[2:]))
