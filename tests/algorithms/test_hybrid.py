import math
from dataclasses import replace

import numpy as np
import pytest

from evotune.algorithms.hybrid import Hybrid
from evotune.algorithms.random_search import RandomSearch
from evotune.errors import AlgorithmError, GenomeError
from evotune.protocols import Algorithm
from evotune.seeding import generator
from evotune.space import Bool, Choice, Fixed, Float, Int, Ordinal, Space
from evotune.study.study import Study
from evotune.testing.algorithms import SPACES, AlgorithmContract, Rehearsal, foreign_trials, sphere

MIXED = SPACES["mixed"]
CUBE = Space({f"x{k}": Float(0.0, 1.0) for k in range(5)})


@pytest.mark.usefixtures("quick")
class TestContract(AlgorithmContract):
    improves = False  # tested below, with as few trials as it is made for

    def make(self, space: Space) -> Algorithm:
        return Hybrid(space)


class Judged(Rehearsal):
    """A rehearsal with any number of objectives, and with violations of constraints.

    ``judge`` takes the unit cube's point and returns values and a violation.
    """

    def __init__(self, algorithm, seed, judge):
        super().__init__(algorithm, seed)
        self._judge = judge

    def end(self, trial, *, failed=False):
        values, violation = self._judge(np.array(list(trial.genome.values())))
        ended = replace(trial, state="done", values=values, violation=violation)
        self.trials[trial.number] = ended
        del self._running[trial.number]
        self._tell(ended)

    @property
    def feasible(self):
        return [trial for trial in self.trials if trial.violation == 0]


def distinct(rehearsal):
    space = rehearsal.algorithm.space
    return len({space.key(trial.genome) for trial in rehearsal.trials})


# -- how well it searches -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["continuous", "mixed", "conditional"])
def test_forty_trials_find_what_a_hundred_random_ones_do_not(name):
    space = SPACES[name]
    assert Rehearsal(Hybrid(space)).run(40).best < Rehearsal(RandomSearch(space)).run(100).best


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_noise_is_no_trouble(offset):
    def noisy(trial):
        return offset + sphere(CUBE, trial.genome) + 0.02 * generator(1, trial.number).normal()

    def found(algorithm, trials):
        best = min(Rehearsal(algorithm, 0, noisy).run(trials).trials, key=lambda t: t.values)
        return sphere(CUBE, best.genome)

    assert found(Hybrid(CUBE), 40) < 0.06 < found(RandomSearch(CUBE), 100)


def test_workers_at_once_spread_and_still_learn():
    rehearsal = Rehearsal(Hybrid(CUBE)).run(45, at_once=10)
    pending = [rehearsal.start() for _ in range(10)]
    points = np.array([list(trial.genome.values()) for trial in pending])
    gaps = [np.linalg.norm(a - b) for k, a in enumerate(points) for b in points[:k]]
    assert min(gaps) > 0.005
    assert rehearsal.best < Rehearsal(RandomSearch(CUBE)).run(100).best


def test_several_objectives_find_more_of_the_front_than_random_search():
    def judge(x):
        spread = 1 + 9 * x[1:].mean()
        return (float(x[0]), float(spread * (1 - math.sqrt(x[0] / spread)))), 0.0

    def front(algorithm, trials):
        values = np.array([t.values for t in Judged(algorithm, 0, judge).run(trials).trials])
        return np.array(
            [
                (values - [level, 1 - math.sqrt(level)]).max(axis=1).min()
                for level in (0.1, 0.3, 0.5, 0.7)
            ]
        )

    ours, random = front(Hybrid(CUBE), 45), front(RandomSearch(CUBE), 200)
    assert np.all(ours < 0.7 * random)


def test_the_best_on_the_border_of_a_constraint_is_found():
    def judge(x):
        return (float(((x - 0.2) ** 2).sum()),), max(0.0, 3.0 - float(x.sum()))

    found = min(trial.values[0] for trial in Judged(Hybrid(CUBE), 0, judge).run(40).feasible)
    assert found == pytest.approx(0.8, abs=0.06)  # all genes at 0.6


def test_a_constraint_that_nothing_satisfies_is_broken_as_little_as_can_be():
    def judge(x):
        return (float(x.sum()),), 1.0 + float(((x - 0.5) ** 2).sum())

    rehearsal = Judged(Hybrid(CUBE), 0, judge).run(35)
    assert min(trial.violation for trial in rehearsal.trials) < 1.02


def test_where_trials_fail_is_avoided():
    def fails(trial):
        return trial.genome["x0"] > 0.5

    rehearsal = Rehearsal(Hybrid(CUBE))
    for _ in range(40):
        trial = rehearsal.start()
        rehearsal.end(trial, failed=fails(trial))
    assert sum(map(fails, rehearsal.trials[10:])) <= 6
    assert rehearsal.best < 0.02


# -- how it starts --------------------------------------------------------------------------------


def test_the_start_covers_every_gene():
    trials = Rehearsal(Hybrid(CUBE, initial=16)).run(16).trials
    points = np.array([list(trial.genome.values()) for trial in trials])
    assert np.all(np.sort(np.floor(points * 16), axis=0) == np.arange(16)[:, None])


