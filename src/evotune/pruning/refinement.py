"""Evolutionary refinement: connections are dropped and others grown, and what is better stays."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evotune.pruning.rounds import Masks, Pruning

log = logging.getLogger("evotune")

#: The largest share of the kept weights that one step may swap.
SWAPPED = 0.03
#: Temperatures of the choice: the higher, the more it is left to chance.
TEMPERATURES = (0.1, 0.3, 1.0)
#: After so many steps in a row without a gain, the largest swap shrinks by `SHRINK`.
PATIENCE, SHRINK = 20, 0.7


@dataclass(slots=True)
class Refinement:
    """The state of a (1+1) evolution of masks, so that it may go on later.

    Attributes:
        masks: The best masks so far.
        weights: Their weights and biases, by layer.
        loss: Their loss on the calibration examples.
        largest: Most weights that a step swaps.
        failures: Steps in a row without a gain.
        steps: How many steps there were.
        losses: The loss after each step.
    """

    masks: Masks
    weights: dict[str, tuple[Tensor, Tensor | None]]
    loss: float
    largest: float
    failures: int = 0
    steps: int = 0
    losses: tuple[float, ...] = ()


def begin(pruning: Pruning, keep: int) -> Refinement:
    """Return the state before the first step: the network as it is."""
    largest = max(1.0, SWAPPED * keep)
    return Refinement(dict(pruning.masks), taken(pruning), pruning.measured(), largest)


def refine(
    pruning: Pruning,
    state: Refinement,
    keep: int,
    steps: int,
    seed: int,
    is_over: Callable[[], bool] = lambda: False,
    after: Callable[[Refinement], None] = lambda state: None,
) -> None:
    """Drop and grow connections, and keep what lowers the loss.

    Args:
        pruning: The network; it has the best masks and weights afterwards.
        state: Where the evolution stands; it is brought on.
        keep: How many weights stay; of those, spare ones that were on no path are grown too.
        steps: Up to which step.
        seed: Of the draws: each step has a stream of its own.
        is_over: Tells before each step whether time is up.
        after: Is given the state after each step.
    """
    give_back(pruning, state)
    terms = None
    while state.steps < steps and not is_over():
        rng = np.random.default_rng((seed, state.steps))
        if terms is None:
            terms = _terms(pruning)
        child = _swapped(
            pruning, terms, keep, int(rng.integers(1, max(1, int(state.largest)) + 1)), rng
        )
        pruning.masks = child
        pruning.masks = pruning.live()
        pruning.compensate()
        loss = pruning.measured()
        state.steps += 1
        if loss < state.loss:
            state.loss, state.failures = loss, 0
            state.masks, state.weights = dict(pruning.masks), taken(pruning)
            terms = None
        else:
            state.failures += 1
            if state.failures % PATIENCE == 0:
                state.largest = max(1.0, state.largest * SHRINK)
            give_back(pruning, state)
        state.losses = (*state.losses, state.loss)
        log.info("refinement: step %d of %d, loss %.4g", state.steps, steps, state.loss)
        pruning.tell("refinement", state.steps, steps, best=lambda: state.loss)
        after(state)


def taken(pruning: Pruning) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Return copies of the weights and biases of all layers."""
    return {
        layer.name: (
            layer.weights.clone(),
            None if layer.module.bias is None else layer.module.bias.detach().clone(),
        )
        for layer in pruning.layers
    }


def give_back(pruning: Pruning, state: Refinement) -> None:
    """Give the network the best masks and weights."""
    pruning.masks = dict(state.masks)
    for layer in pruning.layers:
        layer.put(*state.weights[layer.name])


def _terms(pruning: Pruning) -> tuple[Tensor, Tensor]:
    """Return log(|w| x_j g_i) and log|∂loss/∂w| of all weights of all layers, in one row each."""
    active = pruning.activity(gradients=True)
    slopes = pruning.slopes()
    use, gain = [], []
    for layer in pruning.layers:
        now = active[layer.name]
        assert now.gradients is not None
        kept = layer.weights.abs() * now.inputs.unsqueeze(1) * now.gradients.unsqueeze(2)
        use.append(_log(kept).flatten())
        gain.append(_log(slopes[layer.name].abs()).flatten())
    return torch.cat(use), torch.cat(gain)


def _log(values: Tensor) -> Tensor:
    return values.double().clamp_min(1e-30).log()


def _swapped(
    pruning: Pruning, terms: tuple[Tensor, Tensor], keep: int, count: int, rng: np.random.Generator
) -> Masks:
    """Return masks with the least useful weights dropped and promising ones grown."""
    masks = pruning.masks
    now = torch.cat([mask.flatten() for mask in masks.values()])
    use, gain = terms
    temperature = float(rng.choice(TEMPERATURES))
    noise = torch.from_numpy(rng.gumbel(size=len(now))).to(use) * temperature
    dropped = (-use + noise).masked_fill(~now, -torch.inf).topk(min(count, int(now.sum()))).indices
    grown = (gain + noise).masked_fill(now, -torch.inf)
    room = keep - (int(now.sum()) - len(dropped))
    child = now.clone()
    child[dropped] = False
    child[grown.topk(min(room, int((~now).sum()))).indices] = True
    parts = torch.split(child, [mask.numel() for mask in masks.values()])
    return {name: part.reshape(masks[name].shape) for name, part in zip(masks, parts, strict=True)}
