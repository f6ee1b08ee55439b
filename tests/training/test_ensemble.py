"""Members that hold several networks."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import evotune as et
from evotune.running import RunningTrial
from evotune.training.ensemble import Ensemble, loss_of_each
from evotune.trial import Trial


def line(slope: float) -> nn.Module:
    layer = nn.Linear(1, 2, bias=False)
    layer.weight.data = torch.tensor([[slope], [0.0]])
    return layer


def test_class_probabilities_are_averaged():
    ensemble = Ensemble([line(1.0), line(-2.0)], "cross_entropy").eval()
    x = torch.tensor([[1.0], [3.0]])
    expected = (line(1.0)(x).softmax(1) + line(-2.0)(x).softmax(1)) / 2
    assert torch.allclose(ensemble(x).exp(), expected)
    assert torch.allclose(ensemble(x).softmax(1), expected)  # so that metrics see them too


@pytest.mark.parametrize("loss", ["mse", "l1"])
def test_outputs_of_a_regression_are_averaged(loss):
    ensemble = Ensemble([line(1.0), line(-2.0)], loss).eval()
    x = torch.tensor([[2.0]])
    assert torch.allclose(ensemble(x), (line(1.0)(x) + line(-2.0)(x)) / 2)


def test_two_class_logits_average_as_probabilities():
    ensemble = Ensemble([line(1.0), line(-2.0)], "bce_with_logits").eval()
    x = torch.tensor([[1.0]])
    expected = (line(1.0)(x).sigmoid() + line(-2.0)(x).sigmoid()) / 2
    assert torch.allclose(ensemble(x).sigmoid(), expected, atol=1e-6)


def test_each_network_takes_the_step_that_it_would_take_alone():
    torch.manual_seed(0)
    x, y = torch.randn(8, 1), torch.randint(2, (8,))
    alone = [line(1.0), line(-2.0)]
    ensemble = Ensemble([line(1.0), line(-2.0)], "cross_entropy")
    loss = loss_of_each(F.cross_entropy)(ensemble(x), y)
    loss.backward()
    losses = [F.cross_entropy(network(x), y) for network in alone]
    for own in losses:
        own.backward()
    assert float(loss.detach()) == pytest.approx(float(sum(losses).detach()) / 2)
    for network, member in zip(alone, ensemble.networks, strict=True):
        assert torch.allclose(network.weight.grad, member.weight.grad)


def task(**options) -> et.SupervisedTask:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    return et.SupervisedTask(
        lambda params: nn.Linear(4, 2),
        **{"loss": "cross_entropy", "optimizer": "sgd", "train": (x, y), "validation": (x, y)}
        | options,
    )


def test_a_task_trains_as_many_networks_as_the_trial_asks_for():
    trial = Trial(0, {"lr": 1.0}, {"lr": 1.0}, budget=20, inherit={"networks": [None] * 3})
    one = task()(RunningTrial(replace(trial, inherit={})))
    three = task()(RunningTrial(trial))
    assert three["parameters"] == 3 * one["parameters"]
    assert three["accuracy"] > 0.9


def test_a_population_of_ensembles_mixes_networks_of_two_donors():
    space = et.Space(lr=et.Float(0.01, 1.0, log=True))
    pbt = et.PopulationBasedTraining(space, population_size=6, networks=2)
    study = et.Study(pbt, "max accuracy", seed=1).run(task(), epochs=4)
    assert {trial.state for trial in study.trials} == {"done"}
    mixed = [t for t in study.trials if len(set(t.inherit["networks"])) == 2]
    assert mixed
    model = Ensemble([nn.Linear(4, 2), nn.Linear(4, 2)], "cross_entropy")
    study.restore(model=model)
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    right = (model.eval()(x).argmax(1) == (x[:, 0] > 0).long()).float().mean()
    assert float(right) == pytest.approx(study.best.metrics["accuracy"])
