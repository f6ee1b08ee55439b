"""Figures of chains of layers: what they show, for which studies, of which trials."""

import re
from dataclasses import replace

import numpy as np
import pytest

import evotune as et
from evotune.errors import NoResultError, StudyError
from evotune.report.figures.trends import block_shares
from helpers_chains import SPACE, all_failed, recorded, trial_of
from helpers_report import Recorded, definition, simulate

FIGURES = ("structure", "structure_changes", "structures_over_time", "sizes")
CONV, POOL = {"block": "conv", "filters": 32, "kernel": 3}, {"block": "pool"}
DENSE = {"block": "dense", "units": 64}


@pytest.fixture(scope="module")
def study():
    return et.plot.prepare(recorded(40))


def study_of(*params, space=SPACE, parents=()):
    trials = [trial_of(space, number, **each) for number, each in enumerate(params)]
    trials[-1] = replace(trials[-1], parents=parents)
    return Recorded(definition(space), trials)


@pytest.mark.parametrize("name", FIGURES)
def test_a_study_of_chains_has_its_figures(study, name):
    figure = getattr(et.plot, name)(study)
    assert figure.layout.height > 100
    assert len(figure.data) > 1


@pytest.mark.parametrize("name", FIGURES)
def test_a_study_without_chains_is_told_what_is_needed(name):
    needed = rf"et.plot.{name} has nothing .* et\.Chain"
    with pytest.raises(NoResultError, match=needed):
        getattr(et.plot, name)(Recorded(definition(), simulate(3)))


@pytest.mark.parametrize("name", FIGURES)
def test_without_a_done_trial_there_is_nothing_to_draw(name):
    with pytest.raises(NoResultError, match="needs a trial that is done"):
        getattr(et.plot, name)(all_failed())


def test_a_network_is_drawn_layer_by_layer():
    study = study_of({"lr": 0.1, "features": [CONV, POOL], "head": [DENSE]})
    figure = et.plot.structure(study)
    assert list(figure.layout.yaxis.ticktext) == ["features 1", "features 2", "head 1"]
    bars = {bar.name: bar for bar in figure.data if bar.type == "bar"}
    assert set(bars) == {"conv", "pool", "dense"}
    assert bars["pool"].x == bars["conv"].x  # as wide as the layer before
    assert bars["dense"].x[0] > bars["conv"].x[0]
    assert "filters: 32" in bars["conv"].customdata[0]
    assert list(figure.data[-1].text) == ["conv 32·3", "pool", "dense 64"]


def test_any_trial_may_be_drawn_and_an_empty_chain_is_said():
    study = study_of(
        {"lr": 0.1, "features": [POOL], "head": []}, {"lr": 0.1, "features": [CONV], "head": []}
    )
    assert list(et.plot.structure(study).data[-1].text) == ["conv 32·3", "no layer"]
    assert list(et.plot.structure(study, trial=0).data[-1].text) == ["pool", "no layer"]
    with pytest.raises(StudyError, match=r"structure\(trial=7\): there is no such trial"):
        et.plot.structure(study, trial=7)


def test_networks_of_pools_only_and_of_twenty_layers_are_drawn():
    space = et.Space(net=et.Chain(1, 20, conv={"filters": et.Int(8, 64)}, pool={}))
    pools = et.plot.structure(study_of({"net": [POOL] * 3}, space=space))
    assert all(np.isfinite(bar.x).all() for bar in pools.data if bar.type == "bar")
    deep = [{"block": "conv", "filters": 8 + k} for k in range(20)]
    figure = et.plot.structure(study_of({"net": deep}, space=space))
    assert len(figure.data[-1].text) == 20
    assert figure.layout.height > pools.layout.height


def test_a_chain_that_is_asleep_has_no_layer():
    space = et.Space(
        deep=et.Bool(), net=et.Chain(1, 3, pool={}, when={"deep": True}), lr=et.Float(0, 1)
    )
    given = {"deep": True, "net": [POOL], "lr": 0.1}, {"deep": False, "lr": 0.2}
    study = study_of(*given, space=space)
    assert list(et.plot.structure(study).data[-1].text) == ["no layer"]
    assert len(et.plot.structures_over_time(study).data) > 0


