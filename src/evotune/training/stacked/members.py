"""Access to the members' axis inside a mapped model.

Inside `torch.func.vmap` a tensor looks as if it belonged to one member. Layers that are faster, or
only correct, when all members are computed together need the underlying tensor. Only this module
uses torch's internal functions for that; they have not changed since torch 2.2.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._C import _DisableFuncTorch
from torch._C import _functorch as functorch
from torch.overrides import TorchFunctionMode


class Unmappable(Exception):  # noqa: N818  (a reason, caught by the trainer and told the user)
    """Something in a model that cannot be computed for all members at once."""


class Members:
    """The members that one call of a mapped model computes; made by `mapping`.

    Args:
        count: Number of members.
        generators: Each member's generator for dropout; None if nothing may be drawn.
        level: Nesting level of this mapping, as torch counts them.
    """

    __slots__ = ("_level", "count", "generators")

    def __init__(
        self, count: int, generators: Sequence[torch.Generator] | None, level: int
    ) -> None:
        self.count = count
        self.generators = generators
        self._level = level

    def here(self) -> bool:
        """Return False inside a further mapping that the model itself does."""
        return bool(functorch.maybe_current_level() == self._level)

    def split(self, tensor: Any) -> tuple[Tensor, int | None]:
        """Return the whole tensor and the position of its members' axis, or None without one."""
        if not isinstance(tensor, Tensor):
            return tensor, None
        whole, axis = functorch._unwrap_batched(tensor, self._level)
        return whole, axis

    def first(self, tensor: Tensor) -> Tensor:
        """Return the whole tensor as ``(members, ...)``."""
        whole, axis = self.split(tensor)
        if axis is None:
            return whole.expand(self.count, *whole.shape)
        return whole.movedim(axis, 0) if axis else whole

    def join(self, whole: Tensor, axis: int = 0) -> Tensor:
        """Hide the members' axis, so that the model sees one member's tensor."""
        return functorch._add_batch_dim(whole, axis, self._level)

    def channels(self, tensor: Tensor) -> Tensor:
        """Return ``(batch, channels, ...)`` of all members as ``(batch, members·channels, ...)``.

        On the CPU images are stored channels-last: grouped convolution and pooling are several
        times faster that way.
        """
        whole, axis = self.split(tensor)
        if axis is None:
            whole = whole.unsqueeze(1).expand(-1, self.count, *whole.shape[1:])
        else:
            whole = whole.movedim(axis, 1)
        if whole.device.type != "cpu" or whole.dim() != 5:
            return whole.flatten(1, 2)
        return whole.permute(0, 3, 4, 1, 2).contiguous().flatten(3).permute(0, 3, 1, 2)

    def join_channels(self, whole: Tensor) -> Tensor:
        """Hide the members in ``(batch, members·channels, ...)``."""
        return self.join(torch.unflatten(whole, 1, (self.count, -1)), 1)


@contextmanager
def mapping(
    count: int,
    generators: Sequence[torch.Generator] | None,
    table: dict[Any, Callable[..., Any]],
) -> Iterator[Members]:
    """Map the computation inside the block over members, as `torch.func.vmap` does.

    This is vmap without its search through nested arguments, which takes as long as a small model.

    Args:
        count: Number of members.
        generators: Each member's generator for dropout; None if nothing may be drawn.
        table: Replacements by torch function, see `Layers`.
    """
    level = functorch._vmap_increment_nesting(count, "error")
    try:
        members = Members(count, generators, level)
        with Layers(members, table):
            yield members
    finally:
        functorch._vmap_decrement_nesting()


class Layers(TorchFunctionMode):
    """Inside this block, torch's layer functions compute all members at once.

    Args:
        members: The members.
        table: Replacements by torch function: each takes the members and that function's arguments,
            and returns NotImplemented to leave the call to torch.
    """

    def __init__(self, members: Members, table: dict[Any, Callable[..., Any]]) -> None:
        super().__init__()
        self._members = members
        self._table = table

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        layer = self._table.get(function)
        if layer is not None and self._members.here():
            with _DisableFuncTorch():
                result = layer(self._members, *args, **kwargs)
            if result is not NotImplemented:
                return result
        return function(*args, **kwargs)
