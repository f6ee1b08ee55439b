import csv
import io
import json
import sqlite3
import time

import pandas as pd
import pytest

import evotune as et
from evotune.cli.source import read_study


@pytest.fixture
def database(tmp_path):
    """A database with two studies: one objective with failures, and two objectives."""
    path = tmp_path / "runs.db"
    space = et.Space(
        lr=et.Float(0.001, 1.0, log=True),
        kind=et.Choice("a", "b"),
        depth=et.Int(1, 4, when={"kind": "a"}),
    )

    def train(trial):
        if trial.number == 3:
            raise ValueError("it broke")
        return {"accuracy": 1 - trial.params["lr"], "odd": float("nan")}

    def both(trial):
        return {"accuracy": 1 - trial.params["lr"], "size": trial.params["lr"]}

    genetic = et.Genetic(space, population_size=4)
    with et.Study(genetic, "max accuracy", storage=path, name="one", seed=2) as study:
        study.run(train, trials=8)
    goals = ["max accuracy", "min size", et.Constraint("size", at_most=0.9)]
    with et.Study(et.RandomSearch(space), goals, storage=path, name="two [x]", seed=2) as study:
        study.run(both, trials=5)
    study.storage.close()
    return path


def test_list(evotune, database):
    code, out, _ = evotune("list", database)
    assert code == 0
    rows = {line.split("  ")[0]: line for line in out.splitlines()}
    assert "max accuracy, min size" in rows["two [x]"]
    assert rows["one"].split()[3:6] == ["8", "7", "1"]


def test_show(evotune, database):
    code, out, _ = evotune("show", database, "one")
    best = read_study(str(database), "one").best
    assert code == 0
    for text in ("7 done, 1 failed", "0.001 to 1, log", "kind = a", "generation"):
        assert text in out
    assert f"best: trial {best.number}" in out
    assert "driver" not in out


def test_show_of_several_objectives(evotune, database):
    _, out, _ = evotune("show", database, "two [x]")
    assert "front:" in out
    assert "size <= 0.9" in out


def test_best_as_json_is_exact(evotune, database):
    code, out, _ = evotune("best", database, "one", "--json")
    best = read_study(str(database), "one").best
    data = json.loads(out)
    assert code == 0
    assert data["study"] == "one"
    assert data["params"] == best.params
    assert data["metrics"] == dict(best.metrics) | {"odd": None}


def test_best_of_several_objectives_is_the_front(evotune, database):
    data = json.loads(evotune("best", database, "two [x]", "--json")[1])
    front = read_study(str(database), "two [x]").ledger.front()
    assert [trial["number"] for trial in data["front"]] == [trial.number for trial in front]
    assert "front:" in evotune("best", database, "two [x]")[1]


def test_trials_as_csv(evotune, database):
    code, out, _ = evotune("trials", database, "one", "--csv")
    frame = pd.read_csv(io.StringIO(out))
    trials = read_study(str(database), "one").trials
    assert code == 0
    assert list(frame["number"]) == list(range(8))
    assert list(frame["params_lr"]) == [trial.params["lr"] for trial in trials]
    assert list(frame["state"]) == [trial.state for trial in trials]


def test_trials_as_a_table(evotune, database):
    code, out, _ = evotune("trials", database, "one")
    assert code == 0
    assert len(out.splitlines()) == 2 + 8


def test_failed_trials_say_why(evotune, database):
    _, out, _ = evotune("trials", database, "one", "--failed")
    assert len(out.splitlines()) == 2 + 1
    assert "ValueError: it broke" in out
    rows = list(
        csv.DictReader(io.StringIO(evotune("trials", database, "one", "--failed", "--csv")[1]))
    )
    assert [row["failure"] for row in rows] == ["ValueError: it broke"]
    assert "has no failed trial" in evotune("trials", database, "two [x]", "--failed")[1]


