"""What a run shows while it goes on."""

import pytest

import evotune as et
from evotune.errors import StudyError

SPACE = et.Space(x=et.Float(0.0, 1.0))


def square(trial):
    return (trial.params["x"] - 0.3) ** 2


def study(**options):
    return et.Study(et.RandomSearch(SPACE), "min loss", seed=1, **options)


def test_nothing_where_nobody_looks(capsys):
    study().run(square, trials=3)
    assert capsys.readouterr() == ("", "")


def test_a_bar_in_a_terminal_with_the_best_so_far(terminal):
    written = terminal()
    made = study().run(square, trials=12)
    shown = written.getvalue()
    assert "12/12" in shown
    assert f"best loss {made.best.metrics['loss']:.4g}" in shown.splitlines()[-1]


def test_a_bar_goes_on_where_the_study_was(terminal, tmp_path):
    written = terminal()
    study(storage=tmp_path / "runs.db").run(square, trials=3, progress=False)
    assert written.getvalue() == ""
    study(storage=tmp_path / "runs.db").run(square, trials=5)
    assert "3/5" in written.getvalue()
    assert "5/5" in written.getvalue()


def test_without_a_known_number_of_trials(terminal):
    written = terminal()
    study().run(square, target=0.1, trials=None, timeout=60)
    assert "best loss" in written.getvalue()


def test_failures_are_counted(terminal):
    written = terminal()

    def train(trial):
        if trial.number % 2:
            raise ValueError("no such file")
        return trial.params["x"]

    study().run(train, trials=6, max_failures=1)
    assert "3 failed" in written.getvalue()


def test_lines_elsewhere_where_they_are_wanted(capsys):
    et.tune(square, SPACE, "min loss", trials=3, seed=1, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:3] for line in lines] == [["trial", str(k), "done"] for k in range(3)]
    assert all("best loss" in line for line in lines)


def test_several_objectives(terminal):
    written = terminal()
    both = et.Study(et.RandomSearch(SPACE), ["min loss", "max size"], seed=1)
    both.run(lambda trial: {"loss": square(trial), "size": trial.params["x"]}, trials=4)
    assert f"{len(both.front)} on the front" in written.getvalue()


def test_an_error_of_the_run_ends_the_bar(terminal):
    written = terminal()
    with pytest.raises(StudyError, match="callbacks"):
        study().run(square, trials=3, callbacks=3)
    assert written.getvalue() == ""


def test_what_is_no_answer():
    with pytest.raises(StudyError, match="progress"):
        study().run(square, trials=3, progress="yes")
