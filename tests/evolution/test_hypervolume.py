import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotune.evolution.hypervolume import hypervolume, knee, reference_point
from evotune.evolution.pareto import non_dominated
from evotune.testing.domains import steady

small = st.integers(0, 5).map(float)
POINTS = st.lists(st.tuples(small, small, small), min_size=1, max_size=8)


@steady
@given(points=POINTS)
def test_hypervolume_counts_the_cells_that_some_point_dominates(points):
    reference = np.full(3, 5.0)
    corners = np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(-1, 3)
    covered = sum(any(np.all(np.array(p) <= corner) for p in points) for corner in corners)
    assert hypervolume(np.array(points), reference) == pytest.approx(covered)


def test_points_beyond_the_reference_add_nothing():
    assert hypervolume(np.array([[0.5, 0.5], [0.1, 2.0]]), [1.0, 1.0]) == 0.25
    assert hypervolume(np.array([[2.0, 2.0]]), [1.0, 1.0]) == 0.0
    assert hypervolume(np.zeros((0, 2)), [1.0, 1.0]) == 0.0


def test_the_reference_lies_a_tenth_beyond_the_front():
    front = np.array([[0.0, 7.0, -5.0], [10.0, 7.0, -7.0]])
    assert reference_point(front) == pytest.approx([11.0, 7.7, -4.8])
    assert reference_point(np.zeros((1, 2))) == pytest.approx([0.1, 0.1])


def test_the_knee_of_a_bent_front_is_its_bend():
    values = np.array([[0.0, 10.0], [0.4, 4.0], [1.0, 1.0], [4.0, 0.4], [10.0, 0.0], [2.0, 9.0]])
    assert knee(values) == 2


def test_the_knee_is_that_of_known_curve():
    """On y = (1 − √x)² the tangent has the slope of the chord at x = 1/4."""
    x = np.linspace(0.0, 1.0, 101)
    assert x[knee(np.column_stack([x, (1 - np.sqrt(x)) ** 2]))] == pytest.approx(0.25)


def test_the_knee_in_three_objectives_lies_below_the_plane():
    corners = np.eye(3)
    bulge = np.array([[0.4, 0.4, 0.4], [0.1, 0.2, 0.15], [0.5, 0.1, 0.3]])
    assert knee(np.concatenate([corners, bulge])) == 4


def test_a_front_without_bulge_has_its_knee_at_an_end():
    x = np.linspace(0.0, 1.0, 21)
    assert knee(np.column_stack([x, np.sqrt(1 - x**2)])) in (0, 20)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_scales_do_not_move_the_knee(scale):
    x = np.linspace(0.0, 1.0, 41)
    values = np.column_stack([x * scale - scale, (1 - np.sqrt(x)) ** 2 / scale])
    assert knee(values) == 10


@steady
@given(points=POINTS)
def test_the_knee_is_on_the_front_whatever_the_points(points):
    values = np.array(points)
    assert non_dominated(values)[knee(values)]
