"""Pruning as an ordinary search, and at several sparsities."""

import pickle

import numpy as np
import pytest
import torch

import evotune as et
from evotune.errors import TaskError
from helpers_pruning import perceptron


@pytest.fixture(scope="module")
def learned():
    """A perceptron that has learned which of three sums is the largest, and its data."""
    torch.manual_seed(0)
    x = torch.randn(300, 6)
    y = (x @ torch.randn(6, 3)).argmax(1)
    model = perceptron()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.eval(), x, y


@pytest.mark.parametrize(
    ("over", "algorithm"),
    [
        ("score", et.CmaEs),
        ("densities", et.CmaEs),
        ("densities", et.DifferentialEvolution),
        ("masks", et.Genetic),
    ],
)
def test_any_algorithm_searches_and_lowers_the_loss(learned, over, algorithm):
    model, x, y = learned
    task = et.PruningTask(model, data=(x, y), over=over, sparsity=0.9)
    study = et.Study(algorithm(task.space), "min loss", seed=1)
    study.run(task, trials=24)
    losses = [trial.metrics["loss"] for trial in study.trials]
    assert min(losses[8:]) < min(losses[:3])
    for trial in study.trials:
        assert trial.metrics["kept"] <= round(0.1 * 324)
        assert trial.metrics["sparsity"] == pytest.approx(1 - trial.metrics["kept"] / 324)
    result = task.pruned(study.best.params)
    assert result.sparsity > 0.898  # more where some were on no path
    if over != "score":  # whose search goes fewer rounds
        assert result.kept == study.best.metrics["kept"]


def test_several_objectives_give_a_front(learned):
    model, x, y = learned
    task = et.PruningTask(model, data=(x, y), over="densities", sparsity=None)
    study = et.Study(et.Nsga2(task.space, population_size=8), ["min loss", "min kept"], seed=1)
    study.run(task, trials=24)
    kept = {trial.metrics["kept"] for trial in study.front}
    assert len(kept) > 2
    result = task.pruned(study.knee.params)
    assert result.kept == study.knee.metrics["kept"]


def test_densities_of_which_no_path_is_left(learned, caplog):
    """The largest weights of each layer need not meet; what was asked for is what genes say."""
    model, x, y = learned
    task = et.PruningTask(model, data=(x, y), over="densities", sparsity=None)
    for density in (0.01, 0.05, 1.0):
        params = dict.fromkeys(task.space.domains, density)
        study = et.Study(et.RandomSearch(task.space), ["min loss", "min kept"], seed=1)
        study.enqueue(params)
        study.run(task, trials=1)
        assert task.pruned(params).kept == study.trials[0].metrics["kept"]
        if density == 0.01:
            assert study.trials[0].metrics["kept"] == 0
            with torch.no_grad():
                loss = torch.nn.functional.cross_entropy(task.pruned(params).model(x), y)
            assert study.trials[0].metrics["loss"] == pytest.approx(float(loss), rel=1e-3)
    assert "wanted were" not in caplog.text
    masks = et.PruningTask(model, data=(x, y), over="masks", sparsity=None)
    with pytest.raises(TaskError, match="leave no weight; take a trial that keeps more"):
        masks.pruned(dict.fromkeys(masks.space.domains, False))
    with pytest.raises(TaskError, match="no gene 'density of 0'"):
        task.pruned({})


def test_flow_is_that_of_the_whole_network():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    with torch.no_grad():
        for parameter, values in zip(
            model.parameters(), ([[1, -2], [3, 4]], [0, 0], [[5, -6]], [0]), strict=True
        ):
            parameter.copy_(torch.tensor(values, dtype=torch.float32))
    task = et.PruningTask(model, data=torch.randn(40, 2), over="masks", sparsity=None)
    study = et.Study(et.RandomSearch(task.space), "max synflow", seed=1)
    study.enqueue(dict.fromkeys(task.space.domains, True))
    study.run(task, trials=1)
    flow = (1 + 2) * 5 + (3 + 4) * 6
    assert study.trials[0].metrics["synflow"] == pytest.approx(torch.tensor(flow).log().item())
    assert study.trials[0].metrics["loss"] == pytest.approx(0.0, abs=1e-6)


