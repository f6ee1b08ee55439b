"""Tests of the time to a fixed quality: when a run ends, what it counts, what the tables say."""

import math
import time
from pathlib import Path

import pytest
import three_parents_lenet_mnist as lenet
import three_parents_p3b1 as p3b1
import torch
from three_parents_models.topology import TASKS, Reports, convolutional
from three_parents_targets import (
    Found,
    Limit,
    Run,
    Search,
    Setting,
    measure,
    multiply_adds,
    retrained,
    search,
    until,
)
from three_parents_targets_report import Paper, Scale, Target, conclusions, savings, section
from torch import Tensor

import evotune as et

SPACE = et.Space(speed=et.Int(1, 9))


def _loss(value: float = 0.1) -> Tensor:
    return torch.tensor(value)


def _burn() -> Tensor:
    end = time.process_time() + 0.002
    while time.process_time() < end:
        pass
    return _loss()


# -- one run --------------------------------------------------------------------------------------


def test_a_run_ends_after_two_checks_in_a_row() -> None:
    answers = iter([False, True, False, True, True, False])
    got = until(_loss, lambda: next(answers), every=10, limit=Limit(60.0))
    assert got["batches"] == 50
    assert got["seconds"] >= 0
    assert got["check_seconds"] >= 0


def test_a_run_that_takes_too_long_gives_up() -> None:
    with pytest.raises(et.Failed, match="not reached within"):
        until(_burn, lambda: False, every=5, limit=Limit(0.03))


@pytest.mark.parametrize("missing", [0.001, 1.0])
def test_a_run_that_takes_too_long_counts_by_what_it_misses(missing: float) -> None:
    got = until(_burn, lambda: False, every=5, limit=Limit(0.03), missing=lambda: missing)
    assert got["time"] == pytest.approx(0.03 * (1 + missing))


def test_a_run_that_ends_in_time_counts_with_its_seconds() -> None:
    got = until(_burn, lambda: True, every=5, limit=Limit(60.0), missing=lambda: 1.0)
    assert got["time"] == got["seconds"] > 0


def test_a_network_that_is_too_slow_gives_up_at_once() -> None:
    steps = []

    def step() -> Tensor:
        steps.append(1)
        return _burn()

    with pytest.raises(et.Failed, match="too slow"):
        until(step, lambda: False, every=100, limit=Limit(0.1, least=1000))
    assert len(steps) < 10


@pytest.mark.parametrize(("loss", "batches"), [(2.0, 20), (math.nan, 10)])
def test_a_hopeless_loss_gives_up(loss: float, batches: int) -> None:
    with pytest.raises(et.Failed, match=f"by batch {batches}"):
        until(lambda: _loss(loss), lambda: False, every=10, limit=Limit(60.0, loss=1.0))


# -- networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", range(2, 10))
def test_convolutions_of_all_kernels_keep_the_size(kernel: int) -> None:
    params = {
        "kernel1": kernel,
        "kernel2": kernel,
        "filters1": 2,
        "filters2": 3,
        "dense": 4,
        "dropout": 0.1,
    }
    model = convolutional((1, 28, 28), 10, 2, params)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    sizes = [m.in_features for m in model if isinstance(m, torch.nn.Linear)]
    assert sizes == [3 * 7 * 7, 4]


def test_multiply_adds_by_hand() -> None:
    params = {**lenet.SMALL, "kernel1": 5, "kernel2": 3}
    expected = 25 * 8 * 28**2 + 9 * 8 * 16 * 14**2 + 16 * 49 * 64 + 64 * 10
    assert multiply_adds(lenet.network(params), torch.zeros(1, 1, 28, 28)) == expected


def test_the_reports_network_has_a_shared_layer_and_three_tasks() -> None:
    model = Reports(400, 12, (5, 6, 7), 0.0)
    for task, classes in enumerate(TASKS.values()):
        assert model(torch.zeros(3, 400), task).shape == (3, classes)
    expected = 400 * 12 + sum(
        12 * u + u * u + u * c for u, c in zip((5, 6, 7), (13, 2, 4), strict=True)
    )
    weights = sum(p.numel() for p in model.parameters() if p.dim() == 2)
    assert weights == expected
    bound = math.sqrt(6 / (400 + 12))
    assert 0.9 * bound < model.shared[0].weight.abs().max() <= bound


def test_the_cost_of_a_report_is_the_mean_over_tasks() -> None:
    params = {"shared": 12, "site": 5, "laterality": 6, "grade": 7}
    costs = [4800 + 60 + 25 + 65, 4800 + 72 + 36 + 12, 4800 + 84 + 49 + 28]
    expected = sum(c * n for c, n in zip(costs, (990, 860, 675), strict=True)) / 2525
    assert p3b1.forward_cost(params) == pytest.approx(expected)


