"""The pages of single trials, in a folder beside the report."""

import re
from dataclasses import replace
from urllib.parse import unquote

import pytest

import evotune as et
from evotune.errors import StudyError
from evotune.report.page import write
from evotune.trial import Failure, Origin
from helpers_report import Recorded, definition, scatter, simulate
from report.test_page import HOSTILE, browser, drawn
from report.test_trials import reporting, rows

LINK = re.compile(r'href="([^"#]+)(?:#[^"]*)?"')


def written(folder, trials, name="report.html", **options):
    report = write(folder / name, Recorded(definition(**options), trials), pages=True, plotly="cdn")
    return report, report.with_name(f"{report.stem}.trials")


def page(folder, number):
    return (folder / f"{number}.html").read_text("utf-8")


def part(text, title):
    return text.split(f"<h2>{title}</h2>")[1].split("</section>")[0]


@pytest.mark.parametrize("name", ["report.html", "a b#1.htm", "bare"])
def test_every_link_leads_to_a_file(tmp_path, name):
    trials = simulate(60)
    report, folder = written(tmp_path, trials, name)
    assert {path.name for path in folder.iterdir()} == {
        "style.css",
        *(f"{k}.html" for k in range(60)),
    }
    files = [report, *folder.glob("*.html")]
    for file in files:
        for address in LINK.findall(file.read_text("utf-8")):
            if not address.startswith("https:"):
                assert (file.parent / unquote(address)).is_file(), (file.name, address)
    table = rows(report.read_text("utf-8"))
    leads = [unquote(re.search(r'href="([^"]+)"', row)[1]) for row in table]
    assert sorted(leads) == sorted(f"{folder.name}/{k}.html" for k in range(60))
    assert '<article class="trial"' not in report.read_text("utf-8")


def test_without_the_option_there_is_one_file(tmp_path):
    write(tmp_path / "report.html", Recorded(definition(), simulate(20)))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_table_has_all_trials(tmp_path):
    space = et.Space(lr=et.Float(1e-4, 1, log=True))
    study = Recorded(definition(space, "min loss"), scatter(space, 700))
    for pages, shown in ((False, 500), (True, 700)):
        report = write(tmp_path / "r.html", study, plotly="cdn", pages=pages)
        assert len(rows(report.read_text("utf-8"))) == shown
    assert "All 700 trials" in report.read_text("utf-8")


def test_a_page_has_params_beside_those_of_parents_and_the_family(tmp_path):
    trials = simulate(60)
    _, folder = written(tmp_path, trials)
    child = next(t for t in trials if t.parents and t.is_done)
    text = page(folder, child.number)
    assert f"<h1>Trial {child.number}: done</h1>" in text
    own = part(text, "Params")
    parent = trials[child.parents[0]]
    assert f"<th>in trial {parent.number}</th>" in own
    assert f"<td>lr</td><td>{child.params['lr']:.6g}</td>" in own
    same = child.params["lr"] == parent.params["lr"]
    shown = f"{parent.params['lr']:.6g}"
    assert (f"<td>{shown}</td>" if same else f"<td><b>{shown}</b></td>") in own
    assert f"<td>accuracy</td><td>{child.metrics['accuracy']:.6g}</td>" in text
    origins = part(text, "Where it comes from")
    for number in child.parents:
        assert f'<a href="{number}.html">{number}</a>' in origins
    offspring = [t.number for t in trials if parent.number in t.parents]
    found = part(page(folder, parent.number), "What came of it")
    assert [int(n) for n in re.findall(r'href="(\d+)\.html"', found)] == offspring


def test_a_page_has_every_curve_and_the_whole_traceback(tmp_path):
    trials = reporting(simulate(30))
    reports = tuple({"step": k, "accuracy": 0.1 * k, "loss": 1.0 / (k + 1)} for k in range(9))
    trials[4] = replace(trials[4], reports=reports)
    trace = "Traceback\n" + "line\n" * 2000 + "the end"
    trials[5] = replace(
        trials[5], state="failed", values=None, failure=Failure("exception", "no", trace)
    )
    _, folder = written(tmp_path, trials)
    text = page(folder, 4)
    assert text.count("<polyline") == 2
    assert "loss as reported, 9 times: from 1 to 0.1111" in text
    assert trace in page(folder, 5)


