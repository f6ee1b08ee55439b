from dataclasses import replace

import numpy as np
import pytest

from evotune.algorithms.evolution_strategy import STEP_BOUNDS, EvolutionStrategy
from evotune.errors import AlgorithmError, GenomeError
from evotune.space import Choice, Fixed, Float, Int, Space
from evotune.testing.algorithms import SPACES, Rehearsal
from helpers_algorithms import best, numbers

SPACE = Space({f"g{k}": Float(-1, 1) for k in range(5)})


def squares(trial):
    return sum((value - 0.4) ** 2 for value in trial.params.values())


@pytest.mark.parametrize("replacement", ["plus", "comma"])
def test_plus_keeps_good_parents_and_comma_forgets_them(replacement):
    algorithm = EvolutionStrategy(SPACE, parents=3, offspring=6, replacement=replacement)
    rehearsal = Rehearsal(algorithm, value=squares)
    members = []
    for generation in range(1, 7):
        children = rehearsal.run(6 * generation).trials[-6:]
        members = best([*members, *children] if replacement == "plus" else children, 3)
        assert numbers(algorithm.population) == numbers(members)


def test_a_comma_generation_of_failures_keeps_its_parents():
    algorithm = EvolutionStrategy(SPACE, parents=2, replacement="comma")
    rehearsal = Rehearsal(algorithm).run(8)
    before = algorithm.population
    rehearsal.run(16, failing=1.0)
    assert algorithm.population == before


@pytest.mark.parametrize(
    "options",
    [{}, {"replacement": "comma"}, {"replacement": "comma", "offspring": 20, "step_sizes": "each"}],
    ids=str,
)
@pytest.mark.parametrize("seed", range(2))
def test_it_reaches_a_millionth_on_the_sphere_in_a_thousand_trials(options, seed):
    algorithm = EvolutionStrategy(SPACE, **options)
    rehearsal = Rehearsal(algorithm, seed, squares).run(1000)
    assert rehearsal.best < 1e-6
    assert np.median([t.note["steps"] for t in rehearsal.trials[-20:]]) < 0.01


def test_whole_numbers_ordinals_and_categories_are_solved_too():
    space = SPACES["mixed"]
    solved = 0
    for seed in range(3):
        rehearsal = Rehearsal(EvolutionStrategy(space), seed).run(400)
        params = dict(best(rehearsal.trials, 1)[0].params)
        del params["learning rate"]
        target = space.params(space.decode([0.3] * len(space)) | {"kind": "a", "bias": False})
        solved += params.items() <= target.items()
    assert solved >= 2


def test_each_varying_gene_has_a_step_within_bounds():
    space = Space(SPACE.domains, constant=Fixed(1), one=Int(3, 3))
    rehearsal = Rehearsal(EvolutionStrategy(space, parents=2, offspring=6)).run(120)
    steps = np.array([trial.note["steps"] for trial in rehearsal.trials[6:]])
    assert steps.shape == (114, 5)
    assert ((steps >= STEP_BOUNDS[0]) & (steps <= STEP_BOUNDS[1])).all()
    assert len(np.unique(steps)) > 100


@pytest.mark.parametrize(("sign", "bound"), [(1, STEP_BOUNDS[0]), (-1, STEP_BOUNDS[1])])
def test_steps_reach_their_bounds_and_stay_there(sign, bound):
    def by_step(trial):
        return sign * trial.note.get("steps", [0.2])[0]

    algorithm = EvolutionStrategy(SPACE, parents=2, offspring=8)
    rehearsal = Rehearsal(algorithm, value=by_step).run(400)
    assert sign * rehearsal.best == bound


@pytest.mark.parametrize(("step_sizes", "different"), [("one", 6), ("each", 6 * 5)])
def test_a_child_varies_one_step_size_or_one_for_each_gene(step_sizes, different):
    algorithm = EvolutionStrategy(SPACE, parents=2, offspring=6, step_sizes=step_sizes)
    rehearsal = Rehearsal(algorithm).run(12)
    assert len({step for t in rehearsal.trials[6:] for step in t.note["steps"]}) == different


def test_first_children_move_by_the_first_step_size():
    algorithm = EvolutionStrategy(SPACE, parents=1, offspring=400, step_size=0.02)
    rehearsal = Rehearsal(algorithm, value=squares).run(800)
    parent, *_ = best(rehearsal.trials[:400], 1)
    children = np.array([SPACE.encode(t.genome) for t in rehearsal.trials[400:]])
    moves = children - SPACE.encode(parent.genome)
    steps = np.array([t.note["steps"] for t in rehearsal.trials[400:]])
    assert np.median(steps) == pytest.approx(0.02, rel=0.1)
    assert np.std(moves / steps) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("step_size", [0.001, 0.1, 0.4])
