"""A network made ready to be pruned on some examples."""

import torch
from torch import nn

from evotune.checks import option
from evotune.errors import TaskError
from evotune.pruning.examples import Examples
from evotune.pruning.rounds import Pruning, keep_best
from evotune.pruning.structured import Structure
from evotune.pruning.working import Working

#: Most calibration examples, where the user names no other number: of networks without and with
#: convolutions, and for each evaluation of a search.
EXAMPLES, OF_IMAGES, OF_SEARCH = 1024, 500, 384


def ready(
    model: nn.Module,
    examples: Examples,
    most: int | None,
    seed: int,
    structure: Structure | None = None,
) -> tuple[Working, Pruning]:
    """Return a copy of a network that may be pruned, on some examples.

    Args:
        model: The network; it stays as it is.
        examples: Those that there are.
        most: Most examples that are looked at; None for what is usual.
        seed: Of their choice.
        structure: Of the weights that stay.

    Raises:
        TaskError: The network cannot be pruned, or not on these examples.
    """
    if most is not None:
        most = int(option("examples", most, "[2, inf)", whole=True, error_type=TaskError))
    device = device_of(model)
    working = Working(model, examples.some(2, seed, device).inputs, seed)
    if structure is not None:
        working.leave(structure.why_not)
    is_image = any(not isinstance(layer.module, nn.Linear) for layer in working.layers)
    some = examples.some(most or (OF_IMAGES if is_image else EXAMPLES), seed, device)
    goal = some.goal(working.network, seed)
    choice = structure or keep_best
    pruning = Pruning(working.network, working.layers, some.inputs, goal, choice)
    if unclear := pruning.unclear():
        why = "how it reaches the outputs is not understood"
        working.leave(lambda layer, _: why if layer.name in unclear else None)
        pruning = Pruning(working.network, working.layers, some.inputs, goal, choice)
    return working, pruning


def device_of(model: nn.Module) -> torch.device:
    """Return where a network is."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def kept_of(sparsity: float, size: int) -> int:
    """Return how many weights stay.

    Raises:
        TaskError: None does.
    """
    keep = round((1 - sparsity) * size)
    if keep < 1:
        raise TaskError(
            f"sparsity={sparsity:g} leaves none of {size} weights; write at most {1 - 1 / size:.6g}"
        )
    return keep
