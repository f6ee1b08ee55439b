"""A database that is taken away, replaced or damaged while a study uses it."""

import os
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

import evotune as et
from evotune.cli.source import read_study
from evotune.errors import StorageError
from evotune.storage import open_storage
from evotune.storage.watched import WatchedFile
from helpers_study import decisions, small_space, train


def study(**options):
    return et.Study(et.Genetic(small_space(), population_size=6), "min loss", seed=1, **options)


@pytest.fixture
def database(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder / "runs.db"


@pytest.fixture
def other(tmp_path):
    """A database with another study, which has more trials."""
    path = tmp_path / "other.db"
    with study(storage=path, name="other") as another:
        another.run(train, trials=20)
    return path


def remove(database: Path) -> None:
    for path in database.parent.glob("runs.db*"):
        if path.is_file():
            path.unlink()


def replace(database: Path, other: Path) -> None:
    remove(database)
    shutil.copy(other, database)


def cut(database: Path) -> None:
    with sqlite3.connect(database) as connection:  # what lies in the log could replace the rest
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    os.truncate(database, database.stat().st_size // 8192 * 4096)


def delete(database: Path) -> None:
    storage = open_storage(database)
    storage.delete("study")
    storage.close()


HARM = {
    "removed": lambda db, _: remove(db),
    "file removed, log left": lambda db, _: db.unlink(),
    "log removed": lambda db, _: db.with_name("runs.db-wal").unlink(),
    "folder removed": lambda db, _: shutil.rmtree(db.parent),
    "replaced": replace,
    "replaced by nothing": lambda db, _: (remove(db), db.touch()),
    "overwritten": lambda db, other: shutil.copyfile(other, db),
    "emptied": lambda db, _: os.truncate(db, 0),
    "cut": lambda db, _: cut(db),
    "study deleted": lambda db, _: delete(db),
}


def rescued(error: BaseException) -> Path:
    found = re.search(r"are in (\S+\.db): look at them with evotune show", str(error))
    assert found, error
    return Path(found[1])


def undisturbed(trials: int):
    return decisions(study().run(train, trials=trials))


@pytest.mark.parametrize("harm", HARM)
def test_a_lost_database_ends_the_run_and_the_study_is_rescued(
    harm, database, other, tmp_path, monkeypatch
):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")

    def harming(trial):
        if trial.number == 20:
            HARM[harm](database, other)
        return train(trial)

    study(storage=database).run(train, trials=10).close()
    broken = study(storage=database)
    with pytest.raises(StorageError, match=r"runs\.db") as caught:
        broken.run(harming, trials=30)
    broken.close()
    file = rescued(caught.value)
    beside = tmp_path / "cwd" if harm == "folder removed" else database.parent
    assert file.parent == beside
    record = read_study(str(file))
    assert len(record.trials) == 21
    assert record.trials[20].is_done
    assert record.driver is None
    with study(storage=file) as again:
        assert decisions(again.run(train, trials=30)) == undisturbed(30)


def test_nothing_but_the_study_itself_is_left_of_a_replaced_database(database, other):
    """What lies there now belongs to somebody else."""

    def replacing(trial):
        if trial.number == 5:
            replace(database, other)
        return train(trial)

    content = other.read_bytes()
    broken = study(storage=database)
    with pytest.raises(StorageError, match="was replaced by another file"):
        broken.run(replacing, trials=30)
    broken.close()
    assert database.read_bytes() == content


def test_a_database_may_be_lost_between_two_runs(database):
    broken = study(storage=database).run(train, trials=10)
    remove(database)
    with pytest.raises(StorageError, match="removed") as first:
        broken.run(train, trials=20)
    with pytest.raises(StorageError, match="removed") as second:
        broken.run(train, trials=20)
    assert rescued(first.value) == rescued(second.value)
    broken.close()
    with study(storage=rescued(second.value)) as again:
        assert decisions(again.run(train, trials=20)) == undisturbed(20)


def test_a_database_may_be_lost_between_ask_and_tell(database):
    broken = study(storage=database)
    trial = broken.ask()
    remove(database)
    with pytest.raises(StorageError, match="removed") as caught:
        broken.tell(trial, 0.5)
    broken.close()
    assert [t.metrics["loss"] for t in read_study(str(rescued(caught.value))).trials] == [0.5]


def test_closing_says_that_the_database_is_lost(database):
    broken = study(storage=database).run(train, trials=10)
    remove(database)
    with pytest.raises(StorageError, match="removed") as caught:
        broken.close()
    broken.close()
    assert len(read_study(str(rescued(caught.value))).trials) == 10


def overwrite(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def delete_two(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM evotune_trials WHERE number IN (2, 3)")
    connection.close()


LATE_HARM = {
    "overwritten": overwrite,
    "log overwritten": lambda db: overwrite(db.with_name("runs.db-wal")),
    "log emptied": lambda db: os.truncate(db.with_name("runs.db-wal"), 0),
    "trials deleted": delete_two,
}


@pytest.mark.parametrize("harm", LATE_HARM)
def test_what_writing_does_not_notice_is_noticed_before_all_is_forgotten(harm, database):
    """SQLite writes on; what is damaged would be found by whoever opens the database next."""

    def harming(trial):
        if trial.number == 11:
            LATE_HARM[harm](database)
        return train(trial)

    with (
        pytest.raises(StorageError, match=r"runs\.db") as caught,
        study(storage=database) as broken,
    ):
        broken.run(harming, trials=12)
    with study(storage=rescued(caught.value)) as again:
        assert decisions(again.run(train, trials=20)) == undisturbed(20)


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("harm", [remove, lambda db: (remove(db), db.touch())])
def test_weights_are_found_from_the_rescued_file(database, harm, is_told):
    def trained(trial):
        state = {"w": [0.0]}
        trial.resume(model=state)
        for _ in trial.epochs():
            pass
        trial.keep(model=state)
        if trial.number == 5:
            harm(database)
        return trial.params["x"]

    def population(**options):
        algorithm = et.PopulationBasedTraining(et.Space(x=et.Float(0, 1)), population_size=4)
        return et.Study(algorithm, "min loss", seed=1, **options)

    broken = population(storage=database)
    with pytest.raises(StorageError, match=r"removed|replaced") as caught:
        broken.run(trained, epochs=3)
    broken.close()
    folder = re.search(r"checkpoints='(.+?)'", str(caught.value))
    assert folder
    options = {"checkpoints": folder[1]} if is_told else {}
    with population(storage=rescued(caught.value), **options) as again:
        again.run(trained, epochs=3)
    assert [t.failure for t in again.trials if t.failure] == []
    assert len(again.trials) == 12


def test_nothing_is_rescued_of_a_study_that_was_not_read(database):
    study(storage=database).run(train, trials=5).close()
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE evotune_trials DROP COLUMN reports")
    connection.close()
    with pytest.raises(StorageError, match="no such column") as caught:
        study(storage=database)
    assert "evotune show" not in str(caught.value)
    assert not list(database.parent.glob("*rescued*"))


def test_a_file_that_is_put_back_goes_on(database):
    away = database.with_name("away")

    def moving(trial):
        if trial.number == 5:
            database.rename(away)
            away.rename(database)
        return train(trial)

    with study(storage=database) as moved:
        assert decisions(moved.run(moving, trials=12)) == undisturbed(12)


def test_what_others_may_do_is_no_loss(database):
    """Vacuum it, move its log into it, copy it, read it, keep another study in it."""

    def meddling(trial):
        if trial.number % 5 == 4:
            connection = sqlite3.connect(database, isolation_level=None)
            connection.execute("CREATE TABLE filler AS SELECT randomblob(200000)")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("DROP TABLE filler")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
            with study(storage=database, name=f"beside {trial.number}") as another:
                another.run(train, trials=3)
            read_study(str(database), "study")
        return train(trial)

    with study(storage=database) as shared:
        assert decisions(shared.run(meddling, trials=20)) == undisturbed(20)
    assert len(read_study(str(database), "study").trials) == 20


def test_a_storage_that_was_closed_is_used_again(database):
    storage = open_storage(database)
    with study(storage=storage) as first:
        first.run(train, trials=10)
        storage.close()
        first.run(train, trials=20)
    storage.close()
    assert len(storage.trials("study")) == 20


def test_a_forked_child_reads_on_after_its_parent_has_closed(database):
    first = study(storage=database).run(train, trials=10)
    first.storage.trials("study")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.read(reader, 1)
        os._exit(len(first.storage.trials("study")))
    first.close()
    os.write(writer, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 10


def test_a_log_that_another_thread_rightly_removes_is_no_loss(tmp_path, monkeypatch):
    path = tmp_path / "runs.db"
    for file in (path, Path(f"{path}-wal")):
        file.write_bytes(b"x" * 100)
    watched = WatchedFile(path)
    watched.check()
    watched.remember()
    stat = os.stat

    def meanwhile(asked, **options):
        if str(asked).endswith("-wal"):
            watched.forget_log()  # as when the last connection is closed
            raise FileNotFoundError
        return stat(asked, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", meanwhile)
        assert watched.check() == ""
