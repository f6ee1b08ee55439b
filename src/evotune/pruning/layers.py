"""The layers of a network whose weights may go, as matrices, and what flows into and out of them.

The weights of a layer are a stack of matrices ``(groups, rows, columns)``: one group, except for
convolutions with several. A row is an output channel, a column what one weight of it reads: an
input feature, or one place of a kernel on one input channel.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Layer:
    """One layer of a network.

    Args:
        name: Its name in the network.
        module: A linear or convolutional layer of it.
        seed: Of the choice of positions.

    Attributes:
        name: Its name.
        module: The layer; its weights change as the network is pruned.
        dense: The weights that it had before, ``(groups, rows, columns)``.
        calls: How often a forward pass runs it; set by `survey`.
    """

    def __init__(self, name: str, module: nn.Module, seed: int = 0) -> None:
        self.name = name
        self.module: Any = module
        self.dense = self.weights.clone()
        self.calls = 1
        self._seed = seed

    @property
    def groups(self) -> int:
        """Into how many groups of channels it is divided."""
        return int(getattr(self.module, "groups", 1))

    @property
    def weights(self) -> Tensor:
        """Its weights, ``(groups, rows, columns)``."""
        weight: Tensor = self.module.weight.detach()
        return weight.reshape(self.groups, weight.shape[0] // self.groups, -1)

    def put(self, weights: Tensor, bias: Tensor | None = None) -> None:
        """Give it weights ``(groups, rows, columns)``, and a bias ``(groups, rows)``."""
        with torch.no_grad():
            self.module.weight.copy_(weights.reshape(self.module.weight.shape))
            if bias is not None:
                self.module.bias.copy_(bias.flatten())

    def inputs(self, given: Tensor, limit: int, call: int = 0) -> Tensor:
        """Return what the columns read, ``(positions, groups, columns)``.

        Args:
            given: The input of the layer.
            limit: Of more positions than this, so many are picked: the same for the same shape.
            call: Which of its calls in a forward pass it is.
        """
        if isinstance(self.module, nn.Linear):
            rows = given.reshape(-1, given.shape[-1])
            return rows[self._picked(len(rows), limit, call)].unsqueeze(1)
        return self._patches(given, limit, call)

    def outputs(self, given: Tensor, limit: int, call: int = 0) -> Tensor:
        """Return what the rows give at the positions of `inputs`, ``(positions, groups, rows)``.

        Args:
            given: The output of the layer, or the gradient of a loss for it.
            limit: Most positions.
            call: Which of its calls in a forward pass it is.
        """
        if isinstance(self.module, nn.Linear):
            rows = given.reshape(-1, given.shape[-1])
        else:
            rows = given.flatten(2).movedim(1, -1).reshape(-1, given.shape[1])
        picked = rows[self._picked(len(rows), limit, call)]
        return picked.reshape(len(picked), self.groups, -1)

    def _picked(self, count: int, limit: int, call: int) -> Tensor:
        device = self.module.weight.device
        if count <= limit:
            return torch.arange(count, device=device)
        chance = torch.Generator().manual_seed(self._seed * 1009 + call)
        return torch.randint(count, (limit,), generator=chance).to(device)

    def _patches(self, given: Tensor, limit: int, call: int) -> Tensor:
        """Return what kernels cover, at some of their positions."""
        conv = self.module
        padded = functional.pad(given, conv._reversed_padding_repeated_twice, _mode(conv))
        views = padded
        for axis, (size, step, gap) in enumerate(
            zip(conv.kernel_size, conv.stride, conv.dilation, strict=True)
        ):
            views = views.unfold(axis + 2, gap * (size - 1) + 1, step)[..., ::gap]
        axes = len(conv.kernel_size)
        # (examples, channels, *positions, *kernel) -> (examples, *positions, channels, *kernel)
        views = views.movedim(1, axes + 1)
        sizes = views.shape[: axes + 1]
        picked = self._picked(int(torch.Size(sizes).numel()), limit, call)
        where = torch.unravel_index(picked, sizes)
        return views[where].reshape(len(picked), self.groups, -1)


def _mode(conv: Any) -> str:
    return "constant" if conv.padding_mode == "zeros" else str(conv.padding_mode)


class _Enough(Exception):  # noqa: N818 # it is no error
    """What was wanted of a forward pass is known."""


Watch = Callable[[Layer, int, Tensor, Tensor], Any]


@contextmanager
def watched(layers: list[Layer], watch: Watch) -> Iterator[None]:
    """Call a function of (layer, call, input, output) wherever a layer has run."""
    calls = dict.fromkeys((layer.name for layer in layers), 0)

    def hook(layer: Layer) -> Any:
        def after(_: nn.Module, given: Any, output: Tensor) -> Any:
            number = calls[layer.name]
            calls[layer.name] += 1
            return watch(layer, number, given[0], output)

        return after

    handles = [layer.module.register_forward_hook(hook(layer)) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
