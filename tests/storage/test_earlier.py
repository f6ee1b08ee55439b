"""Databases that earlier versions have written: they open, go on as they would have, and report."""

import json
import sqlite3
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from evotune.storage.sql import SqlStorage
from evotune.study.study import Study
from evotune.trial import Origin

EARLIER = Path(__file__).parent / "earlier"
SCHEMAS = (1, 2, 3)
_spec = spec_from_file_location("write_earlier", EARLIER / "write.py")
write = module_from_spec(_spec)
_spec.loader.exec_module(write)
algorithms, go_on = write.algorithms, write.go_on
CASES = [
    (schema, name)
    for schema in SCHEMAS
    for name in json.loads((EARLIER / f"schema_{schema}.json").read_text())
]
#: The oldest schema that has it: its trials have come through every migration since.
OLDEST = {name: schema for schema, name in reversed(CASES)}


def restored(folder: Path, schema: int) -> Path:
    path = folder / "runs.db"
    with sqlite3.connect(path) as database:
        database.executescript((EARLIER / f"schema_{schema}.sql").read_text())
    database.close()
    return path


def parse(text: str) -> Any:
    """Read JSON with floats to ten digits: the last ones are another processor's."""
    return json.loads(text, parse_float=lambda number: float(f"{float(number):.10g}"))


@pytest.mark.parametrize(("schema", "name"), CASES)
def test_a_study_goes_on_as_it_would_have(tmp_path: Path, schema: int, name: str) -> None:
    expected = json.loads((EARLIER / f"schema_{schema}.json").read_text())[name]
    study = Study(algorithms()[name](), "min loss", storage=restored(tmp_path, schema), name=name)
    found = go_on(study, len(expected), expected)
    assert parse(json.dumps(found)) == parse(json.dumps(expected))
    assert len(study.to_frame()) == len(study.trials)
    if schema == OLDEST[name]:
        study.report(tmp_path / "report.html")


def test_where_trials_come_from_is_read_out_of_old_notes(tmp_path: Path) -> None:
    storage = SqlStorage(restored(tmp_path, 2))
    last = {
        summary.definition.name: storage.trials(summary.definition.name)[-1].origin
        for summary in storage.studies()
    }
    assert last["random"] == Origin()
    assert last["genetic"] == Origin(generation=3)
    assert last["population"].member == 1
    assert last["population"].mutated is not None
    assert last["islands"].islands in {(0,), (1,)}
    assert last["halving"].rung in {1, 2, 4}
    storage.close()


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_origin_is_what_the_algorithms_give_today(tmp_path: Path, schema: int) -> None:
    storage = SqlStorage(restored(tmp_path, schema))
    for name, make in algorithms().items():
        if storage.load(name) is None:
            continue
        old = [trial.origin for trial in storage.trials(name)]
        study = Study(make(), "min loss", name=name, seed=7)
        go_on(study, len(old))
        assert [trial.origin for trial in study.trials] == old, name
    storage.close()
