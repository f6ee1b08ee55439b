"""Print what the finished runs say.

    python benchmarks/search/table.py --set lcbench                        # all that ran
    python benchmarks/search/table.py --set xgboost --methods Hybrid optuna-tpe smac

The first method is the one that the others are compared with. Regret: 1 is a random point, 0 the
best of 50,000, lower is better; see scale.py. Ranks are over the (task, seed) pairs that every
method has, tests over the pairs that both have.
"""

import argparse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import records
from problem import SETS
from rich.console import Console
from rich.table import Table
from scale import regrets

from evotune.analysis import statistics

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Results:
    """Runs of one method.

    Attributes:
        curves: Regret after each evaluation, by problem and seed.
        cpu: Mean CPU time per proposal in seconds.
        stale: How many runs were made by code that is no longer there.
    """

    curves: Mapping[tuple[str, int], Array]
    cpu: float
    stale: int


@dataclass(frozen=True, slots=True)
class Duel:
    """The first method against another, on the pairs that both have.

    Attributes:
        pairs: How many.
        wins: In how many the first one is better.
        losses: In how many it is worse.
        p: Two-sided Wilcoxon signed-rank test over the pairs.
        p_tasks: The same over the tasks' means: seeds of one task are not independent.
    """

    pairs: int
    wins: int
    losses: int
    p: float
    p_tasks: float


def load(kind: str, method: str, evaluations: int, *, held_out: bool = False) -> Results:
    """Return the regrets of a method's runs of this length."""
    found = records.read(records.path_of(kind, method, held_out=held_out))
    chosen = [record for key, record in found.items() if key.evaluations == evaluations]
    curves = {(r.key.problem, r.key.seed): regrets(r.curve, r.key.problem) for r in chosen}
    cpu = np.mean([r.cpu_seconds / r.proposals for r in chosen]) if chosen else np.nan
    return Results(curves, float(cpu), sum(not r.is_current(method) for r in chosen))


def spread(curves: Mapping[tuple[str, int], Array], at: int) -> tuple[float, float, float]:
    """Return the mean over tasks, and the standard deviations over tasks and over seeds."""
    by_task = [np.array(values) for values in _by_task(curves, at).values()]
    means = [values.mean() for values in by_task]
    within = [values.std(ddof=1) for values in by_task if len(values) > 1]
    between = float(np.std(means, ddof=1)) if len(means) > 1 else np.nan
    return float(np.mean(means)), between, float(np.mean(within)) if within else np.nan


def _by_task(curves: Mapping[tuple[str, int], Array], at: int) -> dict[str, list[float]]:
    by_task: dict[str, list[float]] = {}
    for (problem, _), curve in curves.items():
        by_task.setdefault(problem, []).append(float(curve[at - 1]))
    return by_task


def mean_ranks(methods: Sequence[Results], at: int) -> tuple[Array, int]:
    """Return the mean rank of each method, ``(methods,)``, and over how many pairs it is."""
    shared = sorted(set.intersection(*(set(each.curves) for each in methods)))
    if not shared:
        return np.full(len(methods), np.nan), 0
    values = [[each.curves[pair][at - 1] for each in methods] for pair in shared]
    return statistics.mean_ranks(np.array(values)), len(shared)


def duel(first: Results, other: Results, at: int) -> Duel:
    """Compare two methods on the runs that both have made."""
    shared = sorted(set(first.curves) & set(other.curves))
    gaps = {pair: first.curves[pair] - other.curves[pair] for pair in shared}
    by_task = _by_task(gaps, at)
    all_gaps = np.array([gap for gaps_of_task in by_task.values() for gap in gaps_of_task])
    means = np.array([np.mean(gaps_of_task) for gaps_of_task in by_task.values()])
    wins, losses = int((all_gaps < 0).sum()), int((all_gaps > 0).sum())
    p, p_tasks = statistics.signed_rank(all_gaps), statistics.signed_rank(means)
    return Duel(len(shared), wins, losses, p, p_tasks)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    options = _parser().parse_args(arguments)
    length, held_out = options.evaluations, options.held_out
    folder = records.folder(options.set, held_out=held_out)
    names = options.methods or sorted(path.stem for path in folder.glob("*.jsonl"))
    loaded = {name: load(options.set, name, length, held_out=held_out) for name in names}
    tasks = {f"{options.set}/{task}" for task in options.tasks}
    kept = {name: _on(tasks, results) for name, results in loaded.items()}
    found = {name: results for name, results in kept.items() if results.curves}
    at = [n for n in options.at if n <= length]
    console = Console(width=150)
    if not found:
        console.print(f"no runs of {length} evaluations in {folder}")
        return
    console.print(_means(options.set, found, at))
    console.print(_ranks(found, at))
    console.print(_duels(found, at))


def _on(tasks: Collection[str], results: Results) -> Results:
    kept = {pair: c for pair, c in results.curves.items() if not tasks or pair[0] in tasks}
    return replace(results, curves=kept)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=SETS, required=True)
    parser.add_argument("--methods", nargs="+", default=(), help="by default all that ran")
    parser.add_argument("--tasks", nargs="+", default=(), help="by default all that ran")
    parser.add_argument("--evaluations", type=int, default=100, help="length of the runs")
    parser.add_argument("--at", type=int, nargs="+", default=(25, 50, 100))
    parser.add_argument("--held-out", action="store_true", help="the runs on held-out tasks")
    return parser


def _means(kind: str, found: Mapping[str, Results], at: Sequence[int]) -> Table:
    table = Table(
        *("method", "runs", *(f"regret at {n}" for n in at), "CPU ms a proposal", "other code"),
        title=f"{kind}: mean regret over tasks (sd over tasks / over seeds)",
    )
    for name, results in found.items():
        cells = ["{:.3f} ({:.3f} / {:.3f})".format(*spread(results.curves, n)) for n in at]
        table.add_row(
            name, str(len(results.curves)), *cells, f"{1000 * results.cpu:.1f}", str(results.stale)
        )
    return table


def _ranks(found: Mapping[str, Results], at: Sequence[int]) -> Table:
    ranks = [mean_ranks(list(found.values()), n) for n in at]
    pairs = ranks[0][1]
    known = pairs and len(found) > 1
    reach = statistics.critical_difference(len(found), pairs) if known else np.nan
    table = Table(
        *("method", *(f"rank at {n}" for n in at)),
        title=f"mean rank over the {pairs} (task, seed) pairs that all have",
        caption=f"told apart by a difference of {reach:.2f} (Nemenyi, 5 %)",
    )
    for k, name in enumerate(found):
        table.add_row(name, *(f"{mean[k]:.2f}" for mean, _ in ranks))
    return table


def _duels(found: Mapping[str, Results], at: Sequence[int]) -> Table:
    first, *others = found
    columns = (f"at {n}: won-lost, p pairs, p tasks" for n in at)
    table = Table("against", "pairs", *columns, title=f"{first} against each (Wilcoxon, two-sided)")
    for other in others:
        duels = [duel(found[first], found[other], n) for n in at]
        cells = [f"{d.wins}-{d.losses}, {d.p:.1e}, {d.p_tasks:.1e}" for d in duels]
        table.add_row(other, str(duels[0].pairs), *cells)
    return table


if __name__ == "__main__":
    main()
