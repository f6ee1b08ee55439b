"""What would otherwise go wrong without a word."""

import shutil
import signal

import pytest

import evotune as et
import helpers_warm
from evotune.errors import StudyError, StudyLockedError
from evotune.execution import evaluate
from evotune.protocols import Traits
from evotune.storage import open_storage
from helpers_study import small_space, train


@pytest.mark.parametrize("make", [et.Genetic, et.RandomSearch, et.Hybrid])
def test_epochs_alone_never_end_trials_that_start_afresh(make):
    study = et.Study(make(small_space()), "min loss")
    with pytest.raises(StudyError, match="write trials=100 or timeout=3600 too"):
        study.run(train, epochs=3)
    assert not study.trials
    assert study.run(train, epochs=3, trials=2).trials[1].budget == 3


def test_a_result_told_without_the_metric_is_said_to_be_a_failure(caplog):
    study = et.Study(et.RandomSearch(small_space()), "min loss")
    study.tell(study.ask(), et.Failed("as wanted"))
    assert not caplog.records
    assert study.tell(study.ask(), {"los": 1.0}).state == "failed"
    assert "trial 1 is recorded as failed: metric 'loss'" in caplog.text


def test_a_report_without_a_metric_is_refused():
    def forgets_the_name(trial):
        trial.report(0.5)
        return 1.0

    study = et.Study(et.RandomSearch(small_space()), "min loss").run(forgets_the_name, trials=1)
    assert "trial.report(accuracy=0.9)" in study.trials[0].failure.message


def test_replaced_params_are_said_to_be_recorded_as_proposed(caplog, monkeypatch):
    monkeypatch.setattr(evaluate, "_replaced", set())

    def replaces(trial):
        trial.params.pop("momentum")
        trial.params["lr"] = 0.1
        trial.params["more"] = 3
        return 1.0

    et.Study(et.RandomSearch(small_space()), "min loss", seed=1).run(replaces, trials=3)
    assert [
        record.getMessage().count("trial.params['lr'] to 0.1") for record in caplog.records
    ] == [1]


class MyOwn:
    traits = Traits()

    def __init__(self, space):
        self.space = space

    def ask(self, rng):
        return None

    def tell(self, trial):
        pass

    def donors(self):
        return ()


@pytest.mark.parametrize("algorithm", [MyOwn, et.Genetic])
def test_a_space_that_is_none_is_refused_with_words(algorithm):
    with pytest.raises(
        et.errors.EvotuneError, match=r"space.*Space\(lr=.*got|the space of MyOwn is"
    ):
        et.Study(algorithm({"lr": et.Float(0, 1)}), "min loss")


def test_another_study_object_of_this_process_is_not_told_to_end_the_process(tmp_path):
    def make():
        return et.Study(et.RandomSearch(small_space()), "min loss", storage=tmp_path / "a.db")

    first, second = make(), make()
    second.run(train, trials=2)
    with pytest.raises(StudyLockedError, match="another Study object of this process"):
        first.run(train, trials=3)


def test_a_study_that_begins_anew_beside_a_rescued_one_says_so(tmp_path, caplog):
    def loses(trial):
        for path in tmp_path.glob("runs.db*"):
            path.unlink()
        return 1.0

    def make():
        return et.Study(et.RandomSearch(small_space()), "min loss", storage=tmp_path / "runs.db")

    lost = make()
    with pytest.raises(et.errors.StorageError, match="rescued"):
        lost.run(loses, trials=3)
    make().close()
    assert "begins anew" in caplog.text
    (rescued,) = tmp_path.glob("runs.db.rescued*.db")
    assert str(rescued) in caplog.text


def test_a_study_is_in_its_file_though_the_log_was_left_behind(tmp_path):
    driver = (
        "import os, signal, sys; import evotune as et\n"
        "study = et.Study(et.Genetic(et.Space(x=et.Float(0, 1))), 'min x', storage=sys.argv[1])\n"
        "study.run(lambda t: {'x': t.params['x']} if t.number < 9 else os.kill(os.getpid(), 9), 20)"
    )
    killed = helpers_warm.run("-c", driver, tmp_path / "runs.db")
    assert killed.returncode == -signal.SIGKILL
    shutil.copy(tmp_path / "runs.db", tmp_path / "alone.db")
    found = [open_storage(tmp_path / name) for name in ("alone.db", "runs.db")]
    assert found[0].load("study") == found[1].load("study") is not None
    for storage in found:
        storage.close()


def test_logging_at_info_tells_of_every_trial(caplog):
    def train(trial):
        if trial.number == 1:
            raise ValueError("no luck")
        return {"loss": 0.25, "size": 3}

    space = et.Space(lr=et.Fixed(0.5), layers=et.Chain(2, 2, conv={"filters": 8}))
    study = et.Study(et.RandomSearch(space), "min loss", duplicates="allow", seed=1)
    with caplog.at_level("INFO", logger="evotune"):
        study.run(train, trials=2)
    assert [record.getMessage() for record in caplog.records][-2:] == [
        "trial 0 done  loss=0.25  lr=0.5  layers=2 × conv 8",
        "trial 1 failed  ValueError: no luck  lr=0.5  layers=2 × conv 8",
    ]
