"""The scale of regret: what 50,000 random evaluations find on each problem.

r = (best found − best of random)/(median of random − best of random), of minimised scores: 1 is a
random point, 0 the best of 50,000 of them, below 0 is better than that.
"""

import json
from pathlib import Path

import numpy as np
from problem import Problem

from evotune.checks import write_whole

RUNS = Path(__file__).resolve().parents[1] / "runs" / "search"
POINTS, BATCH = 50_000, 5_000


def regrets(curve: list[float], problem: str) -> np.ndarray:
    """Return the regret of each score of a curve.

    Raises:
        FileNotFoundError: The problem has not been scaled.
    """
    best, median = json.loads(_path(problem).read_text("utf-8"))
    return (np.array(curve) - best) / (median - best)


def measure(problem: Problem) -> None:
    """Evaluate the random points of a problem, unless that was done before; takes seconds."""
    if _path(problem.name).exists():
        return
    ends = getattr(problem, "ends", None) or _ends(problem)
    _path(problem.name).parent.mkdir(parents=True, exist_ok=True)
    write_whole(_path(problem.name), json.dumps(ends))


def _ends(problem: Problem) -> tuple[float, float]:
    scores = getattr(problem, "scores", problem.values)
    rng = np.random.default_rng(0)
    found = np.concatenate(
        [scores([problem.space.sample(rng) for _ in range(BATCH)]) for _ in range(POINTS // BATCH)]
    )
    return float(found.min()), float(np.median(found))


def _path(problem: str) -> Path:
    return RUNS / "scale" / f"{problem.replace('/', '-')}.json"
