"""Spaces and evaluate functions that several tests use."""

import math
from typing import Any

import evotune as et


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
