"""Tests of what the benchmark of fidelities pays and counts."""

import fidelity
import pytest

import evotune as et
from evotune.algorithms.halving import SuccessiveHalving
from evotune.algorithms.random_search import RandomSearch


class Slope:
    """A task whose error falls with each epoch; nobody asks for more than there are."""

    name = "slope"
    space = et.Space(x=et.Float(0.0, 1.0))

    def value(self, params, *, epoch=fidelity.FULL):
        assert 1 <= epoch <= fidelity.FULL
        return params["x"] + 1 / epoch


@pytest.fixture(autouse=True)
def _no_scale(monkeypatch):
    monkeypatch.setattr(fidelity.scale, "regrets", lambda errors, name: errors)


def test_the_incumbent_is_the_best_of_the_largest_budget_and_counts_in_full():
    curve = fidelity.Curve(Slope())
    assert curve.at(100) == 1.0
    curve.add({"x": 0.1}, 1, 1.1, 1)
    curve.add({"x": 0.5}, 3, 0.8, 3)
    curve.add({"x": 0.0}, 1, 1.0, 1)
    assert (curve.at(3), curve.at(4), curve.at(5)) == (0.1 + 1 / 52, 0.5 + 1 / 52, 0.5 + 1 / 52)
    assert curve.paid == 5


@pytest.mark.parametrize(("resume", "cost"), [(True, 52), (False, 3 + 13 + 52)])
def test_a_promotion_costs_the_difference_or_the_whole(resume, cost):
    paid = []

    class Watched(fidelity.Curve):
        def add(self, params, epochs, value, cost):
            super().add(params, epochs, value, cost)
            paid.append((params["x"], epochs, cost))

    def make(space):
        return SuccessiveHalving(RandomSearch(space), minimum=3, maximum=52, eta=4, resume=resume)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fidelity, "Curve", Watched)
        fidelity.search(make, Slope(), 0, 1300)
    top = next(x for x, epochs, _ in paid if epochs == fidelity.FULL)
    assert sum(each for x, _, each in paid if x == top) == pytest.approx(cost, abs=1)
