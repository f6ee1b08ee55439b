"""Spaces and evaluate functions that several tests use."""

import math
from collections.abc import Sequence
from typing import Any

import evotune as et
import helpers_warm


def small_space() -> et.Space:
    return et.Space(
        lr=et.Float(1e-4, 1.0, log=True),
        momentum=et.Float(0.0, 0.99),
        booster=et.Choice("tree", "linear"),
        depth=et.Int(1, 15, when={"booster": "tree"}),
    )


def loss(params: dict[str, Any]) -> float:
    depth = params.get("depth", 20)
    return (math.log10(params["lr"]) + 2) ** 2 + params["momentum"] + abs(depth - 7) / 10


def train(trial: et.RunningTrial) -> dict[str, float]:
    return {"loss": loss(trial.params), "noise": (trial.seed % 1000) / 1000}


class EndsAtReport:
    """A stopping rule that ends every trial at its n-th report; also its bar."""

    def __init__(self, number: int) -> None:
        self.number, self.count = number, 0

    def fresh(self, objectives: Any) -> "EndsAtReport":
        return self

    def tell(self, trial: et.Trial) -> None:
        pass

    def bar(self) -> "EndsAtReport":
        return EndsAtReport(self.number)

    def stops(self, report: Any) -> bool:
        self.count += 1
        return self.count == self.number


def last_error_of(code: str, modules: Sequence[str] = helpers_warm.STUDY) -> str:
    """Return the last line that a new process with this code writes to its standard error."""
    return helpers_warm.run("-c", code, modules=modules).stderr.splitlines()[-1]


def decisions(study: et.Study) -> list[tuple[Any, ...]]:
    """Everything about a study that must be the same when it is run again, so no times."""
    return [
        (
            t.number,
            t.state,
            dict(t.genome),
            dict(t.params),
            t.seed,
            t.parents,
            dict(t.note),
            t.values,
            {k: v for k, v in t.metrics.items() if not k.endswith("_seconds")},
            t.repeat_of,
        )
        for t in study.trials
    ]
