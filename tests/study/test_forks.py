"""A forked child of the process that drives a study may read it, and nothing else."""

import gc
import os
import subprocess
import sys
import threading
import time
import traceback

import pytest

import evotune as et
from evotune.errors import StudyLockedError
from helpers_study import small_space, train

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture(params=["memory", "sqlite"])
def study(request, tmp_path):
    storage = None if request.param == "memory" else str(tmp_path / "runs.db")
    study = et.Study(et.RandomSearch(small_space()), "min loss", storage=storage, seed=1)
    study.run(train, trials=3)
    yield study
    study.close()


def in_fork(job):
    """Run a job in a forked child and check that it ends well."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            job()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    end = time.monotonic() + 60
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, 9)
        time.sleep(0.005)
    assert os.waitstatus_to_exitcode(ended[1]) == 0


def goes_on(study):
    """Check that the parent still drives its study."""
    done = study.counts["done"]
    study.tell(study.ask(), 0.5)
    study.run(train, trials=len(study.trials) + 2)
    assert study.counts == {"done": done + 3}
    assert len(study.storage.trials("study")) == done + 3


def test_a_child_is_refused_in_words(study):
    trial = study.ask()
    uses = [
        study.ask,
        lambda: study.tell(trial, 1.0),
        lambda: study.run(train, trials=9),
        study.close,
    ]

    def child():
        for use in uses:
            with pytest.raises(StudyLockedError, match="this process is a fork"):
                use()

    in_fork(child)
    study.tell(trial, 1.0)
    goes_on(study)


def test_a_child_may_read(study):
    best, trials = study.best, study.trials

    def child():
        assert (study.best, study.trials, study.front[0]) == (best, trials, best)
        assert study.storage.trials("study") == list(trials)
        assert len(study.to_frame()) == 3

    in_fork(child)
    goes_on(study)


def test_a_child_can_open_the_study_once_the_parent_has_closed_it(tmp_path):
    path = tmp_path / "runs.db"
    study = et.Study(et.RandomSearch(small_space()), "min loss", storage=path, seed=1)
    study.run(train, trials=3)

    def locked():
        own = et.Study(et.RandomSearch(small_space()), "min loss", storage=path)
        assert len(own.trials) == 3
        with pytest.raises(StudyLockedError, match=f"driven by process {os.getppid()}"):
            own.ask()

    def free():
        with et.Study(et.RandomSearch(small_space()), "min loss", storage=path) as own:
            own.run(train, trials=5)

    in_fork(locked)
    study.close()
    in_fork(free)
    with et.Study(et.RandomSearch(small_space()), "min loss", storage=path) as again:
        assert again.counts == {"done": 5}


def test_however_a_child_ends_the_study_stays_the_parents(study):
    def leaves_a_block():
        with study:
            pass

    def drops_it():
        from evotune.study import engine

        del study._engine
        gc.collect()
        et.Study(et.RandomSearch(small_space()), "min loss").close()  # releases what was dropped
        assert not engine._abandoned

    for end in (leaves_a_block, drops_it):
        in_fork(end)
        goes_on(study)


def test_a_child_that_exits_like_a_program_releases_nothing(tmp_path):
    """With everything that Python does at exit, which ``os._exit`` leaves out."""
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import os, sys
import evotune as et

space = et.Space(x=et.Float(0, 1))
study = et.Study(et.RandomSearch(space), "min loss", storage={str(tmp_path / "runs.db")!r})
study.tell(study.ask(), 1.0)
child = os.fork()
if child == 0:
    study.storage.trials("study")
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
study.tell(study.ask(), 2.0)
print(study.counts)
"""
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert (run.stdout, run.returncode) == ("{'done': 2}\n", 0), run.stderr


def test_a_lock_that_another_thread_held_does_not_hang_a_child(study):
    held, done = threading.Event(), threading.Event()

    def slow_tell():
        with study._engine.lock:
            held.set()
            done.wait(60)

    thread = threading.Thread(target=slow_tell, daemon=True)
    thread.start()
    held.wait(60)
    in_fork(lambda: study.best)
    done.set()
    thread.join()
    goes_on(study)
