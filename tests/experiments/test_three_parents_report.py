"""Tests of how the three-parents experiments are run, and of what their report says."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import three_parents_fashion_mnist as fashion_mnist
import three_parents_resnet20_cifar10 as resnet20
import three_parents_training
import three_parents_translation as translation
import torch
from three_parents_common import Experiment, accepted_arms, points, run_all, schedule
from three_parents_report import (
    BASELINE,
    RANDOM,
    RESTARTS,
    Claim,
    Results,
    Row,
    Story,
    comparisons,
    conclusions,
    schedules,
    section,
)
from three_parents_training import ImageSizes

import evotune as et

EVOLVED = ("PBT as in the paper", "PBT, ours")


# -- a small run through all of it ----------------------------------------------------------------


def _images(sizes: ImageSizes, seed: int, directory: str | None) -> Any:
    random = torch.Generator().manual_seed(seed)
    return tuple(
        (
            torch.randint(0, 256, (count, 3, 32, 32), generator=random).to(torch.uint8),
            torch.randint(0, 10, (count,), generator=random),
        )
        for count in (32, 40, 40)
    )


@pytest.fixture
def made_up_images(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = resnet20.Scale(ImageSizes(32, 40, 40), 3, 2, blocks=1, width=2, batch_size=16)
    monkeypatch.setattr(three_parents_training, "images", _images)
    monkeypatch.setitem(resnet20.SCALES, "small", tiny)


def _experiment() -> Experiment:
    command = resnet20.COMMAND
    return command.make(command.options([]))


@pytest.mark.usefixtures("made_up_images")
def test_every_search_spends_equal_epochs_and_goes_on_where_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {"storage": f"sqlite:///{tmp_path / 'runs.db'}", "workers": 1}
    rows = run_all(_experiment(), (1,), **where)
    best = RESTARTS.format(3)
    assert [row.arm for row in rows] == [BASELINE, best, RANDOM, *EVOLVED]
    assert [row.epochs for row in rows] == [2, 6, 6, 6, 6]
    assert rows[0].validation >= rows[1].validation
    for row in rows[2:]:
        assert 1 <= len(row.schedule) <= 2
    monkeypatch.setattr(three_parents_training.ImageTraining, "__call__", _refuse)
    assert run_all(_experiment(), (1,), **where) == rows


def _refuse(*_: object) -> None:
    raise AssertionError("a finished trial was trained again")


@pytest.mark.usefixtures("made_up_images")
def test_the_command_line_prints_and_writes_its_section(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "RESULTS.md"
    arguments = ["--workers", "1", "--population", "2", "--epochs", "1", "--seeds", "2"]
    resnet20.COMMAND.run([*arguments, "--runs", str(tmp_path), "--markdown", str(file)])
    text = file.read_text(encoding="utf-8")
    assert text.startswith("## Three parents: ResNet-20 on CIFAR-10, scale small\n")
    assert "the paper's improvement" in text
    assert "12.5 % in the paper (8 to 7)" in text
    assert text.count("| PBT, ours ") == 1 + 3 + 2  # summary, comparisons, genes
    assert "1 epochs a line. 2 lines" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["--seeds", "--population", "--epochs"])
def test_bad_options_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        translation.COMMAND.options([name, "0"])
    assert "must be 1 or more" in capsys.readouterr().err


def test_digits_compares_four_searches_after_their_last_epoch(tmp_path: Path) -> None:
    command = fashion_mnist.COMMAND
    options = command.options(["--population", "4", "--epochs", "2", "--workers", "1"])
    assert options.seeds == 10
    rows = run_all(
        command.make(options), (1,), storage=f"sqlite:///{tmp_path / 'digits.db'}", workers=1
    )
    assert [row.arm for row in rows] == [RANDOM, *fashion_mnist.EVOLVED]
    assert {row.epochs for row in rows} == {8}
    assert {len(row.schedule) for row in rows} == {2}
    assert all(set(row.schedule[0]) == set(fashion_mnist.space().domains) for row in rows)
    assert len({str(params) for params in rows[0].schedule}) == 1  # random search holds its genes
    assert all(0 < row.test < 1 for row in rows)


def test_ray_is_asked_for_by_name_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    command = fashion_mnist.COMMAND
    with pytest.raises(SystemExit, match=r"pip install \"ray\[tune\]"):
        command.make(command.options(["--ray"]))


# -- the searches ---------------------------------------------------------------------------------


def test_every_search_begins_with_the_accepted_settings() -> None:
    accepted = resnet20.ACCEPTED
    for arm in accepted_arms(resnet20.space(), accepted, 3):
        study = et.Study(arm.algorithm(), "min error", seed=1, duplicates="allow")
        trials = [study.ask() for _ in range(3)]
        assert trials[0].params == accepted
        if not arm.accepted:
            assert all(trial.params != accepted for trial in trials[1:])


# -- models and their schedules -------------------------------------------------------------------


def _trial(number: int, donor: int | None, lr: float, error: float | None, **fields: Any) -> Any:
    genes = {"lr": lr}
    metrics = {} if error is None else {"error": error, "test_error": error + 0.1}
    return et.Trial(
        number,
        genes,
        genes,
        state="failed" if error is None else "done",
        weights_from=donor,
        metrics=metrics,
        values=None if error is None else (error,),
        **{"budget": 1} | fields,
    )


def test_a_schedule_follows_the_weights_back() -> None:
    trials = [
        _trial(0, None, 0.4, 0.9),
        _trial(1, None, 0.3, 0.8),
        _trial(2, 1, 0.2, 0.7),
        _trial(3, 0, 0.1, None),
        _trial(4, 2, 0.05, 0.5),
    ]
    found = {point.trial: point for point in points(trials, "error")}
    assert [(n, p.epoch, p.validation) for n, p in found.items()] == [
        (0, 1, 0.9),
        (1, 1, 0.8),
        (2, 2, 0.7),
        (4, 3, 0.5),
    ]
    assert found[4].test == pytest.approx(0.6)
    assert [params["lr"] for params in schedule(trials, found[4])] == [0.3, 0.2, 0.05]


def test_a_model_on_the_way_has_the_epochs_until_then() -> None:
    reports = tuple({"step": k, "error": e, "test_error": e} for k, e in enumerate((0.9, 0.5, 0.6)))
    trials = [_trial(0, None, 0.4, 0.6, budget=3, reports=reports)]
    found = list(points(trials, "error"))
    assert [(point.epoch, point.validation) for point in found] == [(1, 0.9), (2, 0.5), (3, 0.6)]
    assert len(schedule(trials, found[1])) == 2


# -- the report, on made-up rows ------------------------------------------------------------------

STORY = Story(
    title="made up",
    metric="error",
    unit="points",
    factor=100,
    setting="Nothing.",
    evolved=("PBT",),
    against=(BASELINE, RANDOM),
    paper=(8.0, 7.0),
    claims=(Claim("lr", "falls"), Claim("lr", "grows"), Claim("lr", "near", 0.1)),
)


def _rows(factor: float, path: Sequence[float] = (0.4, 0.2, 0.1)) -> list[Row]:
    line: tuple[Mapping[str, Any], ...] = tuple({"lr": lr} for lr in path)
    rows = []
    for seed in range(1, 7):
        base = 0.4 + 0.01 * seed
        rows.append(Row(BASELINE, seed, 3, base, base))
        rows.append(Row(RANDOM, seed, 9, base, base + 0.001 * (-1) ** seed))
        rows.append(Row("PBT", seed, 9, base, base * (factor + 0.001 * seed), line))
    return rows


def _said(rows: Sequence[Row]) -> list[str]:
    return conclusions(Results(rows), STORY)


def test_a_hit_is_called_one() -> None:
    first, second, *_ = _said(_rows(0.85))
    assert first.startswith("PBT reaches the paper's improvement: +14.7 % on average over 6 seeds")
    assert "PBT beats accepted practice in test error: better by +6." in first
    assert "PBT beats random search" in second


def test_a_miss_is_called_one() -> None:
    first, *_ = _said(_rows(0.95))
    assert first.startswith("PBT misses the paper's improvement: +4.7 %")
    assert "PBT beats accepted practice" in first
    worse, *_ = _said(_rows(1.1))
    assert "misses the paper's improvement: -10.4 %" in worse
    assert "PBT is worse than accepted practice" in worse
    equal = _said([replace(row, test=0.5 + 0.01 * (row.seed % 2)) for row in _rows(1.0)])
    assert "PBT cannot be told from accepted practice" in equal[0]


@pytest.mark.parametrize(
    ("path", "verdicts"),
    [
        ((0.4, 0.2, 0.1), ("is seen", "is not seen", "is seen")),
        ((0.1, 0.2, 0.4), ("is not seen", "is seen", "is not seen")),
        ((0.1, 0.3, 0.1), ("is not seen", "is not seen", "is seen")),
        ((0.4, 0.2, 0.151), ("is seen", "is not seen", "is not seen")),
    ],
)
def test_claims_about_schedules_are_judged(path: Sequence[float], verdicts: Sequence[str]) -> None:
    for line, verdict in zip(_said(_rows(0.9, path))[-3:], verdicts, strict=True):
        assert verdict in line
    assert "in 6 of 6 seeds" in _said(_rows(0.9))[-3]


def test_the_schedules_table_has_start_middle_and_end() -> None:
    last = schedules(Results(_rows(0.9, (0.4, 0.3, 0.2, 0.1))), STORY).splitlines()[-1]
    cells = [cell.strip() for cell in last.split("|")[1:-1]]
    assert cells == ["PBT", "lr", "0.4", "0.2", "0.1", "0.25 (0.25 to 0.25)", "6, 0 of 6"]


def test_gains_are_relative_and_paired_by_seed() -> None:
    rows = list(reversed(_rows(0.9)))
    assert Results(rows).gains("PBT", BASELINE) == pytest.approx(
        [0.099, 0.098, 0.097, 0.096, 0.095, 0.094]
    )
    line = comparisons(Results(rows), STORY).splitlines()[2]
    assert "+9.6 (+9.4 to +9.9)" in line
    assert "6 of 6" in line


def test_one_seed_gives_no_comparison() -> None:
    text = section(STORY, [row for row in _rows(0.9) if row.seed == 1], "python x.py")
    assert "A pilot with one seed" in text
    assert "Wilcoxon" not in text
    assert "| PBT " in text


@pytest.mark.parametrize(
    "command",
    [
        resnet20.COMMAND,
        translation.COMMAND,
        fashion_mnist.COMMAND,
    ],
)
@pytest.mark.parametrize("scale", ["small", "full"])
def test_every_scale_can_be_made(command: Any, scale: str) -> None:
    options: argparse.Namespace = command.options(["--scale", scale])
    experiment = command.make(options)
    assert experiment.epochs == options.epochs
    assert f"{options.population} lines" in experiment.story.setting
    if scale == "full":
        assert options.population == 100
