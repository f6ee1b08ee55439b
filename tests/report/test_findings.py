"""The sentences at the top of a report say what is true, and nothing when there is nothing."""

from dataclasses import replace

import numpy as np

import evotune as et
from evotune.analysis.data import prepare
from evotune.report.findings import findings
from evotune.space import Float, Space
from evotune.trial import Failure, Trial
from helpers_report import Recorded, definition, scatter, simulate

SPACE = Space(rate=Float(0, 1), other=Float(0, 1))


def told(trials: list[Trial]) -> str:
    return "\n".join(findings(prepare(Recorded(definition(SPACE, "min loss"), trials))))


def with_values(trials: list[Trial], values: list[float]) -> list[Trial]:
    return [replace(t, values=(v,)) for t, v in zip(trials, values, strict=True)]


def test_what_decides_and_a_range_that_is_too_narrow() -> None:
    text = told([replace(t, values=(t.params["rate"],)) for t in scatter(SPACE, 400)])
    assert "What decides loss: rate (" in text
    assert "rate at the lower end of its range (0)" in text
    assert "other at" not in text


def test_a_best_that_lies_inside_is_not_called_at_the_edge() -> None:
    trials = [replace(t, values=(abs(t.params["rate"] - 0.4),)) for t in scatter(SPACE, 200)]
    assert "end of its range" not in told(trials)


def test_a_recent_best_and_a_long_pause() -> None:
    trials = scatter(SPACE, 100)
    falling, rising = np.linspace(1, 0, 100).tolist(), np.linspace(0, 1, 100).tolist()
    assert "The best result is recent" in told(with_values(trials, falling))
    assert "The last 99 trials of 100 brought no better loss" in told(with_values(trials, rising))


def test_failures_are_counted_with_their_most_frequent_reason() -> None:
    trials = scatter(SPACE, 40)
    for k, reason in enumerate(["no memory", "no memory", "typo"]):
        failure = Failure("exception", reason)
        trials[k] = replace(trials[k], state="failed", values=None, failure=failure)
    assert "3 of 40 trials failed, 2 of them with the same reason: no memory" in told(trials)


def test_a_settled_search_is_noticed() -> None:
    trials = simulate(60)
    same = [replace(t, genome=trials[0].genome, params=trials[0].params) for t in trials[40:]]
    text = "\n".join(findings(prepare(Recorded(definition(), trials[:40] + same))))
    assert "Diversity has fallen to 0 %" in text


def test_a_short_study_is_called_short_and_an_empty_one_empty() -> None:
    assert "Only 5 trials finished" in told(scatter(SPACE, 5))
    assert told([]) == "No trial is done yet, so there is nothing to draw."


def test_advice_is_for_searches_with_a_population(tmp_path):
    """Hybrid has neither a mutation nor a population that could be larger."""
    space = et.Space(a=et.Float(0.0, 1.0), b=et.Choice("x", "y"))
    study = et.tune(
        lambda trial: (trial.params["a"] - 0.3) ** 2 + (trial.params["b"] == "x"),
        space,
        "min loss",
        trials=60,
        algorithm=et.Hybrid(space),
        seed=3,
    )
    page = study.report(tmp_path / "page.html").read_text()
    assert "larger population" not in page
