"""How much flows into and out of each weight of a network, over all paths and without data.

Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively
conserving synaptic flow" (2020): all weights are |w|, all inputs 1, and nothing is bent or cut.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from evotune.pruning.goals import parts_of
from evotune.pruning.layers import Layer, watched
from evotune.pruning.straight import Straight
from evotune.training.data import each

_EVERYTHING = 2**62


@dataclass(frozen=True, slots=True)
class Flow:
    """What flows through one layer.

    Attributes:
        into: Into each column, the mean over positions, ``(groups, columns)``.
        out: Of each row to the outputs of the network, the sum over positions, ``(groups, rows)``;
            of several calls see `_over_calls`.
    """

    into: Tensor
    out: Tensor

    @property
    def live(self) -> Tensor:
        """Which weights lie on a path from input to output, ``(groups, rows, columns)``."""
        return (self.out > 0).unsqueeze(2) & (self.into > 0).unsqueeze(1)


class Paths:
    """The flow of a network whose weights change.

    Args:
        network: The network; a copy in float64 is run.
        layers: Its layers.
        inputs: Of the network; of numbers only the shape of one example counts, while whole numbers
            such as tokens stay as those of the first one.
    """

    def __init__(self, network: nn.Module, layers: list[Layer], inputs: Any) -> None:
        self._network = copy.deepcopy(network).double().requires_grad_(False)
        modules = dict(self._network.named_modules())
        self._layers = [Layer(layer.name, modules[layer.name]) for layer in layers]
        self._inputs = each(_ones, inputs)
        with torch.no_grad():
            for name, parameter in self._network.named_parameters():
                parameter.abs_() if parameter.dim() > 1 else None
                if name.rpartition(".")[2].startswith("bias") or name.endswith("_bias"):
                    parameter.zero_()
        for part in self._network.modules():
            if isinstance(part, nn.Embedding | nn.EmbeddingBag):
                part.weight.requires_grad_()
            if hasattr(part, "flowing"):
                part.flowing = True  # type: ignore[assignment] # see `lowered`

    def __call__(self, weights: Mapping[str, Tensor]) -> dict[str, Flow]:
        """Return the flow of each layer for weights ``(groups, rows, columns)``, masked ones 0.

        Where it exceeds all numbers, rows that sum to one at most take the place of the weights.
        """
        found = self._flowing({name: part.abs().double() for name, part in weights.items()})
        if all(bool((f.into.sum() + f.out.sum()).isfinite()) for f in found.values()):
            return found
        sums = {name: part.abs().double().sum(2, keepdim=True) for name, part in weights.items()}
        return self._flowing(
            {
                name: part.abs() / sums[name].max().clamp_min(1e-300)
                for name, part in weights.items()
            }
        )

    def _flowing(self, weights: Mapping[str, Tensor]) -> dict[str, Flow]:
        ran: list[tuple[Layer, int, Tensor, Tensor]] = []

        def note(layer: Layer, call: int, given: Tensor, output: Tensor) -> Tensor:
            if not output.requires_grad:
                output.requires_grad_()
            ran.append((layer, call, given, output))
            return output.clone()  # which the network may change in place

        for layer in self._layers:
            layer.put(weights[layer.name])
        with torch.enable_grad(), watched(self._layers, note), Straight():
            total = torch.stack(
                [part.sum() for part in parts_of(self._network(each(_flowing, self._inputs)))]
            ).sum()
        gradients: Sequence[Tensor | None] = [None] * len(ran)
        if total.requires_grad:
            gradients = torch.autograd.grad(total, [last for *_, last in ran], allow_unused=True)
        into: dict[str, list[Tensor]] = {layer.name: [] for layer in self._layers}
        out: dict[str, list[Tensor]] = {layer.name: [] for layer in self._layers}
        for (layer, call, given, output), gradient in zip(ran, gradients, strict=True):
            slope = torch.zeros_like(output) if gradient is None else gradient
            into[layer.name].append(layer.inputs(given.detach(), _EVERYTHING, call).mean(0))
            out[layer.name].append(layer.outputs(slope, _EVERYTHING).sum(0))
        return {name: _over_calls(into[name], out[name]) for name in into}


def _over_calls(into: list[Tensor], out: list[Tensor]) -> Flow:
    """Return the flow of a layer that runs several times, as a recurrent one does.

    What flows through a weight is Σ_t in_tj out_ti over its calls t. The product of the vectors
    returned has the same sums over rows and over columns; products of means would not, as flow in
    grows from step to step by powers while flow out falls.
    """
    ins, outs = torch.stack(into), torch.stack(out)  # (calls, groups, columns or rows)
    sizes = (_shares(ins), _shares(outs))
    together = (sizes[0] * sizes[1]).sum()
    found = torch.einsum("t,tgr->gr", sizes[0], outs) / (together if together > 0 else 1.0)
    return Flow(torch.einsum("t,tgc->gc", sizes[1], ins), found)


def _shares(parts: Tensor) -> Tensor:
    sums = parts.flatten(1).sum(1)
    total = sums.sum()
    return sums / total if total > 0 else torch.full_like(sums, 1 / len(sums))


def _ones(tensor: Tensor) -> Tensor:
    one = tensor[:1]
    return torch.ones_like(one, dtype=torch.float64) if one.is_floating_point() else one


def _flowing(tensor: Tensor) -> Tensor:
    """Return a tensor that `Straight` takes for a flow, and the network may change in place."""
    return tensor.requires_grad_().clone() if tensor.is_floating_point() else tensor
