"""Damaged rows: each is found and named, set aside, and its study goes on without it."""

import json
import pickle
import shutil
import sqlite3
from contextlib import closing
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import evotune as et
from evotune.errors import EvotuneError, StorageError, StudyLockedError
from evotune.storage.check import check
from evotune.storage.damage import DamageError
from evotune.storage.sql import SqlStorage
from evotune.study.repair import repair

EARLIER = Path(__file__).parents[1] / "storage" / "earlier"
_spec = spec_from_file_location("write_earlier", EARLIER / "write.py")
write = module_from_spec(_spec)
_spec.loader.exec_module(write)

DEEP = "[" * 100_000 + "]" * 100_000
#: Column -> cells that it cannot hold, in the row of a done trial with number 3 of 12.
CELLS = {
    "genome": [
        DEEP, "[1]", "{", "", b"\xff", b"{}", '{"x":0.5}', '{"x":2,"c":"a"}', '{"x":NaN,"c":"a"}',
        '{"x":0.5,"c":"z"}', '{"x":0.5,"c":"a","y":1}', '{"x":"0.5","c":"a"}', '{"x":0.5,"c":[]}',
        '{"x":0.5,"c":"a"', "null", 7,
    ],
    "params": ["[]", '{"x":0.123}', '{"z":1}', b"\x00"],
    "state": ["finished", "", b"done", "running", "waiting", "failed", 5],
    "seed": ["abc", -1, b"\x00", 1.5],
    "budget": ['"a"', "-1", "NaN", "Infinity", "[]"],
    "weights_from": [3, 99, -1, "a"],
    "parents": ["[3]", "[99]", "[-1]", '["a"]', "7", "[true]"],
    "note": ["[1]", "{", b"\xff\xfe", "1"],
    "metrics": ['{"loss":"a"}', '{"other":1}', '{"loss":NaN}', "[]", '{"loss":null}'],
    "values": ['["a"]', "[]", "[1,2]", "[NaN]", "[Infinity]", f"[{'9' * 5000}]", "1", None],
    "violation": ["-1", "NaN", '"a"', ""],
    "failure": ['{"a":1}', '{"kind":"died"}', "[]", '{"kind":"died","message":"gone"}'],
    "reports": ["{}", "[1]", '[{"loss":1}]', '[{"step":"a"}]'],
    "repeat_of": [3, 99, -1, "a"],
    "results_seen": [99_999, -1, "a", 0, 1.5],
    "result_order": [2, 99, -1, None, "a", 11],
    "started": ["a", -1e300, 1e300, b"\x00"],
    "ended": ["a", 1e300],
    "checkpoint": [
        '{"a":1}', '{"epochs":-1,"size":1}', '{"epochs":1,"size":"a"}',
        '{"epochs":1,"size":1,"file":"../../x"}',
    ],
    "inherit": ['{"networks":[5]}', '{"networks":"a"}', '{"a":1}', "[]"],
    "origin": ['{"generation":"a"}', '{"a":1}', "[]", '{"promotes":9}', '{"islands":[-1]}'],
    "number": [-1, 100_000, "a", b"\x00"],
}  # fmt: skip
#: Columns that follow from the rest of their row.
FOLLOW = ("params", "values", "violation")
STUDY_CELLS = {
    "seed": ["abc", "-5", "9" * 5000, b"1", ""],
    "space": [DEEP, "[]", "{", '{"x":1}', b"\xff"],
    "objectives": ["{}", "[]", '{"objectives":[{"metric":1}],"constraints":[]}'],
    "name": [b"\xff\x00"],
    "algorithm": [b"\x00"],
    "created": [1e300, "a", -1.0],
}


def values(trial):
    return trial.params["x"]


