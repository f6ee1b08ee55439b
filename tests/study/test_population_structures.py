"""Population-based training and genetic search that change the layers of trained networks."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import evotune as et
import helpers_warm
from helpers_study import decisions

torch.set_num_threads(1)

TEMPLATE = et.image_classifier((1, 5, 5), classes=3)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 1, 5, 5)).astype("float32")
Y = (X.reshape(90, 25) @ RNG.normal(size=(25, 3))).argmax(1)


def space():
    return et.Space(
        lr=et.Float(1e-3, 3e-2, log=True),
        features=et.Chain(1, 2, conv={"filters": et.Int(2, 5)}, pool={}),
        head=et.Chain(0, 1, dense={"units": et.Int(4, 8)}),
    )


def task(**options):
    defaults = {
        "loss": "cross_entropy",
        "optimizer": "adam",
        "train": (X[:60], Y[:60]),
        "validation": (X[60:], Y[60:]),
        "epochs": 1,
    }
    return et.SupervisedTask(TEMPLATE, **(defaults | options))


def train(trial):
    """A loop of one's own; ``start`` is the accuracy before any training."""
    torch.manual_seed(trial.seed)
    model = TEMPLATE(trial.params)
    optimizer = torch.optim.Adam(model.parameters(), lr=trial.params["lr"])
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    trial.resume(model=model, optimizer=optimizer, inputs=x[:60])
    start = float((model.eval()(x[:60]).argmax(1) == y[:60]).float().mean())
    model.train()
    for _ in trial.epochs(default=1):
        for _ in range(10):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[:60]), y[:60]).backward()
            optimizer.step()
    trial.keep(model=model, optimizer=optimizer)
    found = model.eval()(x[:60]).argmax(1)
    return {"accuracy": float((found == y[:60]).float().mean()), "start": start}


ALGORITHMS = {
    "three parents": lambda: et.PopulationBasedTraining(space(), population_size=4),
    "classic": lambda: et.PopulationBasedTraining(space(), population_size=4, parents=1),
    "asynchronous": lambda: et.PopulationBasedTraining(
        space(), population_size=3, asynchronous=True
    ),
    "shrunk": lambda: et.PopulationBasedTraining(
        space(), population_size=3, shrink_perturb=(0.8, 0.1)
    ),
    "genetic": lambda: et.Genetic(space(), population_size=4, inherit=True, epochs=1),
}


def changed(study):
    """Return the trials whose layers are not those of their donor."""
    layers = [(t.params["features"], t.params.get("head")) for t in study.trials]
    return [
        t
        for t in study.trials
        if t.weights_from is not None and layers[t.number] != layers[t.weights_from]
    ]


def check_epochs(study):
    for trial in study.trials:
        donor = trial.weights_from
        before = 0 if donor is None else study.trials[donor].checkpoint.epochs
        assert trial.checkpoint.epochs == before + trial.budget


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_layers_change_along_a_line_of_weights(kind):
    study = et.Study(ALGORITHMS[kind](), "max accuracy", seed=1)
    study.run(task(), trials=9, epochs=9)
    assert study.counts == {"done": len(study.trials)}
    assert changed(study)
    check_epochs(study)
    network = study.restore()
    layers = [t.params["features"] for t in study.trials if not t.checkpoint.deleted]
    assert network.structure["params"]["features"] in layers
    assert len(study.schedule()) >= 1


def test_a_loop_of_ones_own_hands_them_on_too():
    study = et.Study(ALGORITHMS["three parents"](), "max accuracy", seed=1)
    study.run(train, epochs=4)
    assert study.counts == {"done": 16}
    check_epochs(study)
    fresh = [t.metrics["start"] for t in study.trials if t.weights_from is None]
    heirs = [t.metrics["start"] for t in changed(study)]
    assert len(heirs) > 3
    assert np.mean(heirs) > np.mean(fresh) + 0.1


def test_workers_and_files_give_the_same_study(tmp_path):
    runs = []
    for options in ({}, {"workers": 2}):
        where = None if not options else tmp_path / "runs.db"
        algorithm = ALGORITHMS["three parents"]()
        with et.Study(algorithm, "max accuracy", seed=2, storage=where) as study:
            study.run(train, trials=8, epochs=3, **options)
            assert changed(study)
            runs.append(decisions(study))
    assert runs[0] == runs[1]


def test_members_of_equal_layers_are_trained_together():
    genes = et.Space(
        lr=et.Float(1e-3, 3e-2, log=True),
        features=et.Chain(1, 1, conv={"filters": et.Ordinal(2, 3)}),
    )
    alone, together = (
        et.Study(et.PopulationBasedTraining(genes, population_size=6), "max accuracy", seed=1)
        for _ in range(2)
    )
    alone.run(task(), epochs=3, workers=1)
    together.run(task(), epochs=3)
    check_epochs(together)
    assert changed(together)
    pairs = zip(alone.trials[:6], together.trials[:6], strict=True)
    for one, other in pairs:
        assert one.metrics["loss"] == pytest.approx(other.metrics["loss"], rel=1e-4)


def test_members_of_other_layers_are_trained_alone_and_one_line_says_so(caplog):
    study = et.Study(ALGORITHMS["three parents"](), "max accuracy", seed=1)
    study.run(task(), epochs=3)
    assert study.counts == {"done": 12}
    said = [r.getMessage() for r in caplog.records if "not stacked" in r.getMessage()]
    assert len(said) == 1
    assert "no other member has the same layers" in said[0]


def test_an_ensemble_says_that_its_layers_cannot_change():
    algorithm = et.PopulationBasedTraining(space(), population_size=3, networks=2)
    study = et.Study(algorithm, "max accuracy", seed=1)
    study.run(task(), trials=9, epochs=3, max_failures=1)
    messages = [t.failure.message for t in study.trials if t.failure]
    assert messages
    assert all("write networks=1" in message for message in messages)


KILLED = """
import os, signal, sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/study"]
import evotune as et
from test_population_structures import ALGORITHMS, train

def deadly(trial):
    result = train(trial)
    if trial.number == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return result

study = et.Study(ALGORITHMS[sys.argv[4]](), "max accuracy", storage=sys.argv[3], seed=1)
study.run(deadly, trials=10, epochs=9)
"""


def test_killed_it_ends_as_if_never_killed(tmp_path):
    kind = "three parents"
    tests, db = str(Path(__file__).parents[1]), str(tmp_path / "runs.db")
    for kill_at in (6, -1):
        done = helpers_warm.run(
            "-c", KILLED, tests, kill_at, db, kind, modules=helpers_warm.TRAINING
        )
        assert done.returncode == (0 if kill_at < 0 else -signal.SIGKILL), done.stderr
    expected = et.Study(ALGORITHMS[kind](), "max accuracy", seed=1).run(train, trials=10, epochs=9)
    with et.Study(ALGORITHMS[kind](), "max accuracy", storage=db, seed=1) as study:
        assert changed(study)
        assert decisions(study) == decisions(expected)
