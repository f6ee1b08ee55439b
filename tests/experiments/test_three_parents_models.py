"""Tests of the networks of the three-parents experiments against hand computations."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from three_parents_models.capsules import CapsuleNetwork, margin_loss, route, squash
from three_parents_models.resnet import Block, ResNet
from three_parents_models.small import lenet, perceptron
from three_parents_models.translation import END, START, Translator, loss_of, perplexity
from torch import Tensor, nn


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _falls(model: nn.Module, loss: object, steps: int = 8) -> bool:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(steps):
        value: Tensor = loss()  # type: ignore[operator]
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses[-1] < losses[0]


# -- ResNet ---------------------------------------------------------------------------------------


def test_resnet_20_has_the_published_size() -> None:
    model = ResNet()
    assert sum(p.numel() for p in model.parameters()) == 269_722  # He et al.: 0.27 million
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 20
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_a_shortcut_skips_pixels_and_adds_channels_of_zeros() -> None:
    block = Block(4, 8).eval()
    nn.init.zeros_(block.second.weight)  # what remains is the shortcut
    x = torch.rand(1, 4, 6, 6)
    y = block(x)
    assert y.shape == (1, 8, 3, 3)
    assert torch.equal(y[:, 2:6], x[:, :, ::2, ::2])
    assert not y[:, [0, 1, 6, 7]].any()


def test_a_small_resnet_learns() -> None:
    model, x, y = ResNet(blocks=1, width=4), torch.randn(8, 3, 32, 32), torch.arange(8)
    assert _falls(model, lambda: F.cross_entropy(model(x), y))


# -- capsules -------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [0.5, 1.0, 3.0])
def test_squash_is_equation_1(q: float) -> None:
    s = torch.randn(5, 16, dtype=torch.float64)
    length = s.norm(dim=1, keepdim=True)
    expected = length**2 / (q + length**2) * s / length
    assert torch.allclose(squash(s, q), expected, atol=1e-6)
    assert (squash(100 * s, q).norm(dim=1) < 1).all()


def test_squash_has_a_gradient_at_zero() -> None:
    s = torch.zeros(1, 4, requires_grad=True)
    squash(s, 1.0).sum().backward()
    assert s.grad is not None
    assert s.grad.isfinite().all()


def _routed(votes: np.ndarray, q: float, routings: int) -> np.ndarray:
    """Follow procedure 1 of Sabour et al. with loops."""
    lower, higher, _ = votes.shape
    logits = np.zeros((lower, higher))
    for _ in range(routings):
        coupling = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        capsules = []
        for j in range(higher):
            s = sum(coupling[i, j] * votes[i, j] for i in range(lower))
            square = s @ s
            capsules.append(square / (q + square) * s / math.sqrt(square))
        for i in range(lower):
            for j in range(higher):
                logits[i, j] += votes[i, j] @ capsules[j]
    return np.stack(capsules)


@pytest.mark.parametrize("routings", [1, 2, 3, 5])
def test_routing_follows_the_procedure(routings: int) -> None:
    votes = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    found = route(votes, 0.7, routings)
    for example in range(2):
        expected = _routed(votes[example].numpy(), 0.7, routings)
        assert np.allclose(found[example].numpy(), expected, atol=1e-6)


def test_the_margin_loss_by_hand() -> None:
    lengths = torch.tensor([[0.8, 0.3], [0.95, 0.05]])
    # class 0: (0.9 − 0.8)² + 0.5·(0.3 − 0.1)²; class 1: (0.9 − 0.05)² + 0.5·(0.95 − 0.1)²
    expected = ((0.01 + 0.5 * 0.04) + (0.7225 + 0.5 * 0.7225)) / 2
    assert margin_loss(lengths, torch.tensor([0, 1])).item() == pytest.approx(expected)


def test_the_capsule_network_has_the_layout_of_the_example() -> None:
    model = CapsuleNetwork(width=64, q=0.5, routings=3)
    shapes = [m.weight.shape[:2] for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert [tuple(shape) for shape in shapes] == [(64, 3), (64, 64), (128, 64), (128, 128)]
    assert model.votes.weight.shape == (160, 128)
    lengths = model(torch.randn(2, 3, 32, 32))
    assert lengths.shape == (2, 10)
    assert ((lengths > 0) & (lengths < 1)).all()


def test_q_and_routings_matter_and_it_learns() -> None:
    x, y = torch.randn(12, 3, 32, 32), torch.arange(12) % 10
    model = CapsuleNetwork(width=4, q=0.5, routings=3)
    before = model(x)
    for name, value in (("q", 2.0), ("routings", 1)):
        other = CapsuleNetwork(width=4, **({"q": 0.5, "routings": 3} | {name: value}))
        other.load_state_dict(model.state_dict())
        assert not torch.allclose(other(x), before)
    assert _falls(model, lambda: margin_loss(model(x), y))


# -- translation ----------------------------------------------------------------------------------


def _translator(dropout: float = 0.0, layers: int = 1) -> Translator:
    return Translator(20, 30, units=8, layers=layers, dropout=dropout)


def _pairs() -> list[tuple[Tensor, Tensor]]:
    lengths = [(3, 5), (7, 2), (1, 4)]
    return [(torch.randint(3, 20, (a,)), torch.randint(3, 30, (b,))) for a, b in lengths]


def _by_hand(model: Translator, source: Tensor, target: Tensor) -> float:
    """Sum −log p of every word and of </s>, one sentence without any filling."""
    begun = torch.cat([torch.tensor([START]), target])
    ended = torch.cat([target, torch.tensor([END])])
    states = model(source[None], torch.tensor([len(source)]), begun[None])[0]
    logs = model.words(states).log_softmax(1)
    return -sum(logs[t, word].item() for t, word in enumerate(ended))


@pytest.mark.parametrize("layers", [1, 2])
def test_filling_up_changes_nothing(layers: int) -> None:
    model, pairs = _translator(layers=layers).eval(), _pairs()
    loss, words = loss_of(model, pairs)
    assert words == 5 + 2 + 4 + 3
    assert loss.item() == pytest.approx(sum(_by_hand(model, a, b) for a, b in pairs), rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_perplexity_by_hand(batch_size: int) -> None:
    model, pairs = _translator(dropout=0.5), _pairs()
    found = perplexity(model, pairs, batch_size)
    total = sum(_by_hand(model.eval(), a, b) for a, b in pairs)
    assert found == pytest.approx(math.exp(total / 14), rel=1e-5)


def test_a_model_that_knows_nothing_is_as_perplexed_as_there_are_words() -> None:
    model = _translator()
    nn.init.zeros_(model.words.weight)
    assert perplexity(model, _pairs(), 2) == pytest.approx(30.0, rel=1e-5)


def test_every_state_attends_to_the_source() -> None:
    model = _translator().eval()
    target = torch.tensor([[START, 5, 6]])
    with torch.no_grad():
        for weights in model.encoder.parameters():
            weights[:] = 0.0  # no state is handed over, and the memory is 0
        nothing = model(torch.tensor([[3, 4]]), torch.tensor([2]), target)
        model.combine.weight[:, :8] += 1.0  # takes in the context only
        assert torch.equal(model(torch.tensor([[3, 4]]), torch.tensor([2]), target), nothing)
        model.encoder.bias_ih_l0[:] = 1.0
        assert not torch.equal(model(torch.tensor([[3, 4]]), torch.tensor([2]), target), nothing)


def test_dropout_acts_in_training_only() -> None:
    model, pairs = _translator(dropout=0.5), _pairs()
    assert loss_of(model, pairs)[0].item() != loss_of(model, pairs)[0].item()
    model.eval()
    assert loss_of(model, pairs)[0].item() == loss_of(model, pairs)[0].item()


def test_the_translator_learns() -> None:
    model, pairs = _translator(dropout=0.1), _pairs()
    assert _falls(model, lambda: loss_of(model, pairs)[0])


# -- small ones -----------------------------------------------------------------------------------


def test_lenet_has_its_published_size_and_learns() -> None:
    model = lenet((6, 16), (120, 84), 0.0)
    assert sum(p.numel() for p in model.parameters()) == 61_706  # LeNet-5 with full connections
    x, y = torch.randint(0, 256, (8, 28, 28), dtype=torch.uint8), torch.arange(8)
    assert model(x).shape == (8, 10)
    assert _falls(model, lambda: F.cross_entropy(model(x), y))


def test_the_perceptron_drops_what_it_is_told() -> None:
    x = torch.randn(4, 64)
    model = perceptron(64, (16, 16), 0.5)
    assert not torch.equal(model(x), model(x))
    assert torch.equal(model.eval()(x), model(x))
