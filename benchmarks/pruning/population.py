"""Populations whose sparsity evolves, beside gradual pruning, on Digits, at equal epochs.

    python benchmarks/pruning/population.py            # five seeds, about half an hour, a table
    python benchmarks/pruning/population.py --table    # only print what there is

The network is 64-256-128-10, as in digits.py, on 60 % of the images; 20 % choose (macro F1), and
20 % are the test, which nothing else sees. Each way trains for 320 epochs of Adam in all, apart
from the first, and gives the network that validation likes best among those at the sparsity:

- "gradual, once": `SupervisedTask(sparsity=...)`, Zhu and Gupta (2017), 40 epochs only, the first
  of the eight below;
- "gradual, long": the same for 320 epochs;
- "gradual, best of 8": eight times 40 epochs, from other weights each;
- "random constants": eight times 40 epochs, a random learning rate each, sparsity rising as above;
- "random, cosine": the same, the learning rate falling to zero along a cosine;
- "PBT, schedule": eight members for 40 epochs, a selection every two; the gene is the learning
  rate, and sparsity follows `Schedule.cubic` for 30 epochs;
- "PBT, gene": genes are learning rate and sparsity, which must be what is wanted or more
  (`Constraint`); the rise within a trial is that of a number;
- "PBT, gene below": the same, the gene being what is wanted at most, where creep then stops;
- "PBT, two objectives": the same genes, F1 and sparsity to be as large as can be: one population
  for all sparsities, of each of which the best trial with as much or more is taken.

The learning rate of the gradual ways is that of training.py (0.02, falling along a cosine, chosen
there on other seeds). "p" is Wilcoxon's test against "gradual, best of 8", paired by seed. Each
result is a line of a file in --runs, so that a killed command goes on.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import rows
from scipy.stats import wilcoxon
from torch import nn

import evotune as et

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
import data as stored

MEMBERS, EPOCHS, INTERVAL = 8, 40, 2
RATE = 0.02
RATES = et.Float(1e-3, 0.1, log=True)
#: Sparsities that a gene may have.
LEAST, MOST = 0.5, 0.998
#: A weight or two less than what is wanted is no violation.
ROUNDING = 1e-4
BASE, ONCE = "gradual, best of 8", "gradual, once"


def network(params: Any) -> nn.Sequential:
    """Return the untrained network of digits.py."""
    layers = [nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*layers)


def task(seed: int, epochs: int = EPOCHS, cosine: bool = True, **options: Any) -> et.SupervisedTask:
    """Return the training on the images of a seed."""
    train, validation, test = stored.digits(seed)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR
    return et.SupervisedTask(
        network,
        averaging=None,  # of the last weights, as all its results
        loss="cross_entropy",
        optimizer="adam",
        train=train,
        validation=validation,
        test=test,
        metrics=["f1"],
        batch_size=64,
        epochs=epochs,
        scheduler=(lambda optimizer: falling(optimizer, epochs)) if cosine else None,
        **options,
    )


def study_of(
    algorithm: Any, given: et.SupervisedTask, sparsity: float | None, seed: int, **much: int
) -> et.Study:
    """Return a study that has run: for a sparsity, or with two objectives where that is None."""
    if sparsity is None:
        study = et.Study(algorithm, ["max f1", "max sparsity"], seed=seed)
    else:
        bound = et.Constraint("sparsity", at_least=sparsity - ROUNDING)
        study = et.Study(algorithm, "max f1", constraints=[bound], seed=seed)
    study.run(given, executor=et.StackedExecutor(), **much)
    return study


def constants(
    seed: int, sparsity: float | None, space: et.Space, trials: int = MEMBERS, **options: Any
) -> et.Study:
    """Train some networks with constants, each from weights of its own."""
    if sparsity is not None:
        options["sparsity"] = sparsity
    return study_of(et.RandomSearch(space), task(seed, **options), sparsity, seed, trials=trials)


def population(
    seed: int, sparsity: float | None, space: et.Space, schedule: et.Schedule | None = None
) -> et.Study:
    """Train a population."""
    algorithm = et.PopulationBasedTraining(space, population_size=MEMBERS, interval=INTERVAL)
    given = task(seed, cosine=False, sparsity=schedule)
    return study_of(algorithm, given, sparsity, seed, epochs=EPOCHS)


def rate() -> et.Space:
    """Return the space of one learning rate, which was chosen before."""
    return et.Space(lr=et.Fixed(RATE))


def genes(most: float = MOST) -> et.Space:
    """Return the genes of those that choose their own sparsity."""
    return et.Space(lr=RATES, sparsity=et.Float(LEAST, most))


#: What is run for a sparsity.
WAYS: dict[str, Callable[[int, float], et.Study]] = {
    "gradual, long": lambda seed, s: constants(seed, s, rate(), trials=1, epochs=MEMBERS * EPOCHS),
    BASE: lambda seed, s: constants(seed, s, rate()),
    "random constants": lambda seed, s: constants(seed, s, et.Space(lr=RATES), cosine=False),
    "random, cosine": lambda seed, s: constants(seed, s, et.Space(lr=RATES)),
    "PBT, schedule": lambda seed, s: population(
        seed,
        s,
        et.Space(lr=RATES),
        et.Schedule.cubic("sparsity", s, epochs=3 * EPOCHS // 4),
    ),
    "PBT, gene": lambda seed, s: population(seed, s, genes()),
    "PBT, gene below": lambda seed, s: population(seed, s, genes(s)),
}
#: What is run once for all sparsities.
TOGETHER: dict[str, Callable[[int], et.Study]] = {
    "PBT, two objectives": lambda seed: population(seed, None, genes()),
}


def found(trials: Sequence[et.Trial], sparsity: float) -> dict[str, Any]:
    """Return what the best trial with enough sparsity has; nothing where there is none."""
    enough = [t for t in trials if t.metrics.get("sparsity", 0) >= sparsity - ROUNDING]
    if not enough:
        return {"f1": None}
    best = max(enough, key=lambda trial: trial.metrics["f1"])
    return {
        "validation": best.metrics["f1"],
        "f1": best.metrics["test_f1"],
        "sparsity": best.metrics["sparsity"],
        "line": [trial.params for trial in line(trials, best)],
    }


def line(trials: Sequence[et.Trial], last: et.Trial) -> list[et.Trial]:
    """Return those that trained the weights of a trial, the first of them first."""
    by_number = {trial.number: trial for trial in trials}
    members = [last]
    while members[0].weights_from is not None:
        members.insert(0, by_number[members[0].weights_from])
    return members


def run(options: argparse.Namespace, path: Path) -> None:
    """Measure what is not measured yet."""
    done = {(row["way"], row["seed"], row["asked"]) for row in rows(path)}
    for seed in range(options.first, options.first + options.seeds):
        for name in options.ways:
            wanted = [s for s in options.sparsity if (name, seed, s) not in done]
            if not wanted:
                continue
            study = None
            for sparsity in wanted:
                began = time.process_time()
                if name in WAYS:
                    study = WAYS[name](seed, sparsity)
                elif study is None:
                    study = TOGETHER[name](seed)
                seconds = time.process_time() - began
                row = {"way": name, "seed": seed, "asked": sparsity, "seconds": seconds}
                if name == BASE:
                    once = row | {"way": ONCE, "seconds": seconds / MEMBERS}
                    _note(path, once | found(study.trials[:1], sparsity))
                _note(path, row | found(study.trials, sparsity))


def _note(path: Path, row: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
    print(f"# {row}", file=sys.stderr, flush=True)


def table(own: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table: macro F1 of the test, mean ± standard deviation."""
    sparsities = sorted({row["asked"] for row in own})
    yield f"| way | {' | '.join(f'{s:.1%}' for s in sparsities)} | p, all | CPU s a seed |"
    yield "|---" * (len(sparsities) + 3) + "|"
    for name in (ONCE, *WAYS, *TOGETHER):
        mine = {(r["asked"], r["seed"]): r["f1"] for r in own if r["way"] == name}
        if not mine:
            continue
        base = {(r["asked"], r["seed"]): r["f1"] for r in own if r["way"] == BASE}
        cells = []
        for sparsity in (*sparsities, None):
            keys = [k for k in mine if sparsity in (None, k[0])]
            values = [mine[k] for k in keys if mine[k] is not None]
            pairs = [k for k in keys if mine[k] is not None and k in base]
            gaps = [mine[k] - base[k] for k in pairs]
            p = f"p {wilcoxon(gaps).pvalue:.2g}" if name != BASE and any(gaps) else ""
            if sparsity is None:
                cells.append(p.removeprefix("p "))
                continue
            text = f"{np.mean(values):.3f}" if values else "–"
            text += f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
            text += f" ({p})" if p else ""
            missing = len(keys) - len(values)
            cells.append(text + (f", none in {missing} seeds" if missing else ""))
        seeds = {r["seed"] for r in own if r["way"] == name}
        seconds = sum(r["seconds"] for r in own if r["way"] == name) / len(seeds)
        yield f"| {name} | {' | '.join(cells)} | {seconds:.0f} |"


def main() -> None:
    """Measure, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=10, help="the first seed")
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.98, 0.995])
    names = [*WAYS, *TOGETHER]
    parser.add_argument("--ways", nargs="+", choices=names, default=names)
    parser.add_argument("--runs", type=Path, default=Path(__file__).parents[1] / "runs")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.runs.mkdir(parents=True, exist_ok=True)
    path = options.runs / "population.jsonl"
    if not options.table:
        run(options, path)
    print("\n".join(table(rows(path))))


if __name__ == "__main__":
    main()
