import itertools
import math

import numpy as np
import pytest

from evotune import proxies
from evotune.errors import AlgorithmError
from evotune.protocols import TaskTraits
from evotune.proxies import archive
from evotune.space import Choice, Float, Int, Space

EDGES = Space({f"edge{k}": Choice("a", "b", "c", "d", "e") for k in range(6)})


def weight(params):
    return {"weight": float(sum((k + 1) * "abcde".index(v) for k, v in enumerate(params.values())))}


def test_evolving_finds_the_best_of_a_large_space():
    def ones(params):
        return {"ones": sum(value == "c" for value in params.values()) + 1e-6 * tie(params)}

    def tie(params):
        return sum(5**k * "abcde".index(v) for k, v in enumerate(params.values())) / 5**12

    space = Space({f"edge{k}": Choice("a", "b", "c", "d", "e") for k in range(12)})
    archive = proxies.evolve(space, ones, np.random.default_rng(0))
    assert set(archive.genomes[archive.order()[0]].values()) == {"c"}
    assert 300 < len(archive.genomes) <= 2300


def test_nothing_is_scored_twice_and_equal_scores_count_once():
    asked = []

    def scored(params):
        asked.append(tuple(params.values()))
        return weight(params)

    archive = proxies.evolve(EDGES, scored, np.random.default_rng(1))
    assert len(set(asked)) == len(asked)
    found = [scores["weight"] for scores in archive.scores]
    assert len(set(found)) == len(found)


def test_the_same_stream_gives_the_same_archive():
    a, b = (proxies.evolve(EDGES, weight, np.random.default_rng(2)) for _ in range(2))
    assert a.genomes == b.genomes
    assert a.order() == b.order()


@pytest.mark.parametrize(("seconds", "lines"), [(0.3, 1), (0.01, 0)])
def test_a_long_wait_is_said_before_it_begins(seconds, lines, monkeypatch, caplog):
    passed = itertools.count(step=20 * seconds)  # read before the first network and behind the 20th
    monkeypatch.setattr(archive.time, "monotonic", lambda: next(passed))
    proxies.evolve(Space(a=Int(1, 9)), lambda p: {"a": p["a"]}, np.random.default_rng(0))
    assert caplog.text.count("1000 networks before the next trial takes about 300 s") == lines


def test_nan_never_comes_first():
    def some(params):
        return {"weight": math.nan} if params["edge0"] == "e" else weight(params)

    archive = proxies.evolve(EDGES, some, np.random.default_rng(3))
    assert archive.genomes[archive.order()[0]]["edge0"] == "d"


def test_a_small_space_is_no_trouble():
    archive = proxies.evolve(
        Space(a=Choice(1, 2), b=Int(1, 2)), lambda p: {"a": p["a"]}, np.random.default_rng(0)
    )
    assert len(archive.genomes) == 2


def test_genomes_are_made_to_fit_before_they_are_judged():
    class Fitted:
        traits = TaskTraits(fit=lambda space, genome: {**genome, "a": min(genome["a"], 5)})

        def __call__(self, params):
            return {"a": params["a"] + params["b"]}

    space = Space(a=Int(1, 100), b=Float(0, 1))
    archive = proxies.evolve(space, Fitted(), np.random.default_rng(0))
    assert max(genome["a"] for genome in archive.genomes) == 5


@pytest.mark.parametrize("wrong", [3.0, None, {}, {"a": "x"}])
def test_what_are_no_scores(wrong):
    with pytest.raises(AlgorithmError, match="scores"):
        proxies.evolve(EDGES, lambda params: wrong, np.random.default_rng(0))


def test_scores_that_say_nothing():
    with pytest.raises(AlgorithmError, match="finite"):
        proxies.evolve(EDGES, lambda params: {"a": math.nan}, np.random.default_rng(0))
