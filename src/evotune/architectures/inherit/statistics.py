"""Normalisations set by one batch, in one pass in which each sees what the earlier ones do."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from evotune.architectures.inherit.rules import Waiting, read, write
from evotune.errors import TaskError

#: Examples that are looked at.
EXAMPLES = 500


def settle(
    network: nn.Module,
    waiting: dict[nn.Module, Waiting],
    inputs: Tensor | Mapping[str, Tensor] | Sequence[Tensor] | None,
) -> None:
    """Set mean and variance of normalisations, and gain and offset of those that are identities.

    Args:
        network: The child; its weights are there.
        waiting: What to set.
        inputs: Examples, of which at most 500 are read. Without them, new normalisations expect
            mean 0 and variance 1, which is exact in evaluation mode, and others stay as they are.

    Raises:
        TaskError: The network does not run on the inputs.
    """
    if inputs is None:
        for norm, wanted in waiting.items():
            _expect_nothing(norm, wanted)
        return
    if not waiting:
        return
    batch = _first(inputs)
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with ExitStack() as hooks, torch.no_grad():
            for norm, wanted in waiting.items():
                handle = norm.register_forward_pre_hook(partial(_set, wanted=wanted))
                hooks.callback(handle.remove)
            network(*batch)
    except Exception as error:
        parts = batch[0].values() if isinstance(batch[0], dict) else batch
        shapes = ", ".join(str(tuple(part.shape)) for part in parts)
        raise TaskError(
            f"inherit: the network cannot be run on inputs of shape {shapes}: {error}; give a "
            "batch of examples as it is trained on, or inputs=None"
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode


def _first(inputs: Tensor | Mapping[str, Tensor] | Sequence[Tensor]) -> list[Any]:
    """Return the arguments of a call on the first examples."""
    if isinstance(inputs, Mapping):
        return [{name: part[:EXAMPLES] for name, part in inputs.items()}]
    parts = [inputs] if isinstance(inputs, Tensor) else inputs
    return [part[:EXAMPLES] for part in parts]


def _set(norm: Any, args: tuple[Tensor, ...], wanted: Waiting) -> None:
    """Set a normalisation by what it is about to read."""
    if isinstance(norm, nn.LayerNorm):
        x = args[0].double()
        dims = tuple(range(x.dim() - len(norm.normalized_shape), x.dim()))
        std = (x.var(dims, unbiased=False) + norm.eps).sqrt().mean()
        _pass_on(norm, std.expand_as(norm.weight), x.mean().expand_as(norm.weight), wanted)
        return
    if norm.running_mean is None:
        return
    count = args[0].numel() // len(norm.running_mean)
    if count > 1:  # of a single value there is no variance
        momentum, norm.momentum, norm.training = norm.momentum, 1.0, True
        norm.forward(*args)  # it knows best where its channels are
        norm.momentum, norm.training = momentum, False
        write(norm.running_var, read(norm.running_var) * (1 - 1 / count))  # as in training mode
    mean, var = read(norm.running_mean), read(norm.running_var)
    _pass_on(norm, (var + norm.eps).sqrt(), mean, wanted)


def _pass_on(norm: Any, std: Tensor, mean: Tensor, wanted: Waiting) -> None:
    if wanted.factor is not None:
        add = torch.as_tensor(wanted.add, dtype=mean.dtype).to(mean.device)
        write(norm.weight, wanted.factor * std)
        if norm.bias is not None:
            write(norm.bias, wanted.factor * mean + add)


def _expect_nothing(norm: Any, wanted: Waiting) -> None:
    if wanted.factor is not None:
        zeros = torch.zeros(norm.weight.shape, dtype=torch.float64)
        _pass_on(norm, (zeros + 1 + norm.eps).sqrt(), zeros, wanted)
