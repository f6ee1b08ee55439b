"""Chains of small linear layers that run faster on a CPU: between them, features come first.

A matrix product is fastest along its long axis. In a compact network that is the axis of examples,
as layers have few features, and often an odd number of them.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

#: From so many examples on it is faster; below, its views of tensors cost more than they save.
EXAMPLES = 128


class FeaturesFirst(nn.Linear):
    """A linear layer of the same weights, outputs and state dict, with another order in memory.

    On a CPU, a batch ``(examples, features)`` in float32 of `EXAMPLES` or more is computed as
    ``(features, examples)``. In a compiled, exported or traced graph it is an ordinary layer.

    Attributes:
        is_inner: Whether its outputs only reach other such layers: they are not contiguous then.
    """

    is_inner = False

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """Return the outputs, ``(..., features)``."""
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            return functional.linear(input, self.weight, self.bias)
        if not _is_faster(input):
            return functional.linear(input, self.weight, self.bias)
        if self.bias is None:
            found = torch.mm(self.weight, input.t())
        else:
            found = torch.addmm(self.bias.unsqueeze(1), self.weight, input.t())
        return found.t() if self.is_inner else found.t().contiguous()


def _is_faster(batch: Any) -> bool:
    return (
        not torch.compiler.is_compiling()  # first: a size that is looked at is fixed in a graph
        and isinstance(batch, Tensor)  # and no proxy of a symbolic trace
        and batch.dim() == 2
        and batch.shape[0] >= EXAMPLES
        and batch.is_cpu
        and batch.dtype == torch.float32
    )


def put(
    small: nn.Module,
    graph: fx.GraphModule,
    axes: Mapping[fx.Node, int],
    is_pointwise: Callable[[fx.Node], bool],
) -> None:
    """Give chains of linear layers that became smaller the faster order, in place.

    A chain are two or more layers that run once each, on ``(examples, features)``, of which one
    only reaches others of them, through functions of single numbers: only so no code of the user
    meets a tensor that is not contiguous.

    Args:
        small: The smaller network.
        graph: Of the network as it was, with its weights.
        axes: How many axes the results of nodes have.
        is_pointwise: Tells whether a node is such a function.
    """
    calls = [node.target for node in graph.graph.nodes if node.op == "call_module"]
    linear = {
        node
        for node in graph.graph.nodes
        if node.op == "call_module"
        and type(graph.get_submodule(str(node.target))) is nn.Linear
        and calls.count(node.target) == 1
        and axes.get(node) == 2
    }
    inner = {node: found for node in linear if (found := _readers(node, linear, is_pointwise))}
    for chain in _chains(inner):
        names = [str(node.target) for node in chain]
        if all(_shape(small, name) == _shape(graph, name) for name in names):
            continue
        for node, name in zip(chain, names, strict=True):
            layer: Any = small.get_submodule(name)
            layer.__class__ = FeaturesFirst
            if node in inner:
                layer.is_inner = True


def taken_out(model: nn.Module) -> nn.Module:
    """Make ordinary linear layers of those that have features first, in place."""
    layers: list[Any] = [module for module in model.modules() if type(module) is FeaturesFirst]
    for layer in layers:
        layer.__dict__.pop("is_inner", None)
        layer.__class__ = nn.Linear
    return model


def _readers(
    node: fx.Node, linear: Collection[fx.Node], is_pointwise: Callable[[fx.Node], bool]
) -> set[fx.Node]:
    """Return the linear layers that read one; none where something else reads it too."""
    found: set[fx.Node] = set()
    for user in node.users:
        further = {user} if user in linear else set()
        if not further and is_pointwise(user):
            further = _readers(user, linear, is_pointwise)
        if not further:
            return set()
        found |= further
    return found


def _chains(inner: Mapping[fx.Node, set[fx.Node]]) -> list[set[fx.Node]]:
    """Return layers that belong together: those that read one another."""
    chains: list[set[fx.Node]] = []
    for node, readers in inner.items():
        joined = {node} | readers
        apart = [chain for chain in chains if not chain & joined]
        chains = [*apart, joined.union(*(chain for chain in chains if chain & joined))]
    return chains


def _shape(model: nn.Module, name: str) -> torch.Size:
    weight: Any = model.get_submodule(name).weight
    return weight.shape  # type: ignore[no-any-return]
