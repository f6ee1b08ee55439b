"""`et.open`: recorded studies without their space, objectives and algorithm at hand."""

import sqlite3

import pytest
import torch
from torch import nn

import evotune as et
from evotune.errors import StorageError, StudyError

SPACE = et.Space(x=et.Float(0.0, 1.0), layers=et.Chain(1, 2, dense={"units": et.Int(2, 4)}))


def loss(trial):
    return {"loss": (trial.params["x"] - 0.3) ** 2, "size": len(trial.params["layers"])}


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "runs.db"
    with et.Study(et.Genetic(SPACE, population_size=4), "min loss", storage=made, seed=1) as study:
        study.run(loss, trials=12)
    return made


def test_it_has_all_results(path, tmp_path):
    with et.Study(et.Genetic(SPACE, population_size=4), "min loss", storage=path) as declared:
        trials, best = declared.trials, declared.best
    with et.open(path) as study:
        assert study.trials == trials
        assert study.best == best
        assert len(study.to_frame()) == 12
        assert "Genetic" in study.report(tmp_path / "page.html").read_text()
        assert study.importance()


def test_several_objectives_and_constraints(tmp_path):
    path = tmp_path / "two.db"
    limit = et.Constraint("size", at_most=1)
    with et.Study(
        et.Nsga2(SPACE, population_size=4),
        ["min loss", "min size"],
        constraints=limit,
        storage=path,
        name="both",
        seed=1,
    ) as study:
        study.run(loss, trials=12)
        front = study.front
    assert et.open(f"sqlite:///{path}", "both").front == front


def test_nothing_can_change_it_and_another_process_may_drive_it(path):
    with et.open(path) as study:
        for change in (
            study.ask,
            lambda: study.run(loss, trials=20),
            lambda: study.add({"x": 0.5, "layers": [{"block": "dense", "units": 2}]}, 0.1),
            lambda: study.enqueue({"x": 0.5, "layers": [{"block": "dense", "units": 2}]}),
        ):
            with pytest.raises(StudyError, match=r"opened to be read.*Study\(Genetic"):
                change()
        with et.Study(et.Genetic(SPACE, population_size=4), "min loss", storage=path) as other:
            assert len(et.open(path).trials) == 12
            other.run(loss, trials=16)
        assert len(study.trials) == 12
    assert len(et.open(path).trials) == 16


def test_weights_come_back_and_stay(tmp_path):
    x = torch.randn(60, 4)
    task = et.SupervisedTask(
        lambda params: nn.Linear(4, 2),
        loss="cross_entropy",
        optimizer="sgd",
        train=(x, (x[:, 0] > 0).long()),
        validation=(x, (x[:, 0] > 0).long()),
        epochs=1,
    )
    path = tmp_path / "nets.db"
    space = et.Space(lr=et.Float(1e-3, 1.0, log=True))
    with et.Study(et.Hybrid(space), "max accuracy", storage=path, seed=1) as study:
        study.run(task, trials=4)
    for _ in range(2):
        with et.open(path) as study:
            model = nn.Linear(4, 2)
            trial = study.restore(model=model)
            right = (model(x).argmax(1) == (x[:, 0] > 0)).float().mean()
            assert trial.metrics["accuracy"] == pytest.approx(float(right))


def test_what_is_not_there(path, tmp_path):
    with pytest.raises(StorageError, match="there is no file"):
        et.open(tmp_path / "other.db")
    assert not (tmp_path / "other.db").exists()
    sqlite3.connect(tmp_path / "empty.db").execute("create table a (b)")
    with pytest.raises(StorageError, match="no studies"):
        et.open(tmp_path / "empty.db")
    with pytest.raises(StudyError, match=r"no study 'lenet'.*it has: study"):
        et.open(path, "lenet")
    with et.Study(et.RandomSearch(SPACE), "min loss", storage=path, name="second"):
        pass
    with pytest.raises(StudyError, match="2 studies"):
        et.open(path)
    in_memory = et.Study(et.RandomSearch(SPACE), "min loss", name="here")
    with pytest.raises(StudyError, match=r"no study 'nothing'.*it has: here"):
        et.open(in_memory.storage, "nothing")
    assert et.open(in_memory.storage).name == "here"
