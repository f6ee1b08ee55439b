"""How much flows into and out of each weight of a network, over all paths and without data.

Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively
conserving synaptic flow" (2020): all weights are |w|, all inputs 1, and nothing is bent or cut.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from evotune.proxies.watching import ACTIVATIONS
from evotune.pruning.layers import Layer, watched

_BENDING = ACTIVATIONS | {"softmax", "log_softmax", "dropout", "dropout_"}
_SAMEWISE = frozenset(["layer_norm", "group_norm", "instance_norm", "rms_norm"])
_EVERYTHING = 2**62


@dataclass(frozen=True, slots=True)
class Flow:
    """What flows through one layer.

    Attributes:
        into: Into each column, the mean over positions, ``(groups, columns)``.
        out: Of each row to the outputs of the network, the sum over positions, ``(groups, rows)``.
    """

    into: Tensor
    out: Tensor

    @property
    def live(self) -> Tensor:
        """Which weights lie on a path from input to output, ``(groups, rows, columns)``."""
        return (self.out > 0).unsqueeze(2) & (self.into > 0).unsqueeze(1)


class _Straight(TorchFunctionMode):
    """Activations bend nothing, norms only scale, and pooling takes means."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in _BENDING:
            return _named("input", 0, args, kwargs)
        if name == "batch_norm":
            return _scaled(args, kwargs)
        if name in _SAMEWISE:
            return _gained(name, args, kwargs)
        if name.startswith(("max_pool", "adaptive_max_pool")) or "max_pool" in name:
            return _averaged(name, args, kwargs)
        if name == "scaled_dot_product_attention":
            query, key, value = args[:3]
            return query + (key + value).mean(-2, keepdim=True)
        return func(*args, **kwargs)


def _named(name: str, place: int, args: Any, kwargs: Mapping[str, Any], default: Any = None) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _scaled(args: Any, kwargs: Mapping[str, Any]) -> Tensor:
    """Return what batch normalisation by its running variance does to positive flow."""
    inputs: Tensor = _named("input", 0, args, kwargs)
    variance = _named("running_var", 2, args, kwargs)
    gain = _named("weight", 3, args, kwargs)
    scale = inputs.new_ones(inputs.shape[1]) if gain is None else gain.abs()
    if variance is not None:
        scale = scale / (variance + _named("eps", 7, args, kwargs, 1e-5)).sqrt()
    return inputs * scale.reshape(-1, *[1] * (inputs.dim() - 2))


def _gained(name: str, args: Any, kwargs: Mapping[str, Any]) -> Tensor:
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


class Paths:
    """The flow of a network whose weights change.

    Args:
        network: The network; a copy in float64 is run.
        layers: Its layers.
        inputs: Of the network; of numbers only the shape of one example counts, while whole numbers
            such as tokens stay as those of the first one.
    """

    def __init__(self, network: nn.Module, layers: list[Layer], inputs: Any) -> None:
        self._network = copy.deepcopy(network).double()
        modules = dict(self._network.named_modules())
        self._layers = [Layer(layer.name, modules[layer.name]) for layer in layers]
        self._inputs = (
            {k: _ones(v) for k, v in inputs.items()}
            if isinstance(inputs, Mapping)
            else _ones(inputs)
        )
        with torch.no_grad():
            for name, parameter in self._network.named_parameters():
                parameter.requires_grad_()
                parameter.abs_() if parameter.dim() > 1 else None
                if name.rpartition(".")[2].startswith("bias") or name.endswith("_bias"):
                    parameter.zero_()
        for part in self._network.modules():
            if hasattr(part, "flowing"):
                part.flowing = True  # type: ignore[assignment] # see `lowered`

    def __call__(self, weights: Mapping[str, Tensor]) -> dict[str, Flow]:
        """Return the flow of each layer for weights ``(groups, rows, columns)``, masked ones 0."""
        into: dict[str, list[Tensor]] = {layer.name: [] for layer in self._layers}
        outputs: dict[str, list[Tensor]] = {layer.name: [] for layer in self._layers}

        def note(layer: Layer, call: int, given: Tensor, output: Tensor) -> None:
            into[layer.name].append(layer.inputs(given.detach(), _EVERYTHING, call).mean(0))
            outputs[layer.name].append(output)

        for layer in self._layers:
            layer.put(weights[layer.name].abs())
        with torch.enable_grad(), watched(self._layers, note), _Straight():
            total = _total(self._network(self._inputs))
        wanted = [output for layer in self._layers for output in outputs[layer.name]]
        gradients = iter(torch.autograd.grad(total, wanted, allow_unused=True))
        found = {}
        for layer in self._layers:
            rows = []
            for output in outputs[layer.name]:
                gradient = next(gradients)
                gradient = torch.zeros_like(output) if gradient is None else gradient
                rows.append(layer.outputs(gradient, _EVERYTHING).sum(0))
            into_layer = torch.stack(into[layer.name]).mean(0)
            found[layer.name] = Flow(into_layer, torch.stack(rows).sum(0))
        return found


def _ones(tensor: Tensor) -> Tensor:
    one = tensor[:1]
    return torch.ones_like(one, dtype=torch.float64) if one.is_floating_point() else one


def _total(output: Any) -> Tensor:
    if isinstance(output, Mapping):
        return sum(_total(part) for part in output.values())  # type: ignore[return-value]
    if isinstance(output, tuple | list):
        return _total(output[0])
    total: Tensor = output.sum()
    return total
