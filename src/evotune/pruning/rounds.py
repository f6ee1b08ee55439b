"""Pruning in rounds: score, keep the best, refit, and score again on the refitted weights."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from evotune.pruning.compensation import POSITIONS, RIDGE, compensate, targets_of
from evotune.pruning.flow import Flow, Paths
from evotune.pruning.goals import Goal
from evotune.pruning.layers import Layer, watched
from evotune.pruning.scores import Activity, Score
from evotune.training.data import count

log = logging.getLogger("evotune")

#: Which weights stay, by the name of the layer, ``(groups, rows, columns)``.
Masks = dict[str, Tensor]


class Pruning:
    """A network under pruning, with its calibration examples.

    Args:
        network: A network of layers of `evotune.training.sparsity.KINDS`; it is changed.
        layers: Those that are pruned.
        inputs: The calibration examples, as the network takes them.
        goal: What is wanted of it.
        choice: Function of (this, scores of all weights by layer, number of weights that stay)
            that returns masks of the best of those that are left.

    Attributes:
        masks: Which weights stay.
        scores: By which weights were chosen last, as masks are; those that had gone before have
            minus infinity.
        goals: What each layer of the dense network gives.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[Layer],
        inputs: Any,
        goal: Goal,
        choice: "Choice | None" = None,
    ) -> None:
        self.network = network
        self.layers = list(layers)
        self.inputs, self.goal = inputs, goal
        self._choice = choice or keep_best
        self.examples = count(inputs)
        self.limit = POSITIONS * self.examples
        self._biases = [layer.module.bias for layer in self.layers]
        self._biases = [None if bias is None else bias.detach().clone() for bias in self._biases]
        self.masks: Masks = {}
        self.scores: dict[str, Tensor] = {}
        self.reset()
        self.goals = targets_of(network, self.layers, inputs, self.limit)
        self._paths = Paths(network, self.layers, inputs)

    @property
    def size(self) -> int:
        """How many weights the dense layers have."""
        return sum(layer.dense.numel() for layer in self.layers)

    def reset(self) -> None:
        """Give the network its dense weights and biases again."""
        every = {la.name: torch.ones_like(la.dense, dtype=torch.bool) for la in self.layers}
        self.masks = every
        for layer, bias in zip(self.layers, self._biases, strict=True):
            layer.put(layer.dense, bias)

    def put(self, masks: Masks) -> None:
        """Set the masks, and the dense weights on them."""
        self.masks = dict(masks)
        for layer in self.layers:
            layer.put(layer.dense * masks[layer.name])

    def flow(self) -> dict[str, Flow]:
        """Return the flow through the weights that are left."""
        return self._paths(
            {layer.name: layer.weights * self.masks[layer.name] for layer in self.layers}
        )

    def keep(self, scores: Mapping[str, Tensor], count: int) -> Masks:
        """Return masks of the best weights of those that are left.

        Args:
            scores: Of the weights of each layer; larger stays.
            count: How many weights stay.
        """
        self.scores = {
            name: scores[name].masked_fill(~mask, -torch.inf) for name, mask in self.masks.items()
        }
        return self._choice(self, scores, count)

    def live(self, masks: Masks | None = None) -> Masks:
        """Return masks, by default its own, without weights on no path from input to output."""
        masks = self.masks if masks is None else masks
        flow = self._paths({name: mask.double() for name, mask in masks.items()})
        return {name: mask & flow[name].live for name, mask in masks.items()}

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The names of layers whose outputs another layer reads."""
        given: list[Tensor] = []
        outputs: list[tuple[str, Tensor]] = []

        def note(layer: Layer, _: int, read: Tensor, output: Tensor) -> None:
            given.append(read)
            if not output.requires_grad:
                output.requires_grad_()
            outputs.append((layer.name, output))

        with torch.enable_grad(), watched(self.layers, note):
            self.network(self.inputs)
        read_by_others = [part.sum() for part in given if part.requires_grad]
        if not read_by_others:
            return frozenset()
        total = torch.stack(read_by_others).sum()
        found = torch.autograd.grad(total, [each for _, each in outputs], allow_unused=True)
        return frozenset(
            name for (name, _), slope in zip(outputs, found, strict=True) if slope is not None
        )

    def compensate(self, ridge: float = RIDGE) -> None:
        """Refit what is left to the dense network."""
        compensate(
            self.network, self.layers, self.masks, self.inputs, self.goals, self.limit, ridge
        )

    def activity(self, *, gradients: bool) -> dict[str, Activity]:
        """Return what happens in each layer on the examples."""
        squares: dict[str, list[Tensor]] = {layer.name: [] for layer in self.layers}
        outputs: list[tuple[Layer, int, Tensor]] = []

        def note(layer: Layer, call: int, given: Tensor, output: Tensor) -> None:
            squares[layer.name].append(
                layer.inputs(given.detach(), self.limit, call).double().square().mean(0)
            )
            if gradients:
                if not output.requires_grad:
                    output.requires_grad_()
                outputs.append((layer, call, output))

        with torch.set_grad_enabled(gradients), watched(self.layers, note):
            given = self.network(self.inputs)
        slopes: dict[str, Tensor] = {}
        if gradients:
            found = torch.autograd.grad(
                self.goal.probe(given), [o for _, _, o in outputs], allow_unused=True
            )
            for (layer, call, output), gradient in zip(outputs, found, strict=True):
                g = torch.zeros_like(output) if gradient is None else gradient
                total = layer.outputs(g, 2**62, call).double().square().sum(0) / self.examples
                slopes[layer.name] = slopes.get(layer.name, 0.0) + total
        return {
            name: Activity(
                torch.stack(parts).mean(0).sqrt(),
                slopes[name].sqrt() if gradients else None,
            )
            for name, parts in squares.items()
        }

    def slopes(self) -> dict[str, Tensor]:
        """Return the gradient of the loss for all weights, removed ones too."""
        wanted = [layer.module.weight for layer in self.layers]
        for weight in wanted:
            weight.requires_grad_(True)
        try:
            with torch.enable_grad():
                loss = self.goal.loss(self.network(self.inputs))
            found = torch.autograd.grad(loss, wanted, allow_unused=True)
        finally:
            for weight in wanted:
                weight.requires_grad_(False)
        return {
            layer.name: (torch.zeros_like(w) if g is None else g).reshape(layer.dense.shape)
            for layer, w, g in zip(self.layers, wanted, found, strict=True)
        }

    def measured(self) -> float:
        """Return the mean loss on the examples."""
        with torch.no_grad():
            return float(self.goal.loss(self.network(self.inputs)))


def keep_best(pruning: Pruning, scores: Mapping[str, Tensor], count: int) -> Masks:
    """Return masks of exactly so many weights: the best of those that are left, over all layers."""
    return best_of(scores, pruning.masks, count)


def best_of(scores: Mapping[str, Tensor], masks: Masks, count: int) -> Masks:
    """Return masks of exactly so many weights: the best of those that masks leave."""
    flat = torch.cat(
        [scores[name].masked_fill(~masks[name], -torch.inf).flatten() for name in masks]
    )
    left = int(sum(int(mask.sum()) for mask in masks.values()))
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    chosen[flat.topk(min(count, left)).indices] = True
    parts = torch.split(chosen, [mask.numel() for mask in masks.values()])
    return {
        name: part.reshape(mask.shape) & mask
        for (name, mask), part in zip(masks.items(), parts, strict=True)
    }


#: See `Pruning`.
Choice = Callable[[Pruning, Mapping[str, Tensor], int], Masks]


def prune_in_rounds(pruning: Pruning, score: Score, keep: int, rounds: int, start: float) -> None:
    """Prune by a score, refitting after each round.

    Args:
        pruning: The network.
        score: Of weights.
        keep: How many weights stay.
        rounds: How many rounds.
        start: The density before the first round; the others fall geometrically from there.
    """
    first = pruning.size * start
    for number in range(1, rounds + 1):
        count = keep if number == rounds else round(first * (keep / first) ** (number / rounds))
        flow = pruning.flow() if score.flows else {}
        active = pruning.activity(gradients=bool(score.gradients)) if score.needs_activity else {}
        scores = {
            layer.name: score(
                layer.name, layer.weights, flow.get(layer.name), active.get(layer.name)
            )
            for layer in pruning.layers
        }
        pruning.masks = pruning.keep(scores, min(count, pruning.size))
        pruning.masks = pruning.live()
        pruning.compensate()
        log.info("round %d of %d: %d of %d weights", number, rounds, count, pruning.size)
