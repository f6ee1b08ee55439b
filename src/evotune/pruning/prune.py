"""Most weights of a trained network removed, so that what is left does what all of them did."""

import logging
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from evotune.checks import did_you_mean, option, seconds
from evotune.errors import TaskError
from evotune.pruning import fine_tuning, refinement
from evotune.pruning.compensation import WAYS
from evotune.pruning.examples import Examples, examples_of
from evotune.pruning.methods import METHODS, Method, Rounds, convolutional
from evotune.pruning.result import Pruned
from evotune.pruning.rounds import Pruning
from evotune.pruning.search import Searched
from evotune.pruning.working import Working, copied

log = logging.getLogger("evotune")

#: Most calibration examples, where the user names no other number: of networks without and with
#: convolutions, and for each evaluation of a search.
EXAMPLES, OF_IMAGES, OF_SEARCH = 1024, 500, 384
#: Above this sparsity the score that also looks at examples is the better one.
EXTREME = 0.97


def prune(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
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
    compensation: str = "refit",
) -> Pruned:
    """Remove most weights of a trained network; the network itself stays as it is.

    Weights go in rounds by how much flows through them, and after each round those that are left
    are refitted, layer by layer, to what the dense network computes.

    Args:
        model: The trained network.
        sparsity: The share of the weights that go, in (0, 1), of linear and convolutional layers,
            recurrent layers and attention; biases, norms and embeddings stay.
        data: Examples as the network takes them: a tensor or array ``(examples, ...)``, a dict of
            them, a pair (inputs, labels), or a Dataset or DataLoader of such pairs. A thousand are
            enough, and labels are not needed. Floating inputs are turned into the network's type.
        labels: Labels ``(examples, ...)``, where they are not in data.
        loss: A name as in `SupervisedTask`, or a mean loss of (output, labels); by default
            "cross_entropy" for labels that are whole numbers, and "mse" for others.
        method: "auto", one of "flow", "mix" and "search" (CMA-ES over the score), one of the
            published "magnitude", "wanda", "diagonal", "lamp", "erk", "uniform", "synflow",
            "snip", "iterative_snip", "grasp" and "soft_mask", each with one refit at the end, or a
            function of (`evotune.pruning.rounds.Pruning`, number of weights that stay).
        refine: Steps of an evolution that drops and grows connections; 300 are a good number.
        fine_tune: Epochs of training afterwards, on all of the data; they need labels.
        examples: Most examples that are looked at.
        seed: Of all draws: the same arguments give the same masks.
        budget: Seconds after which refinement ends.
        compensation: How what is left takes over after a published method: "refit", "energy" (one
            gain a layer), "variance" (one gain and mean an output) or "none". Macro F1 of a
            perceptron on Digits at 98 %, ten seeds: LAMP 0.88, 0.14, 0.47 and 0.08.

    Returns:
        What is left: ``result.model`` is a module like the given one.

    Raises:
        TaskError: Something cannot be pruned or done; the words say what to write.

    Example::

        result = et.prune(model, sparsity=0.98, data=(x, y))
        result.model(x)
    """
    sparsity = option("sparsity", sparsity, "(0, 1)", error_type=TaskError)
    steps = int(option("refine", refine, "[0, inf)", whole=True, error_type=TaskError))
    epochs = int(option("fine_tune", fine_tune, "[0, inf)", whole=True, error_type=TaskError))
    seed = option("seed", seed, "[0, inf)", whole=True, error_type=TaskError) % 2**63
    is_over = _clock(budget)
    model = copied(model)
    most = None if epochs else max(EXAMPLES, examples if isinstance(examples, int) else 0)
    found = examples_of(data, labels, loss, most, seed).like(model)
    if epochs and found.targets is None:
        raise TaskError("fine_tune= trains on labels: write data=(inputs, labels)")
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    working, pruning = _ready(model, found, examples, seed, device)
    keep = _kept(sparsity, pruning.size)
    chosen = _method(method, sparsity, pruning)
    if method == "search":
        chosen = Searched(_ready(model, found, OF_SEARCH, seed, device)[1], seed)
    _check_compensation(compensation, chosen, steps)
    chosen(pruning, keep)
    pruning.check(keep)
    if not isinstance(chosen, Rounds | Searched):
        pruning.masks = pruning.live()
        if compensation != "none":
            pruning.compensate(how=compensation)
    losses: tuple[float, ...] = ()
    if steps:
        state = refinement.begin(pruning, keep)
        refinement.refine(pruning, state, keep, steps, seed, is_over)
        losses = state.losses
    if pruning.is_cut():
        log.warning("at sparsity %g nothing flows through the network any more", sparsity)
    result = working.finished(pruning.masks)
    if epochs:
        source = found.source(device)
        fine_tuning.fine_tune(result, source, found.loss, epochs, seed, device)
    result.train(model.training)
    masks, few = working.masks(pruning.masks), found.some(4, seed, device).like(model).inputs
    return Pruned(result, masks, pruning.size, few, dict(working.left_dense), losses)


def _ready(
    model: nn.Module, examples: Examples, most: int | None, seed: int, device: torch.device
) -> tuple[Working, Pruning]:
    """Return a copy of a network that may be pruned, on some examples."""
    if most is not None:
        most = int(option("examples", most, "[2, inf)", whole=True, error_type=TaskError))
    few = examples.some(2, seed, device).inputs
    working = Working(model, few, seed)
    is_image = any(not isinstance(layer.module, nn.Linear) for layer in working.layers)
    some = examples.some(most or (OF_IMAGES if is_image else EXAMPLES), seed, device)
    goal = some.goal(working.network, seed)
    pruning = Pruning(working.network, working.layers, some.inputs, goal)
    if unclear := pruning.unclear():
        working.leave(unclear, "how it reaches the outputs is not understood")
        working.check()
        pruning = Pruning(working.network, working.layers, some.inputs, goal)
    return working, pruning


def _kept(sparsity: float, size: int) -> int:
    keep = round((1 - sparsity) * size)
    if keep < 1:
        raise TaskError(
            f"sparsity={sparsity:g} leaves none of {size} weights; write at most {1 - 1 / size:.6g}"
        )
    return keep


def _method(method: str | Method, sparsity: float, pruning: Pruning) -> Method:
    if not isinstance(method, str):
        if not callable(method):
            raise TaskError(f"method= is a name or a function of (pruning, keep), got {method!r}")
        return method
    if method in ("auto", "search"):
        return METHODS["mix" if sparsity > EXTREME or convolutional(pruning) else "flow"]
    if method not in METHODS:
        known = ("auto", "search", *METHODS)
        raise TaskError(
            f"no method is called {method!r}; known are {', '.join(known)}"
            f"{did_you_mean(method, known)}"
        )
    return METHODS[method]


def _check_compensation(given: str, method: Method, steps: int) -> None:
    known = (*WAYS, "none")
    if given not in known:
        raise TaskError(
            f"compensation={given!r} is not known; known are {', '.join(known)}"
            f"{did_you_mean(given, known)}"
        )
    if given != "refit" and (steps or isinstance(method, Rounds | Searched)):
        raise TaskError(
            f"compensation={given!r} has no effect here, as each round and each step of refine= "
            'refits; name a published method such as method="lamp", without refine='
        )


def _clock(budget: float | None) -> Callable[[], bool]:
    """Return a function that tells whether so many seconds have passed."""
    if budget is None:
        return lambda: False
    end = time.monotonic() + seconds("budget", budget, "(0, inf]", TaskError)
    return lambda: time.monotonic() >= end
