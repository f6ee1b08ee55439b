"""Texts of a study reach a terminal, a page or a picture as texts, whatever is in them."""

import logging
import xml.etree.ElementTree as ElementTree

import pytest

import evotune as et
from evotune.cli.tables import PLAIN_FROM
from evotune.errors import StorageError, StudyError
from evotune.printing import printable
from evotune.storage import open_storage

EVIL = "\x1b]0;title\x07\x1b[2J\x9b31m\u202ered[red]\ud800"
HARMFUL = ("\x1b", "\x07", "\x9b", "\u202e", "\ud800")


def train(trial):
    if trial.number % 4 == 1:
        raise RuntimeError(EVIL)
    trial.report(**{EVIL: 1.0})
    return {"loss": trial.params[f"x{EVIL}"], EVIL: 1.0}


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "runs.db"
    space = et.Space({f"x{EVIL}": et.Float(0, 1), "kind": et.Choice([f"a{EVIL}", "b"])})
    name = f"n{EVIL}".replace("\ud800", "")  # no database takes it
    with et.Study(et.Genetic(space), "min loss", storage=path, name=name, seed=1) as study:
        study.run(train, trials=12, max_failures=1.0)
        assert repr(study).isprintable()
    return path


def harmless(text):
    return not any(character in text for character in HARMFUL)


@pytest.mark.parametrize(
    "command",
    [
        ["list"], ["show"], ["trials"], ["trials", "--failed"], ["trials", "--csv"], ["best"],
        ["best", "--json"], ["export"], ["storage", "check"], ["report"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_no_command_prints_control_characters(evotune, database, command):
    code, output, errors = evotune(*command, database)
    assert code == 0, errors
    assert harmless(output + errors)
    assert "\\u001b" in output or command[0] in ("storage", "report")
    if command == ["list"]:
        assert "[red]" in output  # and is no colour


def test_errors_and_log_are_printable(evotune, database, caplog):
    code, output, errors = evotune("show", database, EVIL.replace("\ud800", ""))
    assert code == 1
    assert harmless(output + errors)
    assert harmless(str(StudyError(EVIL)))
    with caplog.at_level(logging.WARNING, "evotune"):
        logging.getLogger("evotune").warning("trial failed: %s", EVIL)
    assert harmless(caplog.text)


def test_a_long_table_is_plain_and_printable(evotune, tmp_path):
    path = tmp_path / "runs.db"
    space = et.Space(x=et.Float(0, 1), kind=et.Choice([EVIL, "b"]))
    with et.Study(et.RandomSearch(space), "min loss", storage=path, seed=1) as study:
        study.run(lambda trial: trial.params["x"], trials=PLAIN_FROM + 1)
    code, output, _ = evotune("trials", path)
    assert (code, len(output.splitlines())) == (0, PLAIN_FROM + 3)
    assert harmless(output)
    header, rule, *rows = output.splitlines()
    assert header.split() == ["trial", "state", "seconds", "loss", "x", "kind"]
    assert len(rule) >= len(header)
    assert [int(row.split()[0]) for row in rows] == list(range(PLAIN_FROM + 1))


def test_pages_and_pictures_are_well_formed(database, tmp_path, evotune):
    for name in ("page.html", "picture.svg"):
        code, _, errors = evotune("report", database, "-o", tmp_path / name)
        assert code == 0, errors
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert not any(c in text for c in HARMFUL if c not in ("\x9b", "\u202e")), name
    ElementTree.parse(tmp_path / "picture.svg")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@host:port/database",
        "postgresql://me:secret@127.0.0.1:1/database?patience=0",
        "postgresql://127.0.0.1:1/database?user=me&password=secret&patience=0",
        "postgresql://me:sec@secret@127.0.0.1:1/database?patience=0",
        "mysql://me:secret@host/database",
    ],
)
def test_passwords_are_not_printed(evotune, url):
    with pytest.raises(StorageError) as refused:
        open_storage(url)
    assert "secret" not in str(refused.value)
    for command in ("list", "show"):
        code, output, errors = evotune(command, url)
        assert code == 1
        assert "secret" not in output + errors


@pytest.mark.parametrize(
    "spec",
    [
        "postgresql//ada:secret@host/runs.db",
        "postgresql:/ada:secret@host/runs.db",
        "postgres:ada:secret@host",
        "jdbc:postgresql://ada:secret@host/runs",
        "user=ada password='secret words'",
        "postgresql+nosuch://host/runs?sslpassword=secret",
    ],
)
def test_no_password_of_a_misspelt_address_is_printed(spec):
    with pytest.raises(StorageError) as refused:
        open_storage(spec)
    assert "secret" not in str(refused.value) + repr(refused.value)
    assert "postgresql://user@host" in printable("postgresql://user@host/database")


def test_a_location_of_weights_is_printed_without_its_password():
    assert "secret" not in repr(et.Checkpoints("sftp://ada:secret@host/weights"))


def test_what_is_printable_stays():
    for text in ("naïve ‘quoted’ 🧬\ttab\nline", "http://host:80/path", "a=b, mail me@host"):
        assert printable(text) == text