def test_densities_of_the_largest_flow_keep_the_energy_of_each_layer(learned):
    model, x, y = learned
    how = {"over": "densities", "sparsity": 0.8, "compensation": "energy"}
    task = et.PruningTask(model, data=(x, y), **how)
    study = et.Study(et.recipes.evolutionary_pruning(task.space), "max synflow", seed=1)
    study.run(task, trials=20)
    flows = [trial.metrics["synflow"] for trial in study.trials]
    assert max(flows) > flows[0]
    result = task.pruned(study.best.params)
    for name, mask in result.masks.items():  # weights are the given ones times one gain a layer
        weight = result.model.get_submodule(name.rpartition(".")[0]).weight[mask]
        gains = weight / model.get_parameter(name)[mask]
        assert gains.min() > 0
        assert gains.max() - gains.min() < 1e-4 * gains.max()


def test_it_goes_to_other_processes(learned):
    model, x, y = learned
    task = et.PruningTask(model, data=(x, y))
    params = task.space.params(task.space.sample(np.random.default_rng(1)))
    again = pickle.loads(pickle.dumps(task))
    assert again.pruned(params).kept == task.pruned(params).kept


BAD = [
    ({"over": "density"}, "over='density'.*did you mean 'densities'"),
    ({"sparsity": None}, "a score says which weights are worth most"),
    ({"sparsity": 0.99999}, "leaves none of 324"),
    ({"sparsity": 2.0}, "sparsity must"),
]


@pytest.mark.parametrize(("options", "words"), BAD)
def test_what_cannot_be_done_says_so(learned, options, words):
    with pytest.raises(TaskError, match=words):
        et.PruningTask(learned[0], data=learned[1], **options)


def test_a_space_of_another_task_is_refused(learned):
    task = et.PruningTask(learned[0], data=learned[1])
    with pytest.raises(TaskError, match=r"no gene 'into'; search the task's own space"):
        et.tune(task, et.Space(lr=et.Float(0.0, 1.0)), "min loss", trials=1)


def test_too_many_masks():
    model = torch.nn.Linear(200, 200)
    with pytest.raises(TaskError, match="a gene of each of 40000 weights"):
        et.PruningTask(model, data=torch.randn(30, 200), over="masks")


def test_several_sparsities(learned):
    model, x, y = learned
    sweep = et.prune(model, sparsity=[0.5, 0.8, 0.9, 0.97], data=(x, y))
    for each, wanted in zip(sweep, (0.5, 0.8, 0.9, 0.97), strict=True):
        assert each.sparsity == pytest.approx(wanted, abs=0.01)
    alone = et.prune(model, sparsity=0.9, data=(x, y))
    assert all(torch.equal(sweep[2].masks[name], mask) for name, mask in alone.masks.items())
    front = sweep.front
    losses = [each.measured["loss"] for each in front]
    assert losses == sorted(losses)
    assert sweep.knee in front
    rows = sweep.table()
    assert [row.kept for row in rows] == [each.kept for each in sweep]
    assert rows[0].parameters > rows[-1].parameters
    assert all(row.latency > 0 for row in rows)
    assert len(sweep[1:]) == 3
    assert (
        repr(sweep[1:2])
        == "Sweep(results=(Pruned(Sequential, 65 of 324 weights, sparsity 0.7994),))"
    )


def test_no_sparsity_at_all(learned):
    model, x, _ = learned
    with pytest.raises(TaskError, match=r"sparsity=\[\] names none"):
        et.prune(model, sparsity=[], data=x)
    with pytest.raises(TaskError, match="sparsity must"):
        et.prune(model, sparsity=[0.5, 1.5], data=x)
    with pytest.raises(TaskError, match="a file of one sparsity"):
        et.prune(model, sparsity=[0.5, 0.6], data=x, checkpoint="refinement.safetensors")
