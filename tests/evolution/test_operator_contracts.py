"""Every selection, rate schedule, survival, exploitation and stopping rule keeps its contract."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from evotune.evolution import fitness
from evotune.evolution.exploitation import Binary, Everyone, Quantile
from evotune.evolution.niching import Niching
from evotune.evolution.rates import Adaptive, Constant, Decay
from evotune.evolution.selection import (
    Boltzmann,
    Rank,
    RelativeExponential,
    Roulette,
    StochasticUniversal,
    Tournament,
    Truncation,
)
from evotune.evolution.stopping import DominationStopping, MedianStopping, PercentileStopping
from evotune.evolution.survival import Youngest, best_first
from evotune.objectives import Objective
from evotune.testing.operators import (
    ExploitationContract,
    FitnessContract,
    RateContract,
    SelectionContract,
    SurvivalContract,
)
from evotune.testing.stopping import StoppingContract


class TestTruncation(SelectionContract):
    def make(self):
        return Truncation(0.3)


class TestTournament(SelectionContract):
    def make(self):
        return Tournament(3)


class TestNoSelection(SelectionContract):
    def make(self):
        return Tournament(1)


class TestRank(SelectionContract):
    def make(self):
        return Rank()


class TestRoulette(SelectionContract):
    def make(self):
        return Roulette()


class TestStochasticUniversal(SelectionContract):
    def make(self):
        return StochasticUniversal()


class TestBoltzmann(SelectionContract):
    def make(self):
        return Boltzmann(beta=2.0, growth=1.1)


class TestRelativeExponential(SelectionContract):
    def make(self):
        return RelativeExponential()


class TestConstant(RateContract):
    def make(self):
        return Constant(0.2)


class TestDecay(RateContract):
    def make(self):
        return Decay(initial=1.0)


class TestAdaptive(RateContract):
    def make(self):
        return Adaptive(high=1.0)


class TestBestFirst(SurvivalContract):
    def make(self):
        return best_first


class TestNiching(SurvivalContract):
    def make(self):
        return Niching(6)


class TestYoungest(SurvivalContract):
    keeps_all = False

    def make(self):
        return Youngest(5)


class TestEveryone(ExploitationContract):
    def make(self):
        return Everyone()


class TestQuantile(ExploitationContract):
    def make(self):
        return Quantile(0.25)


class TestBinary(ExploitationContract):
    def make(self):
        return Binary()


class TestMedianStopping(StoppingContract):
    grace = 2
    startup = 3

    def make(self):
        return MedianStopping(grace=2, startup=3)


class TestPercentileStopping(StoppingContract):
    grace = 1
    startup = 5

    def make(self):
        return PercentileStopping()


class TestDominationStopping(StoppingContract):
    grace = 3
    startup = 4

    def make(self):
        return DominationStopping(grace=3, startup=4)


# -- wrong ones -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Last:
    def __call__(self, values, count, rng, generation):
        return np.full(count, len(values) - 1)


@dataclass(frozen=True, slots=True)
class PastTheEnd:
    def __call__(self, values, count, rng, generation):
        return rng.integers(len(values) + 1, size=count)


@dataclass(frozen=True, slots=True)
class Growing:
    initial: float = 0.5

    def next(self, rate, progress):
        return rate * 1.5


class Counting:
    initial = 0.5

    def __init__(self):
        self.calls = 0

    def next(self, rate, progress):
        self.calls += 1
        return rate / self.calls


def by_value(trials):
    """Blind to states and violations, and dependent on who comes first."""
    return sorted((t for t in trials if t.values is not None), key=lambda t: t.values[0])


@dataclass(frozen=True, slots=True)
class TheBest:
    def __call__(self, rank, members, rng):
        return rank == 0


@dataclass(frozen=True, slots=True)
class Ambitious:
    """Stops whatever is not the best so far, from the first report of the second trial on."""

    def fresh(self, objectives):
        return Records(objectives.objectives[0])


class Records:
    """Standards that are the bar of every trial too, and go on learning."""

    def __init__(self, objective):
        self.objective = objective
        self.best = math.inf

    def value(self, report):
        return self.objective.value(report) if self.objective.metric in report else math.inf

    def tell(self, trial):
        if trial.state == "done":
            self.best = min([self.best, *map(self.value, trial.reports)])

    def bar(self):
        return self

    def stops(self, report):
        return self.value(report) > self.best


@dataclass(frozen=True, slots=True)
class Unfair:
    """Takes every metric for one that is minimised."""

    def fresh(self, objectives):
        return Records(Objective(objectives.objectives[0].metric))


TIES, FIRST, LAST = {"members": 2, "value": 0.0}, {"direction": "max"}, {"direction": "min"}


@pytest.mark.parametrize(
    ("contract", "wrong", "test", "given"),
    [
        (SelectionContract, Last, "the_best_is_not_less_likely_than_the_worst", {"values": (0, 1)}),
        (SelectionContract, PastTheEnd, "ties_may_be_drawn_too", TIES),
        (RateContract, Growing, "stays_a_probability", {}),
        (RateContract, Counting, "keeps_no_state", {}),
        (RateContract, Counting, "is_a_value", {}),
        (SurvivalContract, lambda: list, "returns_the_trials_that_have_values", {}),
        (SurvivalContract, lambda: by_value, "stopped_and_infeasible_ones_come_last", {}),
        (SurvivalContract, lambda: by_value, "nobody_comes_before_one_that_dominates_it", {}),
        (SurvivalContract, lambda: by_value, "the_order_of_arrival_means_nothing", {}),
        (ExploitationContract, TheBest, "the_better_do_not_give_way_more_often", {"members": 8}),
        (StoppingContract, Ambitious, "nobody_is_stopped_in_the_first_steps", FIRST),
        (StoppingContract, Ambitious, "nobody_is_stopped_before_enough_are_done", FIRST),
        (StoppingContract, Ambitious, "a_bar_stays_as_it_was_made", LAST),
        (StoppingContract, Unfair, "a_maximised_metric_is_judged_as_its_negative", {}),
        (StoppingContract, Unfair, "stops_the_hopeless_and_nobody_who_leads", FIRST),
    ],
)
def test_a_wrong_operator_breaks_the_contract(contract, wrong, test, given):
    class Contract(contract):
        startup = 2

        def make(self):
            return wrong()

    with pytest.raises(AssertionError):
        getattr(Contract(), f"test_{test}")(**given)


class TestLastValues(FitnessContract):
    def make(self):
        return fitness.Last()


class TestSmoothed(FitnessContract):
    def make(self):
        return fitness.Smoothed(0.3)


class TestImprovement(FitnessContract):
    def make(self):
        return fitness.Improvement(over=3)
