"""Modules out of a list of layers; shapes are found by running each fresh block."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from evotune.architectures.blocks import find_block
from evotune.architectures.families.common import Shape
from evotune.errors import TaskError
from evotune.space.chain import BLOCK


class Layers(nn.Sequential):
    """The layers of a chain that fit, in order.

    The name of each is its block and the number of its layer, from 1: ``conv1``.

    Args:
        modules: The layers by name.
        chain: Name of the chain.
        kept: See the attribute.

    Attributes:
        chain: Name of the chain.
        kept: Which layers of the chain there are, from 0; those that did not fit are left out.
    """

    def __init__(self, modules: "OrderedDict[str, nn.Module]", chain: str, kept: tuple[int, ...]):
        super().__init__(modules)
        self.chain = chain
        self.kept = kept


@dataclass(frozen=True, slots=True)
class Built:
    """The modules of a chain.

    Attributes:
        module: They in order.
        shape: Shape of one example behind them.
    """

    module: Layers
    shape: Shape

    @property
    def kept(self) -> tuple[int, ...]:
        """Which layers there are, from 0; those that did not fit are left out."""
        return self.module.kept


def build_chain(layers: Sequence[Mapping[str, Any]], shape: Shape, name: str = "layers") -> Built:
    """Build the layers of a chain.

    A layer that does not fit, such as a pool on an image of 1 × 1, is left out.

    Args:
        layers: Records such as ``{"block": "conv", "filters": 32}``.
        shape: Shape of one example: ``(channels, height, width)``, ``(length, channels)`` or
            ``(features,)``.
        name: Name of the chain, for messages.

    Raises:
        TaskError: A block is unknown, lacks a setting, or gives no module, or one that changes the
            number of dimensions.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    kept = []
    for k, record in enumerate(layers):
        where = f"layer {k + 1} of {name!r}"
        module = _build_layer(record, shape, where)
        if module is not None:
            shape = _shape_behind(module, shape, where)
            modules[f"{record[BLOCK]}{k + 1}"] = module
            kept.append(k)
    return Built(Layers(modules, name, tuple(kept)), shape)


def _build_layer(record: Mapping[str, Any], shape: Shape, where: str) -> nn.Module | None:
    if not isinstance(record, Mapping) or BLOCK not in record:
        raise TaskError(
            f'{where} is a record such as {{"block": "dense", "units": 32}}, got {record!r}'
        )
    settings = {name: value for name, value in record.items() if name != BLOCK}
    block = find_block(record[BLOCK], where)
    block.check_dimensions(len(shape), where)
    block.check(settings, where)
    try:
        module = block.build(shape, **settings)
    except TaskError as error:
        raise TaskError(f"{where}: {error}") from None
    except Exception as error:
        error.add_note(f"({where}, block {block.name!r}, on examples of shape {shape})")
        raise
    if module is not None and not isinstance(module, nn.Module):
        raise TaskError(
            f"{where}: block {block.name!r} returned {type(module).__name__}; it needs to return "
            "an nn.Module, or None where it does not fit the shape"
        )
    return module


def _shape_behind(module: nn.Module, shape: Shape, where: str) -> Shape:
    """Return the shape of one example behind a module; the module is in training mode then."""
    module.eval()
    try:
        with torch.no_grad():
            output = module(torch.zeros(2, *shape))
    except Exception as error:
        error.add_note(f"({where} cannot be run on examples of shape {shape})")
        raise
    finally:
        module.train()
    if not isinstance(output, torch.Tensor) or output.dim() != len(shape) + 1 or len(output) != 2:
        given = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise TaskError(
            f"{where}: its block turned a batch of shape {(2, *shape)} into {given}; a block keeps "
            f"the batch and the number of dimensions, so that any block may follow"
        )
    return tuple(output.shape[1:])
