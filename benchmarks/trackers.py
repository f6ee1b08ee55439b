"""What an experiment tracker costs a search: wall and CPU seconds with and without one.

    python benchmarks/trackers.py                # 40 trials of 0.2 s, three seeds: some minutes
    python benchmarks/trackers.py --trials 12 --seconds 1

A trial computes for so many CPU seconds and reports four times. The searches of a tracker run in a
process of their own; the first, with imports and a new database, is left out. "at the end" is what
`run` waits after its last trial for what is not logged yet.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import evotune as et

SPACE = et.Space(lr=et.Float(1e-5, 1.0, log=True), units=et.Int(8, 512, log=True))
REPORTS = 4
ARMS: dict[str, Callable[[Path], Any]] = {
    "no tracker": lambda folder: None,
    "TensorBoard": lambda folder: et.callbacks.TensorBoard(folder / "board"),
    "MLflow, SQLite": lambda folder: et.callbacks.MLflow(
        "cost", tracking_uri=f"sqlite:///{folder / 'mlflow.db'}"
    ),
    "WandB, offline": lambda folder: et.callbacks.WandB("cost", folder=folder, mode="offline"),
}
#: Wall seconds of a search, those after its last trial, and CPU seconds.
Costs = tuple[float, float, float]


class Work:
    """A training that only computes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ended = 0.0

    def __call__(self, trial: et.RunningTrial) -> float:
        """Compute, report, and remember when that ended."""
        for step in range(1, REPORTS + 1):
            begun = time.thread_time()
            while time.thread_time() - begun < self.seconds / REPORTS:
                pass
            trial.report(loss=trial.params["lr"], step=step)
        self.ended = time.perf_counter()
        return float(trial.params["lr"])


def search(arm: str, trials: int, seconds: float, seeds: int) -> list[Costs]:
    """Return the costs of a search with each seed, in this process."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds + 1):
            tracker, work = ARMS[arm](Path(folder)), Work(seconds)
            study = et.Study(et.Genetic(SPACE), "min loss", name=f"cost {seed}", seed=seed)
            wall, cpu = time.perf_counter(), time.process_time()
            study.run(work, trials=trials, progress=False, callbacks=tracker or ())
            ended = time.perf_counter()
            found.append((ended - wall, ended - work.ended, time.process_time() - cpu))
    return found[1:]


def main() -> None:
    """Measure every tracker that is installed, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.2, help="CPU seconds of a trial")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    table = Table(title=f"{options.trials} trials of {options.seconds:g} s, {options.seeds} seeds")
    for name in ("tracker", "wall s", "at the end", "CPU s", "CPU s to none"):
        table.add_column(name, justify="left" if name == "tracker" else "right")
    none = 0.0
    for arm in ARMS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(search, (arm, options.trials, options.seconds, options.seeds))
        wall, end, cpu = np.array(found).T
        none = none or float(cpu.mean())
        cells = [f"{part.mean():.1f} ± {part.std(ddof=1):.1f}" for part in (wall, end, cpu)]
        table.add_row(arm, *cells, f"×{cpu.mean() / none:.2f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
