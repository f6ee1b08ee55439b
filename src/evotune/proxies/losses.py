"""The loss whose gradients proxies look at: a user's own, or one that suits the targets."""

from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from evotune.errors import TaskError
from evotune.proxies.examples import tensors_of

#: ``(output, targets) -> loss``, a tensor with one number.
Loss = Callable[[Any, Any], Tensor]


def check_loss(loss: Any) -> None:
    """Check what is given as ``loss=``.

    Raises:
        TaskError: It is no function, or a class.
    """
    if loss is not None and (isinstance(loss, type) or not callable(loss)):
        raise TaskError(
            "loss= is a function of (output, targets), such as torch.nn.functional.mse_loss, or "
            f"None for one that suits the targets; got {loss!r}"
        )


def suitable(output: Any, targets: Any) -> Tensor:
    """Return a loss by the type of the targets; of several outputs by name, the sum.

    Whole numbers are classes: cross-entropy of an output with one number a class, behind the
    examples ``(examples, classes, ...)`` or last ``(examples, ..., classes)``; with a single output
    the binary cross-entropy of logits. Other numbers are regressed: the mean squared error.

    Raises:
        ValueError: The shapes of output and targets do not fit.
    """
    if isinstance(output, Mapping):
        by_name = targets if isinstance(targets, Mapping) else _columns(output, targets)
        losses = [suitable(output[name], by_name[name]) for name in output]
        return losses[0] if len(losses) == 1 else sum(losses[1:], losses[0])
    output = tensors_of(output)[0]
    if targets.is_floating_point():
        return F.mse_loss(_alike(output, targets), targets.to(output.dtype))
    if output.dim() == targets.dim() + 1 and output.shape[1] > 1:
        if output[:, 0].shape == targets.shape:
            return F.cross_entropy(output, targets)
        if output.shape[:-1] == targets.shape:
            return F.cross_entropy(output.movedim(-1, 1), targets)
    return F.binary_cross_entropy_with_logits(_alike(output, targets), targets.to(output.dtype))


def _columns(output: Mapping[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
    return dict(zip(output, targets.unbind(1), strict=True))


def _alike(output: Tensor, targets: Tensor) -> Tensor:
    """Return the output in the shape of the targets; broadcasting would compare all with all."""
    if output.numel() != targets.numel() or len(output) != len(targets):
        raise ValueError(
            f"the output has shape {tuple(output.shape)} and the targets {tuple(targets.shape)}; "
            "give the loss that fits them as loss="
        )
    return output.reshape(targets.shape)
