"""By what members of a population are compared, in numbers."""

import numpy as np
import pytest

from evotune.errors import AlgorithmError
from evotune.evolution.fitness import Improvement, Last, Smoothed, fitness_named


def of(fitness, *values, every=1.0):
    column = np.array(values, dtype=float)[:, None]
    return float(fitness(column, every * np.arange(1, len(values) + 1))[0])


def test_an_exponential_average_forgets():
    assert of(Smoothed(0.5), 4.0, 2.0, 0.0) == 0.5 * (0.5 * 4.0 + 0.5 * 2.0)
    assert of(Smoothed(0.25), 4.0, 2.0) == 3.5
    assert of(Smoothed(1.0), 4.0, 2.0, 3.0) == of(Last(), 4.0, 2.0, 3.0) == 3.0


def test_each_objective_is_smoothed():
    found = Smoothed(0.5)(np.array([[4.0, 0.0], [2.0, 8.0]]), np.array([1.0, 2.0]))
    assert found.tolist() == [3.0, 4.0]


def test_improvement_is_that_of_an_epoch():
    assert of(Improvement(1), 4.0, 3.0) == -1.0
    assert of(Improvement(1), 4.0, 3.0, every=5.0) == pytest.approx(-0.2)
    assert of(Improvement(2), 9.0, 4.0, 3.5, 3.0) == -0.5  # of the last two only
    assert of(Improvement(2), 4.0) == 0.0


def test_a_fall_and_the_recovery_from_it_are_no_improvement():
    assert of(Improvement(1), 1.0, 9.0, 1.0) == 0.0
    assert of(Improvement(1), 1.0, 9.0, 2.0) > 0.0


def test_improvement_refuses_several_objectives():
    with pytest.raises(AlgorithmError, match=r"one objective, and there are 2; write .*smoothed"):
        Improvement()(np.zeros((2, 2)), np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Smoothed(0.0), "share"),
        (lambda: Improvement(0), "over"),
        (lambda: Improvement(16), "over is below 16"),
        (lambda: fitness_named("improvment"), "did you mean 'improvement'"),
    ],
)
def test_bad_options_say_what_to_write(make, says):
    with pytest.raises(AlgorithmError, match=says):
        make()
