"""Networks out of what a checkpoint holds: a structure and a state."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from evotune.architectures.inherit import Inherited, inherit
from evotune.architectures.network import Network
from evotune.architectures.templates import rebuild
from evotune.checkpoints.state import fitted
from evotune.errors import TaskError


def trained(structure: Mapping[str, Any], state: Mapping[str, Any]) -> Network:
    """Return the network of a structure with the weights of a state, in evaluation mode.

    Args:
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

    Raises:
        TaskError: The parent is of another template, or cannot be built here; or the child does not
            run on the inputs.
    """
    own = getattr(child, "structure", structure)["template"]
    if own != structure["template"]:
        raise TaskError(
            f"a network of {structure['template']} and one of {own} have no layers in common; "
            "keep what chooses the template Fixed, or search it without inherited weights"
        )
    parent = trained(structure, state)
    first = next(child.parameters(), None)
    if first is not None:
        parent.to(first.device, first.dtype)
    return inherit(child, parent, inputs, rng=np.random.default_rng(seed))
