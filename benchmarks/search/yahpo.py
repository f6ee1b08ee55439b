"""LCBench and the xgboost space of YAHPO Gym: surrogates of real training, read from ONNX files.

Pfisterer, Schneider, Moosbauer, Binder, Bischl (2022), arXiv 2109.03670. Each scenario is one
network that predicts what training a configuration on a task would have measured. All tasks that
are not named in `DEVELOPMENT` are held out for the final judgement: no algorithm may be developed
on them, so they open only with ``held_out=True``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from stored import stored

import evotune as et

Array = npt.NDArray[np.float64]

#: Tasks that algorithms may be developed on, by scenario.
DEVELOPMENT = {
    "lcbench": (
        *("167168", "189873", "189906", "3945", "34539", "7593", "126025", "126026", "126029"),
        *("146212", "167104", "167190", "168330", "168331", "168868", "168910", "189354", "189862"),
        "189905",
    ),
    "xgboost": (
        *("12", "16", "31", "54", "1067", "1487", "1489", "1501", "6332", "23381", "40499"),
        *("40981", "41143"),
    ),
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """How one surrogate is read.

    Attributes:
        folder: Where it lies below ``yahpo_data``.
        task: Name of the input that picks the task.
        categories: Inputs of ``x_cat``, in the surrogate's order.
        numbers: Inputs of ``x_cont``, in the surrogate's order.
        targets: Outputs, in the surrogate's order.
        full: Fidelities, each with its full value.
        fidelity: The one that costs training, with its smallest and its full value.
        accuracy: The output whose error is minimised.
        perfect: Value of that output without any error.
    """

    folder: str
    task: str
    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    targets: tuple[str, ...]
    full: Mapping[str, float]
    fidelity: tuple[str, float, float]
    accuracy: str
    perfect: float


SCENARIOS = {
    "lcbench": Scenario(
        folder="lcbench",
        task="OpenML_task_id",
        categories=("OpenML_task_id",),
        numbers=(
            *("epoch", "batch_size", "learning_rate", "momentum"),
            *("weight_decay", "num_layers", "max_units", "max_dropout"),
        ),
        targets=(
            *("time", "val_accuracy", "val_cross_entropy", "val_balanced_accuracy"),
            *("test_cross_entropy", "test_balanced_accuracy"),
        ),
        full={"epoch": 52},
        fidelity=("epoch", 1, 52),
        accuracy="val_accuracy",
        perfect=100.0,
    ),
    "xgboost": Scenario(
        folder="rbv2_xgboost",
        task="task_id",
        categories=("task_id", "booster", "num.impute.selected.cpo"),
        numbers=(
            *("nrounds", "eta", "gamma", "lambda", "alpha", "subsample", "max_depth"),
            *("min_child_weight", "colsample_bytree", "colsample_bylevel"),
            *("rate_drop", "skip_drop", "trainsize", "repl"),
        ),
        targets=(
            *("acc", "bac", "auc", "brier", "f1", "logloss"),
            *("timetrain", "timepredict", "memory"),
        ),
        full={"trainsize": 1.0, "repl": 10},
        fidelity=("trainsize", 0.03, 1.0),
        accuracy="acc",
        perfect=1.0,
    ),
}


class HeldOutError(ValueError):
    """A held-out task was asked for without saying so."""


@dataclass(frozen=True)
class YahpoTask:
    """One task of a scenario, as something to minimise.

    Args:
        kind: ``lcbench`` or ``xgboost``.
        task: Number of the OpenML task, as text.
        held_out: Open a task that is kept for the final judgement.

    Raises:
        HeldOutError: The task is held out, and ``held_out`` is not set.
        ValueError: The scenario has no such task.
        FileNotFoundError: The data are not on this machine.

    Attributes:
        name: Such as ``lcbench/3945``.
        space: The genes; a gene without effect at the values of others has a condition.
        fidelity: What can be made cheaper: its name, smallest and full value.
    """

    kind: str
    task: str
    held_out: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.task not in DEVELOPMENT[self.kind] and not self.held_out:
            raise HeldOutError(
                f"task {self.task} of {self.kind} is held out: nothing may be developed on it; "
                f"use one of {' '.join(DEVELOPMENT[self.kind])}"
            )
        if self.task not in _tasks(self.kind):
            raise ValueError(
                f"{self.kind} has no task {self.task}, but {' '.join(_tasks(self.kind))}"
            )

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.task}"

    @property
    def fidelity(self) -> tuple[str, float, float]:
        return SCENARIOS[self.kind].fidelity

    @cached_property
    def space(self) -> et.Space:
        return _space(self.kind)

    def value(self, params: Mapping[str, Any], **fidelity: float) -> float:
        """Return the validation error to be minimised, 0 to 1.

        An error and not a negative accuracy, as some peers take logarithms of what they minimise.

        Args:
            params: At least the active genes; dormant ones are ignored.
            **fidelity: ``epoch`` 1..52 of LCBench; ``trainsize`` 0.03..1 and ``repl`` 1..10 of
                xgboost; full where it is left out.
        """
        return float(self.values([params], **fidelity)[0])

    def values(self, many: Sequence[Mapping[str, Any]], **fidelity: float) -> Array:
        """Return the errors of several params at once, ``(params,)``."""
        scenario = SCENARIOS[self.kind]
        accuracy = self._predict(many, fidelity)[:, scenario.targets.index(scenario.accuracy)]
        return 1.0 - accuracy / scenario.perfect

    def measure(self, params: Mapping[str, Any], **fidelity: float) -> dict[str, float]:
        """Return every target of the surrogate by its name, as it predicts them.

        For LCBench ``time`` in seconds and ``val_accuracy`` in percent, for xgboost ``timetrain``
        in seconds and ``acc``, among others.
        """
        targets = SCENARIOS[self.kind].targets
        return dict(zip(targets, self._predict([params], fidelity)[0].tolist(), strict=True))

    def _predict(self, many: Sequence[Mapping[str, Any]], fidelity: Mapping[str, float]) -> Array:
        scenario = SCENARIOS[self.kind]
        unknown = set(fidelity) - set(scenario.full)
        if unknown:
            raise ValueError(f"{self.kind} has the fidelities {', '.join(scenario.full)}")
        constant = {**scenario.full, **fidelity, scenario.task: self.task}
        # An inactive gene is passed as 0 or "#na#": its value would bend the prediction.
        rows = [self.space.params(params) | constant for params in many]
        codes = [(name, _encoding(self.kind)[name]) for name in scenario.categories]
        categories = [[code[row.get(name, "#na#")] for name, code in codes] for row in rows]
        numbers = [[row.get(name, 0.0) for name in scenario.numbers] for row in rows]
        inputs = {"x_cat": np.array(categories, np.int32), "x_cont": np.array(numbers, np.float32)}
        return np.asarray(_session(self.kind).run(None, inputs)[0], dtype=float)


def lcbench(task: str | int, *, held_out: bool = False) -> YahpoTask:
    """Return a task of LCBench: seven genes of an MLP trained for 52 epochs, all always active.

    Zimmer, Lindauer, Hutter (2021), arXiv 2006.13799. See `YahpoTask`.
    """
    return YahpoTask("lcbench", str(task), held_out=held_out)


def xgboost(task: str | int, *, held_out: bool = False) -> YahpoTask:
    """Return a task of the xgboost scenario: 14 genes, eight of them under the booster's condition.

    See `YahpoTask`.
    """
    return YahpoTask("xgboost", str(task), held_out=held_out)


@cache
def _tasks(kind: str) -> tuple[str, ...]:
    """Return all tasks that the surrogate was trained on."""
    task = SCENARIOS[kind].task
    return tuple(
        next(h["choices"] for h in _described(kind)["hyperparameters"] if h["name"] == task)
    )


@cache
def _space(kind: str) -> et.Space:
    scenario = SCENARIOS[kind]
    when: dict[str, dict[str, tuple[str, ...]]] = {}
    for condition in _described(kind)["conditions"]:
        allowed = condition.get("values") or [condition["value"]]
        when.setdefault(condition["child"], {})[condition["parent"]] = tuple(allowed)
    return et.Space(
        {
            gene["name"]: _domain(gene, when.get(gene["name"]))
            for gene in _described(kind)["hyperparameters"]
            if gene["name"] not in {scenario.task, *scenario.full}
        }
    )


def _domain(gene: Mapping[str, Any], when: Mapping[str, tuple[str, ...]] | None) -> Any:
    if gene["type"] == "categorical":
        return et.Choice(*gene["choices"], when=when)
    domain = {"uniform_int": et.Int, "uniform_float": et.Float}[gene["type"]]
    return domain(gene["lower"], gene["upper"], log=gene["log"], when=when)


@cache
def _described(kind: str) -> dict[str, Any]:
    """Return the scenario's search space as its authors wrote it (ConfigSpace 0.4 JSON)."""
    return _json(kind, "config_space.json")


@cache
def _encoding(kind: str) -> dict[str, dict[str, int]]:
    return _json(kind, "encoding.json")


def _json(kind: str, file: str) -> dict[str, Any]:
    path = stored(f"yahpo_data/{SCENARIOS[kind].folder}") / file
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@cache
def _session(kind: str) -> Any:
    """Return the surrogate in a session of one thread, made once."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = stored(f"yahpo_data/{SCENARIOS[kind].folder}") / "model.onnx"
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
