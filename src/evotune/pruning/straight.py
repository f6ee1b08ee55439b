"""How flow passes the functions of a network: nothing is bent, cut or taken away.

What flows is positive, and depends on all that it is made of. So activations let it pass, what a
network subtracts is added, what it multiplies by another flow becomes the mean of both (a closed
gate would else cut off what it gates), and what it divides by only scales. Tensors that come from
inputs, embeddings and prunable layers require gradients; all others are constants.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from evotune.proxies.watching import ACTIVATIONS

#: Functions that let the flow pass: of single numbers, or of all of them alike.
_PASSED = frozenset(name.strip("_") for name in ACTIVATIONS) | frozenset(
    [
        *("softmax", "log_softmax", "gumbel_softmax", "normalize", "local_response_norm"),
        *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout"),
        *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "square", "abs", "neg"),
        *("sin", "cos", "erf", "sign", "clamp", "clamp_min", "clamp_max", "clip", "nan_to_num"),
        *("absolute", "negative", "special_expit", "logit", "masked_fill", "detach", "rpow"),
        *("round", "floor", "ceil", "hardtanh", "special_erf", "logical_not", "masked_scatter"),
    ]
)
_LAYERS = frozenset(["linear"]) | frozenset(
    f"conv{kind}{axes}d" for kind in ("", "_transpose") for axes in (1, 2, 3)
)
_SUMS = frozenset(["add", "sub", "subtract", "rsub", "maximum", "minimum", "logaddexp"])
_PRODUCTS = frozenset(["mul", "multiply", "matmul", "bmm", "mm", "einsum", "mv", "dot", "outer"])
_QUOTIENTS = frozenset(["div", "divide", "true_divide", "rdiv"])
_INVERSES = frozenset(["rsqrt", "reciprocal", "pow"])
_GAINS = frozenset(["layer_norm", "group_norm", "instance_norm", "rms_norm"])
#: Where PyTorch is left; these take no tensors with gradients.
_AWAY = frozenset(["numpy", "array", "__array__"])
#: Constants below it are those of masks.
_MASK = -1e3
_SHORTER = (torch.float32, torch.float16, torch.bfloat16)


class Straight(TorchFunctionMode):
    """Lets flow through a network, in float64, whatever the network turns it into."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name == "_set_grad_enabled":  # torch.no_grad() in a network: flow passes there too
            return None
        found = _passed(name.strip("_"), func, args, dict(kwargs or {}))
        if isinstance(found, Tensor) and found.dtype in _SHORTER:
            return found.double()
        return found


class Recorded(TorchFunctionMode):
    """Lets gradients pass where a network stops them, as one with a frozen part does."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name == "_set_grad_enabled":
            return None
        if name in ("detach", "detach_"):
            return args[0]
        if name in _AWAY:
            args = (args[0].detach(), *args[1:])
        return func(*args, **(kwargs or {}))


def _passed(name: str, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Return what becomes of the flow in a function of the network."""
    if name in _PASSED:
        return _named("input", 0, args, kwargs)
    if name in _AWAY:
        return func(args[0].detach(), *args[1:], **kwargs)
    special = _SPECIAL.get(name)
    if "max_pool" in name:
        return _averaged(name, args, kwargs)
    if special is not None:
        return special(name, func, args, kwargs)
    flows = [arg for arg in _tensors(args, kwargs) if arg.requires_grad]
    if not flows:
        return func(*args, **kwargs)
    if name in _SUMS | _PRODUCTS | _QUOTIENTS | {"where"}:
        return _joined(name, func, args, kwargs, len(flows))
    if name == "glu":
        return sum(flows[0].chunk(2, _named("dim", 1, args, kwargs, -1))) / 2
    if name == "pow" and _is_positive(args, kwargs):
        return flows[0]
    if name in _INVERSES:
        return func(*args, **kwargs).detach()
    return (torch.mean if name == "amax" else func)(*args, **kwargs)


def _tensors(args: Any, kwargs: Mapping[str, Any]) -> list[Tensor]:
    return [arg for arg in (*args, *kwargs.values()) if isinstance(arg, Tensor)]


def _is_positive(args: Any, kwargs: Mapping[str, Any]) -> bool:
    power = _named("exponent", 1, args, kwargs)
    return not isinstance(power, int | float) or power > 0


