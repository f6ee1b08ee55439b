from evotune.algorithms import recipes
from evotune.algorithms.auto import auto
from evotune.algorithms.evolution_strategy import EvolutionStrategy
from evotune.algorithms.genetic import Genetic
from evotune.algorithms.grid import Grid
from evotune.algorithms.islands import Islands
from evotune.algorithms.phases import Phases
from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.algorithms.random_search import RandomSearch
from evotune.evolution.rates import Adaptive
from evotune.evolution.selection import Rank, StochasticUniversal
from evotune.protocols import Algorithm
from evotune.space import Space
from evotune.space.crossover import SimulatedBinary
from evotune.space.mutation import Polynomial
from evotune.space.refine import Refinement
from evotune.testing.algorithms import AlgorithmContract
from evotune.trial import Trial


class TestRandomSearch(AlgorithmContract):
    improves = False

    def make(self, space: Space) -> Algorithm:
        return RandomSearch(space)


class TestGrid(AlgorithmContract):
    finishes = True
    improves = False

    def make(self, space: Space) -> Algorithm:
        return Grid(space, points=3)


class TestAuto(AlgorithmContract):
    improves = False  # what it is with few trials, `Hybrid`, has this suite among its own tests

    def make(self, space: Space) -> Algorithm:
        return auto(space, trials=10_000)


class TestGenetic(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return Genetic(space, population_size=8)


class TestGeneticWithSeeds(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return Genetic(space, population_size=4, seeds=[space.decode([0.9] * len(space))])


class TestGeneticWithoutElite(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return Genetic(space, population_size=8, elitism=0, start="sobol", selection=Rank())


class TestGeneticSteadyState(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return Genetic(space, population_size=8, steady_state=True, offspring=3)


class TestGeneticBothChildren(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return Genetic(space, population_size=8, both_children=True, offspring=5)


class TestGeneticSelfAdaptive(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return Genetic(space, population_size=8, self_adaptive=True)


class TestGeneticRefined(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return Genetic(
            space,
            population_size=8,
            refinement=Refinement(every=1, undo_after=3),
            selection=StochasticUniversal(),
            crossover=SimulatedBinary(),
            mutation=Polynomial(),
            mutation_rate=Adaptive(initial=0.3),
        )


class TestEvolutionStrategyPlus(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return EvolutionStrategy(space, parents=3, offspring=7)


class TestEvolutionStrategyComma(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return EvolutionStrategy(space, parents=2, replacement="comma", recombine=False)


class TestStructuralTuning(AlgorithmContract):
    improves = False  # its rare resets find little in the suite's short runs
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return recipes.structural_tuning(space, population_size=8, beta=20.0)


class TestDynamicHyperparameters(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return recipes.dynamic_hyperparameters(space)


class TestThreeParentSearch(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return recipes.three_parent_search(space, population_size=10)


class TestIslands(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return Islands([Genetic(space, population_size=n) for n in (4, 5, 3)], every=2)


class TestIslandsOfMany(AlgorithmContract):
    """Some without generations of their own, one that ends."""

    improves = False

    def make(self, space: Space) -> Algorithm:
        kinds = [RandomSearch(space), Grid(space, points=2), EvolutionStrategy(space, parents=2)]
        return Islands(kinds, topology="full", every=1, send=2)


class TestIslandsWithoutGenerations(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        steady = Genetic(space, population_size=5, steady_state=True)
        return Islands([steady, Genetic(space, population_size=4)], topology="star", every=3)


class TestIslandsOfIslands(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        inner = Islands([Genetic(space, population_size=n) for n in (4, 2)], every=1)
        return Islands([inner, EvolutionStrategy(space, parents=2, offspring=3)], every=3)


class TestPhases(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        def then(best: Trial) -> Algorithm:
            return EvolutionStrategy(space, step_size=0.1, seeds=[best.genome])

        return Phases(Genetic(space, population_size=6), then, trials=22)


class TestPhasesAfterIslands(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        first = Islands([Genetic(space, population_size=4) for _ in range(2)], every=2)

        def then(best: Trial) -> Algorithm:
            rest = Genetic(space, population_size=4, seeds=[best.genome])
            return Phases(rest, lambda _: Genetic(space, population_size=5), trials=15)

        return Phases(first, then, trials=18, budget=3)


class TestMultipleFrequencies(AlgorithmContract):
    distinct = False
    improves = False  # with so many short lines little is left for new genomes

    def make(self, space: Space) -> Algorithm:
        return recipes.multiple_frequencies(space, population_size=4, every=4)


class TestIslandsOfPopulations(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return Islands(
            [
                recipes.three_parent_training(space, population_size=6),
                PopulationBasedTraining(space, population_size=5, asynchronous=True),
            ],
            every=2,
        )


class TestTuneThenSchedule(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return recipes.tune_then_schedule(
            space, structure=space.variable[:1], trials=20, population_size=6
        )


class TestGeneticThatInherits(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return Genetic(
            space, population_size=8, inherit=True, refinement=Refinement(every=3, undo_after=3)
        )


class TestGeneticSteadyStateThatInherits(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return Genetic(space, population_size=8, steady_state=True, inherit=True, epochs=1)


class TestIslandsThatInherit(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return Islands([Genetic(space, population_size=4, inherit=True) for _ in range(3)], every=2)
