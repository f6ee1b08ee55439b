"""Networks out of what a checkpoint holds: a structure and a state."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from evotune.architectures.inherit import Inherited, inherit
from evotune.architectures.network import Network
from evotune.architectures.templates import rebuild


def trained(structure: Mapping[str, Any], state: Mapping[str, Any]) -> Network:
    """Return the network of a structure with the weights of a state, in evaluation mode.

    Args:
        structure: What `Network.structure` was, also from JSON.
        state: Its state dict.

    Raises:
        TaskError: The template or a block is not known here.
    """
    with torch.random.fork_rng(devices=[]):  # the weights that it is built with do not matter
        network = rebuild(structure)
    network.load_state_dict(dict(state))
    return network.eval()


def take_over(
    child: nn.Module,
    structure: Mapping[str, Any],
    state: Mapping[str, Any],
    inputs: Any,
    seed: int,
) -> Inherited:
    """Write the weights of a network of another structure into a child; see `inherit`.

    Args:
        child: The network to write into.
        structure: The structure of the parent.
        state: The parent's state dict.
        inputs: Examples as the child reads them, or None.
        seed: Source of all randomness.
    """
    parent = trained(structure, state)
    first = next(child.parameters(), None)
    if first is not None:
        parent.to(first.device, first.dtype)
    return inherit(child, parent, inputs, rng=np.random.default_rng(seed))
