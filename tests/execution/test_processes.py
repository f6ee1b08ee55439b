import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import evotune as et
from evotune.errors import ExecutionError
from evotune.execution import ProcessExecutor
from evotune.testing.executors import ExecutorContract, make_trial, run_trials
from evotune.trial import Failed, Failure, Outcome


@pytest.fixture
def opened():
    """Open executors that are closed in the end."""
    executors = []

    def open_one(function, workers=1, **settings):
        executor = ProcessExecutor(workers, **settings)
        executors.append(executor)
        executor.open(function)
        return executor

    yield open_one
    for executor in executors:
        executor.close()


def result_of(executor, **params):
    return run_trials(executor, [make_trial(0, **params)])[0]


def workers_of(pid=None):
    """Return the processes below a process, without those that guard them."""
    below = psutil.Process(pid).children(recursive=True)
    return [process for process in below if "guard.py" not in " ".join(process.cmdline())]


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def count_up(path):
    """Count calls across processes: one byte a call."""
    with path.open("a") as file:
        file.write("x")
    return len(path.read_text())


class TestProcessExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self):
        executor = ProcessExecutor(2)
        yield executor
        executor.close()


class TestFunctions:
    def test_lambda(self, opened):
        assert result_of(opened(lambda trial: trial.params["x"] + 1), x=2).metrics[""] == 3.0

    def test_closure(self, opened):
        data = [1, 2, 3]

        def total(trial):
            return sum(data) * trial.params["x"]

        assert result_of(opened(total), x=2).metrics[""] == 12.0

    def test_params_may_be_objects_of_local_classes(self, opened):
        class Activation:
            slope = 0.25

        executor = opened(lambda trial: trial.params["activation"].slope)
        assert result_of(executor, activation=Activation()).metrics[""] == 0.25

    def test_error_of_a_local_class_comes_back_as_text(self, opened):
        class Odd(BaseException):
            def __reduce__(self):
                raise TypeError("cannot be sent")

        def broken(trial):
            raise Odd("strange")

        assert result_of(opened(broken)).message == "Odd: strange"

    def test_function_is_loaded_once_per_worker(self, opened, tmp_path):
        class Counted:
            def __setstate__(self, state):
                count_up(tmp_path / "loads")

            def __getstate__(self):
                return {"a": 1}

            def __call__(self, trial):
                return 1.0

        run_trials(opened(Counted()), [make_trial(number) for number in range(5)])
        assert (tmp_path / "loads").read_text() == "x"

    @pytest.mark.parametrize("as_attribute", [False, True])
    def test_what_cannot_be_sent_is_named(self, tmp_path, as_attribute):
        class Task:
            def __init__(self, log_file):
                self.log_file = log_file

            def __call__(self, trial):
                return 1.0

        with (tmp_path / "log").open("w") as log_file:
            function = Task(log_file) if as_attribute else lambda trial: log_file.write("x")
            executor = ProcessExecutor(1)
            with pytest.raises(ExecutionError, match="workers=1") as error:
                executor.open(function)
        assert "'log_file' (TextIOWrapper)" in str(error.value)
        assert workers_of() == []

    def test_generators_and_locks_cannot_be_sent(self):
        lock, numbers = threading.Lock(), (n for n in range(3))

        def locked(trial):
            with lock:
                return next(numbers)

        with pytest.raises(ExecutionError, match=r"'lock' \(lock\), 'numbers' \(generator\)"):
            ProcessExecutor(1).open(locked)

    def test_function_that_cannot_be_loaded_there_is_fatal(self, opened, tmp_path, monkeypatch):
        (tmp_path / "only_here.py").write_text("def train(trial):\n    return 1.0\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        from only_here import train

        (tmp_path / "only_here.py").unlink()
        result = result_of(opened(train))
        assert (result.kind, result.fatal) == ("exception", True)
        assert "No module named 'only_here'" in result.message

    def test_module_that_ends_the_process_on_import_is_fatal(self, opened, tmp_path, monkeypatch):
        (tmp_path / "as_script.py").write_text("def train(trial):\n    return 1.0\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        from as_script import train

        (tmp_path / "as_script.py").write_text("raise SystemExit(3)\n")
        result = result_of(opened(train))
        assert result.fatal
        assert "SystemExit" in result.message

    def test_script_needs_no_main_guard(self, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(
            "from evotune.execution import ProcessExecutor\n"
            "from evotune.trial import Trial\n"
            "scale = 3\n"
            "def train(trial):\n"
            "    return scale * trial.params['x']\n"
            "executor = ProcessExecutor(1)\n"
            "executor.open(train)\n"
            "executor.submit(Trial(0, {'x': 2}, {'x': 2}))\n"
            "print(executor.collect()[0][1].metrics[''])\n"
            "executor.close()\n"
        )
        done = subprocess.run(
            [sys.executable, script], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.stdout, done.stderr) == ("6.0\n", "")


class TestDeath:
    def test_killed_worker_loses_only_its_own_trial(self, opened, tmp_path):
        def work(trial):
            if trial.params["killed"] and count_up(tmp_path / "tries") == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if not trial.params["killed"]:
                (tmp_path / "new").write_text(str(os.getpid()))
                (tmp_path / "new").rename(tmp_path / "pid")
            wait_for = tmp_path / "go on"
            while not trial.params["killed"] and not wait_for.exists():
                time.sleep(0.01)
            count_up(tmp_path / f"calls of {trial.number}")
            return os.getpid()

        executor = opened(work, workers=2)
        executor.submit(make_trial(0, killed=False))
        wait_until((tmp_path / "pid").exists)
        survivor = int((tmp_path / "pid").read_text())
        executor.submit(make_trial(1, killed=True))
        [(number, retried)] = executor.collect()
        assert number == 1
        assert isinstance(retried, Outcome)
        assert (tmp_path / "tries").read_text() == "xx"
        (tmp_path / "go on").touch()
        [(number, other)] = executor.collect()
        assert (number, other.metrics[""]) == (0, survivor)
        assert (tmp_path / "calls of 0").read_text() == "x"

    @pytest.mark.parametrize(
        ("how", "text"),
        [
            (lambda: os._exit(7), "exit code 7"),
            (lambda: os.kill(os.getpid(), signal.SIGKILL), "signal SIGKILL"),
        ],
    )
    def test_second_death_is_a_failure_and_the_next_trial_runs(self, opened, how, text):
        executor = opened(lambda trial: how() if trial.params["dies"] else 1.0)
        result = result_of(executor, dies=True)
        assert (result.kind, result.fatal) == ("died", False)
        assert text in result.message
        assert "twice" in result.message
        assert result_of(executor, dies=False).metrics[""] == 1.0

    def test_death_while_the_function_is_loaded_is_no_hang(self, opened):
        class Deadly:
            def __setstate__(self, state):
                os._exit(5)

            def __getstate__(self):
                return {"a": 1}

            def __call__(self, trial):
                return 1.0

        result = result_of(opened(Deadly()))
        assert result.kind == "died"
        assert "exit code 5" in result.message

    def test_worker_killed_while_idle_is_replaced(self, opened, tmp_path):
        def count(trial):
            return count_up(tmp_path / "calls")

        executor = opened(count)
        result_of(executor)
        [worker] = workers_of()
        worker.kill()
        psutil.wait_procs([worker], timeout=10)
        assert result_of(executor).metrics[""] == 2.0

    def test_exit_is_a_failure_and_not_a_death(self, opened):
        executor = opened(lambda trial: sys.exit(3) if trial.params["x"] else os.getpid())
        before = result_of(executor, x=0)
        result = result_of(executor, x=1)
        assert (result.kind, result.message) == ("exception", "SystemExit: 3")
        assert result_of(executor, x=0).metrics[""] == before.metrics[""]


class TestSpoiledProcess:
    @staticmethod
    def breaking(error, tries):
        """Break something for good in trial 1, so that all later ones in its process fail alike."""

        def work(trial):
            import builtins

            count_up(tries / str(trial.number))
            if trial.number == 1:
                builtins.is_broken = True
            if getattr(builtins, "is_broken", False):
                raise error
            return os.getpid()

        return work

    @pytest.mark.parametrize(
        "error",
        [
            RuntimeError("CUDA error: device-side assert triggered\nCompile with ..."),
            RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
            MemoryError(),
            OSError(24, "Too many open files"),
        ],
        ids=str,
    )
    def test_it_is_replaced_after_the_trial_that_was_to_blame(self, opened, tmp_path, error):
        executor = opened(self.breaking(error, tmp_path))
        results = run_trials(executor, [make_trial(number) for number in range(3)])
        assert isinstance(results[1], Failure)
        assert (tmp_path / "1").read_text() == "xx"
        assert isinstance(results[2], Outcome)
        assert results[0].metrics[""] != results[2].metrics[""]

    def test_a_trial_that_is_not_to_blame_runs_again(self, opened, tmp_path):
        def work(trial):
            if count_up(tmp_path / "tries") == 1:
                raise ValueError("...") from RuntimeError("CUDA error: an illegal memory access")
            return 1.0

        assert isinstance(result_of(opened(work)), Outcome)

    def test_an_unknown_kind_of_error_spoils_no_second_trial(self, opened, tmp_path):
        executor = opened(self.breaking(KeyError("state"), tmp_path))
        results = run_trials(executor, [make_trial(number) for number in range(4)])
        assert [type(results[n]) for n in range(4)] == [Outcome, Failure, Outcome, Outcome]

    def test_a_function_that_always_fails_is_tried_in_a_fresh_process_once(self, opened, tmp_path):
        def fails(trial):
            count_up(tmp_path / str(trial.number))
            raise ValueError(f"of {trial.number}")

        results = run_trials(opened(fails), [make_trial(number) for number in range(5)])
        assert results[4].message == "ValueError: of 4"
        tries = [len((tmp_path / str(number)).read_text()) for number in range(5)]
        assert tries == [1, 2, 1, 1, 1]

    @pytest.mark.parametrize(
        "error", [Failed("no: too deep"), RuntimeError("CUDA out of memory. Tried to allocate")]
    )
    def test_what_a_trial_does_by_itself_replaces_nothing(self, opened, error):
        def work(trial):
            if trial.params["fails"]:
                raise error
            return os.getpid()

        executor = opened(work)
        before = result_of(executor, fails=False)
        for _ in range(2 if isinstance(error, Failed) else 1):
            assert isinstance(result_of(executor, fails=True), Failure)
        assert result_of(executor, fails=False).metrics[""] == before.metrics[""]


class HangsWhereLoaded:
    def __init__(self, loads, hangs_at):
        self.loads, self.hangs_at = loads, hangs_at

    def __getstate__(self):
        return self.loads, self.hangs_at

    def __setstate__(self, state):
        self.loads, self.hangs_at = state
        if count_up(self.loads) in self.hangs_at:
            time.sleep(3600)

    def __call__(self, trial):
        if trial.params["dies"] and count_up(self.loads.with_name("tries")) == 1:
            os._exit(1)
        return 1.0


class TestStart:
    def test_worker_that_never_gets_ready_ends_the_run(self, opened, tmp_path):
        function = HangsWhereLoaded(tmp_path / "loads", [1, 2])
        result = result_of(opened(function, start_timeout=4, trial_timeout=0.1), dies=False)
        assert (result.kind, result.fatal) == ("timeout", True)
        assert "4 s" in result.message
        assert "start_timeout=" in result.message
        wait_until(lambda: workers_of() == [])

    def test_where_others_got_ready_the_trial_has_another_try(self, opened, tmp_path):
        executor = opened(HangsWhereLoaded(tmp_path / "loads", [2]), start_timeout=4)
        assert isinstance(result_of(executor, dies=False), Outcome)
        [worker] = workers_of()
        worker.kill()
        psutil.wait_procs([worker], timeout=10)
        assert isinstance(result_of(executor, dies=False), Outcome)

    def test_a_function_larger_than_any_pipe_blocks_nothing(self, opened, tmp_path):
        data = bytes(10_000_000)
        executor = opened(lambda trial: len(data))
        executor.submit(make_trial(0))
        assert executor.collect()[0][1].metrics[""] == 10_000_000


class TestTimeout:
    def test_worker_over_its_time_is_killed_with_its_children(self, opened, tmp_path):
        def work(trial):
            if trial.params["hangs"]:
                with subprocess.Popen(["sleep", "3600"]) as child:
                    (tmp_path / "pid").write_text(str(child.pid))
            return 1.0

        executor = opened(work, trial_timeout=1.0)
        result = result_of(executor, hangs=True)
        assert (result.kind, result.message) == ("timeout", "took longer than 1 s")
        child = int((tmp_path / "pid").read_text())
        wait_until(lambda: not psutil.pid_exists(child))
        assert result_of(executor, hangs=False).metrics[""] == 1.0

    def test_loading_the_function_takes_none_of_it(self, opened):
        class SlowToLoad:
            def __setstate__(self, state):
                time.sleep(1.0)

            def __getstate__(self):
                return {"a": 1}

            def __call__(self, trial):
                return 1.0

        assert isinstance(result_of(opened(SlowToLoad(), trial_timeout=0.5)), Outcome)


class TestThreads:
    @pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
    def test_worker_environment(self, opened, name, monkeypatch):
        monkeypatch.setenv(name, "64")
        executor = opened(lambda trial: int(os.environ[name]), threads=3)
        assert result_of(executor).metrics[""] == 3

    def test_cores_are_shared_among_the_workers(self):
        cores = ProcessExecutor().workers
        assert ProcessExecutor(1).threads == cores
        assert ProcessExecutor(2 * cores).threads == 1

    def test_torch_obeys(self, opened):
        torch = pytest.importorskip("torch")

        def threads(trial):
            return torch.get_num_threads()

        assert result_of(opened(threads, threads=3)).metrics[""] == 3


class TestEnds:
    def test_close_kills_workers_and_what_they_started(self, tmp_path):
        def work(trial):
            with subprocess.Popen(["sleep", "3600"]):
                (tmp_path / "started").touch()
            return 1.0

        executor = ProcessExecutor(2)
        executor.open(work)
        executor.submit(make_trial(0))
        wait_until((tmp_path / "started").exists)
        executor.close()
        assert workers_of() == []

    def test_nothing_starts_before_the_first_trial(self, opened):
        opened(lambda trial: 1.0, workers=2)
        assert workers_of() == []

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
    @pytest.mark.parametrize(
        "what",
        [
            "time.sleep(3600)",
            "re.match(r'(a+)+$', 'a' * 60 + 'b')",
            "os.kill(os.getpid(), signal.SIGSTOP)",
        ],
        ids=["has children in sessions of their own", "holds the GIL in C", "is stopped"],
    )
    def test_workers_and_all_they_started_end_with_their_driver(self, tmp_path, what, how):
        with _driver(tmp_path, what) as driver:
            below = psutil.Process(driver.pid).children(recursive=True)
            orphan = psutil.Process(int((tmp_path / "started").read_text()))
            driver.send_signal(how)
            driver.kill()
            assert len(below) >= 3
            _, alive = psutil.wait_procs([*below, orphan], timeout=20)
            assert alive == []

    def test_libraries_hear_of_the_end_of_an_idle_worker(self, opened, tmp_path):
        def work(trial):
            import atexit

            atexit.register((tmp_path / "ended").touch)
            return 1.0

        executor = opened(work)
        result_of(executor)
        executor.close()
        assert (tmp_path / "ended").exists()

    def test_runs_leave_nothing_behind(self, opened):
        executor = opened(lambda trial: 1.0, workers=2)
        this = psutil.Process()
        left = []
        for _ in range(3):
            run_trials(executor, [make_trial(number) for number in range(2)])
            executor.close()
            left.append((this.num_fds(), this.num_threads(), len(this.children())))
            executor.open(lambda trial: 1.0)
        assert left[0] == left[1] == left[2]

    def test_workers_ignore_ctrl_c(self, opened):
        executor = opened(lambda trial: signal.raise_signal(signal.SIGINT) or 1.0)
        assert isinstance(result_of(executor), Outcome)

    @pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to a process group")
    def test_ctrl_c_ends_the_wait_of_the_driver(self, tmp_path):
        with _driver(tmp_path) as driver:
            os.killpg(driver.pid, signal.SIGINT)
            out, error = driver.communicate(timeout=30)
            assert (out, error) == ("alive: 4\n", "")


@contextmanager
def _driver(tmp_path: Path, what="time.sleep(3600)"):
    """Start a driver whose worker has started a child and an orphan; then the worker does that."""
    script = tmp_path / "driver.py"
    orphan = "import os, time; os.fork() and os._exit(0); os.setsid(); print(os.getpid(), flush=1)"
    script.write_text(
        "import os, pathlib, re, signal, subprocess, sys, time\n"
        "import psutil\n"
        "from evotune.execution import ProcessExecutor\n"
        "from evotune.trial import Trial\n"
        "def train(trial):\n"
        "    subprocess.Popen(['sleep', '3600'], start_new_session=True)\n"
        f"    orphan = {orphan + '; time.sleep(3600)'!r}\n"
        "    command = [sys.executable, '-c', orphan]\n"
        "    number = subprocess.Popen(command, stdout=subprocess.PIPE, text=True).stdout\n"
        f"    pathlib.Path({str(tmp_path / 'new')!r}).write_text(number.readline())\n"
        f"    os.rename({str(tmp_path / 'new')!r}, {str(tmp_path / 'started')!r})\n"
        f"    {what}\n"
        "executor = ProcessExecutor(1)\n"
        "executor.open(train)\n"
        "executor.submit(Trial(0, {}, {}))\n"
        "try:\n"
        "    executor.collect()\n"
        "except KeyboardInterrupt:\n"
        "    below = psutil.Process().children(recursive=True)\n"
        "    print('alive:', len([p for p in below if p.status() != psutil.STATUS_ZOMBIE]))\n"
        "    executor.close()\n"
    )
    driver = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until((tmp_path / "started").exists)
        yield driver
    finally:
        driver.kill()
        driver.communicate(timeout=20)


@pytest.mark.parametrize(
    "settings",
    [
        {"workers": 0},
        {"workers": -2},
        {"workers": 1.5},
        {"workers": 1, "threads": 0},
        {"workers": 1, "trial_timeout": 0},
        {"workers": 1, "start_timeout": -1},
    ],
)
def test_numbers_that_make_no_sense_are_refused(settings):
    name = list(settings)[-1]
    with pytest.raises(ExecutionError, match=name):
        ProcessExecutor(**settings)


def test_import_is_light():
    code = (
        "import sys, evotune.execution as e; e.InlineExecutor(); "
        "print('loky' in sys.modules or 'cloudpickle' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"


def test_an_interrupt_that_a_trial_raises_by_itself_is_its_failure():
    def interrupts(trial):
        raise KeyboardInterrupt("enough")

    study = et.Study(et.RandomSearch(et.Space(x=et.Float(0, 1))), "min loss", seed=1)
    study.run(interrupts, trials=1, executor=et.ProcessExecutor(1), max_failures=1)
    assert study.trials[0].failure.message == "KeyboardInterrupt: enough"


def test_a_script_from_a_pipe_may_spawn_processes_in_its_trials():
    script = """
import math, multiprocessing
import evotune as et
def train(trial):
    process = multiprocessing.get_context("spawn").Process(target=math.sqrt, args=(4,))
    process.start()
    process.join()
    return process.exitcode
study = et.Study(et.RandomSearch(et.Space(x=et.Float(0, 1))), "min loss", seed=1)
study.run(train, trials=1, executor=et.ProcessExecutor(1))
print(study.best.metrics["loss"])
"""
    ended = subprocess.run(
        [sys.executable, "-"], input=script, capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.strip() == "0.0"
