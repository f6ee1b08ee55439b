"""The page of a study of chains of layers: its sections, tables and sentences."""

import re
from dataclasses import replace

import pytest

import evotune as et
from evotune.analysis.data import prepare
from evotune.printing import layers_text
from evotune.report.findings import findings
from evotune.report.page import write
from evotune.report.sections import sections
from helpers_chains import SPACE, all_failed, recorded, trial_of
from helpers_report import Recorded, definition, simulate

OWN = ["structure", "changes", "structures", "sizes"]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def study():
    return recorded(40)


@pytest.fixture(scope="module")
def made(study):
    return {section.key: section for section in sections(prepare(study))}


def test_chains_have_sections_of_their_own_in_order(made):
    assert [key for key in made if key in OWN] == OWN


def test_without_chains_there_are_none():
    found = sections(prepare(Recorded(definition(), simulate(30))))
    assert not {section.key for section in found} & set(OWN)


def test_of_failed_trials_there_is_the_reason_with_layers_in_short(tmp_path):
    failed = all_failed()
    page = write(tmp_path / "report.html", failed).read_text("utf-8")
    assert not set(re.findall(r'id="(\w+)"', page)) & set(OWN)
    assert f"features={layers_text(failed.trials[0].params['features'])}" in page


def test_tables_have_one_column_for_a_chain(study, made):
    table = made["table"].table
    assert [name for name in table.head if "." in name] == []
    best = min((t for t in study.trials if t.is_done), key=lambda t: t.values)
    row = table.rows[0]
    assert row[table.head.index("features")] == layers_text(best.params["features"])


def test_the_best_trial_is_there_as_records_to_copy(study, tmp_path):
    page = write(tmp_path / "report.html", study).read_text("utf-8")
    best = page[page.index('id="best"') :].split("</section>")[0]
    assert "&#34;block&#34;: &#34;" in best
    assert "features.depth" not in best


def test_what_decides_is_said_by_chain(study):
    data = prepare(study)
    data.__dict__["importance"] = replace(data.importance, trials=99, quality=0.9)
    line = next(text for text in findings(data) if text.startswith("What decides"))
    assert "features (" in line
    assert "features." not in line


def test_a_chain_has_collapsed_only_when_most_of_it_has():
    layer = {"block": "conv", "filters": 8, "kernel": 3}
    space = et.Space(net=et.Chain(1, 4, conv={"filters": et.Int(8, 64), "kernel": et.Int(1, 5)}))

    def trials(late):
        for k in range(60):
            first = [layer | {"filters": 8 + k, "kernel": 1 + k % 5}] * (1 + k % 4)
            one = trial_of(space, k, net=first if k < 10 else late(k))
            yield replace(one, origin=replace(one.origin, generation=k // 10))

    def said(late):
        study = Recorded(definition(space), list(trials(late)))
        return [text for text in findings(prepare(study)) if "collapsed" in text]

    (alike,) = said(lambda _: [layer] * 4)
    assert "collapsed in net (" in alike
    assert "net.1" not in alike
    assert not said(
        lambda k: [layer, *[layer | {"filters": 8 + k % 50, "kernel": 1 + k % 5}] * (k % 4)]
    )


def test_names_of_blocks_and_settings_stay_text(tmp_path):
    settings = {HOSTILE: et.Choice(HOSTILE, "b")}
    space = et.Space({HOSTILE: et.Chain(1, 3, **{HOSTILE: settings, "b": {}})})
    layer = {"block": HOSTILE, HOSTILE: HOSTILE}
    trials = [trial_of(space, k, **{HOSTILE: [layer] * (1 + k % 3)}) for k in range(12)]
    trials[-1] = replace(trials[-1], parents=(1,))
    page = write(tmp_path / "report.html", Recorded(definition(space), trials)).read_text("utf-8")
    assert {"structure", "changes", "structures"} <= set(re.findall(r'id="(\w+)"', page))
    assert "<img src=x" not in page


def test_the_family_tells_which_layers_changed(study):
    figure = et.plot.family(study)
    stories = "".join(story for trace in figure.data for story in (trace.customdata or ()))
    assert "features: " in stories
    assert "features.1" not in stories
    assert "lr: " in stories


def test_a_page_of_20_layers_is_written(tmp_path):
    space = et.Space(net=et.Chain(1, 20, conv={"filters": et.Int(8, 64)}, pool={}))
    study = et.Study(et.RandomSearch(space), "max accuracy", seed=1)
    study.run(lambda trial: len(trial.params["net"]) / 20, trials=100)
    page = write(tmp_path / "report.html", Recorded(definition(space), study.trials))
    assert 'id="structures"' in page.read_text("utf-8")
    assert page.stat().st_size < 8e6


def test_a_search_of_chains_says_where_the_best_came_from(study):
    data = prepare(study)
    assert set(data.params(data.best)) == set(SPACE.entries)
