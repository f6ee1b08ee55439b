"""Tests of the reruns on Digits: tiny runs through all of them, and what they measure."""

import numpy as np
import proxy_objective_digits as proxy
import pytest
import torch
import weights_digits as weights
from data import digits

import evotune as et

FEW = weights.Scale(seeds=1, epochs=2, trials=14, examples=200)


def test_the_parts_of_digits_are_apart_and_keep_the_classes() -> None:
    parts = digits(seed=1)
    assert [len(y) for _, y in parts] == [1078, 359, 360]
    assert all(len(np.unique(y)) == 10 for _, y in parts)
    assert parts[0][0].max() == 1.0
    images = [{image.tobytes() for image in x} for x, _ in parts]
    assert not images[0] & images[2]
    assert (digits(seed=1)[2][1] == parts[2][1]).all()
    assert (digits(seed=2)[2][1] != parts[2][1]).any()


def test_gain_scales_the_first_weights_only() -> None:
    params = proxy.SPACE.params(proxy.SPACE.sample(np.random.default_rng(0)))
    torch.manual_seed(0)
    one = proxy.network(params | {"gain": 1.0})
    torch.manual_seed(0)
    two = proxy.network(params | {"gain": 2.0})
    assert torch.equal(two[0].weight, 2 * one[0].weight)
    assert torch.equal(two[0].bias, one[0].bias)


def test_synflow_and_training_judge_the_same_configurations() -> None:
    scale = proxy.Scale(seeds=2, configurations=4, epochs=1, examples=200)
    rows = [proxy.run(scale, seed) for seed in (1, 2)]
    for row in rows:
        assert len(row.picks) == 4
        assert all(0 <= f1 <= 1 for f1 in row.picks.values())
    text = proxy.section(rows, scale, "head")
    assert "SynFlow's top 3, trained" in text
    assert "Rank correlation" in text


def test_training_picks_the_best_by_validation() -> None:
    scale = proxy.Scale(seeds=1, configurations=4, epochs=4, examples=400)
    train, validation, _ = digits(1, scale.examples)
    task = et.SupervisedTask(
        proxy.network,
        loss="cross_entropy",
        optimizer="adam",
        train=train,
        validation=validation,
        test=validation,  # so that the pick is the maximum
        epochs=scale.epochs,
        metrics="f1",
    )
    trained, _ = proxy.searched(task, "max f1", 1, scale.configurations)
    assert proxy.best(trained, "f1").metrics["test_f1"] == max(
        trial.metrics["f1"] for trial in trained
    )


def test_a_vector_of_weights_is_put_in_order() -> None:
    judge = weights.Judge(1, FEW)
    reach = weights.reaches(judge.model)
    assert len(reach) == 2410
    judge.loss(reach)
    first, _, last = judge.model
    for layer in (first, last):
        for tensor in layer.parameters():
            assert torch.allclose(tensor, torch.tensor(weights.REACH / layer.in_features**0.5))


def test_zero_weights_know_nothing() -> None:
    judge = weights.Judge(1, FEW)
    assert judge.loss(np.zeros(2410)) == pytest.approx(np.log(10))


def test_adam_learns() -> None:
    row = weights.adam(weights.Judge(1, FEW), 1, weights.Scale(1, 20, 0, 200))
    assert row.passes == 60
    assert row.f1 > 0.6


@pytest.mark.parametrize("name", list(weights.SEARCHES))
def test_evolution_is_measured_at_adam_s_budget_and_at_the_end(name: str) -> None:
    early, late = weights.evolve(name, weights.Judge(1, FEW), 1, FEW)
    assert (early.passes, late.passes) == (6, 14)
    assert late.loss <= early.loss


def test_the_table_compares_with_adam() -> None:
    rows = [
        weights.Row(name, seed, passes, 1.0, f1 + seed / 100, 1.0)
        for seed in (1, 2, 3)
        for name, passes, f1 in (("Adam", 6, 0.9), ("genetic", 6, 0.2), ("genetic", 14, 0.3))
    ]
    text = weights.section(rows, "head")
    assert "-0.700 (-0.700 to -0.700)" in text
    assert "0 of 3" in text
