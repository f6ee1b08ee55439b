"""Flow and scores beside the formulas that were published."""

import pytest
import torch
from torch import nn

from evotune.pruning import scores
from evotune.pruning.flow import Paths, _over_calls
from evotune.pruning.goals import Likeness
from evotune.pruning.layers import Layer
from evotune.pruning.methods import METHODS, scores_of
from evotune.pruning.rounds import Pruning
from evotune.pruning.working import Working
from helpers_pruning import NETWORKS, under_pruning


def weights_of(layers):
    return {layer.name: layer.weights for layer in layers}


def test_it_is_synaptic_flow():
    """The product of flow in, weight and flow out is |w ∂R/∂w|, R the output of |w| for ones."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).requires_grad_(False)
    layers = [Layer(name, module) for name, module in model.named_children() if name != "1"]
    flow = Paths(model, layers, torch.randn(4, 5))(weights_of(layers))
    first, second = (
        module.weight.double().abs().requires_grad_() for module in (model[0], model[2])
    )
    total = (second @ (first @ torch.ones(5, dtype=torch.float64))).sum()
    for layer, weight in zip(layers, (first, second), strict=True):
        (slope,) = torch.autograd.grad(total, weight, retain_graph=True)
        found = layer.weights[0].abs() * flow[layer.name].into[0] * flow[layer.name].out[0, :, None]
        torch.testing.assert_close(found.double(), (slope * weight).detach())


@pytest.mark.parametrize("name", ["perceptron", "convolutions", "residual", "one axis"])
def test_as_much_flows_through_each_layer_in_a_row(name):
    """Σ |w| in out is the same in each layer that all paths cross: the flow is conserved."""
    _, pruning, _ = under_pruning(name)
    flow = pruning.flow()
    sums = []
    for layer in pruning.layers:
        part = flow[layer.name]
        sums.append(
            float((layer.weights.abs() * part.into.unsqueeze(1) * part.out.unsqueeze(2)).sum())
        )
    assert sums[0] > 0
    assert sums[-1] > 0
    if name == "perceptron":
        torch.testing.assert_close(sums, [sums[0]] * len(sums))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_of_a_dense_network_lives(name):
    _, pruning, _ = under_pruning(name)
    assert all(mask.all() for mask in pruning.live().values())


def test_what_leads_nowhere_is_dead():
    _, pruning, _ = under_pruning("perceptron")
    pruning.masks["0"][0, 3] = False  # nothing goes into unit 3 of the first layer
    pruning.masks["4"][0, :, 5] = False  # nobody reads unit 5 of the second
    live = pruning.live()
    assert not live["2"][0, :, 3].any()
    assert not live["2"][0, 5].any()
    assert live["0"][0, 4].all()


def test_published_scores_are_corners_of_the_formula():
    _, pruning, _ = under_pruning("perceptron")
    seen = pruning.activity(gradients=True)
    magnitude, wanda, diagonal = (
        scores_of(pruning, score) for score in (scores.MAGNITUDE, scores.WANDA, scores.DIAGONAL)
    )
    for layer in pruning.layers:
        now, size, name = seen[layer.name], layer.weights.double().abs(), layer.name
        assert torch.equal(magnitude[name], size.log())
        size = size * now.inputs.unsqueeze(1)
        _assert_same_order(wanda[name], size)
        _assert_same_order(diagonal[name], size * now.gradients.unsqueeze(2))


def _assert_same_order(one, other):
    assert torch.equal(one.flatten().argsort(), other.flatten().argsort())


@pytest.mark.parametrize("method", METHODS)
def test_no_more_than_so_many_weights_stay(method):
    _, pruning, _ = under_pruning("perceptron")
    METHODS[method](pruning, 77)
    kept = sum(int(mask.sum()) for mask in pruning.masks.values())
    assert 0 < kept <= 77
    if method in ("magnitude", "lamp", "erk", "uniform", "snip", "wanda", "diagonal"):
        assert kept == 77


def test_flow_of_several_calls_adds_up_over_rows_and_columns():
    """Also where it grows by powers from call to call, as in a recurrent layer."""
    into = [torch.rand(1, 4) * 10.0**k for k in range(6)]
    out = [torch.rand(1, 3) * 10.0 ** (12 - 2 * k) for k in range(6)]
    flow = _over_calls(into, out)
    wanted = sum(o[0, :, None] * i[0] for i, o in zip(into, out, strict=True))
    found = flow.out[0, :, None] * flow.into[0]
    torch.testing.assert_close(found.sum(0), wanted.sum(0))
    torch.testing.assert_close(found.sum(1), wanted.sum(1))


def test_a_long_sequence_exceeds_no_numbers():
    torch.manual_seed(0)
    model = nn.Sequential(nn.LSTM(3, 40, batch_first=True))
    with torch.no_grad():
        model[0].weight_hh_l0.mul_(60)
    working = Working(model, torch.randn(2, 250, 3))
    inputs = torch.randn(2, 250, 3)
    with torch.no_grad():
        dense = working.network(inputs)
    flow = Pruning(working.network, working.layers, inputs, Likeness(dense, 0)).flow()
    assert all(bool((f.into.sum() + f.out.sum()).isfinite()) for f in flow.values())
