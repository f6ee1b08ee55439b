"""What reading a stored study costs: processor time of commands, and the size of a report.

Measures stored studies of a space of eight mixed genes: reports of 1,000 and of 10,000 trials, and
the tables of 20,000. Each command runs in a process of its own; times are medians.

    python benchmarks/report.py            # all, about two minutes
    python benchmarks/report.py 10000      # reports of one size, and the tables

Prints tables and whether the bars are met: 3 s of processor time, 6 MB.
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
#: Trials of the study whose tables are printed, and the commands that do.
MANY = 20_000
COMMANDS = (("trials",), ("trials", "--json"), ("trials", "--csv"), ("show",), ("best",))

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


def processor_seconds(*arguments: str) -> float:
    """Return the processor time of one command, user and system, in a process of its own."""
    code = "import sys; from evotune.cli.main import main; sys.argv[0] = 'evotune'; main()"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def median_seconds(*arguments: str) -> float:
    """Return the median processor time of a command."""
    return statistics.median(processor_seconds(*arguments) for _ in range(REPEATS))


def measure(trials: int) -> list[tuple[str, float, float]]:
    """Return name, seconds and megabytes of the report of each algorithm's study."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        database, page = Path(folder, "runs.db"), Path(folder, "report.html")
        for name in ALGORITHMS:
            record(f"sqlite:///{database}", name, trials)
            seconds = median_seconds("report", str(database), name, "-o", str(page))
            found.append((name, seconds, page.stat().st_size / 1e6))
    return found


def measure_commands() -> list[tuple[str, float]]:
    """Return each of `COMMANDS` on a study of random search, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "runs.db")
        record(f"sqlite:///{database}", "RandomSearch", MANY)
        return [
            (" ".join(words), median_seconds(words[0], str(database), *words[1:]))
            for words in COMMANDS
        ]


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
    commands = Table(title=f"Reading {MANY:,} trials, 8 genes", title_justify="left")
    commands.add_column("evotune")
    commands.add_column("processor s", justify="right")
    times = measure_commands()
    for command, time in times:
        commands.add_row(command, f"{time:.2f}")
    console.print(commands)
    for text, met in (
        (f"report <= {SECONDS:g} s of processor time", seconds <= SECONDS),
        (f"trials of {MANY:,} <= {SECONDS:g} s", times[0][1] <= SECONDS),
        (f"page <= {MEGABYTES:g} MB", megabytes <= MEGABYTES),
    ):
        verdict = "met    " if met else "MISSED "
        console.print(f"  {verdict} {text}", style="green" if met else "red")


if __name__ == "__main__":
    main()
