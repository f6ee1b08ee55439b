"""``evotune report`` and ``export``: recorded studies as files."""

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from evotune.analysis.frame import to_frame
from evotune.checks import write_whole
from evotune.cli.records import answer, trial_json
from evotune.cli.source import Record, open_source, read_study
from evotune.errors import EvotuneError
from evotune.garbage import no_collection
from evotune.printing import escaped, printable
from evotune.report.page import write
from evotune.study.controls import find_comparison, find_replay


def report(
    source: str,
    name: str | None,
    output: Path | None,
    *,
    plotly: str = "inline",
    pages: bool = False,
) -> None:
    """Write the report of a study, or for a path that ends in .svg a picture; print its path."""
    with no_collection():
        record = read_study(source, name)
        storage, _ = open_source(source)
        with closing(storage):
            comparison = find_comparison(storage, record.name)
            replayed = find_replay(storage, record.name)
        path = output or Path(re.sub(r"[^\w.-]+", "-", record.name)[:60] + ".html")
        print(printable(str(write(path, record, comparison, replayed, plotly=plotly, pages=pages))))


def export(source: str, name: str | None, output: Path | None) -> None:
    """Write a study to a file, as its suffix says, or as JSON to the standard output."""
    if output is not None and output.suffix not in _WRITERS:
        raise EvotuneError(
            f"cannot write {output.name!r}: the suffix says the format; write one of "
            f"{', '.join(_WRITERS)}"
        )
    record = read_study(source, name)
    if output is None:
        print(_as_json(record))
    else:
        text = _WRITERS[output.suffix](record)
        print(printable(str(write_whole(output, text))))


def _as_json(record: Record) -> str:
    trials = list(map(trial_json, record.trials))
    return answer(study=asdict(record.definition) | {"trials": trials})


def _as_csv(record: Record) -> str:
    return escaped(to_frame(record.trials).to_csv(index=False, lineterminator="\n"))


def _as_parquet(record: Record) -> bytes:
    try:
        return to_frame(record.trials).to_parquet(index=False)
    except ImportError as error:
        raise EvotuneError(
            "Parquet needs the package pyarrow, which is not installed; run "
            "pip install 'evotune[parquet]', or write a .csv"
        ) from error
    except (TypeError, ValueError) as error:  # also of Arrow, and texts that are no Unicode
        raise EvotuneError(
            f"this study cannot be written as Parquet: {error}; write a .csv or .json"
        ) from error


_WRITERS: dict[str, Callable[[Record], str | bytes]] = {
    ".json": lambda record: _as_json(record) + "\n",
    ".csv": _as_csv,
    ".parquet": _as_parquet,
}
