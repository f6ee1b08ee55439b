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
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from population_tasks import ALL, TASKS, examples
from scipy.stats import wilcoxon
from tables import spread, table

import evotune as et
from evotune.analysis.lineage import winner
from evotune.analysis.statistics import holm
from evotune.evolution.exploitation import Quantile
from evotune.evolution.selection import Truncation

RESULTS = Path(__file__).with_name("runs") / "population_averaged.jsonl"

#: Arms that train every network from fresh weights to its end.
ALONE = (
    *("practice", "practice-averaged"),
    *("constants", "constants-averaged", "constants-cosine", "constants-cosine-averaged"),
    "schedules-averaged",
)


def training(
    name: str, seed: int, *, averaging: str | None, cosine: bool, tested: bool = False
) -> et.SupervisedTask:
    """Return the training of one network, measured on validation or on test data."""
    train, validation, test = examples(name, seed)
    epochs = ALL[name].epochs

    def decay(optimizer: torch.optim.Optimizer) -> Any:
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)

    return et.SupervisedTask(
        ALL[name].network,
        loss=ALL[name].loss,
        optimizer=ALL[name].optimizer,
        train=train,
        validation=test if tested else validation,
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
        fixed: Accepted practice is not searched, but trained with several seeds.
    """

    algorithm: Callable[[et.Space, int], Any]
    averaging: str | None = None
    cosine: bool = False
    soup: bool = False
    fixed: bool = False


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
    "practice": Arm(random, cosine=True, fixed=True),
    "practice-averaged": Arm(random, "ema", cosine=True, fixed=True),
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
    task, how = ALL[name], ARMS[arm]
    torch.manual_seed(seed)
    train = training(name, seed, averaging=how.averaging, cosine=how.cosine)
    constants = et.Space({gene: et.Fixed(value) for gene, value in task.practice.items()})
    space = constants if how.fixed else task.space
    study = et.Study(how.algorithm(space, task.members), "min loss", seed=seed)
    trials = task.members if arm in ALONE else None
    began = time.process_time()
    study.run(train, trials, epochs=task.epochs, max_failures=1, progress=False)
    seconds = time.process_time() - began
    best = winner(study.trials)
    model = task.network(best.params)
    if how.soup:
        study.soup(model=model)
    else:
        study.restore(best.number, model=model)
    x, y = (torch.tensor(part) for part in examples(name, seed)[2])
    with torch.no_grad():
        outputs = torch.cat([model.eval()(part) for part in torch.split(x, 1000)])
    return {
        "task": name,
        "arm": arm,
        "seed": seed,
        "test_error": task.error(outputs, y),
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


def errors_of(results: Sequence[dict[str, Any]], name: str) -> dict[str, dict[int, float]]:
    """Return the test errors of a task in hundredths, by arm and seed."""
    errors: dict[str, dict[int, float]] = {}
    for r in results:
        if r["task"] == name:
            errors.setdefault(r["arm"], {})[r["seed"]] = 100 * r["test_error"]
    return errors


def tables(ours: str) -> str:
    """Return a table for each task, and one over all tasks."""
    results, parts = read(), []
    for name in ALL:
        errors = errors_of(results, name)
        if ours in errors:
            parts.append(f"{name}\n\n{table_of(results, name, errors, ours)}\n")
    return "\n".join([*parts, f"all tasks\n\n{over_tasks(results, ours)}\n"])


def table_of(
    results: Sequence[dict[str, Any]], name: str, errors: dict[str, dict[int, float]], ours: str
) -> str:
    """Return test errors of one task, and each arm against one of them by seed."""
    gaps = {}
    for arm in errors:
        seeds = sorted(errors[arm].keys() & errors[ours].keys())
        gaps[arm] = np.array([errors[arm][s] - errors[ours][s] for s in seeds])
    p = corrected({arm: gap for arm, gap in gaps.items() if arm != ours})
    rows = []
    for arm in sorted(errors, key=list(ARMS).index):
        values = list(errors[arm].values())
        seconds = [r["seconds"] for r in results if r["task"] == name and r["arm"] == arm]
        row = [arm, str(len(values)), spread(values, 2), f"{np.mean(seconds):.1f}"]
        rows.append([*row, *against(gaps[arm], p.get(arm), 2)])
    head = ["arm", "seeds", "test error, %", "CPU s"]
    return table([*head, f"minus {ours}", f"{ours} better", "p (Holm)"], rows)


def over_tasks(results: Sequence[dict[str, Any]], ours: str) -> str:
    """Return by how many percent errors are larger than those of one arm, over tasks and seeds."""
    gaps: dict[str, list[float]] = {}
    tasks: dict[str, int] = {}
    for name in TASKS:
        errors = errors_of(results, name)
        for arm in errors:
            seeds = errors[arm].keys() & errors.get(ours, {}).keys()
            tasks[arm] = tasks.get(arm, 0) + bool(seeds)
            ratios = [np.log(errors[arm][s] / errors[ours][s]) for s in sorted(seeds)]
            gaps.setdefault(arm, []).extend(ratios)
    found = {a: 100 * np.array(gap) for a, gap in gaps.items() if a != ours and len(gap) > 1}
    p = corrected(found)
    rows = [
        [arm, str(tasks[arm]), str(len(gap)), *against(gap, p.get(arm), 1)]
        for arm, gap in sorted(found.items(), key=lambda pair: list(ARMS).index(pair[0]))
    ]
    head = ["arm", "tasks", "pairs", "larger by, %", f"{ours} better", "p (Holm)"]
    return table(head, rows)


def corrected(gaps: dict[str, Any]) -> dict[str, float]:
    """Return p of Wilcoxon's test of each arm that has gaps, corrected for their number."""
    tested = [arm for arm, gap in gaps.items() if len(gap) > 1 and np.any(gap)]
    return dict(zip(tested, holm([wilcoxon(gaps[a]).pvalue for a in tested]), strict=True))


def against(gap: Any, p: float | None, digits: int) -> list[str]:
    """Return cells: the mean gap, how often it is above 0, and p."""
    if p is None:
        return ["", "", ""]
    wins = f"{int((gap > 0).sum())} of {len(gap)}"
    return [f"{gap.mean():+.{digits}f}", wins, f"{p:.4f}"]


def main() -> None:
    """Run arms, or print what they reached."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("--task", nargs="+", choices=ALL, default=list(TASKS))
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
