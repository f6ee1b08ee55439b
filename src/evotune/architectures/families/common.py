"""What the blocks of all families share: activations, and parts that may be absent."""

from collections import OrderedDict
from collections.abc import Callable

from torch import nn

from evotune.checks import did_you_mean
from evotune.errors import TaskError

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


def activation(name: str) -> nn.Module:
    """Return the activation of a name.

    Raises:
        TaskError: There is none.
    """
    if name not in ACTIVATIONS:
        raise TaskError(
            f"activation {name!r} is not known; choose {', '.join(ACTIVATIONS)}"
            f"{did_you_mean(str(name), ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]()


def in_order(**parts: nn.Module | None) -> nn.Sequential:
    """Return the given modules in order, by their names; None is left out."""
    return nn.Sequential(OrderedDict((n, part) for n, part in parts.items() if part is not None))
