"""What templates return: a plain ``nn.Module`` that knows the structure it was built from."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from evotune.architectures.inherit import ChannelMap, inherit
from evotune.architectures.inherit.align import align
from evotune.architectures.inherit.rules import Target, Walk, take
from evotune.architectures.inherit.sequence import follow
from evotune.checkpoints.state import fitted
from evotune.errors import TaskError

Structure = Mapping[str, Any]


class Network(nn.Sequential):
    """Parts in order, such as ``features``, ``flatten``, ``head`` and ``output``.

    Args:
        parts: The modules by name.
        structure: What it was built from, see the attribute.
        rebuild: Builds the network of another structure of the same template; a function that can
            be pickled. None where there is no template: then it takes no weights over.

    Attributes:
        structure: A JSON-able dict: ``template`` (name), ``options`` of the template, and the
            ``params`` that it has read. `evotune.architectures.templates.rebuild` builds the same
            network, with new weights, from it.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        structure: Structure,
        rebuild: "Callable[[Structure], Network] | None" = None,
    ) -> None:
        super().__init__(OrderedDict(parts))
        self.structure = dict(structure)
        self._rebuild = rebuild

    def take_over(
        self, structure: Structure, state: Mapping[str, Any], inputs: Any, seed: int
    ) -> str:
        """Take over the weights of a network of another structure; a study calls it.

        Args:
            structure: The other's structure.
            state: The other's state dict.
            inputs: Some examples as this network reads them, or None.
            seed: Source of all randomness.

        Returns:
            One line on what became of each layer.

        Raises:
            TaskError: The other is of another template, or cannot be built here; or this network
                does not run on the inputs.
        """
        own, other = (each.get("template", "no template") for each in (self.structure, structure))
        if own != other or self._rebuild is None:
            raise TaskError(
                f"a network of {other} and one of {own} have no layers in common; keep what "
                "chooses the template Fixed, or search it without inherited weights"
            )
        parent = trained(self._rebuild, structure, state)
        first = next(self.parameters(), None)
        if first is not None:
            parent.to(first.device, first.dtype)
        return str(inherit(self, parent, inputs, rng=np.random.default_rng(seed)))


def trained(
    rebuild: Callable[[Structure], Network], structure: Structure, state: Mapping[str, Any]
) -> Network:
    """Return the network of a structure with the weights of a state, in evaluation mode.

    Args:
        rebuild: Builds the network of the structure.
        structure: What `Network.structure` was, also from JSON.
        state: Its state dict.

    Raises:
        TaskError: The template or a block is not known here, or the state is not that of this
            structure.
    """
    try:
        with torch.random.fork_rng(devices=[]):  # the weights that it is built with do not matter
            network = rebuild(structure)
        network.load_state_dict(fitted(network, dict(state)))
    except TaskError as error:
        raise TaskError(f"the network that was kept cannot be built here: {error}") from error
    except Exception as error:  # of damage, anything may come
        raise TaskError(
            "the network that was kept cannot be built from its structure, which is damaged, or "
            f"its blocks are not those that it was trained with: {error}"
        ) from error
    return network.eval()


@take.register
def take_network(
    child: Network, parent: nn.Module, way: ChannelMap, walk: Walk, out: Target | None = None
) -> ChannelMap:
    """Carry a whole network over, part by part; parts belong together by their names."""
    mine, theirs = ([name for name, _ in part.named_children()] for part in (child, parent))
    return follow(child, parent, align(mine, theirs), way, walk, out)
