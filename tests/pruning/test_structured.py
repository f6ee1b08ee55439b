"""Sparsity with a structure: so many weights of each group, and whole channels."""

import pytest
import torch
from torch import nn

import evotune as et
from evotune.errors import TaskError
from helpers_pruning import NETWORKS, Residual, made, perceptron


def convolutional():
    torch.manual_seed(0)
    layers = [nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 4, 3)), torch.randn(40, 4, 6, 6)


@pytest.mark.parametrize("method", ["auto", "magnitude", "lamp", "synflow"])
def test_so_many_of_each_group_of_neighbours(method):
    """Neighbours read neighbouring channels at one place of the kernel."""
    model, x = convolutional()
    result = et.prune(model, data=x, structure="2:4", method=method)
    for name in ("0.weight", "2.weight"):
        mask = result.masks[name].movedim(1, -1)  # channels last
        assert mask.reshape(-1, 4).sum(1).max() <= 2
    assert result.masks["5.weight"].reshape(-1, 4).sum(1).max() <= 2
    assert 0.5 <= result.sparsity < 0.6


def test_rows_that_do_not_divide_stay_dense():
    result = et.prune(perceptron(), data=torch.randn(60, 6), structure="1:4")
    assert result.left_dense["0"] == "the 6 weights of a row do not divide into groups of 4"
    assert "0.weight" not in result.masks
    assert 0.75 <= result.sparsity < 0.9  # dead ones go too


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_of_every_kind_of_network(name):
    model, inputs = made(name)
    result = et.prune(model, 0.5, data=inputs, structure="channels")
    assert result.sparsity >= 0.5
    small = result.compact()
    with torch.no_grad():
        torch.testing.assert_close(small(inputs), result.model(inputs), atol=1e-5, rtol=1e-5)


def test_channels_go_as_a_whole_and_the_network_becomes_smaller():
    model, x = Residual(), torch.randn(60, 1, 8, 8)
    torch.manual_seed(1)
    result = et.prune(model, 0.6, data=x, structure="channels")
    for name, mask in result.masks.items():
        rows = mask.flatten(1).any(1)
        columns = mask.any(0)
        full = (rows.reshape(-1, 1) & columns.flatten()[None]).reshape(mask.shape)
        assert torch.equal(mask, full), name  # no hole inside
    count = sum(p.numel() for p in result.compact().parameters())
    assert count < 0.6 * sum(p.numel() for p in model.parameters())


def test_channels_lose_less_than_by_their_norm():
    torch.manual_seed(0)
    x = torch.randn(500, 6)
    model = perceptron()
    with torch.no_grad():
        wanted = model(x)
    errors = []
    for method in ("auto", "magnitude"):
        result = et.prune(model, 0.6, data=x, structure="channels", method=method)
        with torch.no_grad():
            errors.append(float((result.model(x) - wanted).square().mean()))
    assert errors[0] <= errors[1]


BAD = [
    ({"structure": "4:2"}, "write such as '2:4'"),
    ({"structure": "2/4"}, "write such as '2:4'"),
    ({"structure": 2}, "write such as '2:4'"),
    ({"structure": "2:4", "sparsity": 0.9}, "is not that of the structure, which is 0.5"),
    ({"structure": "2:4", "refine": 3}, "moves single weights"),
    ({"structure": "channels", "method": "erk"}, "fills layers"),
    ({"structure": "channels", "sparsity": 0.99}, "one channel of each layer"),
    ({"structure": "1:7"}, "do not divide into groups of 7"),
]


@pytest.mark.parametrize(("options", "words"), BAD)
def test_what_cannot_be_done_says_so(options, words):
    with pytest.raises(TaskError, match=words):
        et.prune(perceptron(), data=torch.randn(60, 6), **options)


def test_one_layer_has_no_channels_to_spare():
    with pytest.raises(TaskError, match="no layer reads the channels of another"):
        et.prune(nn.Linear(6, 4), 0.5, data=torch.randn(60, 6), structure="channels")
