"""Tests of searches of equal cost, and of the networks and spaces that they search."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import forecast_etth1 as forecast
import numpy as np
import pytest
import structural_moving_mnist as moving
import three_parents_rpv as rpv
import torch
from data import pathology_reports, transformer
from searches import Arm, Figure, Row, conclusions, gain, gains, run_all, run_arm, summary

import evotune as et

SPACE = et.Space(x=et.Float(0.0, 1.0))
_SHIFTS = (("a", 0.0), ("b", 0.3))
SHOWN = Figure("error", "error", digits=3)


def _evaluate(trial: et.RunningTrial) -> dict[str, float]:
    x = trial.params["x"]
    if x > 0.9:
        raise et.Failed("too large")
    return {"error": x, "test_error": x + 0.5}


def _halving(seed: int) -> Any:
    """Propose what another library might: half of the best so far."""

    def propose(
        told: Sequence[tuple[Mapping[str, Any], float | None]], number: int
    ) -> Mapping[str, Any]:
        known = [value for _, value in told if value is not None]
        return {"x": min(known) / 2 if known else 1.0 - 0.2 * number}

    return propose


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'runs.db'}"


def test_a_peer_is_told_every_result_and_goes_on(storage: str) -> None:
    arm = Arm("peer", SPACE, peer=_halving)
    few = run_arm(arm, _evaluate, "min error", 1, trials=3, storage=storage)
    assert (few.trials, few.failed) == (3, 1)
    assert few.params["x"] == pytest.approx(0.4)
    more = run_arm(arm, _evaluate, "min error", 1, trials=5, storage=storage)
    assert (more.trials, more.failed) == (5, 1)
    assert more.params["x"] == pytest.approx(0.1)
    found = [None if trial is None else trial.params["x"] for trial in more.path]
    assert found == [None, *map(pytest.approx, (0.8, 0.4, 0.2, 0.1))]


def test_fixed_params_are_trained_as_often_as_they_have_restarts(storage: str) -> None:
    arm = Arm("fixed", SPACE, params={"x": 0.3}, restarts=3)
    row = run_arm(arm, _evaluate, "min error", 1, trials=50, storage=storage)
    assert row.trials == 3
    assert row.metrics["test_error"] == pytest.approx(0.8)
    assert run_arm(arm, _evaluate, "min error", 1, trials=50, storage=storage) == row


def test_all_arms_run_with_all_seeds_at_equal_trials(storage: str) -> None:
    arms = (Arm("random", SPACE), Arm("genetic", SPACE, lambda s: et.Genetic(s)))
    rows = run_all(arms, lambda seed: _evaluate, "min error", (1, 2), trials=6, storage=storage)
    assert [(row.arm, row.seed, row.trials) for row in rows] == [
        (name, seed, 6) for seed in (1, 2) for name in ("random", "genetic")
    ]
    text = summary(rows, [SHOWN])
    assert text.count("\n") == 3


def test_an_interrupted_run_makes_no_row(storage: str) -> None:
    def interrupt(trial: et.RunningTrial) -> float:
        raise KeyboardInterrupt

    with pytest.raises((SystemExit, KeyboardInterrupt)):
        run_arm(Arm("random", SPACE), interrupt, "min error", 1, trials=3, storage=storage)


def _row(arm: str, seed: int, error: float) -> Row:
    return Row(arm, seed, 1, 0, 1.0, {"error": error}, {})


def test_gains_are_turned_so_that_more_is_better() -> None:
    rows = [_row("a", 1, 0.1), _row("a", 2, 0.2), _row("b", 1, 0.4), _row("b", 2, 0.5)]
    lower = gain(rows, "a", "b", SHOWN)
    assert lower.mean == pytest.approx(0.3)
    assert gain(rows, "a", "b", Figure("error", "e", lower=False)).mean == pytest.approx(-0.3)
    assert "+0.300" in gains(rows, [("a", "b")], SHOWN)
    assert "a cannot be told from b" in conclusions(rows, [("a", "b")], SHOWN)[0]
    rows += [
        _row(name, seed, 0.1 * seed + shift) for seed in range(3, 9) for name, shift in _SHIFTS
    ]
    assert "a beats b" in conclusions(rows, [("a", "b")], SHOWN)[0]
    assert "b loses to a" in conclusions(rows, [("b", "a")], SHOWN)[0]
    assert gain(rows[:1], "a", "b", SHOWN) is None


# -- spaces and networks --------------------------------------------------------------------------


def test_every_drawn_structure_of_clips_is_a_network() -> None:
    rng = np.random.default_rng(0)
    clips = torch.randint(0, 256, (2, 20, 18, 32)).float()
    for _ in range(6):
        params = moving.BOTH.params(moving.BOTH.sample(rng))
        model = moving.ClipNetwork(params)
        assert model(clips).shape == (2, 9)
        convolutions = sum(isinstance(m, torch.nn.Conv2d) for m in model.modules())
        assert convolutions == len(params["frames"])


def test_what_is_not_searched_stays_as_before_tuning() -> None:
    rng = np.random.default_rng(1)
    genes, structure = moving.hyperparameter_genes(), moving.structure_genes()
    hyper = moving.held(genes, moving.STRUCTURE)
    params = moving.whole(hyper.params(hyper.sample(rng)))
    assert {name: params[name] for name in moving.STRUCTURE} == moving.STRUCTURE
    assert moving.ClipNetwork(params)(torch.zeros(2, 20, 18, 32)).shape == (2, 9)
    rest = moving.held(structure, moving.HYPERPARAMETERS)
    params = rest.params(rest.sample(rng))
    assert {name: params[name] for name in moving.HYPERPARAMETERS} == moving.HYPERPARAMETERS
    assert set(moving.whole(params)) == {*moving.HYPERPARAMETERS, *moving.STRUCTURE}


@pytest.mark.parametrize("scale", rpv.SCALES.values())
def test_the_reference_and_the_optimum_lie_in_the_space(scale: rpv.Scale) -> None:
    for params in (rpv.REFERENCE, rpv.OPTIMIZED):
        genome = rpv.space(scale).complete(params)
        assert rpv.space(scale).params(genome) == params


def test_the_jets_network_learns_nothing_of_its_shape_wrongly() -> None:
    model = rpv.network(rpv.OPTIMIZED)
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 2)


def test_a_forecaster_begins_with_no_change() -> None:
    model = forecast.Forecaster(forecast.REFERENCE).eval()
    hours = torch.randn(3, forecast.LONGEST, forecast.CHANNELS)
    expected = hours[:, -1:, -1].expand(3, forecast.HORIZON)
    assert torch.equal(model(hours), expected)


def test_a_forecaster_looks_back_no_further_than_its_length() -> None:
    model = forecast.Forecaster({**forecast.REFERENCE, "length": 24}).eval()
    torch.nn.init.normal_(model.output.weight)
    hours = torch.randn(2, forecast.LONGEST, forecast.CHANNELS)
    before = model(hours)
    changed = hours.clone()
    changed[:, :-24] += 1
    assert torch.equal(model(changed), before)
    changed[:, -24] += 1
    assert not torch.equal(model(changed), before)


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("constant", [1.0, 1.0, 1.0, 1.0]),
        ("halving", [1.0, 0.5, 0.25, 0.125]),
        ("cosine", [1.0, 0.853553, 0.5, 0.146447]),
    ],
)
def test_schedules_by_hand(name: str, factors: list[float]) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = forecast.scheduled(4, optimizer, {"schedule": name})
    rates = []
    for _ in factors:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx(factors, abs=1e-5)


def test_tpe_searches_the_same_space() -> None:
    pytest.importorskip("optuna")
    propose = forecast.tpe(1)
    told: list[Any] = []
    for number in range(12):
        params = propose(told, number)
        assert forecast.SPACE.params(forecast.SPACE.complete(params)) == params
        told.append((params, None if number == 3 else params["lr"]))


def test_windows_follow_one_another() -> None:
    scale = forecast.Scale(train=500, measured=300, epochs=1, trials=1, seeds=1)
    try:
        parts, hours = forecast.windows(scale, None), transformer()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    mean, deviation = hours[: forecast.ENDS[0]].mean(0), hours[: forecast.ENDS[0]].std(0)
    past, ahead = parts[1]
    assert past.shape[1:] == (forecast.LONGEST, forecast.CHANNELS)
    first = (hours[forecast.ENDS[0] :][: forecast.HORIZON, -1] - mean[-1]) / deviation[-1]
    assert np.allclose(ahead[0], first, atol=1e-5)
    last = (hours[forecast.ENDS[0] - 1] - mean) / deviation
    assert np.allclose(past[0, -1], last, atol=1e-5)


# -- data -----------------------------------------------------------------------------------------


def test_reports_have_three_tasks_in_ten_folds() -> None:
    try:
        tasks = pathology_reports()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert [len(task.classes) for task in tasks] == [990, 860, 675]
    assert [len(set(task.classes.tolist())) for task in tasks] == [13, 2, 4]
    assert all(set(task.folds.tolist()) == set(range(10)) for task in tasks)


@pytest.mark.parametrize("read", [pathology_reports, transformer])
def test_missing_files_are_named(read: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="needs the files"):
        read(tmp_path)
