from dataclasses import replace

import numpy as np
import pytest

from evotune.algorithms.drifting import Drifting
from evotune.algorithms.evolution_strategy import EvolutionStrategy
from evotune.algorithms.genetic import Genetic
from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.algorithms.random_search import RandomSearch
from evotune.errors import AlgorithmError
from evotune.space import Float, Space
from evotune.study.study import Study
from evotune.testing.algorithms import SPACES, AlgorithmContract, Rehearsal

SPACE = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0))


class TestContractOfAGeneticAlgorithm(AlgorithmContract):
    def make(self, space):
        return Drifting(Genetic(space, population_size=6), every=7)


class TestContractOfSteadyState(AlgorithmContract):
    def make(self, space):
        return Drifting(Genetic(space, population_size=6, steady_state=True), every=5, keep=2)


def moving(change):
    """Return an objective whose optimum jumps from one corner to the other, and all it has seen."""

    def value(trial):
        centre = 0.1 if trial.number < change else 0.9
        return sum((trial.genome[n] - centre) ** 2 for n in "xy")

    return value


def checks(rehearsal):
    return [t for t in rehearsal.trials if t.note.get("again") == "check"]


class TestAChange:
    def test_is_noticed_once_and_soon(self):
        algorithm = Drifting(Genetic(SPACE, population_size=6), every=10)
        rehearsal = Rehearsal(algorithm, value=moving(60)).run(60)
        assert algorithm.changes == 0
        rehearsal.run(73)  # the next check, the second opinion
        assert algorithm.changes == 1
        rehearsal.run(200)
        assert algorithm.changes == 1

    def test_leaves_the_best_genomes_to_be_measured_again_first(self):
        algorithm = Drifting(Genetic(SPACE, population_size=6), every=10, keep=3)
        rehearsal = Rehearsal(algorithm, value=moving(60))
        for count in range(1, 90):
            before = algorithm.population
            rehearsal.run(count)
            if algorithm.changes:
                break
        count = len(rehearsal.trials)
        carried = rehearsal.run(count + 3).trials[count:]
        assert [t.genome for t in carried] == [t.genome for t in before]
        assert {t.values for t in carried}.isdisjoint({t.values for t in before})

    @pytest.mark.parametrize("kind", [Genetic, EvolutionStrategy])
    def test_a_search_that_forgets_follows_the_optimum(self, kind):
        """Without it old values, which nothing can reach any more, keep the population in place."""

        def final(wrapped, seed):
            algorithm = kind(SPACE)
            algorithm = Drifting(algorithm, every=10) if wrapped else algorithm
            run = Rehearsal(algorithm, seed, moving(100)).run(200)
            return np.mean([t.values[0] for t in run.trials[-20:]])

        with_, without = (np.mean([final(w, s) for s in range(5)]) for w in (True, False))
        assert with_ < 0.2 * without

    def test_results_from_before_it_count_no_more(self):
        algorithm = Drifting(RandomSearch(SPACE), every=5)
        rehearsal = Rehearsal(algorithm, value=moving(20)).run(20)
        late = rehearsal.start()
        for _ in range(40):
            rehearsal.end(rehearsal.start())
        assert algorithm.changes == 1
        rehearsal.end(late)
        assert late.number not in [t.number for t in algorithm.population]


class TestNoChange:
    def test_costs_one_trial_in_every(self):
        rehearsal = Rehearsal(Drifting(RandomSearch(SPACE), every=9)).run(100)
        assert len(checks(rehearsal)) == 10
        assert rehearsal.algorithm.changes == 0

    def test_a_lucky_best_is_no_change(self):
        """Half a range of noise: the best always turns out to have been lucky."""

        def noisy(trial):
            luck = np.random.default_rng((3, trial.number)).normal(0, 0.1)
            return sum((trial.genome[n] - 0.5) ** 2 for n in "xy") + luck

        algorithm = Drifting(RandomSearch(SPACE), every=10, tolerance=2.0)
        rehearsal = Rehearsal(algorithm, value=noisy).run(300)
        assert len(checks(rehearsal)) > 25
        assert algorithm.changes <= 1

    def test_a_check_that_fails_says_nothing(self):
        algorithm = Drifting(RandomSearch(SPACE), every=5)
        rehearsal = Rehearsal(algorithm).run(5)
        check = rehearsal.start()
        assert check.note["again"] == "check"
        rehearsal.end(check, failed=True)
        assert rehearsal.start().note.get("again") is None


def test_a_constant_objective_never_changes():
    algorithm = Drifting(Genetic(SPACE), every=5)
    Rehearsal(algorithm, value=lambda trial: 1.0).run(60)
    assert algorithm.changes == 0


def test_in_a_study_the_same_params_are_trials_of_their_own():
    values = iter(range(1000))
    study = Study(Drifting(RandomSearch(SPACE), every=5), "min loss", seed=1)
    study.run(lambda trial: float(next(values)), trials=30)
    again = [t for t in study.trials if "again" in t.note]
    assert again
    assert all(t.repeat_of is None for t in again)
    for trial in again:
        assert trial.params == study.trials[trial.parents[0]].params


def test_several_objectives():
    def value(trial):
        shift = 0.0 if trial.number < 30 else 5.0
        return {"a": trial.params["x"], "b": 1 - trial.params["x"] + shift}

    algorithm = Drifting(Genetic(SPACE, population_size=4), every=6)
    Study(algorithm, ["min a", "min b"], seed=1).run(value, trials=60)
    assert algorithm.changes == 1


def test_it_may_start_from_a_study_of_another_algorithm():
    algorithm = Drifting(Genetic(SPACE, population_size=4), every=6)
    rehearsal = Rehearsal(Genetic(SPACE, population_size=4)).run(20)
    for trial in rehearsal.trials:
        algorithm.tell(replace(trial, note={"generation": 3}))
    assert algorithm.population[0].values == min(t.values for t in rehearsal.trials)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"every": 1}, "every must be a whole number from 2"),
        ({"keep": 0}, "keep must be"),
        ({"tolerance": 0}, "tolerance must be a number above 0, got 0"),
    ],
)
def test_numbers_out_of_bounds(options, text):
    with pytest.raises(AlgorithmError, match=text):
        Drifting(RandomSearch(SPACE), **options)


@pytest.mark.parametrize("given", ["Genetic", Genetic, None])
def test_something_that_is_no_algorithm(given):
    with pytest.raises(AlgorithmError, match="must be an algorithm such as Genetic"):
        Drifting(given)


def test_an_algorithm_whose_trials_inherit_weights():
    with pytest.raises(AlgorithmError, match="must not inherit any"):
        Drifting(PopulationBasedTraining(SPACES["continuous"]))
