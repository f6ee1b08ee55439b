"""How steeply a network's loss falls.

Abdelfattah, Mehrotra, Dudziak and Lane, "Zero-Cost Proxies for Lightweight NAS" (2021).
"""

from typing import Any

from torch import nn

from evotune.proxies.losses import Loss
from evotune.proxies.passes import NoScoreError, Passes, one


def grad_norm(module: nn.Module, inputs: Any, targets: Any, *, loss: Loss | None = None) -> float:
    """Return Σ over layers of ‖g‖, the gradient of the loss by the weights; larger is better.

    Args:
        module: The network; it is left as it is.
        inputs: ``(examples, ...)``; 16 are enough.
        targets: ``(examples, ...)``.
        loss: Function of (output, targets); by default one that suits the targets.

    Raises:
        TaskError: See `score`.
    """
    return one("grad_norm", measure, module, inputs, targets, loss)


def measure(passes: Passes) -> float:
    """Return the score of shared passes."""
    if not passes.gradients:
        raise NoScoreError("the loss does not depend on any weight")
    return float(sum(((a + b) / 2).norm() for _, a, b in passes.gradients))
