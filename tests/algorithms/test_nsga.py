import re

import numpy as np
import pytest

from evotune.algorithms.random_search import RandomSearch
from evotune.algorithms.recipes import Nsga2, Nsga3
from evotune.errors import AlgorithmError, NoResultError
from evotune.evolution.hypervolume import hypervolume
from evotune.evolution.pareto import non_dominated
from evotune.objectives import Constraint
from evotune.space import Choice, Float, Int, Space
from evotune.space.crossover import SimulatedBinary
from evotune.space.mutation import Polynomial
from evotune.study.study import Study
from evotune.testing.algorithms import SPACES, AlgorithmContract, Rehearsal
from evotune.trial import Failed

MIXED = Space(
    x=Float(0.0, 1.0),
    kind=Choice("near", "far"),
    size=Int(1, 9, when={"kind": "near"}),
    rest=Float(0.0, 1.0),
)
BOTH = pytest.mark.parametrize("kind", [Nsga2, Nsga3])


def trade_off(trial):
    """Two objectives at odds in x; the front is reached by kind near, size 9 and rest 0.4."""
    params = trial.params
    off = 0.0 if params["kind"] == "near" else 1.0
    off += (9 - params.get("size", 9)) / 8 + abs(params["rest"] - 0.4)
    return {"a": params["x"] + off, "b": (1 - params["x"]) ** 2 + off}


def search(algorithm, evaluate=trade_off, objectives=("min a", "min b"), seed=0, trials=150):
    study = Study(algorithm, list(objectives), seed=seed)
    study.run(evaluate, trials=trials)
    return study


def volume(study):
    return hypervolume(np.array([t.values for t in study.trials]), [2.0, 2.0])


class TestContractOfNsga2(AlgorithmContract):
    def make(self, space):
        return Nsga2(space, population_size=8)


class TestContractOfNsga3(AlgorithmContract):
    def make(self, space):
        return Nsga3(space, population_size=8, steady_state=False)


@BOTH
@pytest.mark.parametrize("steady_state", [True, False])
def test_conditional_and_unordered_genes_find_the_front(kind, steady_state):
    for seed in range(2):
        found = search(kind(MIXED, population_size=12, steady_state=steady_state), seed=seed)
        assert volume(found) > volume(search(RandomSearch(MIXED), seed=seed)) + 0.2


def test_the_papers_operators_fit():
    paper = Nsga2(
        MIXED, steady_state=False, crossover=SimulatedBinary(), mutation=Polynomial(), seeds=[]
    )
    assert volume(search(paper)) > volume(search(RandomSearch(MIXED)))


@BOTH
def test_steady_state_never_waits_and_generations_do(kind):
    space = SPACES["continuous"]
    waiting = Rehearsal(kind(space, population_size=4, steady_state=False))
    assert [waiting.start() is None for _ in range(5)] == [False] * 4 + [True]
    going = Rehearsal(kind(space, population_size=4)).run(4)
    assert all(going.start() is not None for _ in range(9))
    assert not kind(space).traits.generational
    assert kind(space, steady_state=False).traits.generational


@BOTH
def test_members_spread_over_the_whole_front(kind):
    algorithm = kind(MIXED, population_size=12)
    search(algorithm, trials=300)
    values = np.array(sorted(t.values for t in algorithm.population))
    assert non_dominated(values).all()
    assert values[0, 0] < 0.1
    assert values[-1, 1] < 0.1
    assert np.abs(np.diff(values, axis=0)).max() < 0.4


ODD = {
    "one": lambda x, rest: (x,),
    "constant": lambda x, rest: (1.0, 1.0),
    "half constant": lambda x, rest: (x, 0.0, rest),
    "tiny and huge": lambda x, rest: (1e-12 * x, 1e12 * (1 + rest - x)),
    "five": lambda x, rest: (x, 1 - x, rest, 1 - rest, abs(x - rest)),
}