def test_a_model_stops_counting_where_it_cannot_reach_any_more() -> None:
    x, y = torch.zeros(1500, 1, 28, 28), torch.zeros(1500, dtype=torch.long)
    seen = []

    class Guess(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(len(images))
            return torch.eye(10)[torch.full((len(images),), self.answer)]

        answer = 0

    model = Guess()
    assert lenet.reaches(model, (x, y), 0.986)
    assert lenet.accuracy_of(model, (x, y)) == 1.0
    model.answer = 3
    seen.clear()
    assert not lenet.reaches(model, (x, y), 0.986)
    assert len(seen) == 1
    assert model.training


def test_scores_are_reached_where_all_are() -> None:
    asked = {"site": (0.2, 0.5), "grade": (0.4, 0.6)}
    assert p3b1.reached({"site": (0.2, 0.5), "grade": (0.5, 0.6)}, asked)
    assert not p3b1.reached({"site": (0.9, 0.9), "grade": (0.5, 0.59)}, asked)


def test_folds_of_settings_are_none_of_the_searches() -> None:
    assert [p3b1.fold_of(k) for k in range(7)] == [3, 4, 5, 6, 7, 8, 9]
    try:
        train, validation, test = p3b1.parts(4, None)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    for task, size in enumerate((990, 860, 675)):
        counts = [len(part[task][0]) for part in (train, validation, test)]
        assert sum(counts) == size
        assert counts[1] == pytest.approx(size / 10, abs=1)
        assert counts[2] == pytest.approx(size / 10, abs=1)


# -- searches and tables --------------------------------------------------------------------------


def _training(split: int | None, limit: Limit):  # type: ignore[no-untyped-def]
    def train(trial: et.RunningTrial) -> dict[str, float]:
        speed = trial.params["speed"]
        if speed < 3:
            raise et.Failed("too slow")
        shift = 0.0 if split is None else 0.01 * split
        seconds = 10.0 / speed + shift
        return {
            "seconds": seconds,
            "time": seconds,
            "check_seconds": 0.1,
            "batches": 100 * (10 - speed),
            "multiply_adds": 1e9 * (10 - speed),
            "test": 0.99,
        }

    return train


def _target() -> Target:
    return Target(
        title="t",
        about="About it.",
        quality="test, %",
        paper=Paper(100.0, 40.0),
        settings=(
            Setting("reference", SPACE, {"speed": 3}, Limit(9.0)),
            Setting("slow", SPACE, {"speed": 1}, Limit(9.0)),
        ),
        searches=(
            Search("random", SPACE, et.RandomSearch),
            Search("ours", SPACE, lambda space: et.Genetic(space, population_size=2), "random"),
        ),
        training=_training,
    )


@pytest.fixture
def found(tmp_path: Path) -> tuple[list[Run], list[Found], str]:
    target, storage = _target(), f"sqlite:///{tmp_path / 'runs.db'}"
    runs = [r for s in target.settings for r in measure(s, _training, range(2), storage)]
    searched = [
        search(how, _training, seed, trials=5, limit=Limit(9.0), storage=storage)
        for how in target.searches
        for seed in (1, 2)
    ]
    where = {"seeds": range(2), "storage": storage, "limit": Limit(9.0)}
    return runs + retrained(searched, target.searches, _training, **where), searched, storage


def test_failed_runs_count_with_the_limit(found: tuple[list[Run], list[Found], str]) -> None:
    slow = [run for run in found[0] if run.setting == "slow"]
    assert [(run.reached, run.seconds) for run in slow] == [(False, 9.0)] * 2
    assert all(math.isnan(run.batches) for run in slow)


def test_savings_pair_the_seeds(found: tuple[list[Run], list[Found], str]) -> None:
    reference = [run for run in found[0] if run.setting == "reference"]
    fast = [Run("f", 1, True, 70, 1.0, reference[1].seconds / 4, 0.1, 99.0)]
    assert savings(fast, reference, "seconds") == [pytest.approx(75.0)]
    assert savings(fast, reference, "batches") == [pytest.approx(90.0)]


def test_searches_report_their_best(found: tuple[list[Run], list[Found], str]) -> None:
    for each in found[1]:
        assert each.trials == 5
        assert each.params is not None
        assert each.best == pytest.approx(10 / each.params["speed"] + 0.01 * each.seed)
    ours = [run for run in found[0] if run.setting == "ours"]
    assert len(ours) == 4  # two searches, two fresh runs each


def test_a_search_that_reaches_nothing_takes_what_misses_least(tmp_path: Path) -> None:
    def training(split: int | None, limit: Limit):  # type: ignore[no-untyped-def]
        def train(trial: et.RunningTrial) -> dict[str, float]:
            missing = 1 / trial.params["speed"]
            return {"seconds": limit.seconds, "time": limit.seconds * (1 + missing)}

        return train

    how = Search("ours", SPACE, et.RandomSearch, begin={"speed": 5})
    storage = f"sqlite:///{tmp_path / 'runs.db'}"
    got = search(how, training, 1, trials=9, limit=Limit(9.0), storage=storage)
    assert (got.missed, got.params) == (9, {"speed": 9})
    assert math.isnan(got.best)
    assert et.open(storage, "ours, search 1").trials[0].params == {"speed": 5}


def test_what_is_missing_is_a_share() -> None:
    asked = {"site": (0.2, 0.5), "grade": (0.4, 0.8)}
    got = {"site": (0.1, 0.9), "grade": (0.4, 0.6)}
    assert p3b1.missing(got, asked) == pytest.approx((0.5 + 0.25) / 4)
    assert p3b1.missing(asked, asked) > 0


def test_the_section_says_wins_and_losses(found: tuple[list[Run], list[Found], str]) -> None:
    target = _target()
    lines = "\n".join(conclusions(target, *found[:2]))
    assert "slow saves -170.0 %" in lines
    assert "reached in 0 of 2 runs" in lines
    assert "ours against random at equal trials" in lines
    scale = Scale(2, 2, 5, 2, Limit(9.0))
    text = section(target, scale, *found[:2], "python x.py")
    assert "−60.0 %" in text
    assert "| reference " in text
    assert "best params" in text


def test_a_second_call_trains_nothing_anew(found: tuple[list[Run], list[Found], str]) -> None:
    def refuse(split: int | None, limit: Limit):  # type: ignore[no-untyped-def]
        def train(trial: et.RunningTrial) -> dict[str, float]:
            raise AssertionError("trained again")

        return train

    runs, searched, storage = found
    again = measure(_target().settings[0], refuse, range(2), storage)
    assert again == runs[:2]
    how = _target().searches[1]
    assert search(how, refuse, 2, trials=5, limit=Limit(9.0), storage=storage) == searched[3]
