"""Population-based training in all its modes against the contract of every algorithm."""

from evotune.algorithms.intervals import GrowingInterval
from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.algorithms.recipes import pairwise_learning, parameter_averaging
from evotune.evolution.selection import StochasticUniversal
from evotune.protocols import Algorithm
from evotune.space import Space
from evotune.space.crossover import Segment
from evotune.testing.algorithms import AlgorithmContract


class TestThreeParents(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return PopulationBasedTraining(space, population_size=12)


class TestTwoParents(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return PopulationBasedTraining(
            space, population_size=12, parents=2, selection=StochasticUniversal(), exploit="binary"
        )


class TestClassic(AlgorithmContract):
    distinct = False
    improves = False  # three members in four go on unchanged, which finds no new genomes

    def make(self, space: Space) -> Algorithm:
        return PopulationBasedTraining(space, population_size=12, parents=1)


class TestAsynchronous(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return PopulationBasedTraining(space, population_size=12, asynchronous=True)


class TestAsynchronousClassic(AlgorithmContract):
    distinct = False
    improves = False

    def make(self, space: Space) -> Algorithm:
        return PopulationBasedTraining(space, population_size=12, parents=1, asynchronous=True)


class TestBothChildren(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return PopulationBasedTraining(
            space, population_size=8, both_children=True, crossover=Segment(0.33)
        )


class TestEnsembles(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return PopulationBasedTraining(
            space, population_size=12, networks=3, shrink_perturb=(0.5, 0.1)
        )


class TestKin(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return PopulationBasedTraining(space, population_size=12, weights="kin")


class TestKinEnsembles(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return PopulationBasedTraining(space, population_size=12, networks=2, weights="kin")


class TestGrowingInterval(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return PopulationBasedTraining(
            space, population_size=12, interval=GrowingInterval(patience=1, restart=True)
        )


class TestRestartsByAModel(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        interval = GrowingInterval(patience=1, restart="model")
        return PopulationBasedTraining(space, population_size=8, interval=interval)


class TestSmoothedFitness(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return PopulationBasedTraining(space, population_size=12, fitness="smoothed")


class TestImprovement(AlgorithmContract):
    distinct = False
    improves = False  # who has more left to learn is preferred, whatever the value

    def make(self, space: Space) -> Algorithm:
        return PopulationBasedTraining(space, population_size=12, fitness="improvement")


class TestAsynchronousImprovement(AlgorithmContract):
    distinct = False
    improves = False

    def make(self, space: Space) -> Algorithm:
        return PopulationBasedTraining(
            space, population_size=12, fitness="improvement", parents=1, asynchronous=True
        )


class TestPairwiseLearning(AlgorithmContract):
    distinct = False

    def make(self, space: Space) -> Algorithm:
        return pairwise_learning(space, population_size=12)


class TestParameterAveraging(AlgorithmContract):
    distinct = False
    improves = False  # constants are never changed

    def make(self, space: Space) -> Algorithm:
        return parameter_averaging(space, population_size=8, interval=2)
