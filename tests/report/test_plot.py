"""The figures under ``et.plot``: which there are, what they take, and what they need."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

import evotune as et
from evotune.analysis.generations import quantiles
from evotune.errors import NoResultError, StudyError
from helpers_population import SCHEDULED, train_population
from helpers_ranking import runs
from helpers_report import Recorded, definition, simulate

ANY = (
    "progress",
    "contour",
    "timeline",
    "parallel",
    "slices",
    "importance",
    "distributions",
    "diversity",
    "family",
)
OBJECTIVES = ("front", "hypervolume")
MEMBERS = ("schedules", "curves", "replacements", "inheritance", "credit")
CHAINS = ("structure", "structure_changes", "structures_over_time", "sizes")
OF_A_STUDY = (*ANY, *OBJECTIVES, *MEMBERS, *CHAINS, "rungs")
RANKING = ("anytime", "critical_differences", "ranks_over_time")


def genetic() -> et.Study:
    space = et.Space(x=et.Float(0, 1), c=et.Choice("a", "b"))
    study = et.Study(et.Genetic(space, population_size=8), "min loss", seed=1)
    return study.run(lambda trial: trial.params["x"] + (trial.params["c"] == "a"), trials=48)


@pytest.fixture(scope="module")
def halving() -> et.Study:
    def train(trial):
        epochs = sum(1 for _ in trial.epochs())
        trial.resume()
        trial.keep(epochs=epochs)
        return trial.params["x"]

    algorithm = et.SuccessiveHalving(
        et.RandomSearch(et.Space(x=et.Float(0.0, 1.0))), minimum=1, maximum=9
    )
    return et.Study(algorithm, "max score", seed=1).run(train, trials=20)


def test_only_public_names_are_listed() -> None:
    assert set(dir(et.plot)) == {*OF_A_STUDY, *RANKING, "compare", "versus", "prepare"}
    assert all(callable(getattr(et.plot, name)) for name in dir(et.plot))


def test_importing_evotune_loads_no_plotly() -> None:
    code = "import evotune, sys; print('plotly' in sys.modules, hasattr(evotune, 'plot'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("name", ANY)
def test_a_figure_takes_a_study_or_what_was_prepared(name: str) -> None:
    study = genetic()
    data = et.plot.prepare(study)
    figure = getattr(et.plot, name)
    assert isinstance(figure(study), go.Figure)
    assert figure(data).to_json() == figure(study).to_json()
    assert et.plot.prepare(data) is data


@pytest.mark.parametrize("name", MEMBERS)
def test_a_population_has_its_figures(name: str) -> None:
    algorithm = et.PopulationBasedTraining(SCHEDULED, population_size=8)
    study = Recorded(definition(SCHEDULED), train_population(algorithm))
    assert isinstance(getattr(et.plot, name)(study), go.Figure)


@pytest.mark.parametrize("name", OF_A_STUDY)
def test_a_study_without_trials_is_told_what_is_needed(name: str) -> None:
    needed = f"et.plot.{name} has nothing to show of study 'digits-cnn': it needs a trial"
    with pytest.raises(NoResultError, match=needed):
        getattr(et.plot, name)(Recorded(definition(), []))


@pytest.mark.parametrize("name", [*OBJECTIVES, *MEMBERS, *CHAINS, "rungs"])
def test_a_figure_that_does_not_fit_says_so(name: str) -> None:
    with pytest.raises(NoResultError, match=f"et.plot.{name} has nothing to show"):
        getattr(et.plot, name)(Recorded(definition(), simulate(60)))


def test_other_figures_say_what_they_need_too() -> None:
    fixed = et.Space(x=et.Fixed(1))
    one = Recorded(definition(fixed), [replace(t, params={"x": 1}) for t in simulate(30)])
    for name in ("parallel", "slices", "distributions", "diversity"):
        with pytest.raises(NoResultError, match="it needs a gene with more than one value"):
            getattr(et.plot, name)(one)
    few = Recorded(definition(), simulate(5))
    with pytest.raises(NoResultError, match="ten done trials or more"):
        et.plot.importance(few)
    with pytest.raises(NoResultError, match="a best trial that has parents"):
        et.plot.family(few)


def test_what_is_no_study_is_refused() -> None:
    with pytest.raises(StudyError, match=r"a study is needed, got 'runs.db'; give the study"):
        et.plot.progress("runs.db")


def test_a_ranking_has_figures() -> None:
    ranking = et.report.compare({"a": runs(0.9), "b": runs(0.8)})
    assert isinstance(et.plot.ranks_over_time(ranking), go.Figure)


def test_rungs_show_who_was_promoted_and_the_best_of_each(halving: et.Study) -> None:
    figure = et.plot.rungs(halving)
    traces = {trace.name: trace for trace in figure.data}
    promoted = {t.origin.promotes for t in halving.trials} - {None}
    assert len(traces["promoted"].x) == len(promoted)
    assert len(traces["not promoted"].x) == len(halving.trials) - len(promoted)
    assert list(figure.layout.xaxis.ticktext) == ["1", "3", "9"]
    best = [
        max(t.metrics["score"] for t in halving.trials if t.origin.rung == budget)
        for budget in (1.0, 3.0, 9.0)
    ]
    assert list(traces["best of the rung"].y) == pytest.approx(best)


def test_quantiles_of_groups_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    groups, values = rng.integers(0, 9, 200), rng.normal(size=200)
    values[::7] = np.nan
    levels = (0.0, 0.1, 0.5, 1.0)
    names, found = quantiles(groups, values, levels)
    known = ~np.isnan(values)
    expected = [np.quantile(values[known & (groups == name)], levels) for name in names]
    assert pytest.approx(np.array(expected)) == found.T


@pytest.mark.parametrize("given", [3, None, "runs.db", Recorded(definition(), [])])
@pytest.mark.parametrize("name", ["versus", "critical_differences", "ranks_over_time", "anytime"])
def test_comparisons_say_what_they_draw(name, given):
    """Of a study, as most figures are, or of anything else."""
    figure = getattr(et.plot, name)
    more = (None,) if name == "anytime" else ()
    with pytest.raises(StudyError, match=rf"et.plot.{name} draws a .* got .*; write et.plot"):
        figure(given, *more)
