"""Losses by name, and how the shape of an output is matched to its target."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
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

    Of several outputs by name, the loss is the sum of their losses.

    Raises:
        TaskError: The name is not known, or the object is neither a name nor a callable. The
            function that is returned raises it where labels do not fit the model's outputs.
    """
    if isinstance(loss, type):
        raise TaskError(f"loss= is the class {loss.__name__}; write loss={loss.__name__}()")
    if callable(loss):
        return loss
    if not isinstance(loss, str):
        raise TaskError(f'loss= is a name such as "cross_entropy" or a function, got {loss!r}')
    function: Loss = pick("loss", loss, _OF_CLASSES | _ELEMENTWISE)

    def of_one(output: Tensor, target: Tensor) -> Tensor:
        if loss in _ELEMENTWISE:
            return function(*alike(output, target))
        try:
            return function(output, target)
        except (IndexError, RuntimeError, ValueError) as error:
            problem = _misfit(output, target)
            if problem is None:
                raise
            raise TaskError(f"loss {loss!r} {problem}") from error

    def of_all(output: Any, target: Any) -> Tensor:
        if not isinstance(output, Mapping):
            return of_one(output, one_target(target))
        pairs = by_name(output, target)
        return torch.stack([of_one(*pair) for pair in pairs.values()]).sum()

    return of_all


def _misfit(output: Tensor, target: Tensor) -> str | None:
    """Return what is wrong with the labels of classes where torch has refused them, in words."""
    has, classes = tuple(target.shape), output.shape[1] if output.dim() > 1 else 0
    needed = (*output.shape[:1], *output.shape[2:])
    if has == output.shape and not target.is_floating_point() and classes:
        return (
            f"needs one label an example, and the targets have {classes} whole numbers each, shape "
            f"{has}; of a one-hot code write y.argmax(axis=1)"
        )
    if has == (*needed, 1):
        return f"needs labels of shape {needed}, got {has}; write y[:, 0]"
    if has == needed and target.is_floating_point():
        return (
            f"needs labels that are whole numbers from 0 up, got {target.dtype}; write "
            'y.astype(int) or y.long(), or a loss for numbers, such as "mse"'
        )
    if has == needed and classes and target.numel():
        least, most = int(target.min()), int(target.max())
        if least < 0 or most >= classes:
            return (
                f"needs labels from 0 to {classes - 1}, one for each of the {classes} outputs of "
                f"the model, got some from {least} to {most}; if they begin at 1 write y - 1, if "
                "there are more classes give the model more outputs"
            )
    return None


def by_name(output: Mapping[str, Tensor], target: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """Return output and target of each of several outputs.

    Args:
        output: Tensors by name, ``(examples, ...)`` each.
        target: Tensors by the same names, or one tensor ``(examples, outputs)`` with a column for
            each, in the order of the outputs.

    Raises:
        TaskError: Targets and outputs do not belong together.
    """
    if isinstance(target, Mapping):
        if output.keys() != target.keys():
            raise TaskError(
                f"the model's outputs are {', '.join(output)}, and the targets "
                f"{', '.join(target)}; both need the same names"
            )
        return {name: (given, target[name]) for name, given in output.items()}
    if target.dim() != 2 or target.shape[1] != len(output):
        raise TaskError(
            f"the model has the outputs {', '.join(output)}, and the targets have shape "
            f"{tuple(target.shape)}; give a dict of targets by these names, or a column for each"
        )
    return dict(zip(output, zip(output.values(), target.unbind(1), strict=True), strict=True))


def one_target(target: Any) -> Tensor:
    """Return the target of a model with one output.

    Raises:
        TaskError: There are several, by name.
    """
    if isinstance(target, Mapping):
        raise TaskError(
            f"the model has one output, and its targets have the names {', '.join(target)}; give "
            "one tensor of targets, or a model that returns a dict with these names"
        )
    return target  # type: ignore[no-any-return]


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
