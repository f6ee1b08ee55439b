"""How much flows through a network's weights, over all paths, without any data.

Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively
conserving synaptic flow" (2020), summed over a network as in Abdelfattah, Mehrotra,
Dudziak and Lane, "Zero-Cost Proxies for Lightweight NAS" (2021).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from evotune.proxies.examples import each, total
from evotune.proxies.losses import Loss
from evotune.proxies.passes import Passes, one
from evotune.proxies.watching import LinearPaths


def synflow(module: nn.Module, inputs: Any, targets: Any, *, loss: Loss | None = None) -> float:
    """Return log Σ ``|g · w|`` where all weights are ``|w|``, inputs 1 and g = ∂(Σ outputs)/∂w.

    Normalisations and activations are left out, since one fixes the size of what flows and the
    other may cut it off; all is computed in float64, as products over many layers are large. Larger
    is better. Inputs that are whole numbers (tokens) stay as those of the first example.

    Args:
        module: The network; it is left as it is.
        inputs: ``(examples, ...)``; only the shape of one matters.
        targets: ``(examples, ...)``; not looked at.
        loss: Not looked at.

    Raises:
        TaskError: See `score`.
    """
    return one("synflow", measure, module, inputs, targets, loss)


def measure(passes: Passes) -> float:
    """Return the score of shared passes."""
    one_example = each(_ones, passes.examples.taken(slice(1)).inputs)
    with _all_positive(passes.ready) as weights, LinearPaths():
        flow = total(passes.ready(one_example))  # R, the flow
        gradients = torch.autograd.grad(flow, weights, allow_unused=True)
    found = [(g * w).abs().sum() for g, w in zip(gradients, weights, strict=True) if g is not None]
    return float(torch.stack(found).detach().sum().log())  # its saliency ∂R/∂w · w


def _ones(tensor: Tensor) -> Tensor:
    return torch.ones_like(tensor, dtype=torch.float64) if tensor.is_floating_point() else tensor


@contextmanager
def _all_positive(module: nn.Module) -> Iterator[list[Tensor]]:
    """Put |w| in float64 in the place of all weights for a while, and return those to be trained.

    Copying a network would take longer than all of its scores.
    """
    places = [
        (part, name, tensor)
        for part in module.modules()
        for name, tensor in (*part._parameters.items(), *part._buffers.items())
        if tensor is not None and tensor.is_floating_point()
    ]
    doubles = {tensor: _positive(tensor) for _, _, tensor in places}  # shared ones stay shared
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # of what the network itself makes as it runs
    try:
        for part, name, tensor in places:
            setattr(part, name, doubles[tensor])
        yield [double for double in doubles.values() if double.requires_grad]
    finally:
        torch.set_default_dtype(default)
        for part, name, tensor in places:
            setattr(part, name, tensor)


def _positive(tensor: Tensor) -> Tensor:
    double = tensor.detach().double()
    if not isinstance(tensor, nn.Parameter):
        return double
    return nn.Parameter(double.abs(), tensor.requires_grad)
