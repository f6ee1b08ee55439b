import math
from statistics import median, stdev

import numpy as np
import pytest

import evotune as et
from evotune.algorithms.racing import Racing
from evotune.errors import AlgorithmError
from evotune.testing.algorithms import AlgorithmContract
from helpers_study import decisions

LINE = et.Space(x=et.Float(0.0, 1.0))


class TestContract(AlgorithmContract):
    def make(self, space):
        return Racing(et.Genetic(space, population_size=8))


class Scripted(et.RandomSearch):
    """Proposes given points, and keeps what it is told."""

    def __init__(self, *points):
        super().__init__(LINE)
        self.points = points
        self.started = 0
        self.ended = []

    def ask(self, rng):
        return et.Proposal({"x": self.points[self.started]}, note={"place": self.started})

    def tell(self, trial):
        self.started += not trial.has_ended
        if trial.has_ended:
            self.ended.append(trial)


def run(points, values, objectives="min loss", trials=None, **options):
    """Run points whose evaluations give the values listed for them, one after the other."""
    values = {point: iter(listed) for point, listed in values.items()}
    inside = Scripted(*points)
    study = et.Study(Racing(inside, **options), objectives, seed=1)

    def evaluate(trial):
        value = next(values[trial.params["x"]])
        return et.Failed("diverged") if value is None else value

    study.run(evaluate, trials=trials or 5 + 2 * len(points), max_failures=1.0)
    return study, inside


def evaluations(study, point):
    return sum(trial.params["x"] == point for trial in study.trials)


NOISE = (0.0, 0.2, -0.2, 0.1, -0.1)


def around(value):
    return [value + noise for noise in NOISE]


class TestRaces:
    def test_the_more_promising_the_more_repeats(self):
        points = (0.1, 0.9, 0.2, 0.3)
        values = {0.1: around(1.0), 0.9: around(9.0), 0.2: around(0.9)}
        # σ = 0.158. At worst the best mean is 0.9 + 0.5·σ/√5 = 0.935; 1.0 − 0.5·σ is above it,
        # but below 1.0 − 0.5·σ/1 = 0.92 no more after 0.9.
        values[0.3] = [0.95, 1.2, 1.2, 1.2]
        study, _ = run(points, values, trials=13)
        assert [evaluations(study, point) for point in points] == [5, 1, 5, 2]

    def test_the_algorithm_inside_gets_the_mean_as_its_own_result(self):
        points = (0.1, 0.9)
        study, inside = run(points, {0.1: around(1.0), 0.9: [9.0]}, trials=6)
        first, second = inside.ended
        assert (first.number, first.note, first.repeats) == (0, {"place": 0}, 5)
        assert first.values == (pytest.approx(1.0),)
        assert first.metrics["loss"] == pytest.approx(1.0)
        assert first.spread["loss"] == pytest.approx(stdev(NOISE))
        assert second.values == (9.0,)
        assert [trial.repeat_of for trial in study.trials] == [None, 0, 0, 0, 0, None]
        assert study.best.number == 0
        assert study.best.repeats == 5

    def test_caution_widens_the_bounds(self):
        counts = []
        for caution in (0.5, 4.0):
            values = {0.1: around(1.0), 0.2: around(1.4)}
            study, _ = run((0.1, 0.2, 0.2), values, trials=7, caution=caution)
            counts.append(study.trials[6].note["race"])
        assert counts == [-1, 5]  # the next proposal of the algorithm inside; a repeat of trial 5

    def test_params_that_the_algorithm_inside_proposes_again_are_its_own_trial_and_a_repeat(self):
        study, inside = run((0.1, 0.9, 0.9), {0.1: around(1.0), 0.9: [8.0, 9.0]}, trials=7)
        assert [trial.number for trial in inside.ended] == [0, 5, 6]
        assert [trial.values for trial in inside.ended[1:]] == [(8.0,), (8.5,)]
        assert study.trials[6].repeat_of == 5

    def test_what_is_not_noisy_is_repeated_for_one_race_only(self):
        study = et.Study(Racing(et.Genetic(LINE), repeats=4), "min loss", seed=1)
        study.run(lambda trial: round(trial.params["x"], 1), trials=40)
        assert sum(trial.repeat_of is not None for trial in study.trials) == 3

    def test_a_repeat_that_fails_ends_its_race(self):
        study, inside = run((0.1, 0.9), {0.1: [1.0, 1.2, None], 0.9: around(2.0)}, trials=6)
        assert evaluations(study, 0.1) == 3
        assert inside.ended[0].values == (pytest.approx(1.1),)
        assert inside.ended[0].state == "done"

    def test_a_first_evaluation_that_fails_is_not_repeated(self):
        study, inside = run((0.1, 0.9), {0.1: [None], 0.9: around(2.0)}, trials=4)
        assert evaluations(study, 0.1) == 1
        assert inside.ended[0].state == "failed"

    def test_with_several_objectives_good_in_one_is_promising(self):
        def both(a, b):
            return [{"a": a + noise, "b": b - noise} for noise in NOISE]

        points = (0.1, 0.2, 0.3)
        values = {0.1: both(1.0, 5.0), 0.2: both(2.0, 6.0), 0.3: both(9.0, 1.0)}
        study, _ = run(points, values, ["min a", "min b"], trials=11)
        assert [evaluations(study, point) for point in points] == [5, 1, 5]

    def test_what_breaks_a_constraint_is_not_repeated_once_something_keeps_it(self):
        good = [{"loss": 1 + noise, "size": 1} for noise in NOISE]
        objectives = ["min loss", et.Constraint("size", at_most=5)]
        values = {0.1: good, 0.2: [{"loss": 0.0, "size": 9}]}
        study, _ = run((0.1, 0.2), values, objectives, trials=6)
        assert evaluations(study, 0.2) == 1

    def test_the_noise_is_pooled_over_all_repeats(self):
        values = {0.1: around(1.0), 0.2: [0.9, 1.3, 0.7, 1.2, 1.0]}
        study, _ = run((0.1, 0.2), values, trials=10)
        racing = study.algorithm
        pooled = (4 * stdev(values[0.1]) ** 2 + 4 * stdev(values[0.2]) ** 2) / 8
        assert racing.caution * math.sqrt(pooled) == pytest.approx(float(racing._margin[0]))


