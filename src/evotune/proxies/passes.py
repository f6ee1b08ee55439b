"""The forwards and backwards that scores share, on a copy of the network."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, nan
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from evotune.errors import TaskError
from evotune.once import warn_once
from evotune.proxies.examples import Examples, each, examples_of, tensors_of, total
from evotune.proxies.losses import Loss, check_loss, suitable
from evotune.proxies.watching import Signs

#: Seed of what a network draws at random while it runs.
SEED = 0


class NoScoreError(Exception):
    """A score has no meaning for a network or its inputs; it is NaN then."""


@dataclass(frozen=True, slots=True)
class _Forward:
    inputs: Any
    output: Any
    targets: Any
    signs: list[Tensor]


class Passes:
    """Forwards and backwards of a network on the two halves of a mini-batch, each made once.

    Batch normalisation works as in training, with the statistics of the half; nothing is dropped
    at random.

    Args:
        module: The network.
        examples: The mini-batch.
        loss: Function of (output, targets); None for one that suits the targets.

    Attributes:
        module: The network; its mode and statistics change.
        examples: The mini-batch, on the device of the network.
    """

    def __init__(self, module: nn.Module, examples: Examples, loss: Loss | None = None) -> None:
        self.module = as_in_training(module)
        self.examples = examples
        self._loss = loss or suitable

    @property
    def ready(self) -> nn.Module:
        """The network; parameters of lazy modules have got their shapes from the first inputs."""
        if any(is_lazy(p) for p in self.module.parameters()):
            _ = self._forwards
        return self.module

    @cached_property
    def _forwards(self) -> list[_Forward]:
        return [self._run(half) for half in self.examples.halves()]

    def _run(self, half: Examples) -> _Forward:
        inputs = each(_ready, half.inputs)
        with Signs(len(half)) as signs:
            output = self.module(inputs)
        return _Forward(inputs, output, half.targets, signs.found)

    @cached_property
    def signs(self) -> list[Tensor]:
        """Which inputs of activations are above zero, ``(examples, units)`` for each activation."""
        first, second = (forward.signs for forward in self._forwards)
        return [torch.cat(pair) for pair in zip(first, second, strict=True)]

    @cached_property
    def weights(self) -> list[nn.Parameter]:
        """The matrices and kernels that are trained; biases and gains of norms are none."""
        found = [p for p in self.ready.parameters() if p.dim() > 1 and p.requires_grad]
        if not found:
            raise NoScoreError("the network has no weights that are trained")
        return found

    @cached_property
    def gradients(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Weights that the loss depends on, with their gradients in each half, in float64."""
        weights, halves = self.weights, []
        for forward in self._forwards:
            loss = self._loss(forward.output, forward.targets)
            halves.append(_gradients(loss, weights))
        return [
            (weight.detach().double(), a.double(), b.double())
            for weight, a, b in zip(weights, *halves, strict=True)
            if a is not None and b is not None
        ]

    @cached_property
    def input_gradients(self) -> Tensor:
        """The gradient of the sum of all outputs for each example, ``(examples, features)``."""
        return torch.cat([_input_gradients(forward) for forward in self._forwards])


#: What a score is on shared passes.
Measure = Callable[[Passes], float]


def as_in_training(module: nn.Module) -> nn.Module:
    """Put a network into training mode, but let it drop nothing at random; return it."""
    module.train()
    for part in module.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.eval()
        elif isinstance(getattr(part, "dropout", None), float):  # recurrent layers, attention
            part.dropout = 0.0  # type: ignore[assignment]
    return module


def _ready(tensor: Tensor) -> Tensor:
    copied = tensor.clone()
    return copied.requires_grad_() if copied.is_floating_point() else copied


def _gradients(of: Tensor, to: list[Any]) -> tuple[Tensor | None, ...]:
    found = torch.autograd.grad(of, to, retain_graph=True, allow_unused=True)
    return tuple(g if g is None or not g.is_sparse else g.to_dense() for g in found)


def _input_gradients(forward: _Forward) -> Tensor:
    inputs = [tensor for tensor in tensors_of(forward.inputs) if tensor.requires_grad]
    if not inputs:
        raise NoScoreError("inputs that are whole numbers have no gradients")
    found = _gradients(total(forward.output), inputs)
    if None in [g if g is None else 0 for g in found]:
        raise NoScoreError("the output does not depend on the inputs")
    return torch.cat([g.flatten(1).double() for g in found if g is not None], dim=1)


@contextmanager
def undisturbed(device: torch.device, seed: int = SEED) -> Iterator[None]:
    """Seed torch for a while, with gradients on and one thread: sums depend on their order."""
    threads = torch.get_num_threads()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
        # torch.manual_seed would note a stack for each device that is not there.
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def one(
    name: str,
    measure: Measure,
    module: nn.Module,
    inputs: Any,
    targets: Any,
    loss: Loss | None,
) -> float:
    """Return one score of a network; the arguments are those of `evotune.proxies.score`."""
    return measured({name: measure}, module, examples_of(inputs, targets), loss)[name]


def measured(
    measures: Mapping[str, Measure],
    module: nn.Module,
    examples: Examples,
    loss: Loss | None = None,
    *,
    owned: bool = False,
) -> dict[str, float]:
    """Return scores of a network that share forwards and backwards, by name.

    Args:
        measures: What is measured, by name.
        module: The network; a copy is measured, so that it stays as it is.
        examples: The mini-batch.
        loss: Function of (output, targets); None for one that suits the targets.
        owned: Nobody needs the network any more, so that it is not copied.

    Raises:
        TaskError: The network or the loss is none, or it cannot be copied.
    """
    check_loss(loss)
    if not isinstance(module, nn.Module):
        raise TaskError(f"proxies judge an nn.Module, got {module!r}")
    device = next((p.device for p in module.parameters()), examples.device)
    with undisturbed(device):
        passes = Passes(module if owned else _copied(module), examples.on(device), loss)
        return {name: finite(name, measure, passes) for name, measure in measures.items()}


def _copied(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise TaskError(
            f"{type(module).__name__} cannot be copied ({type(error).__name__}: {error}), and a "
            "copy is what proxies run; make copy.deepcopy(network) work"
        ) from error


def finite(name: str, measure: Measure, passes: Passes) -> float:
    """Return a score, NaN where it cannot be computed or is not finite; the log says why, once."""
    try:
        score = float(measure(passes))
    except TaskError:
        raise
    except Exception as error:
        say_once(name, f"{type(error).__name__}: {error}".removeprefix("NoScoreError: "))
        return nan
    if not isfinite(score):
        say_once(name, f"of a network it would be {score}")
    return score if isfinite(score) else nan


def say_once(name: str, why: str) -> None:
    """Log why a score is NaN, the first time in this process."""
    warn_once(("score", name, why), "a score %s is NaN: %s (said once)", name, why)
