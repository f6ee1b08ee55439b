"""Does population-based training beat good constants? Averaged weights, kin, soups, fair controls.

    python experiments/population_averaged.py run --task perceptron --seeds 100:112
    python experiments/population_averaged.py run --task perceptron --arms ours constants-averaged
    python experiments/population_averaged.py table

Every arm trains as many networks as a population has members, for as many epochs, and chooses by
validation loss; the test images are measured once, at the end. Seeds are split, weights and search
alike. Results are appended to experiments/runs/population_averaged.jsonl, one line a run, so that
the same command goes on where a killed one ended.
"""

import argparse
import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import data
import numpy as np
import torch
from scipy.stats import wilcoxon
from tables import spread, table
from three_parents_models.small import lenet, perceptron
from torch import nn

import evotune as et
from evotune.analysis.lineage import winner
from evotune.analysis.statistics import holm
from evotune.evolution.exploitation import Quantile
from evotune.evolution.selection import Truncation

RESULTS = Path(__file__).with_name("runs") / "population_averaged.jsonl"

NARROW = et.Space(
    lr=et.Float(1e-4, 1.0, log=True),
    momentum=et.Float(0.0, 0.99),
    weight_decay=et.Float(1e-6, 1e-2, log=True),
    dropout=et.Float(0.0, 0.7),
)
WIDE = et.Space(
    lr=et.Float(1e-5, 10.0, log=True),
    momentum=et.Float(0.0, 0.999),
    weight_decay=et.Float(1e-6, 1.0, log=True),
    dropout=et.Float(0.0, 0.95),
)


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained.

    Attributes:
        images: ``"digits"`` or ``"fashion_mnist"``.
        train: Training examples.
        validation: Validation examples.
        test: Test examples.
        members: Networks of each arm.
        epochs: Of each.
        space: What is searched.
        channels: Of LeNet's convolutions; () is a perceptron.
        dense: Units of the dense layers.
    """

    images: str
    train: int
    validation: int
    test: int
    members: int
    epochs: int
    space: et.Space
    channels: tuple[int, ...] = ()
    dense: tuple[int, int] = (64, 64)


TASKS = {
    "perceptron": Task("fashion_mnist", 4000, 2000, 10_000, 12, 20, NARROW),
    "perceptron-wide": Task("fashion_mnist", 4000, 2000, 10_000, 12, 20, WIDE),
    "cnn": Task("fashion_mnist", 2560, 2000, 10_000, 12, 16, NARROW, (4, 8), (32, 32)),
    "digits": Task("digits", 897, 450, 450, 12, 20, NARROW),
}
#: Arms that train every network from fresh weights to its end.
ALONE = (
    *("constants", "constants-averaged", "constants-cosine", "constants-cosine-averaged"),
    "schedules-averaged",
)


@functools.cache
def examples(name: str, seed: int) -> tuple[Any, ...]:
    """Return training, validation and test data, drawn anew for each seed."""
    task = TASKS[name]
    if task.images == "digits":
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        x = (x / 16).astype(np.float32)
        parts = data.shuffled(len(x), seed, (task.train, task.validation, task.test))
        return tuple((x[part], y[part]) for part in parts)
    x, y, test_x, test_y = data.fashion_mnist()
    if not task.channels:
        x, test_x = (((p.reshape(len(p), -1) / 255 - 0.286) / 0.353) for p in (x, test_x))
        x, test_x = x.astype(np.float32), test_x.astype(np.float32)
    train, validation = data.shuffled(len(x), seed, (task.train, task.validation))
    return (x[train], y[train]), (x[validation], y[validation]), (test_x, test_y)


def network(name: str, params: dict[str, Any]) -> nn.Module:
    """Return a network of a task."""
    task = TASKS[name]
    if task.channels:
        return lenet(task.channels, task.dense, params["dropout"])
    return perceptron(64 if task.images == "digits" else 784, task.dense, params["dropout"])


def training(name: str, seed: int, *, averaging: str | None, cosine: bool) -> et.SupervisedTask:
    """Return the training of one network."""
    train, validation, _ = examples(name, seed)
    epochs = TASKS[name].epochs

    def decay(optimizer: torch.optim.Optimizer) -> Any:
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)

    return et.SupervisedTask(
        lambda params: network(name, params),
        loss="cross_entropy",
        optimizer="sgd",
        train=train,
        validation=validation,
        batch_size=64,
        epochs=epochs,
        averaging=averaging,
        scheduler=decay if cosine else None,
        device="cpu",
    )


# -- arms -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to search.

    Attributes:
        algorithm: Makes the algorithm of a space and a number of members.
        averaging: See `SupervisedTask`.
        cosine: The learning rate decays to 0.
        soup: The soup of the last population is the result, not its best member.
    """

    algorithm: Callable[[et.Space, int], Any]
    averaging: str | None = None
    cosine: bool = False
    soup: bool = False


