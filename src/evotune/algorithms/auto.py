"""Algorithms by name, and the rule that picks one."""

import importlib
from typing import Any

from evotune.algorithms.genetic import Genetic
from evotune.checks import did_you_mean
from evotune.errors import AlgorithmError
from evotune.protocols import Algorithm
from evotune.space import Space

#: Module of every search algorithm that takes a space.
ALGORITHMS = {
    "RandomSearch": "random_search",
    "Grid": "grid",
    "Genetic": "genetic",
    "EvolutionStrategy": "evolution_strategy",
    "PopulationBasedTraining": "population_based",
}


def auto(space: Space, *, trials: int | None = None) -> Algorithm:
    """Return the algorithm that `tune` takes for this space and number of trials.

    The rule: a genetic algorithm of 6 to 12 members, so that the budget allows ten generations,
    with half as many children a generation, which spends small budgets best.

    Args:
        space: What may be searched.
        trials: Trials of the whole study, when known.
    """
    size = 12 if trials is None else min(max(trials // 6, 6), 12)
    return Genetic(space, population_size=size, offspring=size // 2)


def named(name: str, space: Space, *, trials: int | None = None, **options: Any) -> Algorithm:
    """Return a new algorithm by its name, or by ``"auto"``.

    Args:
        name: ``"auto"``, or a class name such as ``"Genetic"``.
        space: What may be searched.
        trials: Trials of the whole study, for ``"auto"``.
        **options: Options of the algorithm.

    Raises:
        AlgorithmError: No algorithm has this name, or it has no such option; ``"auto"`` has none.
    """
    if name == "auto":
        if options:
            raise AlgorithmError(
                f'algorithm "auto" has no options, got {", ".join(options)}; '
                "name an algorithm, such as Genetic, to set its options"
            )
        return auto(space, trials=trials)
    if name not in ALGORITHMS:
        hint = did_you_mean(name, [*ALGORITHMS, "auto"]) or "."
        raise AlgorithmError(
            f"there is no algorithm {name!r}{hint} Known: auto, {', '.join(ALGORITHMS)}"
        )
    module = importlib.import_module(f"evotune.algorithms.{ALGORITHMS[name]}")
    try:
        algorithm: Algorithm = getattr(module, name)(space, **options)
    except TypeError as error:
        raise AlgorithmError(f"{name}: {error}") from None
    return algorithm
