"""The importance finds what decides, and says when it cannot know."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import evotune as et
from evotune.analysis.importance import Importance, importance
from evotune.errors import StudyError
from evotune.report.figures.importance import importance as bars
from evotune.space import Choice, Fixed, Float, Int, Space
from evotune.trial import Trial
from helpers_report import Recorded, definition, scatter

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


def test_what_matters_to_the_best_is_another_question() -> None:
    def value(p: dict[str, Any]) -> float:
        return p["c"] if math.log10(p["a"]) < -2 else 100 + 50 * p["b"]

    trials = scored(NUMBERS, 400, value)
    whole = importance(NUMBERS, trials)
    best = importance(NUMBERS, trials, method="ped_anova")
    assert whole.genes[0] == "a"
    assert whole.shares["b"] > whole.shares["c"]
    assert best.genes[0] == "c"
    assert best.shares["b"] < 0.05
    assert sum(best.shares.values()) == pytest.approx(1.0)
    assert best.is_reliable


def test_no_share_is_smaller_than_what_the_gene_has_alone() -> None:
    result = importance(NUMBERS, scored(NUMBERS, 200, lambda p: p["b"] * p["c"]))
    assert list(result.alone) == result.genes
    assert all(result.alone[g] <= result.shares[g] for g in result.genes)
    assert result.alone["b"] < 0.95 * result.shares["b"]


def test_another_method_is_refused() -> None:
    with pytest.raises(StudyError, match='"fanova" or "ped_anova", got'):
        importance(NUMBERS, [], method="shap")  # type: ignore[arg-type]


def test_a_study_tells_what_decides() -> None:
    study = et.Study(et.RandomSearch(NUMBERS), "max score", seed=1)
    study.run(lambda t: t.params["b"] + t.params["a"] / 100, trials=40)
    assert study.importance().genes[0] == "b"
    assert study.importance("ped_anova").genes[0] == "b"
    empty = et.Study(et.RandomSearch(NUMBERS), "max score")
    assert set(empty.importance().shares.values()) == {0.0}


def test_bars_show_per_cent_of_both() -> None:
    trials = scored(NUMBERS, 150, lambda p: p["b"] * p["c"])
    alone, together, among = bars(Recorded(definition(NUMBERS, "min loss"), trials)).data
    total = [a + b for a, b in zip(alone.x, together.x, strict=True)]
    assert sum(total) == pytest.approx(100.0)
    assert total == sorted(total, reverse=True)
    assert sum(among.x) == pytest.approx(100.0)


def test_genes_that_hardly_count_share_a_bar() -> None:
    space = Space({f"g{k}": Float(0, 1) for k in range(40)})
    trials = scored(space, 200, lambda p: p["g3"])
    figure = bars(Recorded(definition(space, "min loss"), trials))
    names = figure.layout.yaxis.ticktext
    assert names[0] == "g3"
    assert names[-1].endswith("other genes")
    assert sum(figure.data[2].x) == pytest.approx(100.0)


def test_printed_it_says_when_it_knows_nothing():
    sure = Importance({"lr": 0.75, "width": 0.25}, {"lr": 0.7, "width": 0.2}, 0.9, 50)
    assert str(sure) == " 75.0%  lr\n 25.0%  width"
    unsure = Importance({"lr": 0.75, "width": 0.25}, {"lr": 0.7, "width": 0.2}, -0.1, 25)
    assert str(unsure).endswith("not reliable: 25 trials, R² -0.10")
