"""``evotune schedule``: the hyperparameters per epoch that a study has found."""

import sys
from pathlib import Path

from evotune.analysis.lineage import weights_line, winner
from evotune.checks import user_path
from evotune.cli.console import make_console
from evotune.cli.records import answer
from evotune.cli.source import Record, read_study
from evotune.errors import ConfigError
from evotune.schedules.schedule import Schedule


def schedule(
    source: str,
    name: str | None,
    output: Path | None,
    trial: int | None,
    *,
    as_json: bool = False,
) -> None:
    """Print the schedule by which a trial's weights were trained, and write it to a file if given.

    Args:
        source: See `evotune.cli.source.open_source`.
        name: Name of the study.
        output: Ends in ``.json`` for a file that `Schedule.load` reads, in ``.html`` for a picture.
        trial: Number of the trial; by default the best of those trained longest.
        as_json: Print it as JSON, and all else to the standard error.

    Raises:
        ConfigError: The output has another suffix.
        NoResultError: No trial is done yet.
        ScheduleError: Its trials have no budget in epochs, or the file cannot be written.
    """
    output = None if output is None else user_path(output, ConfigError)
    kind = None if output is None else output.suffix.lower()
    if kind not in (None, ".json", ".html"):
        raise ConfigError(f"a schedule is written to a .json or .html file, got {str(output)!r}")
    found = schedule_of(read_study(source, name), trial)
    console = make_console(sys.stderr if as_json else None)
    if as_json:
        print(answer(schedule=found.to_json()))
    else:
        console.print(found.table(), soft_wrap=True)
    if output is not None:
        if kind == ".json":
            found.save(output)
        else:
            found.plot(output)
        console.print(f"\nwritten to {output}", soft_wrap=True)


def schedule_of(record: Record, trial: int | None = None) -> Schedule:
    """Return the schedule by which the weights of a trial were trained."""
    best = winner(record.trials) or record.best
    line = weights_line(record.trials, best.number if trial is None else trial)
    return Schedule.from_line(
        line, record.definition.space, study=record.name, metrics=record.objectives.needed
    )
