"""Record the tables of the real trainings: each configuration is trained once, for real.

    python benchmarks/search/real_record.py                       # what is missing, half an hour
    python benchmarks/search/real_record.py --tasks svc-digits
    python benchmarks/search/real_record.py --fit                 # the regressors of all tables

A table has 200 random configurations, 60 neighbours of the 15 best of these, 30 of the 200
trained again with another seed, 20 of them of the better half (the noise is measured where it
decides), and 16 where a Gaussian process of all these expects the best: without them it believes
in optima, in branches that were met rarely, which no training confirms. Every finished training
is kept in ``benchmarks/runs/real``, so that this can be stopped and started again; a table that is
complete goes to ``benchmarks/search/real``.
"""

import argparse
import json
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import real
import torch
from real_regressors import Regressor, features, logarithms
from real_tasks import TRAININGS, Training, measured

import evotune as et
from evotune.space.mutation import Gaussian

RUNS = Path(__file__).resolve().parents[1] / "runs" / "real"
RANDOM, NEIGHBOURS, REPEATS, EXPECTED = real.RANDOM, 60, 30, 16
#: Random points of which the one that is expected to be best is trained.
POINTS = 500
#: Of a neighbour's active genes about 2 in 5 move, by about a tenth of their range.
STEP = Gaussian(rate=0.4, scale=0.1)


def record(name: str, left: float) -> float:
    """Train the configurations of a task that are missing, and store the table if it is whole.

    Args:
        name: The task.
        left: Seconds of training after which nothing more is begun.

    Returns:
        The seconds that are left then.
    """
    training, path = TRAININGS[name](), RUNS / f"{name}.jsonl"
    rows, space = real.read_lines(path), training.space
    for k in range(len(rows), RANDOM + NEIGHBOURS + REPEATS + EXPECTED):
        if left <= 0:
            print(f"{name}: stopped before training {k}", flush=True)
            return left
        rows.append(_row(training, configuration(name, space, k, rows), k))
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        left -= rows[-1]["seconds"]
    real.store(name, space, rows)
    print(f"{time.strftime('%H:%M:%S')} {name}: {len(rows)} trainings", flush=True)
    return left


def spent() -> float:
    """Return the CPU seconds of all trainings so far."""
    return sum(row["seconds"] for path in RUNS.glob("*.jsonl") for row in real.read_lines(path))


def configuration(
    name: str, space: et.Space, k: int, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the active genes of the training with number k."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), k])
    if k < RANDOM:
        return space.params(space.sample(rng))
    best = sorted(rows[:RANDOM], key=lambda row: row["validation"])
    if k < RANDOM + NEIGHBOURS:
        near = space.complete(best[k % 15]["params"])
        return space.params(STEP(space, near, rng))
    j = k - RANDOM - NEIGHBOURS
    if j >= REPEATS:
        points = [space.params(space.sample(rng)) for _ in range(POINTS)]
        return points[int(np.argmin(_process(name)(features(space, points))))]
    position = 5 * j if j < 20 else 100 + 10 * (j - 20)
    return dict(best[position]["params"])


@cache
def _process(name: str) -> Regressor:
    """Return a process of what was trained of a task before any that it expects to be best."""
    rows = real.read_lines(RUNS / f"{name}.jsonl")[: RANDOM + NEIGHBOURS + REPEATS]
    space = TRAININGS[name]().space
    x = features(space, [row["params"] for row in rows])
    return Regressor("process", x, logarithms(rows), None)


def _row(training: Training, params: dict[str, Any], seed: int) -> dict[str, Any]:
    start = time.process_time()
    validation, test = measured(training, params, seed)
    return {
        "params": params,
        "seed": seed,
        "validation": float(f"{validation:.5g}"),
        "test": float(f"{test:.5g}"),
        "seconds": round(time.process_time() - start, 3),
    }


def main() -> int:
    """Record or fit, from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TRAININGS, default=list(TRAININGS))
    parser.add_argument("--seconds", type=float, default=2100.0, help="of training, in total")
    parser.add_argument("--fit", action="store_true", help="fit the regressors of what is there")
    options = parser.parse_args()
    if options.fit:
        real.fit_all()
        return 0
    torch.set_num_threads(1)
    RUNS.mkdir(parents=True, exist_ok=True)
    left = options.seconds - spent()
    for name in options.tasks:
        left = record(name, left)
    return 0


if __name__ == "__main__":
    sys.exit(main())