@BOTH
@pytest.mark.parametrize("name", ODD)
def test_odd_objectives_are_searched(kind, name):
    names = [f"o{k}" for k in range(len(ODD[name](0.0, 0.0)))]

    def evaluate(trial):
        values = ODD[name](trial.params["x"], trial.params["rest"])
        return dict(zip(names, values, strict=True))

    study = search(
        kind(MIXED, population_size=8), evaluate, [f"min {name}" for name in names], trials=60
    )
    assert study.counts == {"done": 60}


@BOTH
def test_one_objective_is_minimised(kind):
    study = search(kind(MIXED), lambda trial: trade_off(trial)["a"], ["min a"])
    assert study.best.values[0] < 0.15


@BOTH
def test_scales_of_objectives_do_not_matter(kind):
    def scaled(trial):
        values = trade_off(trial)
        return {"a": values["a"] * 2.0**-40, "b": values["b"] * 2.0**40}

    plain, wide = (
        search(kind(MIXED, population_size=8), f, trials=60) for f in (trade_off, scaled)
    )
    assert [t.params for t in plain.trials] == [t.params for t in wide.trials]


@BOTH
def test_what_nothing_satisfies_is_violated_less_and_less(kind):
    def evaluate(trial):
        return trade_off(trial) | {"cost": 2.0 + trial.params["rest"]}

    goals = ["min a", "min b", Constraint("cost", at_most=1.0)]
    study = search(kind(MIXED, population_size=8), evaluate, goals, trials=100)
    assert study.front == []
    assert min(t.violation for t in study.trials) < 1.02
    assert all(t.violation < 1.1 for t in study._engine.algorithm.population)


@BOTH
def test_feasible_trials_are_found_where_most_are_not(kind):
    def evaluate(trial):
        return trade_off(trial) | {"cost": abs(trial.params["rest"] - 0.9)}

    goals = ["min a", "min b", Constraint("cost", at_most=0.03)]
    algorithm = kind(MIXED, population_size=8)
    search(algorithm, evaluate, goals, trials=150)
    assert all(t.violation == 0 for t in algorithm.population)


@BOTH
def test_all_failing_goes_on(kind):
    def evaluate(trial):
        raise Failed("no luck")

    study = Study(kind(MIXED, population_size=4), ["min a", "min b"])
    study.run(evaluate, trials=15, max_failures=1)
    assert study.counts == {"failed": 15}
    with pytest.raises(NoResultError):
        _ = study.best


@BOTH
def test_a_bad_size_is_refused(kind):
    with pytest.raises(AlgorithmError, match="population_size must be a whole number from 2 up"):
        kind(MIXED, population_size=1)


@BOTH
def test_its_text_names_it(kind):
    assert re.match(
        rf"{kind.__name__}\(steady_state=True, population_size=9",
        repr(kind(MIXED, population_size=9)),
    )


@BOTH
def test_no_more_than_the_population_is_kept(kind):
    """So that neither asking nor telling gets slower as trials come in."""
    algorithm = kind(MIXED, population_size=8)
    search(algorithm, trials=300)
    held = [value for value in vars(algorithm).values() if isinstance(value, list | tuple)]
    assert len(algorithm.population) == 8
    assert all(len(part) <= 8 for part in held)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Nsga2, "1.24/0.33 1.17/0.25 2.11/1.20 1.12/0.20 1.10/0.18 1.22/0.30 2.10/1.18 1.65/1.49"),
        (Nsga3, "1.58/0.66 1.60/0.69 1.98/1.07 1.24/1.08 0.92/1.19 1.11/0.19 0.34/1.28 1.14/0.19"),
    ],
)
def test_a_short_run_goes_as_it_always_went(kind, expected):
    trials = search(kind(MIXED, population_size=4), trials=12).trials[4:]
    assert " ".join(f"{a:.2f}/{b:.2f}" for a, b in (t.values for t in trials)) == expected
