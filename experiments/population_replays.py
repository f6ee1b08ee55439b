"""Is a schedule that a population found worth keeping? It is trained anew beside good constants.

    python experiments/population_replays.py run --task digits perceptron --seeds 100:104
    python experiments/population_replays.py table

Of each task and seed, the default population gives the schedule of its best network, and random
search with averaged weights the best of as many constants, both by validation loss. Each is then
trained from five other fresh starts on the same images, and measured on the test data, which
chose neither. Results are appended to experiments/runs/population_replays.jsonl.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from population_averaged import ARMS, training
from population_tasks import ALL, examples
from scipy.stats import wilcoxon
from tables import table

import evotune as et
from evotune.algorithms.replay import Plan, Replay

RESULTS = Path(__file__).with_name("runs") / "population_replays.jsonl"
RUNS = 5


def searched(name: str, arm: str, seed: int) -> et.Study:
    """Return a search that has run."""
    task, how = ALL[name], ARMS[arm]
    torch.manual_seed(seed)
    study = et.Study(how.algorithm(task.space, task.members), "min loss", seed=seed)
    trials = task.members if arm.startswith("constants") else None
    evaluate = training(name, seed, averaging=how.averaging, cosine=how.cosine)
    study.run(evaluate, trials, epochs=task.epochs, max_failures=1, progress=False)
    return study


def run(name: str, seed: int) -> dict[str, Any]:
    """Return test errors of both arms, one for each fresh start."""
    task, began = ALL[name], time.process_time()
    schedule = searched(name, "three-parents-averaged", seed).schedule()
    constant = searched(name, "constants-averaged", seed).best.params
    plans: dict[str, Plan] = {
        "schedule": [(segment.epochs, segment.params) for segment in schedule.segments],
        "constant": [(task.epochs, constant)],
    }
    measured = "accuracy" if task.loss == "cross_entropy" else "loss"
    algorithm = Replay(task.space, plans, runs=RUNS, seed=seed + 1000)
    again = et.Study(algorithm, "max accuracy" if measured == "accuracy" else "min loss", seed=seed)
    evaluate = training(name, seed, averaging="ema", cosine=False, tested=True)
    again.run(evaluate, algorithm.size, epochs=task.epochs, max_failures=1, progress=False)
    errors = {}
    for arm in plans:
        ends = {t.origin.member: t.metrics[measured] for t in again.trials}
        found = [ends[member] for member in algorithm.members(arm)]
        errors[arm] = [1 - value if measured == "accuracy" else value for value in found]
    return {"task": name, "seed": seed, **errors, "seconds": time.process_time() - began}


def read() -> list[dict[str, Any]]:
    """Return all results so far."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return [json.loads(line) for line in lines]


def run_all(tasks: Sequence[str], seeds: Sequence[int]) -> None:
    """Run what has no result yet, seed by seed."""
    done = {(r["task"], r["seed"]) for r in read()}
    RESULTS.parent.mkdir(exist_ok=True)
    for seed in seeds:
        for name in tasks:
            if (name, seed) not in done:
                result = run(name, seed)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(result) + "\n")
                print(name, seed, f"{result['seconds']:.0f} CPU s", flush=True)
        examples.cache_clear()


def tables() -> str:
    """Return test errors by task, in hundredths, and schedules against constants."""
    rows, ratios = [], []
    for name in ALL:
        found = [r for r in read() if r["task"] == name]
        if not found:
            continue
        ours, constant = (
            100 * np.array([r[arm] for r in found]).mean(1) for arm in ("schedule", "constant")
        )
        ratios.extend(np.log(constant / ours))
        wins = f"{int((ours < constant).sum())} of {len(found)}"
        means = [f"{ours.mean():.2f}", f"{constant.mean():.2f}"]
        rows.append([name, str(len(found)), *means, f"{(constant - ours).mean():+.2f}", wins])
    head = ["task", "searches", "schedule", "best constant", "gap", "schedule better"]
    p = wilcoxon(ratios).pvalue if len(ratios) > 1 else float("nan")
    larger = f"errors of constants larger by {100 * np.mean(ratios):.1f} % in the mean"
    return f"{table(head, rows)}\n{larger} of {len(ratios)} searches, p {p:.4f} (Wilcoxon)"


def main() -> None:
    """Run, or print what was reached."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("--task", nargs="+", choices=ALL, default=["digits", "perceptron"])
    runs.add_argument("--seeds", default="100:104", help="first:end")
    commands.add_parser("table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.command == "run":
        first, end = map(int, arguments.seeds.split(":"))
        run_all(arguments.task, range(first, end))
    else:
        print(tables())


if __name__ == "__main__":
    main()
