"""NSGA-II and NSGA-III: the genetic algorithm with survival for several objectives.

Any genes, conditional ones included; infeasible trials rank behind feasible ones, by their
violation (Deb, 2000). With one objective both are plain genetic algorithms.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from evotune.algorithms.genetic import Genetic
from evotune.evolution.niching import Niching
from evotune.evolution.selection import Tournament
from evotune.evolution.survival import best_first
from evotune.space import Space
from evotune.space.crossover import Crossover, Uniform
from evotune.space.designs import Design
from evotune.space.mutation import Gaussian, Mutation


class Nsga2(Genetic):
    """NSGA-II (Deb et al., 2002): survival by front, then by crowding distance.

    The defaults are those that find the most hypervolume in some hundred trials: a small
    population, each child inserted as it arrives (Durillo et al., 2009), genes exchanged whole
    and moved by normal steps of all sizes. The paper's own operators, for thousands of trials, are
    ``Nsga2(space, population_size=100, steady_state=False, crossover=SimulatedBinary(),
    mutation=Polynomial())``.

    Args:
        space: What may be searched.
        population_size: Members that survive.
        steady_state: Insert each child as it arrives: no worker waits. False waits for as many
            children as there are members, whose results may then arrive in any order.
        crossover: How two parents' genes combine.
        mutation: How a child's genes change.
        start: ``"latin_hypercube"``, ``"sobol"``, ``"random"``, or a design of your own.
        seeds: Genomes, or params, that the first generation begins with.

    Raises:
        AlgorithmError: A size out of bounds, or an operator that is none.
        GenomeError: A seed genome lies outside the space.
    """

    def __init__(
        self,
        space: Space,
        *,
        population_size: int = 20,
        steady_state: bool = True,
        crossover: Crossover = Uniform(),
        mutation: Mutation = Gaussian(),
        start: str | Design = "latin_hypercube",
        seeds: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(
            space,
            population_size=population_size,
            steady_state=steady_state,
            selection=Tournament(3),
            crossover=crossover,
            mutation=mutation,
            survival=best_first,
            start=start,
            seeds=seeds,
        )

    def __repr__(self) -> str:
        return _text(self)


class Nsga3(Genetic):
    """NSGA-III (Deb and Jain, 2014): survival by front, then evenly over reference directions.

    For three objectives and more, where nearly all trials come to lie in the first front and
    crowding tells them apart badly. There are as many directions as the population has members, or
    a few less; parents are the better of two (U-NSGA-III, Seada and Deb, 2016).

    Args:
        space: What may be searched.
        population_size: Members that survive; 28 makes 28 directions of two or three objectives.
        steady_state: See `Nsga2`, like all that follow.
        crossover: How two parents' genes combine.
        mutation: How a child's genes change.
        start: Design of the first trials.
        seeds: Genomes, or params, that the first generation begins with.

    Raises:
        AlgorithmError: A size out of bounds, or an operator that is none.
        GenomeError: A seed genome lies outside the space.
    """

    def __init__(
        self,
        space: Space,
        *,
        population_size: int = 28,
        steady_state: bool = True,
        crossover: Crossover = Uniform(),
        mutation: Mutation = Gaussian(),
        start: str | Design = "latin_hypercube",
        seeds: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(
            space,
            population_size=population_size,
            steady_state=steady_state,
            selection=Tournament(2),
            crossover=crossover,
            mutation=mutation,
            survival=Niching(population_size),
            start=start,
            seeds=seeds,
        )

    def __repr__(self) -> str:
        return _text(self)


def _text(algorithm: Genetic) -> str:
    how = algorithm.variation
    return (
        f"{type(algorithm).__name__}(population_size={algorithm.population_size}, "
        f"steady_state={algorithm.steady_state}, crossover={how.crossover}, "
        f"mutation={how.mutation})"
    )
