"""The SVG is well formed, complete in itself, and shows what the report shows."""

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

import evotune as et
from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.analysis.data import prepare
from evotune.analysis.lineage import weights_line
from evotune.errors import StudyError
from evotune.report.picture import write_picture
from evotune.trial import Origin, Trial
from helpers_population import SCHEDULED, train_population
from helpers_report import Recorded, definition, simulate

SVG = "{http://www.w3.org/2000/svg}"


def picture(tmp_path: Path, trials: list[Trial], **changed: object) -> ElementTree.Element:
    path = write_picture(tmp_path / "study.svg", Recorded(definition(**changed), trials))
    return ElementTree.fromstring(path.read_text("utf-8"))


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_it_shows_the_best_and_its_family(tmp_path: Path) -> None:
    trials = simulate(120)
    root = picture(tmp_path, trials)
    best = max(t.metrics["accuracy"] for t in trials if t.is_done)
    assert f"{best:.4g}" in texts(root)
    assert "How accuracy improved" in texts(root)
    assert "Where the best trial comes from" in texts(root)
    assert len(list(root.iter(f"{SVG}circle"))) >= 3


def test_everything_lies_inside_the_picture(tmp_path: Path) -> None:
    root = picture(tmp_path, simulate(120))
    for line in root.iter(f"{SVG}polyline"):
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 920
            assert 0 <= y <= 360


def test_it_needs_no_other_file(tmp_path: Path) -> None:
    text = write_picture(tmp_path / "a.svg", Recorded(definition(), simulate(40))).read_text(
        "utf-8"
    )
    assert text.count("http") == 1  # the name of the SVG language itself
    assert "href" not in text


@pytest.mark.parametrize("count", [0, 1, 25])
def test_odd_studies_have_a_picture(tmp_path: Path, count: int) -> None:
    trials = [replace(t, parents=(), origin=Origin(), violation=1.0) for t in simulate(count)]
    root = picture(tmp_path, trials, name="<b>&</b>")
    assert "Where the best trial comes from" not in texts(root)
    assert not any(math.isnan(float(t.attrib["x"])) for t in root.iter(f"{SVG}text"))
    assert ("No trial is done yet" in texts(root)) == (count == 0)


def test_a_path_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot write"):
        write_picture(tmp_path, Recorded(definition(), []))


def test_the_orange_line_of_a_population_is_that_of_its_weights(tmp_path: Path) -> None:
    trials = train_population(PopulationBasedTraining(SCHEDULED, population_size=6), 36)
    root = picture(tmp_path, trials, space=SCHEDULED)
    data = prepare(Recorded(definition(SCHEDULED), trials))
    line = weights_line(trials, data.best.number)
    assert "line of its weights" in texts(root)
    orange = [p for p in root.iter(f"{SVG}polyline") if p.attrib["class"] == "best"][-1]
    assert len(orange.attrib["points"].split()) == len(line)


def test_a_short_search_is_drawn_by_trials(tmp_path):
    """The first trials of Hybrid look like one generation; a line shows how it improved."""
    study = et.tune(
        lambda trial: (trial.params["x"] - 0.3) ** 2,
        et.Space(x=et.Float(0.0, 1.0)),
        "min loss",
        trials=12,
        seed=1,
    )
    picture = study.report(tmp_path / "page.svg").read_text()
    assert ">trial<" in picture
    assert ">generation<" not in picture
    assert "generations" not in study.report(tmp_path / "page.html").read_text().split("<script")[0]