def _joined(name: str, func: Any, args: Any, kwargs: dict[str, Any], flows: int) -> Any:
    """Return what two flows, or a flow and a constant, become."""
    is_in_place = func.__name__.endswith("_") and not func.__name__.startswith("_")
    args = [_constant(arg) for arg in args]
    kwargs = {key: _constant(arg) for key, arg in kwargs.items()}
    if name in _SUMS:
        return (Tensor.add_ if is_in_place else torch.add)(*args, **kwargs)
    if name in _PRODUCTS and flows == 2 and args[0] is args[1]:
        return args[0]
    if name in _PRODUCTS and flows == 2:
        halves = []
        for other in (_tensors(args, {})[1], _tensors(args, {})[0]):
            alone = [torch.ones_like(a, requires_grad=False) if a is other else a for a in args]
            halves.append(_out_of_place(func, is_in_place)(*alone, **kwargs))
        mean = (halves[0] + halves[1]) / 2
        return args[0].copy_(mean) if is_in_place else mean
    if name in _QUOTIENTS:
        first, second = args[:2] if name != "rdiv" else args[1::-1]
        if not (isinstance(first, Tensor) and first.requires_grad):
            return second
        by = second.detach() if isinstance(second, Tensor) else second
        return first.div_(by) if is_in_place else first / by
    return func(*args, **kwargs)


def _out_of_place(func: Any, is_in_place: bool) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(torch, func.__name__.strip("_")) if is_in_place else func
    return found


def _constant(arg: Any) -> Any:
    """Return a constant as a positive, finite one, and anything else as it is."""
    if isinstance(arg, Tensor) and arg.is_floating_point() and not arg.requires_grad:
        return arg.masked_fill(arg < _MASK, 0.0).abs().nan_to_num(0.0, 0.0, 0.0)
    if isinstance(arg, float | int) and not isinstance(arg, bool):
        return abs(arg) if abs(arg) < float("inf") else 0.0
    return arg


def _weighted(_: str, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """Return what a layer makes of the flow, by the sizes of its weights and without its bias."""
    weight, bias = _named("weight", 1, args, kwargs), _named("bias", 2, args, kwargs)
    given = (_named("input", 0, args, kwargs), weight.abs(), bias if bias is None else bias * 0)
    others = {k: part for k, part in kwargs.items() if k not in ("input", "weight", "bias")}
    return func(*given, *args[3:], **others)


def _attended(_: str, __: Any, args: Any, kwargs: Mapping[str, Any]) -> Tensor:
    """Return what attention makes of the flow; several heads of queries may share one of keys."""
    query, key, value = (
        _named(n, k, args, kwargs) for k, n in enumerate(("query", "key", "value"))
    )
    if query.shape[-3:-2] != key.shape[-3:-2]:
        times = query.shape[-3] // key.shape[-3]
        key, value = (part.repeat_interleave(times, -3) for part in (key, value))
    if key.shape[-1] != value.shape[-1]:
        query, key = (part.mean(-1, keepdim=True) for part in (query, key))
    joined: Tensor = query + (key + value).mean(-2, keepdim=True)
    return joined


def _named(name: str, place: int, args: Any, kwargs: Mapping[str, Any], default: Any = None) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _scaled(_: str, __: Any, args: Any, kwargs: Mapping[str, Any]) -> Tensor:
    """Return what batch normalisation by its running variance does to positive flow."""
    inputs: Tensor = _named("input", 0, args, kwargs)
    variance = _named("running_var", 2, args, kwargs)
    gain = _named("weight", 3, args, kwargs)
    scale = inputs.new_ones(inputs.shape[1]) if gain is None else gain.abs()
    if variance is not None:
        scale = scale / (variance + _named("eps", 7, args, kwargs, 1e-5)).sqrt()
    return inputs * scale.reshape(-1, *[1] * (inputs.dim() - 2))


def _gained(name: str, _: Any, args: Any, kwargs: Mapping[str, Any]) -> Tensor:
    inputs: Tensor = _named("input", 0, args, kwargs)
    gain = _named("weight", 3 if name == "instance_norm" else 2, args, kwargs)
    if gain is None:
        return inputs
    scale: Tensor = gain.abs()
    if name in ("group_norm", "instance_norm"):
        scale = scale.reshape(-1, *[1] * (inputs.dim() - 2))
    return inputs * scale


def _averaged(name: str, args: Any, kwargs: Mapping[str, Any]) -> Any:
    axes = next(int(sign) for sign in name if sign.isdigit())
    inputs = _named("input", 0, args, kwargs)
    if name.startswith("adaptive"):
        pool = getattr(torch.nn.functional, f"adaptive_avg_pool{axes}d")
        return pool(inputs, _named("output_size", 1, args, kwargs))
    pool = getattr(torch.nn.functional, f"avg_pool{axes}d")
    size = _named("kernel_size", 1, args, kwargs)
    padding = _named("padding", 3, args, kwargs, 0)
    ceil = bool(kwargs.get("ceil_mode", False))
    return pool(inputs, size, _named("stride", 2, args, kwargs), padding, ceil_mode=ceil)


_SPECIAL: dict[str, Callable[..., Any]] = {
    "batch_norm": _scaled,
    "scaled_dot_product_attention": _attended,
    **dict.fromkeys(_GAINS, _gained),
    **dict.fromkeys(_LAYERS, _weighted),
}
