"""One path of a database, however it is named, and all that lies beside it."""

import os
from pathlib import Path

import numpy as np
import pytest

import evotune as et
from evotune.cli.source import read_study
from evotune.errors import StorageError
from evotune.storage import open_storage
from evotune.testing.storages import make_definition


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that is the working directory too, reached by a link, with a link to a file."""
    real = tmp_path / "disk" / "ada"
    real.mkdir(parents=True)
    (tmp_path / "home").symlink_to(real)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home")
    Path("latest.db").symlink_to("runs.db")
    return real


NAMES = [
    "runs.db",
    "./latest.db",
    "~/runs.db",
    "sqlite:///runs.db",
    "sqlite:///~/latest.db",
    "sqlite:///~/runs.db?timeout=3",
    "sqlite:///latest.db?patience=3",
    "sqlite:///file:latest.db?mode=rwc&uri=true",
]


@pytest.mark.parametrize("name", [*NAMES, Path("runs.db"), Path("~/latest.db")])
def test_every_name_leads_to_one_file(name: str | Path, home: Path) -> None:
    storage = open_storage(name)
    os.chdir("/")
    assert storage.create(make_definition()) == make_definition()
    assert getattr(storage, "path") == home / "runs.db"  # noqa: B009  (no part of the protocol)
    assert sorted(p.name for p in home.iterdir() if "-" not in p.name) == ["latest.db", "runs.db"]
    storage.close()


@pytest.mark.parametrize("name", [name for name in NAMES if "mode" not in name])
def test_a_recorded_study_is_read_by_every_name(name: str, home: Path) -> None:
    storage = open_storage(home / "runs.db")
    storage.create(make_definition())
    storage.close()
    Path("lenet.toml").write_text(f'[study]\nstorage = "{name}"\n[space]\n[task]\n')
    os.chdir("/")
    assert read_study("~/runs.db").name == "lenet"
    assert read_study(f"{home}/lenet.toml").name == "lenet"


def train(trial):
    state = {"w": np.zeros(10)}
    trial.resume(model=state)
    for _ in trial.epochs(default=1):
        state["w"] = state["w"] + trial.params["x"]
    trial.keep(model=state)
    return trial.params["x"]


def test_a_study_finds_its_weights_by_every_name(home: Path) -> None:
    for epochs, name in enumerate(NAMES[:5], start=2):
        algorithm = et.PopulationBasedTraining(et.Space(x=et.Float(0, 1)), population_size=3)
        with et.Study(algorithm, "min loss", storage=name, seed=1) as study:
            study.run(train, epochs=epochs)
    assert study.counts == {"done": 18}
    assert [p.name for p in home.iterdir() if p.is_dir()] == ["runs.db.checkpoints"]


@pytest.mark.parametrize(
    "name",
    [
        "circle.db",
        "~nobody-of-this-name/runs.db",
        "sqlite:///a\0.db",
        "x" * 249 + ".db",
        "x" * 300 + ".db",
    ],
)
def test_what_leads_nowhere_is_said(name: str, home: Path) -> None:
    Path("circle.db").symlink_to("circle.db")
    with pytest.raises(StorageError, match=r"is no place for a storage|cannot be opened"):
        open_storage(name)


def test_options_of_a_uri_are_not_taken_for_a_file(home: Path) -> None:
    with pytest.raises(StorageError, match=r"written sqlite:///file:runs\.db"):
        open_storage("sqlite:///runs.db?mode=ro&uri=true")
    assert not list(home.glob("runs.db*"))


@pytest.mark.parametrize("patience", ["soon", "-1", "nan"])
def test_a_patience_that_is_no_number_is_refused(patience: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="number of seconds, 0 or more"):
        open_storage(f"sqlite:///{tmp_path}/runs.db?patience={patience}")
