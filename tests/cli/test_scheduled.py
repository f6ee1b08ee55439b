"""The command line with schedules as genes: the file, the tables, JSON and CSV."""

import json

import pytest

TASK = """
import evotune as et

def train(trial):
    last = et.Schedule.of(trial.params, epochs=5)[4]["lr"]
    return {"accuracy": 1 / (1 + abs(last - 0.01))}
"""
FILE = """
[study]
objective = "max accuracy"
trials = 16
seed = 2
[space]
lr = { type = "scheduled", shapes = ["cosine", "piecewise"], knots = 3, warmup = 0.2, \
domain = { type = "float", low = 1e-4, high = 1.0, log = true } }
momentum = { type = "float", low = 0.5, high = 0.9 }
[algorithm]
name = "Genetic"
population_size = 8
[task]
function = "net:train"
"""


@pytest.fixture
def study(run_file):
    return run_file(TASK, FILE)


def test_the_space_has_one_row_for_a_schedule(study, evotune):
    code, output, _ = evotune("show", study)
    assert code == 0
    assert "0.0001 to 1, log" in output
    assert "cosine or piecewise (3 knots), warm-up up to 20 %" in output
    assert "lr.start" not in output


def test_tables_show_schedules_in_short_and_json_has_records(study, evotune):
    record = json.loads(evotune("best", study, "--json")[1])["params"]["lr"]
    assert {"shape", "start", "warmup"} <= set(record)
    for command in ("best", "trials"):
        output = evotune(command, study)[1]
        assert f" {record['shape']}, warm-up " in output
        assert "{" not in output


def test_nothing_is_damaged_and_the_report_is_written(study, evotune):
    assert evotune("storage", "check", study)[0] == 0
    assert evotune("report", study, "-o", "page.html")[0] == 0
    assert "warm-up" in (study.parent / "page.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("knots = 3", "knot = 3", "lr: unknown option 'knot'; did you mean 'knots'?"),
        ('"cosine", ', '"cosin", ', "'cosin' is not known"),
        ("warmup = 0.2", "warmup = 2", "in [0, 1), got 2.0"),
        ('type = "float", low = 1e-4', 'type = "choice", low = 1e-4', "lr: domain: unknown type"),
        ("domain = {", "values = {", "unknown option 'values'"),
    ],
)
def test_a_wrong_table_is_refused_in_words(old, new, words, tmp_path, evotune):
    (tmp_path / "net.py").write_text(TASK)
    (tmp_path / "net.toml").write_text(FILE.replace(old, new))
    code, _, errors = evotune("run", "net.toml")
    assert code == 1
    assert words in " ".join(errors.split())
