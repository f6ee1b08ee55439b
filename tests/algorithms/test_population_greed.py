"""Populations that are not greedy: fitness along lines of weights, own genes, genes by a model."""

from collections import Counter

import numpy as np
import pytest

import evotune as et
from evotune.algorithms.intervals import GrowingInterval
from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.algorithms.recipes import pairwise_learning, parameter_averaging
from evotune.algorithms.redraw import Redraw
from evotune.errors import AlgorithmError
from evotune.evolution.exploitation import Quantile
from evotune.evolution.selection import Truncation
from evotune.space.mutation import UniformReset
from evotune.testing.algorithms import SPACES, Rehearsal
from evotune.trial import Trial
from helpers_algorithms import best, generations, numbers
from helpers_study import decisions

SPACE = SPACES["continuous"]
STILL = UniformReset(0.0)


def classic(**options):
    """Who is among the worse half takes genes and weights of the better half."""
    fixed = {"parents": 1, "mutation": STILL, "exploit": Quantile(0.5), "start": "random"}
    return PopulationBasedTraining(
        SPACE, population_size=4, selection=Truncation(0.5), **(fixed | options)
    )


def lines(*values):
    """The value of a trial: that of its member in its generation."""
    return lambda trial: values[trial.origin.generation][trial.origin.member]


def survivors(algorithm, value, at):
    """Which members of a generation go on with their own weights in the next one."""
    rehearsal = Rehearsal(algorithm, value=value).run(4 * (at + 2))
    before, after = generations(rehearsal)[at : at + 2]
    return {t.origin.member for t in after if t.weights_from == before[t.origin.member].number}


def test_one_lucky_value_decides_alone_but_not_smoothed():
    # Member 3 was always worse, and once by luck the best.
    value = lines([0.0, 1.0, 8.0, 9.0], [0.0, 1.0, 8.0, 9.0], [0.5, 1.0, 8.0, 0.0])
    stays = {"exploit": lambda rank, members, rng: False}
    for name, ranks in (("last", [3, 0, 1, 2]), ("smoothed", [0, 1, 3, 2])):
        rehearsal = Rehearsal(classic(fitness=name, **stays), value=value).run(12)
        assert [t.origin.member for t in rehearsal.algorithm.population] == ranks


def test_who_still_improves_goes_on_though_it_is_behind():
    value = lines([1.0, 1.1, 5.0, 6.0], [1.0, 1.1, 3.0, 4.0])
    # The worse half copied the better one's weights at the first selection, so compare a first
    # generation that nobody leaves.
    waits = {"exploit": lambda rank, members, rng: False}
    rehearsal = Rehearsal(classic(fitness="improvement", **waits), value=value).run(8)
    assert [t.origin.member for t in rehearsal.algorithm.population[:2]] == [2, 3]
    assert survivors(classic(fitness="improvement"), value, 0) == {0, 1}  # no rates yet: by value


def test_the_best_trial_is_the_one_with_the_best_value():
    def train(trial):
        trial.resume()
        for _ in trial.epochs():
            pass
        trial.keep()
        return {"loss": trial.params["a"] ** 2 + trial.seed % 97 / 100}

    for fitness in ("smoothed", "improvement"):
        algorithm = PopulationBasedTraining(SPACE, population_size=6, fitness=fitness)
        study = et.Study(algorithm, "min loss", seed=1).run(train, epochs=6)
        assert study.best.values == min(t.values for t in study.trials)


@pytest.mark.parametrize("fitness", ["smoothed", "improvement"])
def test_infeasible_members_are_behind_feasible_ones(fitness):
    def train(trial):
        trial.resume()
        for _ in trial.epochs():
            pass
        trial.keep()
        return {"loss": trial.params["a"], "size": float(trial.params["b"])}

    algorithm = PopulationBasedTraining(
        SPACE, population_size=8, fitness=fitness, elitism=2, start="random"
    )
    constraint = et.Constraint("size", at_most=5.0)
    study = et.Study(algorithm, "min loss", constraints=[constraint], seed=1)
    study.run(train, epochs=5)
    violations = [trial.violation for trial in algorithm.population]
    assert violations == sorted(violations)


def two_losses(trial):
    trial.resume()
    for _ in trial.epochs():
        pass
    trial.keep()
    return {"loss": trial.params["a"] ** 2, "cost": trial.params["b"]}


def test_several_objectives_are_smoothed_and_refused_by_improvement():
    objectives = ["min loss", "min cost"]
    smoothed = PopulationBasedTraining(SPACE, population_size=6, fitness="smoothed")
    study = et.Study(smoothed, objectives, seed=1).run(two_losses, epochs=4)
    assert len(study.trials) == 24
    improving = PopulationBasedTraining(SPACE, population_size=6, fitness="improvement")
    with pytest.raises(AlgorithmError, match="one objective"):
        et.Study(improving, objectives, seed=1).run(two_losses, epochs=4)


@pytest.mark.parametrize(
    "options",
    [
        {"fitness": "smoothed"},
        {"fitness": "improvement", "asynchronous": True},
        {"interval": GrowingInterval(patience=1, restart="model")},
        {"genes": "own", "parents": 2, "weights": "pairs"},
    ],
)
def test_a_resumed_population_is_the_same(options, tmp_path):
    def make():
        return PopulationBasedTraining(SPACE, population_size=4, **options)

    def train(trial):
        if trial.number % 7 == 3:
            raise ValueError("diverged")
        trial.resume()
        for _ in trial.epochs():
            pass
        trial.keep()
        return {"loss": trial.params["a"] ** 2 + trial.seed % 97 / 100}

    whole = et.Study(make(), "min loss", seed=2).run(train, epochs=8, max_failures=1)
    for epochs in (3, 8):
        with et.Study(make(), "min loss", seed=2, storage=tmp_path / "a.db") as study:
            study.run(train, epochs=epochs, max_failures=1)
            found = decisions(study)
    assert found == decisions(whole)


