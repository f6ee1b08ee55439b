"""How weights are chosen: our own rounds, and published methods as baselines."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from evotune.pruning import scores
from evotune.pruning.layers import Layer
from evotune.pruning.lowering import Cell
from evotune.pruning.rounds import Masks, Pruning, best_of, prune_in_rounds
from evotune.pruning.scores import Score
from evotune.training.data import each

#: Chooses which weights stay; the masks of the network are set.
Method = Callable[[Pruning, int], None]


@dataclass(frozen=True, slots=True)
class Rounds:
    """A score in rounds, with a refit after each.

    Attributes:
        score: The score.
        rounds: How many; None for as many as the sparsity and the layers want.
        start: The density before the first round; None for what the sparsity wants. Where more
            than half of it is to stay, 1.
    """

    score: Score
    rounds: int | None = None
    start: float | None = None

    def __call__(self, pruning: Pruning, keep: int) -> None:
        """Prune, and leave the weights refitted."""
        is_extreme = keep <= 0.05 * pruning.size
        rounds = self.rounds or (8 if not is_extreme else 40 if convolutional(pruning) else 20)
        start = self.start or (0.2 if is_extreme else 1.0)
        start = start if keep <= 0.5 * start * pruning.size else 1.0
        prune_in_rounds(pruning, self.score, keep, rounds, start)


def convolutional(pruning: Pruning) -> bool:
    """Return whether a network has convolutions."""
    return any(not isinstance(layer.module, nn.Linear) for layer in pruning.layers)


def recurrent(pruning: Pruning) -> bool:
    """Return whether a network has recurrent layers, through which nothing flows evenly.

    From step to step the flow turns to the few states that it grows in most, so that scores with
    flow choose those alone: on a GRU, "mix" loses to magnitudes.
    """
    return any(isinstance(part, Cell) for part in pruning.network.modules())


@dataclass(frozen=True, slots=True)
class Once:
    """A score of the dense network, looked at once, over all layers together.

    Attributes:
        score: The score.
    """

    score: Score

    def __call__(self, pruning: Pruning, keep: int) -> None:
        """Set the masks."""
        scored = pruning.scored(self.score)
        pruning.put(pruning.keep(scored, keep))


def lamp(pruning: Pruning, keep: int) -> None:
    """Layer-adaptive magnitudes, comparable across layers.

    Lee, Park, Mo, Ahn and Shin, "Layer-adaptive sparsity for the magnitude-based pruning" (2021),
    eq. 1: the square of a weight over the sum of the squares of all that are not smaller.
    """
    pruning.put(pruning.keep({la.name: _lamp(la.dense).log() for la in pruning.layers}, keep))


def _lamp(weights: Tensor) -> Tensor:
    squares, order = weights.double().square().flatten().sort(descending=True)
    found = torch.empty_like(squares)
    found[order] = squares / squares.cumsum(0).clamp_min(1e-300)
    return found.reshape(weights.shape)


def erk(pruning: Pruning, keep: int) -> None:
    """The largest weights of each layer, densities as in an Erdős-Rényi-kernel graph.

    Evci, Gale, Menick, Castro and Elsen, "Rigging the lottery: making all tickets winners" (2020):
    the density of a layer is proportional to the sum of its dimensions over their product.
    """
    shares = {layer.name: _erk(layer) for layer in pruning.layers}
    by_layer(pruning, divided(pruning.layers, shares, keep))


def _erk(layer: Layer) -> float:
    shape = layer.module.weight.shape
    return float(sum(shape) / shape.numel())


def uniform(pruning: Pruning, keep: int) -> None:
    """The largest weights of each layer, equally dense everywhere."""
    by_layer(pruning, divided(pruning.layers, dict.fromkeys(pruning.masks, 1.0), keep))


def divided(layers: list[Layer], shares: dict[str, float], keep: int) -> dict[str, int]:
    """Return how many weights each layer keeps, in all exactly so many.

    Args:
        layers: The layers.
        shares: What the density of each is proportional to; none is denser than 1.
        keep: How many weights stay.
    """
    sizes = {layer.name: layer.dense.numel() for layer in layers}
    full: set[str] = set()
    while True:
        room = keep - sum(sizes[name] for name in full)
        rest = sum(shares[name] * size for name, size in sizes.items() if name not in full)
        scale = room / rest if rest else 0.0
        beyond = {n for n in sizes if n not in full and shares[n] * scale > 1}
        if not beyond:
            break
        full |= beyond
    wanted = {n: size if n in full else shares[n] * scale * size for n, size in sizes.items()}
    counts = {name: int(count) for name, count in wanted.items()}
    spare = sorted(counts, key=lambda name: counts[name] - wanted[name])
    for name in spare[: keep - sum(counts.values())]:
        counts[name] += 1
    return counts


def by_layer(pruning: Pruning, counts: dict[str, int]) -> None:
    """Set masks of the largest weights of each layer."""
    masks: Masks = {}
    for layer in pruning.layers:
        own = {layer.name: layer.dense.abs()}
        every = {layer.name: torch.ones_like(layer.dense, dtype=torch.bool)}
        masks |= best_of(own, every, counts[layer.name])
    pruning.put(masks)


def wanda(pruning: Pruning, keep: int) -> None:
    """The weights times inputs that are largest in their row, equally many in all rows.

    Sun, Liu, Bair and Kolter, "A simple and effective pruning approach for large language models"
    (2024), eq. 1 and section 3: weights are compared within the row of an output.
    """
    found = pruning.scored(scores.WANDA)
    pruning.put(pruning.keep({name: _places(part) for name, part in found.items()}, keep))


def _places(values: Tensor) -> Tensor:
    """Return the share of each row that is smaller, ``(groups, rows, columns)``."""
    places = values.argsort(2).argsort(2).double() / values.shape[2]
    return places + 1e-9 * values.clamp(-1e3, 1e3)  # among equal places the larger values stay


def synflow(pruning: Pruning, keep: int, rounds: int = 100) -> None:
    """Synaptic flow as it was published: in rounds, on the dense weights.

    Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively
    conserving synaptic flow" (2020), algorithm 1.
    """
    for number in range(1, rounds + 1):
        count = round(pruning.size * (keep / pruning.size) ** (number / rounds))
        scored = pruning.scored(scores.SYNFLOW)
        pruning.put(pruning.keep(scored, count))
        pruning.tell("rounds", number, rounds, loss=pruning.measured)


def snip(pruning: Pruning, keep: int, rounds: int = 1) -> None:
    """Weights whose removal would change the loss most, to first order.

    Lee, Ajanthan and Torr, "SNIP: single-shot network pruning based on connection sensitivity"
    (2019), eq. 5; in rounds: de Jorge, Sanyal, Behl, Torr, Rogez and Dokania, "Progressive
    skeletonization: trimming more fat from a network at initialization" (2021).
    """
    for number in range(1, rounds + 1):
        count = round(pruning.size * (keep / pruning.size) ** (number / rounds))
        slopes = pruning.slopes()
        scored = {la.name: (la.weights * slopes[la.name]).abs().log() for la in pruning.layers}
        pruning.put(pruning.keep(scored, count))
        pruning.tell("rounds", number, rounds, loss=pruning.measured)


def iterative_snip(pruning: Pruning, keep: int) -> None:
    """`snip` in 50 rounds."""
    snip(pruning, keep, rounds=50)


def grasp(pruning: Pruning, keep: int) -> None:
    """Weights whose removal would lessen the gradient's norm most: the largest w (H g).

    Wang, Zhang and Grosse, "Picking winning tickets before training by preserving gradient flow"
    (2020), eq. 8, whose score, that of what goes, is -w (H g); H is the Hessian of the loss and g
    its gradient. It is meant for networks that are not trained yet.
    """
    curved = pruning.curved_slopes()
    scored = {layer.name: layer.weights * curved[layer.name] for layer in pruning.layers}
    pruning.put(pruning.keep(scored, keep))


#: Of `soft_mask`: examples of a batch, Adam's learning rate, how steep the sigmoid becomes, and the
#: cost of masks that are all open. The last two: about the best of nine pairs on Digits at 98 %.
BATCH, RATE, STEEPEST, COST = 64, 0.1, 200.0, 10.0
#: Of `soft_mask_joint`: Adam's learning rates of masks, and of weights and biases; the best of a
#: dozen settings on Digits at 98 and 99.5 %.
JOINT_RATE, WEIGHT_RATE = 0.03, 0.02

#: Share of the epochs of `soft_mask_joint` after which masks are only open or closed.
SOFT = 5 / 6

#: Function of (s of all masks, share of the epochs that is over) that returns masks and their cost.
_Opening = Callable[[dict[str, Tensor], float], tuple[dict[str, Tensor], Any]]


def soft_mask(pruning: Pruning, keep: int, epochs: int = 30) -> None:
    """The weights whose mask σ(β s) gradients have opened most, over weights that do not change.

    Savarese, Silva and Maire, "Winning the lottery with continuous sparsification" (2020), alg. 1,
    with the weights left alone: β grows from 1 to 200, and masks cost as much as they are more open
    than wanted.
    """

    def masks_of(opened: dict[str, Tensor], done: float) -> tuple[dict[str, Tensor], Any]:
        masks = {name: (STEEPEST**done * s).sigmoid() for name, s in opened.items()}
        spare = torch.stack([mask.sum() for mask in masks.values()]).sum() - keep
        return masks, COST * spare.relu() / pruning.size

    opened = {la.name: torch.zeros_like(la.dense, requires_grad=True) for la in pruning.layers}
    optimizer = torch.optim.Adam(opened.values(), RATE)
    weights = {f"{layer.name}.weight": layer.dense for layer in pruning.layers}
    _open(pruning, opened, masks_of, weights, optimizer, epochs)
    pruning.put(pruning.keep({name: s.detach().double() for name, s in opened.items()}, keep))


def soft_mask_joint(pruning: Pruning, keep: int, epochs: int = 30) -> None:
    """`soft_mask` with weights and biases that are trained together with their masks.

    Savarese et al. (2020) train both, too. Here masks are σ(β (s - t)) with t between the s of the
    last weight that is to stay and that of the next one, in the place of a cost; in the last sixth
    of the epochs they are 1 or 0, so that weights are trained for the masks with which they stay.
    Nothing takes over afterwards.
    """
    every = {la.name: torch.ones_like(la.dense, dtype=torch.bool) for la in pruning.layers}

    def masks_of(opened: dict[str, Tensor], done: float) -> tuple[dict[str, Tensor], Any]:
        if done > SOFT:
            chosen = best_of({name: s.detach() for name, s in opened.items()}, every, keep)
            return {name: mask.to(opened[name].dtype) for name, mask in chosen.items()}, 0.0
        steep = STEEPEST ** (done / SOFT)
        flat = torch.cat([s.detach().flatten() for s in opened.values()])
        middle = flat.topk(min(keep + 1, len(flat))).values[-2:].mean()
        return {name: (steep * (s - middle)).sigmoid() for name, s in opened.items()}, 0.0

    opened = {la.name: torch.zeros_like(la.dense, requires_grad=True) for la in pruning.layers}
    weights = {f"{layer.name}.weight": layer.dense.clone() for layer in pruning.layers}
    biases = {f"{layer.name}.bias": layer.module.bias for layer in pruning.layers}
    weights |= {name: bias.clone() for name, bias in biases.items() if bias is not None}
    for part in weights.values():
        part.requires_grad_()
    optimizer = torch.optim.Adam(
        [
            {"params": list(opened.values()), "lr": JOINT_RATE},
            {"params": list(weights.values()), "lr": WEIGHT_RATE},
        ]
    )
    _open(pruning, opened, masks_of, weights, optimizer, epochs)
    pruning.put(pruning.keep({name: s.detach().double() for name, s in opened.items()}, keep))
    for layer in pruning.layers:
        trained = weights[f"{layer.name}.weight"].detach() * pruning.masks[layer.name]
        layer.put(trained, weights.get(f"{layer.name}.bias"))
    pruning.settle("none")


def _open(
    pruning: Pruning,
    opened: dict[str, Tensor],
    masks_of: _Opening,
    weights: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    epochs: int,
) -> None:
    """Train masks, and weights and biases by the names of their parameters where they want it."""
    chance = torch.Generator().manual_seed(0)
    for epoch in range(epochs):
        done = epoch / max(1, epochs - 1)
        for chosen in torch.split(torch.randperm(pruning.examples, generator=chance), BATCH):
            masks, cost = masks_of(opened, done)
            parts = dict(weights)
            for layer in pruning.layers:
                name = f"{layer.name}.weight"
                masked = weights[name] * masks[layer.name]
                parts[name] = masked.reshape(layer.module.weight.shape)
            inputs = each(lambda part, chosen=chosen: part[chosen], pruning.inputs)
            parts = {name.lstrip("."): part for name, part in parts.items()}
            output = functional_call(pruning.network, parts, (inputs,))
            optimizer.zero_grad()
            loss: Any = pruning.goal.of(chosen).loss(output) + cost
            loss.backward()
            optimizer.step()
        pruning.tell("training of masks", epoch + 1, epochs)


#: The methods by name.
METHODS: dict[str, Method] = {
    "flow": Rounds(scores.SYNFLOW),
    "mix": Rounds(scores.MIX),
    "narrow": Rounds(scores.NARROW),
    "fisher": Rounds(scores.DIAGONAL),
    "magnitude": Once(scores.MAGNITUDE),
    "wanda": wanda,
    "diagonal": Once(scores.DIAGONAL),
    "lamp": lamp,
    "erk": erk,
    "uniform": uniform,
    "synflow": synflow,
    "snip": snip,
    "iterative_snip": iterative_snip,
    "grasp": grasp,
    "soft_mask": soft_mask,
    "soft_mask_joint": soft_mask_joint,
}


def leaves_weights(method: Method) -> bool:
    """Return whether a method leaves weights of its own, for which nothing takes over."""
    return isinstance(method, Rounds) or method is soft_mask_joint
