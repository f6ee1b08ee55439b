"""Refits: nothing removed changes nothing, and what is left gets nearer to the dense network."""

import pytest
import torch
from torch import nn

from evotune.pruning.compensation import WAYS, bias_correction, refit, targets_of
from evotune.pruning.layers import Layer
from evotune.pruning.methods import METHODS
from helpers_pruning import NETWORKS, under_pruning


@pytest.mark.parametrize("name", NETWORKS)
def test_with_nothing_removed_nothing_changes(name):
    _, pruning, dense = under_pruning(name)
    for how in WAYS:
        pruning.reset()
        pruning.compensate(how=how)
        with torch.no_grad():
            torch.testing.assert_close(pruning.network(pruning.inputs), dense, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_left_gets_nearer_to_the_dense_network(name):
    _, pruning, _ = under_pruning(name)
    METHODS["uniform"](pruning, pruning.size // 2)
    before = pruning.measured()
    pruning.compensate()
    assert pruning.measured() < before
    for layer in pruning.layers:
        assert not layer.weights[~pruning.masks[layer.name]].any()


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("has_bias", [True, False])
def test_the_error_of_a_layer_is_the_least_on_its_mask(groups, has_bias):
    """As ordinary least squares says for each row, and never above that of the dense weights."""
    torch.manual_seed(0)
    layer = Layer("one", nn.Conv2d(6, 9, 1, groups=groups, bias=has_bias).requires_grad_(False))
    x = torch.randn(200, groups, 6 // groups)
    z = torch.einsum("pgc,grc->pgr", x, layer.dense) + torch.randn(200, groups, 9 // groups) * 0.1
    mask = torch.rand(layer.dense.shape) > 0.4
    weights, bias = refit(layer, mask, x, z, ridge=1e-9)
    for g in range(groups):
        for r in range(9 // groups):
            columns = x[:, g, mask[g, r]]
            if has_bias:
                columns = torch.cat([columns, torch.ones(200, 1)], 1)
            wanted = torch.linalg.lstsq(columns.double(), z[:, g, r, None].double()).solution[:, 0]
            found = weights[g, r, mask[g, r]]
            if has_bias:
                found = torch.cat([found, bias[g, r, None]])
            torch.testing.assert_close(found.double(), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["perceptron", "convolutions", "residual", "tokens"])
def test_biases_give_each_unit_its_mean_again(name):
    _, pruning, _ = under_pruning(name)
    METHODS["uniform"](pruning, pruning.size // 3)
    pruning.compensate(how="bias")
    now = targets_of(pruning.network, pruning.layers, pruning.inputs, pruning.limit)
    for layer in pruning.layers:
        assert torch.equal(layer.weights, layer.dense * pruning.masks[layer.name])
        wanted = pruning.goals[layer.name].mean(0)
        torch.testing.assert_close(now[layer.name].mean(0), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("groups", [1, 3])
def test_the_error_of_a_layer_never_rises_with_its_biases(groups):
    torch.manual_seed(0)
    layer = Layer("one", nn.Conv2d(6, 9, 1, groups=groups).requires_grad_(False))
    x = torch.randn(200, groups, 6 // groups) + 1
    old = layer.module.bias.reshape(groups, -1)
    z = torch.einsum("pgc,grc->pgr", x, layer.dense) + old
    for density in (0.0, 0.1, 0.5, 0.9, 1.0):
        mask = torch.rand(layer.dense.shape) < density
        weights, bias = bias_correction(layer, mask, x, z)
        lacking = z - torch.einsum("pgc,grc->pgr", x, layer.dense * mask)
        before = (lacking - old).square().mean(0)
        after = (lacking - bias).square().mean(0)
        assert torch.equal(weights, layer.dense * mask)
        assert (after <= before + 1e-6).all()
        torch.testing.assert_close(after, lacking.var(0, correction=0))


def test_columns_that_say_the_same_are_no_trouble():
    layer = Layer("one", nn.Linear(4, 2).requires_grad_(False))
    x = torch.randn(50, 1, 1).expand(50, 1, 4)
    weights, bias = refit(layer, torch.ones(1, 2, 4, dtype=torch.bool), x, torch.randn(50, 1, 2))
    assert weights.isfinite().all()
    assert bias.isfinite().all()


def test_constant_inputs_are_no_trouble():
    layer = Layer("one", nn.Linear(4, 2).requires_grad_(False))
    x, z = torch.ones(50, 1, 4), torch.full((50, 1, 2), 3.0)
    weights, bias = refit(layer, torch.ones(1, 2, 4, dtype=torch.bool), x, z)
    torch.testing.assert_close((x @ weights.mT) + bias, z, atol=1e-4, rtol=1e-4)
