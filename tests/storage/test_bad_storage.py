"""Files and disks that cannot be used: a clear error, and nothing is harmed."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import evotune as et
from evotune.cli.source import open_source
from evotune.errors import StorageError
from evotune.storage import open_storage
from evotune.storage.sql import SqlStorage
from evotune.testing.storages import FIRST, make_definition, make_trial


def fill(path: Path, trials: int = 200) -> SqlStorage:
    storage = SqlStorage(path, patience=0)
    storage.create(make_definition())
    storage.acquire("lenet", FIRST, None)
    storage.write("lenet", [make_trial(number) for number in range(trials)], FIRST)
    return storage


def assert_refused_untouched(path: Path, says: str) -> None:
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(StorageError, match=says):
        open_storage(path)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "runs.db"
    with pytest.raises(StorageError, match=f"directory {path.parent} .* mkdir -p {path.parent}"):
        open_storage(path)
    assert not path.parent.exists()


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=rf"is a directory; .*{tmp_path}/runs\.db"):
        open_storage(tmp_path)


@pytest.mark.parametrize("content", [b"lr,accuracy\n0.1,0.9\n" * 200, b"short", b"\0" * 8192])
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    assert_refused_untouched(path, "results.csv is not an SQLite database")


@pytest.mark.parametrize("kept", [100, 5000])
def test_a_truncated_database(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "runs.db"
    fill(path).close()
    path.write_bytes(path.read_bytes()[:kept])
    assert_refused_untouched(path, "is damaged|not an SQLite database")


def test_a_scrambled_database(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    fill(path).close()
    content = path.read_bytes()
    path.write_bytes(content[:200] + b"\xaa" * (len(content) - 200))
    assert_refused_untouched(path, "is damaged")


@pytest.mark.parametrize("rows", ["(NULL)", "(-3)", "('x')", "(1), (2)", ""])
def test_a_version_that_is_none(rows: str, tmp_path: Path) -> None:
    fill(tmp_path / "runs.db", trials=1).close()
    table = "evotune_schema_version"
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"CREATE TABLE {table} (version)")
        if rows:
            connection.execute(f"INSERT INTO {table} VALUES {rows}")
    connection.close()
    assert_refused_untouched(tmp_path / "runs.db", "table evotune_schema_version should have one")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "runs.db")
    with pytest.raises(StorageError, match="no plain file"):
        open_storage(tmp_path / "runs.db")
    with pytest.raises(StorageError, match="no plain file"):
        open_source(str(tmp_path / "runs.db"))


def test_a_name_too_long_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no file"):
        open_source(str(tmp_path / f"{'x' * 300}.db"))


def test_damage_among_the_trials_is_an_error_when_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    fill(path).close()
    content = path.read_bytes()
    position = content.index(b'{"lr":0.')
    path.write_bytes(content[:position] + b"#" + content[position + 1 :])
    storage = SqlStorage(path)
    with pytest.raises(StorageError, match=r"runs\.db"):
        storage.trials("lenet")
    storage.close()


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.touch()
    fill(path).close()
    assert path.stat().st_size > 0


def mounted(directory: Path, options: str) -> Iterator[Path]:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a small disk")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    yield from mounted(tmp_path, "size=1m")


def write_until_full(storage: SqlStorage) -> tuple[int, StorageError]:
    """Return how many trials were written, in pairs, before the disk was full."""
    for number in range(0, 20_000, 2):
        pair = [make_trial(number + k, note={"filler": "x" * 1000}) for k in range(2)]
        try:
            storage.write("lenet", pair, FIRST)
        except StorageError as error:
            return number, error
    pytest.fail("the disk never was full")


def test_a_full_disk(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    storage = fill(small_disk / "runs.db", trials=0)
    count, error = write_until_full(storage)
    assert "lies on a full disk; nothing was written: free some space" in str(error)
    assert count > 10
    assert [trial.number for trial in storage.trials("lenet")] == list(range(count))
    ballast.unlink()
    storage.write("lenet", [make_trial(count)], FIRST)
    storage.close()
    again = SqlStorage(small_disk / "runs.db")
    assert [trial.number for trial in again.trials("lenet")] == list(range(count + 1))
    again.close()


def test_a_disk_that_is_full_from_the_start(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        (small_disk / "ballast").write_bytes(b"x" * 2_000_000)
    with pytest.raises(StorageError, match="full disk"):
        open_storage(small_disk / "runs.db")
    (small_disk / "ballast").unlink()
    fill(small_disk / "runs.db").close()


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    fill(tmp_path / "runs.db").close()
    content = (tmp_path / "runs.db").read_bytes()
    for disk in mounted(tmp_path, "size=1m"):
        (disk / "runs.db").write_bytes(content)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        yield disk


def test_a_disk_that_cannot_be_written(read_only_disk: Path) -> None:
    with pytest.raises(StorageError, match=r"new\.db cannot be opened: check the permissions"):
        open_storage(read_only_disk / "new.db")
    assert_only_read(read_only_disk / "runs.db")


def assert_only_read(path: Path) -> None:
    storage = SqlStorage(path)
    assert len(storage.trials("lenet")) == 200
    with pytest.raises(StorageError, match="is read-only; nothing was written"):
        storage.acquire("lenet", FIRST, None)
    storage.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_folder_that_cannot_be_written_is_read() -> None:
    folder = Path(tempfile.mkdtemp())  # others may pass through all folders above it
    fill(folder / "runs.db").close()
    (folder / "runs.db").chmod(0o444)
    folder.chmod(0o555)
    child = os.fork()
    if not child:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            assert_only_read(folder / "runs.db")
            status = 0
        finally:
            os._exit(status)
    ended = os.waitpid(child, 0)[1]
    folder.chmod(0o755)
    shutil.rmtree(folder)
    assert ended == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every file")
def test_a_read_only_file(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    fill(path).close()
    path.chmod(0o444)
    storage = SqlStorage(path)
    assert len(storage.trials("lenet")) == 200
    with pytest.raises(StorageError, match="is read-only; nothing was written"):
        storage.write("lenet", [make_trial(0)], FIRST)
    storage.close()


def test_a_database_that_was_renamed_is_not_only_said_to_be_removed(tmp_path):
    path = tmp_path / "runs.db"
    with et.Study(et.RandomSearch(et.Space(x=et.Float(0, 1))), "min loss", storage=path) as study:
        study.run(lambda trial: 1.0, trials=1)
        path.rename(tmp_path / "other.db")
        with pytest.raises(StorageError, match="removed, moved or renamed"):
            study.run(lambda trial: 1.0, trials=2)