def test_changes_are_drawn_from_each_parent():
    study = study_of(
        {"lr": 0.1, "features": [CONV], "head": []},
        {"lr": 0.1, "features": [POOL, CONV | {"filters": 33}, POOL], "head": [DENSE]},
        {"lr": 0.2, "features": [CONV | {"filters": 33}, POOL], "head": [DENSE]},
        parents=(0, 1),
    )
    figure = et.plot.structure_changes(study)
    drawn = {(bar.name, text) for bar in figure.data for text in bar.text}
    assert ("changed", "conv 32·3") in drawn
    assert ("changed", "conv 33·3") in drawn
    assert ("inserted", "pool") in drawn
    assert ("removed", "pool") in drawn
    assert ("inserted", "dense 64") in drawn
    assert ("same", "dense 64") in drawn
    assert [re.findall(r"\d+", text)[0] for text in figure.layout.xaxis2.ticktext] == ["1", "2"]
    shown = [bar.name for bar in figure.data if bar.showlegend]
    assert len(shown) == len(set(shown))
    with pytest.raises(NoResultError, match="parents of trial 0"):
        et.plot.structure_changes(study, trial=0)


def test_shares_are_those_of_the_layers():
    study = study_of(
        {"lr": 0.1, "features": [CONV, POOL], "head": []},
        {"lr": 0.1, "features": [CONV, CONV], "head": []},
    )
    shares = block_shares(et.plot.prepare(study), "features")
    assert shares["conv"].tolist() == [0.5, 1.0]
    assert shares["pool"].tolist() == [0.5, 0.0]
    assert shares["squeeze"].tolist() == [0.0, 0.0]


def test_chains_that_cannot_vary_have_no_trend():
    space = et.Space(net=et.Chain(2, 2, conv={"filters": et.Int(8, 64)}))
    layers = [{"block": "conv", "filters": 8}] * 2
    with pytest.raises(NoResultError, match="may vary in depth or blocks"):
        et.plot.structures_over_time(study_of({"net": layers}, space=space))


def test_sizes_need_parameters_that_differ(study):
    points = et.plot.sizes(study).data[0]
    done = [t for t in study.trials if t.is_done]
    assert sorted(points.x) == sorted(t.metrics["parameters"] for t in done)
    assert min(points.marker.color) >= 1
    one = study_of({"lr": 0.1, "features": [CONV], "head": []})
    with pytest.raises(NoResultError, match="a metric 'parameters' that differs"):
        et.plot.sizes(one)


def test_importance_has_a_bar_for_all_genes_of_a_chain(study):
    figure = et.plot.importance(study)
    texts = list(figure.layout.yaxis.ticktext)
    whole = next(text for text in texts if text.startswith("<b>features</b>, all"))
    assert texts.index(whole) < next(
        k for k, text in enumerate(texts) if text.startswith("features.")
    )
    total = float(figure.data[1].text[texts.index(whole)].rstrip(" %"))
    shares = study.importance.by_entry(SPACE)
    assert total == pytest.approx(100 * shares["features"], abs=0.5)
    assert sum(shares.values()) == pytest.approx(1)


def test_without_a_layer_on_either_side_no_change_is_drawn_and_the_report_is_written(tmp_path):
    space = et.Space(lr=et.Float(0, 1), net=et.Chain(0, 2, pool={}))
    study = study_of({"lr": 0.1, "net": []}, {"lr": 0.2, "net": []}, space=space, parents=(0,))
    with pytest.raises(NoResultError, match="needs layers in trial 1 or its parents"):
        et.plot.structure_changes(study)
    searched = et.Study(et.Genetic(space, population_size=4), "max lr", seed=1)
    searched.run(lambda trial: {"lr": trial.params["lr"] - len(trial.params["net"])}, trials=40)
    assert searched.best.parents
    assert searched.best.params["net"] == []
    assert searched.report(str(tmp_path / "report.html"))