def random(space: et.Space, members: int) -> Any:
    """Return random search."""
    return et.RandomSearch(space)


def schedules(space: et.Space, members: int) -> Any:
    """Return Hybrid over schedules of the learning rate."""
    genes = {name: space[name] for name in space}
    return et.Hybrid(et.Space(genes | {"lr": et.Scheduled(genes["lr"])}))


def population(**options: Any) -> Callable[[et.Space, int], Any]:
    """Return what makes population-based training with options."""

    def make(space: et.Space, members: int) -> Any:
        return et.PopulationBasedTraining(space, population_size=members, **options)

    return make


def recipe(make: Callable[..., Any]) -> Callable[[et.Space, int], Any]:
    """Return what makes a recipe for a number of members."""
    return lambda space, members: make(space, population_size=members)


def paper(space: et.Space, members: int) -> Any:
    """Return the paper's own setting."""
    return et.recipes.three_parent_training(space, population_size=members)


#: Few selections: after each quarter of 20 epochs the worse half learns from the better one.
HALVES: dict[str, Any] = {
    "interval": 5,
    "exploit": Quantile(0.5),
    "selection": Truncation(0.5),
}

ARMS = {
    "constants": Arm(random),
    "constants-averaged": Arm(random, "ema"),
    "constants-cosine": Arm(random, cosine=True),
    "constants-cosine-averaged": Arm(random, "ema", cosine=True),
    "schedules-averaged": Arm(schedules, "ema"),
    "paper": Arm(paper),
    "three-parents": Arm(population()),
    "three-parents-averaged": Arm(population(), "ema"),
    "classic-averaged": Arm(population(parents=1), "ema"),
    "kin": Arm(population(weights="kin"), "ema"),
    "kin-soup": Arm(population(weights="kin"), "ema", soup=True),
    "halves": Arm(population(**HALVES), "ema"),
    "base-schedule": Arm(population(), "ema", cosine=True),
    "smoothed": Arm(population(fitness="smoothed"), "ema"),
    "improvement": Arm(population(fitness="improvement"), "ema"),
    "pairwise": Arm(recipe(et.recipes.pairwise_learning), "ema"),
    "papa": Arm(recipe(et.recipes.parameter_averaging), "ema"),
    "papa-soup": Arm(recipe(et.recipes.parameter_averaging), "ema", soup=True),
    "restarts-random": Arm(
        population(interval=et.GrowingInterval(patience=1, restart="random")), "ema"
    ),
    "restarts-model": Arm(
        population(interval=et.GrowingInterval(patience=1, restart="model")), "ema"
    ),
}
OURS = "kin-soup"


