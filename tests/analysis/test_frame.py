import math
from dataclasses import replace
from typing import Any

import pandas as pd

from evotune.analysis.frame import to_frame
from evotune.space import Bool, Chain, Int, Space
from evotune.trial import Failure, Origin, Trial
from helpers_report import simulate


def test_one_row_a_trial_with_metrics_and_genes() -> None:
    trials = simulate(60)
    frame = to_frame(trials)
    assert frame["number"].tolist() == list(range(60))
    assert frame["generation"].tolist() == [k // 20 for k in range(60)]
    done = frame[frame["state"] == "done"]
    assert done["accuracy"].notna().all()
    assert {"train_seconds", "evaluation_seconds", "params_lr", "params_optimizer"} <= set(frame)
    assert frame["params_momentum"].isna().tolist() == [
        t.params["optimizer"] != "sgd" for t in trials
    ]
    assert frame["parents"][45] == trials[45].parents
    assert frame["ended"][3] - frame["started"][3] == pd.Timedelta(seconds=4)
    failed = frame[frame["state"] == "failed"]
    assert set(failed["failure"]) <= {"worker died", "loss is nan after 2 epochs"}
    assert done["failure"].isna().all()


def test_numbers_stay_numbers() -> None:
    frame = to_frame(simulate(40))
    assert frame["number"].dtype == "int64"
    assert frame["generation"].dtype == "Int64"
    assert frame["params_lr"].dtype == "float64"
    assert frame["params_width"].dtype == "int64"


def test_without_generations_there_is_no_such_column() -> None:
    assert "generation" not in to_frame([replace(t, origin=Origin()) for t in simulate(3)])


def test_no_trials_make_an_empty_table() -> None:
    frame = to_frame([])
    assert len(frame) == 0
    assert {"number", "state", "failure"} <= set(frame)


def test_names_that_are_taken_do_not_hide_each_other() -> None:
    metrics = {"state": 1.5, "number": 2.5, "params_lr": 3.5, "loss": math.nan}
    trial = Trial(4, {"lr": 0.1}, {"lr": 0.1}, "failed", metrics=metrics,
                  failure=Failure("died", "gone"), weights_from=2, budget=3)  # fmt: skip
    row = to_frame([trial]).iloc[0]
    assert (row["number"], row["state"], row["params_lr"]) == (4, "failed", 0.1)
    assert (row["metrics_number"], row["metrics_state"], row["metrics_params_lr"]) == (
        2.5,
        1.5,
        3.5,
    )
    assert (row["weights_from"], row["budget"], row["failure"]) == (2, 3.0, "gone")


def test_it_survives_csv(tmp_path) -> None:
    path = tmp_path / "trials.csv"
    to_frame(simulate(30)).to_csv(path, index=False)
    again = pd.read_csv(path)
    assert again["accuracy"].sum() > 0
    assert len(again) == 30


def test_whole_numbers_stay_whole_beside_gaps() -> None:
    first, second, third = simulate(3)
    trials = [
        replace(first, params={"depth": 3, "seed": 2**53 + 1, "big": 2**70, "flag": True, "x": 1}),
        replace(second, params={"depth": 4, "x": 2}),
        replace(third, params={"x": 3}),
    ]
    frame = to_frame(trials)
    assert frame["params_depth"].dtype == frame["params_seed"].dtype == "Int64"
    assert frame["params_depth"].tolist() == [3, 4, pd.NA]
    assert frame["params_seed"][0] == 2**53 + 1
    assert frame["params_big"][0] == 2**70
    assert frame["params_flag"][0] is True
    assert frame["params_x"].dtype == "int64"


def test_layers_are_one_text() -> None:
    space = Space(net=Chain(0, 3, conv={"filters": Int(8, 64), "norm": Bool()}, pool={}))
    conv = {"block": "conv", "filters": 8, "norm": True}
    frame = to_frame([trial_of(space, net=[conv, {"block": "pool"}]), trial_of(space, net=[])])
    assert frame["params_net"].tolist() == ["conv 8 norm → pool", "no layer"]


def trial_of(space: Space, **params: Any) -> Trial:
    genome = space.complete(params)
    return Trial(0, genome, space.params(genome), "running")
