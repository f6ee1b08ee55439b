"""Every mutation and crossover keeps its contract, and a wrong one does not."""

import random
from dataclasses import dataclass

import pytest

from evotune.errors import GenomeError
from evotune.space.crossover import (
    Blend,
    ByLayer,
    KPoint,
    Segment,
    SimulatedBinary,
    Splice,
    Toward,
    Uniform,
)
from evotune.space.mutation import Creep, Gaussian, Perturb, Polynomial, Structural, UniformReset
from evotune.testing.operators import CrossoverContract, MutationContract


class TestUniformReset(MutationContract):
    def make(self):
        return UniformReset()


class TestUniformResetOfAll(MutationContract):
    def make(self):
        return UniformReset(rate=1.0)


class TestCreep(MutationContract):
    def make(self):
        return Creep(rate=0.5)


class TestGaussian(MutationContract):
    def make(self):
        return Gaussian()


class TestGaussianOfLargeSteps(MutationContract):
    def make(self):
        return Gaussian(rate=1.0, scale=3.0)


class TestPolynomial(MutationContract):
    def make(self):
        return Polynomial(rate=0.7, eta=1.0)


class TestPerturb(MutationContract):
    def make(self):
        return Perturb()


class TestStructural(MutationContract):
    moves_layers = True

    def make(self):
        return Structural(share=0.8)


class TestStructuralInPlace(MutationContract):
    def make(self):
        return Structural(Creep(rate=0.5), operations=("replace", "widen", "change"))


class TestOnePoint(CrossoverContract):
    def make(self):
        return KPoint(1)


class TestManyPoints(CrossoverContract):
    def make(self):
        return KPoint(5)


class TestUniform(CrossoverContract):
    def make(self):
        return Uniform(0.33)


class TestSegment(CrossoverContract):
    def make(self):
        return Segment()


class TestOnePointByLayer(CrossoverContract):
    def make(self):
        return ByLayer()


class TestUniformByLayer(CrossoverContract):
    def make(self):
        return ByLayer(Uniform())


class TestSplice(CrossoverContract):
    moves_layers = True

    def make(self):
        return Splice()


class TestBlend(CrossoverContract):
    def make(self):
        return Blend(0.5)


class TestSimulatedBinary(CrossoverContract):
    def make(self):
        return SimulatedBinary(eta=2.0, rate=1.0)


@dataclass(frozen=True, slots=True)
class InPlace:
    """Changes the genome that it was given, and not only the genes that are awake."""

    def __call__(self, space, genome, rng):
        for name in space.names:
            genome[name] = space[name].from_unit(rng.random())
        return genome


@dataclass(frozen=True, slots=True)
class Beyond:
    """Leaves the bounds of the ordered genes."""

    def __call__(self, space, genome, rng):
        return {name: value if isinstance(value, str) else 1e9 for name, value in genome.items()}


@dataclass
class Mutable:
    rate: float = 0.5

    def __call__(self, space, genome, rng):
        return dict(genome)


@pytest.mark.parametrize(
    ("wrong", "test", "space"),
    [
        (InPlace, "test_is_pure", "one gene"),
        (InPlace, "test_leaves_dormant_genes_alone", "conditional"),
        (Beyond, "test_makes_a_genome_of_the_space", "one gene"),
        (Mutable, "test_is_a_value", None),
        (Mutable, "test_changes_something_at_times", "one gene"),
    ],
)
def test_a_wrong_mutation_breaks_the_contract(wrong, test, space):
    class Contract(MutationContract):
        def make(self):
            return wrong()

    with pytest.raises((AssertionError, GenomeError, TypeError)):
        getattr(Contract(), test)(**({"name": space} if space else {}))


class Own:
    """Equal to none of its like, and with another source of randomness."""

    def __call__(self, space, a, b, rng):
        return dict(a if random.random() < 0.5 else b)


@dataclass(frozen=True, slots=True)
class First:
    """Knows nothing of dormant genes, nor of a second child."""

    def __call__(self, space, a, b, rng):
        return {name: min(a[name], b[name], key=repr) for name in space.names}


@dataclass(frozen=True, slots=True)
class Clone:
    def __call__(self, space, a, b, rng):
        return dict(a)


@pytest.mark.parametrize(
    ("wrong", "test", "space"),
    [
        (Own, "test_is_a_value", None),
        (Own, "test_is_pure", "finite"),
        (First, "test_takes_genes_from_its_parents", "conditional"),
        (First, "test_the_second_child_takes_what_the_first_left", "finite"),
        (Clone, "test_mixes_at_times", "mixed"),
    ],
)
def test_a_wrong_crossover_breaks_the_contract(wrong, test, space):
    class Contract(CrossoverContract):
        def make(self):
            return wrong()

    with pytest.raises((AssertionError, TypeError)):
        getattr(Contract(), test)(**({"name": space} if space else {}))


class TestToward(CrossoverContract):
    def make(self):
        return Toward()


class TestTowardBeyond(CrossoverContract):
    def make(self):
        return Toward(1.5)
