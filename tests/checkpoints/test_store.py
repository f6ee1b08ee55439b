import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from evotune.checkpoints.store import Checkpoints
from evotune.errors import CheckpointError
from evotune.trial import Checkpoint

STATE = {"model": {"weight": torch.arange(100.0)}}


def opened(location=None, study="study", **options):
    store = Checkpoints(location, **options)
    store.open(study)
    return store


def written(store, number=3, state=STATE, epochs=2.0):
    return store.write(number, store.keep(number, state, epochs))


def another(store):
    """The same store as another process has it."""
    return pickle.loads(pickle.dumps(store))


def assert_holds(store, number, checkpoint, state=STATE, epochs=2.0):
    loaded, trained = store.load(number, checkpoint)
    assert torch.equal(loaded["model"]["weight"], state["model"]["weight"])
    assert trained == epochs


def test_memory_alone_needs_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = opened()
    kept = written(store)
    assert kept == Checkpoint(2.0, 400)
    assert store.load(3, kept)[0] is STATE
    assert store.used() == 0
    store.forget(3)
    assert not store.available(3, kept)
    with pytest.raises(CheckpointError, match=r"memory of a process that has ended.*Checkpoints\("):
        store.load(3, kept)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["directory", "file URL", "memory URL"])
def test_written_weights_are_read_by_another_process(kind, tmp_path):
    location = {
        "directory": tmp_path,
        "file URL": f"file://{tmp_path}",
        "memory URL": f"memory://{tmp_path.name}/runs",
    }[kind]
    store = opened(location)
    kept = written(store)
    assert kept.file == "trial-3.safetensors"
    assert kept.size == store.used() > 400
    other = another(store)
    assert other.available(3, kept)
    assert_holds(other, 3, kept)
    again = opened(location)  # as after a restart
    assert_holds(again, 3, kept)
    written(again, state={"model": {"weight": torch.zeros(2)}})
    again.delete(3)
    again.delete(3)
    assert not other.available(3, kept)
    assert again.used() == 0
    with pytest.raises(CheckpointError, match=r"trial 3 are missing.*study/trial-3.safetensors"):
        other.load(3, kept)


def test_nothing_is_created_before_the_first_write(tmp_path):
    store = opened(tmp_path / "runs")
    store.keep(1, STATE, 0.0)
    assert not (tmp_path / "runs").exists()
    written(store)
    assert (tmp_path / "runs" / "study" / "trial-3.safetensors").exists()


def test_the_default_folder_serves_where_no_location_was_given(tmp_path):
    store = Checkpoints()
    store.open("lenet", tmp_path / "beside")
    assert store.has_location
    written(store)
    assert (tmp_path / "beside" / "lenet" / "trial-3.safetensors").exists()


def test_every_nth_generation_is_due():
    assert [Checkpoints(write_every=3).is_due(n) for n in range(6)] == [False, False, True] * 2
    assert Checkpoints().is_due(0)
    assert not Checkpoints(write_every=None).is_due(5)


def test_another_store_has_the_same_settings_and_another_folder(tmp_path):
    store = opened(tmp_path, quota=5000, write_every=2)
    other = store.another()
    other.open("other")
    assert (other.quota, other.write_every) == (5000, 2)
    written(other)
    assert store.used() == 0


def test_studies_with_similar_names_do_not_share_a_folder(tmp_path):
    for name in ("a/b", "a b", "A-B", "a-b", "..", "é", "x" * 300):
        store = opened(tmp_path, name)
        written(store)
        store.close()
    folders = list(tmp_path.iterdir())
    assert len(folders) == 7
    assert (tmp_path / "a-b").is_dir()


def owner(name, created=1.5):
    return json.dumps([name, 1, created])


def owned(location, name, created=1.5, **options):
    store = Checkpoints(location)
    store.open(name, None, owner(name, created), **options)
    return store


