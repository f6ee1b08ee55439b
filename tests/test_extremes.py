"""Any finite values, in any algorithm: no error, no warning, no number that is not finite.

The values are a penalty such as ``sys.float_info.max``, the smallest floats, and all in between.
"""

import json
import math
import sys
import warnings

import numpy as np
import pytest
from typer.testing import CliRunner

import evotune as et
from evotune.algorithms.auto import named
from evotune.cli.main import app
from evotune.evolution.selection import (
    Boltzmann,
    RelativeExponential,
    Roulette,
    StochasticUniversal,
)
from evotune.names import SEARCHES

LARGEST = sys.float_info.max
VALUES = {
    "penalties": [LARGEST, 0.5, 1.0, 2.0, 0.1],
    "both ends": [LARGEST, -LARGEST, 0.0, 1.0],
    "one value": [LARGEST],
    "denormal": [5e-324, 1e-323, 0.0, -0.0, -5e-324],
    "all sizes": [LARGEST, -LARGEST, 5e-324, -0.0, 1e308, -1e308, 1e-308, 2.5, -1e200],
    "neighbours": [LARGEST, LARGEST * (1 - 2**-53)],
}
OBJECTIVES = {
    "one": "min a",
    "two": ["min a", "max b"],
    "sum": et.WeightedSum(a=1.0, b=-LARGEST, c=1e-300),
    "bounds": ["min a", et.Constraint("b", at_most=-LARGEST), et.Constraint("c", at_least=5e-324)],
}
SPACE = et.Space(
    x=et.Float(0.0, 1.0),
    n=et.Int(1, 3),
    kind=et.Choice("a", "b"),
    y=et.Float(1e-4, 1.0, log=True, when={"kind": "a"}),
)
#: So few points that params are repeated, and repeats averaged.
FEW = et.Space(x=et.Int(1, 3))


def genetic(space, **options):
    return et.Genetic(space, population_size=4, **options)


def halved(space, **options):
    return et.SuccessiveHalving(genetic(space), maximum=4, eta=2, resume=False, **options)


def then(best):
    return et.PopulationBasedTraining(SPACE, population_size=4)


def small(name, space):
    try:
        return getattr(et, name)(space, population_size=4)
    except TypeError:  # it has no population
        return named(name, space)


ALGORITHMS = {
    **{name: (lambda space, name=name: small(name, space)) for name in SEARCHES},
    "Grid": lambda space: et.Grid(space, points=3),
    "Hybrid": lambda space: et.Hybrid(space, initial=6),
    "roulette": lambda space: genetic(space, selection=Roulette()),
    "universal": lambda space: genetic(space, selection=StochasticUniversal()),
    "Boltzmann": lambda space: genetic(space, selection=Boltzmann(20.0, 1.5)),
    "exponential": lambda space: genetic(space, selection=RelativeExponential(LARGEST)),
    "refined": lambda space: genetic(
        space, refinement=et.refine.Refinement(every=1), mutation_rate=et.rates.Adaptive(0.3)
    ),
    "jde": lambda space: et.DifferentialEvolution(space, population_size=4, adaptation="jde"),
    "Islands": lambda space: et.Islands([genetic(space), genetic(space)], every=1),
    "Prescreened": lambda space: et.Prescreened(genetic(space)),
    "Racing": lambda space: et.Racing(genetic(space)),
    "Drifting": lambda space: et.Drifting(genetic(space), every=4),
    "raced and drifting": lambda space: et.Drifting(et.Racing(genetic(space)), every=4),
    "SuccessiveHalving": halved,
    "Hyperband": lambda space: et.Hyperband(genetic(space), maximum=4, eta=2, resume=False),
    "Phases": lambda space: et.Phases(genetic(space), then, trials=6),
}


def train(values):
    def evaluate(trial):
        trial.resume()
        rng = np.random.default_rng(trial.seed)
        for _ in trial.epochs() if trial.budget else [1]:
            metrics = {name: float(values[rng.integers(len(values))]) for name in "abc"}
            trial.report(**metrics)
        trial.keep(weights=np.zeros(1))
        return metrics

    return evaluate


def run_twice(path, algorithm, objectives, values, **options):
    """Run half of the trials, then open the study again for the rest."""
    for trials in (8, 16):
        with et.Study(algorithm(), objectives, storage=path, seed=3) as study:
            rest = trials - len(study.trials)
            study.run(train(values), trials=rest, max_failures=1, **options)
            assert all(math.isfinite(value) for value in study.best.values)
            assert all(
                map(math.isfinite, [v for t in study.trials for v in (*t.values, t.violation)])
            )
            study.front  # noqa: B018
    return study


@pytest.fixture(autouse=True)
def strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.mark.parametrize("name", ALGORITHMS)
def test_any_algorithm_takes_any_values_and_is_taken_up_again(name, tmp_path):
    rng = np.random.default_rng(list(name.encode()))
    combined = [(v, o) for v in VALUES for o in OBJECTIVES]
    chosen = [("all sizes", "one"), combined[rng.integers(len(combined))]]
    for k, (values, objectives) in enumerate(chosen):
        space = SPACE if k or name == "Phases" else FEW
        run_twice(
            tmp_path / f"{k}.db",
            lambda space=space: ALGORITHMS[name](space),
            OBJECTIVES[objectives],
            VALUES[values],
        )


@pytest.mark.parametrize(
    "rule",
    [et.MedianStopping(startup=2), et.PercentileStopping(startup=2), et.DominationStopping()],
)
@pytest.mark.parametrize("values", VALUES)
def test_stopping_rules(rule, values, tmp_path):
    goals = OBJECTIVES["two" if isinstance(rule, et.DominationStopping) else "one"]
    run_twice(
        tmp_path / "runs.db", lambda: et.RandomSearch(SPACE), goals, VALUES[values], stopping=rule
    )


