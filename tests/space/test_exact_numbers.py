"""Whole numbers and steps are counted; others' numbers are made plain or refused in words."""

import enum
import json
import math
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import evotune as et
from evotune.errors import GenomeError, SpaceError
from evotune.space import Bool, Choice, Fixed, Float, Int, Ordinal, Range, Space
from evotune.space.crossover import Blend, SimulatedBinary
from evotune.space.mutation import Creep, Gaussian, Perturb, Polynomial, UniformReset


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


FAR = [
    Int(2**60, 2**60 + 10),
    Int(-(2**64), 9 - 2**64),
    Int(2**60, 2**60 + 10, log=True),
    Int(2**55, 2**55 + 70, step=7),
    Int(10**200, 10**200 + 10),
]
HUGE = [
    Int(0, 2**60),
    Int(-(2**63), 2**64, step=3),
    Int(1, 2**62, log=True),
    Int(1, 10**30, log=True),
    Int(0, 10**300),
]


@pytest.mark.parametrize("domain", FAR, ids=repr)
def test_every_whole_number_far_from_zero_has_its_share(domain):
    space, rng = Space(n=domain), np.random.default_rng(0)
    drawn = Counter(space.sample(rng)["n"] for _ in range(5500))
    assert set(drawn) == set(domain.values())
    assert all(count == pytest.approx(5500 / domain.size, rel=0.3) for count in drawn.values())
    assert [domain.from_unit(domain.to_unit(value)) for value in drawn] == list(drawn)


