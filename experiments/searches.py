"""Searches of equal cost: how experiments that compare algorithms run them, and their tables.

Every search of an experiment gets equally many trials; the best of a search is chosen by the
validation figure and judged by the test figure, which plays no part in any choice.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tables import cells, figures, machine, spread, table, write_section

import evotune as et
from evotune.analysis.statistics import paired

RUNS = Path(__file__).with_name("runs")

#: Proposes the params of the next trial from the params and values of all trials before it.
Peer = Callable[[Sequence[tuple[Mapping[str, Any], float | None]], int], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Arm:
    """One search, or fixed params.

    Attributes:
        name: What the tables call it.
        space: What it searches.
        algorithm: Makes a new algorithm from the space; not needed for the other kinds.
        params: Params to be trained instead of a search.
        restarts: How often they are trained for each seed.
        peer: Another library's search, which is asked before each trial.
    """

    name: str
    space: et.Space
    algorithm: Callable[[et.Space], Any] = et.RandomSearch
    params: Mapping[str, Any] | None = None
    restarts: int = 1
    peer: Callable[[int], Peer] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What one arm has found with one seed.

    Attributes:
        arm: Its name.
        seed: Its seed.
        trials: Trials that it had.
        failed: How many of them failed.
        seconds: Seconds of training and measuring, by the clock.
        metrics: Metrics of the best trial, test metrics included.
        params: Params of the best trial.
        path: The best trial so far, after each trial; None before the first result.
    """

    arm: str
    seed: int
    trials: int
    failed: int
    seconds: float
    metrics: Mapping[str, float]
    params: Mapping[str, Any]
    path: tuple[et.Trial | None, ...] = field(default=(), repr=False)


def run_arm(
    arm: Arm, evaluate: Any, objective: str, seed: int, *, trials: int, storage: str
) -> Row:
    """Run one search to its end, or go on with it.

    Args:
        arm: The search.
        evaluate: Trains one trial.
        objective: Such as ``"min error"``, or a weighted sum.
        seed: Seed of the search; trial k of every arm with this seed has the same random stream.
        trials: How many; fixed params get as many as they have restarts.
        storage: Where the study is kept.
    """
    study = et.Study(
        arm.algorithm(arm.space),
        objective,
        storage=storage,
        name=f"{arm.name}, seed {seed}",
        seed=seed,
        duplicates="allow" if arm.peer or arm.params else "redraw",
    )
    with study:
        if arm.params is not None:
            trials = arm.restarts
            for _ in range(trials - len(study.trials)):
                study.enqueue(dict(arm.params))
        if arm.peer is not None:
            _follow(arm.peer(seed), study, evaluate, trials)
        study.run(evaluate, trials, workers=1, max_failures=1.0)
        check_ended(study)
        return row_of(arm, study, seed)


def check_ended(study: et.Study) -> None:
    """Leave the program where a run was interrupted, so that no table counts it as whole."""
    if study.stop_reason != "trials":
        raise SystemExit(f"ended: {study.stop_reason}; run the same command to go on")


def _follow(peer: Peer, study: et.Study, evaluate: Any, trials: int) -> None:
    """Let another library propose every trial; what is stored already it is told again."""
    told: list[tuple[Mapping[str, Any], float | None]] = []
    for number in range(trials):
        params = peer(told, number)
        if number >= len(study.trials):
            study.enqueue(dict(params))
            study.run(evaluate, number + 1, workers=1, max_failures=1.0)
            check_ended(study)
        trial = study.trials[number]
        told.append((params, trial.values[0] if trial.values else None))


def row_of(arm: Arm, study: et.Study, seed: int) -> Row:
    """Return what a study has found."""
    best = study.best
    path: list[et.Trial | None] = []
    for trial in study.trials:
        before = path[-1] if path else None
        better = trial.values and (before is None or trial.values < (before.values or ()))
        path.append(trial if better else before)
    seconds = ("train_seconds", "evaluation_seconds")
    return Row(
        arm=arm.name,
        seed=seed,
        trials=len(study.trials),
        failed=sum(trial.failure is not None for trial in study.trials),
        seconds=sum(t.metrics.get(each, 0.0) for t in study.trials for each in seconds),
        metrics=dict(best.metrics),
        params=best.params,
        path=tuple(path),
    )