#: Each kind of objectives and of record (budgets, weights, generations) once.
DRAWN = (
    ("Nsga2", "denormal", "two"),
    ("RandomSearch", "neighbours", "sum"),
    ("PopulationBasedTraining", "both ends", "one"),
    ("SuccessiveHalving", "penalties", "bounds"),
)
OF_RANKINGS = {"anytime", "critical_differences", "ranks_over_time", "versus", "prepare"}


def numbers(found):
    """All numbers of a figure; what is not finite is None in JSON, as is a gap in a line."""
    if isinstance(found, dict):
        found = [v for k, v in found.items() if k not in ("customdata", "text")]
    if isinstance(found, list):
        return [number for each in found for number in numbers(each)]
    return [found] if isinstance(found, int | float) else []


@pytest.mark.parametrize(("name", "values", "objectives"), DRAWN)
def test_every_figure_page_picture_and_table(name, values, objectives, tmp_path):
    path = tmp_path / "runs.db"
    study = run_twice(path, lambda: ALGORITHMS[name](SPACE), OBJECTIVES[objectives], VALUES[values])
    data = et.plot.prepare(study)
    drawn = 0
    for figure in set(dir(et.plot)) - OF_RANKINGS:
        try:
            given = [data] if figure == "compare" else data
            made = json.loads(getattr(et.plot, figure)(given).to_json())
        except et.errors.NoResultError:
            continue
        drawn += 1
        assert all(map(math.isfinite, numbers(made)))
        axes = [v for k, v in made["layout"].items() if k[1:5] == "axis" and "range" in v]
        assert all(end is not None for axis in axes for end in axis["range"])
    assert drawn >= 4
    study.report(tmp_path / "page.html")
    assert "nan" not in study.report(tmp_path / "picture.svg").read_text()
    for command in ("list", "show", "best", "trials", "export"):
        result = CliRunner().invoke(app, [command, str(path)], catch_exceptions=False)
        assert result.exit_code == 0
        assert not {"inf", "-inf", "nan"} & set(result.output.split())


@pytest.mark.parametrize("values", VALUES)
def test_comparisons(values, tmp_path):
    def runs(algorithm, goals):
        return [
            et.Study(algorithm(SPACE), goals, seed=seed).run(train(VALUES[values]), trials=8)
            for seed in range(6)
        ]

    goals = OBJECTIVES["one" if list(VALUES).index(values) % 2 else "two"]
    methods = {"genetic": runs(genetic, goals), "random": runs(et.RandomSearch, goals)}
    ranking = et.report.compare(methods)
    assert all(math.isfinite(x) for p in ranking.pairs for x in (p.gain, p.low, p.high, p.p))
    et.report.write_ranking(tmp_path / "ranking.html", ranking)
    str(et.report.compare({"first": methods, "second": methods}))


def test_more_than_half_a_penalty_does_not_hide_the_best_from_a_surrogate():
    def penalised(trial):
        x = trial.params["x"]
        return LARGEST if x > 0.7 else abs(x - 0.3) * 1e-20

    study = et.Study(et.Hybrid(et.Space(x=et.Float(0.0, 1.0)), initial=8), "min loss", seed=1)
    study.run(penalised, trials=30)
    assert study.best.metrics["loss"] < 1e-22


DOMAINS = {
    "wide": et.Float(-8e307, 8e307),
    "up to the largest": et.Float(0.0, LARGEST),
    "all decades": et.Float(5e-324, LARGEST, log=True),
    "denormal": et.Float(0.0, 5e-324),
    "neighbours": et.Float(LARGEST * (1 - 2**-53), LARGEST),
    "steps": et.Float(-8e307, 8e307, step=1e307),
    "300 digits": et.Int(-(10**300), 10**300),
    "300 digits, log": et.Int(1, 10**300, log=True),
    "weights": et.Choice("a", "b", weights=[LARGEST, LARGEST]),
    "hardly any weight": et.Choice("a", "b", weights=[5e-324, LARGEST]),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_domains_of_any_size(name, tmp_path):
    space = et.Space(x=DOMAINS[name], y=et.Float(0.0, 1.0))
    for kind in ("Genetic", "CmaEs", "Hybrid", "DifferentialEvolution", "ParticleSwarm"):
        study = et.Study(ALGORITHMS[kind](space), "min a", seed=1)
        study.run(train([1.0, 2.0, 3.0]), trials=11, max_failures=1)
        assert all(DOMAINS[name].contains(trial.params["x"]) for trial in study.trials)
    figures = ("slices", "parallel", "distributions", "diversity")
    getattr(et.plot, figures[list(DOMAINS).index(name) % 4])(study).to_json()
    if name in ("all decades", "300 digits"):
        study.report(tmp_path / "picture.svg")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: et.Float(-1.7e308, 1.7e308), "high - low must be a finite number"),
        (lambda: et.Float(0.0, 1e308, step=1e-308), "Give a step of 3.2e"),
        (lambda: et.Int(0, 10**400), "about 400 digits; floats end at"),
        (
            lambda: et.SuccessiveHalving(et.RandomSearch(SPACE), maximum=10**400),
            "maximum must be a number above 0",
        ),
    ],
)
def test_what_lies_beyond_floats_is_refused_in_words(make, message):
    with pytest.raises(et.EvotuneError, match=message):
        make()


def test_rungs_may_span_all_floats():
    searched = et.RandomSearch(SPACE)
    rungs = et.SuccessiveHalving(searched, minimum=5e-324, maximum=1.0, resume=False)
    assert "inf" not in repr(rungs)
    study = et.Study(rungs, "min a", seed=1).run(lambda trial: 1.0, trials=4)
    assert study.counts == {"done": 4}
