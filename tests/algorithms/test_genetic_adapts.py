"""What a genetic algorithm changes as it goes: step sizes, mutation rate, ranges."""

from dataclasses import dataclass

import numpy as np
import pytest

from evotune.algorithms.genetic import Genetic
from evotune.algorithms.variation import STEP_BOUNDS
from evotune.evolution.rates import Adaptive, Constant, Decay
from evotune.evolution.selection import Truncation
from evotune.space import Fixed, Float, Int, Space
from evotune.space.refine import Refinement
from evotune.testing.algorithms import SPACES, Rehearsal, foreign_trials
from helpers_algorithms import generations

SPACE = SPACES["continuous"]
KNOBS = Space(rate=Float(0, 1), scale=Float(0, 1), x=Float(0, 1))


@dataclass(frozen=True)
class Shows:
    """A mutation that changes nothing but tells its settings by two genes."""

    rate: float = 0.5
    scale: float = 0.5

    def __call__(self, space, genome, rng):
        return {**genome, "rate": self.rate, "scale": self.scale}


class TestStepSizes:
    def test_the_mutation_gets_the_step_of_the_note(self):
        algorithm = Genetic(
            KNOBS, population_size=6, self_adaptive=True, mutation=Shows(), crossover_rate=0.5
        )
        rehearsal = Rehearsal(algorithm).run(80)
        steps = [trial.note["step"] for trial in rehearsal.trials[6:]]
        assert steps == [trial.genome["scale"] for trial in rehearsal.trials[6:]]
        assert len(set(steps)) > 0.8 * len(steps)
        assert all(STEP_BOUNDS[0] <= step <= STEP_BOUNDS[1] for step in steps)

    def test_steps_are_inherited_and_shrink_where_small_ones_win(self):
        runs = [
            Rehearsal(Genetic(SPACE, population_size=8, self_adaptive=True), seed).run(400)
            for seed in range(3)
        ]
        last = [trial.note["step"] for run in runs for trial in run.trials[-24:]]
        assert np.median(last) < 0.05

    def test_steps_stay_bounded_whatever_wins(self):
        def larger(trial):
            return -trial.note.get("step", 0.0)

        algorithm = Genetic(SPACE, population_size=4, self_adaptive=True)
        rehearsal = Rehearsal(algorithm, value=larger).run(200)
        assert rehearsal.trials[-1].note["step"] <= STEP_BOUNDS[1]
        assert -rehearsal.best == STEP_BOUNDS[1]


class TestMutationRate:
    def rates(self, value=None, **options):
        algorithm = Genetic(KNOBS, population_size=4, mutation=Shows(), **options)
        rehearsal = Rehearsal(algorithm, value=value).run(4 * 7)
        rates = [{trial.genome["rate"] for trial in g} for g in generations(rehearsal)[1:]]
        assert all(len(values) == 1 for values in rates)
        return [values.pop() for values in rates]

    def test_by_default_it_is_the_mutation_s_own(self):
        assert self.rates() == [0.5] * 6

    @pytest.mark.parametrize("rate", [0.2, Constant(0.2)])
    def test_constant(self, rate):
        assert self.rates(mutation_rate=rate) == [0.2] * 6

    def test_decay_over_generations(self):
        rates = self.rates(mutation_rate=Decay(0.3, 0.5))
        assert rates == pytest.approx([0.3 * np.exp(-0.5 * t) for t in range(1, 7)])

    def test_adaptive_falls_when_no_child_beats_its_parents(self):
        rates = self.rates(lambda t: float(t.number), mutation_rate=Adaptive(collapse=0.0))
        assert rates == pytest.approx([0.1 / 1.5 ** (t / 4) for t in range(1, 7)])

    def test_adaptive_grows_when_children_beat_their_parents(self):
        rates = self.rates(lambda t: -float(t.number), mutation_rate=Adaptive(collapse=0.0))
        grown = [0.1 / 1.5**0.25 * 1.5**t for t in range(6)]
        assert rates == pytest.approx(np.minimum(grown, 0.5))

    def test_adaptive_grows_when_diversity_collapses(self):
        """All members become alike: knobs are equal, and x is copied from the one best."""

        def one_best(trial):
            return float(trial.number)

        rates = self.rates(
            one_best, selection=Truncation(0.1), elitism=0, mutation_rate=Adaptive(collapse=0.2)
        )
        assert rates[-1] > rates[1]

    def test_genes_that_cannot_vary_say_nothing_about_diversity(self):
        constants = {f"c{k}": Fixed(k) for k in range(30)}
        space = Space(KNOBS.domains | constants)
        algorithm = Genetic(
            space, population_size=4, mutation=Shows(), mutation_rate=Adaptive(collapse=0.2)
        )
        rehearsal = Rehearsal(algorithm, value=lambda t: float(t.number)).run(5)
        assert rehearsal.trials[4].genome["rate"] < 0.1

    def test_a_space_in_which_nothing_varies(self):
        algorithm = Genetic(Space(a=Fixed(1)), population_size=2, mutation_rate=Adaptive())
        assert len(Rehearsal(algorithm).run(9).trials) == 9


