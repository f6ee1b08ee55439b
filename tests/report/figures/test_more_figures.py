"""Contours, the timeline, curves of reports, and several studies in one figure."""

from dataclasses import replace

import numpy as np
import pytest

import evotune as et
from evotune.errors import NoResultError, StudyError
from helpers_ranking import run
from helpers_report import Recorded, definition, scatter, simulate


def named(figure, name):
    return next(trace for trace in figure.data if trace.name == name)


# -- contour --------------------------------------------------------------------------------------


def test_a_contour_is_the_mean_of_the_trials_near():
    space = et.Space(a=et.Float(0, 1), b=et.Float(1e-3, 1, log=True), c=et.Float(0, 1))
    trials = scatter(space, 200)
    trials = [replace(t, values=(t.params["a"],), metrics={"loss": t.params["a"]}) for t in trials]
    figure = et.plot.contour(Recorded(definition(space, "min loss"), trials), genes=("a", "b"))
    surface = figure.data[0]
    assert np.all(np.array(surface.y) > 0)  # in the gene's own values, on a logarithmic axis
    assert figure.layout.yaxis.type == "log"
    z, x = np.array(surface.z, float), np.array(surface.x)
    middle = (x > 0.3) & (x < 0.7)
    assert np.nanmax(abs(z[:, middle] - x[middle])) < 0.15
    best = min(trials, key=lambda t: t.values)
    star = named(figure, "best")
    assert (star.x[0], star.y[0]) == (best.params["a"], best.params["b"])


def test_a_contour_is_blank_where_no_trial_is_near():
    space = et.Space(a=et.Float(0, 1), b=et.Float(0, 1))
    trials = [t for t in scatter(space, 400) if max(t.params.values()) < 0.4]
    z = np.array(et.plot.contour(Recorded(definition(space, "min loss"), trials)).data[0].z, float)
    assert np.isnan(z[-10:, -10:]).all()
    assert np.isfinite(z[2:12, 2:12]).all()


@pytest.mark.parametrize("trials", [8, 30])
def test_a_contour_has_colour_within_a_tenth_of_the_axes_only(trials):
    space = et.Space(a=et.Float(0, 1), b=et.Float(0, 10))
    study = Recorded(definition(space, "min loss"), scatter(space, trials))
    surface = et.plot.contour(study, genes=("a", "b")).data[0]
    at = np.array([[t.params["a"], t.params["b"] / 10] for t in study.trials])
    cells = np.stack(np.meshgrid(surface.x, np.array(surface.y) / 10), axis=-1)
    nearest = np.linalg.norm(cells[:, :, None] - at, axis=-1).min(axis=2)
    assert np.array_equal(np.isfinite(np.array(surface.z, float)), nearest <= 0.1)


def test_options_of_a_contour_do_not_flow_into_one_another():
    space = et.Space(c=et.Choice("p", "q", "r"), x=et.Float(0, 1))
    trials = [replace(t, values=(float("pqr".index(t.params["c"])),)) for t in scatter(space, 120)]
    figure = et.plot.contour(Recorded(definition(space, "min loss"), trials), genes=("c", "x"))
    z = np.array(figure.data[0].z, float)
    for option in range(3):
        columns = z[:, 2 * option : 2 * option + 2]
        assert np.allclose(columns[np.isfinite(columns)], option)


def test_a_contour_chooses_genes_that_are_active_together_and_refuses_others():
    study = Recorded(definition(), simulate(80))
    chosen = et.plot.contour(study)
    assert chosen.layout.xaxis.title.text != "momentum" != chosen.layout.yaxis.title.text
    for given in (("lr",), ("lr", "lr"), ("lr", "nothing"), "lr", ("lr", "width", "dropout")):
        with pytest.raises(StudyError, match=r"genes=\('lr', 'width'\)"):
            et.plot.contour(study, genes=given)
    one = et.Space(x=et.Float(0, 1))
    with pytest.raises(NoResultError, match="two genes"):
        et.plot.contour(Recorded(definition(one, "min loss"), scatter(one, 20)))


# -- timeline -------------------------------------------------------------------------------------


def timed(spans, **changed):
    trials = simulate(len(spans))
    return Recorded(
        definition(),
        [
            replace(t, started=a, ended=b, **changed)
            for t, (a, b) in zip(trials, spans, strict=True)
        ],
    )


def bars(figure):
    return [
        (row, start, length)
        for trace in figure.data
        for row, start, length in zip(trace.y, trace.base, trace.x, strict=True)
    ]


def test_trials_that_ran_at_once_are_in_different_rows():
    figure = et.plot.timeline(timed([(100, 110), (100, 104), (104, 112), (110, 111)]))
    rows = {(start, length): row for row, start, length in bars(figure)}
    assert rows == {(0, 10): 0, (0, 4): 1, (4, 8): 1, (10, 1): 0}
    assert figure.layout.xaxis.title.text == "seconds"


