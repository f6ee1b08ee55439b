"""Tests of the benchmark problems: the values that their authors' own code gives."""

import numpy as np
import pytest
import yahpo
from nasbench201 import OPERATIONS, NasBench201
from stored import stored

LCBENCH = {
    "batch_size": 91,
    "learning_rate": 0.0031622777,
    "max_dropout": 0.5,
    "max_units": 256,
    "momentum": 0.545,
    "num_layers": 3,
    "weight_decay": 0.050005,
}
TREE = {
    "booster": "gbtree",
    "num.impute.selected.cpo": "impute.mean",
    "nrounds": 500,
    "eta": 0.1,
    "gamma": 0.05,
    "lambda": 1.0,
    "alpha": 0.1,
    "subsample": 0.8,
    "max_depth": 6,
    "min_child_weight": 3.0,
    "colsample_bytree": 0.8,
    "colsample_bylevel": 0.8,
}


@pytest.fixture(autouse=True)
def _data() -> None:
    pytest.importorskip("onnxruntime")
    try:
        stored("yahpo_data")
        stored("nas_bench_201")
    except FileNotFoundError as error:
        pytest.skip(str(error))


def test_lcbench_reference_value() -> None:
    measured = yahpo.lcbench(167168).measure(LCBENCH, epoch=26)
    assert measured["time"] == pytest.approx(65.201, abs=1e-2)
    assert measured["val_accuracy"] == pytest.approx(44.216, abs=1e-2)
    assert measured["val_cross_entropy"] == pytest.approx(1.2942, abs=1e-3)
    value = yahpo.lcbench(167168).value(LCBENCH, epoch=26)
    assert value == pytest.approx(1 - 0.44216, abs=1e-4)


def test_lcbench_is_fully_trained_unless_told_otherwise() -> None:
    task = yahpo.lcbench("167168")
    assert task.value(LCBENCH) == task.value(LCBENCH, epoch=52) != task.value(LCBENCH, epoch=26)
    with pytest.raises(ValueError, match="epoch"):
        task.value(LCBENCH, epochs=26)


def test_xgboost_reference_value() -> None:
    task = yahpo.xgboost(12)
    assert task.value(TREE) == pytest.approx(1 - 0.9840, abs=1e-3)
    assert task.measure(TREE)["auc"] == pytest.approx(0.9939, abs=1e-3)


def test_dormant_genes_have_no_effect() -> None:
    task = yahpo.xgboost(16)
    linear = {**TREE, "booster": "gblinear"}
    assert "eta" not in task.space.params({**linear, "rate_drop": 0.1, "skip_drop": 0.1})
    assert task.value(linear) == task.value({**linear, "eta": 0.9, "skip_drop": 1.0})
    assert task.value({**TREE, "booster": "dart", "rate_drop": 0.5, "skip_drop": 0.5}) != (
        pytest.approx(task.value(TREE), abs=1e-4)
    )


def test_spaces_have_the_genes_of_the_benchmark() -> None:
    assert len(yahpo.lcbench(3945).space) == 7
    assert not yahpo.lcbench(3945).space.conditional
    space = yahpo.xgboost(12).space
    assert len(space) == 14
    assert set(space.conditional) == {
        *("eta", "gamma", "max_depth", "min_child_weight", "colsample_bytree"),
        *("colsample_bylevel", "rate_drop", "skip_drop"),
    }


@pytest.mark.parametrize("kind", ["lcbench", "xgboost"])
def test_many_at_once_are_as_one_by_one(kind: str) -> None:
    task = yahpo.YahpoTask(kind, yahpo.DEVELOPMENT[kind][0])
    rng = np.random.default_rng(0)
    many = [task.space.sample(rng) for _ in range(20)]
    assert task.values(many) == pytest.approx([task.value(params) for params in many], abs=1e-6)


def test_held_out_tasks_do_not_open_by_accident() -> None:
    with pytest.raises(yahpo.HeldOutError, match="held out"):
        yahpo.lcbench(167149)
    with pytest.raises(yahpo.HeldOutError, match="held out"):
        yahpo.xgboost("40923")
    assert yahpo.lcbench(167149, held_out=True).name == "lcbench/167149"
    with pytest.raises(ValueError, match="no task 1 "):
        yahpo.lcbench(1, held_out=True) if False else yahpo.YahpoTask(
            "lcbench", "1 ", held_out=True
        )


@pytest.mark.parametrize("kind", ["lcbench", "xgboost"])
def test_development_tasks_exist(kind: str) -> None:
    assert [yahpo.YahpoTask(kind, task).task for task in yahpo.DEVELOPMENT[kind]]


def test_nas_bench_201_holds_its_known_best_cell() -> None:
    problem = NasBench201()
    points = list(problem.space.points())
    scores = problem.scores(points)
    assert len(points) == 15_625
    assert scores.min() == pytest.approx(100 - 94.373, abs=2e-3)
    best = points[int(scores.argmin())]
    assert set(best.values()) <= set(OPERATIONS)
    assert problem.value(best) == problem.values([best])[0]
    assert np.corrcoef(problem.values(points), scores)[0, 1] > 0.5
