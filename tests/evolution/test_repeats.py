import math

import pytest

from evotune.evolution.repeats import average, merge_repeats, root, squares
from evotune.objectives import parse_objectives
from evotune.trial import Trial

OBJECTIVES = parse_objectives(["max accuracy"])


def trial(number, repeat_of=None, repeats=1, **metrics):
    values = OBJECTIVES.values(metrics) if metrics else (1.0,)
    return Trial(
        number,
        {},
        {},
        "done",
        metrics=metrics,
        values=values,
        repeat_of=repeat_of,
        repeats=repeats,
    )


def test_the_root_is_the_first_trial_of_its_params():
    assert [root(trial(3)), root(trial(7, repeat_of=3))] == [3, 3]


def test_metrics_and_values_are_averaged_and_the_spread_is_kept():
    group = [trial(0, accuracy=0.8, loss=1.0), trial(4, 0, accuracy=0.9, loss=2.0, extra=1.0)]
    merged = average(group[1], group, OBJECTIVES)
    assert merged.number == 4
    assert merged.metrics == {"accuracy": pytest.approx(0.85), "loss": 1.5}
    assert merged.values == (pytest.approx(-0.85),)
    assert merged.spread["accuracy"] == pytest.approx(0.1 / 2**0.5)
    assert merged.repeats == 2


def test_a_single_trial_is_its_own_average():
    alone = trial(0, accuracy=0.8)
    assert average(alone, [alone], OBJECTIVES) is alone


def test_repeats_count_once_with_the_most_evaluations():
    first, other, again = trial(0), trial(1), trial(5, repeat_of=0, repeats=2)
    later = trial(9, repeat_of=0, repeats=3)
    for order in ([first, other, again, later], [later, first, again, other]):
        assert sorted(t.number for t in merge_repeats(order)) == [1, 9]


def test_deviations_too_large_to_be_squared_raise_nothing():
    assert squares([trial(0, accuracy=1e300), trial(1, 0, accuracy=-1e300)]) == math.inf
