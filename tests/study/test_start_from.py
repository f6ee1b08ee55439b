"""Studies that begin with the results of another one, and params that the search completes."""

import logging

import pytest

import evotune as et
from evotune.errors import GenomeError, StudyError

SMALL = et.Space(lr=et.Float(0.01, 0.1), kind=et.Choice("a", "b"))
WIDER = et.Space(lr=et.Float(0.001, 1.0, log=True), kind=et.Choice("a", "b", "c"))
MORE = et.Space({**WIDER.domains, "dropout": et.Float(0.0, 0.5)})


def train(trial):
    if trial.params["lr"] > 0.09:
        raise et.Failed("diverged")
    return trial.params["lr"] + trial.params.get("dropout", 0.0)


def study_on(space, storage=None, name="new", **options):
    return et.Study(
        et.Genetic(space, population_size=4),
        "min y",
        storage=storage,
        name=name,
        seed=options.pop("seed", 2),
        **options,
    )


@pytest.fixture
def old():
    return study_on(SMALL, name="old", seed=1).run(train, 20, max_failures=1.0)


def done(study):
    return [trial for trial in study.trials if trial.state == "done"]


@pytest.mark.parametrize("algorithm", [et.Genetic, et.Hybrid, et.CmaEs, et.RandomSearch])
def test_a_wider_space_begins_with_all_results(old, algorithm):
    new = et.Study(algorithm(WIDER), "min y", seed=2, start_from=old)
    assert [t.params for t in new.trials] == [t.params for t in done(old)]
    assert [t.metrics["y"] for t in new.trials] == [t.metrics["y"] for t in done(old)]
    assert new.best.params == old.best.params
    assert new.trials[0].notes["start_from"] == f"old, trial {done(old)[0].number}"
    new.run(train, len(new.trials) + 6, max_failures=1.0)
    assert new.best.metrics["y"] <= old.best.metrics["y"]


def test_a_gene_that_was_added_may_have_had_a_value(old):
    new = study_on(MORE, start_from=(old, {"dropout": 0.25}))
    assert len(new.trials) == len(done(old))
    assert {trial.params["dropout"] for trial in new.trials} == {0.25}


def test_without_that_value_the_best_are_tried_again(old, caplog):
    new = study_on(MORE, start_from=old)
    assert all(trial.state == "waiting" for trial in new.trials)
    assert len(new.trials) == 10
    assert new.trials[0].params.items() >= old.best.params.items()
    assert len({trial.params["dropout"] for trial in new.trials}) == 10
    assert "do not say what 'dropout' was" in caplog.text
    new.run(train, 10)
    assert new.trials[0].state == "done"
    assert new.trials[0].notes["start_from"] == f"old, trial {old.best.number}"


def test_it_is_read_once_and_goes_on_after_an_interruption(old, tmp_path, monkeypatch):
    path = tmp_path / "runs.db"
    whole = study_on(WIDER, tmp_path / "whole.db", start_from=old)
    calls = []

    def breaks(self, *args, **options):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(1)
        return add(self, *args, **options)

    add = et.Study.add
    with monkeypatch.context() as patched:
        patched.setattr(et.Study, "add", breaks)
        with pytest.raises(KeyboardInterrupt):
            study_on(WIDER, path, start_from=old)
    with study_on(WIDER, path, start_from=old) as study:
        assert [t.params for t in study.trials] == [t.params for t in whole.trials]
        study.run(train, len(study.trials) + 2, max_failures=1.0)
        count = len(study.trials)
    old.run(train, 25, max_failures=1.0)
    assert len(study_on(WIDER, path, start_from=old).trials) == count


def test_what_does_not_fit_is_left_out_and_said(old, caplog):
    narrow = et.Space(lr=et.Float(0.01, 0.05), kind=et.Choice("a", "b"))
    new = study_on(narrow, start_from=old)
    assert 0 < len(new.trials) < len(done(old))
    assert all(trial.params["lr"] <= 0.05 for trial in new.trials)
    assert "do not fit this one and are left out" in caplog.text
    other = et.Study(et.RandomSearch(SMALL), "min z", start_from=old)
    assert not other.trials
    assert "has no metric 'z'" in caplog.text


def test_an_opened_study_and_tune_serve_too(old, tmp_path):
    study_on(SMALL, tmp_path / "old.db", "old").run(train, 6, max_failures=1.0).close()
    before = et.open(tmp_path / "old.db")
    new = et.tune(train, WIDER, "min y", trials=8, start_from=before, seed=1)
    assert len(new.trials) == 8
    assert [t.params for t in new.trials[: len(done(before))]] == [t.params for t in done(before)]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("runs.db", "start_from= is a study"),
        (("a", "b", "c"), "start_from= is a study"),
        ("typo", "'drop', which is no gene here"),
    ],
)
def test_bad_values_are_said(old, bad, said):
    with pytest.raises(StudyError, match=said):
        study_on(MORE, start_from=(old, {"drop": 0.1}) if bad == "typo" else bad)


def test_one_population_that_trains_on_takes_none(old):
    pbt = et.PopulationBasedTraining(WIDER, population_size=4)
    with pytest.raises(StudyError, match="write seeds="):
        et.Study(pbt, "min y", start_from=old)


# -- params that are completed --------------------------------------------------------------------


def test_what_is_enqueued_in_part_takes_the_rest_from_the_best():
    study = study_on(MORE).run(train, 6, max_failures=1.0)
    trial = study.enqueue({"lr": 0.02})
    assert trial.params == {**study.best.params, "lr": 0.02}


def test_without_a_result_the_rest_is_drawn_and_the_same_each_time():
    first, second = (study_on(MORE).enqueue({"lr": 0.02}) for _ in range(2))
    assert first.params == second.params
    assert first.params["lr"] == 0.02


def test_conditional_genes_and_chains_are_completed():
    space = et.Space(
        kind=et.Choice("a", "b"),
        depth=et.Int(1, 5, when={"kind": "b"}),
        layers=et.Chain(1, 3, dense={"units": et.Int(8, 64)}),
    )
    trial = et.Study(et.RandomSearch(space), "min y", seed=3).enqueue({"kind": "b"})
    assert 1 <= trial.params["depth"] <= 5
    assert 1 <= len(trial.params["layers"]) <= 3
    layers = [{"block": "dense", "units": 9}]
    trial = et.Study(et.RandomSearch(space), "min y", seed=3).enqueue({"layers": layers})
    assert trial.params["layers"] == layers


@pytest.mark.parametrize("bad", [{}, {"lr": 7.0}, {"rate": 0.1}])
def test_what_is_wrong_in_part_is_still_refused(bad):
    with pytest.raises((GenomeError, StudyError)):
        study_on(MORE).enqueue(bad)


def test_added_results_need_all_genes():
    with pytest.raises(GenomeError, match="missing"):
        study_on(MORE).add({"lr": 0.02}, 1.0)


def test_where_enqueued_params_come_from_can_be_noted(caplog):
    caplog.set_level(logging.INFO)
    study = study_on(MORE)
    study.enqueue({"lr": 0.02}, notes={"source": "the paper"})
    study.run(train, 1)
    assert study.trials[0].notes == {"source": "the paper"}
