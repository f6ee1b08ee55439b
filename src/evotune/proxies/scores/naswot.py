"""How differently a network codes examples by which of its activations are on.

Mellor, Turner, Storkey and Crowley, "Neural Architecture Search without Training" (2021), section
3.
"""

from typing import Any

import torch
from torch import nn

from evotune.proxies.losses import Loss
from evotune.proxies.passes import NoScoreError, Passes, one


def naswot(module: nn.Module, inputs: Any, targets: Any, *, loss: Loss | None = None) -> float:
    """Return log ``|K|``, where K counts the activations with equal signs of each two examples.

    The signs are those of the inputs of all activations that work element by element (ReLU, GELU,
    tanh, SiLU, ELU, ...), and of the outputs of recurrent layers. Larger is better: examples are
    told apart more easily. NaN where two examples have the same signs throughout, or the network
    has no such activation.

    Args:
        module: The network; it is left as it is.
        inputs: ``(examples, ...)``; 16 are enough.
        targets: ``(examples, ...)``; not looked at.
        loss: Not looked at.

    Raises:
        TaskError: See `score`.
    """
    return one("naswot", measure, module, inputs, targets, loss)


def measure(passes: Passes) -> float:
    """Return the score of shared passes."""
    if not passes.signs:
        raise NoScoreError("the network has no activation whose sign could be seen")
    examples = len(passes.examples)
    kernel = torch.zeros(examples, examples, dtype=torch.float64)
    for found in passes.signs:
        signs = found.float() * 2 - 1
        # of n units, agreeing - disagreeing = signs · signs, so agreeing = (n + signs · signs) / 2
        kernel += (((signs @ signs.T) + signs.shape[1]) / 2).double().cpu()
    return float(torch.linalg.slogdet(kernel)[1])
