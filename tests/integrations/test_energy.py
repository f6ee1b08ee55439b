"""Energy and carbon dioxide as metrics, by the real codecarbon."""

import copy
import logging
import pickle
import sys
import time

import pytest

import evotune as et
from evotune.integrations import energy
from helpers_study import EndsAtReport

pytest.importorskip("codecarbon")

SPACE = et.Space(x=et.Float(0.0, 1.0))


def train(trial):
    until = time.perf_counter() + 0.02
    while time.perf_counter() < until:
        pass
    return {"loss": trial.params["x"]}


def study(objectives="min loss"):
    return et.Study(et.RandomSearch(SPACE), objectives, seed=1)


def handle(**params):
    return et.RunningTrial(et.Trial(0, {}, params or {"x": 0.5}))


def test_energy_may_be_an_objective():
    done = study(["min loss", "min energy_kwh"]).run(et.Energy(train, country="DEU"), trials=3)
    for trial in done.trials:
        assert trial.state == "done"
        assert 0 < trial.metrics["energy_kwh"] < 1e-3
        # Germany emits some hundred grams a kWh.
        assert 0.1 < trial.metrics["co2_kg"] / trial.metrics["energy_kwh"] < 1


def test_a_longer_evaluation_takes_more():
    def sleep(trial):
        time.sleep(trial.params["x"])
        return 0.0

    measured = et.Energy(sleep, country="FRA")
    short, long = measured(handle(x=0.01)), measured(handle(x=0.2))
    assert long["energy_kwh"] > 3 * short["energy_kwh"]


def test_a_bare_number_is_still_the_objective():
    done = study().run(et.Energy(lambda trial: trial.params["x"], country="DEU"), trials=1)
    assert done.best.metrics["loss"] == done.best.params["x"]
    assert "energy_kwh" in done.best.metrics


def test_a_failed_evaluation_ends_measuring_and_keeps_its_reason(caplog):
    def fails(trial):
        if trial.number == 0:
            raise ValueError("bad luck")
        if trial.number == 1:
            return et.Failed("no luck either")
        return train(trial)

    with caplog.at_level(logging.WARNING, logger="codecarbon"):
        done = study().run(et.Energy(fails, country="DEU"), trials=3)
    assert [t.failure.message for t in done.trials if t.failure] == [
        "ValueError: bad luck",
        "no luck either",
    ]
    assert done.best.metrics["energy_kwh"] < 1e-5  # of that trial alone
    assert not [record for record in caplog.records if record.name == "codecarbon"]


def test_there_is_one_tracker_a_process():
    measured = et.Energy(train, country="DEU")
    measured(handle())
    again = pickle.loads(pickle.dumps(measured))
    again(handle())
    assert len([key for key in energy._trackers if key[1] == "DEU"]) == 1


def test_a_stopped_trial_has_what_it_took():
    def reports(trial):
        for _ in trial.epochs(default=2):
            trial.report(loss=1.0)
        return 1.0

    measured = et.Energy(reports, country="DEU")
    [trial] = (
        study(["min loss", "min energy_kwh"])
        .run(measured, trials=1, stopping=EndsAtReport(1))
        .trials
    )
    assert trial.state == "stopped"
    assert trial.values == (1.0, trial.metrics["energy_kwh"])
    assert {report["step"] for report in trial.reports} == {0}


def test_a_task_is_trained_one_by_one_and_says_so(caplog):
    torch = pytest.importorskip("torch")
    x, y = torch.randn(32, 4), torch.randint(0, 2, (32,))
    task = et.SupervisedTask(
        lambda params: torch.nn.Linear(4, 2),
        loss="cross_entropy",
        optimizer="sgd",
        train=(x, y),
        validation=(x, y),
    )
    measured = et.Energy(task, country="DEU")
    space = et.Space(lr=et.Float(1e-3, 1.0, log=True))
    population = et.PopulationBasedTraining(space, population_size=2, interval=1)
    done = et.Study(population, "max accuracy", seed=1).run(measured, epochs=2)
    assert all(trial.metrics["energy_kwh"] > 0 for trial in done.trials)
    assert any(trial.donors for trial in done.trials)
    assert caplog.text.count("one by one, not stacked") == 1
    assert measured.epochs == task.epochs
    assert measured.fit({"lr": 0.1}, epochs=1).weight.shape == (2, 4)
    assert not hasattr(measured, "nothing_of_this_name")
    assert copy.deepcopy(measured).country == "DEU"


def test_a_template_still_keeps_proposals_to_its_limits():
    class Task:
        traits = et.protocols.TaskTraits(stacks=True, fit=lambda space, genome: genome)

        def __call__(self, trial):
            return 0.0

    traits = et.Energy(Task(), country="DEU").traits
    assert traits.fit is Task.traits.fit
    assert not traits.stacks


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("Germany", "write country='DEU'"),
        ("DEX", "got 'DEX'"),
        ("deu", "did you mean 'DEU'"),
        (None, "three letters"),
    ],
)
def test_an_unknown_country_is_refused(given, words):
    with pytest.raises(et.errors.TaskError, match=words):
        et.Energy(train, country=given)


def test_what_it_cannot_measure_is_refused():
    with pytest.raises(et.errors.TaskError, match=r"et\.Energy\(train"):
        et.Energy(None, country="DEU")
    with pytest.raises(et.errors.TaskError, match="wrap it once"):
        et.Energy(et.Energy(train, country="DEU"), country="DEU")
    with pytest.raises(et.errors.TaskError, match="returns energy_kwh itself"):
        et.Energy(lambda trial: {"energy_kwh": 1.0}, country="DEU")(handle())


def test_without_codecarbon_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(et.errors.TaskError, match=r'pip install "evotune\[energy\]"'):
        et.Energy(train, country="DEU")
