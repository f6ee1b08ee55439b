"""What a trial costs, beside Optuna in the same run.

Measures: importing the package; ask + tell in memory; a durable trial in SQLite at 1,000 and at
20,000 trials; rebuilding a stored study; evolution of conditional genes; a space of eight points.

    python benchmarks/spine.py            # everything, about five minutes
    python benchmarks/spine.py memory     # one part

Each part prints a table and whether its bar is met. Times are medians over repeats in one process;
compare ratios between machines, not milliseconds.
"""

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table

import evotune as et

console = Console(width=110)
REPEATS = 5


def genes(count: int) -> et.Space:
    """Return a space of floats on [0, 1]."""
    return et.Space({f"x{k}": et.Float(0.0, 1.0) for k in range(count)})


def show(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print one table."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column != "case" else "left")
    for row in rows:
        table.add_row(*map(str, row))
    console.print(table)


def verdict(text: str, met: bool) -> None:
    """Print whether a bar is met."""
    console.print(f"  {'met    ' if met else 'MISSED '} {text}\n", style="green" if met else "red")


def optuna_study(sampler: str, storage: str | None = None, seed: int = 0):
    """Return an Optuna study, or stop with what to install."""
    try:
        import optuna
    except ImportError:
        sys.exit('this part compares with Optuna: pip install "evotune[bench]"')
    warnings.filterwarnings("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        sampler=getattr(optuna.samplers, sampler)(seed=seed), storage=storage
    )


def drive_optuna(study, count: int, gene_count: int) -> None:
    """Run ask + tell ``count`` times on a sum of floats."""
    for _ in range(count):
        trial = study.ask()
        study.tell(trial, sum(trial.suggest_float(f"x{k}", 0, 1) for k in range(gene_count)))


def drive(study: et.Study, count: int) -> None:
    """Run ask + tell ``count`` times on a sum of floats."""
    for _ in range(count):
        trial = study.ask()
        study.tell(trial, sum(trial.params.values()))


def milliseconds(job: Callable[[], None], count: int) -> float:
    """Return milliseconds a trial."""
    began = time.perf_counter()
    job()
    return (time.perf_counter() - began) / count * 1e3


def imports() -> None:
    """Time ``import evotune`` in a fresh process, and look for torch."""
    code = (
        "import time, sys; t = time.perf_counter(); import evotune; "
        "print(time.perf_counter() - t, 'torch' in sys.modules)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(REPEATS)
    ]
    seconds = statistics.median(float(r.stdout.split()[0]) for r in runs)
    torch = any(r.stdout.split()[1] == "True" for r in runs)
    code = (
        "import time; t = time.perf_counter(); from evotune import Study, Genetic, tune; "
        "print(time.perf_counter() - t)"
    )
    full = statistics.median(
        float(
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(REPEATS)
    )
    show(
        "import",
        ["case", "s"],
        [
            ["import evotune", f"{seconds:.3f}"],
            ["from evotune import Study, Genetic, tune", f"{full:.3f}"],
        ],
    )
    verdict("import evotune < 0.3 s, no torch", seconds < 0.3 and not torch)


OPTUNA = ("Optuna NSGAIISampler", "Optuna RandomSampler")


def ask_and_tell(name: str, count: int, gene_count: int) -> None:
    """Drive a new study in memory with the named method."""
    method = name.split()[1]
    if name in OPTUNA:
        drive_optuna(optuna_study(method), count, gene_count)
    else:
        algorithm = getattr(et, method)(genes(gene_count))
        drive(et.Study(algorithm, "min loss", seed=1), count)


def memory() -> None:
    """Time ask + tell in memory."""
    count, rows, ours = 1000, [], {}
    for gene_count in (10, 50):
        for name in ("evotune Genetic", "evotune RandomSearch", *OPTUNA):
            job = partial(ask_and_tell, name, count, gene_count)
            job()  # warm up: imports, first-use caches
            times = [milliseconds(job, count) for _ in range(REPEATS)]
            median = statistics.median(times)
            ours[name, gene_count] = median
            rows.append(
                [
                    name,
                    gene_count,
                    f"{median:.3f}",
                    f"{min(times):.3f}-{max(times):.3f}",
                    f"{median / ours['evotune Genetic', gene_count]:.1f}",
                ]
            )
    show(
        f"ask + tell in memory, {count} trials",
        ["case", "genes", "ms/trial", "min-max", "ratio"],
        rows,
    )
    genetic = ours["evotune Genetic", 10]
    verdict("Genetic <= 0.15 ms a trial at 10 genes", genetic <= 0.15)
    verdict(
        "faster than Optuna's NSGA-II and RandomSampler",
        genetic < min(ours["Optuna NSGAIISampler", 10], ours["Optuna RandomSampler", 10]),
    )


def durable() -> None:
    """Time a durable trial in SQLite, early and late, and rebuild the study."""
    space = genes(10)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/evotune.db"
        windows = {}
        with et.Study(et.Genetic(space), "min loss", storage=url, seed=1) as study:
            drive(study, 100)
            for start in (100, 1000, 10_000, 19_000):
                drive(study, start - len(study.trials))
                windows[start] = milliseconds(lambda s=study: drive(s, 1000), 1000)
            best = study.best
        rebuild = []
        for _ in range(3):
            began = time.perf_counter()
            with et.Study(et.Genetic(space), "min loss", storage=url) as again:
                rebuild.append(time.perf_counter() - began)
                same = again.best == best and len(again.trials) == 20_000
        theirs = optuna_study("RandomSampler", f"sqlite:///{folder}/optuna.db")
        drive_optuna(theirs, 20, 10)
        optuna_ms = milliseconds(lambda: drive_optuna(theirs, 500, 10), 500)
    ours = windows[100]
    rows = [[f"evotune Genetic, trials {s}-{s + 1000}", f"{ms:.3f}"] for s, ms in windows.items()]
    rows.append(["Optuna RandomSampler, trials 20-520", f"{optuna_ms:.3f}"])
    show("durable trial in SQLite, 10 genes", ["case", "ms/trial"], rows)
    show(
        "rebuild of 20,000 trials",
        ["case", "s"],
        [["evotune, median of 3", f"{statistics.median(rebuild):.2f}"]],
    )
    verdict("<= 1 ms a trial at 1,000 and at 20,000", max(windows.values()) <= 1.0)
    verdict(f"at least 25 x faster than Optuna: {optuna_ms / ours:.0f} x", optuna_ms >= 25 * ours)
    verdict("rebuilt study equals the first, in <= 3 s", same and max(rebuild) <= 3.0)


DEEP_LAYERS = 6


def deep_space() -> et.Space:
    """Return a space whose k-th width is active only when the depth reaches k."""
    widths = {
        f"width{k}": et.Float(0.0, 1.0, when={"depth": et.Range(k, DEEP_LAYERS)})
        for k in range(1, DEEP_LAYERS + 1)
    }
    return et.Space({"depth": et.Int(1, DEEP_LAYERS), **widths})


def deep_loss(params: dict[str, float]) -> float:
    """Return a loss whose optimum, 0, needs all layers at width 0.3 + 0.08·k.

    A missing layer costs 0.12. A badly set one costs up to (0.7)², so that shallow genomes win at
    first and the deep genes are rarely active.
    """
    layers = range(1, DEEP_LAYERS + 1)
    return sum(
        (params[f"width{k}"] - 0.3 - 0.08 * k) ** 2 if f"width{k}" in params else 0.12
        for k in layers
    )


def conditional(seeds: int = 10, trials: int = 400) -> None:
    """Compare how well rarely active genes evolve."""
    from evotune.analysis.statistics import paired, signed_rank

    def optuna_best(sampler: str, seed: int) -> float:
        study = optuna_study(sampler, seed=seed)

        def objective(trial) -> float:
            depth = trial.suggest_int("depth", 1, DEEP_LAYERS)
            widths = {
                f"width{k}": trial.suggest_float(f"width{k}", 0, 1) for k in range(1, depth + 1)
            }
            return deep_loss({"depth": depth, **widths})

        study.optimize(objective, n_trials=trials)
        return study.best_value

    def ours(algorithm: type, seed: int) -> float:
        study = et.tune(
            lambda t: deep_loss(t.params),
            deep_space(),
            "min loss",
            trials=trials,
            algorithm=algorithm(deep_space()),
            seed=seed,
        )
        return study.best.metrics["loss"]

    arms = {
        "evotune Genetic": [ours(et.Genetic, s) for s in range(seeds)],
        "evotune EvolutionStrategy": [ours(et.EvolutionStrategy, s) for s in range(seeds)],
        "evotune RandomSearch": [ours(et.RandomSearch, s) for s in range(seeds)],
        "Optuna NSGAIISampler": [optuna_best("NSGAIISampler", s) for s in range(seeds)],
        "Optuna TPESampler": [optuna_best("TPESampler", s) for s in range(seeds)],
    }
    base = np.array(arms["evotune Genetic"])
    rows = []
    for name, losses in arms.items():
        wins = int((base < np.array(losses)).sum())
        p = signed_rank(base - losses) if name != "evotune Genetic" else math.nan
        rows.append(
            [
                name,
                f"{np.median(losses):.4f}",
                f"{min(losses):.4f}-{max(losses):.4f}",
                f"{wins}/{seeds}",
                f"{p:.4f}",
            ]
        )
    show(
        f"conditional genes, {trials} evaluations, {seeds} seeds",
        ["case", "median loss", "min-max", "Genetic better", "Wilcoxon p"],
        rows,
    )
    verdict(
        "Genetic beats Optuna's NSGA-II over the seeds",
        paired(arms["Optuna NSGAIISampler"], base).sign == 1,
    )


def small() -> None:
    """Count distinct points among the first eight trials on a space of eight."""
    space = et.Space(a=et.Bool(), b=et.Bool(), c=et.Bool())
    counts = []
    for seed in range(20):
        study = et.Study(et.Genetic(space, population_size=4), "min loss", seed=seed)
        study.run(lambda t: float(sum(t.params.values())), trials=8)
        counts.append(len({tuple(t.params.items()) for t in study.trials}))
    show(
        "space of 8 points, first 8 trials, 20 seeds",
        ["case", "fewest distinct"],
        [["evotune Genetic", min(counts)]],
    )
    verdict("8 distinct points in the first 8 trials", min(counts) == 8)


PARTS = {
    "imports": imports,
    "memory": memory,
    "durable": durable,
    "conditional": conditional,
    "small": small,
}


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    chosen = parser.parse_args().parts or list(PARTS)
    unknown = [part for part in chosen if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    for part in chosen:
        PARTS[part]()


if __name__ == "__main__":
    main()
