"""Operators, rules and algorithms of one's own: nothing of the package must be touched for them.

That they pass mypy's strict rules is a part of `make check`.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import evotune as et
from evotune.algorithms.variation import Variation
from evotune.cli.algorithms import make_operator
from evotune.errors import AlgorithmError
from evotune.testing.algorithms import AlgorithmContract
from evotune.testing.operators import MutationContract, RateContract, SelectionContract
from evotune.testing.stopping import StoppingContract
from helpers_own_parts import ALGORITHMS, SPACE, FirstOnly, Halving, Jump, Mine, WorseThanAll, run


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda made: type(made).__name__)
def test_they_run(algorithm):
    assert len(run(algorithm).trials) == 30


class TestJump(MutationContract):
    def make(self):
        return Jump()


class TestFirstOnly(SelectionContract):
    def make(self):
        return FirstOnly()


class TestHalving(RateContract):
    def make(self):
        return Halving()


class TestWorseThanAll(StoppingContract):
    grace = 0
    startup = 1

    def make(self):
        return WorseThanAll()


class TestMine(AlgorithmContract):
    improves = False

    def make(self, space):
        return Mine(space)


@pytest.mark.parametrize(
    ("option", "module", "kind", "given"),
    [
        ("mutation", et.mutation, Jump, {"scale": 0.3}),
        ("selection", et.selection, FirstOnly, {}),
        ("mutation_rate", et.rates, Halving, {"initial": 0.25}),
    ],
)
def test_a_file_names_one_by_its_class_as_soon_as_it_stands_in_its_module(
    option, module, kind, given, monkeypatch
):
    monkeypatch.setattr(kind, "__module__", module.__name__)
    monkeypatch.setattr(module, kind.__name__, kind, raising=False)
    assert make_operator(option, {"name": kind.__name__, **given}) == kind(**given)
    assert kind.__name__ in dir(module)


@dataclass(frozen=True, slots=True)
class Listed:
    """A mutation with an option that is a list, and one that is a tuple."""

    genes: list[str]
    among: tuple[float, ...] = (1.0,)

    def __call__(self, space, genome, rng):
        return genome


def test_a_list_of_a_file_stays_a_list_where_one_is_wanted(monkeypatch):
    monkeypatch.setattr(Listed, "__module__", et.mutation.__name__)
    monkeypatch.setattr(et.mutation, "Listed", Listed, raising=False)
    table = {"name": "Listed", "genes": ["x"], "among": [1.0, 2.0]}
    assert make_operator("mutation", table) == Listed(["x"], (1.0, 2.0))


class NoDataclass:
    rate = scale = 0.5

    def __call__(self, space, genome, rng):
        return dict(genome)


def test_a_rate_or_scale_that_cannot_be_replaced_is_refused_in_words():
    with pytest.raises(AlgorithmError, match=r"mutation_rate needs .* rate, a dataclass"):
        et.Genetic(SPACE, mutation=NoDataclass(), mutation_rate=0.1)
    with pytest.raises(AlgorithmError, match=r"self_adaptive needs .* scale, a dataclass"):
        et.Genetic(SPACE, mutation=NoDataclass(), self_adaptive=True)


def test_a_parent_that_is_handed_back_is_not_shared_with_the_child():
    parent = et.Trial(0, {"x": 0.5}, {"x": 0.5})
    variation = Variation(
        mutation=lambda space, genome, rng: genome, crossover=lambda s, a, b, r: a
    )
    child = variation.child(SPACE, parent, replace(parent, number=1), np.random.default_rng(0))
    assert child.genome == parent.genome
    assert child.genome is not parent.genome
