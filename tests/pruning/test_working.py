"""Working copies: what is pruned, and how weights and masks get back into the given network."""

import copy

import pytest
import torch
from torch import nn

from evotune.errors import TaskError
from evotune.pruning.working import Working
from helpers_pruning import NETWORKS, made


@pytest.fixture(params=list(NETWORKS))
def case(request):
    return made(request.param)


def random_masks(working):
    chance = torch.Generator().manual_seed(1)
    return {la.name: torch.rand(la.dense.shape, generator=chance) > 0.5 for la in working.layers}


def test_the_copy_does_what_the_network_does(case):
    model, inputs = case
    with torch.no_grad():
        torch.testing.assert_close(
            Working(model, inputs[:2]).network(inputs), model(inputs), atol=1e-5, rtol=1e-5
        )


def test_masks_and_weights_get_back(case):
    """Also biases that layers without one have in the copy, for the norms behind them."""
    model, inputs = case
    before = copy.deepcopy(model.state_dict())
    working = Working(model, inputs[:2])
    masks = random_masks(working)
    for layer in working.layers:
        bias = layer.module.bias
        layer.put(layer.weights * masks[layer.name], None if bias is None else bias + 0.1)
    found = working.finished(masks)
    with torch.no_grad():
        torch.testing.assert_close(found(inputs), working.network(inputs), atol=1e-5, rtol=1e-5)
    of_parameters = working.masks(masks)
    assert sum(int(m.sum()) for m in of_parameters.values()) == sum(
        int(m.sum()) for m in masks.values()
    )
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_removed_weights_stay_zero_in_training_copies_and_state_dicts(case):
    model, inputs = case
    working = Working(model, inputs[:2])
    masks = random_masks(working)
    found = working.finished(masks)
    other = working.finished(masks)
    found.train()
    optimizer = torch.optim.Adam(found.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        found(inputs).square().sum().backward()
        optimizer.step()
    found.eval()
    for name, mask in working.masks(masks).items():
        owner, _, parameter = name.rpartition(".")
        weights = getattr(found.get_submodule(owner), parameter)
        assert not weights[~mask].any()
        assert weights[mask].any()
    other.load_state_dict(found.state_dict())
    copied = copy.deepcopy(found)
    with torch.no_grad():
        wanted = found(inputs)
        assert not torch.allclose(wanted, model(inputs), atol=1e-3)
        torch.testing.assert_close(other(inputs), wanted)
        torch.testing.assert_close(copied(inputs), wanted)


def test_embeddings_stay_and_are_named():
    model, inputs = made("tokens")
    assert Working(model, inputs[:2]).left_dense == {"embedding": "an embedding"}


def test_weights_that_two_layers_share_stay():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(7, 4)
            self.inside = nn.Linear(4, 4)
            self.out = nn.Linear(4, 7, bias=False)
            self.out.weight = self.words.weight

        def forward(self, tokens):
            return self.out(self.inside(self.words(tokens)).mean(1))

    working = Working(Tied(), torch.zeros(2, 3, dtype=torch.long))
    assert [layer.name for layer in working.layers] == ["inside"]
    assert "its weights are those of" in working.left_dense["out"]


def test_a_layer_that_does_not_run_stays():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, inputs):
            return self.used(inputs)

    working = Working(Spare(), torch.zeros(2, 2))
    assert working.left_dense == {"spare": "it does not run"}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.ReLU()), "no layer that can be pruned"),
        (nn.Sequential(nn.LazyLinear(2)), "call it on one batch"),
        ("a network", "takes an nn.Module"),
    ],
)
def test_what_cannot_be_pruned(model, words):
    with pytest.raises(TaskError, match=words):
        Working(model, torch.zeros(2, 2))