# -- tables ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric as tables show it.

    Attributes:
        metric: Its name in a row's metrics.
        title: Its head in a table.
        factor: What it is multiplied by.
        digits: Digits behind the point.
        lower: True when lower is better.
    """

    metric: str
    title: str
    factor: float = 1.0
    digits: int = 3
    lower: bool = True

    def of(self, row: Row) -> float:
        """Return its value in a row."""
        return self.factor * row.metrics[self.metric]


def summary(rows: Sequence[Row], shown: Sequence[Figure]) -> str:
    """Return what every arm has found: mean ± standard deviation over the seeds."""
    lines = []
    for name in dict.fromkeys(row.arm for row in rows):
        own = [row for row in rows if row.arm == name]
        lines.append(
            [
                name,
                str(own[0].trials),
                *(spread([figure.of(row) for row in own], figure.digits) for figure in shown),
                f"{np.mean([row.failed for row in own]):.1f}",
                spread([row.seconds for row in own], 0),
            ]
        )
    return table(["search", "trials", *(f.title for f in shown), "failed", "seconds"], lines)


def gains(rows: Sequence[Row], pairs: Sequence[tuple[str, str]], figure: Figure) -> str:
    """Return paired differences of two arms, turned so that above 0 the first one is better."""
    lines = []
    for first, second in pairs:
        gap = gain(rows, first, second, figure)
        if gap is not None:
            lines.append([f"{first} against {second}", *cells(gap, figure.digits)])
    return table([f"gain in {figure.title}", "mean (95 % interval)", "p", "better in"], lines)


def gain(rows: Sequence[Row], first: str, second: str, figure: Figure) -> Any:
    """Return by how much the first arm is better; None with fewer than two seeds of both."""
    ours, theirs = (
        {row.seed: figure.of(row) for row in rows if row.arm == name} for name in (first, second)
    )
    seeds = sorted(ours.keys() & theirs.keys())
    if len(seeds) < 2:
        return None
    a, b = [ours[s] for s in seeds], [theirs[s] for s in seeds]
    return paired(b, a) if figure.lower else paired(a, b)


def conclusions(rows: Sequence[Row], pairs: Sequence[tuple[str, str]], figure: Figure) -> list[str]:
    """Return for every pair whether the first arm is better, worse, or cannot be told apart.

    Wilcoxon's test decides, so with fewer than six seeds nothing can be told apart.
    """
    lines = []
    for first, second in pairs:
        gap = gain(rows, first, second, figure)
        if gap is None:
            continue
        verb = {1: "beats", 0: "cannot be told from", -1: "loses to"}[gap.sign]
        lines.append(
            f"{first} {verb} {second} in {figure.title}: better by {figures(gap, figure.digits)}."
        )
    return lines


def least_p(seeds: int) -> str:
    """Say what so few seeds cannot show."""
    return (
        f"Paired over {seeds} seeds, above 0 the first one is better; intervals are Student's; "
        f"Wilcoxon's two-sided p cannot be below {2 / 2**seeds:.2g} here; not corrected for the "
        "number of comparisons:"
    )


# -- the command line -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Script:
    """A script's command line.

    Attributes:
        name: Name of its file.
        scales: How much is run, by name; the first is the default.
    """

    name: str
    scales: Mapping[str, Any]

    def begin(
        self, arguments: Sequence[str] | None, *, picks: bool = False
    ) -> tuple[argparse.Namespace, Any]:
        """Read a command line, and return it with the scale that it names.

        Args:
            arguments: What was given; None for what the program was started with.
            picks: Whether `--only` may name the searches that are run.
        """
        parser = argparse.ArgumentParser(description=f"{self.name}; see experiments/README.md")
        add = parser.add_argument
        add("--scale", choices=self.scales, default=next(iter(self.scales)), help="how much")
        add("--seeds", type=int, help="run searches with seeds 1 to this")
        add("--data", help="directory of the data; see experiments/data.py")
        add("--runs", type=Path, default=RUNS, help="where the studies are kept")
        add("--markdown", type=Path, help="file whose section is replaced or added")
        if picks:
            add("--only", nargs="+", metavar="SEARCH", help="run these searches alone")
        options = parser.parse_args(arguments)
        options.runs.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(1)
        return options, self.scales[options.scale]

    def storage(self, options: argparse.Namespace, part: str = "") -> str:
        """Return where the studies are kept."""
        name = "_".join(filter(None, (Path(self.name).stem, options.scale, part)))
        return f"sqlite:///{options.runs / name}.db"

    def command(self, arguments: Sequence[str] | None) -> str:
        """Return the command line as it was given."""
        given = sys.argv[1:] if arguments is None else arguments
        return shlex.join(["python", f"experiments/{self.name}", *given])

    def head(self, arguments: Sequence[str] | None, seeds: int) -> str:
        """Return the first line of a section."""
        listed = ", ".join(str(seed) for seed in range(1, seeds + 1))
        return (
            f"{datetime.now(UTC):%Y-%m-%d}, {machine()}. Seeds: {listed}. "
            f"Command: `{self.command(arguments)}`."
        )

    def end(self, options: argparse.Namespace, title: str, text: str) -> None:
        """Print a section, and write it where the options say."""
        print(f"\n{text}")
        if options.markdown:
            write_section(options.markdown, f"{title}, scale {options.scale}", text)


def run_all(
    arms: Sequence[Arm],
    evaluate: Callable[[int], Any],
    objective: Any,
    seeds: Sequence[int],
    *,
    trials: int,
    storage: str,
) -> list[Row]:
    """Run every arm with every seed.

    Args:
        arms: What is compared.
        evaluate: Makes what trains one trial, from the seed of split and search.
        objective: Such as ``"min error"``, or a weighted sum.
        seeds: The seeds.
        trials: Trials of each search.
        storage: Where the studies are kept.
    """
    rows = []
    for seed in seeds:
        train = evaluate(seed)
        for arm in arms:
            row = run_arm(arm, train, objective, seed, trials=trials, storage=storage)
            rows.append(row)
            print(f"seed {seed} · {arm.name}: {row.seconds:.0f} s, {row.metrics}", flush=True)
    return rows
