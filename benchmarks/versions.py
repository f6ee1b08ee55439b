"""What a trial costs in this checkout beside another one, in one run: before and after a change.

    git worktree add /tmp/before COMMIT
    python benchmarks/versions.py /tmp/before

Each case runs in fresh processes that take turns, before and after, so that a machine that slows
down slows both. What counts is CPU time: the smallest of all rounds, as noise only adds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROUNDS = 9
HERE = Path(__file__).parents[1]

CASES = {
    "import evotune": "",
    "ask + tell in memory, Genetic, 10 genes": "drive(study(et.Genetic(genes(10))), 1000)",
    "ask + tell in memory, Genetic, 50 genes": "drive(study(et.Genetic(genes(50))), 1000)",
    "ask + tell in memory, RandomSearch": "drive(study(et.RandomSearch(genes(10))), 1000)",
    "ask + tell in memory, Genetic, mixed genes": "drive(study(et.Genetic(MIXED)), 1000)",
    "DifferentialEvolution, mixed genes": "drive(study(et.DifferentialEvolution(MIXED)), 1000)",
    "CmaEs, mixed genes": "drive(study(et.CmaEs(MIXED)), 300)",
    "Hybrid, mixed genes": "drive(study(et.Hybrid(MIXED)), 40)",
    "run in this process, Genetic, 10 genes": (
        "study(et.Genetic(genes(10))).run(lambda t: sum(t.params.values()), 1000)"
    ),
    "a durable trial in SQLite, Genetic, 10 genes": (
        "drive(study(et.Genetic(genes(10)), storage=path), 500)"
    ),
    "rebuilding 3,000 stored trials": "study(et.Genetic(genes(10)), storage=stored)",
}

PREPARE = """
import json, sys, tempfile, time
began = time.process_time()
import evotune as et
imported = time.process_time() - began
def genes(count):
    return et.Space({f"x{k}": et.Float(0.0, 1.0) for k in range(count)})
MIXED = et.Space(
    lr=et.Float(1e-4, 1.0, log=True), momentum=et.Float(0.0, 0.9, step=0.1), depth=et.Int(1, 9),
    booster=et.Choice("tree", "linear", "dart"), width=et.Ordinal(16, 32, 64, 128),
    leaves=et.Int(2, 64, log=True, when={"booster": "tree"}), wide=et.Bool(),
)
def study(algorithm, **options):
    return et.Study(algorithm, "min loss", seed=1, **options)
def drive(study, count):
    for _ in range(count):
        trial = study.ask()
        numbers = [v for v in trial.params.values() if isinstance(v, int | float)]
        study.tell(trial, float(sum(numbers)))
folder = tempfile.mkdtemp()
path, stored = f"{folder}/a.db", f"{folder}/b.db"
job = sys.argv[1]
if "stored" in job:
    first = study(et.Genetic(genes(10)), storage=stored)
    first.run(lambda t: sum(t.params.values()), 3000)
    first.close()
elif job:
    exec(job.replace("path", "path + '.warm'"))
began = time.process_time()
exec(job)
print(json.dumps(time.process_time() - began if job else imported))
"""


def seconds(tree: Path, job: str) -> float:
    """Return the CPU seconds of a job in a fresh process with the package of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PREPARE, job]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(json.loads(run.stdout.splitlines()[-1]))


def main() -> None:
    """Print a table with the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before", type=Path, help="another checkout")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    table = Table(title=f"CPU time of {options.rounds} rounds in turn", title_justify="left")
    for column in ("case", "before, ms", "after, ms", "after / before", "of medians"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for case, job in CASES.items():
        pairs = [(seconds(options.before, job), seconds(HERE, job)) for _ in range(options.rounds)]
        before, after = zip(*pairs, strict=True)
        medians = statistics.median(after) / statistics.median(before)
        table.add_row(
            case,
            f"{1e3 * min(before):.1f}",
            f"{1e3 * min(after):.1f}",
            f"{min(after) / min(before):.2f}",
            f"{medians:.2f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
