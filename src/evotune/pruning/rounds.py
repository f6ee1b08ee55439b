"""Pruning in rounds: score, keep the best, refit, and score again on the refitted weights."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from evotune.errors import TaskError
from evotune.pruning.compensation import POSITIONS, RIDGE, compensate, targets_of
from evotune.pruning.flow import Flow, Paths
from evotune.pruning.goals import Goal, check_finite, parts_of
from evotune.pruning.layers import Layer, watched
from evotune.pruning.progress import Progress
from evotune.pruning.scores import SYNFLOW, Activity, Score
from evotune.pruning.straight import Recorded
from evotune.training.data import count

log = logging.getLogger("evotune")

#: Which weights stay, by the name of the layer, ``(groups, rows, columns)``.
Masks = dict[str, Tensor]

#: How often a round puts others in place of weights that turn out to be on no path.
REPLACED = 5
#: Steps by flow alone, in a round after which nothing else would be on a path.
STEPS = 30


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
        tell: Is told how far the pruning is: ``pruning.tell("rounds", 3, 20)``.
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
        self.tell = Progress()
        self.examples = count(inputs)
        self.limit = POSITIONS * self.examples
        self._biases = [layer.module.bias for layer in self.layers]
        self._biases = [None if bias is None else bias.detach().clone() for bias in self._biases]
        self.masks: Masks = {}
        self.scores: dict[str, Tensor] = {}
        self.reset()
        self.goals = targets_of(network, self.layers, inputs, self.limit)
        self._paths = Paths(network, self.layers, inputs)
        self._varies = self._varying()

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

    def scored(self, score: Score) -> dict[str, Tensor]:
        """Return the scores of the weights as they are."""
        flow = self.flow() if score.flows else {}
        seen = self.activity(gradients=bool(score.gradients)) if score.needs_activity else {}
        return {
            layer.name: score(layer.name, layer.weights, flow.get(layer.name), seen.get(layer.name))
            for layer in self.layers
        }

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
        counts = {name: mask.sum(2, keepdim=True).clamp_min(1) for name, mask in masks.items()}
        flow = self._paths({name: mask.double() / counts[name] for name, mask in masks.items()})
        return {name: mask & flow[name].live for name, mask in masks.items()}

    @property
    def takes_single_weights(self) -> bool:
        """Whether any weight may stay without others."""
        return self._choice is keep_best

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The names of layers whose outputs another layer reads."""
        given: list[Tensor] = []
        outputs: list[tuple[str, Tensor]] = []

        def note(layer: Layer, _: int, read: Tensor, output: Tensor) -> Tensor:
            given.append(read)
            if not output.requires_grad:
                output.requires_grad_()
            outputs.append((layer.name, output))
            return output.clone()  # which the network may change in place

        with torch.enable_grad(), watched(self.layers, note), Recorded():
            self.network(self.inputs)
        read_by_others = [part.sum() for part in given if part.requires_grad]
        if not read_by_others:
            return frozenset()
        total = torch.stack(read_by_others).sum()
        found = torch.autograd.grad(total, [each for _, each in outputs], allow_unused=True)
        return frozenset(
            name for (name, _), slope in zip(outputs, found, strict=True) if slope is not None
        )

    def check(self, keep: int) -> None:
        """Check that a method has left masks of all layers.

        Raises:
            TaskError: Something else is there.
        """
        shapes = {layer.name: layer.dense.shape for layer in self.layers}
        found = self.masks if isinstance(self.masks, Mapping) else {}
        if {n: m.shape for n, m in found.items() if getattr(m, "dtype", 0) == torch.bool} != shapes:
            raise TaskError(
                "the method leaves no masks in pruning.masks; needed are tensors of booleans by "
                f"name, {', '.join(f'{name} {tuple(shape)}' for name, shape in shapes.items())}: "
                "write pruning.put(masks)"
            )
        kept = sum(int(mask.sum()) for mask in self.masks.values())
        if kept > keep:
            log.warning("the method leaves %d weights, and wanted were %d", kept, keep)

    def unclear(self) -> set[str]:
        """Return the layers through which nothing seems to flow, while the outputs need them.

        A network may do what is not understood, such as to leave PyTorch for a while.
        """
        dead = {name for name, mask in self.live().items() if not mask.any()}
        found: set[str] = set()
        for layer in self.layers:
            if layer.name in dead:
                before, weights = self._answers(), layer.weights.clone()
                layer.put(torch.zeros_like(weights))
                after = self._answers()
                layer.put(weights)
                if not all(map(torch.equal, before, after)):
                    found.add(layer.name)
        return found

    def is_cut(self) -> bool:
        """Return whether the answers are the same for all examples, which they were not before.

        Raises:
            TaskError: They are not finite.
        """
        for part in self._answers():
            check_finite(
                part, "the pruned network", "give inputs of a usual scale, as from -1 to 1"
            )
        return self._varies and not self._varying()

    def _varying(self) -> bool:
        return any(bool((part != part[:1]).any()) for part in self._answers())

    def _answers(self) -> list[Tensor]:
        with torch.no_grad():
            return parts_of(self.network(self.inputs))

    def compensate(self, ridge: float = RIDGE, how: str = "refit") -> None:
        """Refit what is left to the dense network, or do so in another way of `WAYS`."""
        given = (self.network, self.layers, self.masks, self.inputs, self.goals, self.limit)
        compensate(*given, ridge, how)

    def settle(self, how: str = "refit") -> None:
        """Drop weights on no path; those that are left take over, where ``how`` is not "none"."""
        self.masks = self.live()
        if how != "none":
            self.compensate(how=how)
            return
        for layer in self.layers:
            layer.put(layer.weights * self.masks[layer.name])

    def activity(self, *, gradients: bool) -> dict[str, Activity]:
        """Return what happens in each layer on the examples."""
        squares: dict[str, list[Tensor]] = {layer.name: [] for layer in self.layers}
        outputs: list[tuple[Layer, int, Tensor]] = []

        def note(layer: Layer, call: int, given: Tensor, output: Tensor) -> Any:
            squares[layer.name].append(
                layer.inputs(given.data, self.limit, call).double().square().mean(0)
            )
            if gradients:
                if not output.requires_grad:
                    output.requires_grad_()
                outputs.append((layer, call, output))
                return output.clone()  # which the network may change in place
            return None

        with torch.set_grad_enabled(gradients), watched(self.layers, note), Recorded():
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
        return self._derived(lambda gradient, _: gradient)

    def curved_slopes(self) -> dict[str, Tensor]:
        """Return the Hessian of the loss times its gradient, for all weights."""

        def twice(gradient: list[Tensor], weights: list[Tensor]) -> list[Tensor | None]:
            product = torch.stack([(g * g.detach()).sum() for g in gradient]).sum()
            found: Any = torch.autograd.grad(product, weights, allow_unused=True)
            return list(found)

        return self._derived(twice, again=True)

    def _derived(self, derive: Callable[..., Any], *, again: bool = False) -> dict[str, Tensor]:
        """Return what is derived from (gradient, weights) of all layers, by the name of each."""
        weights = [layer.module.weight for layer in self.layers]
        for weight in weights:
            weight.requires_grad_(True)
        try:
            with torch.enable_grad(), Recorded():
                loss = self.goal.loss(self.network(self.inputs))
            found = torch.autograd.grad(loss, weights, create_graph=again, allow_unused=True)
            gradient = [
                torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)
            ]
            derived = derive(gradient, weights)
        finally:
            for weight in weights:
                weight.requires_grad_(False)
        return {
            layer.name: torch.zeros_like(layer.dense) if d is None else d.reshape(layer.dense.shape)
            for layer, d in zip(self.layers, derived, strict=True)
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
        scores = pruning.scored(score)
        is_last = number == rounds and pruning.takes_single_weights
        count = min(count, pruning.size)
        pruning.masks = _best_alive(pruning, scores, count, REPLACED if is_last else 1)
        pruning.compensate()
        log.info("round %d of %d: %d of %d weights", number, rounds, count, pruning.size)
        pruning.tell("rounds", number, rounds, loss=pruning.measured)


def _best_alive(pruning: Pruning, scores: Mapping[str, Tensor], count: int, times: int) -> Masks:
    """Return masks of the best weights without those on no path, in whose place others come."""
    before = candidates = dict(pruning.masks)
    for _ in range(times):
        pruning.masks = candidates
        pruning.masks = chosen = pruning.keep(scores, count)
        pruning.masks = live = pruning.live()
        dead = {name: mask & ~live[name] for name, mask in chosen.items()}
        if not any(bool(mask.any()) for mask in dead.values()):
            break
        candidates = {name: mask & ~dead[name] for name, mask in candidates.items()}
    if any(bool(mask.any()) for mask in live.values()):
        return live
    pruning.masks = before
    return _by_flow(pruning, count)


def _by_flow(pruning: Pruning, count: int) -> Masks:
    """Return masks by synaptic flow in small steps, which leaves a path to the end."""
    left = max(count, sum(int(mask.sum()) for mask in pruning.masks.values()))
    for number in range(1, STEPS + 1):
        now = round(left * (count / left) ** (number / STEPS))
        flow = pruning.flow()
        scores = {
            layer.name: SYNFLOW(layer.name, layer.weights, flow[layer.name], None)
            for layer in pruning.layers
        }
        pruning.masks = pruning.keep(scores, now)
    return pruning.live()
