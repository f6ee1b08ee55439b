"""Tests of the rerun on FashionMNIST: a tiny run through all of it, its figures, conclusions."""

from dataclasses import replace
from pathlib import Path

import genetic_fashion_mnist
import pytest
import torch
from data import Images, fashion_mnist
from genetic_report import Results, Row, comparisons, conclusions, questions, summary
from genetic_setting import PAPER_RUNS, SCALES, PaperRun, Scale, arms, network, paper_space
from tables import write_section

TINY = Scale(train=300, validation=100, test=100, epochs=1, channels=(4, 4), dense=8)
TINY_RUNS = (
    PaperRun("baseline", 4, 2, 0.1),
    PaperRun("run 1", 3, 2, 0.1),
    PaperRun("run 2", 2, 2, 0.1),
    PaperRun("run 3", 2, 2, 0.2),
    PaperRun("run 4", 2, 3, 0.2),
)


@pytest.fixture(scope="module")
def images() -> Images:
    try:
        return fashion_mnist()
    except FileNotFoundError as error:
        pytest.skip(f"FashionMNIST is not on this machine: {error}")


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('runs') / 'runs.db'}"


@pytest.fixture(scope="module")
def rows(images: Images, storage: str) -> list[Row]:
    return genetic_fashion_mnist.run_all(
        TINY, images, (1, 2), arms(TINY_RUNS), storage=storage, workers=1
    )


def test_every_search_has_a_row_for_each_budget_and_seed(rows: list[Row]) -> None:
    found = {(row.arm, row.trials, row.seed) for row in rows}
    paper = {(run.label, run.trials) for run in TINY_RUNS}
    others = {(arm, n) for arm in other_arms() for n in (6, 5, 4, 3)}
    assert found == {(*key, seed) for key in paper | others for seed in (1, 2)}
    assert len(rows) == len(found)


def other_arms() -> list[str]:
    return [arm.name for arm in arms(TINY_RUNS) if not arm.name.startswith("paper")]


def test_budgets_are_equal_across_searches(rows: list[Row]) -> None:
    largest = {row.arm: row.epochs for row in rows if row.trials == TINY_RUNS[0].trials}
    assert set(largest) == {TINY_RUNS[0].label, *other_arms()}
    assert set(largest.values()) == {TINY_RUNS[0].trials * TINY.epochs}
    for run in TINY_RUNS:
        assert {r.epochs for r in rows if r.trials == run.trials} == {run.trials}


def test_a_larger_budget_is_never_worse(rows: list[Row]) -> None:
    for name in other_arms():
        for seed in (1, 2):
            mine = sorted((r for r in rows if (r.arm, r.seed) == (name, seed)), key=_trials)
            losses = [row.validation_loss for row in mine]
            assert losses == sorted(losses, reverse=True)


def _trials(row: Row) -> int:
    return row.trials


def test_the_figures_are_those_of_real_training(rows: list[Row]) -> None:
    best = min(rows, key=lambda row: row.validation_loss)
    assert best.validation_loss < 2.2  # chance is ln 10 = 2.30
    assert 0.2 < best.test_accuracy <= 1.0
    assert all(row.seconds > 0 for row in rows)


def test_only_the_papers_runs_train_the_same_settings_twice(rows: list[Row]) -> None:
    assert all(row.distinct == row.trials for row in rows if row.arm in other_arms())
    assert any(row.distinct < row.trials for row in rows)


