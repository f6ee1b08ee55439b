import math

import pytest

from evotune.errors import AlgorithmError
from evotune.evolution.rates import Adaptive, Constant, Decay, Progress


def test_constant():
    schedule = Constant(0.1)
    assert schedule.initial == schedule.next(0.7, Progress(5)) == 0.1


def test_decay_is_the_formula_of_its_paper():
    """μ(t) = μ₀·exp(−λ·t), however the rate was reached."""
    schedule = Decay(0.05, 0.1)
    assert schedule.initial == 0.05
    for generation in (0, 1, 10, 1000):
        expected = 0.05 * math.exp(-0.1 * generation)
        assert schedule.next(0.9, Progress(generation)) == pytest.approx(expected)


class TestAdaptive:
    schedule = Adaptive(initial=0.1, low=0.01, high=0.5, target=0.2, factor=1.5, collapse=0.1)

    def test_grows_with_success(self):
        assert self.schedule.next(0.1, Progress(1, success=0.21)) == pytest.approx(0.15)

    def test_shrinks_without(self):
        assert self.schedule.next(0.1, Progress(1, success=0.2)) == pytest.approx(0.1 / 1.5**0.25)

    def test_stays_steady_when_one_in_five_succeeds(self):
        rate = 0.1
        for generation in range(10):
            rate = self.schedule.next(
                rate, Progress(generation, success=float(generation % 5 == 0))
            )
        assert rate == pytest.approx(0.1)

    def test_grows_when_diversity_collapses(self):
        assert self.schedule.next(0.1, Progress(1, 0.0, diversity=0.09)) == pytest.approx(0.15)

    def test_stays_within_its_bounds(self):
        assert self.schedule.next(0.4, Progress(1, success=1.0)) == 0.5
        assert self.schedule.next(0.0105, Progress(1, success=0.0)) == 0.01


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adaptive(initial=0.6), "needs 0 < low <= initial <= high <= 1"),
        (lambda: Adaptive(low=0.0), "low=0.0"),
        (lambda: Adaptive(high=1.5), "high=1.5"),
        (lambda: Adaptive(factor=1.0), "factor > 1"),
        (lambda: Decay(initial=1.5), r"Decay: initial must lie in \[0, 1\]"),
        (lambda: Decay(decay=-0.1), "decay must be a number from 0 up"),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(AlgorithmError, match=message):
        make()
