"""The contracts of operators as test suites, one per family; they need hypothesis.

Each suite is subclassed with a method ``make`` that returns a new operator, each time the same::

    class TestMine(MutationContract):
        def make(self):
            return MyMutation(rate=0.5)
"""

import copy
import json
import pickle
import random
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from evotune.evolution.exploitation import Exploitation
from evotune.evolution.fitness import Fitness
from evotune.evolution.rates import Progress, RateSchedule
from evotune.evolution.selection import Selection
from evotune.evolution.survival import Survival
from evotune.space import Fixed, Float, Ordinal, Space
from evotune.space.crossover import Crossover
from evotune.space.mutation import Mutation
from evotune.testing.algorithms import CHAIN_SPACE, SPACES
from evotune.testing.domains import steady
from evotune.trial import Failure, Trial

OPERATOR_SPACES = {
    **SPACES,
    "chain": CHAIN_SPACE,
    "one gene": Space(only=Float(0.0, 1.0)),
    "one that varies": Space(constant=Fixed("x"), steps=Ordinal(1, 2, 4)),
    "none that varies": Space(constant=Fixed(1)),
}

# Without the phase that explains a failure: it takes much longer than all the others.
many = settings(steady, phases=[Phase.generate, Phase.shrink])
few = settings(many, max_examples=10)
each_space = pytest.mark.parametrize("name", list(OPERATOR_SPACES))
seeds = st.integers(0, 2**32 - 1)


def check_value(make: Callable[[], Any]) -> None:
    """Check that what is made is a value: frozen, hashable, equal to its like, and it pickles."""
    operator, again = make(), make()
    assert operator == again
    assert hash(operator) == hash(again)
    assert repr(operator) == repr(again), "its repr must tell its options, nothing else"
    assert pickle.loads(pickle.dumps(operator)) == operator
    if is_dataclass(operator):
        for option in fields(operator):
            assert f"{option.name}=" in repr(operator) or not option.init
            with pytest.raises(FrozenInstanceError):
                setattr(operator, option.name, None)


def _drawn(call: Callable[[np.random.Generator], Any], seed: int) -> Any:
    """Return what a call draws, and check that all its randomness comes from its generator."""
    state, numpy_state = random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    first = call(np.random.default_rng(seed))
    assert random.getstate() == state, "it draws from the module random"
    assert repr(np.random.get_state()) == numpy_state, "it draws from numpy.random"  # noqa: NPY002
    call(np.random.default_rng(seed + 1))
    again = call(np.random.default_rng(seed))
    assert repr(again) == repr(first), "equal generators must give equal results"
    return first


def _genome(data: st.DataObject, space: Space) -> dict[str, Any]:
    """Draw a genome, those at the bounds and corners of the space among them."""
    units = data.draw(st.lists(st.floats(0.0, 1.0), min_size=len(space), max_size=len(space)))
    return space.decode(units)


def _check_genome(space: Space, genome: Mapping[str, Any]) -> None:
    space.check(genome)
    assert json.loads(json.dumps(dict(genome), allow_nan=False)) == genome


def _in_chains(space: Space, moved: bool) -> set[str]:
    """Return the genes of chains, if layers are moved."""
    return (
        {g for name, chain in space.chains.items() for g in chain.genes(name)} if moved else set()
    )


class MutationContract:
    """What every mutation must do; subclass it and define ``make``.

    Attributes:
        moves_layers: True for one that moves layers of a chain to other places; they take their
            dormant genes along.
    """

    moves_layers: ClassVar[bool] = False

    def make(self) -> Mutation:
        """Return a new mutation."""
        raise NotImplementedError("a mutation's test suite needs a method make(self)")

    def test_is_a_value(self) -> None:
        check_value(self.make)

    @each_space
    @few
    @given(data=st.data(), seed=seeds)
    def test_makes_a_genome_of_the_space(self, name: str, data: st.DataObject, seed: int) -> None:
        space = OPERATOR_SPACES[name]
        genome = _genome(data, space)
        _check_genome(space, self.make()(space, genome, np.random.default_rng(seed)))

    @each_space
    @few
    @given(data=st.data(), seed=seeds)
    def test_leaves_dormant_genes_alone(self, name: str, data: st.DataObject, seed: int) -> None:
        """They keep the value that was last tested."""
        space = OPERATOR_SPACES[name]
        genome = _genome(data, space)
        child = self.make()(space, dict(genome), np.random.default_rng(seed))
        for gene in space.dormant(genome) - _in_chains(space, self.moves_layers):
            assert child[gene] == genome[gene]

    @each_space
    @few
    @given(data=st.data(), seed=seeds)
    def test_is_pure(self, name: str, data: st.DataObject, seed: int) -> None:
        """It changes no argument, and draws from the given generator only."""
        space, mutation = OPERATOR_SPACES[name], self.make()
        genome = _genome(data, space)
        before = repr((space, genome))
        _drawn(lambda rng: mutation(space, genome, rng), seed)
        assert repr((space, genome)) == before

    @each_space
    def test_changes_something_at_times(self, name: str) -> None:
        space, rng = OPERATOR_SPACES[name], np.random.default_rng(0)
        genomes = [space.sample(rng) for _ in range(300)]
        changed = any(self.make()(space, genome, rng) != genome for genome in genomes)
        assert changed == bool(space.variable)