def noisy(noise):
    def train(trial):
        value = sum((trial.params[f"x{k}"] - 0.3) ** 2 for k in range(4))
        return value + noise * np.random.default_rng(trial.seed).normal()

    return train


SPACE = et.Space({f"x{k}": et.Float(0.0, 1.0) for k in range(4)})


def test_at_equal_evaluations_it_finds_truly_better_params_than_one_evaluation_each():
    def regret(algorithm, seed):
        study = et.Study(algorithm, "min loss", seed=seed).run(noisy(0.15), trials=120)
        return sum((value - 0.3) ** 2 for value in study.best.params.values())

    plain = [regret(et.Genetic(SPACE), seed) for seed in range(11)]
    raced = [regret(Racing(et.Genetic(SPACE)), seed) for seed in range(11)]
    assert median(raced) < 0.8 * median(plain)


@pytest.mark.parametrize("cut", [3, 8, 21])
def test_killed_and_run_again_it_goes_as_if_it_had_never_stopped(cut, tmp_path):
    whole = et.Study(Racing(et.Genetic(SPACE)), "min loss", seed=3)
    whole.run(noisy(0.2), trials=40)
    for trials in (cut, 40):
        algorithm = Racing(et.Genetic(SPACE))
        with et.Study(algorithm, "min loss", seed=3, storage=tmp_path / "runs.db") as part:
            part.run(noisy(0.2), trials=trials)
    assert decisions(part) == decisions(whole)


def test_a_generation_is_counted_once():
    study = et.Study(Racing(et.Genetic(SPACE, population_size=4)), "min loss", seed=1)
    study.run(noisy(0.2), trials=30, stagnation=50)
    generations = [trial.origin.generation for trial in study.trials]
    assert generations == sorted(generations)
    assert generations[-1] > 1


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(AlgorithmError, match="repeats"):
        Racing(et.RandomSearch(LINE), repeats=1)
    with pytest.raises(AlgorithmError, match="caution"):
        Racing(et.RandomSearch(LINE), caution=-1)
    with pytest.raises(AlgorithmError, match=r"Genetic\(space\)"):
        Racing(LINE)
    with pytest.raises(AlgorithmError, match="hand on weights"):
        Racing(et.PopulationBasedTraining(LINE))


def test_what_measures_again_to_see_a_change_cannot_be_inside():
    drifting = et.Drifting(et.Genetic(LINE))
    with pytest.raises(AlgorithmError, match=r"write Drifting\(Racing\(\.\.\.\)\), got Drifting"):
        Racing(drifting)
    et.Drifting(Racing(et.Genetic(LINE)))
