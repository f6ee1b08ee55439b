import math
from collections import Counter

import numpy as np
import pytest

from evotune.errors import SpaceError
from evotune.space import Bool, Choice, Fixed, Float, Int, Ordinal
from evotune.space.domains import domain_from_json
from evotune.space.folding import reflect

GRID = [(k + 0.5) / 6000 for k in range(6000)]


def shares(domain):
    drawn = Counter(domain.from_unit(unit) for unit in GRID)
    return {value: count / len(GRID) for value, count in drawn.items()}


@pytest.mark.parametrize(
    "domain", [Int(-2, 3), Ordinal(5, 1, 9), Choice("a", "b"), Bool(), Float(0, 1, step=0.25)]
)
def test_uniform_draws_give_every_value_an_equal_share(domain):
    drawn = shares(domain)
    assert set(drawn) == set(domain.values())
    assert all(share == pytest.approx(1 / domain.size, abs=1e-3) for share in drawn.values())


def test_uniform_draws_of_floats():
    values = np.array([Float(-1, 3).from_unit(unit) for unit in GRID])
    assert np.histogram(values, bins=4, range=(-1, 3))[0].tolist() == [1500] * 4
    decades = np.log10([Float(1e-4, 1, log=True).from_unit(unit) for unit in GRID])
    assert np.histogram(decades, bins=4, range=(-4, 0))[0].tolist() == [1500] * 4


def test_log_ints_share_by_ratio():
    """Each number has the log width of the interval that rounds to it; the ends lose nothing."""
    drawn = shares(Int(1, 100, log=True))
    width = math.log(100.5 / 0.5)
    for value in (1, 2, 10, 50):
        assert drawn[value] == pytest.approx(math.log((value + 0.5) / (value - 0.5)) / width, 0.05)
    assert set(drawn) == set(range(1, 101))


def test_weights_are_the_shares_of_a_choice():
    drawn = shares(Choice("a", "b", "c", weights=[1, 2, 3]))
    assert drawn == {
        "a": pytest.approx(1 / 6),
        "b": pytest.approx(1 / 3),
        "c": pytest.approx(1 / 2),
    }


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (Float(0, 1, step=0.1), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (Float(-0.3, 0.3, step=0.2), [-0.3, -0.1, 0.1, 0.3]),
        (Float(0, 1, step=0.4), [0.0, 0.4, 0.8]),
        (Float(2, 2, step=1), [2.0]),
        (Int(1, 10, step=4), [1, 5, 9]),
        (Int(-6, 6, step=6), [-6, 0, 6]),
        (Int(3, 5), [3, 4, 5]),
        (Bool(), [False, True]),
        (Fixed("x"), ["x"]),
        (Ordinal([16, 32]), [16, 32]),
    ],
)
def test_values_of_finite_domains(domain, expected):
    assert list(domain.values()) == expected


def test_a_step_lattice_stays_in_bounds_that_have_many_digits():
    domain = Float(1 / 3, 1 / 3 + 0.2, step=0.1)
    assert list(domain.values()) == pytest.approx([1 / 3, 1 / 3 + 0.1, 1 / 3 + 0.2], rel=1e-12)
    assert all(domain.contains(value) for value in domain.values())


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (Float(0, 1), [0, 1, 0.5, np.float32(0.5)], [-0.1, 1.1, True, "0.5", None]),
        (Float(0, 1, step=0.25), [0.25, 0.75], [0.3, 1.25]),
        (Int(1, 9), [1, 9, np.int64(5)], [0, 10, 5.0, True, "5"]),
        (Ordinal(1, 2), [1, 2], [3, True, [1]]),
        (Choice("a", None), ["a", None], ["b", 0]),
        (Bool(), [True, False], [1, 0, "True"]),
    ],
)
def test_what_a_domain_contains(domain, inside, outside):
    assert all(domain.contains(value) for value in inside)
    assert not any(domain.contains(value) for value in outside)


@pytest.mark.parametrize(
    ("unit", "folded"), [(-0.25, 0.25), (1.25, 0.75), (2.5, 0.5), (-1.5, 0.5), (0.4, 0.4), (1, 1)]
)
def test_reflect_folds_at_both_ends(unit, folded):
    assert reflect(unit) == pytest.approx(folded)


