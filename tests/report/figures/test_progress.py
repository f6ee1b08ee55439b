"""What the figures draw: the numbers in them, and the axes they are drawn on."""

import math
import re
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

import evotune as et
from evotune.analysis.data import StudyData, prepare
from evotune.errors import NoResultError
from evotune.report.figures.distributions import distributions
from evotune.report.figures.diversity import diversity
from evotune.report.figures.front import front
from evotune.report.figures.marks import hover_texts
from evotune.report.figures.parallel import parallel
from evotune.report.figures.progress import progress
from evotune.report.figures.slices import slices
from evotune.report.findings import alarms
from evotune.report.page import write
from evotune.space import Choice, Float, Space
from evotune.trial import Origin
from helpers_report import SPACE, Recorded, definition, scatter, simulate


@pytest.fixture(scope="module")
def data() -> StudyData:
    return prepare(Recorded(definition(), simulate(120)))


def trace(figure: go.Figure, name: str) -> go.Scatter:
    return next(t for t in figure.data if t.name == name)


def test_progress_shows_the_running_best_in_the_users_sign(data: StudyData) -> None:
    best = trace(progress(data), "best so far")
    scores = [
        max(t.metrics["accuracy"] for t in data.done if t.origin.generation <= generation)
        for generation in range(6)
    ]
    assert list(best.x) == list(range(6))
    assert list(best.y) == pytest.approx(scores)


def test_progress_shows_the_median_of_each_generation(data: StudyData) -> None:
    third = [t.metrics["accuracy"] for t in data.done if t.origin.generation == 3]
    assert trace(progress(data), "median").y[3] == pytest.approx(np.median(third))


def test_a_minimised_objective_falls() -> None:
    space = Space(x=Float(0, 1))
    figure = progress(prepare(Recorded(definition(space, "min loss"), scatter(space, 60))))
    best = trace(figure, "best so far").y
    assert list(best) == sorted(best, reverse=True)


def test_feasible_trials_are_best_before_better_infeasible_ones() -> None:
    trials = [replace(t, violation=0.0 if t.number == 30 else 1.0) for t in simulate(60)]
    trials[30] = replace(trials[30], state="done", values=(-0.2,), metrics={"accuracy": 0.2})
    data = prepare(Recorded(definition(), trials))
    assert data.best is not None
    assert data.best.number == 30
    assert trace(progress(data), "best so far").y[-1] == pytest.approx(0.2)


def test_a_few_terrible_results_do_not_squash_the_axis() -> None:
    trials = simulate(100)
    wild = {7, 50}
    trials = [
        replace(t, values=(1e6,), metrics={"accuracy": -1e6}) if t.number in wild else t
        for t in trials
    ]
    data = prepare(Recorded(definition(), trials))
    low, high = progress(data).layout.yaxis.range
    assert high - low < 2
    assert 2 <= data.score_scale[1] <= 5


def test_a_loss_over_many_decades_is_drawn_in_log_scale() -> None:
    space = Space(x=Float(0, 1))
    trials = [replace(t, values=(10.0 ** (-t.number / 10),)) for t in scatter(space, 80)]
    figure = progress(prepare(Recorded(definition(space, "min loss"), trials)))
    assert figure.layout.yaxis.type == "log"


def test_parallel_have_real_labels_and_a_level_for_dormant_genes(
    data: StudyData,
) -> None:
    [lines] = parallel(data).data
    axes = {axis.label: axis for axis in lines.dimensions}
    assert list(axes) == [*SPACE.names, "<b>accuracy</b>"]
    lr = axes["lr"]
    assert list(lr.ticktext) == ["0.0001", "0.001", "0.01", "0.1", "1"]
    assert list(lr.tickvals) == pytest.approx([-4, -3, -2, -1, 0])
    assert list(axes["optimizer"].ticktext) == ["sgd", "adam", "rmsprop"]
    momentum = axes["momentum"]
    assert momentum.ticktext[0] == "–"
    dormant = [t.params["optimizer"] != "sgd" for t in data.done]
    at_level = np.isclose(momentum["values"][: len(dormant)], momentum.tickvals[0])
    assert at_level.tolist() == dormant
    assert min(lines.line.color) >= lines.line.cmin
    assert max(lines.line.color) <= lines.line.cmax