def study(path, name="s"):
    space = et.Space(x=et.Float(0, 1), c=et.Choice(["a", "b"]))
    return et.Study(
        et.Genetic(space, population_size=4), "min loss", storage=path, name=name, seed=1
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "runs.db"
    for name in ("s", "other"):
        with study(path, name) as made:
            made.run(values, trials=12)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    database.close()
    return path


def change(path, statement, *cells):
    with sqlite3.connect(path) as database:
        assert database.execute(statement, cells).rowcount > 0
    database.close()


def copy(path, target):
    with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(target)) as other:
        database.backup(other)


def damaged(good, tmp_path, statement, *cells):
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.db"  # beside logs of what was not closed
    shutil.copy(good, path)
    change(path, statement, *cells)
    return path


def faults(path):
    storage = SqlStorage(path)
    found = list(check(storage))
    storage.close()
    return found


def mend(path, **options):
    storage = SqlStorage(path)
    done = repair(storage, **options)
    storage.close()
    return done


def proposals(path, stops):
    """Run to each number of trials in a process' life of its own; return what was proposed."""
    for trials in stops:
        with study(path) as opened:
            opened.run(values, trials=trials)
    return [trial.genome for trial in opened.trials]


@pytest.mark.parametrize("column", CELLS)
def test_a_damaged_trial_is_named_set_aside_and_gone_on_without(good, tmp_path, column):
    for cell in CELLS[column]:
        where = "from evotune_studies where evotune_studies.id = study_id and name = 's'"
        path = damaged(
            good,
            tmp_path,
            f'update evotune_trials set "{column}" = ? '
            f"where number = 3 and exists (select 1 {where})",
            cell,
        )
        with pytest.raises(DamageError, match=r"study 's', trial .*evotune storage check"):
            study(path)
        found = faults(path)
        assert {fault.study for fault in found} == {"s"}, cell
        if cell not in (99_999, 11):
            assert any(f.trial == 3 or column == "number" for f in found), (cell, found)
        for fault in found:
            assert str(fault).isprintable()
        done = mend(path)
        follows = column in FOLLOW
        assert 3 in (done[0].rebuilt if follows else done[0].trials), (cell, done)
        assert len(done[0].trials) < (1 if follows else 3)
        kept = [json.loads(line) for line in done[0].aside.read_text().splitlines()]
        done[0].aside.unlink()
        assert len(kept) == done[0].rows == 1
        assert faults(path) == []
    copy(path, tmp_path / "copy.db")
    once, often = proposals(path, [16]), proposals(tmp_path / "copy.db", [13, 16])
    assert once == often
    with study(path) as opened:
        if column in FOLLOW:
            with study(good) as untouched:
                assert opened.trials[:12] == untouched.trials[:12]
        else:
            assert opened.trials[3].failure.kind == "damaged"
        assert len(opened.trials) == 16
    with study(path, "other") as other:
        assert other.counts == {"done": 12}


def test_missing_trials_become_failed_ones(good, tmp_path):
    for numbers in ((0,), (3,), (5, 6)):
        marks = ", ".join(map(str, numbers))
        path = damaged(good, tmp_path, f"delete from evotune_trials where number in ({marks})")
        with pytest.raises(DamageError, match="this trial is missing"):
            study(path)
        done = {repaired.study: repaired for repaired in mend(path)}
        assert {name: repaired.trials for name, repaired in done.items()} == {
            "s": numbers,
            "other": numbers,
        }
        assert done["s"].aside is None
        assert faults(path) == []
        assert len(proposals(path, [14])) == 14


@pytest.mark.parametrize("column", STUDY_CELLS)
def test_a_damaged_study_is_named_and_hides_no_other(good, tmp_path, column):
    for cell in STUDY_CELLS[column]:
        path = damaged(
            good, tmp_path, f"update evotune_studies set {column} = ? where name = 's'", cell
        )
        found = faults(path)
        assert [fault.column for fault in found][:1] == [column], cell
        if column != "name":
            with pytest.raises(EvotuneError, match="study 's'"):
                study(path)
        with pytest.raises(StorageError, match="cannot be repaired"):
            mend(path)
        storage = SqlStorage(path)
        bad, good_one = sorted(storage.studies(), key=lambda s: s.definition.name == "other")
        # A space is looked at when the study is read: it may hold domains of the user's own.
        assert (bad.damage != "") or cell == '{"x":1}'
        assert good_one.damage == ""
        storage.close()
        with study(path, "other") as other:
            assert len(other.trials) == 12


