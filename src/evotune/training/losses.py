"""Losses by name, and how the shape of an output is matched to its target."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from evotune.errors import TaskError
from evotune.training.params import pick

#: ``(output, target) -> loss``, a tensor with one number.
Loss = Callable[[Tensor, Tensor], Tensor]

_OF_CLASSES: dict[str, Loss] = {"cross_entropy": F.cross_entropy, "nll": F.nll_loss}
_OF_PROBABILITIES: dict[str, Loss] = {
    "bce": F.binary_cross_entropy,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
}
_OF_DISTANCE: dict[str, Loss] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
    "huber": F.huber_loss,
}
_ELEMENTWISE = _OF_PROBABILITIES | _OF_DISTANCE


def find_loss(loss: str | Loss) -> Loss:
    """Return the loss function of a name; a callable is returned as it is.

    Raises:
        TaskError: The name is not known, or the object is neither a name nor a callable.
    """
    if isinstance(loss, type):
        raise TaskError(f"loss= is the class {loss.__name__}; write loss={loss.__name__}()")
    if callable(loss):
        return loss
    if not isinstance(loss, str):
        raise TaskError(f'loss= is a name such as "cross_entropy" or a function, got {loss!r}')
    function: Loss = pick("loss", loss, _OF_CLASSES | _ELEMENTWISE)
    if loss not in _ELEMENTWISE:
        return function
    return lambda output, target: function(*alike(output, target))


def is_regression(loss: str | Loss) -> bool:
    """Return True for a named regression loss, for which there are no classes."""
    return isinstance(loss, str) and loss in _OF_DISTANCE


def alike(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return output and target with the target's shape and the output's dtype.

    An output ``(batch, 1)`` matches a target ``(batch,)`` and the reverse; any other difference is
    an error, as broadcasting to ``(batch, batch)`` would silently train nonsense.

    Raises:
        ValueError: The shapes do not fit.
    """
    if output.shape != target.shape:
        if output.shape != (*target.shape, 1) and target.shape != (*output.shape, 1):
            raise ValueError(
                f"the model's output has shape {tuple(output.shape)}, the target "
                f"{tuple(target.shape)}; this loss needs the same shape for both"
            )
        output = output.reshape(target.shape)
    return output, target.to(output.dtype)
