"""`evotune.prune` as users call it: on their networks, with what they have of data."""

import copy
import functools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import evotune as et
from evotune.errors import TaskError
from helpers_pruning import NETWORKS, made, perceptron


def task():
    """Return a perceptron that has learned which of three sums is the largest, and its data."""
    return copy.deepcopy(learned())


@functools.cache
def learned():
    torch.manual_seed(0)
    x = torch.randn(400, 6)
    y = (x @ torch.randn(6, 3)).argmax(1)
    model = perceptron()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.eval(), x, y


def accuracy(model, x, y):
    with torch.no_grad():
        return float((model(x).argmax(1) == y).float().mean())


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_network(name):
    """Also of labels, refined, tuned and compacted; the given one stays as it is."""
    model, inputs = made(name)
    before = copy.deepcopy(model.state_dict())
    labels = torch.arange(len(inputs)) % 3
    result = et.prune(
        model, 0.7, data=(inputs, labels), refine=2, fine_tune=1 if name != "tokens" else 0
    )
    assert result.sparsity + 1e-2 >= 0.7
    assert type(result.model) is type(model)
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())
    for key, mask in result.masks.items():
        owner, _, parameter = key.rpartition(".")
        weight = getattr(result.model.get_submodule(owner), parameter)
        assert not weight[~mask].any()
    small = result.compact()
    with torch.no_grad():
        torch.testing.assert_close(small(inputs), result.model(inputs), atol=1e-5, rtol=1e-5)


def test_what_is_left_knows_nearly_as_much():
    model, x, y = task()
    result = et.prune(model, 0.8, data=x)
    assert accuracy(result.model, x, y) > accuracy(model, x, y) - 0.1
    worse = et.prune(model, 0.8, data=x, method="uniform")
    assert accuracy(result.model, x, y) > accuracy(worse.model, x, y)
    assert (
        result.kept == sum(int(m.sum()) for m in result.masks.values()) <= round(0.2 * result.size)
    )


def test_narrow_leaves_fewer_units():
    """As many weights, so that the compact network is smaller, and knows as much."""
    torch.manual_seed(0)
    x = torch.randn(600, 16)
    y = (x @ torch.randn(16, 3)).argmax(1)
    model = nn.Sequential(
        nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3)
    )
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    narrow, auto = (et.prune(model, 0.9, data=(x, y), method=name) for name in ("narrow", "auto"))
    assert narrow.kept == auto.kept
    small, larger = (sum(p.numel() for p in r.compact().parameters()) for r in (narrow, auto))
    assert small < 0.8 * larger
    assert accuracy(narrow.model, x, y) > accuracy(auto.model, x, y) - 0.03


def test_scores_say_why_weights_went():
    model, x, y = task()
    result = et.prune(model, 0.6, data=x, method="magnitude")
    assert result.scores.keys() == result.masks.keys()
    for name, mask in result.masks.items():
        weights = model.get_parameter(name).detach()
        torch.testing.assert_close(result.scores[name], weights.abs().log())
        assert not mask.any() or result.scores[name][mask].min() > -3.0
    in_rounds = et.prune(model, 0.9, data=(x, y)).scores
    assert any(torch.isneginf(scores).any() for scores in in_rounds.values())


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_recurrent_networks_keep_what_counts(kind):
    """Flow turns to the states that it grows in most, and to few others."""
    torch.manual_seed(0)
    model = Summing(kind)
    x = torch.randn(200, 8, 3)
    y = x[:, :, 0].cumsum(1)[:, ::2].tanh()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(100):
        optimizer.zero_grad()
        functional.mse_loss(model(x), y).backward()
        optimizer.step()
    losses = {}
    for method in ("auto", "flow", "lamp"):
        pruned = et.prune(model, 0.9, data=(x, y), method=method).model
        with torch.no_grad():
            losses[method] = float(functional.mse_loss(pruned(x), y))
    assert losses["auto"] < 0.8 * min(losses["flow"], losses["lamp"])