def colliding():
    """Two names of which the first eight digits of the hash, and all else that is plain, agree."""
    seen, number, digest, name = {}, 0, "", ""
    while digest not in seen:
        seen[digest] = name
        number += 1
        name = "A" + "!" * (number % 300 + 1) + "?" * (number // 300)
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return seen[digest], name


ODD_NAMES = ["net", " net", "net ", "net.", "NET", "Net", "ｎｅｔ", "net\r", "net\n", "net\r\n"]
ODD_NAMES += ["ne\u0301t", "n\u00e9t", "../net", "..\\net", "/net", "net/", "CON", "con", "con.txt"]
ODD_NAMES += [
    "nul",
    "com1",
    "aux.",
    "x" * 300,
    "x" * 301,
    "X" * 300,
    "\u2003net",
    "net\0",
    "\ud800",
]
ODD_NAMES += ["trial-1.safetensors", "study.txt", *colliding()]
ODD_NAMES += ["a b", f"a-b-{hashlib.sha256(b'a b').hexdigest()[:8]}"]
ODD_NAMES += [f"a-b-{hashlib.sha256(b'a b').hexdigest()[:32]}"]


def test_every_name_has_a_folder_of_its_own_on_any_file_system(tmp_path):
    place = tmp_path / "weights"
    for number, name in enumerate(ODD_NAMES):
        written(owned(place, name), number)
    for number, name in enumerate(ODD_NAMES):
        store = owned(place, name)
        assert store.used() > 0
        store.tidy({number: written(store, number)})
        assert store.available(number, store.write(number, store.keep(number, STATE, 1.0)))
    folders = [path.name for path in place.iterdir()]
    assert len(folders) == len(ODD_NAMES)
    assert len({unicodedata.normalize("NFKC", name).casefold() for name in folders}) == len(folders)
    assert not [name for name in folders if name.split(".")[0] in ("con", "nul", "com1", "aux")]
    assert not [name for name in folders if name[-1] in ". " or len(name) > 100]
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


@pytest.mark.parametrize("name", ["lenet", "run-20240101", "Le Net", "\tnet\r", "con", "net."])
def test_folders_of_earlier_versions_are_found_by_their_owners(name, tmp_path):
    from evotune.checkpoints.store import _earlier_slug

    folder = tmp_path / _earlier_slug(name)
    folder.mkdir()
    (folder / "study.txt").write_text(f"{name} 1 1.5\n", encoding="utf-8")
    first = opened(tmp_path, "made")
    kept = written(first)
    shutil.copy(tmp_path / "made" / kept.file, folder)
    store = owned(tmp_path, name)
    assert_holds(another(store), 3, kept)
    store.tidy({3: kept})
    assert_holds(owned(tmp_path, name), 3, kept)
    if name == "lenet":
        with pytest.raises(CheckpointError, match="another study that is also called"):
            owned(tmp_path, name, created=2.5).tidy({})
    assert (folder / kept.file).exists()


@pytest.mark.parametrize(
    "text", [None, "", "\n", '{"study": "[\\"net', "net 1", "[]", "{}", b"\xff\0"]
)
def test_weights_whose_owner_is_not_known_are_left_alone(text, tmp_path, caplog):
    store = owned(tmp_path, "net")
    kept = written(store)
    (tmp_path / "net" / "study.txt").unlink()
    if text is not None:
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "net" / "study.txt").write_bytes(data)
    stranger = owned(tmp_path, "net", created=9.5)
    stranger.delete(3)
    with pytest.raises(CheckpointError, match=r"study\.txt does not name"):
        stranger.tidy({3: Checkpoint(1.0, 3, kept.file, "0" * 64)})
    beside = Checkpoints()
    beside.open("net", tmp_path, owner("net", 9.5))
    beside.tidy({})
    written(beside)
    assert "left as they are" in caplog.text
    assert (tmp_path / "net" / kept.file).read_bytes()
    again = owned(tmp_path, "net")  # whose weights they are knows them again
    again.tidy({3: kept})
    assert_holds(again, 3, kept)
    with pytest.raises(CheckpointError, match="another study"):
        owned(tmp_path, "net", created=7.5)


