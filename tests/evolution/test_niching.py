from itertools import pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotune.errors import AlgorithmError
from evotune.evolution import pareto
from evotune.evolution.niching import Niching, reference_directions
from evotune.testing.domains import steady
from evotune.trial import Trial

value = st.floats(-10.0, 10.0, allow_nan=False)
POINTS = st.integers(2, 4).flatmap(
    lambda m: st.lists(st.tuples(*[value] * m), min_size=1, max_size=15)
)


def trials_of(values, violations=None):
    violations = violations or [0.0] * len(values)
    return [
        Trial(number, {}, {}, "done", values=tuple(row), violation=violation)
        for number, (row, violation) in enumerate(zip(values, violations, strict=True))
    ]


def numbers(trials):
    return [trial.number for trial in trials]


class TestReferenceDirections:
    @pytest.mark.parametrize(("objectives", "divisions"), [(2, 9), (3, 4), (3, 12), (5, 6)])
    def test_they_are_the_lattice_of_das_and_dennis(self, objectives, divisions):
        count = comb(objectives + divisions - 1, divisions)
        directions = reference_directions(objectives, count)
        assert len(np.unique(directions.round(9), axis=0)) == count
        points = directions / directions.sum(axis=1, keepdims=True) * divisions
        assert points == pytest.approx(points.round())
        fewer = comb(objectives + divisions - 2, divisions - 1)
        assert len(reference_directions(objectives, count - 1)) == fewer

    def test_many_objectives_have_a_second_layer_inside(self):
        """Table 1 of the paper: 8 objectives, 3 and 2 divisions, 156 directions."""
        directions = reference_directions(8, 156)
        assert len(directions) == 156
        assert (directions > 0).all(axis=1).sum() == 36
        assert np.linalg.norm(directions, axis=1) == pytest.approx(1.0)

    def test_each_objective_has_its_own_at_least(self):
        assert reference_directions(5, 2).tolist() == np.eye(5)[::-1].tolist()
        assert reference_directions(1, 20).tolist() == [[1.0]]


@steady
@given(points=POINTS, seed=st.integers(0, 99))
def test_fronts_stay_in_order_and_arrival_does_not_matter(points, seed):
    trials = trials_of(points)
    ordered = numbers(Niching(6)(trials))
    ranks = pareto.ranks(np.array(points))
    assert sorted(ordered) == list(range(len(points)))
    assert all(ranks[k] <= ranks[after] for k, after in pairwise(ordered))
    shuffled = [trials[k] for k in np.random.default_rng(seed).permutation(len(trials))]
    assert numbers(Niching(6)(shuffled)) == ordered


def test_every_direction_gets_its_trial_before_any_gets_two():
    """On a circle, crowded at one end: 30 trials there, one near each other direction."""
    crowded = np.linspace(0.0, 0.2, 30)
    angles = np.concatenate([crowded, np.linspace(0.3, np.pi / 2, 8)])
    values = 1.0 - np.column_stack([np.sin(angles), np.cos(angles)])
    kept = Niching(10)(trials_of(values))[:10]
    assert sum(number >= 30 for number in numbers(kept)) == 8


def test_niches_that_earlier_fronts_fill_come_last():
    front = [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)]
    behind = [(0.52, 0.52), (0.26, 0.98), (0.05, 1.3)]
    ordered = numbers(Niching(5)(trials_of(front + behind)))
    assert set(ordered[:3]) == {0, 1, 2}
    assert ordered[3] == 4  # the only one whose direction has nobody yet


@pytest.mark.parametrize("scales", [(1e-12, 1e12, 1.0), (1e9, 1.0, 1e-9)])
def test_scales_and_offsets_do_not_matter(scales):
    values = np.random.default_rng(0).dirichlet(np.ones(3), 40) ** 2
    moved = (values + 0.5) * np.array(scales)
    assert numbers(Niching(15)(trials_of(moved))) == numbers(Niching(15)(trials_of(values)))


def test_feasible_trials_lead_and_the_others_follow_by_violation():
    values = [(9.0, 9.0), (0.0, 0.0), (8.0, 9.5), (1.0, 1.0)]
    assert numbers(Niching(4)(trials_of(values, [0.0, 2.0, 0.0, 0.5]))[2:]) == [3, 1]
    assert numbers(Niching(4)(trials_of(values, [4.0, 3.0, 2.0, 1.0]))) == [3, 2, 1, 0]


@pytest.mark.parametrize("points", [[(1.0, 1.0)] * 4, [(1.0, 5.0), (2.0, 5.0)], [(3.0,), (1.0,)]])
def test_flat_fronts_are_ordered(points):
    ordered = Niching(5)(trials_of(points))
    assert ordered[0].values == min(points)
    assert len(ordered) == len(points)


def test_no_direction_is_refused():
    with pytest.raises(AlgorithmError, match="directions must be a whole number from 1 up"):
        Niching(0)
