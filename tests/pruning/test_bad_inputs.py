"""What is wrong is said before anything is pruned, and what merely looks wrong works."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import evotune as et
from evotune.errors import TaskError
from helpers_pruning import perceptron

X = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(60) % 3


class Returning(nn.Module):
    """A perceptron whose outputs are changed."""

    def __init__(self, change):
        super().__init__()
        self.inside, self.change = perceptron(), change

    def forward(self, inputs):
        return self.change(self.inside(inputs))


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, first, second):
        return self.layer(first + second)


def broken(value):
    model = perceptron()
    with torch.no_grad():
        model[2].weight[0, 0] = value
    return model


def vector(output, labels):
    return functional.cross_entropy(output, labels, reduction="none")


MODELS = [
    (lambda: nn.Linear, "takes an nn.Module, got <class"),
    (lambda: perceptron().forward, "takes an nn.Module"),
    (lambda: nn.Sequential(nn.ReLU()), "no layer that can be pruned"),
    (lambda: nn.LSTM(6, 3), r"the network itself; write nn.Sequential\(model\)"),
    (lambda: nn.Linear(6, 3, device="meta"), "meta device"),
    (lambda: nn.Sequential(nn.LazyLinear(3)), "call it on one batch"),
    (lambda: broken(math.nan), "look at its weights"),
    (lambda: broken(math.inf), "look at its weights"),
    (Several, "needs a module around it that takes a dict"),
    (lambda: Returning(lambda output: None), "returns NoneType, and needed is"),
    (lambda: Returning(lambda output: output.argmax(1)), "returns a tensor of torch.int64"),
    (lambda: Returning(torch.sum), r"float32 of shape \(\)"),
    (lambda: Returning(lambda output: output[:, :0]), r"shape \(2, 0\)"),
    (lambda: Returning(lambda output: (None, output)), "returns tuple, and needed is"),
    (lambda: Returning(lambda output: {"mask": output > 0}), "returns dict, and needed is"),
]


@pytest.mark.parametrize(("make", "words"), MODELS)
def test_networks(make, words):
    with pytest.raises(TaskError, match=words):
        et.prune(make(), 0.5, data=X)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*deprecated.*:UserWarning")
def test_scripted_and_quantised_networks():
    with pytest.raises(TaskError, match="give the network that was scripted"):
        et.prune(torch.jit.script(perceptron()), 0.5, data=X)
    quantised = torch.ao.quantization.quantize_dynamic(perceptron(), {nn.Linear})
    with pytest.raises(TaskError, match="no layer that can be pruned"):
        et.prune(quantised, 0.5, data=X)


OPTIONS = [
    ({"sparsity": math.nan}, r"in \(0, 1\), got nan"),
    ({"sparsity": 1.5}, r"in \(0, 1\), got 1.5"),
    ({"data": None}, "got NoneType"),
    ({"data": X.tolist()}, "got list"),
    ({"data": X[:0]}, "no examples"),
    ({"data": {}}, "without any name"),
    ({"data": np.array(["a"] * 60)}, "encode texts"),
    ({"data": {"a": X}}, "a dict as one argument"),
    ({"data": torch.randint(5, (60, 6))}, "does not take these examples"),
    ({"data": X * 1e25}, "usual scale"),
    ({"data": (X, Y + 3)}, "labels from 0 to 2"),
    ({"data": (X, Y - 1)}, "labels from 0 to 2"),
    ({"data": (X, functional.one_hot(Y))}, r"write y.argmax\(axis=1\)"),
    ({"data": (X, torch.full((60, 3), math.nan))}, "loss on these examples is nan"),
    ({"data": (X, torch.randn(60, 2))}, "this loss needs the same shape"),
    ({"data": TensorDataset(X, Y, Y)}, "batches of 3 parts.*one dict of them"),
    ({"data": ((X, X), Y)}, "got tuple; a network of several inputs .* one dict of them"),
    ({"data": (X, X), "labels": Y}, "got tuple; a network of several inputs .* one dict of them"),
    ({"data": DataLoader(TensorDataset(X[:1], Y[:1]))}, "one example"),
    ({"data": (X, Y), "loss": vector}, "the mean loss; got tensor"),
    ({"data": (X, Y), "loss": lambda output, labels: "small"}, "the mean loss; got 'small'"),
    ({"data": (X, Y), "loss": lambda output, labels: 1 / 0}, "fails .ZeroDivisionError"),
    ({"data": (X, Y), "loss": "crossentropy"}, "did you mean 'cross_entropy'"),
    ({"examples": "all"}, "examples must"),
    ({"seed": -1}, "seed must"),
    ({"seed": "one"}, "seed must"),
]


@pytest.mark.parametrize(("wrong", "words"), OPTIONS)
def test_data_labels_and_options(wrong, words):
    model = perceptron()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(TaskError, match=words):
        et.prune(model, **{"sparsity": 0.5, "data": X} | wrong)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training


def test_labels_of_a_network_that_returns_a_tuple():
    model = Returning(lambda output: (output, None))
    with pytest.raises(TaskError, match="tuple of Tensor, NoneType; loss= is a name or a function"):
        et.prune(model, 0.5, data=(X, Y))
    result = et.prune(
        model, 0.5, data=(X, Y), loss=lambda output, y: functional.cross_entropy(output[0], y)
    )
    assert result.sparsity == 0.5
    torch.testing.assert_close(result.compact()(X)[0], result.model(X)[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda output: {"logits": output, "part": output[:, :1]},
        lambda output: {"logits": output, "states": (output, output), "none": None},
        lambda output: [output, None],
    ],
)
def test_several_outputs(change):
    result = et.prune(Returning(change), 0.5, data=X)
    assert result.sparsity == 0.5
    found, wanted = result.compact()(X), result.model(X)
    key = "logits" if isinstance(wanted, dict) else 0
    torch.testing.assert_close(found[key], wanted[key])


def halved(pruning, keep):
    pruning.masks = {name: mask * 0.5 for name, mask in pruning.masks.items()}


def shortened(pruning, keep):
    pruning.masks = dict(list(pruning.masks.items())[1:])


def reshaped(pruning, keep):
    pruning.masks = {name: mask[0] for name, mask in pruning.masks.items()}


def nothing(pruning, keep):
    pruning.masks = None


@pytest.mark.parametrize("method", [halved, shortened, reshaped, nothing])
def test_methods_that_leave_something_else_than_masks(method):
    with pytest.raises(TaskError, match=r"write pruning.put\(masks\)"):
        et.prune(perceptron(), 0.5, data=X, method=method)


def test_methods_that_leave_too_much_or_nothing(caplog):
    assert et.prune(perceptron(), 0.5, data=X, method=lambda pruning, keep: None).sparsity == 0
    assert "leaves 324 weights, and wanted were 162" in caplog.text

    def everything(pruning, keep):
        pruning.put({name: mask & False for name, mask in pruning.masks.items()})

    assert et.prune(perceptron(), 0.5, data=X, method=everything).sparsity == 1
    assert "nothing flows" in caplog.text


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("given", [X, X.double(), X.bfloat16(), X.double().numpy()])
def test_types_of_networks_and_of_data(dtype, given):
    model = perceptron().to(dtype)
    result = et.prune(model, 0.5, data=given, labels=Y, fine_tune=1 if dtype != torch.half else 0)
    small = result.compact()
    assert {p.dtype for p in small.parameters()} == {dtype}
    assert {p.dtype for p in result.model.parameters()} == {dtype}
    with torch.no_grad():
        found, wanted = small(X.to(dtype)).float(), result.model(X.to(dtype)).float()
    torch.testing.assert_close(found, wanted, atol=1e-2, rtol=1e-2)


def test_doubles_stay_as_exact_as_they_are():
    model = perceptron().double()
    result = et.prune(model, 0.01, data=X, method="magnitude")
    kept = result.masks["0.weight"]
    error = (result.model[0].weight - model[0].weight)[kept].abs().max()
    assert 0 <= error < 1e-9 or not kept.all()


@pytest.mark.parametrize(
    "data",
    [
        TensorDataset(X),
        TensorDataset(X, Y),
        DataLoader(TensorDataset(X, Y), 16),
        DataLoader(X, 16),
    ],
)
def test_datasets_and_loaders(data):
    torch.manual_seed(0)
    model = perceptron()
    result = et.prune(model, 0.5, data=data)
    assert result.sparsity == 0.5
    if isinstance(data, DataLoader) and isinstance(data.dataset, TensorDataset):
        wanted = et.prune(model, 0.5, data=(X, Y))
        assert all(torch.equal(wanted.masks[name], mask) for name, mask in result.masks.items())
        et.prune(model, 0.5, data=data, fine_tune=1)


def test_no_more_of_a_loader_is_read_than_is_needed():
    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self):
            while True:
                yield X[0] + torch.randn(6), Y[0]

    assert et.prune(perceptron(), 0.5, data=DataLoader(Endless(), 64)).sparsity == 0.5


def test_few_examples_and_constant_ones():
    torch.manual_seed(0)
    for data in (X[:2], X[:1].expand(2, -1), X * 0):
        result = et.prune(perceptron(), 0.5, data=data)
        assert result.sparsity >= 0.5  # what reads constants does nothing, and may go too
        assert all(not part.isnan().any() for part in result.scores.values())
        assert result.model(X).isfinite().all()


def test_pruned_once_more():
    """What was gone stays gone, masks and all are those of the new call."""
    torch.manual_seed(0)
    first = et.prune(perceptron(), 0.5, data=X)
    again = et.prune(first.model, 0.8, data=X)
    assert again.kept == round(0.2 * again.size)
    assert all(not bool((again.masks[n] & ~mask).any()) for n, mask in first.masks.items())
    assert first.sparsity == 0.5
    torch.testing.assert_close(again.compact()(X), again.model(X))


def test_frozen_and_tied_weights_buffers_and_modes():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
            self.second.weight = self.first.weight
            self.norm, self.last = nn.BatchNorm1d(6), nn.Linear(6, 3)
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, inputs):
            self.calls += 1
            return self.last(self.norm(self.second(self.first(inputs).relu())).relu())

    torch.manual_seed(0)
    model = Tied()
    model.last.weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    result = et.prune(model, 0.5, data=(X, Y), fine_tune=1)
    assert set(result.left_dense) == {"first", "second"}
    assert result.model.first.weight is result.model.second.weight
    assert result.model.training
    assert not result.model.last.parametrizations.weight.original.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
