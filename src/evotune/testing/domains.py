"""The contract of a domain as a test suite; it needs hypothesis."""

import json
import math
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evotune.space import Domain, Int, Range, Space
from evotune.space.domains import domain_from_json
from evotune.space.domains.lattice import FINE
from evotune.space.refine import Refinement, into

units = st.floats(0.0, 1.0)
steps = st.floats(-1.0, 1.0)

#: The same examples each time: a suite that fails now and then helps nobody. Hypothesis warns of
#: subclasses that share a test for its database of failures, which is not used then.
steady = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.differing_executors],
)


def _small(domain: Domain) -> bool:
    return domain.size <= 200


class DomainContract:
    """What every domain must do; subclass it and define which domains to try.

    Example::

        class TestMine(DomainContract):
            domains = st.builds(MyDomain, st.integers(1, 5))

    Attributes:
        domains: Strategy of the domains to try.
    """

    domains: ClassVar[st.SearchStrategy[Any]]

    @steady
    @given(data=st.data(), unit=units)
    def test_units_become_values_and_back(self, data: st.DataObject, unit: float) -> None:
        """A value comes back as it was; a unit as the one that stands for its value."""
        domain = data.draw(self.domains)
        value = domain.from_unit(unit)
        assert domain.contains(value)
        assert 0.0 <= domain.to_unit(value) <= 1.0
        if domain.size <= FINE:
            assert domain.from_unit(domain.to_unit(value)) == value
        else:  # a float has too few digits for each of so many values
            known = unit if domain.size == math.inf else domain.to_unit(value)
            assert domain.to_unit(domain.from_unit(known)) == pytest.approx(known, abs=1e-6)

    @steady
    @given(data=st.data(), first=units, second=units)
    def test_ordered_values_keep_their_order(
        self, data: st.DataObject, first: float, second: float
    ) -> None:
        domain = data.draw(self.domains)
        low, high = sorted([first, second])
        assert domain.to_unit(domain.from_unit(low)) <= domain.to_unit(domain.from_unit(high))

    @steady
    @given(data=st.data(), unit=units, delta=steps)
    def test_shift_stays_inside_and_discrete_values_move(
        self, data: st.DataObject, unit: float, delta: float
    ) -> None:
        """In the direction of the step, unless that leads out at a bound."""
        domain = data.draw(self.domains)
        if not domain.ordered:
            return
        value = domain.from_unit(unit)
        moved = domain.shift(value, delta)
        assert domain.contains(moved)
        if domain.size > 1 and (domain.size < math.inf or abs(delta) > 1e-3):
            assert moved != value
        before, after = domain.to_unit(value), domain.to_unit(moved)
        inner = domain.to_unit(domain.from_unit(0.0)), domain.to_unit(domain.from_unit(1.0))
        if inner[0] <= before + delta <= inner[1] and before not in inner:
            assert (after - before) * delta >= 0

    @steady
    @given(data=st.data(), unit=units, direction=st.sampled_from([-1, 1]))
    def test_neighbour_is_the_next_value(
        self, data: st.DataObject, unit: float, direction: int
    ) -> None:
        """At a bound it is the next value on the other side."""
        domain = data.draw(self.domains)
        if not domain.ordered or not domain.size > 1 or not _small(domain):
            return
        values = list(domain.values())
        index = values.index(domain.from_unit(unit))
        expected = index + direction if 0 <= index + direction < len(values) else index - direction
        assert domain.neighbour(values[index], direction) == values[expected]

    @steady
    @given(data=st.data())
    def test_values_are_all_there_are(self, data: st.DataObject) -> None:
        """Each once, in order, and each can be drawn, from the first to the last."""
        domain = data.draw(self.domains)
        if not _small(domain):
            return
        values = list(domain.values())
        assert len(values) == domain.size
        assert all(domain.contains(value) for value in values)
        places = [domain.to_unit(value) for value in values]
        assert all(before < after for before, after in pairwise(places))
        assert [domain.from_unit(place) for place in (0.0, *places, 1.0)] == [
            values[0],
            *values,
            values[-1],
        ]

    @steady
    @given(data=st.data(), unit=units)
    def test_json_keeps_domain_and_values(self, data: st.DataObject, unit: float) -> None:
        domain = data.draw(self.domains)
        description = json.loads(json.dumps(domain.to_json(), allow_nan=False))
        value = domain.canonical(domain.from_unit(unit))
        stored = json.loads(json.dumps(value, allow_nan=False))
        assert stored == value
        assert type(stored) is type(value)
        assert domain.contains(stored)
        again = domain_from_json(description)
        assert again == domain
        assert again.to_json() == description
        assert again.from_unit(unit) == value

    @steady
    @given(data=st.data())
    def test_what_is_no_value_is_not_contained(self, data: st.DataObject) -> None:
        domain = data.draw(self.domains)
        for nothing in (object(), [], {}, math.nan, math.inf, "no such value", 1e300):
            assert not domain.contains(nothing)

    @steady
    @given(data=st.data(), unit=units)
    def test_a_key_tells_values_apart(self, data: st.DataObject, unit: float) -> None:
        domain = data.draw(self.domains)
        value = domain.from_unit(unit)
        key = domain.key(value)
        assert hash(key) == hash(domain.key(domain.canonical(value)))
        assert key == domain.key(json.loads(json.dumps(domain.canonical(value))))
        if _small(domain):
            assert len({domain.key(v) for v in domain.values()}) == domain.size

    @steady
    @given(data=st.data(), seed=st.integers(0, 999))
    def test_values_are_drawn_fairly(self, data: st.DataObject, seed: int) -> None:
        """Half of the draws lie in each half of the unit interval, within five deviations."""
        domain = data.draw(self.domains)
        rng = np.random.default_rng(seed)
        drawn = [domain.draw(rng) for _ in range(200)]
        assert all(domain.contains(value) for value in drawn)
        middle = domain.to_unit(domain.from_unit(0.5))
        below = sum(domain.to_unit(value) < middle for value in drawn)
        above = sum(domain.to_unit(value) > middle for value in drawn)
        assert max(below, above) <= 100 + 5 * math.sqrt(200) / 2

    @steady
    @given(data=st.data(), first=units, second=units, seed=st.integers(0, 999))
    def test_what_varies_a_value_stays_inside(
        self, data: st.DataObject, first: float, second: float, seed: int
    ) -> None:
        domain = data.draw(self.domains)
        rng = np.random.default_rng(seed)
        a, b = domain.from_unit(first), domain.from_unit(second)
        child = domain.cross(a, b, float(rng.random()), lambda u, v, draw: u + (v - u) * draw)
        assert domain.contains(child)
        assert domain.clip(child) == child
        if domain.ordered:
            low, high = sorted([domain.to_unit(a), domain.to_unit(b)])
            assert low - 1e-9 <= domain.to_unit(child) <= high + 1e-9
            for share in (0.15, -0.15):
                assert domain.contains(domain.grow(a, share))
        else:
            assert child in (a, b)
            other = domain.other(a, rng)
            assert domain.contains(other)
            assert other != a or domain.size == 1
            assert len(domain.chances()) == domain.size

    @steady
    @given(data=st.data(), unit=units)
    def test_conditions_hold_for_it_and_by_it(self, data: st.DataObject, unit: float) -> None:
        """A gene may depend on it, by a value and by a range, also once stored."""
        domain = data.draw(self.domains)
        value = domain.from_unit(unit)
        conditions = [value]
        if domain.ends() is not None:
            conditions += [Range(low=value), Range(*domain.ends())]
            assert not domain.allows(Range(low=domain.ends()[1] + 1 + abs(domain.ends()[1])))
        assert not domain.allows((object(),))
        for allowed in conditions:
            space = Space(gene=domain, other=Int(0, 3, when={"gene": allowed}))
            for read in (space, Space.from_json(through_json(space.to_json()))):
                assert "other" in read.params({"gene": value, "other": 1})

    @steady
    @given(data=st.data(), first=units, second=units)
    def test_it_is_refined_inside_itself(
        self, data: st.DataObject, first: float, second: float
    ) -> None:
        domain = data.draw(self.domains)
        full = Space(gene=domain)
        elite = [{"gene": domain.from_unit(unit)} for unit in (first, second)]
        now = Refinement().refine(full, full, elite)
        rng = np.random.default_rng(0)
        for genome in (now.sample(rng), now.sample(rng), *(into(now, g) for g in elite)):
            full.check(genome)
        assert Space.from_json(through_json(now.to_json())) == now

    @steady
    @given(data=st.data(), unit=units)
    def test_figures_and_surrogates_can_show_it(self, data: st.DataObject, unit: float) -> None:
        domain = data.draw(self.domains)
        value = domain.from_unit(unit)
        axis, features = domain.axis(), domain.features(value)
        if axis.values:
            assert domain.key(value) in {domain.key(v) for v in axis.values}
        else:
            assert axis.low <= value <= axis.high
        assert features.ndim == 1
        assert features.shape == domain.features(domain.from_unit(0.0)).shape
        assert np.isfinite(features).all()
        if domain.ordered:
            snapped = domain.snap(np.array([unit]))
            assert snapped == pytest.approx(domain.to_unit(value), abs=1e-6)


def through_json(data: Any) -> Any:
    """Return what a file gives back."""
    return json.loads(json.dumps(data))
