"""Genetic(inherit=True): whose weights a child starts from, and how long they are kept."""

from dataclasses import replace

import pytest

from evotune.algorithms.genetic import Genetic
from evotune.errors import AlgorithmError
from evotune.testing.algorithms import SPACES, Rehearsal, foreign_trials
from evotune.trial import Failure
from helpers_algorithms import numbers

SPACE = SPACES["continuous"]


def heirs(**options):
    return Genetic(SPACE, **{"population_size": 4, "inherit": True} | options)


@pytest.mark.parametrize("options", [{}, {"steady_state": True}, {"both_children": True}])
def test_the_first_start_afresh_and_children_from_their_first_parent(options):
    trials = Rehearsal(heirs(**options)).run(28).trials
    founders = trials[:4]
    assert {t.weights_from for t in founders} == {None}
    for child in trials[4:]:
        assert child.weights_from == child.parents[0]
        assert child.checkpoint.epochs == trials[child.weights_from].checkpoint.epochs


def test_each_trial_adds_the_given_epochs():
    trials = Rehearsal(heirs(epochs=2)).run(16).trials
    assert {t.budget for t in trials} == {2.0}
    for child in trials[4:]:
        assert child.checkpoint.epochs == trials[child.weights_from].checkpoint.epochs + 2


def test_without_it_nothing_is_handed_on():
    rehearsal = Rehearsal(Genetic(SPACE, population_size=4)).run(16)
    assert {t.weights_from for t in rehearsal.trials} == {None}
    assert not rehearsal.algorithm.donors()
    assert not rehearsal.algorithm.traits.inherits


@pytest.mark.parametrize("steady", [False, True])
def test_weights_are_kept_of_who_may_become_a_parent_and_no_longer(steady):
    algorithm = heirs(steady_state=steady)
    rehearsal = Rehearsal(algorithm).run(20)
    assert set(algorithm.donors()) == set(numbers(algorithm.population))
    running = [rehearsal.start(), rehearsal.start()]
    assert set(algorithm.donors()) >= {trial.number for trial in running}
    rehearsal.end(running[0])
    if not steady:  # it may belong to the next population
        assert running[0].number in algorithm.donors()
    rehearsal.end(running[1], failed=True)
    assert running[1].number not in algorithm.donors()


def lose(rehearsal, donor):
    """Let a trial fail because it cannot read the weights of another."""
    trial = next(t for t in iter(rehearsal.start, None) if t.weights_from == donor)
    failure = Failure("checkpoint", "missing", donor=donor)
    failed = replace(trial, state="failed", failure=failure)
    rehearsal.trials[trial.number] = failed
    rehearsal.algorithm.tell(failed)


def test_weights_that_cannot_be_read_are_not_asked_for_again():
    algorithm = heirs(population_size=3, offspring=12)
    rehearsal = Rehearsal(algorithm).run(3)
    lost = rehearsal.start().weights_from
    lose(rehearsal, lost)
    assert lost not in algorithm.donors()
    later = [t for t in iter(rehearsal.start, None) if lost in t.parents]
    assert later
    for child in later:
        others = [n for n in child.parents if n != lost]
        assert child.weights_from == (others[0] if others else None)


def test_parents_without_weights_leave_their_children_to_start_afresh():
    rehearsal = Rehearsal(heirs(population_size=3))
    rehearsal.run(3)
    for trial in foreign_trials(SPACE, 30, first=3):  # better ones, known by their results only
        rehearsal.adopt(replace(trial, values=(-1.0,)) if trial.is_done else trial)
    later = rehearsal.run(45).trials[33:]
    strangers = set(range(3, 33))
    fresh = [t for t in later if t.weights_from is None]
    assert fresh
    for child in later:
        assert child.weights_from not in strangers
        if child.weights_from is None:
            assert strangers.issuperset(child.parents)


def test_where_nothing_is_kept_it_says_what_to_write():
    algorithm = heirs()
    rehearsal = Rehearsal(algorithm)
    for _ in range(4):
        trial = rehearsal.start()
        ended = replace(trial, state="done", values=(1.0,))
        rehearsal.trials[trial.number] = ended
        algorithm.tell(ended)
    with pytest.raises(AlgorithmError, match=r"trial \d is done .*trial\.keep\(model=model"):
        rehearsal.ask()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"inherit": False, "epochs": 2}, r"inherit=True, epochs=2"),
        ({"inherit": "yes"}, "inherit must be True or False"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
    ],
)
def test_options_that_make_no_sense(options, words):
    with pytest.raises(AlgorithmError, match=words):
        heirs(**options)


def test_it_prints_what_it_does():
    assert "inherit=True, epochs=2" in repr(heirs(epochs=2))
    assert "inherit" not in repr(Genetic(SPACE))
