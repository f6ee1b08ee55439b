import math

import numpy as np
import pytest
import torch
from torch import nn

import evotune as et
from evotune.errors import TaskError
from evotune.testing.proxies import NETWORKS, Recurrent, network

ALL = ("naswot", "zico", "synflow", "jacob_cov", "params", "multiply_adds", "snip", "grad_norm")


@pytest.mark.parametrize("name", list(NETWORKS))
def test_several_at_once_are_what_each_is_alone(name):
    module, x, y = network(name)
    together = et.proxies.score(module, x, y, names=ALL)
    assert list(together) == list(ALL)
    for score in ALL:
        assert getattr(et.proxies, score)(module, x, y) == pytest.approx(together[score], rel=1e-6)


def test_the_order_of_names_does_not_matter():
    module, x, y = network("relu")
    assert et.proxies.score(module, x, y, names=ALL) == et.proxies.score(
        module, x, y, names=ALL[::-1]
    )


def test_naswot_of_two_examples_by_hand():
    """Signs (+, +, -) and (+, -, -): both agree with themselves in 3, with each other in 2."""
    module = nn.Sequential(nn.Linear(1, 3, bias=False), nn.GELU())
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0], [1.0], [-1.0]]))
    x = torch.tensor([[1.0], [1.0]])
    assert math.isnan(et.proxies.naswot(module, x, torch.zeros(2)))  # |K| is 0
    module = nn.Sequential(nn.Linear(2, 3, bias=False), nn.GELU())
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]))
    x = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
    assert et.proxies.naswot(module, x, torch.zeros(2)) == pytest.approx(math.log(9 - 4))


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.PReLU, nn.Hardswish],
)
def test_naswot_sees_every_activation(activation):
    def made(last):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 16), last, nn.Linear(16, 3))

    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    found = et.proxies.naswot(made(activation()), x, torch.zeros(8, 3))
    assert found == et.proxies.naswot(made(nn.ReLU()), x, torch.zeros(8, 3))


def test_naswot_sees_functional_activations():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 16)

        def forward(self, x):
            return torch.tanh(self.layer(x))

    torch.manual_seed(0)
    net, x = Net(), torch.randn(8, 6)
    assert math.isfinite(et.proxies.naswot(net, x, torch.zeros(8, 16)))


def test_synflow_by_hand_and_beyond_float32():
    """A chain of n weights w on an input of 1: each of the n layers has |g w| = w^n."""
    net = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(20)))
    with torch.no_grad():
        for layer in net:
            layer.weight.fill_(-1e4)
    found = et.proxies.synflow(net, torch.zeros(2, 1), torch.zeros(2, 1))
    assert found == pytest.approx(math.log(20) + 20 * math.log(1e4))


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm])
def test_synflow_leaves_normalisations_out(norm):
    torch.manual_seed(0)
    first, last = nn.Linear(6, 8), nn.Linear(8, 3)
    x, y = torch.randn(4, 6), torch.zeros(4, 3)
    plain = et.proxies.synflow(nn.Sequential(first, last), x, y)
    assert et.proxies.synflow(nn.Sequential(first, norm(8), last), x, y) == pytest.approx(plain)


def test_snip_and_grad_norm_are_those_of_the_whole_batch():
    module, x, y = network("dense")
    loss = nn.functional.cross_entropy(module(x), y)
    weights = [p for p in module.parameters() if p.dim() > 1]
    gradients = torch.autograd.grad(loss, weights)
    snip = sum((w * g).abs().sum().item() for w, g in zip(weights, gradients, strict=True))
    assert et.proxies.snip(module, x, y) == pytest.approx(snip, rel=1e-4)
    norms = sum(g.norm().item() for g in gradients)
    assert et.proxies.grad_norm(module, x, y) == pytest.approx(norms, rel=1e-4)