def test_a_narrow_terminal_gets_whole_numbers(evotune, database, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    trial = read_study(str(database), "one").trials[0]
    out = evotune("trials", database, "one")[1]
    assert f"lr={trial.params['lr']:.4g}" in out
    assert max(map(len, out.splitlines())) <= 60


def test_report(evotune, database, tmp_path):
    code, out, _ = evotune("report", database, "two [x]")
    assert (code, out) == (0, "two-x-.html\n")
    assert "two [x]" in (tmp_path / "two-x-.html").read_text()
    assert evotune("report", database, "one", "-o", tmp_path / "sub" / "page.html")[0] == 0
    assert (tmp_path / "sub" / "page.html").stat().st_size > 100_000


def test_export(evotune, database, tmp_path):
    _, out, _ = evotune("export", database, "one")
    study = json.loads(out)["study"]
    record = read_study(str(database), "one")
    assert et.Space.from_json(study["space"]) == record.space
    assert [trial["genome"] for trial in study["trials"]] == [t.genome for t in record.trials]
    assert study["trials"][3]["failure"]["message"] == "ValueError: it broke"
    evotune("export", database, "one", "-o", tmp_path / "one.json")
    assert (tmp_path / "one.json").read_text() == out


@pytest.mark.parametrize(("suffix", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_export_of_a_table(evotune, database, tmp_path, suffix, read):
    code, out, _ = evotune("export", database, "one", "-o", tmp_path / f"one.{suffix}")
    assert (code, out.strip()) == (0, str(tmp_path / f"one.{suffix}"))
    found, trials = read(tmp_path / f"one.{suffix}"), read_study(str(database), "one").trials
    assert found["number"].tolist() == [trial.number for trial in trials]
    assert found["state"].tolist() == [trial.state for trial in trials]
    done = [trial for trial in trials if trial.state == "done"]
    name = next(iter(done[0].params))
    assert found.set_index("number")[f"params_{name}"][done[0].number] == done[0].params[name]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_export_of_names_that_are_no_unicode(evotune, tmp_path, suffix):
    name = "loss" + chr(0xD800)
    with et.Study(
        et.RandomSearch(et.Space(x=et.Float(0.0, 1.0))), f"min {name}", storage=tmp_path / "runs.db"
    ) as study:
        study.run(lambda trial: {name: trial.params["x"]}, trials=2)
    code, _, err = evotune("export", tmp_path / "runs.db", "-o", tmp_path / f"out.{suffix}")
    if suffix == "csv":
        assert code == 0
        assert "loss\\ud800" in (tmp_path / "out.csv").read_text()
    else:
        assert code != 0
        assert "cannot be written as Parquet" in err
        assert not (tmp_path / "out.parquet").exists()


def test_export_to_a_file_of_another_kind(evotune, database, tmp_path):
    code, _, err = evotune("export", database, "one", "-o", tmp_path / "one.xlsx")
    assert code != 0
    assert ".json, .csv, .parquet" in err
    assert not list(tmp_path.glob("*.xlsx"))


@pytest.mark.parametrize("form", ["{path}", "sqlite:///{path}", "runs.db"])
def test_ways_to_name_a_storage(evotune, database, form):
    assert evotune("best", form.format(path=database), "one")[0] == 0


def test_the_name_may_be_left_out_where_there_is_one_study(evotune, study_file):
    evotune("run", study_file())
    assert evotune("best", "study.db")[0] == 0
    assert evotune("best", "study.toml")[0] == 0


@pytest.mark.parametrize("command", ["show", "best", "trials", "report", "export"])
def test_several_studies_need_a_name(evotune, database, command):
    code, out, err = evotune(command, database)
    assert (code, out) == (1, "")
    assert "holds 2 studies: one, two [x]; name one of them" in err


def test_a_wrong_name_gets_the_nearest(evotune, database):
    assert "did you mean 'one'?" in evotune("show", database, "onee")[2]
    assert "it has: one, two [x]" in evotune("show", database, "zzz")[2]


@pytest.mark.parametrize("command", ["list", "show", "best", "trials", "report", "export"])
def test_reading_creates_no_file(evotune, tmp_path, study_file, command):
    code, _, err = evotune(command, tmp_path / "runs.db")
    assert code == 1
    assert f"there is no file {tmp_path / 'runs.db'}" in err
    file = study_file()
    assert f"create it with: evotune run {file}" in evotune(command, file)[2]
    assert not list(tmp_path.glob("*.db"))


def test_reading_leaves_other_files_as_they_are(evotune, tmp_path):
    other, text = tmp_path / "other.db", tmp_path / "text.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    text.write_text("no database at all, but a text that is long enough to be taken for one")
    before = other.read_bytes(), text.read_bytes()
    assert "holds no studies of evotune" in evotune("list", other)[2]
    assert "is not an SQLite database" in evotune("list", text)[2]
    assert (other.read_bytes(), text.read_bytes()) == before


def test_a_folder_is_told_from_a_file(evotune, database):
    assert f"name a file in it: {database}" in evotune("list", database.parent)[2]


def test_a_study_without_results(evotune, tmp_path):
    space = et.Space(lr=et.Float(0, 1))
    with et.Study(et.RandomSearch(space), "max a", storage=tmp_path / "new.db", name="new"):
        pass
    assert "none yet" in evotune("show", "new.db")[1]
    assert "has no trial yet" in evotune("trials", "new.db")[1]
    code, _, err = evotune("best", "new.db", "--json")
    assert (code, err) == (1, "error: study 'new' has no finished trial yet\n")


def test_a_running_study_can_be_looked_at(evotune, spawn, study_file):
    file = study_file(body="time.sleep(60); return 1.0", trials="100")  # the first lasts
    process = spawn("run", file)
    while not (file.with_suffix(".db").exists() and read_or_none(file)):
        assert process.poll() is None
        time.sleep(0.05)
    code, out, _ = evotune("show", file)
    assert code == 0
    assert f"process {process.pid} on " in out
    assert "1 running" in out
    assert process.poll() is None
    process.kill()
    process.wait()
    assert "which has ended" in evotune("show", file)[1]


def read_or_none(file):
    try:
        return read_study(str(file)).trials
    except et.EvotuneError:  # between two steps of being created
        return None


def test_show_counts_every_trial_of_a_search_without_generations(evotune, tmp_path):
    """Hybrid begins with what looks like one generation."""
    path = tmp_path / "hybrid.db"
    with et.Study(
        et.Hybrid(et.Space(x=et.Float(0.0, 1.0))), "min loss", storage=path, seed=1
    ) as study:
        study.run(lambda trial: (trial.params["x"] - 0.3) ** 2, trials=40)
    _, out, _ = evotune("show", path)
    part = out.split("progress")[1]
    rows = [line.split() for line in part.splitlines() if line.strip()[:1].isdigit()]
    assert sum(int(row[1]) for row in rows if len(row) == 4) == 40
    assert "generation" not in out


def progress_rows(out):
    part = out.split("progress")[1].split("best: trial")[0]
    return [line.split() for line in part.splitlines() if line.strip()[:1].isdigit()]


def test_only_feasible_trials_count_as_best(evotune, tmp_path):
    path = tmp_path / "bound.db"
    goals = ["min loss", et.Constraint("size", at_most=0.5)]
    space = et.Space(x=et.Float(0.0, 1.0))
    with et.Study(et.RandomSearch(space), goals, storage=path, seed=1) as study:
        study.run(lambda trial: {"loss": trial.params["x"], "size": 1 - trial.params["x"]}, 30)
    infeasible = sum(trial.violation > 0 for trial in study.trials)
    _, out, _ = evotune("show", path)
    assert f"30 done, {infeasible} of them infeasible" in out
    rows = progress_rows(out)
    assert min(float(row[2]) for row in rows) == float(f"{study.best.metrics['loss']:.4g}")
    assert rows[-1][2] == rows[0][2]  # the first trial is the best feasible one
    header, _, first, *_ = evotune("trials", path)[1].splitlines()
    assert header.split()[-3:] == ["loss", "size", "x"]
    assert f"{study.trials[0].metrics['size']:.4g}" in first


def test_the_front_shows_metrics_that_are_bounded(evotune, tmp_path):
    path = tmp_path / "front.db"
    goals = ["min loss", "min cost", et.Constraint("size", at_most=0.5)]
    space = et.Space(x=et.Float(0.0, 1.0))
    with et.Study(et.RandomSearch(space), goals, storage=path, seed=1) as study:
        study.run(lambda t: {"loss": t.params["x"], "cost": -t.params["x"], "size": 0.125}, 4)
    out = evotune("best", path)[1]
    assert "loss   cost   size" in " ".join(out.split()).replace(" ", "   ")
    assert out.count("0.125") == 4


def test_blocks_of_trials_show_the_best_so_far(evotune, tmp_path):
    path = tmp_path / "blocks.db"
    space = et.Space(x=et.Float(0.0, 1.0))
    with et.Study(et.RandomSearch(space), "max score", storage=path, seed=1) as study:
        study.run(lambda trial: trial.params["x"], trials=40)
    out = evotune("show", path)[1]
    assert "best so far" in out
    best = [float(row[2]) for row in progress_rows(out)]
    assert best == sorted(best)
    assert best[-1] == float(f"{study.best.metrics['score']:.4g}")
