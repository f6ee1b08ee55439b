"""How differently a network's output depends on the inputs of different examples.

Mellor, Turner, Storkey and Crowley, "Neural Architecture Search without Training", first version
(2020), section 3; as in Abdelfattah, Mehrotra, Dudziak and Lane, "Zero-Cost Proxies for Lightweight
NAS" (2021).
"""

from typing import Any

import torch
from torch import nn

from evotune.proxies.losses import Loss
from evotune.proxies.passes import NoScoreError, Passes, one

#: Keeps the logarithm of an eigenvalue of zero finite.
SMALL = 1e-5


def jacob_cov(module: nn.Module, inputs: Any, targets: Any, *, loss: Loss | None = None) -> float:
    """Return −Σ (log(λ + k) + 1 / (λ + k)) over the eigenvalues λ of a correlation, k = 1e-5.

    It is the correlation of the gradients of the summed outputs by the inputs, between examples.
    Larger is better: the examples are treated less alike. NaN where the inputs are whole numbers
    (tokens), which have no gradients.

    Args:
        module: The network; it is left as it is.
        inputs: ``(examples, ...)``; 16 are enough.
        targets: ``(examples, ...)``; not looked at.
        loss: Not looked at.

    Raises:
        TaskError: See `score`.
    """
    return one("jacob_cov", measure, module, inputs, targets, loss)


def measure(passes: Passes) -> float:
    """Return the score of shared passes."""
    gradients = passes.input_gradients
    if (gradients.std(dim=1) == 0).any():
        raise NoScoreError(
            "the output depends on no single input of an example more than on others"
        )
    values = torch.linalg.eigvalsh(torch.corrcoef(gradients)) + SMALL
    return -float((values.log() + 1 / values).sum())
