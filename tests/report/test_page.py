"""The report holds what it should, in every kind of study, and cannot be broken by its contents."""

import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

import evotune as et
from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.analysis.comparison import Comparison
from evotune.errors import StudyError
from evotune.objectives import Constraint
from evotune.protocols import StudyDefinition
from evotune.report.page import write
from evotune.space import Bool, Choice, Fixed, Float, Int, Ordinal, Space
from evotune.trial import Failure, Origin, Trial
from helpers_population import SCHEDULED, train_population
from helpers_report import SPACE, Recorded, definition, scatter, simulate

HOSTILE = "<img src=x onerror=\"document.body.dataset.hacked='yes'\"><script>alert(1)</script>"
ALL_FIGURES = [
    "progress",
    "parallel",
    "importance",
    "slices",
    "contour",
    "distributions",
    "family",
    "diversity",
    "timeline",
]


def page_of(tmp_path: Path, study: StudyDefinition, trials: list[Trial], **options: Any) -> str:
    return write(tmp_path / "report.html", Recorded(study, trials), **options).read_text("utf-8")


def browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def own_part(page: str) -> str:
    return page.replace(get_plotlyjs(), "")


def figures(page: str) -> list[str]:
    parts = re.findall(r'<section class="card" id="([\w-]+)">(.*?)</section>', page, re.DOTALL)
    return [key for key, content in parts if '<div class="plot' in content]


@pytest.fixture(scope="module")
def study() -> list[Trial]:
    return simulate(120)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, study: list[Trial]) -> str:
    return page_of(tmp_path_factory.mktemp("page"), definition(), study)


def with_scores(trials: list[Trial], scores: Any) -> list[Trial]:
    return [
        replace(t, values=(-scores(t),), metrics={"accuracy": scores(t)}) if t.is_done else t
        for t in trials
    ]


def test_report_of_a_genetic_search_has_every_part(page: str, study: list[Trial]) -> None:
    best = min((t for t in study if t.is_done), key=lambda t: t.values or ())
    assert figures(page) == ALL_FIGURES
    assert f"<h2>Best trial: {best.number}</h2>" in page
    assert f"{best.metrics['accuracy']:.4g}" in page
    assert "Genetic(population_size=20" in page
    assert "worker died" in page
    assert "train.py" in page
    assert "All 120 trials" in page
    failed = sum(t.state == "failed" for t in study)
    assert f"{120 - failed} done · {failed} failed" in page


def test_page_needs_no_network(page: str) -> None:
    assert page.count(get_plotlyjs()) == 1
    assert "default-src 'none'" in page
    assert not re.findall(r"<(?:link|iframe|img|script[^>]*\ssrc)", own_part(page))
    assert not re.search(r"https?://|url\(|@import", own_part(page))


def test_scores_are_shown_in_the_users_sign(tmp_path: Path) -> None:
    trials = [t for t in simulate(40) if t.is_done]
    page = page_of(tmp_path, definition(), trials)
    assert not re.search(r"<b>-0\.\d+</b>", page)


def test_the_title_may_be_given(tmp_path: Path, study: list[Trial]) -> None:
    page = page_of(tmp_path, definition(), study[:1], title="Tuesday & more")
    assert "<h1>Tuesday &amp; more</h1>" in page


def hostile() -> Recorded:
    """Return a study with markup and quotes in every name and text that a user may choose."""
    space = Space({HOSTILE: Float(0, 1), "c": Choice(HOSTILE, "b"), "d'\"": Float(0, 1)})
    trials = [
        replace(t, metrics={HOSTILE: t.values[0], "'\"": 1.0}) if t.values else t
        for t in scatter(space, 30)
    ]
    failure = Failure("exception", HOSTILE, HOSTILE + "</pre>")
    trials[3] = replace(trials[3], state="failed", values=None, failure=failure)
    goals = [f"min {HOSTILE}", Constraint(HOSTILE, at_most=99)]
    return Recorded(definition(space, goals, name=HOSTILE, algorithm=HOSTILE), trials)


