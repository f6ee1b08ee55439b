"""Linear layers that have features first give what ordinary ones do, wherever they are used."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

import evotune as et
from evotune.pruning.features_first import EXAMPLES, FeaturesFirst
from helpers_pruning import perceptron

X = torch.randn(2 * EXAMPLES, 6, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A forward pass of the user's own."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 16), nn.Linear(16, 12), nn.Linear(12, 3)

    def forward(self, x):
        return self.fc3(torch.tanh(self.fc2(functional.relu(self.fc1(x)))))


def thinned(model, share=0.8):
    """Zero most rows and columns of each linear layer but the outputs of the last."""
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    with torch.no_grad():
        for layer in linear[:-1]:
            layer.weight[int((1 - share) * len(layer.weight)) :] = 0
    return model


@pytest.fixture(params=[perceptron, Net])
def pair(request):
    torch.manual_seed(0)
    model = thinned(request.param())
    small = et.compact(model, X[:4])
    assert [type(m) for m in small.modules() if isinstance(m, nn.Linear)] == [FeaturesFirst] * 3
    return model, small


def close(found, wanted):
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("count", [1, EXAMPLES - 1, EXAMPLES, 2 * EXAMPLES])
def test_outputs_for_batches_of_all_sizes(pair, count):
    model, small = pair
    found = small(X[:count])
    close(found, model(X[:count]))
    assert found.is_contiguous()
    found.view(-1)


def test_inputs_of_other_shapes_and_types(pair):
    model, small = pair
    close(small(X.reshape(2, -1, 6)), model(X.reshape(2, -1, 6)))
    close(small(X[0]), model(X[0]))
    close(small(X.T.contiguous().T), model(X))
    assert small(X[:0]).shape == (0, 3)
    close(copy.deepcopy(small).double()(X.double()), copy.deepcopy(model).double()(X.double()))
    assert copy.deepcopy(small).bfloat16()(X.bfloat16()).dtype == torch.bfloat16


def test_copies_pickles_and_state_dicts(pair):
    model, small = pair
    whole = io.BytesIO()
    torch.save(small, whole)
    whole.seek(0)
    for other in (
        copy.deepcopy(small),
        pickle.loads(pickle.dumps(small)),
        torch.load(whole, weights_only=False),
    ):
        assert torch.equal(other(X), small(X))
    assert list(small.state_dict()) == list(model.state_dict())
    other = copy.deepcopy(small)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    other.load_state_dict(small.state_dict())
    assert torch.equal(other(X), small(X))


def test_training(pair):
    _, small = pair
    ordinary = copy.deepcopy(small)
    for layer in ordinary.modules():
        if isinstance(layer, FeaturesFirst):
            layer.__class__ = nn.Linear
    for network in (small, ordinary):
        network.train()
        network(X).square().mean().backward()
    for found, wanted in zip(small.parameters(), ordinary.parameters(), strict=True):
        close(found.grad, wanted.grad)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_graphs_have_ordinary_layers(pair):
    _, small = pair
    wanted = small(X)
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(small, (X,), dynamic_shapes=({0: batch},))
    assert not any("addmm" in str(node.target) for node in exported.graph.nodes)
    for graph in (
        exported.module(),
        torch.fx.symbolic_trace(small),
        torch.jit.script(small),
        torch.jit.trace(small, X),
    ):
        close(graph(X), wanted)
        close(graph(X[:5]), wanted[:5])
    compiled = torch.compile(small, backend="eager", fullgraph=True)
    close(compiled(X), wanted)
    close(torch.func.functional_call(small, dict(small.named_parameters()), X), wanted)
    close(torch.func.vmap(small)(X.reshape(2, -1, 6)).flatten(0, 1), wanted)


def test_pruned_and_made_smaller_once_more(pair):
    model, small = pair
    again = et.prune(small, 0.5, data=X)
    close(again.compact()(X), again.model(X))
    close(et.compact(small, X[:4])(X), model(X))


def test_layers_that_something_else_reads_or_that_are_as_large_stay_ordinary():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = perceptron()
            self.other = nn.Linear(16, 3)

        def forward(self, x):
            first = self.net[0](x)
            inside = self.net[2](first.relu()).relu()
            return self.net[4](inside) + self.other(first.flatten(1).tanh())

    torch.manual_seed(0)
    model = Mixed()
    thinned(model.net)
    small = et.compact(model, X[:4])
    close(small(X), model(X))
    assert type(small.net[0]) is nn.Linear
    assert type(small.net[2]) is type(small.net[4]) is FeaturesFirst
    assert small.net[2].out_features < 12
    whole = et.compact(perceptron(), X[:4])
    assert not any(isinstance(module, FeaturesFirst) for module in whole.modules())


def test_without_biases_and_with_a_layer_that_runs_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.inside, self.last = (
                nn.Linear(6, 8, bias=False),
                nn.Linear(8, 8, bias=False),
                nn.Linear(8, 3, bias=False),
            )
            self.head = nn.Linear(3, 2)

        def forward(self, x):
            x = self.inside(self.inside(self.first(x)).relu()).relu()
            return self.head(self.last(x))

    torch.manual_seed(0)
    model = Twice()
    with torch.no_grad():
        model.inside.weight[2:4] = 0
        model.inside.weight[:, 2:4] = 0
        model.first.weight[2:4] = 0
        model.last.weight[1] = 0
    small = et.compact(model, X[:4])
    close(small(X), model(X))
    assert type(small.inside) is nn.Linear
    assert type(small.last) is FeaturesFirst