class TestRefinement:
    def make(self, space=SPACE, **options):
        rule = Refinement(**({"every": 2, "margin": 0.05, "undo_after": None} | options))
        return Genetic(space, population_size=8, refinement=rule)

    def test_ranges_shrink_every_k_generations_to_the_elite_s(self):
        algorithm = self.make()
        rehearsal = Rehearsal(algorithm).run(8)
        assert algorithm.ranges is SPACE
        rehearsal.run(16)
        first = algorithm.ranges
        elite = [t.genome for t in algorithm.population[:2]]
        assert first == algorithm.refinement.refine(SPACE, SPACE, elite)
        assert first["a"].high - first["a"].low < 2.0
        rehearsal.run(24)
        assert algorithm.ranges is first
        rehearsal.run(32)
        assert algorithm.ranges != first

    def test_children_stay_inside(self):
        algorithm = self.make()
        rehearsal = Rehearsal(algorithm).run(16)
        ranges = algorithm.ranges
        for trial in rehearsal.run(32).trials[16:]:
            ranges.check(trial.genome)

    def test_ranges_are_recorded_and_the_same_after_a_replay(self):
        rehearsal = Rehearsal(self.make()).run(60, at_once=3, shuffled=True)
        for generation in generations(rehearsal):
            noted = ["ranges" in trial.note for trial in generation]
            assert noted == [generation[0].origin.generation >= 2] + [False] * (len(noted) - 1)
        again = self.make()
        for trial in rehearsal.told:
            again.tell(trial)
        assert again.ranges == rehearsal.algorithm.ranges
        last = generations(rehearsal)[-1][0]
        assert again.ranges.to_json() == last.note["ranges"]

    def test_undone_after_generations_without_a_better_best(self):
        algorithm = self.make(every=1, undo_after=3)
        rehearsal = Rehearsal(algorithm, value=lambda t: float(t.number))
        narrow = []
        for generation in range(1, 8):
            rehearsal.run(8 * generation)
            narrow.append(algorithm.ranges != SPACE)
        assert narrow == [True, True, True, False, True, True, False]

    def test_not_undone_while_the_best_gets_better(self):
        algorithm = self.make(every=1, undo_after=2)
        rehearsal = Rehearsal(algorithm, value=lambda t: -float(t.number)).run(80)
        assert algorithm.ranges != SPACE
        assert rehearsal.best == -79

    def test_a_new_best_of_a_generation_is_no_better_best(self):
        """Without elitism every generation has a best of its own."""
        rule = Refinement(every=1, undo_after=3)
        algorithm = Genetic(SPACE, population_size=8, refinement=rule, elitism=0)
        rehearsal = Rehearsal(algorithm, value=lambda t: float(t.number))
        assert rehearsal.run(8 * 3).algorithm.ranges != SPACE
        assert rehearsal.run(8 * 4).algorithm.ranges == SPACE

    def test_conditions_on_values_that_the_ranges_have_left(self):
        space = Space(depth=Int(1, 9), deep=Float(0, 1, when={"depth": [8, 9]}))
        algorithm = self.make(space, every=1)
        rehearsal = Rehearsal(algorithm, value=lambda t: abs(t.genome["depth"] - 2)).run(48)
        assert algorithm.ranges["depth"].high < 8
        assert len(rehearsal.trials) == 48

    def test_trials_from_outside_the_ranges(self):
        algorithm = self.make(every=1)
        rehearsal = Rehearsal(algorithm).run(40)
        outside = {"a": 1.0, "b": 10.0, "c": 1.0, "d": 0.5}
        for stranger in foreign_trials(SPACE, 3, first=40):
            winner = type(stranger)(stranger.number, outside, outside, "done", values=(-1.0,))
            rehearsal.adopt(winner)
        assert len(rehearsal.run(80).trials) == 80
        assert rehearsal.algorithm.population[0].genome == outside