class Summing(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.inside, self.head = kind(3, 16, batch_first=True), nn.Linear(16, 4)

    def forward(self, steps):
        return self.head(self.inside(steps)[0][:, -1])


def test_the_same_seed_gives_the_same():
    model, x, y = task()
    first, second = (et.prune(model, 0.9, data=(x, y), refine=5, seed=3) for _ in range(2))
    assert all(torch.equal(first.masks[name], second.masks[name]) for name in first.masks)
    with torch.no_grad():
        assert torch.equal(first.model(x), second.model(x))


def test_refinement_lowers_the_loss_and_ends_in_time():
    model, x, y = task()
    result = et.prune(model, 0.93, data=(x, y), method="flow", refine=20)
    assert len(result.losses) == 20
    assert list(result.losses) == sorted(result.losses, reverse=True)
    assert result.losses[-1] < result.losses[0]
    assert not et.prune(model, 0.93, data=(x, y), refine=20, budget=1e-9).losses


def test_fine_tuning_keeps_the_masks_and_helps():
    model, x, y = task()
    plain = et.prune(model, 0.95, data=(x, y))
    tuned = et.prune(model, 0.95, data=(x, y), fine_tune=20)
    assert accuracy(tuned.model, x, y) > accuracy(plain.model, x, y)
    for name, mask in tuned.masks.items():
        weight = tuned.model.get_submodule(name.rpartition(".")[0]).weight
        assert not weight[~mask].any()


@pytest.mark.parametrize("method", ["search", "lamp", lambda pruning, keep: None])
def test_other_methods(method):
    model, x, y = task()
    result = et.prune(model, 0.9, data=(x[:30], y[:30]), method=method)
    assert result.sparsity == 0 if callable(method) else result.sparsity >= 0.89


def test_data_in_other_forms():
    model, x, y = task()
    for data in (x.numpy(), x.numpy().astype(np.float64), (x.numpy(), y.numpy()), [x, y]):
        assert et.prune(model, 0.9, data=data).sparsity > 0.89
    assert et.prune(model, 0.9, data=x, labels=y).sparsity > 0.89


def test_modes_dtypes_frozen_and_compiled_networks():
    model, x, y = task()
    model.train()
    model[0].weight.requires_grad_(False)
    result = et.prune(model, 0.9, data=(x, y))
    assert result.model.training
    assert not result.model[0].parametrizations.weight.original.requires_grad
    half = et.prune(copy.deepcopy(model).bfloat16(), 0.8, data=(x.bfloat16(), y))
    assert half.model(x.bfloat16()).dtype == torch.bfloat16
    compiled = torch.compile(model, backend="eager")
    assert et.prune(compiled, 0.9, data=x).sparsity > 0.89


def test_several_inputs_by_name():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Linear(3, 8), nn.Linear(4, 8)
            self.head = nn.Linear(16, 2)

        def forward(self, given):
            parts = [self.one(given["a"]).relu(), self.other(given["b"]).relu()]
            return self.head(torch.cat(parts, 1))

    torch.manual_seed(0)
    given = {"a": torch.randn(50, 3), "b": torch.randn(50, 4)}
    result = et.prune(Two(), 0.7, data=given)
    assert set(result.masks) == {"one.weight", "other.weight", "head.weight"}
    small = result.compact()
    with torch.no_grad():
        torch.testing.assert_close(small(given), result.model(given), atol=1e-6, rtol=1e-5)


BAD = [
    ({"sparsity": 0}, "sparsity must"),
    ({"sparsity": 1.0}, "sparsity must"),
    ({"sparsity": "0.9"}, "without quotation marks"),
    ({"sparsity": 0.9999}, "leaves none of 324 weights; write at most"),
    ({"method": "synflw"}, "did you mean 'synflow'"),
    ({"method": 3}, "method= is a name or a function"),
    ({"refine": -1}, "refine must"),
    ({"fine_tune": 2}, "labels: write data="),
    ({"budget": 0}, "budget must"),
    ({"examples": 1}, "examples must"),
    ({"data": torch.randn(9, 5)}, "does not take these examples"),
    ({"data": torch.randn(1, 6)}, "one example"),
    ({"data": torch.full((9, 6), math.nan)}, "NaN or infinite"),
    ({"data": "images"}, "data= is a tensor"),
    ({"data": (torch.randn(9, 6), torch.zeros(8))}, "9 inputs and 8 targets"),
    ({"model": nn.Sequential(nn.ReLU())}, "no layer that can be pruned"),
    ({"model": 7}, "takes an nn.Module"),
]


@pytest.mark.parametrize(("wrong", "words"), BAD)
def test_bad_input_is_said(wrong, words):
    given = {"model": perceptron(), "data": torch.randn(20, 6)} | wrong
    with pytest.raises(TaskError, match=words):
        et.prune(given.pop("model"), **given)


def test_a_network_that_was_cut_is_said(caplog):
    model, x, _ = task()
    et.prune(model, 0.99, data=x, method="diagonal")
    assert "nothing flows" in caplog.text


def test_constant_inputs_are_no_trouble():
    model, x, _ = task()
    result = et.prune(model, 0.9, data=torch.ones_like(x))
    with torch.no_grad():
        assert torch.allclose(result.model(x[:1] * 0 + 1), model(x[:1] * 0 + 1), atol=1e-3)