# -- own genes ------------------------------------------------------------------------------------


def test_the_worse_half_learns_from_a_random_better_one():
    algorithm = pairwise_learning(SPACE, population_size=8)
    algorithm.variation = algorithm.variation.__class__(
        algorithm.variation.crossover, crossover_rate=1.0, mutation=STILL
    )
    rehearsal = Rehearsal(algorithm, seed=2).run(40)
    moved = 0
    for older, younger in zip(generations(rehearsal)[:-1], generations(rehearsal)[1:], strict=True):
        better = set(numbers(best(older, 4)))
        for trial in younger:
            own = next(t for t in older if t.origin.member == trial.origin.member)
            if own.number in better:
                assert (trial.genome, trial.weights_from) == (own.genome, own.number)
                continue
            assert trial.weights_from in better
            donor = rehearsal.trials[trial.weights_from]
            for name, value in trial.genome.items():
                units = [SPACE[name].to_unit(v) for v in (own.genome[name], donor.genome[name])]
                assert min(units) - 1e-9 <= SPACE[name].to_unit(value) <= max(units) + 1e-9
                moved += value != own.genome[name]
    assert moved > 30


def test_with_own_genes_and_one_parent_only_weights_are_copied():
    algorithm = classic(genes="own")
    rehearsal = Rehearsal(algorithm, seed=1).run(24)
    genomes = [trial.genome for trial in rehearsal.trials[:4]]
    for trial in rehearsal.trials[4:]:
        assert trial.genome == genomes[trial.origin.member]
    assert any(
        t.weights_from != rehearsal.trials[t.number - 4].number for t in rehearsal.trials[4:]
    )


def test_own_genes_and_both_children_exclude_each_other():
    with pytest.raises(AlgorithmError, match="both_children swaps the parents"):
        PopulationBasedTraining(SPACE, genes="own", both_children=True)
    with pytest.raises(AlgorithmError, match='genes is "parents" or "own", got \'mine\''):
        PopulationBasedTraining(SPACE, genes="mine")


def test_averaged_parameters_keep_each_members_constants():
    rehearsal = Rehearsal(parameter_averaging(SPACE, population_size=6, interval=3), seed=1).run(30)
    donors = Counter()
    for trial in rehearsal.trials[6:]:
        assert trial.genome == rehearsal.trials[trial.origin.member].genome
        assert trial.budget == 3
        assert len(trial.donors) == 2 or not trial.inherit
        donors.update(trial.donors)
    worst = {best(part, 6)[-1].number for part in generations(rehearsal)[:-1]}
    assert any(number in donors for number in worst)  # nothing is selected


# -- genes by a model -----------------------------------------------------------------------------


def steps(redraw, count, rng):
    """Generations whose gain is larger, the nearer gene ``d`` is to 0.4; one in eight fails."""
    for generation in range(count):
        found = []
        for k in range(8):
            genome = SPACE.sample(rng)
            level = 10.0 - generation  # the gain counts, not the level
            gain = 1.0 - abs(genome["d"] - 0.4)
            values = None if k == 7 else (level - gain,)
            trial = Trial(8 * generation + k, genome, genome, "done", values=values)
            found.append((trial, (level,)))
        redraw.learn(found)


def test_a_model_draws_genes_that_have_improved_weights():
    redraw = Redraw(SPACE)
    steps(redraw, 6, np.random.default_rng(1))
    drawn = [redraw.draw(np.random.default_rng(k))["d"] for k in range(12)]
    assert len(set(drawn)) == 12
    assert np.median(np.abs(np.array(drawn) - 0.4)) < 0.06  # at random it is .13


def test_without_results_it_draws_at_random():
    redraw = Redraw(SPACE)
    assert redraw.draw(np.random.default_rng(1)) == SPACE.sample(np.random.default_rng(1))


@pytest.mark.parametrize("restart", [True, "random", "model"])
def test_each_restart_draws_new_genes_and_keeps_the_weights(restart):
    interval = GrowingInterval(patience=2, restart=restart)
    algorithm = PopulationBasedTraining(SPACE, population_size=8, interval=interval, mutation=STILL)
    rehearsal = Rehearsal(algorithm, value=lambda trial: 1.0 + trial.number).run(32)
    *before, restarted = generations(rehearsal)
    known = {value for trials in before for t in trials for value in t.genome.values()}
    assert all(trial.weights_from is not None and trial.parents == () for trial in restarted)
    assert not any(value in known for t in restarted for value in t.genome.values())


def test_restart_says_what_it_may_be():
    with pytest.raises(AlgorithmError, match='restart is "random", "model" or False'):
        GrowingInterval(restart="bayes")


# -- few selections -------------------------------------------------------------------------------


def test_halving_with_weights_that_go_on():
    """Few selections, each of which replaces the worse half; the better half is left alone."""
    algorithm = PopulationBasedTraining(
        SPACE, population_size=8, interval=5, exploit=Quantile(0.5), selection=Truncation(0.5)
    )
    rehearsal = Rehearsal(algorithm, seed=3).run(32)
    for older, younger in zip(generations(rehearsal)[:-1], generations(rehearsal)[1:], strict=True):
        better = set(numbers(best(older, 4)))
        assert {t.weights_from for t in younger if t.origin.mutated is None} == better
        assert {t.weights_from for t in younger} == better
        assert {t.budget for t in younger} == {5.0}
