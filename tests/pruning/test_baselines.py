"""Published methods and ways of compensation beside computations by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import evotune as et
from evotune.errors import TaskError
from evotune.pruning.compensation import energy, variance
from evotune.pruning.goals import Labels
from evotune.pruning.layers import Layer
from evotune.pruning.methods import grasp, soft_mask
from evotune.pruning.rounds import Pruning

X = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))


def under_pruning():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).requires_grad_(False)
    layers = [Layer("0", model[0]), Layer("2", model[2])]
    y = torch.randn(30, 2)
    return Pruning(model, layers, X, Labels(y, functional.mse_loss, 30)), y


def test_grasp_is_weight_times_hessian_times_gradient():
    pruning, y = under_pruning()
    first, second = (layer.module for layer in pruning.layers)

    def loss(flat):
        one, other = flat[:20].reshape(5, 4), flat[20:].reshape(2, 5)
        inside = torch.tanh(X @ one.T + first.bias)
        return functional.mse_loss(inside @ other.T + second.bias, y)

    flat = torch.cat([first.weight.flatten(), second.weight.flatten()])
    hessian = torch.autograd.functional.hessian(loss, flat)
    gradient = torch.autograd.functional.jacobian(loss, flat)
    wanted = torch.zeros(30, dtype=torch.bool)
    wanted[(flat * (hessian @ gradient)).topk(12).indices] = True
    grasp(pruning, 12)
    found = torch.cat([pruning.masks[name].flatten() for name in ("0", "2")])
    assert torch.equal(found, wanted)


def test_a_soft_mask_keeps_what_the_labels_need():
    """The sum of two of four inputs is wanted, and the other weights of the network are noise."""
    model = nn.Sequential(nn.Linear(4, 1, bias=False)).requires_grad_(False)
    model[0].weight.copy_(torch.tensor([[1.0, 3.0, 1.0, -3.0]]))
    y = X[:, :1] + X[:, 2:3]
    pruning = Pruning(model, [Layer("0", model[0])], X, Labels(y, functional.mse_loss, 30))
    soft_mask(pruning, 2)
    assert pruning.masks["0"][0].tolist() == [[True, False, True, False]]
    assert torch.equal(model[0].weight, torch.tensor([[1.0, 0.0, 1.0, 0.0]]))


def test_energy_and_variance_by_hand():
    pruning, _ = under_pruning()
    layer = pruning.layers[0]
    mask = torch.rand(layer.dense.shape, generator=torch.Generator().manual_seed(2)) > 0.5
    x, z = X.unsqueeze(1), pruning.goals["0"]
    weights, bias = energy(layer, mask, x, z)
    assert torch.equal(weights != 0, mask)
    torch.testing.assert_close(weights.norm(), layer.dense.norm())
    assert torch.equal(bias.flatten(), layer.module.bias)
    weights, bias = variance(layer, mask, x, z)
    found = X @ weights[0].T + bias.flatten()
    rows = mask[0].any(1)
    torch.testing.assert_close(found.mean(0), z[:, 0].mean(0))
    torch.testing.assert_close(found.std(0)[rows], z[:, 0].std(0)[rows])


def test_compensation_of_a_call():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 2))
    plain = et.prune(model, 0.5, data=X, method="magnitude", compensation="none")
    mask = plain.masks["0.weight"]
    assert torch.equal(plain.model[0].weight, model[0].weight * mask)
    errors = {}
    for way in ("none", "energy", "variance", "refit"):
        found = et.prune(model, 0.5, data=X, method="magnitude", compensation=way)
        assert torch.equal(found.masks["0.weight"], mask)
        with torch.no_grad():
            errors[way] = float((found.model(X) - model(X)).square().mean())
    assert errors["refit"] == min(errors.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compensation": "refti", "method": "lamp"}, "did you mean 'refit'"),
        ({"compensation": "energy"}, "has no effect here"),
        ({"compensation": "none", "method": "lamp", "refine": 3}, "without refine="),
    ],
)
def test_compensation_that_is_not_there(options, words):
    with pytest.raises(TaskError, match=words):
        et.prune(nn.Linear(4, 2), 0.5, data=X, **options)
