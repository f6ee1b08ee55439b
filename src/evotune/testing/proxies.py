"""The contract of a zero-cost score as a test suite, and networks of many kinds to try it on."""

import math
import random
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

#: ``(module, inputs, targets) -> float``, larger is better.
Score = Callable[[nn.Module, Tensor, Tensor], float]
EXAMPLES, CLASSES, TOKENS = 8, 3, 11


class Recurrent(nn.Module):
    """Steps of numbers, or of tokens, to one output."""

    def __init__(self, kind: Callable[..., nn.Module], *, tokens: bool = False) -> None:
        super().__init__()
        self.before = nn.Embedding(TOKENS, 6) if tokens else nn.Identity()
        self.steps = kind(6, 16, 2, batch_first=True, dropout=0.3)
        self.output = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.output(self.steps(self.before(x))[0][:, -1])
        return found


class Attentive(nn.Module):
    """Attention over the steps, a functional activation and a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.output = nn.LayerNorm(6), nn.Linear(6, CLASSES)
        self.attention = nn.MultiheadAttention(6, 2, dropout=0.2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.norm(x)
        x = x + self.attention(seen, seen, seen, need_weights=False)[0]
        found: Tensor = self.output(nn.functional.silu(x).mean(1))
        return found


def image_network(activation: nn.Module) -> nn.Module:
    """Return a network of convolutions, with batch normalisation and dropout."""
    body = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), activation, nn.Dropout(0.4), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(64, CLASSES))


def dense_network() -> nn.Module:
    """Return a network of linear layers."""
    body = [nn.Linear(6, 12), nn.LayerNorm(12), nn.Tanh(), nn.Linear(12, 12), nn.SiLU()]
    return nn.Sequential(*body, nn.Linear(12, CLASSES))


def wave_network() -> nn.Module:
    """Return a network of convolutions along time."""
    body = [nn.Conv1d(5, 4, 3), nn.BatchNorm1d(4), nn.ELU(), nn.AdaptiveAvgPool1d(1)]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(4, CLASSES))


IMAGE, STEPS, VECTOR = (1, 6, 6), (5, 6), (6,)
#: Networks by name, with the shape of one example.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "relu": (lambda: image_network(nn.ReLU(inplace=True)), IMAGE),
    "gelu": (lambda: image_network(nn.GELU()), IMAGE),
    "dense": (dense_network, VECTOR),
    "wave": (wave_network, STEPS),
    "lstm": (lambda: Recurrent(nn.LSTM), STEPS),
    "gru": (lambda: Recurrent(nn.GRU), STEPS),
    "attention": (Attentive, STEPS),
}
each_network = pytest.mark.parametrize("name", list(NETWORKS))


def network(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network of a name, inputs and classes; always the same."""
    make, shape = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return make(), torch.randn(EXAMPLES, *shape), torch.arange(EXAMPLES) % CLASSES


class Broken(nn.Module):
    """A network that cannot be run."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no such shape")


class CutOff(nn.Module):
    """A network whose output does not depend on its inputs, nor on its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), CLASSES)


class ProxyContract:
    """What every zero-cost score must do; subclass it and define ``make``.

    Example::

        class TestMine(ProxyContract):
            def make(self):
                return my_score

    Attributes:
        tokens: False for a score that has no meaning, so is NaN, for inputs of whole numbers.
        runs: False for a score that does not run the network.
    """

    tokens: ClassVar[bool] = True
    runs: ClassVar[bool] = True

    def make(self) -> Score:
        """Return the score."""
        raise NotImplementedError("a score's test suite needs a method make(self)")

    @each_network
    def test_is_a_finite_number_and_the_same_again(self, name: str) -> None:
        score = self.make()
        found = score(*network(name))
        assert type(found) is float
        assert math.isfinite(found)
        torch.manual_seed(5)
        assert score(*network(name)) == found

    @each_network
    def test_targets_may_be_numbers(self, name: str) -> None:
        module, inputs, _ = network(name)
        assert math.isfinite(self.make()(module, inputs, torch.randn(EXAMPLES, CLASSES)))

    @each_network
    def test_leaves_everything_as_it_was(self, name: str) -> None:
        module, inputs, targets = network(name)
        module(inputs).sum().backward()
        next(iter(module.modules())).eval()  # one of them is in another mode than the rest
        for call in (lambda: None, lambda: self.make()(module, inputs, targets)):
            before = _state_of(module)
            call()
            assert _equal(before, _state_of(module))

    @each_network
    def test_needs_no_gradient_mode_and_no_training_mode(self, name: str) -> None:
        module, inputs, targets = network(name)
        found = self.make()(module, inputs, targets)
        module.eval()
        with torch.inference_mode():
            assert self.make()(module, inputs.clone(), targets) == found
        assert torch.is_grad_enabled()

    def test_tokens_are_scored_or_have_no_score(self) -> None:
        torch.manual_seed(0)
        tokens = torch.randint(TOKENS, (EXAMPLES, 5))
        found = self.make()(
            Recurrent(nn.LSTM, tokens=True), tokens, torch.arange(EXAMPLES) % CLASSES
        )
        assert math.isfinite(found) == self.tokens

    @pytest.mark.parametrize("kind", [Broken, CutOff])
    def test_what_cannot_be_computed_is_nan(self, kind: Callable[[], nn.Module]) -> None:
        found = self.make()(kind(), torch.randn(EXAMPLES, 6), torch.arange(EXAMPLES) % CLASSES)
        assert math.isnan(found) or (not self.runs and math.isfinite(found))


def _state_of(module: nn.Module) -> dict[str, Any]:
    """Return all that a score must leave as it is, copied."""
    grads = {n: None if p.grad is None else p.grad.clone() for n, p in module.named_parameters()}
    return {
        "weights and statistics": {n: t.clone() for n, t in module.state_dict().items()},
        "gradients": grads,
        "modes": [part.training for part in module.modules()],
        "trained": [p.requires_grad for p in module.parameters()],
        "torch's random state": torch.get_rng_state(),
        "other random states": (random.getstate(), str(np.random.get_state())),  # noqa: NPY002
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
    }


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[name], b[name]) for name in a)
    return bool(a == b)
