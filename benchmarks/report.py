"""What a report costs: processor time of ``evotune report``, and the size of its page.

Measures a stored study of a space of eight mixed genes, at 1,000 and at 10,000 trials, each report
made in a process of its own; times are medians.

    python benchmarks/report.py            # both, about a minute
    python benchmarks/report.py 10000      # one size

Prints a table and whether the bars are met: 3 s of processor time, 6 MB.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

import evotune as et

console = Console(width=110)
REPEATS = 3
SIZES = (1000, 10_000)
SECONDS, MEGABYTES = 3.0, 6.0

SPACE = et.Space(
    lr=et.Float(1e-5, 1.0, log=True),
    momentum=et.Float(0.0, 0.99),
    dropout=et.Float(0.0, 0.6),
    layers=et.Int(1, 8),
    units=et.Int(8, 512, log=True),
    batch=et.Ordinal(16, 32, 64, 128, 256),
    optimizer=et.Choice("sgd", "adam", "rmsprop"),
    beta=et.Float(0.8, 0.999, when={"optimizer": "adam"}),
)
ALGORITHMS = {"Genetic": et.Genetic, "RandomSearch": et.RandomSearch}


def loss(trial: et.RunningTrial) -> float:
    """Return a loss that most genes matter for."""
    p = trial.params
    return (
        abs(p["lr"] - 0.01) ** 0.3
        + (p["momentum"] - 0.9) ** 2
        + p["dropout"] / 4
        + abs(p["layers"] - 4) / 10
        + (p["optimizer"] != "adam") / 5
        + abs(p.get("beta", 0.9) - 0.9)
    )


def record(url: str, name: str, trials: int) -> None:
    """Store a study."""
    algorithm = ALGORITHMS[name](SPACE)
    with et.Study(algorithm, "min loss", storage=url, name=name, seed=1) as study:
        study.run(loss, trials=trials)


def processor_seconds(database: Path, name: str, page: Path) -> float:
    """Return the processor time of one report, user and system, in a process of its own."""
    code = "import sys; from evotune.cli.main import main; sys.argv[0] = 'evotune'; main()"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", code, "report", str(database), name, "-o", str(page)],
        check=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(trials: int) -> list[tuple[str, float, float]]:
    """Return name, seconds and megabytes of the report of each algorithm's study."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        database, page = Path(folder, "runs.db"), Path(folder, "report.html")
        for name in ALGORITHMS:
            record(f"sqlite:///{database}", name, trials)
            times = [processor_seconds(database, name, page) for _ in range(REPEATS)]
            found.append((name, statistics.median(times), page.stat().st_size / 1e6))
    return found


def main() -> None:
    """Measure the sizes that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sizes", nargs="*", type=int, metavar="TRIALS")
    table = Table(title="evotune report, 8 genes", title_justify="left")
    for column in ("case", "trials", "processor s", "page MB"):
        table.add_column(column, justify="left" if column == "case" else "right")
    seconds = megabytes = 0.0
    for trials in parser.parse_args().sizes or SIZES:
        for name, time, size in measure(trials):
            table.add_row(name, f"{trials:,}", f"{time:.2f}", f"{size:.2f}")
            seconds, megabytes = max(seconds, time), max(megabytes, size)
    console.print(table)
    for text, met in (
        (f"<= {SECONDS:g} s of processor time", seconds <= SECONDS),
        (f"page <= {MEGABYTES:g} MB", megabytes <= MEGABYTES),
    ):
        verdict = "met    " if met else "MISSED "
        console.print(f"  {verdict} {text}", style="green" if met else "red")


if __name__ == "__main__":
    main()
