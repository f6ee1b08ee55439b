"""Multiplications counted while a network runs; in a dry run, nothing is computed at all.

Both are torch function modes: they see every call of a torch function, also in blocks of a user's
own. Dispatch modes and meta tensors, on which torch's own counter is built, import for seconds when
they are first used, and see neither LSTM layers nor the fast path of attention.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: In a dry run tensors of more elements than this have a shape, but no memory.
LARGE = 4096

Args = tuple[Any, ...]


class Counter(TorchFunctionMode):
    """Counts the multiplications with addition of what runs inside.

    Counted are linear layers, convolutions, recurrent layers and cells, products of matrices and
    attention; what works element by element, looks up or normalises is not.

    Attributes:
        multiply_adds: How many there were, of all examples together.
    """

    def __init__(self) -> None:
        super().__init__()
        self.multiply_adds = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Args = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        result = self._call(name, func, args, kwargs)
        count = _COUNTS.get(name)
        if count is not None:
            self.multiply_adds += count(result, *args, **kwargs)
        return result

    def _call(self, name: str, func: Any, args: Args, kwargs: Mapping[str, Any]) -> Any:
        return func(*args, **kwargs)


class DryRun(Counter):
    """Builds and runs networks for their shapes and costs only, without their large tensors.

    Large weights get neither memory nor values, and the layers that use them return tensors of
    the right shape with values that mean nothing.
    """

    def _call(self, name: str, func: Any, args: Args, kwargs: Mapping[str, Any]) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if name == "empty" and kwargs.get("device") is None and _elements(args) > LARGE:
            return func(*args, **{**kwargs, "device": "meta"})
        dry = _DRY.get(name)
        return func(*args, **kwargs) if dry is None else dry(*args, **kwargs)


def _elements(args: Args) -> int:
    size = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
    return torch.Size(size).numel()


# -- counts: the result of a function, then its arguments -----------------------------------------


def _linear(out: Tensor, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return out.numel() * weight.shape[-1]


def _conv(out: Tensor, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return out.numel() * weight[0].numel()


def _transposed(out: Tensor, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return x.numel() * weight[0].numel()


def _product(out: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> int:
    return out.numel() * a.shape[-1]


def _sum_and_product(out: Tensor, c: Tensor, a: Tensor, b: Tensor, **_: Any) -> int:
    return out.numel() * a.shape[-1]


def _recurrent(out: Any, x: Tensor, *args: Any) -> int:
    # (hidden, weights, bias, ...), or for packed sequences (batch sizes, hidden, weights, ...)
    weights = args[_place_of_bias(args) - 1]
    rows: int = x.shape[:-1].numel()
    matrices: list[int] = [weight.numel() for weight in weights if weight.dim() == 2]
    return rows * sum(matrices)


def _place_of_bias(args: Args) -> int:
    return next(k for k, value in enumerate(args) if isinstance(value, bool))


def _cell(out: Any, x: Tensor, hidden: Any, *weights: Tensor) -> int:
    return len(x) * sum(weight.numel() for weight in weights[:2])


def _attention(out: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return (query.numel() + out.numel()) * key.shape[-2]


def _multi_head(out: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    length, width = len(key), query.shape[-1]
    projections = 2 * query.numel() + key.numel() + value.numel()  # of query and output, key, value
    return width * projections + 2 * query.numel() * length


_COUNTS: dict[str, Callable[..., int]] = {
    "linear": _linear,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed),
    **dict.fromkeys(("matmul", "__matmul__", "mm", "bmm", "mv"), _product),
    **dict.fromkeys(("addmm", "baddbmm"), _sum_and_product),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), _cell),
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _multi_head,
}


# -- results without values -----------------------------------------------------------------------


def _dry_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.empty(*x.shape[:-1], len(weight))


def _dry_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    sizes = zip(
        x.shape[-weight.dim() + 2 :],
        weight.shape[2:],
        *(_each(given, weight.dim() - 2) for given in (stride, padding, dilation)),
        strict=True,
    )
    places = [_places(*each) for each in sizes]
    return torch.empty(*x.shape[: -len(places) - 1], len(weight), *places)


def _each(given: Any, count: int) -> list[Any]:
    if isinstance(given, int | str):
        return [given] * count
    return list(given) * (count if len(given) == 1 else 1)


def _places(size: int, kernel: int, stride: int, padding: int | str, dilation: int) -> int:
    """Return how many places of one axis a convolution has."""
    if padding == "same":
        return size
    around = 0 if isinstance(padding, str) else 2 * padding
    return (size + around - dilation * (kernel - 1) - 1) // stride + 1


def _dry_recurrent(x: Tensor, *args: Any) -> Any:
    bias = _place_of_bias(args)
    hidden, both_ways = args[bias - 2], args[bias + 4]
    states = (hidden,) if isinstance(hidden, Tensor) else tuple(hidden)
    width = states[0].shape[-1] * (2 if both_ways else 1)
    return (torch.empty(*x.shape[:-1], width), *states)


def _dry_multi_head(query: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
    return torch.empty(query.shape), None


def _dry_embedding(places: Tensor, weight: Tensor, *_: Any, **__: Any) -> Tensor:
    return torch.empty(*places.shape, weight.shape[1])


_DRY: dict[str, Callable[..., Any]] = {
    "linear": _dry_linear,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _dry_conv),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _dry_recurrent),
    "multi_head_attention_forward": _dry_multi_head,
    "embedding": _dry_embedding,
}
