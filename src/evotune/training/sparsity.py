"""Sparsity while training: weights are removed by magnitude, and stay removed through each step."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from evotune.checks import option
from evotune.errors import TaskError
from evotune.schedules.schedule import Schedule, cubic

#: Layers whose weights can be pruned, here as by `evotune.prune`, which also takes
#: `torch.nn.MultiheadAttention` apart.
KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
RECURRENT = (nn.LSTM, nn.GRU, nn.RNN)
CELLS = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)

#: Share of a training's epochs over which sparsity rises to a number; the rest is for recovery.
RISE = 0.75
#: How many times an epoch masks are made anew while sparsity rises.
UPDATES = 10


def check_sparsity(given: Any) -> float | Schedule:
    """Return a sparsity, a number or a schedule of the gene ``sparsity``, as it is used.

    Raises:
        TaskError: It is neither, lies outside [0, 1), or the schedule has another gene.
    """
    if not isinstance(given, Schedule):
        return _share("sparsity", given)
    others = [name for name in given.names if name != "sparsity"]
    if others:
        raise TaskError(
            f"sparsity= is a schedule that also has {', '.join(others)}, without effect there; "
            'give one of sparsity alone, such as Schedule.cubic("sparsity", 0.9, epochs=20)'
        )
    for segment, (first, _) in zip(given.segments, given.spans, strict=True):
        if "sparsity" not in segment.params:
            raise TaskError(f"the schedule of sparsity has none in epoch {first}; write 0 for none")
        _share(f"sparsity in epoch {first} of its schedule", segment.params["sparsity"])
    return given


def _share(name: str, value: Any) -> float:
    """Return a share of weights."""
    try:
        return float(option(name, value, "[0, 1)", error_type=TaskError))
    except TaskError as error:
        raise TaskError(
            f"{error}; it is the share of weights that are removed: 0.9 for 90 %"
        ) from None


def prunable(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights of a network that may be removed, each once.

    They are those of linear and convolutional layers, recurrent layers and cells, and attention,
    as `evotune.prune` counts them; not those that another kind of layer has too (as a tied
    embedding), that are not trained, or that a parametrization makes.

    Raises:
        TaskError: The size of a layer is not known yet.
    """
    found: dict[int, nn.Parameter] = {}
    others: set[int] = set()
    for name, module in network.named_modules():
        for key, weight in module.named_parameters(recurse=False):
            if not _counts(module, key):
                others.add(id(weight))
            elif is_lazy(weight):
                raise TaskError(
                    f"the size of the layer {name!r} is not known before it runs, and sparsity= "
                    "needs it; call the network on one batch in the model function"
                )
            elif weight.requires_grad:
                found[id(weight)] = weight
    return [weight for key, weight in found.items() if key not in others]


def _counts(module: nn.Module, key: str) -> bool:
    if isinstance(module, KINDS):
        return key == "weight"
    if isinstance(module, RECURRENT + CELLS):
        return key.startswith("weight_")
    return isinstance(module, nn.MultiheadAttention) and key.endswith("proj_weight")


def sparsity_of(weights: Sequence[Tensor]) -> float:
    """Return the exact share of zeros in weights."""
    left = sum(int(weight.count_nonzero()) for weight in weights)
    return 1 - left / sum(weight.numel() for weight in weights)


