"""Several threads use one study."""

import sys
import threading
import time

import pytest

import evotune as et
from evotune.errors import StudyError
from helpers_study import loss, small_space, train


@pytest.fixture(autouse=True)
def _switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(*jobs):
    """Run jobs in threads of their own and return what they raised."""
    errors = []

    def guarded(job):
        try:
            job()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "the threads wait for each other"
    return errors


@pytest.mark.parametrize("on_disk", [False, True])
def test_threads_get_different_trials_and_every_result_is_recorded(on_disk, tmp_path):
    storage = str(tmp_path / "runs.db") if on_disk else None
    study = et.Study(et.RandomSearch(small_space()), "min loss", storage=storage, seed=1)
    told = []

    def work():
        for _ in range(20):
            trial = study.ask()
            study.tell(trial, loss(trial.params))
            told.append(trial.number)
            assert study.best.number <= len(study.trials)

    assert together(*[work] * 8) == []
    assert sorted(told) == list(range(160))
    assert study.counts == {"done": 160}
    assert len(study.storage.trials("study")) == 160
    assert sorted(t.result_order for t in study.trials) == list(range(160))
    study.close()


def test_results_can_be_read_while_another_thread_runs():
    study = et.Study(et.Genetic(et.Space(x=et.Int(0, 9))), "min loss", duplicates="repeat", seed=1)
    over = threading.Event()

    def run():
        study.run(lambda trial: trial.params["x"] + trial.seed % 7, trials=200)
        over.set()

    def read():
        while not over.is_set():
            assert len(study.averaged()) <= len(study.trials) + 1
            if study.trials and study.counts.get("done"):
                assert study.front[0].params.keys() == study.best.params.keys() == {"x"}

    assert together(run, read, read) == []
    assert study.counts == {"done": 200}


def test_a_run_is_alone_and_says_so():
    study = et.Study(et.Genetic(small_space()), "min loss", seed=1)
    begun, asked = threading.Event(), threading.Event()

    def slow(trial):
        begun.set()
        asked.wait(30)
        return train(trial)

    def intrude():
        begun.wait(30)
        uses = (study.ask, lambda: study.tell(0, 1.0), lambda: study.run(train, trials=9))
        for use in uses:
            with pytest.raises(StudyError, match=r"inside run\(\)"):
                use()
        asked.set()

    assert together(lambda: study.run(slow, trials=5), intrude) == []
    assert study.counts == {"done": 5}
    assert study.ask() is not None  # afterwards it may


def test_a_run_that_ends_with_an_error_leaves_the_study_free():
    study = et.Study(et.Genetic(small_space()), "min loss", seed=1)

    def broken(*_):
        raise RuntimeError("a callback broke")

    with pytest.raises(RuntimeError):
        study.run(train, trials=5, callbacks=broken)
    study.run(train, trials=5)
    assert study.counts == {"done": 5}


def test_callbacks_may_wait_for_threads_that_read_or_stop():
    study = et.Study(et.Genetic(small_space()), "min loss", seed=1)

    def watch(seen, trial):
        assert together(lambda: seen.best, lambda: seen.trials, seen.averaged) == []
        if trial.number == 3:
            assert together(seen.stop) == []

    assert together(lambda: study.run(train, trials=50, callbacks=watch)) == []
    assert study.stop_reason == "stopped"
    assert len(study.trials) == 4


def test_threads_ask_for_one_generation_together():
    study = et.Study(et.Genetic(small_space(), population_size=8), "min loss", seed=1)
    end = time.monotonic() + 20

    def work():
        while study.counts.get("done", 0) < 48 and time.monotonic() < end:
            trial = study.ask()
            if trial is not None:
                study.tell(trial, loss(trial.params))

    assert together(*[work] * 4) == []
    assert study.counts["done"] >= 48
