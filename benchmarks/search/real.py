"""Real trainings to be tuned: 26 of them, recorded once, as tables that all searches share.

Support vector machines, perceptrons, forests, boosting, neighbours, linear models, six families of
models in one space, convolutions, recurrent networks and LoRA, on scikit-learn's data, MNIST,
FashionMNIST, ETTh1 and a text; 5 to 12 genes, many of them conditional. Each table in ``real/``
holds 306 trainings made by `real_record.py`. What a search sees is a regressor of the table (see
`real_regressors`) and noise; what counts is the regressor's value without the noise.

    python benchmarks/search/real.py                                 # the tables, and how good
    python benchmarks/search/run.py --set real --methods Hybrid optuna-tpe random --seeds 3
    python benchmarks/search/run.py --set real-live --methods Hybrid --tasks svc-digits

Noise is normal on the logarithm, of the standard deviation measured between two trainings of the
same params in the better half; it is drawn from the run's seed and the params, so that every
method finds the same value at the same place.

What this tells: how searches cope with spaces, branches, useless regions and noise as real
trainings have them. What it cannot tell: what lies between and beyond 276 configurations, where
the truth is a guess (``expected`` in the printed table is its best of 5,000 random points, to be
held beside the best training); how a search copes with noise that grows or has heavy tails, as
trainings near divergence do; and small margins, as the rank correlation of a regressor within the
better half is far below 1 for many tasks. A mean of trees and a Gaussian process is smooth in part,
as searches by a Gaussian process expect; the set ``real-trees`` has trees alone as the truth of
every task, which are flat in steps and never better than the best training. The set ``real-live``
trains for real: the validation value is minimised, the test value counts.

Half of the tasks are held out for the final judgement: no algorithm may be developed on them, so
they open only with ``held_out=True``.
"""

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from real_regressors import KINDS, Regressor, described, features, logarithms
from rich.console import Console
from rich.table import Table
from yahpo import HeldOutError

import evotune as et

Array = npt.NDArray[np.float64]

FOLDER = Path(__file__).resolve().parent / "real"
REGRESSORS = FOLDER / "regressors.json"
#: How many trainings of a table are of random params; they come first.
RANDOM = 200

