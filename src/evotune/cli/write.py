"""``evotune report`` and ``export``: recorded studies as files."""

import re
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from evotune import __version__
from evotune.checks import write_whole
from evotune.cli.results import to_json
from evotune.cli.source import open_source, read_study
from evotune.printing import printable
from evotune.report.page import write
from evotune.study.controls import find_comparison
from evotune.study.engine import no_collection


def report(source: str, name: str | None, output: Path | None) -> None:
    """Write the report of a study, or for a path that ends in .svg a picture; print its path."""
    with no_collection():
        record = read_study(source, name)
        storage, _ = open_source(source)
        with closing(storage):
            comparison = find_comparison(storage, record.name)
        path = output or Path(re.sub(r"[^\w.-]+", "-", record.name)[:60] + ".html")
        print(printable(str(write(path, record, comparison))))


def export(source: str, name: str | None, output: Path | None) -> None:
    """Write a study as JSON to a file, or to the standard output."""
    record = read_study(source, name)
    study = asdict(record.definition) | {"trials": [asdict(trial) for trial in record.trials]}
    text = to_json({"evotune": __version__, "study": study})
    if output is None:
        print(text)
    else:
        print(printable(str(write_whole(output, text + "\n"))))
