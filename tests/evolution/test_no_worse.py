import pytest

from evotune.errors import AlgorithmError
from evotune.evolution.survival import Youngest, no_worse
from evotune.trial import Trial
from helpers_algorithms import numbers


def trial(*values, violation=0.0, state="done", number=0):
    return Trial(number, {}, {}, state, values=tuple(map(float, values)), violation=violation)


@pytest.mark.parametrize(
    ("first", "second", "forth", "back"),
    [
        (trial(1), trial(2), True, False),
        (trial(1), trial(1), True, True),
        (trial(1, 2), trial(2, 2), True, False),
        (trial(1, 2), trial(2, 1), False, False),
        (trial(9), trial(1, violation=0.1), True, False),
        (trial(9, violation=1.0), trial(1, violation=2.0), True, False),
        (trial(1, violation=1.0), trial(2, violation=1.0), True, False),
        (trial(9, violation=3.0), trial(1, state="stopped"), True, False),
    ],
)
def test_no_worse(first, second, forth, back):
    assert no_worse(first, second) is forth
    assert no_worse(second, first) is back


def test_the_youngest_survive_best_first():
    trials = [trial(value, number=k) for k, value in enumerate([0, 5, 3, 4])]
    running = Trial(9, {}, {}, "running")
    assert numbers(Youngest(3)([running, *reversed(trials)])) == [2, 3, 1]
    assert numbers(Youngest(9)(trials)) == [0, 2, 3, 1]
    assert Youngest(3)([]) == []


def test_another_order():
    trials = [trial(value, number=k) for k, value in enumerate([0, 5, 3])]
    assert numbers(Youngest(2, order=list)(trials)) == [1, 2]


def test_bad_size():
    with pytest.raises(AlgorithmError, match="size must be a whole number from 1 up, got 0"):
        Youngest(0)
