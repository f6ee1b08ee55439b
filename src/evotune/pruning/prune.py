"""Most weights of a trained network removed, so that what is left does what all of them did."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from evotune.checks import did_you_mean, option, seconds
from evotune.errors import TaskError
from evotune.pruning.fine_tuning import fine_tune as tune
from evotune.pruning.goals import Goal, Labels, Likeness
from evotune.pruning.methods import METHODS, Method, Rounds, convolutional
from evotune.pruning.refine import begin, refine as evolve
from evotune.pruning.result import Pruned
from evotune.pruning.rounds import Pruning
from evotune.pruning.working import Working
from evotune.training.data import count, each, load
from evotune.training.losses import find_loss

#: Most calibration examples, where the user names no other number; fewer with convolutions.
EXAMPLES, OF_IMAGES = 1024, 500


def prune(
    model: nn.Module,
    sparsity: float = 0.98,
    *,
    data: Any,
    labels: Any = None,
    loss: str | Callable[..., Tensor] | None = None,
    method: str | Method = "auto",
    refine: int = 0,
    fine_tune: int = 0,
    examples: int | None = None,
    seed: int = 0,
    budget: float | None = None,
) -> Pruned:
    """Remove most weights of a trained network; the network itself stays as it is.

    Weights go in rounds by how much flows through them, and after each round those that are left
    are refitted, layer by layer, to what the dense network computes.

    Args:
        model: The trained network.
        sparsity: The share of the weights that go, in (0, 1), of linear and convolutional layers,
            recurrent layers and attention; biases, norms and embeddings stay.
        data: Examples as the network takes them: a tensor or array ``(examples, ...)`` or a dict
            of them, or a pair (inputs, labels). A thousand are enough; no labels are needed.
        labels: Labels ``(examples, ...)``, where they are not in data.
        loss: A name as in `SupervisedTask`, or a mean loss of (output, labels); by default
            "cross_entropy" for whole numbers and "mse" for others.
        method: "auto", or one of `METHODS`, or a function of one's own.
        refine: Steps of an evolution that drops and grows connections; 300 are a good number.
        fine_tune: Epochs of training afterwards, on all of the data; needs labels.
        examples: Most examples that are looked at.
        seed: Of all draws.
        budget: Seconds after which refinement ends.

    Returns:
        What is left: ``result.model`` is a module like the given one, ``result.masks`` tells which
        weights stay.

    Raises:
        TaskError: Something cannot be pruned or done; the words say what to write.

    Example::

        result = et.prune(model, sparsity=0.98, data=(x, y))
        result.model(x)
    """
    option("sparsity", sparsity, "(0, 1)", error_type=TaskError)
    steps = int(option("refine", refine, "[0, inf)", whole=True, error_type=TaskError))
    epochs = int(option("fine_tune", fine_tune, "[0, inf)", whole=True, error_type=TaskError))
    is_over = _clock(budget)
    inputs, targets = _parts(data, labels)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    few = each(lambda part: part[:2].to(device), inputs)
    working = Working(model, few, seed)
    is_image = any(not isinstance(layer.module, nn.Linear) for layer in working.layers)
    most = examples or (OF_IMAGES if is_image else EXAMPLES)
    x, y = _chosen(inputs, targets, most, seed, device)
    with torch.no_grad():
        dense = working.network(x)
    goal: Goal
    if y is None:
        goal = Likeness(dense, seed)
    else:
        goal = Labels(y, find_loss(loss or _usual(y)), count(x))
    pruning = Pruning(working.network, working.layers, x, goal)
    keep = round((1 - sparsity) * pruning.size)
    if keep < 1:
        raise TaskError(
            f"sparsity={sparsity:g} leaves none of {pruning.size} weights; write at most "
            f"{1 - 1 / pruning.size:.6g}"
        )
    chosen = _method(method, sparsity, pruning)
    chosen(pruning, keep)
    if not isinstance(chosen, Rounds):
        pruning.masks = pruning.live()
        pruning.compensate()
    losses: tuple[float, ...] = ()
    if steps:
        state = begin(pruning, keep)
        evolve(pruning, state, keep, steps, seed, is_over)
        losses = state.losses
    found = working.finished(pruning.masks)
    if epochs:
        if targets is None:
            raise TaskError("fine_tune= trains on labels: give data=(inputs, labels)")
        source = load("data", (inputs, targets), device)
        tune(found, source, find_loss(loss or _usual(targets)), epochs, seed, device)
    found.train(model.training)
    return Pruned(found, working.masks(pruning.masks), pruning.size, dict(working.left_dense), losses)


def _parts(data: Any, labels: Any) -> tuple[Any, Any]:
    """Return inputs and targets as tensors; None where there are no targets."""
    if labels is None and isinstance(data, tuple | list) and len(data) == 2:
        data, labels = data
    if labels is not None:
        source: Any = load("data", (data, labels), torch.device("cpu"))
        return source.inputs, source.targets
    source = load("data", (data, data), torch.device("cpu"))
    return source.inputs, None


def _usual(targets: Any) -> str:
    first = next(iter(targets.values())) if isinstance(targets, Mapping) else targets
    return "mse" if first.is_floating_point() else "cross_entropy"


def _chosen(inputs: Any, targets: Any, most: int, seed: int, device: Any) -> tuple[Any, Any]:
    chance = torch.Generator().manual_seed(seed)
    order = torch.randperm(count(inputs), generator=chance)[:most]

    def pick(part: Tensor) -> Tensor:
        return part[order].to(device)

    return each(pick, inputs), None if targets is None else each(pick, targets)


def _method(method: str | Method, sparsity: float, pruning: Pruning) -> Method:
    if not isinstance(method, str):
        if not callable(method):
            raise TaskError(f"method= is a name or a function of (pruning, keep), got {method!r}")
        return method
    if method == "auto":
        return METHODS["mix" if sparsity > 0.97 or convolutional(pruning) else "flow"]
    if method not in METHODS:
        known = ("auto", *METHODS)
        raise TaskError(
            f"no method is called {method!r}; known are {', '.join(known)}"
            f"{did_you_mean(method, known)}"
        )
    return METHODS[method]


def _clock(budget: float | None) -> Callable[[], bool]:
    import time

    if budget is None:
        return lambda: False
    end = time.monotonic() + seconds("budget", budget, TaskError)
    return lambda: time.monotonic() >= end