@pytest.mark.parametrize(
    "domain", [Int(1, 1000), Int(1, 10**6, log=True), Ordinal("a", "b", "c"), Float(0, 9, step=1)]
)
def test_a_discrete_value_moves_by_however_little(domain):
    for value in (domain.from_unit(0.0), domain.from_unit(0.7), domain.from_unit(1.0)):
        for delta in (1e-12, -1e-12, 0.0):
            assert domain.shift(value, delta) != value


def test_shift_in_log_scale_multiplies():
    domain = Float(1e-4, 1, log=True)
    assert domain.shift(1e-2, 0.25) == pytest.approx(1e-1)
    assert domain.shift(1e-2, -0.25) == pytest.approx(1e-3)


def test_other_value_is_another_one_by_its_weights():
    domain = Choice("a", "b", "c", weights=[1, 1, 3])
    rng = np.random.default_rng(0)
    drawn = Counter(domain.other("a", rng) for _ in range(4000))
    assert set(drawn) == {"b", "c"}
    assert drawn["c"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert Fixed(3).other(3, rng) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(1, 0), r"Float\(1.0, 0.0\): low lies above high; write Float\(0.0, 1.0\)"),
        (lambda: Float(0, math.inf), "high must be a finite number"),
        (lambda: Float(math.nan, 1), "low must be a finite number"),
        (lambda: Float(-1.7e308, 1.7e308), "high - low must be a finite number"),
        (lambda: Float("0", 1), "low must be a finite number, got '0'"),
        (lambda: Float(0, 1, log=True), "a log range needs low > 0"),
        (lambda: Float(-1, 1, log=True), "a log range needs low > 0"),
        (lambda: Float(0, 1, step=0), "step must be positive"),
        (lambda: Float(1, 2, step=0.1, log=True), "not combined with log"),
        (lambda: Int(5, 1), "low lies above high"),
        (lambda: Int(0, 8, log=True), "a log range needs low > 0"),
        (lambda: Int(0, 1.5), "Int: high must be a whole number, got 1.5"),
        (lambda: Int(True, 5), "low must be a finite number, got True"),
        (lambda: Choice(), r'Choice\(\) has no values; write Choice\("a", "b"\)'),
        (lambda: Choice([]), "has no values"),
        (lambda: Ordinal(), "Ordinal.. has no values"),
        (lambda: Choice("a", "a"), "a value is given twice"),
        (lambda: Choice(1, True), "a value is given twice"),
        (lambda: Choice(math.nan), "values must be finite"),
        (lambda: Choice(print, "b"), "look the object up by that name"),
        (lambda: Choice("a", "b", weights=[1]), "one for each of the 2 values"),
        (lambda: Choice("a", "b", weights=[1, 0]), "weights must be positive"),
        (
            lambda: Choice("a", "b", weights=[1, math.inf]),
            "weights must be a finite number, got inf",
        ),
        (lambda: Fixed([1, 2]), r"got list: \[1, 2\]"),
    ],
)
def test_bad_domains_say_what_is_wrong(make, message):
    with pytest.raises(SpaceError, match=message):
        make()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"type": "flaot", "low": 0, "high": 1}, "type is one of .*float, int.*got 'flaot'"),
        ({"low": 0, "high": 1}, "got None"),
        ({"type": "float", "low": 0}, "'high'"),
        ({"type": "int", "low": 0, "high": 5, "steps": 2}, "steps"),
        ({"type": "choice"}, "has no values"),
        ({"type": "choice", "values": 5}, "domain .*'values': 5"),
        ({"type": "float", "low": 2, "high": 1}, "low lies above high"),
    ],
)
def test_bad_descriptions_say_what_is_wrong(data, message):
    with pytest.raises(SpaceError, match=message):
        domain_from_json(data)


def test_a_description_by_hand():
    domain = domain_from_json({"type": "float", "low": 0, "high": 1, "when": {"kind": "a"}})
    assert domain == Float(0, 1, when={"kind": "a"})
    assert domain_from_json({"type": "ordinal", "values": [1, 2]}) == Ordinal(1, 2)
    assert Ordinal(1, 2) != Choice(1, 2)
