import statistics

import numpy as np
import pytest

from evotune.algorithms.evolution_strategy import EvolutionStrategy
from evotune.algorithms.genetic import Genetic
from evotune.algorithms.islands import Islands
from evotune.algorithms.phases import Phases
from evotune.algorithms.prescreened import Prescreened
from evotune.algorithms.random_search import RandomSearch
from evotune.errors import AlgorithmError
from evotune.objectives import Constraint
from evotune.space import Choice, Fixed, Float, Space
from evotune.study.study import Study
from evotune.testing.algorithms import SPACES, AlgorithmContract, Rehearsal, sphere

SPACE = SPACES["continuous"]


class TestContractOfAGeneticAlgorithm(AlgorithmContract):
    def make(self, space):
        return Prescreened(Genetic(space, population_size=6), surrogate=nearest, pool=4)


class TestContractOfSteadyState(AlgorithmContract):
    def make(self, space):
        steady = Genetic(space, population_size=6, steady_state=True)
        return Prescreened(steady, surrogate=nearest, pool=4, initial=20)


def nearest(features, targets, layout):
    """Predict the nearest neighbour's target; any function may be given, and this one is quick."""

    def predict(asked):
        distance = ((asked[:, None] - features[None]) ** 2).sum(axis=2)
        return targets[distance.argmin(axis=1)]

    return predict


@pytest.mark.parametrize(
    ("surrogate", "inner"), [("gaussian_process", EvolutionStrategy), ("forest", RandomSearch)]
)
def test_picking_finds_better_than_taking_what_comes(surrogate, inner):
    def found(algorithm, seed):
        return Rehearsal(algorithm, seed).run(28).best

    plain = statistics.median(found(inner(SPACE), seed) for seed in range(3))
    picked = statistics.median(
        found(Prescreened(inner(SPACE), surrogate=surrogate), seed) for seed in range(3)
    )
    assert picked < 0.7 * plain


def test_before_the_start_it_is_the_algorithm_itself():
    plain = Rehearsal(Genetic(SPACE, population_size=4)).run(12)
    picked = Rehearsal(Prescreened(Genetic(SPACE, population_size=4), initial=12)).run(13)
    assert [t.genome for t in picked.trials[:12]] == [t.genome for t in plain.trials]


def test_what_fails_is_avoided():
    """A third of the space fails; nothing but the failures say so."""

    def failures(algorithm):
        rehearsal = Rehearsal(algorithm)
        for _ in range(60):
            trial = rehearsal.start()
            rehearsal.end(trial, failed=trial.genome["a"] < -0.3)
        return sum(t.failure is not None for t in rehearsal.trials[20:])

    assert failures(Prescreened(RandomSearch(SPACE))) < 0.7 * failures(RandomSearch(SPACE))


def test_constraints_count_before_the_objective():
    space = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0))
    study = Study(
        Prescreened(RandomSearch(space)), ["min loss", Constraint("loss", at_least=0.5)], seed=1
    )
    study.run(lambda trial: trial.params["x"], trials=50)
    last = [trial.params["x"] for trial in study.trials[30:]]
    assert np.mean(np.array(last) >= 0.5) > 0.8


def test_several_objectives():
    def value(trial):
        x, y = trial.params["x"], trial.params["y"]
        return {"a": x + 5 * y, "b": 1 - x + 5 * y}

    space = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0))
    study = Study(Prescreened(RandomSearch(space)), ["min a", "min b"], seed=1)
    study.run(value, trials=50)
    assert np.mean([trial.params["y"] for trial in study.trials[30:]]) < 0.3


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_scale_of_the_objective_means_nothing(scale):
    def genomes(factor):
        value = lambda trial: factor * sphere(SPACE, trial.genome)  # noqa: E731
        rehearsal = Rehearsal(Prescreened(Genetic(SPACE)), value=value)
        return [trial.genome for trial in rehearsal.run(30).trials]

    assert genomes(scale) == genomes(1.0)


@pytest.mark.parametrize(
    "space",
    [Space(only=Fixed(1)), Space(a=Choice("x", "y"), b=Choice(1, 2, 3)), Space(x=Float(2, 2))],
)
def test_tiny_spaces(space):
    assert len(Rehearsal(Prescreened(Genetic(space), initial=2)).run(30).trials) == 30


def test_a_constant_objective():
    rehearsal = Rehearsal(Prescreened(Genetic(SPACE)), value=lambda trial: 1.0)
    assert len(rehearsal.run(30).trials) == 30


def test_around_islands_whose_notes_nest():
    islands = Islands([Genetic(SPACE, population_size=4) for _ in range(2)], every=2)
    assert len(Rehearsal(Prescreened(islands)).run(40).trials) == 40


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"pool": 1}, "pool must be a whole number from 2"),
        ({"initial": 1}, "initial must be a whole number from 2"),
        ({"surrogate": "kriging"}, "must be one of gaussian_process, forest, got 'kriging'"),
    ],
)
def test_options_out_of_bounds(options, text):
    with pytest.raises(AlgorithmError, match=text):
        Prescreened(Genetic(SPACE), **options)


def test_a_generation_knows_only_earlier_ones_however_many_there_are(monkeypatch):
    monkeypatch.setattr("evotune.algorithms.prescreened.KNOWN", 20)

    def genomes(**how):
        algorithm = Prescreened(Genetic(SPACE, population_size=8), surrogate=nearest)
        return [trial.genome for trial in Rehearsal(algorithm).run(80, **how).trials]

    assert genomes() == genomes(at_once=8)


def test_around_phases_it_says_what_the_running_phase_says():
    steady = lambda best: Genetic(SPACE, steady_state=True)  # noqa: E731
    algorithm = Prescreened(Phases(Genetic(SPACE, population_size=4), steady, trials=8))
    rehearsal = Rehearsal(algorithm)
    assert rehearsal.run(4).algorithm.traits.generational
    assert not rehearsal.run(9).algorithm.traits.generational
