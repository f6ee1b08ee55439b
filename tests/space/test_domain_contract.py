import math

from hypothesis import strategies as st

from evotune.space import Bool, Choice, Fixed, Float, Int, Ordinal
from evotune.testing.domains import DomainContract

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
positive = st.floats(1e-6, 1e6)
texts = st.text("ab é🧬", max_size=5)
values = st.one_of(texts, st.integers(-99, 99), st.none())


def ordered(pair: tuple[float, float]) -> tuple[float, float]:
    return min(pair), max(pair)


def several(of: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(of, min_size=1, max_size=12, unique=True)


class TestFloat(DomainContract):
    domains = (
        st.tuples(numbers, numbers)
        .map(ordered)
        .filter(lambda pair: pair[1] - pair[0] > 1e-6 * max(map(abs, pair)))
        .map(lambda pair: Float(*pair))
    )


class TestFloatLog(DomainContract):
    domains = (
        st.tuples(positive, positive)
        .map(ordered)
        .filter(lambda pair: math.log(pair[1] / pair[0]) > 1e-6)
        .map(lambda pair: Float(*pair, log=True))
    )


class TestFloatStep(DomainContract):
    domains = st.builds(
        lambda low, step, count, beyond: Float(low, low + (count + beyond) * step, step=step),
        st.floats(-100, 100),
        st.floats(1e-3, 10),
        st.integers(1, 300),
        st.floats(0, 0.9),
    )


class TestFloatOfOneValue(DomainContract):
    domains = numbers.map(lambda value: Float(value, value))


class TestInt(DomainContract):
    domains = st.builds(
        lambda low, count: Int(low, low + count),
        st.integers(-(10**9), 10**9),
        st.one_of(st.integers(0, 9), st.integers(0, 10**9)),
    )


class TestIntLog(DomainContract):
    domains = st.builds(
        lambda low, count: Int(low, low + count, log=True),
        st.integers(1, 10**4),
        st.one_of(st.integers(0, 9), st.integers(0, 10**9)),
    )


class TestOrdinal(DomainContract):
    domains = several(values).map(lambda listed: Ordinal(*listed))


class TestChoice(DomainContract):
    domains = several(values).map(lambda listed: Choice(*listed))


class TestWeightedChoice(DomainContract):
    domains = several(values).flatmap(
        lambda listed: st.lists(
            st.floats(0.01, 100), min_size=len(listed), max_size=len(listed)
        ).map(lambda weights: Choice(*listed, weights=weights))
    )


class TestBool(DomainContract):
    domains = st.builds(Bool)


class TestFixed(DomainContract):
    domains = values.map(Fixed)


class TestIntStep(DomainContract):
    domains = st.builds(
        lambda low, step, count, beyond: Int(low, low + count * step + beyond % step, step=step),
        st.integers(-(10**20), 10**20),
        st.integers(2, 10**6),
        st.integers(1, 300),
        st.integers(0, 10**6),
    )


class TestIntFarFromZero(DomainContract):
    domains = st.builds(
        lambda low, count: Int(low, low + count),
        st.integers(-(2**70), 2**70),
        st.integers(0, 300),
    )


class TestIntBeyondFloats(DomainContract):
    domains = st.builds(
        lambda low, count: Int(low, low + count),
        st.integers(-(10**40), 10**40),
        st.integers(2**45, 10**40),
    )


class TestIntLogBeyondFloats(DomainContract):
    domains = st.builds(
        lambda low, count: Int(low, low + count, log=True),
        st.integers(1, 10**20),
        st.integers(2**60, 10**40),
    )


class TestFloatStepOnLargeNumbers(DomainContract):
    domains = st.builds(
        lambda low, step, count: Float(low, low + count * step, step=step),
        st.floats(1e6, 2e9),
        st.sampled_from([1e-5, 1e-4, 1e-3, 0.25]),
        st.integers(1, 300),
    )
