"""What users get of a study cannot change it; what they give may change afterwards."""

import copy
from contextlib import suppress

import numpy as np
import pytest

import evotune as et
from evotune.errors import StudyError
from helpers_study import loss, small_space


@pytest.fixture(params=["memory", "sqlite"])
def storage(request, tmp_path):
    return None if request.param == "memory" else str(tmp_path / "runs.db")


def spoil(trial):
    """Do to a record what a careless user may do; an error at once is right."""
    held = (trial.genome, trial.params, trial.metrics, trial.note, trial.inherit, trial.spread)
    for values in (*held, *trial.reports):
        for change in (values.clear, values.popitem, lambda v=values: v.update(lr=-1.0)):
            with suppress(TypeError, KeyError):
                change()


def test_what_users_do_with_records_does_not_reach_the_study(storage):
    handles, returned = [], {}

    def train(trial):
        handles.append(trial)
        trial.report(loss=loss(trial.params))
        returned["loss"] = loss(trial.params)
        return returned

    def finish(options):
        study = et.Study(
            et.Genetic(small_space(), population_size=4),
            "min loss",
            seed=1,
            storage=storage,
            **options,
        )
        study.run(train, trials=10, callbacks=lambda _, trial: spoil(trial))
        return study

    study = finish({"name": "spoiled"})
    before = copy.deepcopy(study.trials)
    for trial in (*study.trials, study.best, study.knee, *study.front, *study.averaged()):
        spoil(trial)
    for trial in (*study.lineage(9), *study.storage.trials("spoiled")):
        spoil(trial)
    for handle in handles:
        spoil(handle.record)
        handle.params.clear()
        handle.reports[0].clear()
    returned.clear()
    study.front.clear()
    study.counts.clear()
    for described in (study.definition.space, study.definition.objectives):
        with pytest.raises(TypeError):
            described.clear()
    assert study.trials == before
    asked = study.ask()
    spoil(asked)
    metrics = {"loss": 0.5, "more": 1.0}
    spoil(study.tell(asked, metrics))
    metrics.clear()
    assert {"loss": 0.5, "more": 1.0}.items() <= study.trials[10].metrics.items()
    assert set(study.trials[10].genome) == set(small_space().names)
    after = study.trials
    stored = tuple(study.storage.trials("spoiled"))
    study.close()
    assert stored == after


def test_seeds_may_change_after_they_were_given(storage):
    space = et.Space(x=et.Float(0, 1), y=et.Float(0, 1))
    seeds = [{"x": 0.25, "y": 0.5}]
    study = et.Study(et.Genetic(space, seeds=seeds), "min loss", storage=storage)
    seeds[0].clear()
    assert study.ask().params == {"x": 0.25, "y": 0.5}
    study.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_trial_of_another_study_is_refused(seed):
    own = et.Study(et.RandomSearch(small_space()), "min loss", seed=1)
    other = et.Study(et.RandomSearch(small_space()), "min loss", seed=seed)
    trial, foreign = own.ask(), other.ask()
    other.ask()
    with pytest.raises(StudyError, match="does not come from study"):
        own.tell(foreign, 1.0)
    with pytest.raises(StudyError, match="does not come from study"):
        own.tell(other.ask(), 1.0)
    assert own.trials == (trial,)
    own.tell(trial, 1.0)
    assert own.counts == {"done": 1}


def test_a_trial_that_was_started_again_may_be_told_by_either_record(tmp_path):
    with et.Study(et.RandomSearch(small_space()), "min loss", storage=tmp_path / "a.db") as study:
        before = study.ask()
    with et.Study(et.RandomSearch(small_space()), "min loss", storage=tmp_path / "a.db") as study:
        again = study.ask()
        assert again.number == before.number
        study.tell(before, 1.0)
        with pytest.raises(StudyError, match="ended already"):
            study.tell(again, 2.0)


@pytest.mark.parametrize("nonsense", [True, -1, 1.5, None, "0", {}, np.int64(7)])
def test_what_names_no_trial_is_refused(nonsense):
    study = et.Study(et.RandomSearch(small_space()), "min loss", seed=1)
    study.ask()
    for use in (lambda: study.tell(nonsense, 1.0), lambda: study.lineage(nonsense)):
        with pytest.raises(StudyError, match=r"no trial|ask\(\)"):
            use()
    assert study.counts == {"running": 1}
    study.tell(np.int64(0), 1.0)
