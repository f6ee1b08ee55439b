"""Published methods and ways of compensation beside computations by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import evotune as et
from evotune.errors import TaskError
from evotune.pruning.compensation import energy, variance
from evotune.pruning.goals import Labels, Likeness
from evotune.pruning.layers import Layer
from evotune.pruning.methods import (
    erk,
    grasp,
    lamp,
    snip,
    soft_mask,
    soft_mask_joint,
    uniform,
)
from evotune.pruning.rounds import Pruning
from helpers_pruning import made

X = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))


def under_pruning():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).requires_grad_(False)
    layers = [Layer("0", model[0]), Layer("2", model[2])]
    y = torch.randn(30, 2)
    return Pruning(model, layers, X, Labels(y, functional.mse_loss, 30)), y


def with_convolution():
    """Return a network of 54, 192 and 8 weights under pruning, and its labels."""
    torch.manual_seed(2)
    model = nn.Sequential(
        *(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 4), nn.Tanh()),
        nn.Linear(4, 2),
    ).requires_grad_(False)
    layers = [Layer(name, model[int(name)]) for name in ("0", "3", "5")]
    x, y = torch.randn(20, 2, 6, 6), torch.randn(20, 2)
    return Pruning(model, layers, x, Labels(y, functional.mse_loss, 20)), y


def flat_of(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def largest(values, count):
    mask = torch.zeros(len(values), dtype=torch.bool)
    mask[torch.as_tensor(values).topk(count).indices] = True
    return mask


def test_lamp_is_a_square_over_the_sum_of_all_not_smaller():
    """Eq. 1 of Lee et al. (2021), one weight after the other."""
    pruning, _ = with_convolution()
    wanted = []
    for layer in pruning.layers:
        squares = [float(w) ** 2 for w in layer.dense.flatten()]
        wanted += [s / sum(other for other in squares if other >= s) for s in squares]
    wanted = torch.tensor(wanted, dtype=torch.float64)
    lamp(pruning, 60)
    torch.testing.assert_close(flat_of(pruning.scores.values()).exp(), wanted)
    assert torch.equal(flat_of(pruning.masks.values()), largest(wanted, 60))
    assert all(mask.any() for mask in pruning.masks.values())  # the largest of a layer has 1


@pytest.mark.parametrize(
    ("method", "keep", "wanted"),
    [
        # Densities ε (3 + 2 + 3 + 3) / 54, ε (4 + 48) / 192 and ε (2 + 4) / 8.
        (erk, 11 + 52 + 6, (11, 52, 6)),  # ε = 1
        (erk, 22 + 104 + 8, (22, 104, 8)),  # ε = 2, where the last layer is dense
        (uniform, 127, (27, 96, 4)),
    ],
)
def test_layers_have_as_many_weights_as_their_densities_say(method, keep, wanted):
    """Evci et al. (2020), section 3: ERK; each layer keeps its largest weights."""
    pruning, _ = with_convolution()
    method(pruning, keep)
    assert tuple(int(mask.sum()) for mask in pruning.masks.values()) == wanted
    for layer, count in zip(pruning.layers, wanted, strict=True):
        mask = pruning.masks[layer.name].flatten()
        assert torch.equal(mask, largest(layer.dense.abs().flatten(), count))


@pytest.mark.parametrize("rounds", [1, 3])
def test_snip_is_the_slope_of_the_loss_along_each_mask(rounds):
    """Eq. 5 of Lee et al. (2019): |∂L(c ⊙ w)/∂c|, at c = 1 for what is left."""
    pruning, y = with_convolution()
    dense = [layer.dense.clone() for layer in pruning.layers]
    kept = torch.ones(254, dtype=torch.bool)
    for number in range(1, rounds + 1):
        parts = kept.float().split([54, 192, 8])
        masks = [part.reshape(d.shape).requires_grad_() for part, d in zip(parts, dense)]  # noqa: B905
        weights = {
            f"{layer.name}.weight": (d * m).reshape(layer.module.weight.shape)
            for layer, d, m in zip(pruning.layers, dense, masks, strict=True)
        }
        output = torch.func.functional_call(pruning.network, weights, (pruning.inputs,))
        slopes = flat_of(torch.autograd.grad(functional.mse_loss(output, y), masks)).abs()
        kept = largest(
            slopes.masked_fill(~kept, -1.0), round(254 * (50 / 254) ** (number / rounds))
        )
    snip(pruning, 50, rounds)
    assert torch.equal(flat_of(pruning.masks.values()), kept)


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


@pytest.mark.parametrize("labelled", [True, False])
def test_weights_that_are_trained_with_their_masks_take_over(labelled):
    """With labels: twice two of four inputs. Without: pairs of inputs are nearly the same."""
    model = nn.Sequential(nn.Linear(4, 1)).requires_grad_(False)
    model[0].weight.copy_(torch.tensor([[1.0, 0.3, 1.0, 0.3]]))
    x = X if labelled else X[:, [0, 0, 2, 2]] + 0.01 * X
    y = model(x)
    goal = Labels(2 * x[:, :1] + 2 * x[:, 2:3], functional.mse_loss, 30)
    pruning = Pruning(model, [Layer("0", model[0])], x, goal if labelled else Likeness(y, 0))
    soft_mask_joint(pruning, 2, epochs=300)
    weights = model[0].weight[0].reshape(2, 2)
    assert pruning.masks["0"].sum() == 2
    assert torch.equal((weights != 0).flatten(), pruning.masks["0"].flatten())
    wanted = torch.full((2,), 2.0 if labelled else 1.3)
    torch.testing.assert_close(weights.sum(1), wanted, atol=0.1, rtol=0.0)
    assert not model[0].weight.requires_grad
    pruning.reset()
    assert torch.equal(model(x), y)


def test_trained_weights_are_what_comes_back():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 2))
    before = [p.detach().clone() for p in model.parameters()]
    y = X[:, :2] + 0.5
    result = et.prune(model, 0.6, data=(X, y), method="soft_mask_joint")
    assert all(map(torch.equal, before, model.parameters()))
    weight = result.model[0].weight
    assert not torch.equal(weight, model[0].weight * result.masks["0.weight"])
    loss = functional.mse_loss(result.model(X), y)
    assert float(loss.detach()) == pytest.approx(result.measured["loss"], rel=1e-4)
    assert float(loss.detach()) < functional.mse_loss(model(X), y)
    again = et.prune(model, 0.6, data=(X, y), method="soft_mask_joint")
    assert torch.equal(again.model[0].weight, weight)


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
    for way in ("none", "bias", "energy", "variance", "refit"):
        found = et.prune(model, 0.5, data=X, method="magnitude", compensation=way)
        assert torch.equal(found.masks["0.weight"], mask)
        with torch.no_grad():
            errors[way] = float((found.model(X) - model(X)).square().mean())
    assert errors["refit"] == min(errors.values())


@pytest.mark.parametrize("way", ["none", "bias", "energy", "variance", "refit"])
def test_the_loss_is_that_of_the_network_that_comes_back(way):
    """Also where a unit without inputs had given a constant, which no longer reaches anything."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).requires_grad_(False)
    model[0].weight[0] *= 1e-3
    model[0].bias[0], model[2].weight[0, 0] = 5.0, 3.0
    found = et.prune(model, 0.6, data=(X, X[:, :2]), method="magnitude", compensation=way)
    assert not found.masks["0.weight"][0].any()
    assert not found.masks["2.weight"][0, 0]
    loss = functional.mse_loss(found.model(X), X[:, :2]).detach()
    assert float(loss) == pytest.approx(found.measured["loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compensation": "refti", "method": "lamp"}, "did you mean 'refit'"),
        ({"compensation": "energy"}, "has no effect here"),
        ({"compensation": "none", "method": "lamp", "refine": 3}, "without refine="),
        ({"compensation": "bias", "method": "soft_mask_joint"}, "trained with the masks"),
    ],
)
def test_compensation_that_is_not_there(options, words):
    with pytest.raises(TaskError, match=words):
        et.prune(nn.Linear(4, 2), 0.5, data=X, **options)