class Sparsifier:
    """Removes weights of a network while it is trained, over all layers together by magnitude.

    As in Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model
    compression" (2017), section 3: a removed weight is zero and gets no gradient, but its last
    value is remembered, by which it may come back when masks are made anew; they are while the
    wanted sparsity changes, and else stay. A number is reached along equation 1, from the sparsity
    that the weights have at the start of the trial, over the first `RISE` of its epochs.

    Weights taken over from another trial are zero where they were removed, and nothing else is
    remembered of them. Where fewer of them are to be zero, those come back whose gradient in the
    next step is largest, as in Evci et al., "Rigging the lottery: making all tickets winners"
    (2020), section 3.

    Args:
        network: The network, whose weights change in place.
        wanted: The sparsity at the end, or by epoch of the line of weights.
        epochs: Of this trial.
        inherited: Whether the weights are another trial's once training begins.

    Attributes:
        weights: Those that may be removed.
        masks: Which of them stay, 1 or 0, each of the shape of its weight; changed in place.

    Raises:
        TaskError: There is no such weight, or none would be left.
    """

    def __init__(
        self, network: nn.Module, wanted: float | Schedule, epochs: int, *, inherited: bool
    ) -> None:
        self.weights = prunable(network)
        self.size = sum(weight.numel() for weight in self.weights)
        name = type(network).__name__
        if not self.weights:
            raise TaskError(
                f"sparsity= has no effect: {name} has no weights that can be pruned and are "
                "trained; those of nn.Linear, nn.Conv1d, nn.Conv2d, recurrent layers and "
                "nn.MultiheadAttention can be"
            )
        most = wanted if isinstance(wanted, float) else max(p["sparsity"] for p in wanted)
        if not self._kept(most):
            raise TaskError(
                f"sparsity={most:g} leaves none of the {self.size} weights of {name}; at most "
                f"{1 - 1 / self.size:.6g} leaves one"
            )
        self._wanted = wanted
        self._epochs = epochs
        self._inherited = inherited
        self.masks = [torch.ones_like(weight.detach()) for weight in self.weights]
        self._last: list[Tensor] = []  # what removed weights were; filled when training begins
        self._start = self._initial = self._time = 0.0
        self._tick = self._keeps = -1
        self._spare = 0

    def update(self, time: float) -> None:
        """Make the masks of a time, counted in epochs of the line of weights, before its step."""
        if not self._last:
            self._begin(time)
        self._time = time
        tick = int(time * UPDATES + 1e-6)
        if tick != self._tick:
            self._tick = tick
            self._keep(self._kept(self._at(time)))

    def finish(self) -> None:
        """Bring the weights to the sparsity of the end, where no step was left to do so."""
        if not self._last:
            self._begin(0.0)
        if isinstance(self._wanted, float):
            self._keep(self._kept(self._wanted))
        else:
            self._keep(self._kept(self._at(self._time)))

    def before_step(self, gradients: Sequence[Tensor | None]) -> None:
        """Take the gradients of removed weights away, after some came back where there is room."""
        self.grow(gradients)
        pairs = [(g, m) for g, m in zip(gradients, self.masks, strict=True) if g is not None]
        if pairs:
            multiply(*zip(*pairs, strict=True))

    def after_step(self) -> None:
        """Make removed weights zero again: momentum and weight decay move them, too."""
        multiply([weight.detach() for weight in self.weights], self.masks)

    @property
    def has_room(self) -> bool:
        """Whether more weights may stay than there are, so that some come back in the next step."""
        return self._spare > 0

    def grow(self, gradients: Sequence[Tensor | None]) -> None:
        """Let weights come back for which there is room, those with the largest gradients."""
        if not self._spare:
            return
        slopes = [
            torch.zeros_like(mask) if gradient is None else gradient.detach().abs()
            for gradient, mask in zip(gradients, self.masks, strict=True)
        ]
        slope = _flat(slopes).nan_to_num()
        stays = _flat(self.masks) > 0
        stays[slope.masked_fill_(stays, -1).topk(self._spare).indices] = True
        self._set(stays)
        self._spare = 0

    def _begin(self, time: float) -> None:
        self._start = self._time = time
        self._last = [weight.detach().clone() for weight in self.weights]
        self._initial = sparsity_of(self._last) if self._inherited else 0.0

    def _at(self, time: float) -> float:
        if not isinstance(self._wanted, float):
            return float(self._wanted[int(time)]["sparsity"])
        if self._initial >= self._wanted:
            return self._wanted  # what comes back needs time to learn, too
        passed = (time - self._start) / (RISE * self._epochs) if self._epochs else 1.0
        return cubic(self._initial, self._wanted, passed)

    def _kept(self, share: float) -> int:
        return round((1 - share) * self.size)

    def _keep(self, count: int) -> None:
        """Keep the largest weights, counting removed ones as they last were."""
        if count == self._keeps:
            return
        self._keeps = count
        for weight, mask, last in zip(self.weights, self.masks, self._last, strict=True):
            last.copy_(torch.where(mask > 0, weight.detach(), last))
        size = _flat(self._last).abs_()
        stays = torch.zeros_like(size, dtype=torch.bool)
        stays[size.topk(count).indices] = True  # by a threshold, ties would be all in or all out
        stays &= size > 0
        self._spare = count - int(stays.sum())
        self._set(stays)
        for weight, mask, last in zip(self.weights, self.masks, self._last, strict=True):
            weight.detach().copy_(last * mask)

    def _set(self, stays: Tensor) -> None:
        parts = torch.split(stays, [mask.numel() for mask in self.masks])
        for mask, part in zip(self.masks, parts, strict=True):
            mask.copy_(part.view(mask.shape))


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def multiply(tensors: Sequence[Tensor], factors: Sequence[Tensor]) -> None:
    """Multiply tensors in place, each by one of the same shape."""
    torch._foreach_mul_(list(tensors), list(factors))
