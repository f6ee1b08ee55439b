"""What happens to a study when its storage fails under it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import evotune as et
from evotune.errors import StorageError, StudyLockedError
from helpers_study import decisions, small_space, train


def study(**options):
    return et.Study(et.Genetic(small_space(), population_size=6), "min loss", seed=1, **options)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_the_run_and_loses_no_trial(small_disk):
    def padded(trial):
        return train(trial) | {f"metric {k} with a long name": float(k) for k in range(200)}

    broken = study(storage=f"sqlite:///{small_disk}/runs.db?patience=0.3")
    with pytest.raises(StorageError, match="disk"):
        broken.run(padded, trials=2000)
    recorded = len(broken.trials)
    assert 5 < recorded < 2000
    stored = et.Study(  # on the full disk still: looking is possible, driving is not
        et.Genetic(small_space(), population_size=6), "min loss", storage=small_disk / "runs.db"
    )
    assert len(stored.trials) >= recorded - 1  # all but the one that could not be written
    assert stored.counts["done"] >= broken.counts["done"] - 1
    with pytest.raises((StorageError, StudyLockedError)):
        stored.run(train, trials=400)


def test_the_study_goes_on_in_the_same_process_once_there_is_room(small_disk):
    ballast = small_disk / "ballast"

    def filling(trial):
        if trial.number == 20:
            with ballast.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * 4096)
                except OSError:
                    pass
        return train(trial)

    broken = study(storage=f"sqlite:///{small_disk}/runs.db?patience=0.3")
    with pytest.raises(StorageError):
        broken.run(filling, trials=400)
    ballast.unlink()
    broken.run(train, trials=40)
    expected = study().run(train, trials=max(40, len(broken.trials)))
    assert decisions(broken) == decisions(expected)
    broken.close()
    with study(storage=small_disk / "runs.db") as stored:
        assert decisions(stored) == decisions(expected)


def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path):
    with pytest.raises(StorageError, match="missing"):
        study(storage=tmp_path / "missing" / "runs.db")


def test_a_file_that_is_no_database_is_left_untouched(tmp_path):
    path = tmp_path / "runs.db"
    path.write_bytes(b"my precious notes" * 100)
    with pytest.raises(StorageError, match=r"runs\.db"):
        study(storage=path)
    assert path.read_bytes() == b"my precious notes" * 100
    assert [p.name for p in tmp_path.iterdir()] == ["runs.db"]


def test_a_running_study_can_be_copied_and_read(tmp_path):
    with study(storage=tmp_path / "runs.db") as first:
        first.run(train, trials=10)
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{tmp_path}/runs.db{suffix}", f"{tmp_path}/copy.db{suffix}")
        with study(storage=tmp_path / "copy.db", take_over=True) as copy:
            assert decisions(copy) == decisions(first)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_study_that_cannot_be_opened_leaves_no_file_open(tmp_path):
    with pytest.raises(et.errors.CheckpointError) as caught:
        et.Study(
            et.RandomSearch(et.Space(x=et.Float(0, 1))),
            "min loss",
            storage=tmp_path / "runs.db",
            checkpoints="nosuch://place",
        )
    assert caught.traceback  # which holds the study
    held = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    assert not [path for path in held if path.startswith(str(tmp_path))]