def test_a_folder_is_claimed_before_its_first_weights(tmp_path, monkeypatch):
    store = owned(tmp_path, "net")
    store.tidy({})
    replaced = []
    replace_file = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda old, new: replaced.append(new.name) or replace_file(old, new)
    )
    kept = written(store)
    assert replaced == ["study.txt", kept.file]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "study.txt").write_text("")  # a claim that a kill cut short
    store = owned(tmp_path, "other")
    store.tidy({})
    written(store)
    with pytest.raises(CheckpointError, match="another study"):
        owned(tmp_path, "other", created=9.5)


def test_a_study_in_memory_takes_no_living_or_lasting_folder(tmp_path):
    kept = written(owned(tmp_path, "net"))
    passing = owned(tmp_path, "net", created=2.5, lasts=False)
    passing.tidy({})
    written(passing, 1)
    assert_holds(owned(tmp_path, "net"), 3, kept)
    first = owned(tmp_path, "other", created=2.5, lasts=False)
    first.tidy({})
    written(first, 1)
    second = owned(tmp_path, "other", created=3.5, lasts=False)
    second.tidy({})
    assert first.used() > 0
    first.close()
    third = owned(tmp_path, "other", created=4.5, lasts=False)
    third.tidy({})  # what is left of a study that is over makes room
    assert not list((tmp_path / "other").glob("*.safetensors"))


def test_one_store_serves_one_study_at_a_time(tmp_path):
    store = opened(tmp_path)
    kept = store.keep(1, STATE, 0.0)
    store.open("study")
    with pytest.raises(CheckpointError, match="weights of study 'study'; give study 'other'"):
        store.open("other")
    store.close()
    store.open("study")
    assert store.available(1, kept)
    store.close()
    store.open("other")
    assert not store.available(1, kept)


def test_a_written_file_needs_no_second_writing(tmp_path):
    store = opened(tmp_path)
    kept = written(store)
    store.forget(3)
    assert store.write(3, kept) == kept
    with pytest.raises(CheckpointError, match="trial 4 are not in memory"):
        store.write(4, Checkpoint(1.0, 10))


def flip(path, data):
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda path, data: path.unlink(), "missing"),
        (lambda path, data: path.write_bytes(b""), "damaged: the file has 0 bytes"),
        (lambda path, data: path.write_bytes(data[:-1]), "damaged: the file has"),
        (flip, "damaged: the file's SHA-256"),
        (lambda path, data: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
    ids=["missing", "empty", "truncated", "a bit flipped", "a directory"],
)
def test_damage_is_found_and_named(harm, why, tmp_path):
    store = opened(tmp_path)
    kept = written(store)
    path = tmp_path / "study" / kept.file
    harm(path, path.read_bytes())
    assert_holds(store, 3, kept)  # the copy in memory is still good
    store.forget(3)
    with pytest.raises(CheckpointError, match=f"(?s)trial 3.*{why}") as caught:
        store.load(3, kept)
    assert str(path) in str(caught.value)


def crafted(store, folder, number=3, **changes):
    kept = written(store, number)
    store.forget(number)
    return replace(kept, **changes), folder / kept.file


@pytest.mark.parametrize(
    "file",
    [
        "../../outside.safetensors",
        "{outside}",
        "trial-4.safetensors",
        "./trial-3.safetensors",
        "study.txt",
        "trial-3.safetensors\0",
        "TRIAL-3.SAFETENSORS",
        "trial-03.safetensors",
    ],
)
def test_a_record_that_names_another_file_reads_none(file, tmp_path):
    store = owned(tmp_path / "weights", "net")
    outside = tmp_path / "outside.safetensors"
    record, path = crafted(store, tmp_path / "weights" / "net")
    for copy in (outside, path.with_name("trial-4.safetensors")):
        shutil.copy(path, copy)
    record = replace(record, file=file.format(outside=outside))
    assert not store.available(3, record)
    with pytest.raises(CheckpointError, match="record of the weights of trial 3 is damaged"):
        store.load(3, record)
    store.tidy({3: record})
    store.delete(3)
    assert outside.exists()


