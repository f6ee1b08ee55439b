from itertools import product

import pytest

from evotune.algorithms.grid import Grid
from evotune.algorithms.random_search import RandomSearch
from evotune.errors import AlgorithmError
from evotune.space import Bool, Choice, Fixed, Float, Int, Ordinal, Space
from evotune.study.study import Study
from evotune.testing.algorithms import Rehearsal
from evotune.trial import Trial


def params(rehearsal):
    return [tuple(trial.params.values()) for trial in rehearsal.trials]


def test_every_combination_once_the_last_gene_fastest():
    space = Space(n=Int(1, 3), kind=Choice("a", "b"), flag=Bool(), constant=Fixed(0))
    rehearsal = Rehearsal(Grid(space)).run(100, at_once=4, shuffled=True)
    assert params(rehearsal) == list(product([1, 2, 3], "ab", [False, True], [0]))
    assert rehearsal.ask() is None


@pytest.mark.parametrize(
    ("domain", "levels"),
    [
        (Float(0, 1), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (Float(1e-4, 1, log=True), [1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
        (Float(0, 1, step=0.5), [0.0, 0.5, 1.0]),
        (Int(1, 100), [1, 26, 51, 75, 100]),
        (Int(1, 6), [1, 2, 4, 5, 6]),
        (Ordinal(1, 2, 3, 4, 5, 6, 7), [1, 2, 4, 6, 7]),
        (Choice(*"abcdefg"), list("abcdefg")),
    ],
    ids=repr,
)
def test_levels_are_evenly_spaced_with_both_ends(domain, levels):
    rehearsal = Rehearsal(Grid(Space(gene=domain), points=5)).run(100)
    drawn = [value for (value,) in params(rehearsal)]
    assert drawn[0] == pytest.approx(levels[0]) if isinstance(domain, Float) else levels[0]
    assert len(drawn) == len(levels)
    if not isinstance(domain, Int):
        assert drawn == pytest.approx(levels) if isinstance(domain, Float) else drawn == levels
    else:
        assert (drawn[0], drawn[-1]) == (domain.low, domain.high)
        assert max(abs(a - b) for a, b in zip(drawn, levels, strict=True)) <= 1


def test_combinations_that_differ_in_dormant_genes_only_are_one():
    space = Space(
        booster=Choice("tree", "linear", "none"),
        depth=Int(1, 4, when={"booster": "tree"}),
        leaves=Int(1, 3, when={"depth": [3, 4]}),
    )
    rehearsal = Rehearsal(Grid(space)).run(100)
    deep = [("tree", depth, leaves) for depth in (3, 4) for leaves in (1, 2, 3)]
    assert sorted(params(rehearsal)) == sorted(
        [("tree", 1), ("tree", 2), *deep, ("linear",), ("none",)]
    )


def test_combinations_tried_by_others_are_left_out():
    space = Space(n=Int(1, 4))
    rehearsal = Rehearsal(Grid(space))
    rehearsal.adopt(Trial(0, {"n": 3}, {"n": 3}, "failed"))
    rehearsal.run(100)
    assert params(rehearsal) == [(3,), (1,), (2,), (4,)]


def test_a_study_ends_when_the_grid_does():
    space = Space(n=Int(1, 4), kind=Choice("a", "b"))
    study = Study(Grid(space), "min n", seed=0).run(lambda trial: trial.params["n"])
    assert len(study.trials) == 8
    assert study.best.params["n"] == 1
    assert Grid(space).traits.size == 8


def test_grid_needs_two_points():
    with pytest.raises(AlgorithmError, match="points must be a whole number from 2 up, got 1"):
        Grid(Space(n=Int(1, 4)), points=1)


def test_random_search_samples_the_space():
    space = Space(n=Int(1, 4), x=Float(0, 1))
    rehearsal = Rehearsal(RandomSearch(space)).run(400)
    counts = [sum(t.params["n"] == n for t in rehearsal.trials) for n in range(1, 5)]
    assert counts == pytest.approx([100] * 4, abs=30)
    assert len({trial.params["x"] for trial in rehearsal.trials}) == 400
    assert repr(RandomSearch(space)) == "RandomSearch()"
    assert repr(Grid(space)) == "Grid(points=5)"