def test_running_again_trains_nothing_and_gives_the_same_rows(
    rows: list[Row], images: Images, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evotune.SupervisedTask.__call__", _refuse)
    again = genetic_fashion_mnist.run_all(
        TINY, images, (1,), arms(TINY_RUNS), storage=storage, workers=1
    )
    assert again == [row for row in rows if row.seed == 1]


def _refuse(*_: object) -> None:
    raise AssertionError("a finished trial was trained again")


def test_the_section_has_all_tables_and_conclusions(rows: list[Row]) -> None:
    text = genetic_fashion_mnist.section(rows, TINY, TINY_RUNS, "python x.py")
    assert "300 training and 100 validation images" in text
    assert text.count("\n| paper ") == len(TINY_RUNS) + 4  # the last are run against run
    assert text.count("\n| ours, log") == 4 + 3
    assert "The paper's headline" in text


def test_one_seed_gives_a_table_without_comparisons(rows: list[Row]) -> None:
    text = genetic_fashion_mnist.section(
        [row for row in rows if row.seed == 1], TINY, TINY_RUNS, "python x.py"
    )
    assert "| ours " in text
    assert "Wilcoxon" not in text


# -- the setting ----------------------------------------------------------------------------------


def test_the_papers_ranges_and_runs() -> None:
    domains = paper_space().domains
    assert [(d.low, d.high, d.log) for d in domains.values()] == [
        (1e-4, 1.0, False),
        (0.0, 0.9, False),
        (0.0, 0.1, False),
    ]
    assert [run.population for run in PAPER_RUNS[1:]] == [10, 5, 5, 5]
    assert [run.generations for run in PAPER_RUNS[1:]] == [3, 2, 2, 5]
    assert [run.trials for run in PAPER_RUNS] == [60, 20, 8, 8, 17]


@pytest.mark.parametrize("name", SCALES)
def test_every_scale_fits_the_data_and_its_network_the_images(name: str) -> None:
    scale = SCALES[name]
    assert scale.train + scale.validation <= 60_000
    batch = torch.zeros((2, 28, 28), dtype=torch.uint8)
    assert network(scale)(batch).shape == (2, 10)


def test_the_full_network_is_that_of_pytorchs_mnist_example() -> None:
    assert sum(p.numel() for p in network(SCALES["full"]).parameters()) == 1_199_882


# -- the report, on made-up rows ------------------------------------------------------------------


def _made(test_accuracy: dict[str, float], loss: dict[str, float]) -> Results:
    """Six seeds; searches that are not named lie in the middle; seeds differ more than they."""
    rows = []
    for arm in arms(PAPER_RUNS):
        for trials in arm.budgets:
            for seed in range(1, 7):
                noise = 0.001 * (1, -2, 0, 2, -1, 0)[seed - 1] if arm.name in test_accuracy else 0.0
                accuracy = test_accuracy.get(arm.name, 0.80) + 0.02 * seed + noise
                lost = loss.get(arm.name, 0.5) - 0.02 * seed - noise
                scores = (lost, accuracy, accuracy)
                rows.append(Row(arm.name, trials, seed, 3 * trials, trials, 0, *scores, 9.0))
    return Results(rows)


def test_a_clear_advantage_is_called_one() -> None:
    results = _made({"ours": 0.85}, {"ours": 0.4})
    first, second, third, *_ = conclusions(results, PAPER_RUNS)
    assert (
        "ours beats paper baseline (20 × 5, 0.1) in test accuracy after 60 trials each: +5" in first
    )
    assert "beats it in validation loss: -0.1" in first
    assert "6 of 6 seeds" in first
    assert "ours beats random" in second
    assert "(20 × 5, 0.1) cannot be told from random" in third


def test_a_clear_disadvantage_is_called_one_too() -> None:
    results = _made({"ours": 0.70}, {"ours": 0.9})
    assert "ours is worse than random in test accuracy" in conclusions(results, PAPER_RUNS)[1]


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (0.6, 0.7, "is confirmed:"),
        (0.5, 0.7, "is confirmed for one of two runs"),
        (0.5, 0.5, "is not decided"),
        (0.4, 0.7, "is refuted"),
    ],
)
def test_the_headline_follows_the_figures(first: float, second: float, verdict: str) -> None:
    losses = {PAPER_RUNS[1].label: first, PAPER_RUNS[2].label: second}
    results = _made(dict.fromkeys(losses, 0.8), losses)
    assert verdict in conclusions(results, PAPER_RUNS)[-1]


def test_the_tables_show_mean_and_deviation() -> None:
    results = _made({}, {})
    line = next(x for x in summary(results).splitlines() if x.startswith("| paper baseline"))
    assert [cell.strip() for cell in line.split("|")][2:4] == ["60", "180"]
    assert "87.00 ± 3.7" in line
    asked = questions(PAPER_RUNS)
    assert len(comparisons(results, asked).splitlines()) == len(asked) + 2


def test_pairs_are_matched_by_seed_not_by_order() -> None:
    rows = [row for group in _made({}, {}).groups.values() for row in group]
    mixed = Results([replace(row) for row in reversed(rows)])
    question = questions(PAPER_RUNS)[0]
    assert mixed.compare(question, "test_accuracy").high == pytest.approx(0.0, abs=1e-9)


def test_a_section_replaces_the_one_of_its_title_and_leaves_the_others(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    file.write_text("# Results\n\nIntroduction.\n", encoding="utf-8")
    write_section(file, "One", "old")
    write_section(file, "Two", "other")
    write_section(file, "One", r"new \1")
    assert file.read_text(encoding="utf-8") == (
        "# Results\n\nIntroduction.\n\n## One\n\nnew \\1\n\n## Two\n\nother\n"
    )


def test_bad_options_are_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        genetic_fashion_mnist.main(["--seeds", "0"])
    assert "--seeds and --workers must be 1 or more" in capsys.readouterr().err
