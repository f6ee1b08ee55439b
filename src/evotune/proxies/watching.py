"""What a network does while it runs: which activations are on, or its bare linear paths.

Both are torch function modes: they see the calls of functional code and of a user's own modules
too, which hooks on modules would miss.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_BASES = (
    *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu"),
    *("mish", "tanh", "sigmoid", "hardtanh", "hardswish", "hardsigmoid", "softplus", "softsign"),
    *("tanhshrink", "softshrink", "hardshrink", "logsigmoid", "threshold"),
)
#: Activations that work element by element, by the names of their functions.
ACTIVATIONS = frozenset(name + end for name in _BASES for end in ("", "_"))
#: Recurrent layers and cells, whose activations are inside: the sign of their output is that of
#: the last one.
_RECURRENT = frozenset(
    name + end for name in ("lstm", "gru", "rnn_tanh", "rnn_relu") for end in ("", "_cell")
)
_NORMS = frozenset(
    ["batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm"]
)


class Signs(TorchFunctionMode):
    """Notes for each example which inputs of activations are above zero.

    Args:
        examples: How many examples run through the network.

    Attributes:
        found: One tensor of booleans ``(examples, units)`` for each call.
    """

    def __init__(self, examples: int) -> None:
        super().__init__()
        self.found: list[Tensor] = []
        self._examples = examples

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ACTIVATIONS:
            self._note(_first(args, kwargs))  # before the call, which may work in place
        result = func(*args, **kwargs)
        if name in _RECURRENT:
            self._note(result[0] if isinstance(result, tuple) else result)
        return result

    def _note(self, tensor: Any) -> None:
        if isinstance(tensor, Tensor):
            by_example = _by_example(tensor.detach(), self._examples)
            if by_example is not None:
                self.found.append(by_example > 0)


class LinearPaths(TorchFunctionMode):
    """Takes activations and normalisations out of a network, so that only its weights count."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in ACTIVATIONS or name in _NORMS:
            return _first(args, kwargs or {})
        return func(*args, **(kwargs or {}))


def _first(args: Any, kwargs: Mapping[str, Any]) -> Any:
    return args[0] if args else kwargs.get("input")


def _by_example(tensor: Tensor, examples: int) -> Tensor | None:
    """Return a tensor as ``(examples, units)``; None where it has no dimension of examples."""
    if tensor.dim() and len(tensor) % examples == 0 and len(tensor):
        return tensor.reshape(examples, -1)
    if tensor.dim() > 1 and tensor.shape[1] == examples:  # the steps of a sequence come first
        return torch.movedim(tensor, 1, 0).reshape(examples, -1)
    return None
