"""A closed study can be pickled and copied; what comes back can be read."""

import copy
import pickle

import pytest

import evotune as et
from evotune.errors import StudyError
from helpers_study import small_space, train

WAYS = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def closed(storage=None):
    study = et.Study(et.Genetic(small_space()), "min loss", seed=1, storage=storage)
    with study:
        return study.run(train, trials=5)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("on_disk", [False, True])
def test_a_closed_study_comes_back_to_be_read(way, on_disk, tmp_path):
    study = closed(tmp_path / "runs.db" if on_disk else None)
    back = way(study)
    assert (back.trials, back.best, back.front) == (study.trials, study.best, study.front)
    assert back.counts == {"done": 5}
    assert back.to_frame().equals(study.to_frame())
    assert back.report(tmp_path / "report.html").exists()
    assert repr(back) == repr(study)
    with pytest.raises(StudyError, match="closed"):
        back.ask()
    with pytest.raises(StudyError, match="another study"):
        et.Study(back.algorithm, "min loss")
    back.close()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_storage_of_a_copy_serves_to_go_on(way, tmp_path):
    back = way(closed(tmp_path / "runs.db"))
    with et.Study(et.Genetic(small_space()), "min loss", storage=back.storage) as study:
        study.run(train, trials=8)
    assert study.trials[:5] == back.trials
    assert len(back.storage.trials("study")) == 8


def test_a_deep_copy_in_memory_has_a_storage_of_its_own():
    study = closed()
    back = copy.deepcopy(study)
    with et.Study(et.Genetic(small_space()), "min loss", storage=back.storage) as again:
        again.run(train, trials=8)
    assert (len(back.storage.trials("study")), len(study.storage.trials("study"))) == (8, 5)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_open_study_says_that_it_is_to_be_closed_first(way):
    study = et.Study(et.Genetic(small_space()), "min loss", seed=1)
    with pytest.raises(StudyError, match=r"close\(\) it before"):
        way(study)
    study.run(train, trials=2)
    assert study.counts == {"done": 2}
