import numpy as np
import pytest

from evotune.errors import TaskError
from evotune.space import Choice, Float, Int, Space
from evotune.surrogates.candidates import _crossed, children, evolve
from evotune.surrogates.rows import Rows
from evotune.testing.algorithms import SPACES

SPACE = Space(x=Float(0, 1), n=Int(1, 5), kind=Choice(*"abcd"), y=Float(0, 1))
ROWS = Rows(SPACE)
TARGET = np.array([0.83, 0.3, 2.0, 0.21])


def near(rows, active):
    return -np.abs(rows - TARGET).sum(axis=1)


def test_the_winner_is_near_the_optimum_of_the_score():
    rng = np.random.default_rng(0)
    winner = evolve(ROWS, ROWS.sample(5, rng), near, set(), rng)
    assert ROWS.genome(winner) == pytest.approx(
        {"x": 0.83, "n": 2, "kind": "c", "y": 0.21}, abs=0.02
    )


def test_evolution_finds_more_than_as_many_random_candidates():
    rows = Rows(Space({f"x{k}": Float(0, 1) for k in range(8)}))

    def score(candidates, active):
        return -np.abs(candidates - 0.3).sum(axis=1)

    for seed in range(5):
        rng = np.random.default_rng(seed)
        drawn = rows.sample(1280, rng)
        winner = evolve(rows, drawn[:5], score, set(), rng)
        assert score(winner[None], None)[0] > score(drawn, None).max()


def test_what_is_taken_is_not_proposed_again():
    space = Space(n=Int(1, 3), kind=Choice("a", "b"))
    rows, rng = Rows(space), np.random.default_rng(0)
    every = np.array([rows.row(point) for point in space.points()])
    keys = rows.keys(every, rows.active(every))
    for left in range(6):
        taken = set(keys[:left] + keys[left + 1 :])
        winner = evolve(rows, every[:3], lambda r, a: r[:, 0], taken, rng)
        assert rows.genome(winner) == rows.genome(every[left])
    assert evolve(rows, every[:3], lambda r, a: r[:, 0], set(keys), rng) is None


def test_candidates_are_judged_as_they_would_be_tried():
    space = Space(width=Int(1, 100), x=Float(0, 1))
    rows, rng = Rows(space), np.random.default_rng(0)

    def fit(genome):
        if genome["x"] > 0.9:
            raise TaskError("there is none within the limits")
        return genome | {"width": min(genome["width"], 40)}

    def score(candidates, active):  # best beyond the limits
        return candidates.sum(axis=1)

    observed = np.array([rows.row({"width": 40, "x": 0.5})])
    winner = rows.genome(evolve(rows, observed, score, set(), rng, fit))
    assert winner["width"] == 40
    assert winner["x"] == pytest.approx(0.9, abs=0.05)


def test_what_would_be_tried_in_a_candidates_place_is_new():
    space = Space(width=Int(1, 8))
    rows, rng = Rows(space), np.random.default_rng(0)
    every = np.array([rows.row({"width": width}) for width in range(1, 9)])
    keys = rows.keys(every, rows.active(every))

    def fit(genome):
        return {"width": min(genome["width"], 3)}

    def proposed(known):
        found = evolve(rows, every[2:3], lambda r, a: r[:, 0], set(keys[:known]), rng, fit)
        return None if found is None else rows.genome(found)["width"]

    assert proposed(0) == 3
    assert proposed(3) is None  # from 4 up all come to 3, which is taken


@pytest.mark.parametrize("name", SPACES)
def test_children_lie_in_the_space_and_on_its_lattice(name):
    space = SPACES[name]
    rows, rng = Rows(space), np.random.default_rng(0)
    for row in children(rows, rows.sample(6, rng), 300, (0.01, 0.4), rng):
        space.check(rows.genome(row))
        np.testing.assert_allclose(rows.row(rows.genome(row)), row, atol=1e-9)


def test_a_mutation_changes_a_gene_that_is_active():
    space = SPACES["conditional"]
    rows, rng = Rows(space), np.random.default_rng(0)
    parent = rows.row(space.complete({"rate": 0.5, "booster": "linear", "penalty": 0.01}))[None]
    born = children(rows, parent, 400, (0.01, 0.4), rng)
    key = rows.keys(parent, rows.active(parent))[0]
    same = [k == key for k in rows.keys(born, rows.active(born))]
    # Only children of two parents may stay as they are, and of these 15 in 100.
    assert 0 < np.mean(same) < 0.2


def test_better_parents_have_more_children():
    rows = Rows(Space({f"x{k}": Float(0, 1) for k in range(10)}))
    rng = np.random.default_rng(0)
    parents = np.repeat(np.linspace(0.05, 0.95, 10)[:, None], 10, axis=1)
    born = children(rows, parents, 4000, (0.001, 0.002), rng)
    nearest = np.abs(np.median(born, axis=1)[:, None] - parents[:, 0]).argmin(axis=1)
    counts = np.bincount(nearest, minlength=10)
    assert counts[0] > 2 * counts[4] > 2 * counts[9]


def test_a_conditional_gene_comes_from_the_parent_in_which_it_was_active():
    space = Space(
        kind=Choice("on", "off"),
        power=Float(0, 1, when={"kind": "on"}),
        other=Float(0, 1),
        more=Float(0, 1),
    )
    rows, rng = Rows(space), np.random.default_rng(0)
    awake, asleep = np.tile([0.0, 0.2, 0.5, 0.5], (200, 1)), np.tile([1.0, 0.8, 0.5, 0.5], (200, 1))
    for born, _ in (_crossed(rows, awake, asleep, rng), _crossed(rows, asleep, awake, rng)):
        on = born[born[:, 0] == 0]
        assert len(on) > 20
        np.testing.assert_allclose(on, awake[: len(on)])
