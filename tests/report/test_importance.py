"""The importance finds what decides, and says when it cannot know."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evotune.report.importance import importance
from evotune.space import Choice, Fixed, Float, Int, Space
from evotune.trial import Trial
from helpers_report import scatter

NUMBERS = Space(a=Float(1e-4, 1, log=True), b=Float(0, 1), c=Int(1, 9), fixed=Fixed(1))


def scored(space: Space, count: int, value: Any, seed: int = 0) -> list[Trial]:
    trials = scatter(space, count, seed=seed)
    return [replace(t, values=(float(value(t.params)),)) for t in trials]


def test_the_gene_that_decides_comes_first_and_shares_sum_to_one() -> None:
    trials = scored(NUMBERS, 150, lambda p: 3 * math.log10(p["a"]) + p["b"])
    result = importance(NUMBERS, trials)
    assert result.genes[0] == "a"
    assert set(result.genes) == {"a", "b", "c"}
    assert sum(result.shares.values()) == pytest.approx(1.0)
    assert result.shares["a"] > 0.7
    assert result.shares["c"] < 0.02
    assert result.quality > 0.8
    assert result.is_reliable


def test_an_interaction_is_seen() -> None:
    trials = scored(NUMBERS, 300, lambda p: (math.log10(p["a"]) + 2) * (p["b"] - 0.5))
    shares = importance(NUMBERS, trials).shares
    assert min(shares["a"], shares["b"]) > 0.3


def test_one_diverged_trial_changes_nothing_much() -> None:
    trials = scored(NUMBERS, 150, lambda p: p["b"])
    worst = max(range(150), key=lambda k: trials[k].values or ())
    wild = [replace(t, values=(1e30,)) if k == worst else t for k, t in enumerate(trials)]
    assert importance(NUMBERS, wild).shares == importance(NUMBERS, trials).shares


def test_unordered_and_conditional_genes_count() -> None:
    space = Space(
        kind=Choice("x", "y", "z"), depth=Float(0, 1, when={"kind": "x"}), noise=Float(0, 1)
    )
    penalty = {"x": 0.0, "y": 1.0, "z": 2.0}
    trials = scored(space, 200, lambda p: penalty[p["kind"]] + p.get("depth", 0.5))
    shares = importance(space, trials).shares
    assert list(shares)[:2] == ["kind", "depth"]
    assert shares["noise"] < 0.02


def test_noise_alone_is_not_reliable() -> None:
    rng = np.random.default_rng(3)
    result = importance(NUMBERS, scored(NUMBERS, 100, lambda _: rng.random()))
    assert result.quality < 0.3
    assert not result.is_reliable


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_trials_give_no_shares(count: int) -> None:
    result = importance(NUMBERS, scored(NUMBERS, count, lambda p: p["b"]))
    assert set(result.shares.values()) == {0.0}
    assert math.isnan(result.quality)
    assert not result.is_reliable


def test_a_constant_objective_gives_no_shares() -> None:
    result = importance(NUMBERS, scored(NUMBERS, 50, lambda _: 1.0))
    assert set(result.shares.values()) == {0.0}


def test_trials_without_a_finite_value_are_left_out() -> None:
    trials = scored(NUMBERS, 60, lambda p: p["b"])
    odd = [replace(t, values=(math.inf,)) for t in trials[:5]]
    odd += [replace(t, state="failed", values=None) for t in trials[5:10]]
    result = importance(NUMBERS, odd + trials[10:])
    assert result.trials == 50
    assert result == importance(NUMBERS, trials[10:])


def test_each_objective_has_its_own_shares_and_a_seed_fixes_them() -> None:
    trials = [
        replace(t, values=(t.params["b"], float(t.params["c"]))) for t in scatter(NUMBERS, 80)
    ]
    assert importance(NUMBERS, trials).genes[0] == "b"
    assert importance(NUMBERS, trials, 1).genes[0] == "c"
    assert importance(NUMBERS, trials, 1, seed=5) == importance(NUMBERS, trials, 1, seed=5)