def test_hostile_names_and_messages_stay_text(tmp_path: Path) -> None:
    comparison = Comparison(HOSTILE, "min", {HOSTILE: (1.0, 2.0), "b": (2.0, 3.0)}, True, {})
    path = write(tmp_path / "report.html", hostile(), comparison=comparison)
    page = own_part(path.read_text("utf-8"))
    assert "<img" not in page
    assert "<script>alert" not in page
    for key in ("comparison", "failed", "table"):
        part = page[page.index(f'id="{key}"') :].split("</section>")[0]
        assert "&lt;script&gt;alert(1)" in part
    top = page[: page.index('id="best"')]
    assert top.count("&lt;script&gt;alert(1)") >= 4  # title twice, objective, algorithm


@pytest.mark.parametrize("ending", ["html", "svg"])
def test_hostile_names_stay_text_in_every_format(tmp_path: Path, ending: str) -> None:
    text = write(tmp_path / f"report.{ending}", hostile()).read_text("utf-8")
    assert "<img" not in text.replace(get_plotlyjs(), "")


def test_texts_that_panels_share_stand_in_the_page_once(page: str) -> None:
    slices = page[page.index('id="slices"') :].split("</section>")[0]
    drawn = json.loads(re.search(r'class="figure">(.*?)</script>', slices)[1])
    shared = [t["customdata"] for t in drawn["data"] if isinstance(t.get("customdata"), int)]
    assert len(shared) == 3 * (len(SPACE) - 1)  # points, failures and star of each further panel
    assert slices.count("trial 7\\u003c/b>,") == 1


@pytest.mark.skipif(browser() is None, reason="needs Chromium or Chrome to draw the page")
def test_a_browser_runs_nothing_of_a_hostile_study(tmp_path: Path) -> None:
    path = write(tmp_path / "report.html", hostile())
    page = drawn(path, tmp_path / "profile")
    assert_drawn(page, len(figures(path.read_text("utf-8"))))
    assert not re.search(r"<body[^>]*data-hacked", page)


ODD = {
    "no trial": [],
    "waiting": [Trial(0, simulate(1)[0].genome, simulate(1)[0].params)],
    "one trial": simulate(1),
    "all failed": [
        replace(t, state="failed", values=None, metrics={}, failure=Failure("died", "gone"))
        for t in simulate(30)
    ],
    "failed without a reason": [replace(simulate(1)[0], state="failed", values=None)],
    "constant": with_scores(simulate(40), lambda _: 0.5),
    "zero": with_scores(simulate(40), lambda _: 0.0),
    "huge": with_scores(simulate(40), lambda t: 10.0 ** (t.number * 7)),
    "infinite": with_scores(simulate(40), lambda t: math.inf if t.number % 2 else 0.5),
    "nan": with_scores(simulate(40), lambda t: math.nan if t.number % 2 else 0.5),
    "nothing finite": with_scores(simulate(40), lambda _: math.inf),
    "infeasible": [replace(t, violation=1.0 + t.number) for t in simulate(40)],
    "no generations": [replace(t, origin=Origin(), parents=()) for t in simulate(40)],
    "missing parents": [replace(t, parents=(999,)) for t in simulate(40)],
    "unsorted": simulate(40)[::-1],
}


@pytest.mark.parametrize("case", ODD)
def test_every_odd_study_has_a_report(tmp_path: Path, case: str) -> None:
    page = page_of(tmp_path, definition(), ODD[case])
    assert "digits-cnn" in page
    has_values = case not in ("no trial", "waiting", "all failed", "nothing finite")
    if case != "failed without a reason":
        assert ("progress" in figures(page)) == has_values


def test_what_is_not_drawn_is_said(tmp_path: Path) -> None:
    page = page_of(tmp_path, definition(), ODD["nothing finite"])
    assert "infinite value or NaN" in page
    assert "nothing to draw" in page


