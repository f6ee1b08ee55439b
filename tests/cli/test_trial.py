"""One trial in full; JSON of every reading command; the storage and names that need no typing."""

import json
import logging

import pytest

import evotune as et


def train(trial):
    trial.note("went well", log="/tmp/a.log")
    for epoch in range(30):
        trial.report(step=epoch, accuracy=epoch / 30)
    if trial.number == 2:
        raise ValueError("no memory")
    return {"accuracy": trial.params["lr"], "odd": float("inf"), "why": "a text"}


@pytest.fixture
def database(tmp_path):
    space = et.Space(lr=et.Float(0.1, 1.0), layers=et.Chain(1, 2, dense={"units": et.Int(8, 16)}))
    genetic = et.Genetic(space, population_size=3)
    with et.Study(genetic, "max accuracy", storage=tmp_path / "runs.db", name="net", seed=2) as s:
        s.run(train, 8)
    return tmp_path / "runs.db"


def test_a_trial_in_full(evotune, database):
    trial = et.open(database).trials[7]
    code, out, _ = evotune("trial", database, 7)
    assert code == 0
    for text in ("7 of study net", "done", "/tmp/a.log", "went well", "a text", "20 of 30 reports"):
        assert text in out
    assert ", ".join(map(str, trial.parents)) in out
    assert f"dense {trial.params['layers'][0]['units']}" in out


def test_why_a_trial_failed(evotune, database):
    out = evotune("trial", database, "net", 2)[1]
    assert "exception: ValueError: no memory" in out
    assert 'raise ValueError("no memory")' in out  # the traceback
    assert "went well" in out


@pytest.mark.parametrize("number", ["8", "x", "-1"])
def test_no_such_trial(evotune, database, number):
    code, out, err = evotune("trial", database, number)
    assert code in (1, 2)
    assert not out
    assert "8" in err or "NUMBER" in err or "No such option" in err


@pytest.mark.parametrize(
    "command", [("list",), ("show",), ("best",), ("trials",), ("trial", 2), ("storage", "check")]
)
def test_every_reading_command_has_one_schema(evotune, database, command):
    first, rest = (command[:2], ()) if command[0] == "storage" else (command[:1], command[1:])
    code, out, _ = evotune(*first, database, *rest, "--json")
    data = json.loads(out)
    assert code == 0
    assert (data["evotune"], data["format"]) == (et.__version__, 1)
    if command[0] in ("show", "best", "trials", "trial"):
        assert data["study"] == "net"
    export = json.loads(evotune("export", database)[1])
    assert export["format"] == 1
    trials = export["study"]["trials"]
    if command[0] == "trials":
        assert data["trials"] == trials
    if command[0] == "trial":
        assert data.items() >= trials[2].items()
        assert data["failure"]["kind"] == "exception"
        assert data["notes"] == {"note": "went well", "log": "/tmp/a.log"}
    if command[0] in ("show", "best"):
        best = data["best"] if command[0] == "show" else data
        assert best.items() >= trials[best["number"]].items()
        assert best["metrics"]["odd"] is None
    if command[0] == "list":
        assert data["studies"][0]["counts"] == {"done": 7, "failed": 1}


def test_the_usual_storage_need_not_be_named(evotune, database, monkeypatch):
    plain = evotune("best", database, "net")
    monkeypatch.setenv("EVOTUNE_STORAGE", str(database))
    for given in ((), ("net",), (database,), (database, "net")):
        assert evotune("best", *given) == plain
    assert evotune("trial", 2) == evotune("trial", database, "net", 2)
    assert "no study 'other'" in evotune("best", "other")[2]
    assert evotune("list")[0] == 0


def test_without_a_storage_it_says_what_to_write(evotune, monkeypatch):
    monkeypatch.delenv("EVOTUNE_STORAGE", raising=False)
    code, _, err = evotune("show")
    assert code == 2
    assert "EVOTUNE_STORAGE" in err


@pytest.mark.parametrize(
    ("typed", "usual", "offered"),
    [
        ("show runs.db n", None, ["net"]),
        ("trial runs.db ", None, ["net"]),
        ("trial runs.db net ", None, []),
        ("trial ", "runs.db", ["net"]),
        ("best ", "runs.db", ["net"]),
        ("best x", "runs.db", []),
        ("best ", None, []),
        ("list ", "runs.db", []),
        ("compare s.toml --algorithms Hy", None, ["Hybrid"]),
        ("compare s.toml --algorithms Hybrid,Rand", None, ["Hybrid,RandomSearch"]),
    ],
)
def test_a_shell_completes_names(evotune, database, monkeypatch, typed, usual, offered):
    monkeypatch.setenv("_EVOTUNE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"evotune {typed}")
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split(" "))))
    monkeypatch.delenv("EVOTUNE_STORAGE", raising=False)
    if usual:
        monkeypatch.setenv("EVOTUNE_STORAGE", usual)
    assert evotune()[1].split() == offered


@pytest.mark.parametrize(("flag", "level"), [("-v", logging.INFO), ("-q", logging.ERROR)])
def test_more_and_less_is_said(evotune, database, flag, level):
    log = logging.getLogger("evotune")
    before = log.level, list(log.handlers)
    try:
        assert evotune(flag, "best", database)[0] == 0
        assert log.level == level
    finally:
        log.setLevel(before[0])
        log.handlers[:] = before[1]
