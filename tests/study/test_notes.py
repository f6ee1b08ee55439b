"""What trials note beside their metrics: kept, shown, and of no effect on the search."""

import pytest

import evotune as et
from evotune.errors import StudyError

SPACE = et.Space(x=et.Float(0.0, 1.0))


def study_on(storage, **options):
    return et.Study(et.RandomSearch(SPACE), "min y", storage=storage, name="a", seed=1, **options)


def noting(trial):
    trial.note("first")
    trial.note("second", log=f"/tmp/{trial.number}.log", sizes=[1, {"deep": None}])
    if trial.number == 1:
        raise ValueError("late")
    return {"y": trial.params["x"], "verdict": "<good>"}


@pytest.mark.parametrize("workers", [1, 2])
def test_notes_are_part_of_the_record_and_outlive_the_process(tmp_path, workers):
    with study_on(tmp_path / "a.db") as study:
        study.run(noting, 3, workers=workers)
    trials = et.open(tmp_path / "a.db", "a").trials
    for trial in trials:
        assert trial.notes["note"] == "first\nsecond"
        assert trial.notes["log"] == f"/tmp/{trial.number}.log"
        assert trial.notes["sizes"] == [1, {"deep": None}]
    assert trials[0].notes["verdict"] == "<good>"
    assert "verdict" not in trials[0].metrics
    assert trials[1].state == "failed"  # and kept its notes
    assert trials[1].failure.message == "ValueError: late"


def test_notes_are_columns_of_the_frame(tmp_path):
    frame = study_on(None).run(noting, 2, max_failures=1.0).to_frame()
    assert list(frame["notes_log"]) == ["/tmp/0.log", "/tmp/1.log"]
    assert frame["notes_verdict"].iloc[0] == "<good>"


def test_a_search_with_notes_is_the_same_as_without():
    bare = study_on(None).run(lambda t: t.params["x"], 4)
    noted = study_on(None).run(lambda t: {"y": t.params["x"], "why": "text"}, 4)
    assert [t.values for t in bare.trials] == [t.values for t in noted.trials]


def test_texts_that_are_told_or_added_are_notes():
    study = study_on(None)
    told = study.tell(study.ask(), {"y": 1.0, "file": "a.pt"})
    added = study.add({"x": 0.5}, {"y": 2.0, "file": "b.pt"})
    assert (told.notes, added.notes) == ({"file": "a.pt"}, {"file": "b.pt"})


def test_an_objective_that_is_a_text_says_so():
    study = study_on(None).run(lambda t: {"y": "0.5"}, 1)
    assert study.trials[0].failure.message == "metric 'y' is the text '0.5'"
    assert study.trials[0].notes == {"y": "0.5"}


def test_what_cannot_be_noted_is_said_of_enqueued_params_too():
    with pytest.raises(StudyError, match="note 'a' is object"):
        study_on(None).enqueue({"x": 0.5}, notes={"a": object()})


@pytest.mark.parametrize("bad", [{}, {"a": object()}, {"a": {1, 2}}])
def test_what_cannot_be_noted_is_said(bad):
    study = study_on(None)
    study.run(lambda t: t.note(**bad), 1, max_failures=1.0)
    assert "trial.note" in study.trials[0].failure.message
    assert "StudyError" in study.trials[0].failure.message