@pytest.mark.parametrize(
    "space",
    [
        Space(x=Float(0, 1)),
        Space(x=Fixed(3)),
        Space(x=Float(2, 2)),
        Space(b=Bool(), o=Ordinal(None, "x", 3, True), q=Float(0, 1, step=0.25), n=Int(5, 6)),
        Space(c=Choice(*[f"option {k}" for k in range(30)])),
    ],
    ids=["one gene", "fixed", "one value", "listed", "many options"],
)
def test_every_kind_of_space_has_a_report(tmp_path: Path, space: Space) -> None:
    page = page_of(tmp_path, definition(space, "min loss"), scatter(space, 25))
    assert "progress" in figures(page)
    assert ("slices" in figures(page)) == any(space[name].size > 1 for name in space)


def test_sixty_genes_are_cut_to_the_most_important(tmp_path: Path) -> None:
    space = Space({f"g{k:02}": Float(1e-5, 1.0, log=True) for k in range(60)})
    page = page_of(tmp_path, definition(space, "min loss"), scatter(space, 60))
    assert "Of 60 genes the 12 most important are drawn." in page
    distributions = page[page.index('id="distributions"') :].split("</section>")[0]
    assert len(set(re.findall(r"<b>(g\d\d)", distributions))) == 12
    assert "g00" in distributions  # the one that decides


def test_a_page_of_20000_trials_stays_small(tmp_path: Path) -> None:
    space = Space(lr=Float(1e-4, 1, log=True), c=Choice("a", "b"), n=Int(1, 9))
    page = page_of(tmp_path, definition(space, "min loss"), scatter(space, 20_000))
    assert len(page.encode()) < 10e6
    assert "Of 20,000 trials 2,000 are drawn" in page


def test_several_objectives_get_a_front(tmp_path: Path) -> None:
    space = Space(x=Float(0, 1))
    trials = [
        replace(t, values=(t.genome["x"], -(t.genome["x"] ** 0.5)), violation=float(t.number % 2))
        for t in scatter(space, 40)
    ]
    study = definition(space, ["min loss", "max speed", Constraint("loss", at_most=0.5)])
    page = page_of(tmp_path, study, trials)
    assert {"front", "hypervolume"} <= set(figures(page))
    assert "there are 20 of 40 trials" in page  # every feasible one is a compromise here
    assert "Hollow points break a constraint." in page
    assert "Of several objectives, only the first is shown: loss." in page


def test_constraints_are_listed_and_infeasible_trials_marked(tmp_path: Path) -> None:
    trials = [replace(t, violation=float(t.number % 4 == 0)) for t in simulate(40) if t.is_done]
    broken = sum(t.violation > 0 for t in trials)
    goals = ["max accuracy", Constraint("size", at_most=0.5), Constraint("speed", at_least=2)]
    page = page_of(tmp_path, definition(SPACE, goals), trials)
    assert "<dt>constraints</dt><dd>size &lt;= 0.5, 2 &lt;= speed</dd>" in page
    assert f"{broken} infeasible" in page
    assert f"{broken} trials (" in page
    assert f"Hollow points break a constraint: {broken} trials." in page
    assert page.count("<small>infeasible</small>") == broken
    everyone = [replace(t, violation=1.0) for t in trials]
    assert "Every trial breaks a constraint" in page_of(
        tmp_path, definition(SPACE, goals), everyone
    )
    assert "<dt>constraints" not in page_of(tmp_path, definition(), trials)


def test_a_poor_forest_is_called_so(tmp_path: Path) -> None:
    trials = with_scores(simulate(60), lambda t: float(np.random.default_rng(t.number).random()))
    page = page_of(tmp_path, definition(), trials)
    assert "importance" in figures(page)
    assert "Do not rely on this: the forest hardly predicts" in page