def test_a_pause_of_days_is_cut_short():
    figure = et.plot.timeline(timed([(0, 60), (60, 120), (500_000, 500_060)]))
    assert figure.layout.xaxis.title.text == "minutes"
    assert 3 < max(start + length for _, start, length in bars(figure)) < 4
    assert len(figure.layout.shapes) == 1
    assert sorted(length for _, _, length in bars(figure)) == [1, 1, 1]


def test_a_running_trial_and_thousands_of_others_have_a_timeline():
    study = timed([(0, 4), (1, 7)])
    study.trials[1] = replace(study.trials[1], state="running", ended=None, values=None)
    assert {trace.name for trace in et.plot.timeline(study).data} == {"done", "running"}
    many = timed([(k, k + 2) for k in range(3000)])
    assert len(bars(et.plot.timeline(many))) == 1000
    waiting = timed([(None, None)], state="waiting", values=None)
    with pytest.raises(NoResultError, match="a trial that has started"):
        et.plot.timeline(waiting)


# -- curves ---------------------------------------------------------------------------------------


def test_curves_of_reports_tell_stopped_trials_from_others():
    def train(trial):
        for epoch in range(6):
            trial.report(accuracy=trial.params["x"] * (epoch + 1))
        return 6 * trial.params["x"]

    study = et.Study(et.RandomSearch(et.Space(x=et.Float(0, 1))), "max accuracy", seed=1)
    study.run(train, trials=30, stopping=et.MedianStopping())
    assert study.counts["stopped"]
    figure = et.plot.curves(study)
    best = named(figure, "best trial")
    assert list(best.y) == pytest.approx([study.best.params["x"] * k for k in range(1, 7)])
    lines = {t.name: list(t.y).count(None) for t in figure.data}
    assert lines["stopped"] == study.counts["stopped"]
    assert lines["ran to its end"] == study.counts["done"] - 1


def test_curves_are_thinned_and_bad_reports_left_out():
    reports = tuple({"step": k, "accuracy": 0.5 if k % 2 else float("nan")} for k in range(5000))
    trials = [replace(t, reports=reports if t.number < 3 else reports[:9]) for t in simulate(500)]
    figure = et.plot.curves(Recorded(definition(), trials))
    assert sum(len(trace.x) for trace in figure.data) < 5000
    others = [replace(t, reports=({"step": 0, "loss": 1.0},)) for t in simulate(30)]
    with pytest.raises(NoResultError, match=r"a trial that calls trial.report.* validate_every=1"):
        et.plot.curves(Recorded(definition(), others))


# -- several studies ------------------------------------------------------------------------------


def test_studies_are_compared_by_their_best_so_far():
    figure = et.plot.compare({"a": run(0, [0.1, None, 0.3, 0.2]), "b": run(1, [0.2, 0.5])})
    assert list(named(figure, "a").x) == [1, 2, 3, 4]
    assert list(named(figure, "a").y) == pytest.approx([0.1, 0.1, 0.3, 0.3])
    assert list(named(figure, "b").y) == pytest.approx([0.2, 0.5])
    assert figure.layout.yaxis.title.text == "best accuracy so far"


def test_runs_of_one_name_are_a_median_and_a_band():
    runs = [run(k, [0.1 * (k + 1)] * 4) for k in range(3)]
    figure = et.plot.compare({"a": runs, "b": iter([run(9, [0.5])])})
    assert list(named(figure, "a").y) == pytest.approx([0.2] * 4)
    assert len([t for t in figure.data if t.fill]) == 1


def test_studies_of_a_list_bear_their_names_and_budgets_count():
    first, second = (run(k, [0.1, 0.2], budget=float(k + 1)) for k in range(2))
    figure = et.plot.compare([first, second])
    assert [t.name for t in figure.data] == ["run 0", "run 1"]
    assert figure.layout.xaxis.title.text == "epochs"
    assert max(named(figure, "run 1").x) == 4


def test_several_objectives_are_compared_by_hypervolume():
    goals = ["min a", "min b"]
    figure = et.plot.compare({"x": run(0, [(1, 2), (2, 1)], goals), "y": run(1, [(3, 3)], goals)})
    assert named(figure, "x").y[-1] > named(figure, "y").y[-1]


@pytest.mark.parametrize("given", [3, "runs.db", {}, {"a": []}, {"a": [1]}, run(0, [0.1])])
def test_what_is_no_set_of_studies_is_refused(given):
    with pytest.raises(StudyError, match=r'write et.plot.compare\(\{"genetic": study'):
        et.plot.compare(given)


def test_studies_with_other_objectives_are_not_compared():
    with pytest.raises(StudyError, match="their objectives differ"):
        et.plot.compare({"a": run(0, [0.1]), "b": run(1, [0.1], "min loss")})
    with pytest.raises(StudyError, match="has no ended trial"):
        et.plot.compare({"a": run(0, [])})