class CrossoverContract:
    """What every crossover must do; subclass it and define ``make``.

    Attributes:
        moves_layers: True for one that moves layers of a chain to other places; their genes need
            not be those of either parent at the same place.
    """

    moves_layers: ClassVar[bool] = False

    def make(self) -> Crossover:
        """Return a new crossover."""
        raise NotImplementedError("a crossover's test suite needs a method make(self)")

    def test_is_a_value(self) -> None:
        check_value(self.make)

    @each_space
    @few
    @given(data=st.data(), seed=seeds)
    def test_makes_a_genome_of_the_space(self, name: str, data: st.DataObject, seed: int) -> None:
        space = OPERATOR_SPACES[name]
        a, b = _genome(data, space), _genome(data, space)
        _check_genome(space, self.make()(space, a, b, np.random.default_rng(seed)))

    @each_space
    @few
    @given(data=st.data(), seed=seeds)
    def test_takes_genes_from_its_parents(self, name: str, data: st.DataObject, seed: int) -> None:
        """What both have, and what only one has tested; without an order there is no between."""
        space = OPERATOR_SPACES[name]
        a, b = _genome(data, space), _genome(data, space)
        child = self.make()(space, dict(a), dict(b), np.random.default_rng(seed))
        asleep_a, asleep_b = space.dormant(a), space.dormant(b)
        for gene in child.keys() - _in_chains(space, self.moves_layers):
            value = child[gene]
            if gene in asleep_a ^ asleep_b:
                assert value == (b[gene] if gene in asleep_a else a[gene])
            elif not space[gene].ordered or gene in asleep_a or a[gene] == b[gene]:
                assert value in (a[gene], b[gene])

    @each_space
    @few
    @given(data=st.data(), seed=seeds)
    def test_the_second_child_takes_what_the_first_left(
        self, name: str, data: st.DataObject, seed: int
    ) -> None:
        """With the parents swapped, and the same random stream."""
        space, crossover = OPERATOR_SPACES[name], self.make()
        a, b = _genome(data, space), _genome(data, space)
        first = crossover(space, a, b, np.random.default_rng(seed))
        second = crossover(space, b, a, np.random.default_rng(seed))
        one_sided = space.dormant(a) ^ space.dormant(b)
        for gene in set(space.names) - one_sided - _in_chains(space, self.moves_layers):
            if not space[gene].ordered:
                assert (first[gene], second[gene]) in ((a[gene], b[gene]), (b[gene], a[gene]))

    @each_space
    @few
    @given(data=st.data(), seed=seeds)
    def test_is_pure(self, name: str, data: st.DataObject, seed: int) -> None:
        """It changes no argument, and draws from the given generator only."""
        space, crossover = OPERATOR_SPACES[name], self.make()
        a, b = _genome(data, space), _genome(data, space)
        before = repr((space, a, b))
        _drawn(lambda rng: crossover(space, a, b, rng), seed)
        assert repr((space, a, b)) == before

    @pytest.mark.parametrize("name", list(SPACES))
    def test_mixes_at_times(self, name: str) -> None:
        space, rng = OPERATOR_SPACES[name], np.random.default_rng(0)
        a, b = space.decode([0.0] * len(space)), space.decode([1.0] * len(space))
        children = [self.make()(space, a, b, rng) for _ in range(200)]
        assert any(child not in (a, b) for child in children)