def test_few_trials_are_called_too_few(tmp_path: Path) -> None:
    page = page_of(tmp_path, definition(), simulate(18))
    assert "importance" in figures(page)
    assert "trials are too few to tell" in page


def test_an_old_report_is_replaced_and_no_part_is_left(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "report.html"
    for name in ("first", "second"):
        assert write(target, Recorded(definition(name=name), [])) == target
    assert "<h1>second</h1>" in target.read_text("utf-8")
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def test_a_path_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StudyError, match=r"cannot write .*file"):
        write(tmp_path / "file" / "report.html", Recorded(definition(), []))
    with pytest.raises(StudyError, match="cannot write"):
        write(tmp_path, Recorded(definition(), []))
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def drawn(page: Path, profile: Path) -> str:
    """Return the page as a browser has built it, figures drawn."""
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync "
        "--window-size=1280,5000 --virtual-time-budget=20000"
    )
    command = [browser() or "", *flags.split(), f"--user-data-dir={profile}", "--dump-dom",
               page.as_uri()]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(browser() is None, reason="needs Chromium or Chrome to draw the page")
def test_a_browser_draws_every_figure(tmp_path: Path) -> None:
    space = Space({**SPACE.domains, HOSTILE: Choice(HOSTILE, "plain")})
    trials = [
        replace(
            t,
            params={**t.params, HOSTILE: HOSTILE if t.number % 2 else "plain"},
            genome={**t.genome, HOSTILE: HOSTILE if t.number % 2 else "plain"},
            values=(*t.values, t.metrics["train_seconds"]) if t.values else None,
        )
        for t in simulate(80)
    ]
    study = definition(space, ["max accuracy", "min train_seconds"], name=HOSTILE)
    path = write(tmp_path / "report.html", Recorded(study, trials))
    page = drawn(path, tmp_path / "profile")
    assert_drawn(page, len(ALL_FIGURES) + 2)
    assert not re.search(r"<body[^>]*data-hacked", page)


@pytest.mark.skipif(browser() is None, reason="needs Chromium or Chrome to draw the page")
def test_a_browser_draws_every_figure_of_a_population(tmp_path: Path) -> None:
    trials = train_population(
        PopulationBasedTraining(SCHEDULED, population_size=6), 36, failing={9}
    )
    runs = {"evolution": (0.9, 0.8), "random search": (0.7, 0.8)}
    path = write(
        tmp_path / "report.html",
        Recorded(definition(SCHEDULED), trials),
        comparison=Comparison("accuracy", "max", runs, are_paired=True, epochs={}),
    )
    shown = len(figures(path.read_text("utf-8")))
    assert shown == len(ALL_FIGURES) + 5  # one tree instead of another, and five more
    assert_drawn(drawn(path, tmp_path / "profile"), shown)


def assert_drawn(page: str, count: int) -> None:
    assert 'data-drawn="yes"' in page
    assert 'class="plot broken' not in page
    plots = re.findall(r'<div class="plot[^"]*js-plotly-plot[^"]*"', page)
    assert len(plots) == count
    assert page.count('class="main-svg"') >= len(plots)


def test_halving_shows_its_rungs_and_no_schedules(tmp_path):
    def train(trial):
        epochs = sum(1 for _ in trial.epochs())
        trial.resume()
        trial.keep(epochs=epochs)
        return trial.params["x"]

    space = et.Space(x=et.Float(0.0, 1.0))
    algorithm = et.SuccessiveHalving(et.RandomSearch(space), minimum=1, maximum=9)
    study = et.Study(algorithm, "max score", seed=1).run(train, trials=20)
    text = study.report(tmp_path / "report.html").read_text()
    table = text.split('id="rungs"')[1].split("</table>")[0]
    budgets = [trial.origin.rung for trial in study.trials]
    for budget in (1.0, 3.0, 9.0):
        assert f"<td>{budget:g}</td><td>{budgets.count(budget)}</td>" in table
    assert 'id="schedules"' not in text
    assert "of a member" not in text
