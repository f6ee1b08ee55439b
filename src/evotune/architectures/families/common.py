"""What the blocks of all families share: checked settings, activations, and modules in order."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from evotune.checks import did_you_mean, option
from evotune.errors import TaskError

#: The shape of one example, without the batch.
Shape = tuple[int, ...]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}


def activation_named(name: str) -> nn.Module:
    """Return the activation of a name.

    Raises:
        TaskError: There is none.
    """
    one_of("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


def one_of(setting: str, value: Any, known: Iterable[str]) -> None:
    """Check a setting that is one of several names.

    Raises:
        TaskError: It is none of them.
    """
    if value not in tuple(known):
        raise TaskError(
            f"{setting} {value!r} is not known; choose {', '.join(known)}"
            f"{did_you_mean(str(value), known)}"
        )


def counts(**settings: Any) -> None:
    """Check settings that count something.

    Raises:
        TaskError: One is not a whole number from 1 up.
    """
    for name, value in settings.items():
        option(name, value, "[1, inf)", whole=True, error_type=TaskError)


def dropped(share: float, kind: type[nn.Module] = nn.Dropout) -> nn.Module | None:
    """Return a dropout module, or None for a share of 0.

    Raises:
        TaskError: The share is not in [0, 1).
    """
    share = option("dropout", share, "[0, 1)", error_type=TaskError)
    return kind(share) if share else None


def in_order(**parts: nn.Module | None) -> nn.Sequential:
    """Return the given modules in order, by their names; None is left out."""
    return nn.Sequential(OrderedDict((n, part) for n, part in parts.items() if part is not None))