def test_zico_by_hand():
    """One weight w, loss (w x)^2: the gradient 2 w x^2 is 2 and 8 in the halves, so |g| / std is
    5 / 3."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.ones_(net.weight)
    x = torch.tensor([[1.0], [2.0]])
    found = et.proxies.zico(net, x, torch.zeros(2, 1))
    assert found == pytest.approx(math.log(5 / 3))


def test_jacob_cov_tells_examples_apart():
    module, x, y = network("relu")
    alike = x[:1].expand_as(x) + 1e-6 * x
    assert et.proxies.jacob_cov(module, x, y) > et.proxies.jacob_cov(module, alike, y)


def test_sizes():
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    found = et.proxies.score(net, torch.zeros(2, 6), torch.zeros(2, 3), names=("params",))
    assert found == {"params": 6 * 4 + 4 + 4 * 3 + 3}
    assert et.proxies.multiply_adds(net, torch.zeros(2, 6), torch.zeros(2, 3)) == 6 * 4 + 4 * 3


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        ((), torch.zeros(8)),
        ((1,), torch.zeros(8)),
        ((1,), torch.ones(8, dtype=torch.long)),
        ((4,), torch.ones(8, dtype=torch.long)),
        ((4,), torch.rand(8, 4)),
        ((5, 4), torch.ones(8, 5, dtype=torch.long)),
        ((4, 5), torch.ones(8, 5, dtype=torch.long)),
        ((4,), np.ones(8, dtype=np.uint8)),
    ],
)
def test_the_loss_suits_the_targets(outputs, targets):
    net = nn.Sequential(nn.Linear(6, math.prod(outputs)), nn.Unflatten(1, outputs or (1,)))
    assert math.isfinite(et.proxies.snip(net, torch.randn(8, 6), targets))


def test_a_loss_of_ones_own():
    module, x, y = network("dense")

    def twice(output, target):
        return 2 * nn.functional.cross_entropy(output, target)

    plain = et.proxies.snip(module, x, y)
    assert et.proxies.snip(module, x, y, loss=twice) == pytest.approx(2 * plain)


def test_shapes_that_do_not_fit_are_nan_and_said(caplog):
    module, x, _ = network("dense")
    assert math.isnan(et.proxies.snip(module, x, torch.zeros(8, 5)))
    assert "(4, 3)" in caplog.text
    assert "loss=" in caplog.text


def test_inputs_and_outputs_by_name():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(6, 3), nn.Linear(4, 3)

        def forward(self, x):
            both = torch.tanh(self.a(x["a"]) + self.b(x["b"]))
            return {"first": both, "second": both[:, :1]}

    inputs = {"a": torch.randn(8, 6), "b": np.random.default_rng(0).normal(size=(8, 4))}
    targets = {"first": torch.arange(8) % 3, "second": torch.randn(8)}
    found = et.proxies.score(Net(), inputs, targets, names=("snip", "synflow", "jacob_cov"))
    assert all(math.isfinite(value) for value in found.values())


def test_lazy_modules():
    net = nn.Sequential(nn.LazyLinear(64), nn.Tanh(), nn.LazyLinear(3))
    found = et.proxies.score(net, torch.randn(8, 6), torch.arange(8) % 3, names=ALL)
    assert all(math.isfinite(value) for value in found.values())
    assert isinstance(net[0].weight, nn.UninitializedParameter)


def test_frozen_and_tied_weights():
    net = Recurrent(nn.GRU)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    x, y = torch.randn(8, 5, 6), torch.arange(8) % 3
    assert math.isnan(et.proxies.snip(net, x, y))
    assert et.proxies.params(net, x, y) == 0
    tied = nn.Sequential(nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 32))
    tied[2].weight = tied[0].weight
    found = et.proxies.score(tied, torch.randn(8, 32), torch.randn(8, 32), names=ALL)
    assert all(math.isfinite(value) for value in found.values())
    assert tied[2].weight is tied[0].weight


@pytest.mark.parametrize(
    ("module", "inputs", "targets", "options", "words"),
    [
        (nn.Linear(6, 3), torch.zeros(8, 6), torch.zeros(8, 3), {"names": ("nasvot",)}, "naswot"),
        (nn.Linear(6, 3), torch.zeros(8, 6), torch.zeros(8, 3), {"names": ()}, "Known"),
        (nn.Linear(6, 3), torch.zeros(8, 6), torch.zeros(8, 3), {"loss": "mse"}, "mse_loss"),
        (nn.Linear(6, 3), torch.zeros(8, 6), torch.zeros(8, 3), {"loss": nn.MSELoss}, "loss="),
        (nn.Linear(6, 3), torch.zeros(8, 6), torch.zeros(7, 3), {}, "8 inputs and 7 targets"),
        (nn.Linear(6, 3), torch.zeros(1, 6), torch.zeros(1, 3), {}, "two examples"),
        (nn.Linear(6, 3), ["a", "b"], torch.zeros(2, 3), {}, "arrays or tensors"),
        (lambda x: x, torch.zeros(8, 6), torch.zeros(8, 3), {}, "nn.Module"),
    ],
)
def test_bad_input(module, inputs, targets, options, words):
    with pytest.raises(TaskError, match=words):
        et.proxies.score(module, inputs, targets, **options)
