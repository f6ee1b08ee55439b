"""Databases that are away for a while: runs wait for them, say so, and lose and double nothing."""

import logging
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import evotune as et
from evotune.errors import StorageError, StudyLockedError
from evotune.storage import open_storage
from evotune.storage.sql import SqlStorage
from evotune.testing.storages import FIRST, SECOND, make_definition, make_trial
from helpers_postgres import Proxy


def train(trial: et.RunningTrial) -> float:
    return float(trial.params["x"])


def study(storage, **options):
    space = et.Space(x=et.Float(0, 1))
    return et.Study(et.RandomSearch(space), "min loss", storage=storage, seed=1, **options)


def decisions(of: et.Study):
    return [(t.number, t.state, t.params, t.values, t.result_order) for t in of.trials]


def undisturbed(trials: int):
    return decisions(study(None).run(train, trials=trials))


# -- a file that another process has locked -------------------------------------------------------


@pytest.fixture
def locker(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(
        tmp_path / "runs.db", isolation_level=None, check_same_thread=False
    )
    yield connection
    connection.close()


def test_a_run_waits_for_a_lock_and_says_so_once(tmp_path, locker, caplog):
    def locking(trial):
        if trial.number == 3:
            locker.execute("BEGIN IMMEDIATE")
            threading.Timer(2.5, lambda: locker.execute("ROLLBACK")).start()
        return train(trial)

    with study(tmp_path / "runs.db") as waiting:
        assert decisions(waiting.run(locking, trials=6)) == undisturbed(6)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert f"{tmp_path}/runs.db or written to it at present (database is locked)" in said[0]
    assert "trying again for up to" in said[0]
    assert "works again" in said[1]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_when_patience_ends_the_result_is_kept_and_stored_first_the_next_time(tmp_path, locker):
    def locking(trial):
        if trial.number == 3:
            locker.execute("BEGIN IMMEDIATE")
        return train(trial)

    with study(open_storage(tmp_path / "runs.db", patience=0.1)) as waiting:
        with pytest.raises(StorageError, match=r"locked by another process for more than 0\.1 s"):
            waiting.run(locking, trials=6)
        assert waiting.counts == {"done": 4}
        locker.execute("ROLLBACK")
        assert decisions(waiting.run(train, trials=6)) == undisturbed(6)
    with study(tmp_path / "runs.db") as again:
        assert decisions(again) == undisturbed(6)


def locked_out(folder, locker):
    """Return a study that cannot store its first result: another connection has the lock."""

    def locking(trial):
        locker.execute("BEGIN IMMEDIATE")
        return train(trial)

    waiting = study(f"sqlite:///{folder}/runs.db?patience=0")
    with pytest.raises(StorageError, match="locked"):
        waiting.run(locking, trials=2)
    return waiting


def test_what_could_not_be_stored_is_stored_when_the_study_is_closed(tmp_path, locker):
    waiting = locked_out(tmp_path, locker)
    locker.execute("ROLLBACK")
    waiting.close()
    with study(tmp_path / "runs.db") as again:
        assert again.counts == {"done": 1}


def test_what_cannot_be_stored_until_the_end_is_rescued(tmp_path, locker):
    waiting = locked_out(tmp_path, locker)
    with pytest.raises(StorageError, match=r"locked.* all 1 trials of study 'study' are in "):
        waiting.close()
    locker.execute("ROLLBACK")
    (file,) = tmp_path.glob("runs.db.rescued-study-*.db")
    with study(file) as again:
        assert again.counts == {"done": 1}


INTERRUPTED = """
import logging, os, signal, sqlite3, sys, threading
import evotune as et
locker = sqlite3.connect(sys.argv[1], isolation_level=None)
def train(trial):
    if trial.number == 2:
        locker.execute("BEGIN IMMEDIATE")
    return trial.params["x"]
class Interrupt(logging.Handler):
    def emit(self, record):
        os.kill(os.getpid(), signal.SIGINT)
logging.getLogger("evotune").addHandler(Interrupt())
space = et.Space(x=et.Float(0, 1))
study = et.Study(et.RandomSearch(space), "min loss", storage=sys.argv[1], seed=1)
try:
    study.run(train, trials=5)
except et.errors.StorageError as error:
    locker.execute("ROLLBACK")
    study.close()
    sys.exit(f"{study.counts['done']} done")
"""


def test_ctrl_c_ends_the_waiting_and_loses_nothing(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "runs.db")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr.strip() == "3 done", ended.stderr
    with study(tmp_path / "runs.db") as again:
        assert again.counts == {"done": 3}


# -- a full disk ----------------------------------------------------------------------------------

FULL = """
import resource, signal, sys, threading
import evotune as et
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that may not grow is an error then
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
def train(trial):
    if trial.number == 5:
        limit(Path(sys.argv[1] + "-wal").stat().st_size + 100)
        threading.Timer(1.0, limit, [resource.RLIM_INFINITY]).start()
    return {"loss": trial.params["x"]} | {f"metric {k}": float(k) for k in range(500)}
space = et.Space(x=et.Float(0, 1))
with et.Study(et.RandomSearch(space), "min loss", storage=sys.argv[1], seed=1) as study:
    study.run(train, trials=10)
"""


def test_a_run_waits_for_room_on_the_disk(tmp_path):
    command = [sys.executable, "-c", FULL, str(tmp_path / "runs.db")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "trying again" in ended.stderr
    assert "works again" in ended.stderr
    with study(tmp_path / "runs.db") as again:
        assert decisions(again) == undisturbed(10)


# -- opening --------------------------------------------------------------------------------------


def test_nobody_waits_for_a_place_that_cannot_be_written_from_the_start(tmp_path, caplog):
    (tmp_path / "runs.db").write_bytes(b"my notes" * 100)
    for url in (
        f"sqlite:///{tmp_path}/runs.db",
        f"sqlite:///file:{tmp_path}/n.db?mode=ro&uri=true",
    ):
        with pytest.raises(StorageError):
            open_storage(url)
    assert not caplog.records


@pytest.mark.parametrize("wrong", ["database", "user"])
def test_nobody_waits_where_a_server_refuses(wrong, postgres_url, caplog):
    url = sa.make_url(postgres_url)
    url = url.set(database="nodb") if wrong == "database" else url.set(username="nobody-here")
    with pytest.raises(StorageError, match="does not exist"):
        SqlStorage(url.render_as_string(hide_password=False))
    assert not caplog.records


def test_a_server_that_is_not_there(caplog):
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(StorageError, match="refused"):
        SqlStorage(f"postgresql://ada:secret@127.0.0.1:{port}/runs", patience=0.2)
    assert "trying again" in caplog.text
    assert "secret" not in caplog.text


# -- a server that is away ------------------------------------------------------------------------


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    proxy = Proxy(sa.make_url(postgres_url))
    yield proxy
    proxy.close()


def proxied(proxy: Proxy) -> str:
    return proxy.url.render_as_string(hide_password=False)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_outlives_an_outage(workers, proxy, postgres_url):
    def callback(running, trial):
        if trial.number == 1:
            proxy.go_away(1.0)

    def away(trial):
        if trial.number == 4 and workers == 1:
            proxy.go_away(1.0)
        return train(trial)

    with study(proxied(proxy)) as outliving:
        options = {"deterministic": True, "workers": workers} if workers > 1 else {}
        outliving.run(train if workers > 1 else away, trials=8, callbacks=callback, **options)
    with study(postgres_url) as again:
        assert decisions(again) == undisturbed(8)


def test_asking_telling_and_closing_outlive_an_outage(proxy, postgres_url):
    outliving = study(proxied(proxy))
    trial = outliving.ask()
    proxy.go_away(0.5)
    outliving.tell(trial, train(trial))
    proxy.go_away(0.5)
    trial = outliving.ask()
    outliving.tell(trial, train(trial))
    proxy.go_away(0.5)
    outliving.close()
    with study(postgres_url) as again:
        assert decisions(again) == undisturbed(2)


def test_opening_outlives_a_short_outage(proxy):
    proxy.go_away(0.5)
    with study(proxied(proxy)) as opened:
        opened.run(train, trials=2)
        proxy.go_away(0.5)
        with study(proxied(proxy), name="another"):
            pass


def test_a_commit_whose_answer_was_lost_is_not_done_twice(proxy, postgres_url):
    """Of every kind of transaction: the tables, a study, its driver, its trials."""
    storages = []
    for step in (
        lambda: storages.append(SqlStorage(proxied(proxy))),
        lambda: storages[0].create(make_definition()),
        lambda: storages[0].acquire("lenet", FIRST, None),
        lambda: storages[0].write("lenet", [make_trial(0)], FIRST),
        lambda: storages[0].write("lenet", [make_trial(0), make_trial(1)], FIRST),
        lambda: storages[0].release("lenet", FIRST),
        lambda: storages[0].acquire("lenet", SECOND, None),
    ):
        proxy.swallows = 1
        step()
        assert proxy.swallows == 0
    other = SqlStorage(postgres_url)
    (summary,) = other.studies()
    assert (summary.definition, summary.driver) == (make_definition(), SECOND)
    assert other.trials("lenet") == [make_trial(0), make_trial(1)]
    other.close()
    storages[0].close()


def test_an_ousted_driver_stays_out_after_an_outage(proxy, postgres_url):
    storage, other = SqlStorage(proxied(proxy)), SqlStorage(postgres_url)
    storage.create(make_definition())
    storage.acquire("lenet", FIRST, None)
    storage.write("lenet", [make_trial(0)], FIRST)
    proxy.go_away(0.5)
    other.acquire("lenet", SECOND, FIRST)
    with pytest.raises(StudyLockedError, match="process 17 on birch"):
        storage.write("lenet", [make_trial(1)], FIRST)
    assert other.trials("lenet") == [make_trial(0)]
    for opened in (storage, other):
        opened.close()


def test_a_session_that_the_server_ends_is_replaced(postgres_url):
    def ending(trial):
        if trial.number == 2:
            server = sa.create_engine(postgres_url)
            with server.begin() as connection:
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'ended by a test'"
                )
            server.dispose()
        return train(trial)

    named = sa.make_url(postgres_url).update_query_dict({"application_name": "ended by a test"})
    with study(named.render_as_string(hide_password=False)) as outliving:
        assert decisions(outliving.run(ending, trials=5)) == undisturbed(5)


def test_tables_that_are_dropped_are_a_loss(postgres_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def dropping(trial):
        if trial.number == 2:
            server = sa.create_engine(postgres_url)
            with server.begin() as connection:
                connection.exec_driver_sql("DROP TABLE evotune_trials, evotune_studies")
            server.dispose()
        return train(trial)

    broken = study(postgres_url)
    with pytest.raises(StorageError, match="all 3 trials of study 'study' are in "):
        broken.run(dropping, trials=5)
    broken.close()
    (file,) = tmp_path.glob("evotune.rescued-study-*.db")
    with study(file) as again:
        assert decisions(again.run(train, trials=5)) == undisturbed(5)
