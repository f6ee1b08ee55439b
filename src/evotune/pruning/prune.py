"""Most weights of a trained network removed, so that what is left does what all of them did."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, overload

import torch
from torch import Tensor, nn

from evotune.checks import did_you_mean, option, seconds
from evotune.errors import TaskError
from evotune.pruning import fine_tuning, refinement
from evotune.pruning.calibration import EXAMPLES, OF_SEARCH, device_of, kept_of, ready
from evotune.pruning.checkpoint import Checkpoint, identity, named
from evotune.pruning.compensation import WAYS, check_biases
from evotune.pruning.examples import Examples, examples_of
from evotune.pruning.methods import METHODS, Method, leaves_weights, recurrent
from evotune.pruning.progress import Progress, shown
from evotune.pruning.result import Pruned
from evotune.pruning.rounds import Pruning
from evotune.pruning.search import Searched
from evotune.pruning.structured import Structure, structure_of
from evotune.pruning.sweep import Sweep
from evotune.pruning.working import as_float, copied
from evotune.study.progress import Way, way_of
from evotune.training.data import each

log = logging.getLogger("evotune")

#: The sparsity, where none is named.
DEFAULT = 0.98


@overload
def prune(
    model: nn.Module,
    sparsity: float | None = None,
    *,
    data: Any,
    labels: Any = None,
    loss: str | Callable[..., Tensor] | None = None,
    method: str | Method = "auto",
    refine: int = 0,
    fine_tune: int = 0,
    structure: str | None = None,
    examples: int | None = None,
    seed: int = 0,
    budget: float | None = None,
    checkpoint: str | PathLike[str] | None = None,
    compensation: str = "refit",
    progress: bool | None = None,
) -> Pruned: ...
@overload
def prune(
    model: nn.Module,
    sparsity: Sequence[float],
    *,
    data: Any,
    labels: Any = None,
    loss: str | Callable[..., Tensor] | None = None,
    method: str | Method = "auto",
    refine: int = 0,
    fine_tune: int = 0,
    structure: str | None = None,
    examples: int | None = None,
    seed: int = 0,
    budget: float | None = None,
    checkpoint: str | PathLike[str] | None = None,
    compensation: str = "refit",
    progress: bool | None = None,
) -> Sweep: ...
def prune(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
    model: nn.Module,
    sparsity: float | Sequence[float] | None = None,
    *,
    data: Any,
    labels: Any = None,
    loss: str | Callable[..., Tensor] | None = None,
    method: str | Method = "auto",
    refine: int = 0,
    fine_tune: int = 0,
    structure: str | None = None,
    examples: int | None = None,
    seed: int = 0,
    budget: float | None = None,
    checkpoint: str | PathLike[str] | None = None,
    compensation: str = "refit",
    progress: bool | None = None,
) -> Pruned | Sweep:
    """Remove most weights of a trained network; the network itself stays as it is.

    Weights go in rounds by how much flows through them, and after each round those that are left
    are refitted, layer by layer, to what the dense network computes.

    Args:
        model: The trained network.
        sparsity: The share of the weights that go, in (0, 1), of linear and convolutional layers,
            recurrent layers and attention; biases, norms and embeddings stay. By default 0.98, or
            what the structure says. A list of several gives a `Sweep`: the network pruned to each.
        data: Examples as the network takes them: a tensor or array ``(examples, ...)``, a dict of
            them, a pair (inputs, labels), or a Dataset or DataLoader of such pairs. A thousand are
            enough, and labels are not needed. Floating inputs are turned into the network's type.
        labels: Labels ``(examples, ...)``, where they are not in data.
        loss: A name as in `SupervisedTask`, or a mean loss of (output, labels); by default
            "cross_entropy" for labels that are whole numbers, and "mse" for others.
        method: "auto", which is "fisher" for networks with recurrent layers and "mix" for others;
            "narrow", which leaves fewer units, so that `Pruned.compact` is smaller and faster;
            "flow", or "search" (CMA-ES over the score); one of the published "magnitude", "wanda",
            "diagonal", "lamp", "erk", "uniform", "synflow", "snip", "iterative_snip", "grasp" and
            "soft_mask", each with one refit at the end; "soft_mask_joint", whose weights stay as
            they were trained with their masks; or a function of
            (`evotune.pruning.rounds.Pruning`, number of weights that stay).
        refine: Steps of an evolution that drops and grows connections; 300 are a good number.
        fine_tune: Epochs of training afterwards, on all of the data; they need labels.
        structure: ``"2:4"``, or other such numbers: at most 2 of each 4 neighbouring weights of a
            row stay. ``"channels"``: whole features and channels go, so that `Pruned.compact`
            makes a smaller network. None: single weights, which loses least.
        examples: Most examples that are looked at.
        seed: Of all draws: the same arguments give the same masks.
        budget: Seconds after which refinement ends, of each sparsity.
        checkpoint: A file in which the refinement is kept every few seconds: the same call, after
            whatever ended this one, goes on from there and comes to the same end.
        compensation: How what is left takes over after a published method: "refit", "energy" (one
            gain a layer), "variance" (one gain and mean an output), "bias" (one mean an output) or
            "none". Macro F1 of a perceptron on Digits at 98 %, ten seeds: SynFlow 0.77, 0.24, 0.46,
            0.02 and 0.22. "bias" needs a layer that has one.
        progress: Whether to show rounds, steps of refinement, the loss and the time. None does
            where someone looks: bars in a notebook, and where the standard error is a terminal.
            Elsewhere True writes a line to it now and then.

    Returns:
        What is left: ``result.model`` is a module like the given one.

    Raises:
        TaskError: Something cannot be pruned or done; the words say what to write.
        CheckpointError: The checkpoint cannot be written or read, or is of another pruning.

    Example::

        result = et.prune(model, sparsity=0.98, data=(x, y))
        result.model(x)
    """
    pattern = structure_of(structure)
    asked = _Asked(
        method,
        int(option("refine", refine, "[0, inf)", whole=True, error_type=TaskError)),
        int(option("fine_tune", fine_tune, "[0, inf)", whole=True, error_type=TaskError)),
        structure,
        examples,
        option("seed", seed, "[0, inf)", whole=True, error_type=TaskError) % 2**63,
        None if budget is None else seconds("budget", budget, "(0, inf]", TaskError),
        compensation,
        way_of(progress, TaskError),
    )
    check_compensation(compensation, method, asked.refine)
    if pattern is not None and (asked.refine or method in ("erk", "uniform")):
        what = "refine= moves single weights" if refine else f"method={method!r} fills layers"
        raise TaskError(f"{what}, which structure={structure!r} does not allow; leave one out")
    given = copied(model)
    most = None if asked.fine_tune else max(EXAMPLES, examples if isinstance(examples, int) else 0)
    found = examples_of(data, labels, loss, most, asked.seed).like(given)
    if asked.fine_tune and found.targets is None:
        raise TaskError("fine_tune= trains on labels: write data=(inputs, labels)")
    if isinstance(sparsity, str) or not isinstance(sparsity, Iterable):
        wanted = _wanted(sparsity, pattern)
        of: dict[str, Any] = {"sparsity": wanted, "method": method, "structure": structure}
        of |= {"loss": loss, "seed": asked.seed, "examples": examples}
        of |= {} if compensation == "refit" else {"compensation": compensation}
        of = {} if checkpoint is None else identity(given, found, of)
        return _pruned(given, found, asked, wanted, Checkpoint(checkpoint, of, device_of(given)))
    if checkpoint is not None:
        raise TaskError("checkpoint= is a file of one sparsity; prune to each by itself")
    several = [_wanted(each, pattern) for each in sparsity]
    if not several:
        raise TaskError("sparsity=[] names none; write such as [0.8, 0.9, 0.95, 0.98]")
    nowhere = Checkpoint(None, {}, device_of(given))
    return Sweep(tuple(_pruned(given, found, asked, wanted, nowhere) for wanted in several))


@dataclass(frozen=True, slots=True)
class _Asked:
    """Options of `prune`, checked."""

    method: str | Method
    refine: int
    fine_tune: int
    structure: str | None
    examples: int | None
    seed: int
    budget: float | None
    compensation: str
    shown: Way


def _pruned(
    model: nn.Module, found: Examples, asked: _Asked, sparsity: float, saved: Checkpoint
) -> Pruned:
    """Return what is left of a network at one sparsity."""
    with shown(asked.shown, f"sparsity {sparsity:g}") as progress:
        return _left(model, found, asked, sparsity, saved, progress)


def _left(
    model: nn.Module,
    found: Examples,
    asked: _Asked,
    sparsity: float,
    saved: Checkpoint,
    progress: Progress,
) -> Pruned:
    began, is_over = time.monotonic(), _clock(asked.budget)
    seed, device = asked.seed, device_of(model)
    pattern = structure_of(asked.structure)
    working, pruning = ready(model, found, asked.examples, seed, pattern)
    pruning.tell = progress
    check_biases(pruning.layers, asked.compensation)
    dense_loss = pruning.measured()
    keep = kept_of(sparsity, pruning.size)
    state = saved.load(asked.refine, progress.say)
    if state is None:
        chosen = _method(asked.method, pruning)
        if asked.method == "search":
            chosen = Searched(ready(model, found, OF_SEARCH, seed, pattern)[1], seed)
        chosen(pruning, keep)
        pruning.check(keep)
        if not (leaves_weights(chosen) or isinstance(chosen, Searched)):
            pruning.settle(asked.compensation)
        state = refinement.begin(pruning, keep)
        saved.save(state)
    refinement.refine(pruning, state, keep, asked.refine, seed, is_over, saved.after)
    saved.save(state)
    if pruning.is_cut():
        log.warning("at sparsity %g nothing flows through the network any more", sparsity)
    result = working.finished(pruning.masks)
    if asked.fine_tune:
        source = found.source(device)
        fine_tuning.fine_tune(result, source, found.loss, asked.fine_tune, seed, device, progress)
    loss = _loss(result, pruning) if asked.fine_tune else state.loss
    result.train(model.training)
    few = found.some(4, seed, device).inputs
    few = each(lambda part, given: part.to(given.dtype), few, found.inputs)  # halves again
    options: dict[str, Any] = {"sparsity": sparsity, "method": named(asked.method), "seed": seed}
    options |= {"refine": asked.refine, "fine_tune": asked.fine_tune}
    options |= {"examples": pruning.examples, "labels": found.targets is not None}
    options |= {} if asked.structure is None else {"structure": asked.structure}
    options |= {} if asked.compensation == "refit" else {"compensation": asked.compensation}
    taken = {"dense_loss": dense_loss, "loss": loss, "seconds": time.monotonic() - began}
    return Pruned(
        result,
        working.masks(pruning.masks),
        pruning.size,
        few,
        dict(working.left_dense),
        state.losses,
        options,
        taken,
        working.scores(pruning.scores),
    )


def _loss(result: nn.Module, pruning: Pruning) -> float:
    """Return the loss on the calibration examples, which are no halves."""
    with torch.no_grad():
        return float(pruning.goal.loss(as_float(copied(result)).eval()(pruning.inputs)))


def _wanted(sparsity: float | None, structure: Structure | None) -> float:
    """Return the sparsity that is wanted."""
    own = None if structure is None else structure.sparsity
    if sparsity is None:
        return DEFAULT if own is None else own
    sparsity = option("sparsity", sparsity, "(0, 1)", error_type=TaskError)
    if own is not None and abs(sparsity - own) > 0.005:
        raise TaskError(
            f"sparsity={sparsity:g} is not that of the structure, which is {own:g}; leave "
            "sparsity= out"
        )
    return float(sparsity)


def _method(method: str | Method, pruning: Pruning) -> Method:
    if not isinstance(method, str):
        if not callable(method):
            raise TaskError(f"method= is a name or a function of (pruning, keep), got {method!r}")
        return method
    if method in ("auto", "search"):
        return METHODS["fisher" if recurrent(pruning) else "mix"]
    if method not in METHODS:
        known = ("auto", "search", *METHODS)
        raise TaskError(
            f"no method is called {method!r}; known are {', '.join(known)}"
            f"{did_you_mean(method, known)}"
        )
    return METHODS[method]


def check_compensation(given: str, method: str | Method, steps: int) -> None:
    """Check a way of compensation, and that it has an effect."""
    known = (*WAYS, "none")
    if given not in known:
        raise TaskError(
            f"compensation={given!r} is not known; known are {', '.join(known)}"
            f"{did_you_mean(given, known)}"
        )
    found: Any = METHODS.get(method, method) if isinstance(method, str) else method
    has_own = found in ("auto", "search") or leaves_weights(found)
    if given != "refit" and (steps or has_own):
        why = "each round and each step of refine= refits"
        if method == "soft_mask_joint":
            why = "its weights stay as they were trained with the masks"
        raise TaskError(
            f"compensation={given!r} has no effect here, as {why}; name another published method, "
            'such as method="lamp", without refine='
        )


def _clock(budget: float | None) -> Callable[[], bool]:
    """Return a function that tells whether so many seconds have passed."""
    end = math.inf if budget is None else time.monotonic() + budget
    return lambda: time.monotonic() >= end
