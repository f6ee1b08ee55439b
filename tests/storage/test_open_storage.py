import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evotune.errors import StorageError
from evotune.storage import MemoryStorage, open_storage
from evotune.storage.sql import SqlStorage
from evotune.testing.storages import make_definition


@pytest.mark.parametrize("spec", [None, "memory"])
def test_memory(spec: str | None) -> None:
    assert isinstance(open_storage(spec), MemoryStorage)


def test_a_storage_is_returned_as_it_is() -> None:
    storage = MemoryStorage()
    assert open_storage(storage) is storage


@pytest.mark.parametrize("form", ["url", "path", "text", "relative", "in a directory"])
def test_every_way_to_name_a_file(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my runs").mkdir()
    spec, file = {
        "url": (f"sqlite:///{tmp_path}/a.db", "a.db"),
        "path": (tmp_path / "what? 50% #1", "what? 50% #1"),
        "text": (str(tmp_path / "runs"), "runs"),
        "relative": ("runs.db", "runs.db"),
        "in a directory": ("my runs/lenet", "my runs/lenet"),
    }[form]
    storage = open_storage(spec)
    storage.create(make_definition())
    assert (tmp_path / file).is_file()
    storage.close()
    again = SqlStorage(tmp_path / file)
    assert again.load("lenet") == make_definition()
    again.close()


def test_a_relative_path_stays_where_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = open_storage("runs.db")
    storage.create(make_definition())
    storage.close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert storage.load("lenet") == make_definition()
    storage.close()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("memroy", 'write "memory"'),
        ("", 'write "memory"'),
        ("sqlite:runs.db", "sqlite:///runs.db"),
        ("mysql://user@host/runs", "sqlite:///runs.db"),
        ("postgres://user@host/runs", "postgresql://"),
        ("sqlite://", 'or "memory"'),
        ("sqlite:///:memory:", 'or "memory"'),
        ("postgresql://host:port/runs", "postgresql://user@host/database"),
        (3, "opened from 3"),
        (sys.stdout, 'write "memory"'),
    ],
)
def test_what_is_no_storage_says_what_to_write(spec: Any, says: str) -> None:
    with pytest.raises(StorageError, match=says):
        open_storage(spec)


def test_errors_do_not_show_a_password() -> None:
    for url in ("mysql://ada:secret@host/runs", "postgresql+nodriver://ada:secret@host/runs"):
        with pytest.raises(StorageError) as caught:
            open_storage(url)
        assert "secret" not in str(caught.value)


def test_sqlalchemy_is_imported_only_for_a_database() -> None:
    code = (
        "import sys; from evotune.storage import open_storage; open_storage();"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