def test_biases_need_layers_that_have_them(caplog):
    layers = [nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Linear(5, 2, bias=False)]
    with pytest.raises(TaskError, match="no layer that is pruned has one; write 'refit'"):
        et.prune(nn.Sequential(*layers), 0.5, data=X, method="lamp", compensation="bias")
    with pytest.raises(TaskError, match="no layer that is pruned has one"):
        et.PruningTask(nn.Sequential(*layers), data=X, over="densities", compensation="bias")
    layers[2] = nn.Linear(5, 2)
    model = nn.Sequential(*layers)
    found = et.prune(model, 0.5, data=X, method="lamp", compensation="bias")
    assert "leaves layers without a bias alone: 0" in caplog.text
    assert torch.equal(found.model[0].weight, model[0].weight * found.masks["0.weight"])
    assert not torch.equal(found.model[2].bias, model[2].bias)


def test_wanda_compares_weights_within_their_row():
    model, inputs = made("perceptron")
    result = et.prune(model, 0.5, data=inputs, method="wanda")
    first = result.scores["0.weight"]
    size = model[0].weight.detach().abs() * inputs.square().mean(0).sqrt()
    assert torch.equal(first.argsort(1), size.argsort(1))
    for layer in (0, 2):
        kept = (result.scores[f"{layer}.weight"] >= 0.5).sum(1)
        assert kept.eq(model[layer].in_features // 2).all()
