"""All trials of a report: the table, what each number leads to, and where plotly.js comes from."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

import evotune as et
from evotune.errors import StudyError
from evotune.report.page import write
from evotune.trial import Failure
from helpers_report import Recorded, definition, scatter, simulate
from report.test_page import HOSTILE, assert_drawn, browser, drawn, figures, own_part

needs_browser = pytest.mark.skipif(browser() is None, reason="needs Chromium or Chrome")


def page_of(folder, trials, objectives="max accuracy", **options):
    study = Recorded(definition(objectives=objectives), trials)
    return write(folder / "report.html", study, **options).read_text("utf-8")


def details(page, number):
    return page.split(f'<article class="trial" id="trial-{number}">')[1].split("</article>")[0]


def rows(page):
    body = page.split('id="table"')[1].split('class="sorts"')[1].split("<tbody>")[1]
    return re.findall(r"<tr>(.*?)</tr>", body.split("</tbody>")[0])


def reporting(trials):
    made = []
    for t in trials:
        reports = tuple({"step": k, "accuracy": 0.1 * k} for k in range(3 if t.number % 2 else 6))
        state = "stopped" if t.is_done and t.number % 2 else t.state
        made.append(replace(t, reports=reports, state=state))
    return made


# -- the table, and one trial ---------------------------------------------------------------------


def test_the_table_has_every_trial_the_best_first(tmp_path):
    trials = simulate(60)
    page = page_of(tmp_path, trials)
    found = rows(page)
    numbers = [int(re.search(r'href="#trial-(\d+)"', row)[1]) for row in found]
    assert sorted(numbers) == list(range(60))
    done = [t for t in trials if t.is_done]
    assert numbers[: len(done)] == [t.number for t in sorted(done, key=lambda t: t.values)]
    failed = [t.number for t in trials if t.failure]
    assert numbers[len(done) :] == failed


def test_a_number_leads_to_all_of_a_trial(tmp_path):
    trials = reporting(simulate(60))
    trials[7] = replace(trials[7], notes={"log": "/runs/7.txt"})
    page = page_of(tmp_path, trials)
    child = next(t for t in trials if t.parents and t.is_done and "momentum" in t.params)
    text = details(page, child.number)
    for parent in child.parents:
        assert f'<a href="#trial-{parent}">{parent}</a>' in text
    assert f"<td>momentum</td><td>{child.params['momentum']:.6g}</td>" in text
    assert f"<td>accuracy</td><td>{child.metrics['accuracy']:.6g}</td>" in text
    assert re.search(r'<polyline points="0.0,80.0 .* 300.0,0.0"/>', text)
    assert "<td>log</td><td>/runs/7.txt</td>" in details(page, 7)
    failed = next(t for t in trials if t.failure)
    assert "train.py" in details(page, failed.number)


@pytest.mark.parametrize("trials", [60, 1500])  # all are in the table, or 500
@pytest.mark.parametrize("goals", ["max accuracy", ["max accuracy", "min train_seconds"]])
def test_every_link_leads_somewhere_and_every_section_is_in_the_contents(tmp_path, trials, goals):
    made = simulate(trials)
    if isinstance(goals, list):
        made = [replace(t, values=(*t.values, 1.0)) if t.values else t for t in made]
    page = own_part(page_of(tmp_path, made, goals))
    ids = set(re.findall(r'id="([^"]+)"', page))
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links <= ids
    contents = page.split("<nav")[1].split("</nav>")[0]
    sections = re.findall(r'<section class="card" id="([^"]+)"', page)
    assert re.findall(r'href="#([^"]+)"', contents) == sections


def test_very_many_trials_stay_light_and_the_page_says_so(tmp_path):
    space = et.Space(lr=et.Float(1e-4, 1, log=True), c=et.Choice("a", "b"))
    study = Recorded(definition(space, "min loss"), scatter(space, 20_000))
    page = write(tmp_path / "r.html", study, plotly=tmp_path / "p.js").read_text("utf-8")
    assert len(page) < 3e6
    assert len(rows(page)) == 500
    assert "Of 20,000 trials 500 are in this table: the best, and the last ones." in page
    assert 'id="trial-19999"' in page
    best = min(study.trials, key=lambda t: t.values).number
    assert f'id="trial-{best}"' in page


def test_hostile_texts_stay_texts_in_details(tmp_path):
    failure = Failure("exception", HOSTILE, HOSTILE + "</pre>")
    trials = [replace(t, metrics={**t.metrics, HOSTILE: 1.0}) for t in simulate(12)]
    trials[2] = replace(trials[2], state="failed", values=None, failure=failure)
    page = own_part(page_of(tmp_path, trials))
    assert "<img" not in page
    assert "&lt;img" in details(page, 2)


@needs_browser
def test_a_browser_finds_the_shared_file_sorts_filters_and_shows_a_trial(tmp_path):
    study, library = Recorded(definition(), simulate(60)), tmp_path / "lib" / "plotly.min.js"
    path = write(tmp_path / "a b" / "report.html", study, plotly=library)
    drawn_figures = len(figures(path.read_text("utf-8")))
    script = """<script>addEventListener("load", () => {
      const part = document.getElementById("table");
      const heads = [...part.querySelectorAll("table.sorts th")];
      const column = heads.findIndex((head) => head.textContent === "lr");
      const shown = () => [...part.querySelectorAll("table.sorts tbody tr")]
        .filter((row) => !row.hidden).map((row) => row.cells[column].textContent);
      const out = {};
      heads[column].click(); out.up = shown();
      heads[column].click(); out.down = shown();
      const field = part.querySelector("input");
      const filter = (words) => { field.value = words; field.dispatchEvent(new Event("input")); };
      filter("lr<0.01"); out.low = shown();
      filter("failed"); out.failed = shown().length;
      filter("lr>0.001 sgd"); out.both = shown().length;
      out.words = part.querySelector(".filter span").textContent;
      location.hash = "#trial-7";
      const visible = [...document.querySelectorAll(".trial")].filter((t) => t.checkVisibility());
      out.visible = visible.map((trial) => trial.id);
      const note = document.createElement("pre");
      note.id = "noted"; note.textContent = JSON.stringify(out); document.body.append(note);
    });</script></body>"""
    path.write_text(path.read_text("utf-8").replace("</body>", script), "utf-8")
    page = drawn(path, tmp_path / "profile")
    assert_drawn(page, drawn_figures)
    out = json.loads(re.search(r'<pre id="noted">(.*?)</pre>', page)[1].replace("&gt;", ">"))
    up = [float(text) for text in out["up"]]
    assert up == sorted(up)
    assert [float(text) for text in out["down"]] == up[::-1]
    trials = simulate(60)
    assert [float(text) for text in out["low"]] == [lr for lr in up[::-1] if lr < 0.01]
    assert out["failed"] == sum(t.failure is not None for t in trials)
    both = sum(t.params["lr"] > 0.001 and t.params["optimizer"] == "sgd" for t in trials)
    assert out["both"] == both
    assert out["words"] == f"{both} of 60"
    assert out["visible"] == ["trial-7"]


# -- several objectives, and trials that were stopped ---------------------------------------------


def test_of_several_objectives_the_front_comes_first_its_table_on_top(tmp_path):
    trials = [
        replace(t, values=(*t.values, t.metrics["train_seconds"])) if t.values else t
        for t in simulate(60)
    ]
    page = own_part(page_of(tmp_path, trials, ["max accuracy", "min train_seconds"]))
    assert re.findall(r'<section class="card" id="([\w-]+)"', page)[:2] == ["front", "hypervolume"]
    front = page.split('id="front"')[1].split("</section>")[0]
    assert front.index("<table") < front.index('class="plot')
    assert front.count("<tr>") == 1 + len(re.findall(r'<tr><td><a href="#trial-', front))
    assert "<small>knee</small>" in front
    assert "How it is computed: the knee" in front
    assert 'id="best"' not in page


def test_stopped_trials_have_their_curves(tmp_path):
    trials = reporting(simulate(60))
    page = page_of(tmp_path, trials)
    curves = page.split('id="curves"')[1].split("</section>")[0]
    stopped = sum(t.state == "stopped" for t in trials)
    assert f"{stopped} trials of 60 were stopped early" in curves
    assert "curves" not in figures(page_of(tmp_path, simulate(60)))


# -- plotly.js ------------------------------------------------------------------------------------

POLICY = "script-src 'unsafe-inline' 'unsafe-eval'; style-src"


def test_twenty_trials_without_the_library_are_a_small_page(tmp_path):
    page = page_of(tmp_path, simulate(20), plotly="cdn")
    assert len(page.encode()) < 300_000
    assert get_plotlyjs()[:2000] not in page
    [address] = re.findall(r'<script src="([^"]+)" integrity="sha256-[^"]+"', page)
    assert re.fullmatch(r"https://cdn\.plot\.ly/plotly-[\d.]+\.min\.js", address)
    assert "'unsafe-eval' https://cdn.plot.ly; style-src" in page
    assert f"This page loads plotly.js from {address}, and nothing else." in page
    assert POLICY in page_of(tmp_path, simulate(20))


def test_pages_share_a_file_that_is_written_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = page_of(tmp_path / "pages" / "a b", simulate(20), plotly="plotly.min.js")
    assert '<script src="../../plotly.min.js"></script>' in page
    assert (tmp_path / "plotly.min.js").read_text("utf-8") == get_plotlyjs()
    Path("plotly.min.js").write_text("// mine")
    page_of(tmp_path, simulate(20), plotly=Path("plotly.min.js"))
    assert Path("plotly.min.js").read_text() == "// mine"
    page = page_of(tmp_path, simulate(20), plotly="https://example.org/x/plotly.js")
    assert "'unsafe-eval' https://example.org; style-src" in page


def test_a_page_without_figures_loads_no_library(tmp_path):
    page = page_of(tmp_path, [], plotly="cdn")
    assert "cdn.plot.ly" not in page
    assert "it loads nothing" in page


@pytest.mark.parametrize("given", ["online", True, None, 3, "", "plotly.css", "https://;.js"])
def test_another_place_of_the_library_is_refused(tmp_path, given):
    with pytest.raises(StudyError, match="plotly"):
        page_of(tmp_path, simulate(20), plotly=given)
    assert not list(tmp_path.iterdir())


def test_a_picture_has_no_library(tmp_path):
    with pytest.raises(StudyError, match=r"a picture such as .* has none"):
        write(tmp_path / "a.svg", Recorded(definition(), simulate(20)), plotly="cdn")


def test_a_study_and_the_command_line_take_it(tmp_path, capsys):
    from evotune.cli.main import app

    space = et.Space(x=et.Float(0, 1))
    with et.Study(et.RandomSearch(space), "max a", storage=tmp_path / "runs.db", seed=1) as study:
        study.run(lambda trial: trial.params["x"], trials=5)
        page = study.report(tmp_path / "a.html", plotly="cdn").read_text("utf-8")
    assert "cdn.plot.ly" in page
    given = ["report", str(tmp_path / "runs.db"), "-o", str(tmp_path / "b.html"), "--plotly", "cdn"]
    app(given, standalone_mode=False)
    assert "cdn.plot.ly" in (tmp_path / "b.html").read_text("utf-8")