def test_the_best_trial_has_the_strongest_colour_whatever_the_direction() -> None:
    space = Space(x=Float(0, 1))
    trials = scatter(space, 30)
    for direction in ("min", "max"):
        data = prepare(Recorded(definition(space, f"{direction} loss"), trials))
        [lines] = parallel(data).data
        colours = lines.line.color[: len(trials)]
        assert int(np.argmax(colours)) == data.ranking[0]


def test_repeats_have_their_mean_and_are_ranked_once() -> None:
    trials = [t for t in simulate(60) if t.is_done]
    best = min(trials, key=lambda t: t.values or ())
    worse = [
        replace(best, number=100 + k, repeat_of=best.number, values=(v,), metrics={"accuracy": -v})
        for k, v in enumerate((-0.1, -0.3))
    ]
    data = prepare(Recorded(definition(), [*trials, *worse]))
    assert data.best is not None
    assert data.best.number != best.number
    averaged = next(t for t in data.done if t.number == best.number)
    assert averaged.values == pytest.approx(((best.values or (0.0,))[0] / 3 - 0.4 / 3,))
    assert averaged.metrics["accuracy"] == pytest.approx(-averaged.values[0])
    assert averaged.repeats == 3
    assert len(data.done) == len(trials) + 2
    assert len(data.ranking) == len(trials)
    assert {data.done[-1].values, data.done[-2].values} == {averaged.values}


def test_slices_mark_failed_trials_and_leave_dormant_ones_out(data: StudyData) -> None:
    figure = slices(data)
    failed = [t for t in figure.data if t.name == "failed"]
    assert len(failed) == len(SPACE)
    assert len(failed[0].x) == len(data.failed)
    momentum = figure.data[3 * SPACE.names.index("momentum")]
    active = sum("momentum" in t.params for t in data.done)
    assert int(np.sum(~np.isnan(momentum.x))) == active
    assert figure.layout.xaxis.type == "log"


def test_distributions_show_shares_of_options(data: StudyData) -> None:
    bars = [t for t in distributions(data).data if t.type == "bar" and t.name == "sgd"]
    first = [t.params["optimizer"] == "sgd" for t in data.trials if t.origin.generation == 0]
    assert bars[0].y[0] == pytest.approx(100 * np.mean(first))


def test_options_beyond_the_colours_are_put_together() -> None:
    space = Space(c=Choice(*[f"o{k}" for k in range(20)]))
    figure = distributions(prepare(Recorded(definition(space, "min loss"), scatter(space, 50))))
    names = [t.name for t in figure.data]
    assert names == ["o0", "o1", "o2", "o3", "o4", "o5", "others"]
    assert np.sum([t.y for t in figure.data], axis=0) == pytest.approx(100.0)


def test_the_family_tells_what_changed(data: StudyData) -> None:
    figure = et.plot.family(data)
    family = data.family()
    nodes = trace(figure, "ancestor")
    assert len(nodes.x) == len(family) - 1
    star = trace(figure, "best")
    assert star.x[0] == family[-1].origin.generation
    assert star.y[0] == pytest.approx(family[-1].metrics["accuracy"])
    assert f"from trial {family[-1].parents[0]}" in star.customdata[0]
    assert "→" in star.customdata[0]


def test_diversity_falls_as_the_search_settles(data: StudyData) -> None:
    line, heat = diversity(data).data
    assert line.y[-1] < 0.7 * line.y[0]
    assert np.shape(heat.z) == (len(SPACE), 6)


