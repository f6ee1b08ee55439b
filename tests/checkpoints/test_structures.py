"""Networks of templates in checkpoints: kept with their structure, resumed by another one."""

import json
import logging

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import StepLR

import evotune as et
from evotune.architectures import blocks
from evotune.architectures.templates import rebuild
from evotune.checkpoints import state as states
from evotune.checkpoints.handover import TrialWeights
from evotune.checkpoints.state import kept_structure, pack, snapshot, unpack
from evotune.checkpoints.store import Checkpoints
from evotune.errors import CheckpointError
from evotune.running import RunningTrial
from evotune.trial import Trial

TEMPLATE = et.image_classifier((1, 6, 6), classes=3)
INPUTS = torch.randn(40, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def network(*filters, units=None, seed=0):
    torch.manual_seed(seed)
    layers = [{"block": "conv", "filters": n, "kernel": 3} for n in filters]
    head = [] if units is None else [{"block": "dense", "units": units}]
    return TEMPLATE({"features": layers, "head": head})


def train(model, optimizer, *schedulers):
    loss = nn.CrossEntropyLoss()
    targets = torch.arange(40) % 3
    for _ in range(3):
        optimizer.zero_grad()
        loss(model(INPUTS), targets).backward()
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return model


def outputs(model):
    with torch.no_grad():
        return model.eval()(INPUTS)


@pytest.fixture(params=["memory", "files"])
def hand(request, tmp_path):
    """Keep objects as trial 0, and give the handle of a trial that goes on from them."""

    def handed(epochs=3.0, **objects):
        store = Checkpoints(tmp_path if request.param == "files" else None)
        store.open("study")
        keeper = TrialWeights(store, 0, {}, wanted=True, write=True)
        keeper.keep(objects, epochs)
        record = keeper.written()
        if request.param == "files":
            store.forget(0)
        weights = TrialWeights(store, 1, {0: record}, wanted=True, write=True)
        return RunningTrial(Trial(1, {}, {}, seed=5, budget=2.0, weights_from=0), weights)

    return handed


def test_a_structure_is_kept_beside_a_plain_state_dict():
    model = network(4, units=5)
    state = snapshot({"model": model})
    assert all(isinstance(value, torch.Tensor) for value in state["model"].values())
    stored, epochs = unpack(pack(state, 2.0))
    structure = kept_structure(stored, "model")
    assert (structure, epochs) == (json.loads(json.dumps(model.structure)), 2.0)
    again = rebuild(structure)
    again.load_state_dict(stored["model"])
    assert torch.equal(outputs(again), outputs(model))


def test_the_same_structure_goes_on_as_before(hand):
    model = network(4)
    optimizer = Adam(model.parameters())
    train(model, optimizer)
    trial = hand(model=model, optimizer=optimizer)
    other = network(4, seed=1)
    fresh = Adam(other.parameters())
    assert trial.resume(model=other, optimizer=fresh, inputs=INPUTS)
    assert torch.equal(outputs(other), outputs(model))
    assert fresh.state_dict()["state"][0]["step"] == 3


@pytest.mark.parametrize("inputs", [INPUTS, lambda: INPUTS], ids=["tensor", "function"])
def test_another_structure_takes_the_weights_over(hand, inputs, caplog):
    caplog.set_level(logging.INFO, logger="evotune")
    model = network(4)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = StepLR(optimizer, 1, 0.5)
    train(model, optimizer, scheduler)
    trial = hand(model=model, optimizer=optimizer, scheduler=scheduler, seen=[7])
    wider = network(7, 7, units=8, seed=1)
    fresh = SGD(wider.parameters(), lr=0.2, momentum=0.9)
    steps, seen = StepLR(fresh, 1, 0.5), []
    assert trial.resume(model=wider, optimizer=fresh, scheduler=steps, seen=seen, inputs=inputs)
    assert torch.allclose(outputs(wider), outputs(model), atol=1e-4)
    assert (fresh.state_dict()["state"], steps.last_epoch, seen) == ({}, 0, [7])
    assert fresh.param_groups[0]["lr"] == 0.2
    assert list(trial.epochs()) == [3, 4]  # what was trained goes on counting
    [said] = [r.getMessage() for r in caplog.records if "structure" in r.getMessage()]
    assert "fresh optimizer" in said
    assert "inserted: features.conv2" in said


def test_it_is_the_same_each_time(hand):
    results = []
    model = network(4)
    for _ in range(2):
        wider = network(7, seed=1)
        hand(model=model).resume(model=wider, inputs=INPUTS)
        results.append(outputs(wider))
    assert torch.equal(*results)
    assert torch.allclose(results[0], outputs(model), atol=1e-5)


def test_a_compiled_network_is_the_same_network(hand):
    model = network(4)
    compiled = torch.compile(model, backend="eager")
    wider = network(6, seed=1)
    hand(model=compiled).resume(model=wider, inputs=INPUTS)
    assert torch.allclose(outputs(wider), outputs(model), atol=1e-5)


def test_the_donor_keeps_its_weights(hand):
    model = network(4)
    before = outputs(model)
    trial = hand(model=model)
    for filters in (6, 3):
        trial.resume(model=network(filters), inputs=INPUTS)
    alike = network(4, seed=2)
    trial.resume(model=alike)
    assert torch.equal(outputs(alike), before)


def test_checkpoints_without_structures_load_as_before(hand, monkeypatch):
    monkeypatch.setattr(states, "structures", lambda objects: {})
    model = network(4)
    trial = hand(model=model)
    alike = network(4, seed=1)
    trial.resume(model=alike)
    assert torch.equal(outputs(alike), outputs(model))
    with pytest.raises(CheckpointError, match=r"does not fit.*a\s+template such as"):
        trial.resume(model=network(5))


def test_a_model_of_ones_own_is_told_of_templates(hand):
    trial = hand(model=nn.Linear(3, 4))
    with pytest.raises(CheckpointError, match=r"shape \(4, 3\) there and \(5, 3\) here.*template"):
        trial.resume(model=nn.Linear(3, 5))


def test_a_block_that_is_gone_is_named(hand):
    @et.block
    def passing(shape):
        return nn.Identity()

    model = TEMPLATE({"features": [{"block": "passing"}]})
    trial = hand(model=model)
    del blocks._own["passing"]
    with pytest.raises(CheckpointError, match=r"trial 0: .*passing.*@et\.block"):
        trial.resume(model=network(4), inputs=INPUTS)


def test_another_template_has_no_layers_in_common(hand):
    trial = hand(model=network(4))
    model = et.tabular(36, 3)({"layers": [{"block": "dense", "units": 8}]})
    with pytest.raises(CheckpointError, match="image_classifier and one of tabular"):
        trial.resume(model=model)


@pytest.mark.parametrize(
    "damage",
    [
        {"options": {"shape": [1, 6, 6], "classes": 4}},
        {"options": {"unknown": 1}},
        {"options": 3},
        {"params": {"features": 3}},
    ],
)
def test_a_damaged_structure_is_said(hand, damage):
    model = network(4)
    model.structure |= damage
    with pytest.raises(CheckpointError, match="cannot be built"):
        hand(model=model).resume(model=network(6))


def test_inputs_that_do_not_fit_are_said(hand):
    trial = hand(model=network(4))
    with pytest.raises(CheckpointError, match=r"cannot be run on inputs of shape \(4, 7\)"):
        trial.resume(model=network(4, 4), inputs=torch.zeros(4, 7))


def test_networks_that_are_no_networks_of_templates_are_left_alone():
    model = nn.Linear(2, 2)
    model.structure = "a text"
    assert list(snapshot({"model": model, "structure": {"a": 1}})) == ["model", "structure"]