def test_trials_that_came_from_weights_and_from_nowhere_known(tmp_path):
    trials = [replace(t, origin=Origin(), parents=()) for t in simulate(6) if t.is_done][:4]
    trials[1] = replace(trials[1], weights_from=trials[0].number, parents=(trials[0].number,))
    trials[2] = replace(trials[2], parents=(999,))
    _, folder = written(tmp_path, trials)
    assert "genes and weights" in part(page(folder, trials[1].number), "Where it comes from")
    lost = part(page(folder, trials[2].number), "Where it comes from")
    assert "<td>999</td><td>not in the study</td>" in lost
    assert "href" not in lost
    assert "Where it comes from" not in page(folder, trials[3].number)


def test_hostile_texts_stay_texts(tmp_path):
    failure = Failure("exception", HOSTILE, HOSTILE + "</pre>")
    trials = [replace(t, metrics={**t.metrics, HOSTILE: 1.0}) for t in simulate(6)]
    trials[2] = replace(trials[2], state="failed", values=None, failure=failure)
    trials[3] = replace(trials[3], reports=({"step": 0, HOSTILE: 1}, {"step": 1, HOSTILE: 2}))
    _, folder = written(tmp_path, trials, name="report.html")
    for number in range(6):
        text = page(folder, number)
        assert "<img" not in text
        assert "<script" not in text
        assert "default-src 'none'" in text
    assert "&lt;img" in page(folder, 2)
    assert "&lt;img" in page(folder, 3)


def test_many_children_are_cut_and_the_page_says_so(tmp_path):
    trials = [replace(t, parents=(0,) if t.number else ()) for t in simulate(260)]
    _, folder = written(tmp_path, trials)
    found = part(page(folder, 0), "What came of it")
    assert "The first 200 of 259." in found
    assert found.count("<tr>") == 201


@pytest.mark.parametrize("given", ["yes", 1, None])
def test_pages_is_true_or_false(tmp_path, given):
    with pytest.raises(StudyError, match="pages"):
        write(tmp_path / "r.html", Recorded(definition(), []), pages=given)
    assert not list(tmp_path.iterdir())


def test_a_picture_has_no_pages(tmp_path):
    with pytest.raises(StudyError, match=r"pages=True is for a page.*'a.html'"):
        write(tmp_path / "a.svg", Recorded(definition(), simulate(20)), pages=True)


def test_a_folder_that_cannot_be_made_leaves_no_report(tmp_path):
    (tmp_path / "report.trials").write_text("mine")
    with pytest.raises(StudyError, match="cannot write"):
        written(tmp_path, simulate(20))
    assert [path.name for path in tmp_path.iterdir()] == ["report.trials"]


def test_structures_have_pages(tmp_path):
    space = et.Space(
        lr=et.Float(1e-4, 1, log=True), body=et.Chain(1, 3, dense={"units": et.Int(8, 64)})
    )
    with et.Study(et.Genetic(space, population_size=6), "min loss", seed=1) as study:
        study.run(lambda trial: trial.params["lr"] + len(trial.params["body"]), trials=20)
        study.report(tmp_path / "r.html", plotly="cdn", pages=True)
        child = next(t for t in study.trials if t.parents)
    text = page(tmp_path / "r.trials", child.number)
    assert re.search(r"<td>body</td><td>.*dense \d+", part(text, "Params"))


def test_the_command_line_takes_it(tmp_path, capsys):
    from evotune.cli.main import app

    space = et.Space(x=et.Float(0, 1))
    with et.Study(et.RandomSearch(space), "max a", storage=tmp_path / "runs.db", seed=1) as study:
        study.run(lambda trial: trial.params["x"], trials=5)
    given = ["report", str(tmp_path / "runs.db"), "-o", str(tmp_path / "b.html"), "--pages"]
    app([*given, "--plotly", "cdn"], standalone_mode=False)
    assert len(list((tmp_path / "b.trials").glob("*.html"))) == 5


@pytest.mark.skipif(browser() is None, reason="needs Chromium or Chrome")
def test_a_browser_shows_a_page_with_its_styles(tmp_path):
    _, folder = written(tmp_path / "a b", reporting(simulate(8)))
    file = folder / "3.html"
    text = drawn(file, tmp_path / "profile")
    assert "<h1>Trial 3" in text
