"""What users get wrong or cannot help, asked of every search algorithm through the public calls."""

import math

import numpy as np
import pytest

import evotune as et
from evotune.algorithms.auto import named
from evotune.names import SEARCHES

SPACE = et.Space(
    x=et.Float(0.0, 1.0),
    n=et.Int(1, 9),
    kind=et.Choice("a", "b", "c"),
    y=et.Float(1e-4, 1.0, log=True, when={"kind": "a"}),
)
CATEGORIES = et.Space(a=et.Choice("p", "q"), b=et.Choice(1, 2, 3), c=et.Bool())
WIDE = et.Space({f"x{k}": et.Float(0.0, 1.0) for k in range(300)})
POINT = et.Space(x=et.Fixed(1), y=et.Float(2.0, 2.0))

SEARCHES = {
    **{
        name: (lambda space, name=name: named(name, space))
        for name in SEARCHES
        if name not in ("Grid", "PopulationBasedTraining")  # not searches of any space
    },
    "auto": et.auto,
    "Islands": lambda space: et.Islands([et.CmaEs(space), et.DifferentialEvolution(space)]),
    "Prescreened": lambda space: et.Prescreened(et.Genetic(space)),
    "Racing": lambda space: et.Racing(et.Genetic(space)),
    "Drifting": lambda space: et.Drifting(et.CmaEs(space), every=4),
    "SuccessiveHalving": lambda space: et.SuccessiveHalving(et.Hybrid(space), resume=False),
    "Hyperband": lambda space: et.Hyperband(et.Genetic(space), resume=False),
}


@pytest.fixture(params=list(SEARCHES))
def search(request):
    return SEARCHES[request.param]


def loss(trial):
    return float(trial.params["x"] + trial.params["n"])


def run(algorithm, evaluate, objectives="min loss", trials=16, **options):
    study = et.Study(algorithm, objectives, seed=1)
    return study.run(evaluate, trials=trials, **options)


def test_one_trial_only(search):
    assert run(search(SPACE), loss, trials=1).best.number == 0


def test_a_space_of_one_point(search):
    study = run(search(POINT), lambda trial: 1.0, trials=4)
    assert {tuple(t.params.values()) for t in study.trials} == {(1, 2.0)}


def test_all_trials_fail(search):
    def crash(trial):
        raise ValueError("no luck")

    study = run(search(SPACE), crash, max_failures=1)
    assert study.counts == {"failed": 16}
    with pytest.raises(et.errors.NoResultError, match="no luck"):
        _ = study.best


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_some_are_not_finite(search, bad):
    study = run(search(SPACE), lambda t: bad if t.number % 3 else loss(t), max_failures=1)
    assert study.counts["failed"] == 10
    assert math.isfinite(study.best.metrics["loss"])


def test_a_constant_objective(search):
    assert run(search(SPACE), lambda trial: 0.5).best.metrics["loss"] == 0.5


def test_genes_without_any_order(search):
    study = run(search(CATEGORIES), lambda trial: float(trial.params["b"]))
    assert study.best.params["b"] == 1


def test_three_hundred_genes(search):
    study = run(search(WIDE), lambda trial: sum(trial.params.values()), trials=13)
    assert study.counts == {"done": 13}


def longest(study):
    """Return the trials of the largest budget: only these are compared."""
    most = max(trial.budget or 0 for trial in study.trials)
    return [trial for trial in study.trials if (trial.budget or 0) == most]


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_objectives_on_any_scale(search, scale):
    study = run(search(SPACE), lambda trial: scale * loss(trial))
    assert study.best.values[0] == min(trial.values[0] for trial in longest(study))


def test_constraints_that_nothing_satisfies(search):
    objectives = ["min loss", et.Constraint("size", at_most=-1.0)]
    study = run(search(SPACE), lambda t: {"loss": loss(t), "size": t.params["n"]}, objectives)
    violations = [trial.violation for trial in longest(study)]
    assert study.best.violation == min(violations) > 0
    assert study.front == []


def test_several_objectives_one_of_them_constant(search):
    study = run(search(SPACE), lambda t: {"a": loss(t), "b": 1.0}, ["min a", "min b"])
    assert study.front[0].metrics["a"] == min(t.metrics["a"] for t in longest(study))


def test_the_same_params_again_and_again(search):
    """What the surrogate sees are rows that are equal, with values that are not."""
    algorithm = search(SPACE)
    genome = SPACE.sample(np.random.default_rng(0))
    for number in range(12):
        params = SPACE.params(genome)
        algorithm.tell(et.Trial(number, genome, params, "done", values=(0.1 * number,)))
    proposal = algorithm.ask(np.random.default_rng(1))
    SPACE.check(proposal.genome)


def test_a_fidelity_below_the_smallest_rung():
    study = et.Study(et.SuccessiveHalving(et.Hybrid(SPACE), minimum=3, maximum=9), "min loss")
    with pytest.raises(et.errors.StudyError, match=r"epochs=2 .* maximum=2"):
        study.run(loss, trials=4, epochs=2)