@pytest.mark.parametrize("size", [-1, -(10**6), 1.5, float("nan"), None, "10", 10**30])
def test_a_record_of_an_impossible_size_is_refused(size, tmp_path):
    store = owned(tmp_path, "net")
    record, _ = crafted(store, tmp_path / "net", size=size)
    assert not store.available(3, record)
    with pytest.raises(CheckpointError, match="damaged"):
        store.load(3, record)


def link(path, outside):
    path.rename(outside)
    path.symlink_to(outside)


def dangling(path, outside):
    path.unlink()
    path.symlink_to(outside)


def pipe(path, outside):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("harm", [link, dangling, pipe])
def test_nothing_but_plain_files_of_the_folder_is_read_or_changed(harm, tmp_path):
    store = owned(tmp_path / "weights", "net")
    record, path = crafted(store, tmp_path / "weights" / "net")
    outside = tmp_path / "outside"
    harm(path, outside)
    before = outside.read_bytes() if outside.exists() else None
    assert not store.available(3, record)
    with pytest.raises(CheckpointError, match=r"trial 3.*cannot be read"):
        store.load(3, record)
    owned(tmp_path / "weights", "net").tidy({3: record})
    written(store)  # takes the place of the link
    assert path.is_file()
    assert not path.is_symlink()
    harm(path, tmp_path / "second")
    store.delete(3)
    assert not path.exists()
    assert (outside.read_bytes() if outside.exists() else None) == before


def test_an_owner_behind_a_link_is_nobody(tmp_path):
    kept = written(owned(tmp_path, "net"))
    said = tmp_path / "net" / "study.txt"
    link(said, tmp_path / "outside")
    before = (tmp_path / "outside").read_text()
    store = owned(tmp_path, "net")
    store.tidy({3: kept})
    assert not said.is_symlink()
    assert (tmp_path / "outside").read_text() == before


def test_a_folder_may_be_a_link_to_another_disk(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "weights").symlink_to(tmp_path / "disk")
    store = owned(tmp_path / "weights", "net")
    kept = written(store)
    assert_holds(another(store), 3, kept)
    assert (tmp_path / "disk" / "net" / kept.file).exists()


def as_file(header, data=b""):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return len(text).to_bytes(8, "little") + text + data


def stated(state, epochs=1.0):
    body = {"format": 1, "epochs": epochs, "torch": True, "state": state}
    return {"__metadata__": {"evotune": json.dumps(body)}}


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/evotune-was-here",)


DEEP = "[" * 100_000 + "]" * 100_000
CRAFTED = {
    "a pickle": pickle.dumps(Evil()),
    "a header of 2**63 bytes": (2**63 - 1).to_bytes(8, "little") + b"{}",
    "a header of 2**64 bytes": b"\xff" * 8 + b"{}",
    "a deep header": as_file(DEEP.encode()),
    "a deep state": as_file({"__metadata__": {"evotune": DEEP}}),
    "a state that is a list": as_file(stated({"list": []})),
    "a state without names": as_file(stated({"dict": [[1, 2]]})),
    "a tensor that is not there": as_file(stated({"dict": [["w", {"tensor": "w"}]]})),
    "an unknown kind": as_file(stated({"eval": ["1"]})),
    "nan epochs": as_file(stated({"dict": []}, float("nan"))),
    "negative epochs": as_file(stated({"dict": []}, -1.0)),
    "offsets beyond the file": as_file(
        {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}} | stated({"dict": []})
    ),
    "a shape of 2**62": as_file(
        {"w": {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 16]}}
        | stated({"dict": []}),
        bytes(16),
    ),
    "an unknown dtype": as_file(
        {"w": {"dtype": "O", "shape": [4], "data_offsets": [0, 16]}} | stated({"dict": []}),
        bytes(16),
    ),
    "nothing": b"",
}