class SelectionContract:
    """What every selection of parents must do; subclass it and define ``make``."""

    def make(self) -> Selection:
        """Return a new selection."""
        raise NotImplementedError("a selection's test suite needs a method make(self)")

    def test_is_a_value(self) -> None:
        check_value(self.make)

    @many
    @given(
        values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12).map(sorted),
        count=st.integers(1, 40),
        generation=st.integers(0, 10_000),
        seed=seeds,
    )
    def test_returns_as_many_positions_as_asked_for(
        self, values: list[float], count: int, generation: int, seed: int
    ) -> None:
        selection, given_values = self.make(), np.array(values)
        given_values.flags.writeable = False  # it has no business writing there
        drawn = _drawn(lambda rng: selection(given_values, count, rng, generation), seed)
        assert drawn.shape == (count,)
        assert np.issubdtype(drawn.dtype, np.integer)
        assert drawn.min() >= 0
        assert drawn.max() < len(values)

    @pytest.mark.parametrize("value", [0.0, -7.5, 1e300])
    @pytest.mark.parametrize("members", [1, 2, 9])
    def test_ties_may_be_drawn_too(self, members: int, value: float) -> None:
        drawn = self.make()(np.full(members, value), 50, np.random.default_rng(0), 0)
        assert set(drawn.tolist()) <= set(range(members))

    @pytest.mark.parametrize("values", [(0.0, 1.0), (-3.0, -2.5, 0.0, 0.5, 2.0), (1.0,) * 4])
    def test_the_best_is_not_less_likely_than_the_worst(self, values: tuple[float, ...]) -> None:
        drawn = self.make()(np.array(values), 4000, np.random.default_rng(1), 0)
        counts = np.bincount(drawn, minlength=len(values))
        by_chance = 4 * np.sqrt(2 * 4000 / len(values))  # four standard deviations
        assert counts[0] >= counts[-1] - by_chance


class RateContract:
    """What every schedule of a mutation rate must do; subclass it and define ``make``."""

    def make(self) -> RateSchedule:
        """Return a new schedule."""
        raise NotImplementedError("a rate schedule's test suite needs a method make(self)")

    def test_is_a_value(self) -> None:
        check_value(self.make)

    @many
    @given(
        st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 2.0)), max_size=20),
        st.integers(1, 500),
    )
    def test_stays_a_probability(self, course: list[tuple[float, float]], every: int) -> None:
        """Whatever happens, for as long as it happens; the same each time."""
        rates = [self._rates(course, every) for _ in range(2)]
        assert rates[0] == rates[1]
        assert all(0.0 <= rate <= 1.0 for rate in rates[0])

    def _rates(self, course: list[tuple[float, float]], every: int) -> list[float]:
        schedule = self.make()
        rates = [schedule.initial]
        for number, (success, diversity) in enumerate(course, start=1):
            progress = Progress(number * every, success, diversity)
            rates.append(schedule.next(rates[-1], progress))
        return rates

    def test_keeps_no_state(self) -> None:
        """A study that goes on has a schedule that never saw the generations before."""
        used, progress = self.make(), Progress(7, 0.4, 0.5)
        for number in range(1, 40):
            used.next(used.initial, Progress(number, number % 2, 0.01 * number))
        again = self.make()
        assert used.next(used.initial, progress) == again.next(again.initial, progress)


small = st.integers(0, 3).map(float)  # so that ties and equal points occur often


@st.composite
def _trials(draw: st.DrawFn, objectives: int | None = None) -> list[Trial]:
    """Draw trials of one study, numbered in order: done, infeasible, stopped and failed ones."""
    width = draw(st.integers(1, 3)) if objectives is None else objectives
    kinds = st.sampled_from(["done", "done", "infeasible", "stopped", "stopped early", "failed"])
    return [
        _trial(number, draw(kinds), draw(st.tuples(*[small] * width)), draw(small) + 1)
        for number in range(draw(st.integers(0, 12)))
    ]


def _trial(number: int, kind: str, values: tuple[float, ...], violation: float) -> Trial:
    trial = Trial(number, {"x": number}, {"x": number}, "done", values=values)
    if kind == "infeasible":
        return replace(trial, violation=violation)
    if kind == "stopped":
        return replace(trial, state="stopped")
    if kind == "stopped early":
        return replace(trial, state="stopped", values=None)
    if kind == "failed":
        return replace(trial, state="failed", values=None, failure=Failure("died", "it died"))
    return trial


