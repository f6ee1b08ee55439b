"""``evotune storage``: damage is found, set aside, and hides nothing else."""

import os
import sqlite3

import pytest
import sqlalchemy as sa

import evotune as et
from helpers_postgres import own_schema
from helpers_study import small_space, train

POSTGRES_URL = os.environ.get("EVOTUNE_POSTGRES_URL", "")


def change(path, statement):
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()


@pytest.fixture
def damaged(tmp_path):
    path = tmp_path / "runs.db"
    for name in ("good", "bad"):
        space = et.Space(x=et.Float(0, 1))
        with et.Study(et.RandomSearch(space), "min loss", storage=path, name=name, seed=1) as study:
            study.run(lambda trial: trial.params["x"], trials=5)
    with sqlite3.connect(path) as database:
        database.execute(
            "update evotune_trials set genome = ? where number in (1, 3) and study_id = 2",
            [b"\xff"],
        )
    database.close()
    return path


def test_check_and_repair(evotune, damaged):
    code, output, _ = evotune("storage", "check", damaged)
    assert code == 1
    assert output.count("study 'bad', trial 1, column 'genome'") == 1
    assert output.count("study 'bad', trial 3, column 'genome'") == 1
    assert f"storage repair {damaged}" in output
    code, _, errors = evotune("show", damaged, "bad")
    assert code == 1
    assert f"evotune storage check {damaged}" in errors
    code, output, _ = evotune("storage", "repair", damaged, "bad")
    assert (code, "failed now: 1, 3" in output) == (0, True)
    assert "study.enqueue(study.trials[1].params)" in output
    assert f"2 rows set aside in {damaged}.damaged.jsonl" in output
    code, output, _ = evotune("storage", "check", damaged)
    assert (code, "nothing is damaged" in output) == (0, True)
    assert "2 failed" in evotune("show", damaged, "bad")[1]


def test_other_studies_are_shown_and_reported(evotune, damaged, tmp_path):
    with sqlite3.connect(damaged) as database:
        database.execute("update evotune_studies set seed = 'abc' where name = 'bad'")
        database.execute("update evotune_trials set state = 'lost' where study_id = 2")
    database.close()
    code, output, _ = evotune("list", damaged)
    assert (code, "good" in output) == (0, True)
    assert "damaged: study 'bad', column 'seed': is 'abc'" in output
    assert "column 'state': 'lost' of 5 of its trials is unknown" in output
    for command in ("show", "trials", "best", "report"):
        assert evotune(command, damaged, "good")[0] == 0
        code, _, errors = evotune(command, damaged, "bad")
        assert (code, "column 'seed'" in errors) == (1, True)


def test_a_damaged_file(evotune, damaged):
    content = bytearray(damaged.read_bytes())
    with sqlite3.connect(damaged) as database:
        [(page,)] = database.execute(
            "select rootpage from sqlite_master where name = 'evotune_trials'"
        )
        [(size,)] = database.execute("pragma page_size")
    database.close()
    content[(page - 1) * size + 8 : page * size - 2000] = b"\xaa" * (size - 2008)
    damaged.write_bytes(content)
    code, output, errors = evotune("storage", "check", damaged)
    assert code == 1
    assert f"sqlite3 {damaged} .recover" in output + errors
    assert "storage repair" not in output
    before = damaged.read_bytes()
    code, output, errors = evotune("storage", "repair", damaged)
    assert (code, damaged.read_bytes()) == (1, before)
    assert f"sqlite3 {damaged} .recover" in errors


def test_check_offers_a_repair_only_of_what_it_can_mend(evotune, damaged):
    change(damaged, "update evotune_studies set space = '{' where name = 'bad'")
    code, output, _ = evotune("storage", "check", damaged)
    assert (code, "storage repair" in output) == (1, False)
    assert "column 'space' of its table evotune_studies" in output
    change(damaged, "insert into evotune_trials select 9, number, state, genome, params, seed, "
           "budget, weights_from, parents, note, metrics, \"values\", violation, failure, reports, "
           "repeat_of, results_seen, result_order, started, ended, checkpoint, inherit, origin, "
           "notes from evotune_trials where study_id = 1")  # fmt: skip
    assert "storage repair" in evotune("storage", "check", damaged)[1]
    code, output, _ = evotune("storage", "repair", damaged)
    assert (code, "5 rows of no study set aside" in output) == (1, True)
    assert "column 'space'" in output
    assert "storage repair" not in evotune("storage", "check", damaged)[1]


def test_a_lost_table_of_versions_is_written_anew(evotune, damaged):
    change(damaged, "delete from evotune_studies where name = 'bad'")
    change(damaged, "drop table evotune_schema_version")
    assert evotune("storage", "repair", damaged)[0] == 0
    assert evotune("show", damaged, "good")[0] == 0
    assert "nothing is damaged" in evotune("storage", "check", damaged)[1]
    assert evotune("storage", "check", damaged)[1].rstrip().endswith(": 1 study")


@pytest.mark.skipif(not POSTGRES_URL, reason="EVOTUNE_POSTGRES_URL names no server")
def test_a_server_is_checked_and_repaired_as_a_file_is(evotune, tmp_path):
    with own_schema(POSTGRES_URL) as url:
        study = lambda: et.Study(et.Genetic(small_space()), "min loss", storage=url, seed=1)  # noqa: E731
        with study() as whole:
            whole.run(train, trials=8)
        server = sa.create_engine(url)
        with server.begin() as connection:
            for change in ("genome = '{' where number = 3", '"values" = null where number = 5'):
                connection.execute(sa.text(f"update evotune_trials set {change}"))
        server.dispose()
        code, output, _ = evotune("storage", "check", url)
        assert (code, "trial 3, column 'genome'" in output, "trial 5" in output) == (1, True, True)
        assert evotune("storage", "repair", url)[0] == 0
        assert (tmp_path / "evotune-damaged.jsonl").read_text().count("\n") == 2
        assert evotune("storage", "check", url)[0] == 0
        with study() as again:
            assert again.run(train, trials=12).counts == {"done": 11, "failed": 1}