def test_the_front_is_what_no_trial_dominates() -> None:
    space = Space(x=Float(0, 1))
    points = [(1.0, 9.0), (2.0, 5.0), (3.0, 7.0), (4.0, 1.0), (5.0, 4.0)]
    trials = [
        replace(t, values=(a, -b)) for t, (a, b) in zip(scatter(space, 5), points, strict=True)
    ]
    data = prepare(Recorded(definition(space, ["min a", "max b"]), trials))
    best = trace(front(data), "Pareto front")
    assert list(zip(best.x, best.y, strict=True)) == [(1.0, 9.0)]
    low, high = front(data).layout.yaxis.range
    assert low < 1.0
    assert high > 9.0


def test_trials_are_put_together_by_generation() -> None:
    trials = [replace(t, origin=Origin(generation=3 + t.number // 10)) for t in simulate(30)]
    assert set(prepare(Recorded(definition(), trials)).groups.of.tolist()) == {3, 4, 5}


def test_without_generations_trials_are_put_in_blocks() -> None:
    trials = [replace(t, origin=Origin()) for t in simulate(100)]
    groups = prepare(Recorded(definition(), trials)).groups
    assert groups.name == "trial, in blocks of 5"
    assert groups.of.tolist()[:11] == [0] * 5 + [5] * 5 + [10]


def test_thousands_of_generations_are_put_together() -> None:
    trials = [replace(t, origin=Origin(generation=t.number)) for t in scatter(SPACE, 1000)]
    groups = prepare(Recorded(definition(), trials)).groups
    assert len(set(groups.of.tolist())) == 200
    assert groups.name == "generation, 5 at a time"


def test_values_that_are_not_finite_are_not_drawn() -> None:
    trials = [
        replace(t, values=(math.nan,)) if t.is_done and t.number % 2 else t for t in simulate(60)
    ]
    data = prepare(Recorded(definition(), trials))
    assert np.isfinite(data.scores).all()
    assert 0 < len(data.done) < 40


# -- words of searches without generations --------------------------------------------------------


def hovers(trials):
    data = prepare(Recorded(definition(), trials))
    return [text.split("<br>")[0] for text in hover_texts(data, range(len(data.done)))]


def test_hovers_name_the_generation_of_a_trial_and_no_block():
    trials = [t for t in simulate(60) if t.is_done]
    numbered = [f"<b>trial {t.number}</b>" for t in trials]
    pairs = zip(trials, numbered, strict=True)
    assert hovers(trials) == [f"{text}, generation {t.origin.generation}" for t, text in pairs]
    first = [replace(t, origin=Origin(generation=0) if t.number < 20 else Origin()) for t in trials]
    assert hovers(first) == numbered  # as of Hybrid, whose first trials are a design


def test_hovers_name_a_generation_of_its_own_where_several_are_drawn_together():
    trials = [replace(t, origin=Origin(generation=t.number)) for t in simulate(500) if t.is_done]
    texts = hovers(trials)
    assert texts[7] == f"<b>trial {trials[7].number}</b>, generation {trials[7].number}"


@pytest.mark.parametrize("first", [0, 20])
def test_a_search_without_generations_hears_of_none(tmp_path, first):
    trials = [
        replace(t, origin=Origin(generation=0) if t.number < first else Origin(), parents=())
        for t in simulate(80)
    ]
    page = write(tmp_path / "r.html", Recorded(definition(algorithm="x"), trials), plotly="cdn")
    text = page.read_text("utf-8").split("<body>")[1].split('id="themes"')[0]
    assert not re.search("generation|population", text, re.IGNORECASE)


def test_a_collapse_without_generations_is_of_blocks():
    space = et.Space(x=et.Float(0, 1), y=et.Float(0, 1))
    trials = [
        replace(t, genome={**t.genome, "x": x}, params={**t.params, "x": x})
        for t in scatter(space, 100)
        for x in [t.params["x"] if t.number < 20 else 0.5]
    ]
    [sentence] = alarms(prepare(Recorded(definition(space, "min loss"), trials)))
    assert "the spread over the trials of a block stayed below" in sentence
    assert "population" not in sentence
    few = Recorded(definition(space, "min loss"), trials[:15])
    with pytest.raises(NoResultError, match="more than 20 trials"):
        et.plot.diversity(few)
