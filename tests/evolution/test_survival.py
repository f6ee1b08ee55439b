import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotune.evolution import pareto
from evotune.evolution.survival import best_first, scalar_values
from evotune.testing.domains import steady
from evotune.trial import Trial

small = st.integers(0, 4).map(float)  # ties and equal points occur often
values_1 = st.lists(st.tuples(small), min_size=1, max_size=12)
values_2 = st.lists(st.tuples(small, small), min_size=1, max_size=14)
values_3 = st.lists(st.tuples(small, small, small), min_size=1, max_size=10)


def trials_of(values, violations=None):
    violations = violations or [0.0] * len(values)
    return [
        Trial(number, {}, {}, "done", values=value, violation=violation)
        for number, (value, violation) in enumerate(zip(values, violations, strict=True))
    ]


def numbers(trials):
    return [trial.number for trial in trials]


def dominates(p, q):
    return all(a <= b for a, b in zip(p, q, strict=True)) and p != q


def brute_ranks(points):
    left, ranks, front = dict(enumerate(points)), {}, 0
    while left:
        best = [k for k, p in left.items() if not any(dominates(q, p) for q in left.values())]
        for k in best:
            ranks[k] = front
            del left[k]
        front += 1
    return [ranks[k] for k in range(len(points))]


def brute_crowding(points):
    """Deb et al. (2002), section III-B, point by point."""
    distances = [0.0] * len(points)
    for objective in range(len(points[0])):
        order = sorted(range(len(points)), key=lambda k: points[k][objective])
        low, high = points[order[0]][objective], points[order[-1]][objective]
        distances[order[0]] = distances[order[-1]] = math.inf
        for before, k, after in zip(order, order[1:], order[2:], strict=False):
            if high > low:
                gap = points[after][objective] - points[before][objective]
                distances[k] += gap / (high - low)
    return distances


@steady
@given(points=st.one_of(values_1, values_2, values_3))
def test_fronts_are_those_of_a_brute_force(points):
    values = np.array(points)
    ranks = brute_ranks(points)
    assert pareto.ranks(values).tolist() == ranks
    assert pareto.non_dominated(values).tolist() == [rank == 0 for rank in ranks]


@steady
@given(points=st.one_of(values_2, values_3))
def test_crowding_is_that_of_a_brute_force(points):
    assert pareto.crowding(np.array(points)) == pytest.approx(brute_crowding(points))


def test_crowding_of_a_known_front():
    distances = pareto.crowding(np.array([[0.0, 4.0], [1.0, 2.0], [2.0, 1.0], [4.0, 0.0]]))
    assert distances.tolist() == [math.inf, 2 / 4 + 3 / 4, 3 / 4 + 2 / 4, math.inf]


def test_empty_fronts():
    assert pareto.ranks(np.zeros((0, 2))).tolist() == []
    assert best_first([]) == []


@steady
@given(points=st.one_of(values_2, values_3), seed=st.integers(0, 99))
def test_several_objectives_are_ordered_by_front_then_by_crowding(points, seed):
    trials = trials_of(points)
    ordered = numbers(best_first(trials))
    ranks = brute_ranks(points)
    crowded = {}
    for front in set(ranks):
        members = [k for k in range(len(points)) if ranks[k] == front]
        distances = brute_crowding([points[k] for k in members])
        crowded.update(zip(members, distances, strict=True))
    assert sorted(ordered) == list(range(len(points)))
    for k, after in pairwise(ordered):
        assert (ranks[k], -crowded[k] - 1e-9) <= (ranks[after], -crowded[after])
    shuffled = [trials[k] for k in np.random.default_rng(seed).permutation(len(trials))]
    assert numbers(best_first(shuffled)) == ordered


@steady
@given(
    rows=st.lists(st.tuples(small, st.sampled_from([0.0, 0.0, 0.5, 1.0])), min_size=1, max_size=12),
    seed=st.integers(0, 99),
)
def test_one_objective_is_ordered_by_violation_then_value_then_number(rows, seed):
    trials = trials_of([(value,) for value, _ in rows], [violation for _, violation in rows])
    expected = sorted(trials, key=lambda t: (t.violation, t.values[0], t.number))
    shuffled = [trials[k] for k in np.random.default_rng(seed).permutation(len(trials))]
    assert numbers(best_first(shuffled)) == numbers(expected)


def test_feasible_trials_lead_whatever_their_values():
    trials = trials_of([(9.0, 9.0), (0.0, 0.0), (8.0, 9.5), (1.0, 1.0)], [0.0, 2.0, 0.0, 0.5])
    assert numbers(best_first(trials)) == [0, 2, 3, 1]


@pytest.mark.parametrize("values", [[(3.0,), (1.0,), (2.0,)], [(3.0, 3.0), (1.0, 1.0), (2.0, 9.0)]])
def test_what_was_stopped_comes_last_whatever_it_had_reached(values):
    full, stopped, other = trials_of(values)
    stopped = replace(stopped, state="stopped")
    ordered = best_first([stopped, full, other])
    assert ordered[-1] is stopped
    assert scalar_values(ordered).tolist() == [0.0, 1.0, 2.0]


def test_trials_without_values_are_left_out():
    done, failed = trials_of([(1.0,), (2.0,)])
    failed = replace(failed, state="failed", values=None)
    assert best_first([failed, done]) == [done]


def test_selection_reads_values_or_positions():
    assert scalar_values(trials_of([(1.0,), (2.5,)])).tolist() == [1.0, 2.5]
    assert scalar_values(trials_of([(1.0,), (9.0,)], [0.0, 3.0])).tolist() == [0.0, 1.0]
    assert scalar_values(trials_of([(1.0, 5.0), (9.0, 2.0)])).tolist() == [0.0, 1.0]