def test_a_driver_that_cannot_be_read_is_taken_to_live(good, tmp_path):
    driver = (
        "driver_host = 'h', driver_pid = 1, driver_process_started = 1, driver_since = 1, "
        "driver_token = 't'"
    )
    for column, cell in {
        "driver_pid": -1,
        "driver_since": 1e300,
        "driver_host": b"h",
        "driver_process_started": None,
        "driver_token": b"t",
    }.items():
        path = damaged(good, tmp_path, f"update evotune_studies set {driver} where name = 's'")
        change(path, f"update evotune_studies set {column} = ? where name = 's'", cell)
        with study(path) as opened:
            assert len(opened.trials) == 12  # it can be read
            with pytest.raises(DamageError, match=f"column '{column}'"):
                opened.run(values, trials=13)
        with pytest.raises(StorageError, match="take_over=True"):
            mend(path)
        assert mend(path, take_over=True)[0].trials == ()
        assert len(proposals(path, [14])) == 14


def test_a_study_with_a_living_driver_is_not_repaired(good, tmp_path):
    path = damaged(good, tmp_path, "update evotune_trials set genome = '{' where number = 3")
    before = path.read_bytes()
    change(
        path,
        "update evotune_studies set driver_host = 'another', driver_pid = 1, "
        "driver_process_started = 1, driver_since = 1, driver_token = 't'",
    )
    with pytest.raises(StudyLockedError, match="take_over"):
        mend(path)
    assert len(faults(path)) == 2
    assert not list(tmp_path.glob("*.jsonl"))
    assert [done.trials for done in mend(path, take_over=True)] == [(3,), (3,)]
    assert before != path.read_bytes()


def test_rows_that_cannot_be_set_aside_stay(good, tmp_path):
    path = damaged(good, tmp_path, "update evotune_trials set genome = '{' where number = 3")
    with pytest.raises(StorageError, match="nothing was changed"):
        mend(path, aside=tmp_path / "missing" / "rows.jsonl")
    assert len(faults(path)) == 2


def test_nothing_is_repaired_where_nothing_is_damaged(good, tmp_path):
    path = tmp_path / "copy.db"
    shutil.copy(good, path)
    assert faults(path) == mend(path) == []


ALGORITHMS = write.algorithms()


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"hybrid", "prescreened", "cma"}))
def test_every_algorithm_goes_on_without_some_of_its_trials(tmp_path, name):
    path = tmp_path / "runs.db"
    for column in ("note", "genome"):
        made = et.Study(ALGORITHMS[name](), "min loss", storage=path, name=column, seed=7)
        with made:
            write.go_on(made, 13)
            made.ask()  # left running
        place = "study_id = (select id from evotune_studies where name = ?)"
        change(
            path,
            f"update evotune_trials set {column} = '?' where number in (2, 9) and {place}",
            column,
        )
    assert sorted(done.study for done in mend(path)) == ["genome", "note"]
    assert faults(path) == []
    copy(path, tmp_path / "copy.db")
    for column in ("note", "genome"):
        once = et.Study(ALGORITHMS[name](), "min loss", storage=path, name=column)
        write.go_on(once, 8)
        for count in (3, 5):
            again = ALGORITHMS[name]()
            with et.Study(again, "min loss", storage=tmp_path / "copy.db", name=column) as often:
                write.go_on(often, count)
        assert [t.genome for t in once.trials] == [t.genome for t in often.trials]
        once.close()