@pytest.mark.parametrize("domain", HUGE, ids=repr)
def test_no_kind_of_number_is_left_out_of_a_huge_range(domain):
    """Low digits come as often as they should, drawn, from the unit interval and by mutation."""
    space, rng = Space(n=domain), np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(600)]
    decoded = [space.decode([unit]) for unit in rng.random(600)]
    parent = space.sample(rng)
    changed = [Gaussian(1.0, scale=0.1)(space, parent, rng) for _ in range(600)]
    for genomes in (drawn, decoded, changed):
        values = [genome["n"] for genome in genomes if genome["n"] > 1000]
        assert all(map(domain.contains, values))
        shares = Counter(value // domain.step % 5 for value in values)
        assert [shares[k] / len(values) for k in range(5)] == pytest.approx([0.2] * 5, abs=0.08)
    units = [domain.to_unit(genome["n"]) for genome in drawn]
    assert np.histogram(units, bins=3, range=(0, 1))[0] == pytest.approx([200] * 3, abs=70)


@pytest.mark.parametrize("domain", [*FAR, *HUGE], ids=repr)
def test_neighbours_and_small_steps_are_exact(domain):
    rng = np.random.default_rng(1)
    for value in (domain.draw(rng) for _ in range(20)):
        assert domain.move(value, 0.0) == value
        for direction in (1, -1):
            assert abs(domain.neighbour(value, direction) - value) == domain.step
            assert abs(domain.shift(value, direction * 5e-324) - value) == domain.step


@pytest.mark.parametrize("domain", [*FAR, *HUGE], ids=repr)
@pytest.mark.parametrize(
    "operator", [UniformReset(1.0), Creep(1.0), Gaussian(1.0), Polynomial(1.0), Perturb()], ids=repr
)
def test_mutations_stay_on_the_lattice(domain, operator):
    space, rng = Space(n=domain), np.random.default_rng(1)
    for _ in range(50):
        space.check(operator(space, space.sample(rng), rng))


@pytest.mark.parametrize("domain", [*FAR, *HUGE], ids=repr)
@pytest.mark.parametrize("operator", [Blend(0.5), SimulatedBinary(2.0, rate=1.0)], ids=repr)
def test_children_of_near_parents_are_near(domain, operator):
    space, rng = Space(n=domain), np.random.default_rng(1)
    a = domain.from_unit(0.5)
    b = domain.neighbour(domain.neighbour(a, 1), 1)
    places = Counter()
    for _ in range(300):
        child = operator(space, {"n": a}, {"n": b}, rng)
        space.check(child)
        places[(child["n"] - a) // domain.step] += 1
    assert set(places) >= {-1, 0, 1}
    assert sum(places[k] for k in range(-2, 5)) > 280


def test_an_int_in_steps():
    domain = Int(32, 512, step=32)
    assert list(domain.values()) == list(range(32, 513, 32))
    assert domain.size == 16
    assert domain.contains(64)
    assert not domain.contains(65)
    assert domain.neighbour(512, 1) == 480
    assert Space.from_json(json.loads(json.dumps(Space(n=domain).to_json())))["n"] == domain
    assert not Int(1, 10, step=4).contains(10)
    assert "step" not in Int(1, 10).to_json()


@pytest.mark.parametrize(
    ("low", "high", "step", "count"),
    [
        (1_600_000_000.0, 1_600_000_000.01, 0.001, 11),
        (1e6, 1e6 + 1e-5, 1e-6, 11),
        (-5e8, -5e8 + 0.5, 0.01, 51),
        (123456.789, 123456.799, 1e-5, 1001),
        (1e15, 1e15 + 6, 2, 4),
        (0.1, 0.7, 0.1, 7),
        (0, 1e-300, 1e-301, 11),
    ],
)
def test_steps_on_large_numbers(low, high, step, count):
    domain = Float(low, high, step=step)
    values = list(domain.values())
    assert domain.size == len(set(values)) == count
    for place, value in enumerate(values):
        exact = Fraction(repr(float(low))) + place * Fraction(repr(float(step)))
        assert abs(Fraction(value) - exact) <= Fraction(math.ulp(high))
        assert domain.contains(value)
        assert domain.from_unit(domain.to_unit(value)) == value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(0, 1, step=2), r"step is wider than the range.* or write Fixed\(0.0\)"),
        (lambda: Float(5, 5.5, step=0.6), "step is wider than the range"),
        (lambda: Int(0, 10, step=11), "step is wider than the range"),
        (lambda: Int(0, 10, step=0), "step must be positive"),
        (lambda: Int(0, 10, step=2.5), "step must be a whole number, got 2.5"),
        (lambda: Int(1, 10, step=3, log=True), "not combined with log"),
        (lambda: Float(1e16, 2e16, step=1), "floats of this size lie 2 apart|lie 4 apart"),
        (lambda: Float(0, 1e300, step=1e-5), "too far for such a step. Give a step of"),
        (lambda: Int(0, 10**400), "high must be a finite number, got a whole number of about 400"),
        (lambda: Int(-(10**5000), 0), "low must be a finite number"),
        (lambda: Float(0, 10**400), "high must be a finite number"),
        (lambda: Int(0, Decimal("1e400")), r"got Decimal\('1E\+400'\); floats end at"),
        (lambda: Float(0, Decimal("1e400")), r"got Decimal\('1E\+400'\)"),
        (lambda: Float(0, Fraction(10**400)), "high must be a finite number"),
        (lambda: Float(0, Decimal("sNaN")), "high must be a finite number"),
        (lambda: Int(-(10**308), 10**308), "high - low must be a finite number"),
        (lambda: Float(0.1, 1, log="yes"), "Float: log must be True or False, got 'yes'"),
        (lambda: Int(1, 9, log=0), "Int: log must be True or False, got 0"),
        (lambda: Float(b"0", 1), "Float: low must be a finite number, got b'0'"),
        (lambda: Int(np.bool_(True), 9), "Int: low must be a finite number"),
        (lambda: Choice(b"ab"), "got bytes: b'ab'"),
        (lambda: Ordinal(Decimal("0.1"), 1), "got Decimal"),
        (lambda: Fixed(np.datetime64("2020-01-01")), "got datetime64"),
        (lambda: Choice(np.float32("nan"), 1), "must be finite"),
        (lambda: Choice("a", "b", weights=5), "weights must be positive numbers"),
        (lambda: Choice("a", "b", weights="xy"), "weights must be a finite number, got 'x'"),
        (lambda: Float(0, 1, when={"n": b"x"}), "when={'n': ...}: allowed values .* got bytes"),
        (lambda: Range("a"), "Range: low must be a finite number, got 'a'"),
        (lambda: Range(math.nan), "Range: low must be a finite number"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(make, message):
    with pytest.raises(SpaceError, match=message):
        make()


FOREIGN = Space(
    x=Float(np.float32(0.1), Decimal("1"), step=np.float32(0.1)),
    y=Float(Fraction(1, 2), np.float64(2), log=np.bool_(True), when={"n": np.int64(2)}),
    n=Int(np.int8(1), np.uint8(255), log=np.False_),
    colour=Choice(*Colour, weights=np.array([1, 3])),
    level=Ordinal(np.array([1, 2, 4])),
    flag=Bool(when={"colour": Colour.RED, "n": np.arange(1, 200)}),
    fixed=Fixed(np.bool_(True), when={"x": Range(np.float16(0.25), np.int32(2))}),
)
PLAIN = Space(
    x=Float(0.1, 1.0, step=0.1),
    y=Float(0.5, 2.0, log=True, when={"n": 2}),
    n=Int(1, 255),
    colour=Choice("red", "blue", weights=[1, 3]),
    level=Ordinal(1, 2, 4),
    flag=Bool(when={"colour": "red", "n": list(range(1, 200))}),
    fixed=Fixed(True, when={"x": Range(0.25, 2)}),
)


def test_numbers_of_others_mean_what_the_plain_ones_mean(tmp_path):
    assert FOREIGN == PLAIN
    assert json.loads(json.dumps(FOREIGN.to_json())) == PLAIN.to_json()
    options = {"seed": 3, "storage": f"sqlite:///{tmp_path}/runs.db"}
    for space, trials in ((FOREIGN, 6), (PLAIN, 12)):
        with et.Study(et.Genetic(space), "min loss", **options) as study:
            study.run(lambda trial: 1.0, trials=trials)
            assert len(study.trials) == trials
            for trial in study.trials:
                kinds = {type(value) for value in trial.params.values()}
                assert kinds <= {float, int, Colour if space is FOREIGN else str, bool}


def test_params_of_others_become_plain():
    given = {
        "x": np.float32(0.3),
        "y": Decimal("0.75"),
        "n": np.int16(2),
        "colour": Colour.RED,
        "level": Level.HIGH,
        "flag": np.bool_(True),
        "fixed": np.True_,
    }
    genome = FOREIGN.complete(given)
    assert genome == {
        "x": 0.3,
        "y": 0.75,
        "n": 2,
        "colour": "red",
        "level": 2,
        "flag": True,
        "fixed": True,
    }
    assert [type(value) for value in genome.values()] == [float, float, int, str, int, bool, bool]
    study = et.Study(et.Genetic(FOREIGN, seeds=[given]), "min loss")
    assert study.ask().params == PLAIN.params(genome)


@pytest.mark.parametrize("value", [b"1", "1", 1 + 2j, True, np.True_, math.nan, [1], None])
def test_params_that_are_no_numbers_are_refused_in_words(value):
    for domain in (Float(0, 2), Int(0, 2), Float(0, 2, step=1), Int(0, 4, step=2)):
        space = Space(x=domain)
        with pytest.raises(GenomeError, match=r"gene 'x' is .*, outside its domain"):
            space.complete({"x": value})
        with pytest.raises(GenomeError, match=r"gene 'x' is .*, outside its domain"):
            space.check({"x": value})


def test_a_condition_holds_for_the_same_place_of_a_lattice():
    space = Space(x=Float(0, 1, step=0.1), y=Int(0, 9, when={"x": 0.1 + 0.2}))
    assert space["x"].key(0.1 + 0.2) == space["x"].key(0.3) != space["x"].key(0.4)
    assert "y" in space.params({"x": 0.3, "y": 1})


def test_a_range_between_two_values_is_impossible():
    for domain in (Int(0, 3), Float(0, 3, step=1), Ordinal(0, 1, 2, 3)):
        with pytest.raises(SpaceError, match="can never be"):
            Space(x=domain, y=Float(0, 1, when={"x": Range(1.2, 1.8)}))


def test_sizes_beyond_counting():
    assert Space(a=Int(1, 10**300), b=Int(1, 10**300)).size() == math.inf
    assert Space(a=Int(1, 10**300), b=Float(0, 1, step=0.5), c=Float(0, 1)).size() == math.inf
    assert Space(a=Int(1, 10**20), b=Float(0, 1, step=0.5)).size() == 3 * 10**20


def test_a_study_of_large_numbers_goes_on_from_a_file_and_is_reported(tmp_path):
    space = Space(
        huge=Int(0, 2**60),
        far=Int(2**60, 2**60 + 10),
        wide=Int(1, 10**30, log=True),
        width=Int(32, 512, step=32, when={"far": Range(2**60 + 4)}),
        time=Float(1.6e9, 1.6e9 + 0.05, step=0.001),
    )
    options = {"storage": f"sqlite:///{tmp_path}/runs.db", "seed": 1}
    for trials in (12, 40):
        with et.Study(et.Hybrid(space, initial=8), "min loss", **options) as study:
            study.run(lambda trial: float(trial.params["huge"] % 7), trials=trials)
            for trial in study.trials:
                space.check(trial.genome)
    assert study.importance().trials == study.importance("ped_anova").trials == 40
    assert "huge" in study.report(tmp_path / "report.html").read_text(encoding="utf-8")
    column = study.to_frame()["params_width"]
    assert column.dtype == "Int64"
    assert column.isna().any()
