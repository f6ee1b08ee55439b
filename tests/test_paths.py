"""Paths that users write: the home folder, and endings that cannot be written."""

from pathlib import Path

import pytest

import evotune as et
from evotune.checks import user_path
from evotune.cli.main import main
from evotune.errors import EvotuneError, ScheduleError, StudyError
from evotune.report import compare, write_ranking
from evotune.schedules.schedule import Schedule, Segment


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder, here = tmp_path / "home", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    monkeypatch.chdir(here)
    yield folder
    assert not (here / "~").exists()


def study(seed=1, **options):
    made = et.Study(et.RandomSearch(et.Space(x=et.Float(0, 1))), "min loss", seed=seed, **options)
    return made.run(lambda trial: trial.params["x"], trials=3)


def test_every_file_that_is_written_or_read_may_lie_in_the_home_folder(home):
    study().report("~/a/page.html")
    study().report(Path("~/picture.svg"))
    schedule = Schedule((Segment(1, {"lr": 0.5}),))
    schedule.save("~/schedule.json")
    schedule.plot("~/schedule.html")
    assert Schedule.load("~/schedule.json") == schedule
    write_ranking("~/ranking.html", compare({"a": [study(1)], "b": [study(1)]}))
    study(storage="~/runs.db").close()
    names = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert names >= {"a/page.html", "picture.svg", "schedule.json", "schedule.html", "runs.db"}
    assert "ranking.html" in names


def test_every_command_takes_such_paths_quoted(home, capsys):
    study(storage="~/runs.db").close()
    for arguments in (
        ["report", "~/runs.db", "-o", "~/page.html"],
        ["export", "sqlite:///~/runs.db", "-o", "~/study.json"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0, capsys.readouterr().err
    assert {"page.html", "study.json"} <= {path.name for path in home.iterdir()}


@pytest.mark.parametrize("name", ["curve.png", "paper.PDF", "page.md"])
def test_a_report_is_no_picture_of_pixels(tmp_path, name):
    with pytest.raises(StudyError, match=r"\.html.*\.svg"):
        study().report(tmp_path / name)
    with pytest.raises(StudyError, match=r"\.html"):
        write_ranking(tmp_path / name, compare({"a": [study()], "b": [study()]}))
    with pytest.raises(ScheduleError, match=r"\.html"):
        Schedule((Segment(1, {"lr": 0.5}),)).plot(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_the_commands_say_so_too(home, capsys):
    study(storage="~/runs.db").close()
    for command in ("report", "compare"):
        with pytest.raises(SystemExit) as ended:
            main([command, "~/runs.db", "-o", "x.png"])
        assert ended.value.code == 1
        assert ".html" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["", None, 3, "~nobody-of-that-name/x.html"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(EvotuneError, match="path"):
        user_path(path)
