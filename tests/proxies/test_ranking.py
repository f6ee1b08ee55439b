import math

import numpy as np
import pytest

from evotune import proxies
from evotune.errors import AlgorithmError


def test_the_best_by_all_scores_is_first_and_poor_by_one_is_poor():
    scores = [{"a": 3.0, "b": 3.0}, {"a": 9.0, "b": 1.0}, {"a": 2.0, "b": 2.0}, {"a": 9, "b": 9}]
    ranks = proxies.rank(scores)
    assert ranks[3] == ranks.max()
    assert ranks[0] > ranks[1]
    assert ranks[0] == pytest.approx(math.log(2 / 4) + math.log(3 / 4))


def test_what_is_not_finite_is_last():
    values = (1.0, math.nan, 2.0, math.inf, -math.inf, -1e300)
    ranks = proxies.rank([{"a": value} for value in values])
    assert ranks[1] == ranks[3] == ranks[4] == ranks.min()
    assert np.isfinite(ranks).all()
    assert ranks[2] > ranks[0] > ranks[5] > ranks.min()


def test_equal_scores_share_their_rank_and_order_does_not_matter():
    ranks = proxies.rank([{"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0}, {"a": 0.0, "b": 0.0}])
    assert ranks[0] == ranks[1] > ranks[2]
    assert len(proxies.rank([])) == 0


def test_only_the_order_of_scores_counts():
    rng = np.random.default_rng(0)
    scores = [dict(zip("abc", rng.random(3).tolist(), strict=True)) for _ in range(30)]
    warped = [{name: math.exp(40 * value) for name, value in each.items()} for each in scores]
    assert proxies.rank(scores).tolist() == proxies.rank(warped).tolist()


def test_different_names_are_refused():
    with pytest.raises(AlgorithmError, match="b of another"):
        proxies.rank([{"a": 1.0}, {"b": 1.0}])


def test_agreement_and_its_bounds():
    found = proxies.agreement([1, 2, 3, 4, 5, 6, 7], [10, 20, 30, 40, 50, 70, 60])
    assert found.correlation == pytest.approx(1 - 6 * 2 / (7 * 48))
    spread = 1 / math.sqrt(4)
    assert found.low == pytest.approx(math.tanh(math.atanh(found.correlation) - spread))
    assert found.high == pytest.approx(math.tanh(math.atanh(found.correlation) + spread))
    assert found.trials == 7
    assert "0.96" in str(found)


def test_agreement_of_perfect_order_of_few_and_of_equals():
    assert proxies.agreement([1, 2, 3, 4], [4, 3, 2, 1]).correlation == -1
    assert proxies.agreement([1, 2, 3], [1, 2, 3]) is None
    assert proxies.agreement([1, 1, 1, 1], [1, 2, 3, 4]) is None
