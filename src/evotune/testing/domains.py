"""The contract of a domain as a test suite; it needs hypothesis."""

import json
import math
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evotune.space import Domain
from evotune.space.domains import domain_from_json

units = st.floats(0.0, 1.0)
steps = st.floats(-1.0, 1.0)

#: The same examples each time: a suite that fails now and then helps nobody. Hypothesis warns of
#: subclasses that share a test for its database of failures, which is not used then.
steady = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.differing_executors],
)


def _small(domain: Domain) -> bool:
    return domain.size <= 200


class DomainContract:
    """What every domain must do; subclass it and say which domains to try.

    Example::

        class TestMine(DomainContract):
            domains = st.builds(MyDomain, st.integers(1, 5))

    Attributes:
        domains: Strategy of the domains to try.
        known_to_json: False for a domain of your own, which `Space.from_json` cannot build.
    """

    domains: ClassVar[st.SearchStrategy[Any]]
    known_to_json: ClassVar[bool] = True

    @steady
    @given(data=st.data(), unit=units)
    def test_units_become_values_and_back(self, data: st.DataObject, unit: float) -> None:
        """A value comes back as it was; a unit as the one that stands for its value."""
        domain = data.draw(self.domains)
        value = domain.from_unit(unit)
        assert domain.contains(value)
        assert 0.0 <= domain.to_unit(value) <= 1.0
        if domain.size < math.inf:
            assert domain.from_unit(domain.to_unit(value)) == value
        else:
            assert domain.to_unit(value) == pytest.approx(unit, abs=1e-6)

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
        if self.known_to_json:
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