def test_seeds_come_first():
    seeds = [CUBE.decode([share] * 5) for share in (0.1, 0.9)]
    trials = Rehearsal(Hybrid(CUBE, seeds=seeds)).run(5).trials
    assert [trial.genome for trial in trials[:2]] == seeds
    assert distinct(Rehearsal(Hybrid(CUBE, seeds=seeds, initial=1)).run(5)) == 5


def test_trials_of_elsewhere_count_as_start():
    """With enough of them the first proposal is already near the optimum that they show."""
    algorithm = Hybrid(CUBE)
    for trial in foreign_trials(CUBE, 60):
        algorithm.tell(trial)
    genomes = [algorithm.ask(generator(0, number)).genome for number in range(5)]
    assert max(sphere(CUBE, genome) for genome in genomes) < 0.1


def test_asking_again_gives_another_candidate():
    algorithm = Rehearsal(Hybrid(MIXED)).run(20).algorithm
    rng = generator(0, 20)
    drawn = {MIXED.key(algorithm.ask(rng).genome) for _ in range(5)}
    assert len(drawn) >= 4


def test_repeats_are_averaged_not_piled_up():
    """A study that repeats a small space learns as from its averages."""
    space = Space(flag=Bool(), count=Int(1, 3))
    study = Study(Hybrid(space), "min loss", seed=0)
    study.run(lambda trial: trial.params["count"] + 0.1 * (trial.number % 3), trials=20)
    assert len({space.key(trial.genome) for trial in study.trials}) == 6
    assert study.best.params["count"] == 1


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"initial": 0}, AlgorithmError, "Hybrid: initial must be a whole number from 1 up, got 0"),
        ({"initial": 2.5}, AlgorithmError, "initial must be a whole number"),
        ({"seeds": [{"x0": 7.0}]}, GenomeError, "x0"),
        ({"seeds": {"x0": 0.5}}, AlgorithmError, "seeds is a list"),
    ],
)
def test_what_cannot_be_built(options, error, message):
    with pytest.raises(error, match=message):
        Hybrid(CUBE, **options)


def test_a_unit_of_the_objective_changes_nothing():
    def genomes(factor):
        run = Rehearsal(Hybrid(MIXED), 0, lambda trial: factor * sphere(MIXED, trial.genome)).run(
            16
        )
        return [trial.genome for trial in run.trials]

    assert genomes(2.0**-40) == genomes(1.0) == genomes(2.0**40)


@pytest.mark.parametrize(
    "value",
    [
        lambda trial: 1.0,
        lambda trial: 0.0,
        lambda trial: 1e12 * sphere(MIXED, trial.genome),
        lambda trial: 1e-300 * sphere(MIXED, trial.genome),
        lambda trial: 1e300 * sphere(MIXED, trial.genome),
        lambda trial: 1e15 + sphere(MIXED, trial.genome),
        lambda trial: float(trial.number % 2),
        lambda trial: float(trial.number != 3),
        lambda trial: 1e12 if trial.number % 4 == 0 else sphere(MIXED, trial.genome),
        lambda trial: math.nan if trial.number % 3 == 0 else sphere(MIXED, trial.genome),
        lambda trial: -math.inf if trial.number == 5 else sphere(MIXED, trial.genome),
    ],
    ids=[
        "constant",
        "zero",
        "large",
        "tiny",
        "huge",
        "far",
        "two-valued",
        "one-good",
        "outliers",
        "nan",
        "infinite",
    ],
)
@pytest.mark.usefixtures("quick")
def test_strange_objectives(value):
    assert distinct(Rehearsal(Hybrid(MIXED), 0, value).run(25)) == 25


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (Space(a=Fixed(1), b=Float(2.0, 2.0)), 1),
        (Space(a=Float(0.0, 1.0)), 18),
        (Space({f"c{k}": Choice(*"abcd") for k in range(8)}), 18),
        (Space(wide=Choice(*range(500)), x=Float(0.0, 1.0)), 18),
        (Space({f"x{k}": Float(0.0, 1.0) for k in range(300)}), 18),
        (Space(a=Int(1, 10**12, log=True), b=Int(-(10**9), 10**9), c=Ordinal(1, 2)), 18),
    ],
    ids=["a point", "one gene", "categories", "wide", "300 genes", "large numbers"],
)
@pytest.mark.usefixtures("quick")
def test_strange_spaces(space, expected):
    assert distinct(Rehearsal(Hybrid(space)).run(18)) == expected


@pytest.mark.usefixtures("quick")
def test_when_everything_fails_it_keeps_looking():
    assert distinct(Rehearsal(Hybrid(MIXED)).run(40, failing=1.0)) == 40


@pytest.mark.usefixtures("quick")
def test_the_same_params_told_often_are_no_trouble():
    rehearsal = Rehearsal(Hybrid(CUBE)).run(12)
    for number in range(12, 40):
        rehearsal.adopt(replace(rehearsal.trials[number % 2], number=number))
    assert rehearsal.start() is not None