def test_a_category_changes_with_its_step_as_probability_but_never_freezes(step_size):
    """Li et al. (2013), section 3.3: at least 1/(3·genes)."""
    space = Space(SPACE.domains, kind=Choice("a", "b", "c"))
    algorithm = EvolutionStrategy(space, parents=1, offspring=600, step_size=step_size)
    rehearsal = Rehearsal(algorithm, value=lambda t: float(ord(t.genome["kind"]))).run(1200)
    changed = [trial.genome["kind"] != "a" for trial in rehearsal.trials[600:]]
    expected = [max(t.note["steps"][5], 1 / 18) for t in rehearsal.trials[600:]]
    assert np.mean(changed) == pytest.approx(np.mean(expected), abs=0.04)


def test_parents_are_two_or_one():
    pairs = Rehearsal(EvolutionStrategy(SPACE, parents=4)).run(60).trials[16:]
    assert {len(trial.parents) for trial in pairs} == {2}
    single = Rehearsal(EvolutionStrategy(SPACE, parents=4, recombine=False)).run(60).trials[16:]
    assert {len(trial.parents) for trial in single} == {1}


def test_steps_are_the_mean_of_the_parents():
    """Told members whose steps differ by far, children start in the middle."""
    algorithm = EvolutionStrategy(SPACE, parents=2, offspring=2)
    rehearsal = Rehearsal(algorithm, value=squares)
    for steps in (0.001, 0.2):
        trial = replace(rehearsal.start(), note={"generation": 0, "steps": [steps] * 5})
        algorithm.tell(replace(trial, state="done", values=(0.0,)))
    drawn = [algorithm.ask(np.random.default_rng(k)).note["steps"] for k in range(300)]
    assert np.median(drawn) == pytest.approx(0.1005, rel=0.1)


def test_a_gene_active_in_one_parent_comes_from_that_parent():
    space = Space(booster=Choice("tree", "linear"), depth=Int(1, 9, when={"booster": "tree"}))
    seeds = [{"booster": "tree", "depth": 9}, {"booster": "linear", "depth": 1}]
    algorithm = EvolutionStrategy(space, parents=2, offspring=2, step_size=1e-4, seeds=seeds)
    Rehearsal(algorithm).run(2)
    children = [algorithm.ask(np.random.default_rng(k)).genome for k in range(60)]
    assert {child["depth"] for child in children} == {9}
    assert {child["booster"] for child in children} == {"tree", "linear"}


def test_seeds_come_first_and_all_of_them():
    seeds = [SPACE.decode([k / 10] * 5) for k in range(6)]
    rehearsal = Rehearsal(EvolutionStrategy(SPACE, parents=2, offspring=4, seeds=seeds)).run(10)
    assert [dict(t.genome) for t in rehearsal.trials[:6]] == seeds
    assert [t.origin.generation for t in rehearsal.trials] == [0] * 6 + [1] * 4


def test_repr():
    assert repr(EvolutionStrategy(SPACE)) == "EvolutionStrategy((3 + 12))"
    comma = EvolutionStrategy(SPACE, parents=2, replacement="comma")
    assert repr(comma) == "EvolutionStrategy((2 , 8))"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parents": 0}, "parents must be a whole number from 1 up, got 0"),
        ({"offspring": 0}, "offspring must be a whole number from 1 up, got 0"),
        ({"replacement": "both"}, 'replacement is "plus" or "comma", got .both.'),
        ({"step_sizes": "two"}, 'step_sizes is "one" or "each", got .two.'),
        ({"replacement": "comma", "offspring": 2}, "needs at least as many offspring as parents"),
        ({"step_size": 0.0}, r"step_size must lie in \(0, 0.5\], got 0.0"),
        ({"step_size": 0.6}, "step_size"),
        ({"start": "nowhere"}, "start must be one of"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(AlgorithmError, match=message):
        EvolutionStrategy(SPACE, **options)


def test_a_seed_outside_the_space():
    with pytest.raises(GenomeError, match="'g0' is 7"):
        EvolutionStrategy(SPACE, seeds=[{**SPACE.decode([0.5] * 5), "g0": 7}])
