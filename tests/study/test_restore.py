"""The trained network back from a study, built again and with its weights."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import evotune as et
from evotune.errors import CheckpointError, NoResultError, TaskError

torch.set_num_threads(1)

SPACE = et.Space(
    lr=et.Float(1e-3, 3e-2, log=True),
    features=et.Chain(1, 2, conv={"filters": et.Int(2, 6), "kernel": et.Ordinal(1, 3)}, pool={}),
    head=et.Chain(0, 1, dense={"units": et.Int(4, 8)}),
)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 1, 5, 5)).astype("float32")
Y = (X.reshape(90, 25) @ RNG.normal(size=(25, 3))).argmax(1)


def task(**options):
    defaults = {
        "model": et.image_classifier((1, 5, 5), classes=3),
        "loss": "cross_entropy",
        "optimizer": "adam",
        "train": (X[:60], Y[:60]),
        "validation": (X[60:], Y[60:]),
        "epochs": 1,
    }
    return et.SupervisedTask(**(defaults | options))


def plain(params):
    return nn.Sequential(nn.Flatten(), nn.Linear(25, 3))


def accuracy(network):
    with torch.no_grad():
        found = network(torch.from_numpy(X[60:])).argmax(1)
    return float((found == torch.from_numpy(Y[60:])).float().mean())


@pytest.mark.parametrize("algorithm", [et.RandomSearch, et.Hybrid])
@pytest.mark.parametrize("storage", [None, "runs.db"])
def test_search_and_the_trained_network_back(algorithm, storage, tmp_path):
    where = None if storage is None else tmp_path / storage
    with et.Study(algorithm(SPACE), "max accuracy", seed=1, storage=where) as study:
        study.run(task(), trials=6)
        network = study.restore()
        assert not network.training
        assert accuracy(network) == pytest.approx(study.best.metrics["accuracy"])
        assert network.structure["params"]["features"] == study.best.params["features"]
    if where is not None:  # in another process, without the task
        assert len(list(tmp_path.rglob("*.safetensors"))) == 1
        with et.Study(algorithm(SPACE), "max accuracy", storage=where) as again:
            other = again.restore(again.best.number)
            assert accuracy(other) == accuracy(network)


def test_workers_bring_it_back_too():
    with et.Study(et.RandomSearch(SPACE), "max accuracy", seed=1) as study:
        study.run(task(), trials=2, executor=et.ProcessExecutor(1))
        assert accuracy(study.restore()) == pytest.approx(study.best.metrics["accuracy"])


def test_a_stacked_population_brings_it_back():
    algorithm = et.PopulationBasedTraining(et.Space(lr=et.Float(1e-3, 1e-1)), population_size=3)
    fixed = {"features": [{"block": "conv", "filters": 3, "kernel": 3}], "head": []}
    model = et.image_classifier((1, 5, 5), classes=3)
    study = et.Study(algorithm, "max accuracy", seed=1)
    study.run(task(model=lambda params: model(fixed)), epochs=3)
    best = study.trials[study.restore(model=model(fixed)).number]
    assert accuracy(study.restore()) == pytest.approx(best.metrics["accuracy"])


def test_it_goes_into_a_model_of_ones_own_as_well():
    study = et.Study(et.RandomSearch(SPACE), "max accuracy", seed=1).run(task(), trials=4)
    model = et.image_classifier((1, 5, 5), classes=3)(study.best.params)
    assert study.restore(model=model) == study.trials[study.best.number]
    assert accuracy(model.eval()) == accuracy(study.restore())


def test_a_model_that_does_not_say_how_it_is_built_has_to_be_given():
    space = et.Space(lr=et.Float(1e-3, 3e-2, log=True))
    study = et.Study(et.RandomSearch(space), "max accuracy", seed=1)
    study.run(task(model=plain), trials=3)
    best = study.best.number
    with pytest.raises(CheckpointError, match=rf"study\.restore\({best}, model=model\)"):
        study.restore()
    model = plain({})
    study.restore(model=model)
    assert accuracy(model.eval()) == pytest.approx(study.best.metrics["accuracy"])


def test_a_template_is_no_network_to_load_into():
    study = et.Study(et.RandomSearch(SPACE), "max accuracy", seed=1).run(task(), trials=1)
    with pytest.raises(CheckpointError, match=r"a template and no network; study\.restore\(\)"):
        study.restore(model=task().model)


def test_weights_that_are_gone_are_said():
    study = et.Study(et.RandomSearch(SPACE), "max accuracy", seed=1).run(task(), trials=4)
    worse = next(t for t in study.trials if t.number != study.best.number)
    with pytest.raises(CheckpointError, match=rf"trial {worse.number} were deleted.*task\.fit"):
        study.restore(worse.number)
    nothing = et.Study(et.RandomSearch(SPACE), "max accuracy", seed=1)
    nothing.run(task(keep=None), trials=2)
    with pytest.raises(NoResultError, match=r"no trial .* has kept its weights"):
        nothing.restore()
    with pytest.raises(CheckpointError, match="kept no weights"):
        nothing.restore(0)


def test_a_function_of_ones_own_keeps_several_networks():
    template = et.tabular(2, 2)

    def train(trial):
        nets = {
            name: template({"layers": [{"block": "dense", "units": n}]})
            for name, n in (("actor", 3), ("critic", 4))
        }
        trial.keep(**nets, steps=[1, 2])
        return trial.params["lr"]

    study = et.Study(et.RandomSearch(et.Space(lr=et.Float(0, 1))), "min loss", seed=1)
    networks = study.run(train, trials=3).restore()
    assert {
        name: net.structure["params"]["layers"][0]["units"] for name, net in networks.items()
    } == {"actor": 3, "critic": 4}


class Unkeepable(nn.Linear):
    def get_extra_state(self):
        return object()

    def set_extra_state(self, state): ...


def test_a_plain_search_goes_on_where_weights_cannot_be_kept(caplog):
    space = et.Space(lr=et.Float(1e-3, 3e-2, log=True))
    study = et.Study(et.RandomSearch(space), "max accuracy", seed=1)
    study.run(task(model=lambda p: nn.Sequential(nn.Flatten(), Unkeepable(25, 3))), trials=2)
    assert study.counts == {"done": 2}
    assert "weights of trial 0 are not kept" in caplog.text


def test_a_quota_ends_no_plain_search(tmp_path, caplog):
    store = et.Checkpoints(tmp_path, quota=100)
    study = et.Study(et.RandomSearch(SPACE), "max accuracy", seed=1, checkpoints=store)
    study.run(task(), trials=3)
    assert study.counts == {"done": 3}
    assert "weights of trial 0 are not kept" in caplog.text
    assert "quota" in caplog.text


def test_a_grid_that_is_done_ends_for_its_trials():
    space = et.Space(lr=et.Choice(1e-3, 1e-2))
    study = et.Study(et.Grid(space), "max accuracy").run(task(model=plain), epochs=1, trials=9)
    assert (study.stop_reason, len(study.trials)) == ("trials", 2)


def test_fit_trains_anew():
    params = {"lr": 0.02, "features": [{"block": "conv", "filters": 4, "kernel": 3}], "head": []}
    first, second = (task().fit(params, epochs=8, seed=3) for _ in range(2))
    other = task().fit(params, epochs=8, seed=4)
    assert not first.training
    states = [
        json.dumps({k: v.tolist() for k, v in n.state_dict().items()})
        for n in (first, second, other)
    ]
    assert states[0] == states[1] != states[2]
    assert accuracy(first) > 0.5 > accuracy(task(epochs=1).fit(params | {"lr": 1e-3}))
    with pytest.raises(TaskError, match="epochs"):
        task().fit(params, epochs=0)
    with pytest.raises(TaskError, match="speed"):
        task().fit(params | {"speed": 1})


def test_without_kept_weights_the_error_names_the_option():
    study = et.Study(et.RandomSearch(SPACE), "max accuracy", seed=1).run(task(keep=None), trials=1)
    with pytest.raises(NoResultError, match="unless keep=None"):
        study.restore()
