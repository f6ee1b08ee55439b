"""Regularised evolution against algorithm 1 of Real et al. (2019)."""

import numpy as np

from evotune.algorithms import recipes
from evotune.algorithms.recipes import regularised_evolution
from evotune.space import Choice, Float, Int, Space
from evotune.study.study import Study
from evotune.testing.algorithms import AlgorithmContract, Rehearsal
from helpers_algorithms import numbers

#: So large that no child repeats an earlier trial.
SPACE = Space(kind=Choice(*range(1000)), depth=Int(1, 10**6), lr=Float(0, 1), momentum=Float(0, 1))


class TestContract(AlgorithmContract):
    def make(self, space):
        return regularised_evolution(space, population_size=15, sample_size=7)


def total(trial):
    return float(sum(trial.genome.values()))


def test_settings_of_the_paper():
    algorithm = recipes.regularised_evolution(SPACE)
    assert algorithm.population_size == algorithm.survival.size == 100
    assert algorithm.selection.size == 25
    assert not algorithm.traits.generational


def test_the_population_is_always_the_youngest_however_good_the_oldest_was():
    algorithm = regularised_evolution(SPACE, population_size=10, sample_size=3)
    rehearsal = Rehearsal(algorithm, value=total)
    for count in range(10, 60, 7):
        rehearsal.run(count)
        assert sorted(numbers(algorithm.population)) == list(range(count - 10, count))
    best = min(rehearsal.trials, key=total)
    if best.number < 40:
        assert best not in algorithm.population


def test_a_child_has_one_parent_of_the_population_and_one_gene_changed():
    algorithm = regularised_evolution(SPACE, population_size=10, sample_size=3)
    trials = Rehearsal(algorithm, value=total).run(200).trials
    for child in trials[10:]:
        (number,) = child.parents
        assert child.number - 10 <= number < child.number
        parent = trials[number]
        assert sum(child.genome[n] != parent.genome[n] for n in SPACE) == 1


def test_parents_are_the_best_of_a_sample_drawn_with_replacement():
    """The best of 10 is in a sample of 3 with probability 1 − 0.9³."""
    algorithm = regularised_evolution(SPACE, population_size=10, sample_size=3)
    Rehearsal(algorithm, value=total).run(10)
    best = algorithm.population[0].number
    drawn = [algorithm.ask(np.random.default_rng(k)).parents[0] for k in range(1000)]
    assert abs(np.mean(np.array(drawn) == best) - (1 - 0.9**3)) < 0.04


def test_failures_do_not_age_the_population():
    algorithm = regularised_evolution(SPACE, population_size=10, sample_size=3)
    rehearsal = Rehearsal(algorithm, value=total).run(10)
    before = algorithm.population
    rehearsal.run(30, failing=1.0)
    assert algorithm.population == before


def test_no_worker_waits():
    study = Study(regularised_evolution(SPACE, population_size=5, sample_size=2), "min x", seed=1)
    assert [study.ask().number for _ in range(12)] == list(range(12))


def test_seeds_come_first():
    seed = SPACE.decode([0.5] * len(SPACE))
    algorithm = regularised_evolution(SPACE, population_size=5, sample_size=2, seeds=[seed])
    assert dict(Rehearsal(algorithm).run(5).trials[0].genome) == seed
