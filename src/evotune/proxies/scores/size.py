"""How large a network is: on many spaces the strongest of all proxies, so always worth a look.

White, Khodak, Tu, Shah, Bubeck and Dey, "A Deeper Look at Zero-Cost Proxies for Lightweight NAS"
(2022).
"""

from typing import Any

from torch import nn

from evotune.architectures.cost import cost
from evotune.proxies.examples import tensors_of
from evotune.proxies.losses import Loss
from evotune.proxies.passes import NoScoreError, Passes, one


def params(module: nn.Module, inputs: Any, targets: Any, *, loss: Loss | None = None) -> float:
    """Return the number of trained parameters; larger is taken for better.

    Args:
        module: The network; it is left as it is.
        inputs: ``(examples, ...)``; not looked at.
        targets: ``(examples, ...)``; not looked at.
        loss: Not looked at.

    Raises:
        TaskError: See `score`.
    """
    return one("params", measure_params, module, inputs, targets, loss)


def multiply_adds(
    module: nn.Module, inputs: Any, targets: Any, *, loss: Loss | None = None
) -> float:
    """Return the multiplications with addition of one example; larger is taken for better.

    They are counted by `evotune.cost`.

    Args:
        module: The network; it is left as it is.
        inputs: ``(examples, ...)``; only the first one matters.
        targets: ``(examples, ...)``; not looked at.
        loss: Not looked at.

    Raises:
        TaskError: See `score`.
    """
    return one("multiply_adds", measure_multiply_adds, module, inputs, targets, loss)


def measure_params(passes: Passes) -> float:
    """Return the parameters of the network of shared passes."""
    return float(sum(p.numel() for p in passes.ready.parameters() if p.requires_grad))


def measure_multiply_adds(passes: Passes) -> float:
    """Return the multiplications of the network of shared passes."""
    inputs = tensors_of(passes.examples.taken(slice(1)).inputs)
    if len(inputs) > 1:
        raise NoScoreError("multiplications are counted for networks of one input only")
    return float(cost(passes.ready, inputs[0]).multiply_adds)