def run(name: str, arm: str, seed: int) -> dict[str, Any]:
    """Run one arm and return its result."""
    task, how = TASKS[name], ARMS[arm]
    torch.manual_seed(seed)
    train = training(name, seed, averaging=how.averaging, cosine=how.cosine)
    study = et.Study(how.algorithm(task.space, task.members), "min loss", seed=seed)
    trials = task.members if arm in ALONE else None
    began = time.process_time()
    study.run(train, trials, epochs=task.epochs, max_failures=1, progress=False)
    seconds = time.process_time() - began
    best = winner(study.trials)
    model = network(name, dict(best.params))
    if how.soup:
        study.soup(model=model)
    else:
        study.restore(best.number, model=model)
    x, y = (torch.tensor(part) for part in examples(name, seed)[2])
    with torch.no_grad():
        outputs = torch.cat([model.eval()(part) for part in torch.split(x, 1000)])
    error = float((outputs.argmax(1) != y).double().mean())
    return {
        "task": name,
        "arm": arm,
        "seed": seed,
        "test_error": error,
        "validation_loss": best.values[0],
        "seconds": seconds,
        "lr": str(best.params["lr"]),
        "trials": len(study.trials),
    }


# -- results --------------------------------------------------------------------------------------


def read() -> list[dict[str, Any]]:
    """Return all results so far."""
    return (
        [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    )


def run_all(tasks: Sequence[str], arms: Sequence[str], seeds: Sequence[int]) -> None:
    """Run what has no result yet, seed by seed."""
    done = {(r["task"], r["arm"], r["seed"]) for r in read()}
    RESULTS.parent.mkdir(exist_ok=True)
    for seed in seeds:
        for name in tasks:
            for arm in arms:
                if (name, arm, seed) in done:
                    continue
                result = run(name, arm, seed)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(result) + "\n")
                print(
                    f"{name:16} {arm:26} {seed:4} {100 * result['test_error']:6.2f} %", flush=True
                )
        examples.cache_clear()


def tables(ours: str) -> str:
    """Return a table for each task: test errors, and each arm against one of them by seed."""
    results, parts = read(), []
    for name in TASKS:
        errors: dict[str, dict[int, float]] = {}
        seconds: dict[str, list[float]] = {}
        for r in results:
            if r["task"] == name:
                errors.setdefault(r["arm"], {})[r["seed"]] = 100 * r["test_error"]
                seconds.setdefault(r["arm"], []).append(r["seconds"])
        if ours not in errors:
            continue
        gaps = {}
        for arm in errors:
            seeds = sorted(errors[arm].keys() & errors[ours].keys())
            gaps[arm] = np.array([errors[arm][s] - errors[ours][s] for s in seeds])
        others = [arm for arm in errors if arm != ours and len(gaps[arm]) > 1 and gaps[arm].any()]
        p = dict(zip(others, holm([wilcoxon(gaps[a]).pvalue for a in others]), strict=True))
        rows = []
        for arm in sorted(errors, key=list(ARMS).index):
            gap = gaps[arm]
            against = ["", "", ""]
            if arm in p:
                wins = f"{int((gap > 0).sum())} of {len(gap)}"
                against = [f"{gap.mean():+.2f}", wins, f"{p[arm]:.4f}"]
            values = list(errors[arm].values())
            row = [arm, str(len(values)), spread(values, 2), f"{np.mean(seconds[arm]):.1f}"]
            rows.append([*row, *against])
        head = [
            "arm",
            "seeds",
            "test error, %",
            "CPU s",
            f"minus {ours}",
            f"{ours} better",
            "p (Holm)",
        ]
        parts.append(f"{name}\n\n{table(head, rows)}\n")
    return "\n".join(parts)


def main() -> None:
    """Run arms, or print what they reached."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    runs.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    runs.add_argument("--seeds", default="0:6", help="first:end")
    shown = commands.add_parser("table")
    shown.add_argument("--ours", choices=ARMS, default=OURS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.command == "run":
        first, end = map(int, arguments.seeds.split(":"))
        run_all(arguments.task, arguments.arms, range(first, end))
    else:
        print(tables(arguments.ours))


if __name__ == "__main__":
    main()
