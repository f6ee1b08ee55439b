"""What a study costs in the long run: memory, descriptors and threads must stay flat.

Three soaks, each printed as a table:

- ``trials``: 100,000 trials of one study on SQLite; its process is killed again and again, and the
  next one goes on. The memory beside the records is what must not grow.
- ``studies``: 100 studies in one file, opened, run and closed in one process.
- ``runs``: 200 runs of one study in one process, half of them with two worker processes.

    python benchmarks/soak.py                       # all, about ten minutes
    python benchmarks/soak.py runs --runs 50        # one of them, smaller
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

import evotune as et

console = Console(width=110)
SPACE = et.Space(
    lr=et.Float(1e-5, 1.0, log=True),
    depth=et.Int(1, 8),
    optimizer=et.Choice("sgd", "adam"),
    beta=et.Float(0.8, 0.999, when={"optimizer": "adam"}),
)
COLUMNS = ("MB", "descriptors", "threads", "child processes")


def loss(trial):
    """Return a number at once."""
    return abs(trial.params["lr"] - 0.01) + trial.params["depth"] / 10


def state() -> tuple[str, ...]:
    """Return this process's memory, descriptors, threads and children."""
    process = psutil.Process()
    numbers = (
        process.memory_info().rss / 2**20,
        process.num_fds(),
        process.num_threads(),
        len(process.children(recursive=True)),
    )
    return tuple(f"{number:,.0f}" for number in numbers)


def open_study(path: Path, name: str = "soak") -> et.Study:
    """Open a study in a file."""
    return et.Study(et.Genetic(SPACE), "min loss", storage=path, name=name, seed=1)


def soak_trials(trials: int, kills: int) -> None:
    """Kill the driver of one long study again and again."""
    table = Table(
        "run", "trials", "s to open", *COLUMNS[:3], title=f"{trials:,} trials, {kills} kills"
    )
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "soak.db")
        for run in range(kills + 1):
            goal = trials * (run + 1) // (kills + 1)
            command = [sys.executable, __file__, "drive", str(path), str(goal)]
            process = subprocess.Popen(
                [*command, "--trials", str(trials)], stdout=subprocess.PIPE, text=True
            )
            line = process.stdout.readline()  # at the goal, in the midst of the run
            if run < kills:
                time.sleep(rng.uniform(0, 0.5))
                process.send_signal(signal.SIGKILL)
            process.wait()
            table.add_row(str(run + 1), *line.strip().split("|"))
        with open_study(path) as study:
            numbers = [trial.number for trial in study.trials]
            assert numbers == list(range(trials)), "a trial was lost or doubled"
            assert study.counts["done"] == trials, study.counts
        size = path.stat().st_size / 2**20
    console.print(table)
    console.print(f"no trial lost or doubled; the file has {size:,.0f} MB\n")


def drive(path: Path, goal: int, trials: int) -> None:
    """Run the long study, say when it has reached a number of trials, and go on until killed."""

    def say(study, trial):
        if trial.number == goal - 1:
            print(f"{goal:,}|{seconds:.1f}|" + "|".join(state()[:3]), flush=True)

    began = time.perf_counter()
    with open_study(path) as study:
        seconds = time.perf_counter() - began
        study.run(loss, trials=trials, callbacks=[say])


def soak_studies(count: int) -> None:
    """Run many studies in one file."""
    table = Table("studies", "s", *COLUMNS, title=f"{count} studies in one file")
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for number in range(count):
            with open_study(Path(folder, "soak.db"), f"study {number}") as study:
                study.run(loss, trials=50)
            if (number + 1) % max(count // 5, 1) == 0:
                seconds = time.perf_counter() - began
                table.add_row(str(number + 1), f"{seconds:.1f}", *state())
    console.print(table)


def soak_runs(count: int) -> None:
    """Call run many times in one process."""
    table = Table("runs", "trials", "s", *COLUMNS, title=f"{count} runs in one process")
    with tempfile.TemporaryDirectory() as folder, open_study(Path(folder, "soak.db")) as study:
        began = time.perf_counter()
        for number in range(count):
            study.run(loss, trials=len(study.trials) + 4, workers=1 + number % 2)
            if (number + 1) % max(count // 5, 1) == 0:
                seconds = time.perf_counter() - began
                table.add_row(str(number + 1), str(len(study.trials)), f"{seconds:.1f}", *state())
    console.print(table)


def main() -> None:
    """Run the soaks that were asked for."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="?", default="all")
    parser.add_argument("path", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("goal", nargs="?", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=9)
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    if options.what == "drive":
        drive(Path(options.path), options.goal, options.trials)
        return
    if options.what in ("all", "runs"):
        soak_runs(options.runs)
    if options.what in ("all", "studies"):
        soak_studies(options.studies)
    if options.what in ("all", "trials"):
        soak_trials(options.trials, options.kills)


if __name__ == "__main__":
    main()
