"""How steady the gradients of a network's weights are over mini-batches.

Li, Yang, Bhardwaj and Marculescu, "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on
Gradients" (2023): the proxy, with the deviation of the signed gradient as in its authors' code.
"""

from typing import Any

from torch import nn

from evotune.proxies.losses import Loss
from evotune.proxies.passes import NoScoreError, Passes, one


def zico(module: nn.Module, inputs: Any, targets: Any, *, loss: Loss | None = None) -> float:
    """Return Σ over layers of log Σ over weights of mean ``|g|`` / std g, over two halves.

    Larger is better: gradients that agree train faster.

    Args:
        module: The network; it is left as it is.
        inputs: ``(examples, ...)``; 16 are enough.
        targets: ``(examples, ...)``.
        loss: Function of (output, targets); by default one that suits the targets.

    Raises:
        TaskError: See `score`.
    """
    return one("zico", measure, module, inputs, targets, loss)


def measure(passes: Passes) -> float:
    """Return the score of shared passes."""
    ratios = []
    for _, a, b in passes.gradients:
        spread = (a - b).abs()
        moved = spread > 0
        if moved.any():
            ratios.append(((a.abs() + b.abs())[moved] / spread[moved]).sum())
    if not ratios:
        raise NoScoreError("the loss has no gradient that differs between two halves of the batch")
    return float(sum(ratio.log() for ratio in ratios))