class SurvivalContract:
    """What every order of survival must do; subclass it and define ``make``.

    Attributes:
        keeps_all: False for one that drops trials although they have values.
    """

    keeps_all: ClassVar[bool] = True

    def make(self) -> Survival:
        """Return a new order of survival."""
        raise NotImplementedError("a survival's test suite needs a method make(self)")

    def test_is_a_value(self) -> None:
        check_value(self.make)

    @many
    @given(_trials())
    def test_returns_the_trials_that_have_values(self, trials: list[Trial]) -> None:
        """The very same records, each once; those without values cannot be ranked."""
        before = copy.copy(trials), repr(trials)
        ordered = self.make()(trials)
        assert (trials, repr(trials)) == before
        ids = {id(trial) for trial in ordered}
        assert len(ids) == len(ordered)
        ranked = {id(trial) for trial in trials if trial.values is not None}
        assert ids == ranked if self.keeps_all else ids <= ranked
        assert bool(ids) == bool(ranked)

    @many
    @given(_trials())
    def test_stopped_and_infeasible_ones_come_last(self, trials: list[Trial]) -> None:
        """These by how far they are from feasible, before those that were stopped."""
        standing = [(t.state == "stopped", t.violation) for t in self.make()(trials)]
        assert standing == sorted(standing)

    @many
    @given(_trials())
    def test_nobody_comes_before_one_that_dominates_it(self, trials: list[Trial]) -> None:
        able = [t for t in self.make()(trials) if t.state == "done" and t.violation == 0]
        points = [np.array(t.values) for t in able]
        for place, point in enumerate(points):
            for behind in points[place + 1 :]:
                assert not (np.all(behind <= point) and np.any(behind < point))

    @many
    @given(_trials(objectives=1))
    def test_one_objective_is_ordered_by_value(self, trials: list[Trial]) -> None:
        """Equal values by number, so that the order says nothing of who came first."""
        able = [t for t in self.make()(trials) if t.state == "done" and t.violation == 0]
        assert able == sorted(able, key=lambda trial: (trial.values, trial.number))

    @many
    @given(_trials(), st.randoms(use_true_random=False))
    def test_the_order_of_arrival_means_nothing(
        self, trials: list[Trial], chance: random.Random
    ) -> None:
        mixed = copy.copy(trials)
        chance.shuffle(mixed)
        assert self.make()(mixed) == self.make()(trials)


class ExploitationContract:
    """What every rule for replacing members must do; subclass it and define ``make``."""

    def make(self) -> Exploitation:
        """Return a new exploitation."""
        raise NotImplementedError("an exploitation's test suite needs a method make(self)")

    def test_is_a_value(self) -> None:
        check_value(self.make)

    @many
    @given(members=st.integers(1, 50), data=st.data(), seed=seeds)
    def test_answers_yes_or_no(self, members: int, data: st.DataObject, seed: int) -> None:
        """For every place in populations of any size, one member included."""
        exploitation, rank = self.make(), data.draw(st.integers(0, members - 1))
        answer = _drawn(lambda rng: exploitation(rank, members, rng), seed)
        assert isinstance(answer, bool)

    @pytest.mark.parametrize("members", [2, 3, 8])
    def test_the_better_do_not_give_way_more_often(self, members: int) -> None:
        exploitation, rng = self.make(), np.random.default_rng(2)
        often = [
            sum(exploitation(rank, members, rng) for _ in range(400)) for rank in range(members)
        ]
        by_chance = 4 * np.sqrt(2 * 400 * 0.25)  # four standard deviations
        assert often[-1] > 0, "nobody would ever be replaced"
        assert np.all(np.diff(often) >= -by_chance)


class FitnessContract:
    """What every fitness of a line of weights must do; subclass it and define ``make``."""

    def make(self) -> Fitness:
        """Return a new fitness."""
        raise NotImplementedError("a fitness's test suite needs a method make(self)")

    def test_is_a_value(self) -> None:
        check_value(self.make)

    @many
    @given(values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=16))
    def test_a_line_of_any_length_has_a_finite_fitness(self, values: list[float]) -> None:
        """It changes nothing that it is given, and equal lines are equally fit."""
        seen, epochs = np.array(values)[:, None], np.arange(1.0, len(values) + 1)
        before = seen.copy(), epochs.copy()
        found = self.make()(seen, epochs)
        assert found.shape == (1,)
        assert np.isfinite(found).all()
        assert np.array_equal(seen, before[0])
        assert np.array_equal(epochs, before[1])
        assert np.array_equal(self.make()(seen, epochs), found)

    def test_of_two_lines_that_were_alike_the_one_that_is_better_now_is_fitter(self) -> None:
        epochs = np.arange(1.0, 5.0)
        better, worse = (np.array([[3.0], [2.0], [1.5], [now]]) for now in (1.0, 1.25))
        assert self.make()(better, epochs) < self.make()(worse, epochs)
