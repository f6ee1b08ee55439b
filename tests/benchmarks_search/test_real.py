"""Tests of the recorded trainings: the tables load, are of their spaces, and answer searches."""

import methods
import numpy as np
import pytest
import real
from problem import problems
from scipy.stats import spearmanr
from yahpo import HeldOutError

TASKS = real.DEVELOPMENT + real.HELD_OUT
THERE = [name for name in TASKS if (real.FOLDER / f"{name}.jsonl.gz").exists()]


def test_every_task_of_development_has_a_table_and_a_regressor():
    assert set(real.DEVELOPMENT) <= set(real.descriptions()) <= set(THERE)


@pytest.mark.parametrize("name", THERE)
def test_a_table_is_of_its_space(name):
    table = real.recorded(name)
    assert len(table.rows) == 306
    assert 5 <= len(table.space) <= 12
    for row in table.rows:
        assert table.space.params(table.space.complete(row["params"])) == row["params"]
        assert row["validation"] > 0
        assert row["test"] > 0


def test_the_tables_are_small():
    assert sum(path.stat().st_size for path in real.FOLDER.iterdir()) < 1_000_000


def test_the_trainings_have_the_spaces_of_the_tables():
    pytest.importorskip("torch")
    from real_tasks import TRAININGS

    assert set(TRAININGS) == set(TASKS)
    assert len(set(TASKS)) == len(TASKS)
    for name in THERE:
        assert TRAININGS[name]().space == real.recorded(name).space


@pytest.mark.parametrize("name", ["elastic-net-diabetes", "svc-digits"])
def test_a_training_repeats_what_was_recorded(name):
    pytest.importorskip("torch")
    from real_tasks import TRAININGS, measured

    for row in real.recorded(name).rows[:4]:
        validation, test = measured(TRAININGS[name](), row["params"], row["seed"])
        # Another version of the libraries may decide an example or two differently.
        assert validation == pytest.approx(row["validation"], abs=0.005)
        assert test == pytest.approx(row["test"], abs=0.005)


def test_held_out_tasks_open_only_when_asked_for():
    assert {problem.name for problem in problems("real")} == {f"real/{n}" for n in real.DEVELOPMENT}
    for kind in ("real", "real-trees", "real-live"):
        with pytest.raises(HeldOutError, match="held out"):
            problems(kind, ["knn-mnist"])
        (opened,) = problems(kind, ["knn-mnist"], held_out=True)
        assert opened.name == f"{kind}/knn-mnist"
    with pytest.raises(ValueError, match="there is no training 'knn'"):
        problems("real", ["knn"])


@pytest.mark.parametrize("kind", ["real", "real-trees"])
def test_a_regressor_knows_what_it_has_seen(kind):
    for problem in problems(kind):
        rows = real.recorded(problem.task).rows
        predicted = problem.scores([row["params"] for row in rows])
        assert spearmanr(predicted, [row["validation"] for row in rows]).statistic > 0.85
        assert predicted.min() > 0


def test_noise_is_of_the_run_and_the_params():
    task = real.RealTask("families-digits")
    rng = np.random.default_rng(0)
    many = [task.space.sample(rng) for _ in range(300)]
    first, again, other = (task.for_run(seed).values(many) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.any(first == other)
    ratio = np.log(first / task.scores(many))
    assert np.std(ratio) == pytest.approx(real.descriptions()[task.task]["noise"], rel=0.2)
    assert abs(np.mean(ratio)) < 0.3 * np.std(ratio)
    active = [task.space.params(genome) for genome in many]
    assert np.array_equal(first, task.for_run(1).values(active))


def test_a_run_meets_its_noise_and_is_scored_without():
    task = real.RealTask("svc-digits")
    found = [methods.minimise("random", task, 20, seed) for seed in (0, 1)]
    assert found[0].values != found[1].values
    rng = np.random.default_rng(0)
    drawn = [task.space.sample(rng) for _ in range(20)]
    seen = task.for_run(0).values(drawn)
    assert found[0].values == pytest.approx(seen.tolist())
    assert found[0].curve[-1] == pytest.approx(task.scores([drawn[int(np.argmin(seen))]])[0])


def test_a_live_task_trains_and_counts_the_test():
    pytest.importorskip("torch")
    live = real.LiveTask("elastic-net-diabetes").for_run(7)
    params = real.recorded("elastic-net-diabetes").rows[0]["params"]
    assert live.value(params) == live.values([params])[0] != live.scores([params])[0]
    best, median = live.ends
    assert best < median
