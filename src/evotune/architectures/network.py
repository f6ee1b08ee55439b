"""What templates return: a plain ``nn.Module`` that knows the structure it was built from."""

from collections import OrderedDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import nn


class Network(nn.Sequential):
    """Parts in order, such as ``features``, ``flatten``, ``head`` and ``output``.

    Args:
        parts: The modules by name.
        structure: What it was built from, see the attribute.

    Attributes:
        structure: A JSON-able dict: ``template`` (name), ``options`` of the template, and the
            ``params`` that it has read. `evotune.architectures.templates.rebuild` builds the same
            network, with new weights, from it.
    """

    def __init__(self, parts: Mapping[str, nn.Module], structure: Mapping[str, Any]) -> None:
        super().__init__(OrderedDict(parts))
        self.structure = dict(structure)

    def take_over(
        self, structure: Mapping[str, Any], state: Mapping[str, Any], inputs: Any, seed: int
    ) -> str:
        """Take over the weights of a network of another structure; a study calls it.

        Args:
            structure: The other's structure.
            state: The other's state dict.
            inputs: Some examples as this network reads them, or None.
            seed: Source of all randomness.

        Returns:
            One line on what became of each layer.
        """
        # By name, as those that build and compare networks import this module.
        heritage = import_module("evotune.architectures.heritage")
        return str(heritage.take_over(self, structure, state, inputs, seed))