def test_a_trial_that_contradicts_itself_is_found_by_a_check_only(good, tmp_path):
    for column, cell in {
        "metrics": '{"loss":0.999}',
        "values": "[0.999]",
        "violation": "2",
    }.items():
        path = damaged(
            good,
            tmp_path,
            f'update evotune_trials set "{column}" = ? where number = 3 and study_id = 1',
            cell,
        )
        study(path).close()
        [fault] = faults(path)
        assert (fault.trial, fault.column, fault.remedy) == (3, "metrics", "")
        assert [done.trials for done in mend(path)] == [(3,)]
        assert faults(path) == []


def test_rows_of_no_study_are_set_aside_and_removed(good, tmp_path):
    path = damaged(good, tmp_path, "delete from evotune_studies where name = 's'")
    [fault] = faults(path)
    assert str(fault) == "rows of table evotune_trials of no study: 12"
    [done] = mend(path)
    assert (done.study, done.rows) == ("", 12)
    kept = [json.loads(line) for line in done.aside.read_text().splitlines()]
    assert [row["row"]["number"] for row in kept] == list(range(12))
    assert faults(path) == mend(path) == []
    with study(path, "other") as other:
        assert other.counts == {"done": 12}


def test_what_can_be_repaired_is_though_another_study_cannot(good, tmp_path):
    path = damaged(good, tmp_path, "update evotune_studies set space = '{' where name = 's'")
    change(path, "update evotune_trials set genome = '{' where number = 3")
    with pytest.raises(StorageError, match=r"study 's', column 'space'.*of its table evotune_stu"):
        mend(path)
    assert {fault.study for fault in faults(path)} == {"s"}
    with study(path, "other") as other:
        assert other.counts == {"done": 11, "failed": 1}


@pytest.mark.parametrize("name", ["evotune_trials", "evotune_studies", "evotune_schema_version"])
def test_a_table_that_is_lost(good, tmp_path, name):
    path = tmp_path / "runs.db"
    shutil.copy(good, path)
    with sqlite3.connect(path) as database:
        database.execute(f"drop table {name}")
    database.close()
    if name == "evotune_schema_version":  # the columns say it
        assert faults(path) == []
        with study(path) as opened:
            assert len(opened.trials) == 12
        return
    found = faults(path)
    assert found
    assert all("no such table" in str(f) and "restore a copy" in f.remedy for f in found)
    assert not any("column" in str(f) for f in found)


def test_an_old_database_that_does_not_say_its_version(tmp_path):
    for file in sorted(EARLIER.glob("*.db")):
        path = tmp_path / file.name
        shutil.copy(file, path)
        with sqlite3.connect(path) as database:
            database.execute("drop table evotune_schema_version")
        database.close()
        assert faults(path) == []


def test_no_alarm_where_the_objectives_are_of_a_class_of_ones_own(tmp_path):
    class Squared(et.Objective):
        def value(self, metrics):
            return metrics[self.metric] ** 2

    path, space = tmp_path / "runs.db", et.Space(x=et.Float(0, 1))
    with et.Study(et.RandomSearch(space), Squared("loss"), storage=path, name="s") as made:
        made.run(values, trials=6)
    assert faults(path) == []


def test_a_failed_trial_is_run_again_by_enqueue(good, tmp_path):
    path = damaged(good, tmp_path, "update evotune_trials set metrics = '?' where number = 3")
    mend(path)
    with study(path) as opened:
        again = opened.enqueue(opened.trials[3].params)
        assert again.number == 12
        assert opened.enqueue(opened.trials[3].params).number == 12  # it waits already
        opened.run(values, trials=13)
        assert opened.trials[12].state == "done"


@pytest.mark.parametrize("cell", ["genome = '{'", "result_order = 99"])
def test_commands_in_errors_name_the_database(good, tmp_path, cell):
    path = tmp_path / "my runs.db"
    shutil.copy(good, path)
    change(path, f"update evotune_trials set {cell} where number = 3")
    with pytest.raises(StorageError) as error:
        study(path)
    assert f"evotune storage check '{path}'" in str(error.value)
    assert "SOURCE" not in str(error.value)
    loaded = pickle.loads(pickle.dumps(error.value))
    assert str(loaded) == str(error.value)
