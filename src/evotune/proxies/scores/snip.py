"""How much a network's loss depends on its weights.

Lee, Ajanthan and Torr, "SNIP: Single-shot Network Pruning based on Connection Sensitivity" (2019),
summed over a network as in Abdelfattah, Mehrotra, Dudziak and Lane, "Zero-Cost Proxies for
Lightweight NAS" (2021).
"""

from typing import Any

from torch import nn

from evotune.proxies.losses import Loss
from evotune.proxies.passes import NoScoreError, Passes, one


def snip(module: nn.Module, inputs: Any, targets: Any, *, loss: Loss | None = None) -> float:
    """Return Σ ``|g · w|`` over all weights, where g is the gradient of the loss; larger is better.

    Args:
        module: The network; it is left as it is.
        inputs: ``(examples, ...)``; 16 are enough.
        targets: ``(examples, ...)``.
        loss: Function of (output, targets); by default one that suits the targets.

    Raises:
        TaskError: See `score`.
    """
    return one("snip", measure, module, inputs, targets, loss)


def measure(passes: Passes) -> float:
    """Return the score of shared passes."""
    if not passes.gradients:
        raise NoScoreError("the loss does not depend on any weight")
    return float(sum((w * (a + b) / 2).abs().sum() for w, a, b in passes.gradients))
