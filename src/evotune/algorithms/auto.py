"""Algorithms by name, and the rule that picks one."""

import copy
import logging
import math
from collections.abc import Callable
from typing import Any

import evotune
from evotune.checks import did_you_mean, option
from evotune.errors import AlgorithmError
from evotune.names import SEARCHES
from evotune.protocols import Algorithm
from evotune.space import Space

log = logging.getLogger("evotune")

#: Up to this many trials, genes and workers a surrogate is worth its cost.
MODEL_TRIALS, MODEL_GENES, MODEL_WORKERS = 300, 100, 20


def auto(
    space: Space,
    *,
    trials: int | None = None,
    objectives: int = 1,
    workers: int = 1,
    budget: tuple[int, int] | None = None,
) -> Algorithm:
    """Return the algorithm that `tune` takes; its attribute ``why`` says in one line why.

    The first rule that applies counts:

    1. Four objectives or more: `Nsga3`.
    2. Up to 300 trials, 100 genes and 20 workers, or trials unknown: `Hybrid`.
    3. Two or three objectives: `Nsga2`.
    4. More than 100 genes, none of them conditional: `CmaEs`.
    5. Else `DifferentialEvolution`.

    Populations are at least as large as the number of workers.

    With a ``budget``, `SuccessiveHalving` around it.

    Args:
        space: What may be searched.
        trials: Trials of the whole study, when known.
        objectives: Number of objectives.
        workers: Trials that run at the same time.
        budget: Fewest and most epochs of a trial, for tasks that report on the way.

    Raises:
        StudyError: A number of trials, objectives or workers that is none.
    """
    workers = option("workers", workers, "[1, inf)", whole=True)
    objectives = option("objectives", objectives, "[1, inf)", whole=True)
    if trials is not None:
        trials = option("trials", trials, "[1, inf]", whole=True)
    name, why = _choose(space, trials, objectives, workers)
    algorithm = named(name, space)
    if workers > (algorithm.traits.population_size or workers):
        algorithm = named(name, space, population_size=workers)
    if budget is not None:
        from evotune.algorithms.halving import SuccessiveHalving

        algorithm = SuccessiveHalving(algorithm, minimum=budget[0], maximum=budget[1])
        why += "; in short trials first, as a budget is given"
    algorithm.why = f"{name}: {why}"  # type: ignore[attr-defined]
    log.info("auto takes %s: %s", name, why)
    return algorithm


def _choose(space: Space, trials: int | None, objectives: int, workers: int) -> tuple[str, str]:
    """Return the name of the algorithm, and why it is that one."""
    if objectives > 3:
        return "Nsga3", f"{objectives} objectives need directions to spread along"
    why = _no_model(space, trials, workers)
    if not why:
        known = "an unknown number of" if trials is None else trials
        return "Hybrid", f"with {known} trials it pays to learn from each of them"
    if objectives > 1:
        return "Nsga2", f"{objectives} objectives, and {why}"
    if len(space.variable) > MODEL_GENES and not space.conditional:
        return "CmaEs", why
    return "DifferentialEvolution", why


def _no_model(space: Space, trials: int | None, workers: int) -> str:
    """Return why a model of the objective would cost more than it gains, or nothing."""
    if trials is not None and trials > MODEL_TRIALS:
        return f"more than {MODEL_TRIALS} trials"
    if len(space.variable) > MODEL_GENES:
        return f"more than {MODEL_GENES} genes"
    if workers > MODEL_WORKERS:
        return f"more than {MODEL_WORKERS} workers"
    for name in space.variable:
        if not space[name].ordered and space[name].size == math.inf:
            return f"gene {name!r} has neither an order nor a list of values"
    return ""


def named(name: str, space: Space, **options: Any) -> Algorithm:
    """Return a new algorithm by its name.

    Args:
        name: A class name such as ``"Genetic"``.
        space: What may be searched.
        **options: Options of the algorithm.

    Raises:
        AlgorithmError: No algorithm has this name, or it has no such option.
    """
    if name not in SEARCHES:
        hint = did_you_mean(name, [*SEARCHES, "auto"]) or "."
        raise AlgorithmError(
            f"there is no algorithm {name!r}{hint} Known: auto, {', '.join(SEARCHES)}"
        )
    try:
        algorithm: Algorithm = getattr(evotune, name)(space, **options)
    except TypeError as error:
        raise AlgorithmError(f"{name}: {error}") from None
    return algorithm


def independent(
    owner: str,
    given: str | Algorithm | Callable[[Space], Algorithm],
    space: Space,
    *,
    trials: int | None = None,
    objectives: int = 1,
    workers: int = 1,
) -> Algorithm:
    """Return a new algorithm whose trials all start afresh, given in one of several ways.

    Args:
        owner: What it is for, as the errors write it.
        given: ``"auto"``, the name of a search algorithm, a function of the space that makes one,
            or an algorithm on this space, of which a copy is returned.
        space: What may be searched.
        trials: As for `auto`.
        objectives: As for `auto`.
        workers: As for `auto`.

    Raises:
        AlgorithmError: It is none of these, has another space, or its trials go on from the
            weights of others or have budgets.
    """
    if given == "auto":
        algorithm = auto(space, trials=trials, objectives=objectives, workers=workers)
    else:
        algorithm = _made(owner, given, space)
    if algorithm.space != space:
        raise AlgorithmError(f"{owner}: {algorithm!r} searches another space than {space!r}")
    if algorithm.traits.inherits or algorithm.traits.budgets:
        raise AlgorithmError(
            f"{owner}: {algorithm!r} trains for budgets or goes on from weights, but here every "
            'trial is trained afresh and to the end; write algorithm="auto", "Genetic" or another '
            "search"
        )
    return algorithm


def _made(owner: str, given: Any, space: Space) -> Algorithm:
    if isinstance(given, str):
        return named(given, space)
    if hasattr(given, "ask") and not isinstance(given, type):
        algorithm: Any = copy.deepcopy(given)
    else:
        algorithm = given(space) if callable(given) else None
    if not (hasattr(algorithm, "ask") and hasattr(algorithm, "tell")):
        raise AlgorithmError(
            f'{owner}: algorithm is "auto", the name of one such as "Genetic", an algorithm on the '
            "same space, or a function of the space such as "
            f"functools.partial(Genetic, population_size=8); got {given!r}"
        )
    made: Algorithm = algorithm
    return made