@pytest.mark.parametrize("what", CRAFTED)
def test_crafted_files_are_refused_though_their_digest_is_right(what, tmp_path):
    store = owned(tmp_path, "net")
    data = CRAFTED[what]
    record, path = crafted(store, tmp_path / "net")
    path.write_bytes(data)
    record = replace(record, size=len(data), digest=hashlib.sha256(data).hexdigest())
    with pytest.raises(CheckpointError, match=r"trial 3 in .* cannot be read"):
        store.load(3, record)
    assert not Path("/tmp/evotune-was-here").exists()


def test_deleted_weights_are_said_to_be_deleted(tmp_path):
    gone = Checkpoint(1.0, 10, "trial-1.safetensors", "", deleted=True)
    assert not opened(tmp_path).available(1, gone)
    with pytest.raises(CheckpointError, match="were deleted"):
        opened(tmp_path).load(1, gone)


def test_only_our_own_leftovers_are_removed(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    others = ["notes.tmp", "trial-1.safetensors", "trial-1.safetensors.bak", "trial-1.tmp"]
    for name in ["trial-1.safetensors.0123abcd.tmp", *others]:
        (folder / name).write_text("x")
    store = opened(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == sorted(others)
    store.delete(1)
    assert not (folder / "trial-1.safetensors").exists()


def test_a_file_that_another_process_is_writing_is_no_leftover(tmp_path, monkeypatch):
    store = opened(tmp_path)
    sync = os.fsync

    def open_in_the_meantime(descriptor):
        opened(tmp_path)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", open_in_the_meantime)
    kept = written(store)
    assert_holds(another(store), 3, kept)


def test_old_leftovers_at_a_url_are_removed(tmp_path):
    import fsspec

    files = fsspec.filesystem("memory")
    folder = f"/{tmp_path.name}/left/study"
    for name in ("trial-1.safetensors.0123abcd.tmp", "trial-2.safetensors.0123abcd.tmp", "a.tmp"):
        files.pipe_file(f"{folder}/{name}", b"x")
        if not name.startswith("trial-2"):
            files.store[f"{folder}/{name}"].modified -= timedelta(hours=2)
    opened(f"memory://{tmp_path.name}/left")
    left = [path.rpartition("/")[2] for path in files.ls(folder, detail=False)]
    assert sorted(left) == ["a.tmp", "trial-2.safetensors.0123abcd.tmp"]


def test_the_quota_is_kept_and_says_what_to_write(tmp_path):
    store = opened(tmp_path, quota=1500)
    kept = written(store, 1)
    assert kept.size < 750
    written(store, 2)
    with pytest.raises(CheckpointError, match=r"trial 3 need \d+ bytes.*quota=(\d+)") as caught:
        written(store, 3)
    assert store.used() == 2 * kept.size
    assert len(list((tmp_path / "study").iterdir())) == 2
    assert f"quota={3 * kept.size}" in str(caught.value)
    written(store, 1)  # replacing a file needs no more room
    store.delete(2)
    written(store, 3)


def test_the_quota_counts_what_other_processes_wrote(tmp_path):
    store = opened(tmp_path, quota=1000)
    other = another(store)
    written(other, 1)
    with pytest.raises(CheckpointError, match="quota of 1000 bytes"):
        written(store, 2)


@pytest.mark.parametrize(
    ("quota", "size"),
    [("2 GB", 2e9), ("500MiB", 500 * 2**20), ("1.5kB", 1500), ("64 b", 64), ("10", 10), (7, 7)],
)
def test_quotas_are_read(quota, size):
    assert Checkpoints(quota=quota).quota == size


@pytest.mark.parametrize(
    "options",
    [
        {"quota": "much"},
        {"quota": 0},
        {"quota": -5},
        {"quota": True},
        {"quota": float("nan")},
        {"quota": "2 PB"},
        {"write_every": 0},
        {"write_every": 1.5},
        {"write_every": True},
        {"location": 7},
        {"location": ""},
    ],
    ids=str,
)
def test_bad_options_are_refused(options):
    with pytest.raises(CheckpointError, match=f"Checkpoints: {next(iter(options))} must be"):
        Checkpoints(**options)


@pytest.mark.parametrize("url", ["file://w", "local://w", "./w", "~/w", "file://~/w"])
def test_a_local_folder_stays_where_it_was_named(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    store = opened(url)
    monkeypatch.chdir("/")
    written(store)
    assert (tmp_path / "w" / "study").is_dir()


def test_places_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no path to a file: Could not determine home"):
        opened("~nobody-of-this-name/w")
    with pytest.raises(CheckpointError, match=r"nosuch://bucket.*fsspec knows"):
        opened("nosuch://bucket")
    (tmp_path / "study").write_text("a file")
    with pytest.raises(CheckpointError, match="which is a file; give a directory"):
        opened(tmp_path)


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    store = opened(tmp_path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"could not be written to .*No space left"):
        written(store)
    assert list((tmp_path / "study").iterdir()) == []


def test_a_temporary_directory_lasts_as_long_as_its_owner():
    store = opened()
    store.ensure_location()
    kept = written(store)
    other = another(store)
    folder = Path(other._where(kept)).parent
    assert folder.name.startswith("evotune-")
    assert store.is_temporary
    assert_holds(other, 3, kept)
    other.close()
    assert folder.exists()
    store.close()
    assert not folder.exists()
    assert_holds(store, 3, kept)  # the copy in memory stays


def test_a_temporary_directory_is_removed_at_exit():
    code = """
from evotune.checkpoints.store import Checkpoints
store = Checkpoints()
store.open("study")
store.ensure_location()
print(store._folder)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    folder = Path(done.stdout.strip())
    assert folder.name.startswith("evotune-")
    assert not folder.exists()


WAITING = """
import sys
from evotune.checkpoints.store import Checkpoints
store = Checkpoints()
store.open("study")
store.ensure_location()
store.write(1, store.keep(1, {"n": 1}, 0.0))
print(store._folder, flush=True)
sys.stdin.read()
"""


def test_temporary_directories_of_killed_processes_are_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "evotune-notes").mkdir()
    (tmp_path / "evotune-notes" / "study.txt").write_text("mine")
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    folder = Path(process.stdout.readline().strip())
    opened().ensure_location()
    assert (folder / "trial-1.safetensors").exists()
    process.kill()
    process.communicate()
    opened().ensure_location()
    assert not folder.exists()
    assert (tmp_path / "evotune-notes" / "study.txt").exists()


def test_what_is_removed_while_it_is_written_is_written_again(tmp_path, monkeypatch):
    from evotune.checkpoints import folders

    store, lock, calls = opened(tmp_path), folders._lock, []

    def late(descriptor, how=0):
        if how == 0 and not calls:  # another process takes it for a leftover, before it is locked
            calls.append(descriptor)
            opened(tmp_path)
        return lock(descriptor, how)

    monkeypatch.setattr(folders, "_lock", late)
    kept = written(store)
    assert calls
    assert_holds(another(store), 3, kept)
    assert [path.name for path in (tmp_path / "study").iterdir()] == [kept.file]


def test_ensure_location_leaves_a_given_location(tmp_path):
    store = opened(tmp_path)
    store.ensure_location()
    store.close()
    store.open("study")
    written(store)
    assert (tmp_path / "study").exists()


KILLED = """
import sys
import numpy as np
from evotune.checkpoints.store import Checkpoints
store = Checkpoints(sys.argv[1])
store.open("study")
print("ready", flush=True)
step = 0
while True:
    step += 1
    store.write(1, store.keep(1, {"model": {"weight": np.full(500_000, step)}}, float(step)))
"""


def test_a_kill_while_writing_leaves_the_old_file_or_the_new_one(tmp_path):
    from evotune.checkpoints.state import unpack

    path = tmp_path / "study" / "trial-1.safetensors"
    for wait in (0.05, 0.09, 0.13):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        while not path.exists():
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        state, epochs = unpack(path.read_bytes())
        np.testing.assert_array_equal(state["model"]["weight"], epochs)
    opened(tmp_path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
