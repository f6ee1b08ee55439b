"""Averages of a network's weights over the steps of training, which are measured in its place.

References: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992);
Izmailov et al., "Averaging weights leads to wider optima and better generalization" (2018).
"""

import copy
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from evotune.checks import option
from evotune.errors import TaskError

Averaging = Literal["ema", "swa"]
#: What a task may be given: ``"auto"`` is ``"ema"`` for the members of a population, else None.
AveragingOption = Averaging | Literal["auto"] | None
#: Epochs after which the share of weights in a moving average has halved, where nothing is given:
#: a time constant of half an epoch, which was best on perceptrons and small convolutional networks.
HALF_LIFE = 0.35


def check_averaging(averaging: Any, half_life: Any) -> None:
    """Refuse what is no way to average weights.

    Raises:
        TaskError: It is none, or a half-life that has no effect.
    """
    if averaging not in ("auto", "ema", "swa", None):
        raise TaskError(
            f'averaging= is "ema" (a moving average), "swa" (the mean of the second half of a '
            f'trial\'s steps), None, or "auto" ("ema" in a population), got {averaging!r}'
        )
    if half_life is not None:
        if averaging not in ("ema", "auto"):
            raise TaskError(
                f"half_life={half_life!r} is of a moving average and has no effect on "
                f'averaging={averaging!r}; write averaging="ema"'
            )
        check_half_life(half_life)


def check_half_life(given: Any) -> float:
    """Return a half-life in epochs, a number above 0.

    Raises:
        TaskError: It is something else.
    """
    return float(option("half_life", given, "(0, inf)", error_type=TaskError))


class Average:
    """The average of a network's weights, floating-point buffers included.

    ``"ema"`` is an exponential moving average A ← A + s·(W − A) over the steps t of the line of
    weights, with s = (1 − β) / (1 − βᵗ) and β = 0.5^(1 / (half-life · steps per epoch)): the
    divisor takes away the share of the first weights, as in Kingma and Ba, "Adam: a method for
    stochastic optimization" (2015), section 3. ``"swa"`` is the plain mean of the weights after
    each step of the second half of the trial's steps; before, it is the weights themselves.

    Args:
        network: The network that is trained.
        averaging: ``"ema"`` or ``"swa"``.
        half_life: In epochs; for ``"ema"``.
        steps: Of an epoch.
        epochs: Of the trial.

    Attributes:
        network: A copy of the network, with the averages as its weights.

    Raises:
        TaskError: The network cannot be copied.
    """

    def __init__(
        self, network: nn.Module, averaging: Averaging, half_life: float, steps: int, epochs: int
    ) -> None:
        try:
            self.network = copy.deepcopy(network)
        except Exception as error:
            raise TaskError(
                f"averaging={averaging!r} keeps the averages in a copy of the network, and "
                f"{type(network).__name__} cannot be copied: {type(error).__name__}: {error}"
            ) from error
        self._half_life = half_life
        self._averaging = averaging
        self._steps, self._all = steps, steps * epochs
        self._start: int | None = None  # epoch of the line of weights that this trial began with
        self._pairs: tuple[list[Tensor], list[Tensor]] | None = None

    def shares(self, epoch: int) -> list[float]:
        """Return for each step of an epoch which share of the average the newest weights get.

        Args:
            epoch: Number of the epoch in the line of weights, from 0.
        """
        if self._start is None:
            self._start = epoch
        if self._averaging == "ema":
            rate = math.log(2) / self._half_life / self._steps  # beta is exp(-rate)
            first = epoch * self._steps + 1
            return [_share(rate, t) for t in range(first, first + self._steps)]
        first = (epoch - self._start) * self._steps - self._all // 2
        return [1 / max(1, first + step + 1) for step in range(self._steps)]

    def take(self, network: nn.Module, share: float) -> None:
        """Give the newest weights their share of the average.

        Args:
            network: The network that is trained, after a step.
            share: In (0, 1].
        """
        with torch.no_grad():
            averages, newest = self._tensors(network)
            torch._foreach_lerp_(averages, newest, share)
            for own, other in zip(_whole(self.network), _whole(network), strict=True):
                own.copy_(other)

    def _tensors(self, network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
        if self._pairs is None:
            if any(map(is_lazy, self.network.parameters())):  # their size came with the first step
                self.network.load_state_dict(network.state_dict())
            self._pairs = averaged(self.network), averaged(network)
        return self._pairs

    def like(self, network: nn.Module, weights: Sequence[Tensor]) -> list[Tensor]:
        """Return the averages of some weights of the network that is trained."""
        names = {id(weight): name for name, weight in network.named_parameters()}
        return [self.network.get_parameter(names[id(weight)]).detach() for weight in weights]


def _share(rate: float, step: int) -> float:
    return math.expm1(-rate) / math.expm1(-rate * step) if rate * step else 1 / step


def averaged(network: nn.Module) -> list[Tensor]:
    """Return the tensors that are averaged: parameters, and buffers such as running means."""
    tensors = [*network.parameters(), *network.buffers()]
    return [tensor.detach() for tensor in tensors if _is_averaged(tensor)]


def _whole(network: nn.Module) -> list[Tensor]:
    """Return the buffers of whole numbers, such as counts of batches, which are copied."""
    return [buffer for buffer in network.buffers() if not _is_averaged(buffer)]


def _is_averaged(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()
