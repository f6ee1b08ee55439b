import math

import numpy as np
import pytest

from evotune.algorithms import recipes
from evotune.evolution.rates import Decay
from evotune.evolution.selection import Boltzmann, RelativeExponential, Truncation
from evotune.space import Float, Int, Space
from evotune.space.crossover import KPoint, Uniform
from evotune.space.mutation import Creep
from evotune.study.study import Study
from evotune.testing.algorithms import Rehearsal
from helpers_algorithms import best, numbers

PAPER_SPACE = Space(
    learning_rate=Float(1e-4, 1.0), momentum=Float(0.0, 0.9), weight_decay=Float(0.0, 0.1)
)


def loss(trial):
    return (trial.params["learning_rate"] - 0.1) ** 2 + trial.params["weight_decay"]


class TestStructuralTuning:
    def test_settings(self):
        algorithm = recipes.structural_tuning(PAPER_SPACE, beta=2.0, beta_growth=1.1)
        assert 50 <= algorithm.population_size <= 100
        assert algorithm.selection == Boltzmann(2.0, 1.1)
        assert isinstance(algorithm.schedule, Decay)
        assert algorithm.schedule.initial == 0.05
        assert algorithm.variation.mutation.rate == 0.05
        assert algorithm.variation.crossover == KPoint(1)
        assert algorithm.refinement.every >= 1

    def test_mutation_falls_exponentially_and_ranges_shrink(self):
        algorithm = recipes.structural_tuning(PAPER_SPACE, population_size=10, beta=10.0)
        Rehearsal(algorithm).run(10 * 5)
        assert algorithm.variation.mutation.rate == pytest.approx(0.05 * math.exp(-0.05 * 5))
        widths = [algorithm.ranges[name].high - algorithm.ranges[name].low for name in PAPER_SPACE]
        full = [PAPER_SPACE[name].high - PAPER_SPACE[name].low for name in PAPER_SPACE]
        assert all(now < before for now, before in zip(widths, full, strict=True))


class TestDynamicHyperparameters:
    def test_settings(self):
        algorithm = recipes.dynamic_hyperparameters(PAPER_SPACE)
        assert algorithm.population_size == 10
        assert algorithm.selection == Truncation(0.5)
        assert algorithm.variation.crossover == Uniform(0.5)
        assert algorithm.variation.crossover_rate == 1.0
        assert algorithm.variation.mutation.rate == 0.2

    @pytest.mark.parametrize("size", [10, 5])
    def test_the_top_half_survives_and_is_the_parents(self, size):
        half = size // 2
        algorithm = recipes.dynamic_hyperparameters(PAPER_SPACE, population_size=size)
        study = Study(algorithm, "min loss", seed=0, duplicates="allow").run(loss, trials=size)
        for _ in range(6):
            top = set(numbers(best(algorithm.population, half)))
            study.run(loss, trials=len(study.trials) + size - half)
            children = study.trials[half - size :]
            assert {number for child in children for number in child.parents} <= top
            members = {trial.number for trial in algorithm.population}
            assert members == top | {child.number for child in children}

    def test_genes_come_from_either_parent_or_anew_with_probability_one_in_five(self):
        algorithm = recipes.dynamic_hyperparameters(PAPER_SPACE)
        rehearsal = Rehearsal(algorithm).run(10 + 400)
        new = []
        for child in rehearsal.trials[10:]:
            parents = [rehearsal.trials[number].genome for number in child.parents]
            new += [child.genome[n] not in [p[n] for p in parents] for n in PAPER_SPACE]
        assert np.mean(new) == pytest.approx(0.2, abs=0.035)

    def test_the_start_is_uniform_on_the_given_scale(self):
        algorithm = recipes.dynamic_hyperparameters(PAPER_SPACE, population_size=2000)
        rates = [t.params["learning_rate"] for t in Rehearsal(algorithm).run(2000).trials]
        assert np.histogram(rates, 4, (0, 1))[0] == pytest.approx([500] * 4, abs=80)


class TestThreeParentSearch:
    def test_settings(self):
        algorithm = recipes.three_parent_search(PAPER_SPACE)
        assert algorithm.population_size == algorithm.offspring == 100
        assert algorithm.elitism == 0
        assert algorithm.selection == RelativeExponential(4.0)
        assert algorithm.variation.crossover == Uniform(0.33)
        assert algorithm.variation.crossover_rate == 1.0
        assert algorithm.variation.mutation == Creep(0.05)
        assert not algorithm.distinct_parents
        assert recipes.three_parent_search(PAPER_SPACE, strength=2.0).selection.strength == 2.0

    def test_every_generation_replaces_the_population(self):
        algorithm = recipes.three_parent_search(PAPER_SPACE, population_size=20)
        study = Study(algorithm, "min loss", seed=0, duplicates="allow").run(loss, trials=60)
        assert {trial.number for trial in algorithm.population} == set(range(40, 60))
        assert {p for t in study.trials[40:] for p in t.parents} <= set(range(20, 40))

    def test_a_locus_switches_with_probability_a_third_and_creeps_in_one_of_twenty(self):
        space = Space({f"g{k}": Int(1, 10**6) for k in range(20)})
        algorithm = recipes.three_parent_search(space, population_size=50, strength=0.0)
        rehearsal = Rehearsal(algorithm, value=lambda t: float(t.number)).run(100)
        switched, crept = [], []
        for child in rehearsal.trials[50:]:
            parents = [rehearsal.trials[number].genome for number in child.parents]
            if len(parents) == 2:
                a, b = parents
                switched += [child.genome[n] == b[n] for n in space]
                crept += [child.genome[n] not in (a[n], b[n]) for n in space]
        assert np.mean(crept) == pytest.approx(0.05, abs=0.02)
        assert np.mean(switched) == pytest.approx(0.33 * 0.95, abs=0.04)
