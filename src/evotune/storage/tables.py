"""The tables, the conversion of records to rows and back, and migrations of older databases.

Table names have a prefix, since a database may hold tables of other programs too.
"""

import json
import logging
import reprlib
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import Any, get_args

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    inspect,
    select,
)

from evotune.errors import StorageError
from evotune.objectives import Objectives
from evotune.protocols import Driver, StudyDefinition, StudySummary
from evotune.storage import cells
from evotune.storage.damage import DamageError, Fault, of_study
from evotune.trial import NOWHERE, Checkpoint, Failure, Origin, State, Trial

log = logging.getLogger("evotune")

METADATA = MetaData()

schema_version = Table(
    "evotune_schema_version",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
)

studies = Table(
    "evotune_studies",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("seed", Text, nullable=False),  # a seed may exceed a database's largest integer
    Column("space", Text, nullable=False),
    Column("objectives", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("driver_host", Text),
    Column("driver_pid", BigInteger),
    Column("driver_process_started", Double),
    Column("driver_since", Double),
    Column("driver_token", Text),
)

# JSON is kept as text: a database's own JSON type knows no NaN and no infinity, and turns 1.0
# into 1. For the same reason budget and violation are JSON.
trials = Table(
    "evotune_trials",
    METADATA,
    Column("study_id", ForeignKey(studies.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("genome", Text, nullable=False),
    Column("params", Text),  # NULL: all genes are active
    Column("seed", BigInteger, nullable=False),
    Column("budget", Text),
    Column("weights_from", Integer),
    Column("parents", Text),
    Column("note", Text),
    Column("metrics", Text),
    Column("values", Text),
    Column("violation", Text, nullable=False),
    Column("failure", Text),
    Column("reports", Text),
    Column("repeat_of", Integer),
    Column("results_seen", Integer, nullable=False),
    Column("result_order", Integer),
    Column("started", Double),
    Column("ended", Double),
    Column("checkpoint", Text),
    Column("inherit", Text),
    Column("origin", Text),
    Column("notes", Text),
)

DEFINITION = [studies.c[name] for name in StudyDefinition.__slots__]
DRIVER = [studies.c[f"driver_{name}"] for name in Driver.__slots__]
#: All columns of a trial in the order in which they are read.
TRIAL = [column for column in trials.c if column.name != "study_id"]


def _add_weights(connection: Connection) -> None:
    for column in ("checkpoint", "inherit"):
        connection.exec_driver_sql(f"ALTER TABLE evotune_trials ADD COLUMN {column} TEXT")


def _add_origin(connection: Connection) -> None:
    """Fill the new column from the notes, which held this information before."""
    connection.exec_driver_sql("ALTER TABLE evotune_trials ADD COLUMN origin TEXT")
    place = trials.c.study_id, trials.c.number
    noted = select(*place, trials.c.note).where(trials.c.note.is_not(None))
    for study_id, number, note in connection.execute(noted).all():
        try:
            text = origin_to_text(_noted_origin(cells.mapping(note)))
        except (ValueError, TypeError):  # said when the damaged note is read
            continue
        here = trials.c.study_id == study_id, trials.c.number == number
        connection.execute(trials.update().where(*here).values(origin=text))


def _add_notes(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE evotune_trials ADD COLUMN notes TEXT")


def _noted_origin(note: Mapping[str, Any]) -> Origin:
    """Return the origin of a proposal from its note in schema 2, where wrappers nested notes."""
    own, islands = note, []
    while isinstance(own.get("note"), Mapping):
        islands += [own["island"]] if "island" in own else []
        own = own["note"]
    return Origin(
        generation=note.get("generation"),
        member=own.get("member"),
        islands=tuple(islands),
        rung=note.get("rung"),
        promotes=note.get("promotes"),
        replaces=own.get("replaces"),
        mutated=tuple(own.get("mutated", ())) if "replaces" in own else None,
        arm=note.get("arm"),
    )


#: The step at index k - 1 brings a database from schema version k to k + 1.
MIGRATIONS: list[Callable[[Connection], None]] = [_add_weights, _add_origin, _add_notes]


def stored_version(connection: Connection) -> int | None:
    """Return the schema version of a database, or None when it has no tables of evotune.

    Raises:
        StorageError: The table that should say it does not.
    """
    if not inspect(connection).has_table(schema_version.name):
        return None
    found = connection.execute(select(schema_version.c.version)).scalars().all()
    if len(found) != 1 or not isinstance(found[0], int) or found[0] < 1:
        raise StorageError(
            f"the database is damaged: table {schema_version.name} should have one row with a "
            f"version from 1 up, and has {reprlib.repr(list(found))}; restore a copy of it"
        )
    return found[0]


def _version_of_columns(connection: Connection) -> int:
    """Return the schema version of a database that does not say one; a new one has the latest.

    Raises:
        StorageError: It has lost a table.
    """
    looked = inspect(connection)
    there = [table.name for table in (studies, trials) if looked.has_table(table.name)]
    if not there:
        return 1 + len(MIGRATIONS)
    if len(there) == 1:
        raise StorageError(
            f"the database has the table {there[0]} only, and has lost the others of evotune: "
            "restore a copy of it"
        )
    columns = {column["name"] for column in looked.get_columns(trials.name)}
    version = 1 + sum(name in columns for name in ("checkpoint", "origin", "notes"))
    log.warning(
        "the database does not say its version in the table %s, which was written anew: %d, by its "
        "columns",
        *(schema_version.name, version),
    )
    return version


def is_current(connection: Connection, where: str) -> bool:
    """Return whether a database has this version's tables; only reads.

    Args:
        connection: An open connection.
        where: Name of the database, for the error message.

    Raises:
        StorageError: The database was written by a newer version of evotune.
    """
    version, known = stored_version(connection), 1 + len(MIGRATIONS)
    if version is not None and version > known:
        raise StorageError(
            f"{where} was written by a newer evotune (schema {version}, this one knows {known}): "
            "upgrade evotune; nothing in it was changed"
        )
    return version == known


def bring_up_to_date(connection: Connection) -> None:
    """Create the tables, or apply to an older database the migrations that it lacks."""
    version = stored_version(connection)
    if version is None:
        version = _version_of_columns(connection)
        METADATA.create_all(connection)
        connection.execute(schema_version.insert().values(version=version))
    for newer, migrate in enumerate(MIGRATIONS[version - 1 :], start=version + 1):
        migrate(connection)
        connection.execute(schema_version.update().values(version=newer))


def to_text(value: Any) -> str:
    """Return JSON that also allows NaN and infinity and keeps every float exactly."""
    return _ENCODER.encode(value)


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Enum):
        return value.name
    raise TypeError(f"{type(value).__name__} {value!r} is not JSON")


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_plain)


def trial_to_row(study_id: int, trial: Trial) -> dict[str, Any]:
    """Return a trial's row; empty fields become NULL.

    Raises:
        StorageError: The trial holds something that is not JSON.
    """
    try:
        genome, params = to_text(trial.genome), to_text(trial.params)
        return {
            "study_id": study_id,
            "number": trial.number,
            "state": trial.state,
            "genome": genome,
            "params": None if params == genome else params,
            "seed": trial.seed,
            "budget": None if trial.budget is None else to_text(trial.budget),
            "weights_from": trial.weights_from,
            "parents": to_text(trial.parents) if trial.parents else None,
            "note": to_text(trial.note) if trial.note else None,
            "metrics": to_text(trial.metrics) if trial.metrics else None,
            "values": None if trial.values is None else to_text(trial.values),
            "violation": to_text(trial.violation),
            "failure": _record_to_text(trial.failure) if trial.failure else None,
            "reports": to_text(trial.reports) if trial.reports else None,
            "repeat_of": trial.repeat_of,
            "results_seen": trial.results_seen,
            "result_order": trial.result_order,
            "started": trial.started,
            "ended": trial.ended,
            "checkpoint": _record_to_text(trial.checkpoint) if trial.checkpoint else None,
            "inherit": to_text(trial.inherit) if trial.inherit else None,
            "origin": origin_to_text(trial.origin),
            "notes": to_text(trial.notes) if trial.notes else None,
        }
    except (TypeError, ValueError) as error:
        raise StorageError(
            f"trial {trial.number} cannot be stored, and nothing was written: {error}; genome, "
            "note, metrics and reports may hold numbers, texts, True, False, None, lists and "
            "dicts of these"
        ) from error


def _record_to_text(record: Failure | Checkpoint) -> str:
    names = [name for name in record.__slots__ if name != "notes"]  # they have their own column
    return to_text({name: getattr(record, name) for name in names})


def origin_to_text(origin: Origin) -> str | None:
    """Return the fields of an origin that are set, as JSON; None if none is."""
    if origin == NOWHERE:
        return None
    said = {name: getattr(origin, name) for name in Origin.__slots__}
    return to_text({n: v for n, v in said.items() if v != getattr(NOWHERE, n)})


#: How each column of a trial is read, in the order of `TRIAL`.
_TRIAL: dict[str, cells.Reader] = {
    "number": cells.whole,
    "state": cells.state,
    "genome": cells.mapping,
    "params": cells.mapping,
    "seed": cells.whole,
    "budget": cells.amount,
    "weights_from": cells.whole,
    "parents": cells.trial_numbers,
    "note": cells.mapping,
    "metrics": cells.named_numbers,
    "values": cells.numbers,
    "violation": cells.violation,
    "failure": cells.failure,
    "reports": cells.reports,
    "repeat_of": cells.whole,
    "results_seen": cells.whole,
    "result_order": cells.whole,
    "started": cells.time,
    "ended": cells.time,
    "checkpoint": cells.checkpoint,
    "inherit": cells.inherit,
    "origin": cells.origin,
    "notes": cells.mapping,
}
_STUDY: dict[str, cells.Reader] = {
    "name": cells.text,
    "seed": cells.digits,
    "space": cells.mapping,
    "objectives": cells.mapping,
    "algorithm": cells.text,
    "created": cells.time,
}
_DRIVER: dict[str, cells.Reader] = {
    "driver_host": cells.text,
    "driver_pid": cells.whole,
    "driver_process_started": cells.time,
    "driver_since": cells.time,
    "driver_token": cells.text,
}
_NEEDED = frozenset(column.name for column in (*TRIAL, *DEFINITION) if not column.nullable)


def read_cells(
    row: Sequence[Any], readers: Mapping[str, cells.Reader], needed: Collection[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the cells of a row; empty ones are left out.

    Args:
        row: The cells.
        readers: How each is read, by column.
        needed: Columns that must not be empty.

    Returns:
        The values by column, and what is wrong with the others.
    """
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for (name, read), cell in zip(readers.items(), row, strict=True):
        if cell is None:
            if name in needed:
                wrong[name] = "is empty"
            continue
        try:
            values[name] = read(cell)
        except ValueError as error:
            wrong[name] = str(error)
    return values, wrong


def trial_cells(row: Sequence[Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of a trial by a row with the columns of `TRIAL`, and the faults of it."""
    return read_cells(row, _TRIAL, _NEEDED)


def trial_from_row(row: Sequence[Any], study: str) -> Trial:
    """Return the trial of a row with the columns of `TRIAL`.

    Raises:
        DamageError: It cannot be one.
    """
    fields, wrong = trial_cells(row)
    for column, reason in wrong.items():
        raise DamageError(Fault(study, row[0], column, reason))
    fields.setdefault("params", fields["genome"])
    return Trial(**fields)


def definition_to_row(definition: StudyDefinition) -> dict[str, Any]:
    """Return a study's row, without a driver."""
    return {
        "name": definition.name,
        "seed": str(definition.seed),
        "space": to_text(definition.space),
        "objectives": to_text(definition.objectives),
        "algorithm": definition.algorithm,
        "created": definition.created,
    }


def definition_cells(row: Sequence[Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of a definition by a row with the columns of `DEFINITION`, and its faults.

    The name is a text in any case.
    """
    fields, wrong = read_cells(row, _STUDY, _NEEDED)
    fields.setdefault("name", row[0] if isinstance(row[0], str) else repr(row[0]))
    try:
        if "objectives" in fields:
            Objectives.from_json(fields["objectives"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        wrong["objectives"] = f"is no objectives: {type(error).__name__} {error}"
    return fields, wrong


def definition_from_row(row: Sequence[Any]) -> StudyDefinition:
    """Return the definition of a row with the columns of `DEFINITION`.

    Raises:
        DamageError: It cannot be one.
    """
    fields, wrong = definition_cells(row)
    for column, reason in wrong.items():
        raise DamageError(of_study(fields["name"], column, reason))
    return StudyDefinition(**fields)


def driver_to_row(driver: Driver | None) -> dict[str, Any]:
    """Return the columns of `DRIVER`, all NULL for no driver."""
    return {
        column.name: driver and getattr(driver, column.name.removeprefix("driver_"))
        for column in DRIVER
    }


def driver_from_row(row: Sequence[Any], study: str) -> Driver | None:
    """Return the driver of a row with the columns of `DRIVER`.

    Raises:
        DamageError: It cannot be one.
    """
    if row[-1] is None:
        return None
    fields, wrong = read_cells(row, _DRIVER, _DRIVER)
    for column, reason in wrong.items():
        raise DamageError(Fault(study, None, column, reason))
    return Driver(*fields.values())


def summary_from_row(row: Sequence[Any], counts: Mapping[str, int]) -> StudySummary:
    """Return the summary of a study by a row with the columns of `DEFINITION` and `DRIVER`.

    What cannot be read is left out of it, and said in `StudySummary.damage`.
    """
    own = row[: len(DEFINITION)]
    fields, wrong = definition_cells(own)
    driver = None
    try:
        driver = driver_from_row(row[len(DEFINITION) :], fields["name"])
    except DamageError as error:
        wrong[error.fault.column] = error.fault.reason
    unknown = [state for state in counts if state not in get_args(State)]
    if unknown:
        wrong["state"] = f"{unknown[0]!r} of {counts[unknown[0]]} of its trials is unknown"
    blank = {"seed": 0, "space": {}, "objectives": {}, "algorithm": "", "created": 0.0}
    if "objectives" in wrong:
        fields.pop("objectives", None)
    definition = StudyDefinition(**{**blank, **fields})
    damage = "; ".join(f"column {column!r}: {reason}" for column, reason in wrong.items())
    return StudySummary(definition, counts, driver, damage)