#: Tasks that algorithms may be developed on. Both lists were written before anything was recorded.
DEVELOPMENT = (
    *("svc-digits", "mlp-breast-cancer", "forest-mnist", "boosting-diabetes", "knn-fashion"),
    *("elastic-net-diabetes", "families-digits", "families-diabetes", "families-fashion"),
    *("convolutions-fashion", "perceptron-digits", "forecast-temperature", "lora-vietnamese"),
)
HELD_OUT = (
    *("svc-fashion", "mlp-digits", "forest-fashion", "boosting-breast-cancer", "knn-mnist"),
    *("logistic-fashion", "families-breast-cancer", "families-wine", "families-mnist"),
    *("convolutions-digits", "perceptron-fashion", "forecast-load", "lora-english"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A table of trainings.

    Attributes:
        space: What was tuned.
        rows: One a training: ``params``, ``seed``, ``validation``, ``test``, ``seconds`` of CPU.
    """

    space: et.Space
    rows: Sequence[Mapping[str, Any]]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the JSON lines of a file, which need not be there yet."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def store(name: str, space: et.Space, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table of a task; the same rows give the same bytes."""
    FOLDER.mkdir(exist_ok=True)
    text = "".join(json.dumps(each) + "\n" for each in [space.to_json(), *rows])
    (FOLDER / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


@cache
def recorded(name: str) -> Recorded:
    """Return the table of a task.

    Raises:
        FileNotFoundError: It has not been recorded.
    """
    path = FOLDER / f"{name}.jsonl.gz"
    if not path.exists():
        raise FileNotFoundError(
            f"the training {name} has no table; record it by "
            f"python benchmarks/search/real_record.py --tasks {name}"
        )
    space, *rows = map(json.loads, gzip.decompress(path.read_bytes()).decode().splitlines())
    return Recorded(et.Space.from_json(space), rows)


def check(task: str, *, held_out: bool) -> None:
    """Refuse a task that there is not, or that is held out.

    Raises:
        HeldOutError: The task is held out, and ``held_out`` is not set.
        ValueError: There is no such task.
    """
    if task not in DEVELOPMENT + HELD_OUT:
        raise ValueError(f"there is no training {task!r}, but {' '.join(DEVELOPMENT + HELD_OUT)}")
    if task in HELD_OUT and not held_out:
        raise HeldOutError(
            f"the training {task} is held out: nothing may be developed on it; "
            f"use one of {' '.join(DEVELOPMENT)}"
        )


@dataclass(frozen=True)
class RealTask:
    """A recorded training as something to minimise.

    Args:
        task: Its name, such as ``svc-digits``.
        held_out: Open a task that is kept for the final judgement.
        truth: One of `real_regressors.KINDS`; None is the one that suits the table.
        seed: Seed of the noise.

    Raises:
        HeldOutError: The task is held out, and ``held_out`` is not set.
        ValueError: There is no such task.
    """

    task: str
    held_out: bool = field(default=False, kw_only=True)
    truth: str | None = field(default=None, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        check(self.task, held_out=self.held_out)

    @property
    def name(self) -> str:
        return f"real/{self.task}" if self.truth is None else f"real-{self.truth}/{self.task}"

    @property
    def space(self) -> et.Space:
        return recorded(self.task).space

    def for_run(self, seed: int) -> "RealTask":
        """Return the same task with the noise of a run."""
        return replace(self, seed=seed)

    def value(self, params: Mapping[str, Any]) -> float:
        """Return the validation value with noise."""
        return float(self.values([params])[0])

    def values(self, many: Sequence[Mapping[str, Any]]) -> Array:
        """Return the validation values of several params with noise."""
        noise = descriptions()[self.task]["noise"]
        return self.scores(many) * np.exp([noise * self._draw(params) for params in many])

    def scores(self, many: Sequence[Mapping[str, Any]]) -> Array:
        """Return the values without noise; no search sees them."""
        return np.exp(_regressor(self.task, self.truth)(features(self.space, many)))

    def _draw(self, params: Mapping[str, Any]) -> float:
        key = self.space.key(self.space.complete(params))
        digest = hashlib.sha256(repr((self.task, self.seed, key)).encode()).digest()
        return float(np.random.default_rng(int.from_bytes(digest[:8])).standard_normal())


@dataclass(frozen=True)
class LiveTask:
    """A training that is really made whenever a search asks for it.

    Args:
        task: Its name, such as ``svc-digits``.
        held_out: Open a task that is kept for the final judgement.
        seed: Seed of every training.

    Raises:
        HeldOutError: The task is held out, and ``held_out`` is not set.
        ValueError: There is no such task.
    """

    task: str
    held_out: bool = field(default=False, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    _measured: dict[Any, tuple[float, float]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check(self.task, held_out=self.held_out)

    @property
    def name(self) -> str:
        return f"real-live/{self.task}"

    @property
    def space(self) -> et.Space:
        return recorded(self.task).space

    @property
    def ends(self) -> tuple[float, float]:
        """Scores of which regret is 0 and 1: best test value of the table, median at random."""
        tests = [row["test"] for row in recorded(self.task).rows]
        return float(np.min(tests)), float(np.median(tests[:RANDOM]))

    def for_run(self, seed: int) -> "LiveTask":
        """Return the same task with the trainings of a run."""
        return LiveTask(self.task, held_out=self.held_out, seed=seed)

    def value(self, params: Mapping[str, Any]) -> float:
        """Return the validation value of a training."""
        return self._train(params)[0]

    def values(self, many: Sequence[Mapping[str, Any]]) -> Array:
        """Return the validation values of several params."""
        return np.array([self._train(params)[0] for params in many])

    def scores(self, many: Sequence[Mapping[str, Any]]) -> Array:
        """Return the test values of several params; no search sees them."""
        return np.array([self._train(params)[1] for params in many])

    def _train(self, params: Mapping[str, Any]) -> tuple[float, float]:
        import real_tasks  # PyTorch takes seconds to load

        key = self.space.key(self.space.complete(params))
        if key not in self._measured:
            training = real_tasks.TRAININGS[self.task]()
            self._measured[key] = real_tasks.measured(training, params, self.seed)
        return self._measured[key]


def problems(kind: str, tasks: Sequence[str], *, held_out: bool) -> list[RealTask | LiveTask]:
    """Return the problems of a set: ``real``, ``real-trees`` or ``real-live``.

    Args:
        kind: The set.
        tasks: Names; by default all that algorithms may be developed on.
        held_out: Allow tasks that are kept for the final judgement; they have to be named.
    """
    chosen = tasks or DEVELOPMENT
    if kind == "real-live":
        return [LiveTask(task, held_out=held_out) for task in chosen]
    truth = "trees" if kind == "real-trees" else None
    return [RealTask(task, held_out=held_out, truth=truth) for task in chosen]


@cache
def descriptions() -> dict[str, dict[str, Any]]:
    """Return what `described` says of each table."""
    found: dict[str, dict[str, Any]] = json.loads(REGRESSORS.read_text("utf-8"))
    return found


@cache
def _regressor(task: str, truth: str | None) -> Regressor:
    table, known = recorded(task), descriptions()[task]
    x = features(table.space, [row["params"] for row in table.rows])
    return Regressor(truth or known["kind"], x, logarithms(table.rows), known["theta"])


def fit_all() -> None:
    """Describe the tables that are new or have changed, in ``regressors.json``.

    After a change of the regressors themselves, delete that file first.
    """
    known = descriptions() if REGRESSORS.exists() else {}
    found = {}
    for name in DEVELOPMENT + HELD_OUT:
        path = FOLDER / f"{name}.jsonl.gz"
        if path.exists():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            is_same = known.get(name, {}).get("table") == digest
            found[name] = known[name] if is_same else _described(name) | {"table": digest}
    lines = [f"{json.dumps(name)}: {json.dumps(each)}" for name, each in found.items()]
    REGRESSORS.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def _described(name: str) -> dict[str, Any]:
    return described(recorded(name).space, recorded(name).rows)


def _expected(name: str) -> float:
    """Return the best value of 5,000 random points as the truth has it."""
    task, rng = RealTask(name, held_out=True), np.random.default_rng(3)
    return float(task.scores([task.space.sample(rng) for _ in range(5_000)]).min())


def main() -> None:
    """Print what the tables hold and how well their regressors predict."""
    table = Table(
        *("task", "genes (conditional)", "median", "best", "expected", "noise %", "CPU s"),
        *(f"rank {kind}" for kind in KINDS),
        "taken",
        title="validation values; rank correlation in cross-validation (in the better half)",
    )
    for name, known in descriptions().items():
        space, rows = recorded(name).space, recorded(name).rows
        values = np.array([row["validation"] for row in rows])
        ranks = [f"{known['rank'][k]:.2f} ({known['rank_better'][k]:.2f})" for k in KINDS]
        table.add_row(
            name,
            f"{len(space)} ({len(space.conditional)})",
            f"{np.median(values[:RANDOM]):.3f}",
            f"{values.min():.3f}",
            f"{_expected(name):.3f}",
            f"{100 * known['noise']:.1f}",
            f"{np.mean([row['seconds'] for row in rows]):.2f}",
            *ranks,
            known["kind"],
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
