"""The greedy soup of a population's networks: its members, its figures, and bad input."""

import pytest
import torch

import evotune as et
from evotune.errors import CheckpointError, NoResultError, StudyError, TaskError
from helpers_training import blob_task, blobs, mlp

SPACE = et.Space(lr=et.Float(0.01, 0.3, log=True))


@pytest.fixture(scope="module")
def population():
    pbt = et.PopulationBasedTraining(SPACE, population_size=6, weights="kin")
    task = blob_task(averaging="ema", test=blobs())
    return et.Study(pbt, "min loss", seed=1).run(task, epochs=6), task


def test_a_soup_is_no_worse_than_the_best_and_says_what_it_cost(population):
    study, task = population
    model = mlp()
    soup = study.soup(model=model)
    last = [t for t in study.trials if t.origin.generation == 5]
    best = min(last, key=lambda t: t.values[0])
    assert soup.members[0] == best.number
    assert soup.alone == pytest.approx(best.metrics["loss"], rel=1e-5)
    assert soup.value <= soup.alone
    assert set(soup.tried) == {t.number for t in last}
    assert soup.network is model
    assert not model.training
    assert task.measure(model)["loss"] == soup.value == soup.metrics["loss"]
    assert task.measure(model, "test")["test_loss"] == soup.metrics["test_loss"]
    assert "6 measurements on the validation data" in str(soup)
    assert "test_loss" in str(soup)


def test_its_weights_are_the_mean_of_its_members(population):
    study, _ = population
    always = iter(range(100, 0, -1))  # whatever is tried is better than before
    model, sums = mlp(), None
    soup = study.soup(model=model, evaluate=lambda model: float(next(always)))
    assert len(soup.members) == 6
    for number in soup.members:
        one = mlp()
        study.restore(number, model=one)
        weights = torch.cat([p.detach().flatten() for p in one.parameters()])
        sums = weights if sums is None else sums + weights
    found = torch.cat([p.detach().flatten() for p in model.parameters()])
    torch.testing.assert_close(found, sums / 6)
    never = iter(range(100))
    alone = study.soup(model=mlp(), evaluate=lambda model: {"loss": next(never)})
    assert alone.members == soup.members[:1]


def test_a_study_that_was_opened_names_what_to_write(tmp_path, population):
    _, task = population
    pbt = et.PopulationBasedTraining(SPACE, population_size=3)
    with et.Study(pbt, "max accuracy", storage=tmp_path / "a.db", name="a") as study:
        study.run(task, epochs=2)
        here = study.soup(model=mlp())
    with et.open(tmp_path / "a.db") as study:
        with pytest.raises(StudyError, match=r"study.soup\(model=model, evaluate=task\)"):
            study.soup(model=mlp())
        there = study.soup(model=mlp(), evaluate=task)
    assert there.members == here.members
    assert there.value == here.value >= there.alone


def test_networks_of_a_template_need_no_model():
    space = et.Space(
        lr=et.Float(0.01, 0.1, log=True), layers=et.Chain(1, 2, dense={"units": et.Int(4, 6)})
    )
    task = blob_task(model=et.tabular(2, 3), averaging="ema", keep="all")
    study = et.Study(et.RandomSearch(space), "min loss", seed=1).run(task, trials=8)
    soup = study.soup()
    assert soup.unlike  # networks of other layers cannot be averaged
    assert set(soup.unlike).isdisjoint(soup.tried)
    assert "left out" in str(soup)
    assert task.measure(soup.network)["loss"] == soup.value
    assert isinstance(study.restore(), torch.nn.Module)  # not the raw weights beside it


def test_a_soup_needs_weights_and_a_measure(population):
    study, task = population
    plain = et.Study(et.RandomSearch(SPACE), "min loss").run(blob_task(keep=None), trials=2)
    with pytest.raises(NoResultError, match='keep="all"'):
        plain.soup(model=mlp())
    with pytest.raises(StudyError, match="got 3"):
        study.soup(model=mlp(), evaluate=3)
    with pytest.raises(StudyError, match=r"needs 'loss'.*gives accuracy"):
        study.soup(model=mlp(), evaluate=lambda model: {"accuracy": 1.0})
    with pytest.raises(StudyError, match="returned nothing"):
        study.soup(model=mlp(), evaluate=lambda model: None)
    with pytest.raises(CheckpointError, match="shape"):
        study.soup(model=mlp(width=5), evaluate=task)


def test_measuring_needs_a_network_and_data():
    task = blob_task()
    assert set(task.measure(mlp())) == {"loss", "accuracy"}
    assert task.measure(mlp(), "test") == {}
    with pytest.raises(TaskError, match="needs a network"):
        task.measure({"lr": 1})
    with pytest.raises(TaskError, match='data= is "validation" or "test"'):
        task.measure(mlp(), "train")
