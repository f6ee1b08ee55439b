"""The records, and the handle that an evaluate function receives."""

import copy
import json
import math
import pickle
import time
import warnings
from dataclasses import asdict

import numpy as np
import pytest
import torch

import evotune as et
from evotune.errors import StudyError
from evotune.running import RunningTrial
from evotune.trial import Proposal, Trial, as_number


def handle(budget=None):
    return et.RunningTrial(et.Trial(number=3, genome={"x": 1}, params={"x": 1}, budget=budget))


def test_epochs_come_from_the_budget_or_the_default():
    assert list(handle().epochs(default=3)) == [0, 1, 2]
    assert list(handle(budget=2).epochs(default=3)) == [0, 1]


@pytest.mark.parametrize("count", [-1, 2.5])
def test_epochs_that_are_no_count_are_refused(count):
    with pytest.raises(StudyError, match=str(count)):
        list(handle().epochs(default=count))
    with pytest.raises(StudyError, match=str(count)):
        list(handle(budget=count).epochs())


def test_no_number_of_epochs_says_what_to_write():
    with pytest.raises(StudyError, match=r"default=10"):
        list(handle().epochs())


def test_time_inside_epochs_is_training_time():
    trial = handle()
    assert trial.train_seconds is None
    for _ in trial.epochs(default=2):
        time.sleep(0.02)
    time.sleep(0.05)
    assert 0.04 <= trial.train_seconds < 0.09


def test_training_time_is_known_inside_an_epoch_too():
    trial = handle()
    for epoch in trial.epochs(default=2):
        time.sleep(0.02)
        assert 0.02 * (epoch + 1) <= trial.train_seconds < 0.02 * (epoch + 1) + 0.05


def test_reports_take_the_epoch_as_their_step():
    trial = handle()
    for epoch in trial.epochs(default=3):
        trial.report(accuracy=epoch / 10)
    trial.report(step=10, accuracy=1)
    trial.report(accuracy=2)
    assert [r["step"] for r in trial.reports] == [0, 1, 2, 10, 11]
    assert trial.reports[1] == {"step": 1, "accuracy": 0.1}


def test_params_are_a_copy():
    trial = et.Trial(number=0, genome={"x": 1}, params={"x": 1})
    et.RunningTrial(trial).params["x"] = 2
    assert trial.params == {"x": 1}


NESTED = {"x": 1, "layers": [{"units": 8}, {"units": 16}], "pair": (1, [2])}

CHANGES = {
    "pop": lambda params: params.pop("x"),
    "popitem": lambda params: params.popitem(),
    "clear": lambda params: params.clear(),
    "update": lambda params: params.update(x=2),
    "setdefault": lambda params: params.setdefault("y", 2),
    "set": lambda params: params.__setitem__("x", 2),
    "delete": lambda params: params.__delitem__("x"),
    "or": lambda params: params.__ior__({"x": 2}),
    "nested append": lambda params: params["layers"].append({}),
    "nested sort": lambda params: params["layers"].sort(),
    "nested plus": lambda params: params["layers"].__iadd__([1]),
    "nested delete": lambda params: params["layers"].__delitem__(0),
    "nested set": lambda params: params["layers"][0].update(units=9),
    "in a tuple": lambda params: params["pair"][1].append(3),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("field", ["genome", "params", "note", "metrics", "spread", "inherit"])
def test_no_part_of_a_record_can_be_changed(field, change):
    trial = et.Trial(**{"number": 0, "genome": {}, "params": {}, field: NESTED})
    with pytest.raises(TypeError, match=r"dict\(trial\.params\)"):
        change(getattr(trial, field))
    assert getattr(trial, field) == NESTED


def test_a_record_does_not_change_with_what_it_was_made_of():
    given = copy.deepcopy(NESTED)
    records = [
        et.Trial(0, given, given, reports=(given,)),
        et.Proposal(given, note=given),
        et.Outcome(given, (given,)),
    ]
    before = copy.deepcopy(records)
    given["layers"][0]["units"] = 9
    given.pop("x")
    assert records == before
    assert records[0].reports == (NESTED,)


def test_what_a_record_holds_serves_as_ordinary_dicts_and_lists():
    trial = et.Trial(0, NESTED, NESTED)
    assert isinstance(trial.params, dict)
    assert isinstance(trial.params["layers"], list)
    assert json.loads(json.dumps(trial.params)) == json.loads(json.dumps(NESTED))
    assert dict(**trial.params) == trial.params | {} == NESTED
    assert asdict(trial)["params"] == NESTED
    own = copy.deepcopy(trial.params)
    own["layers"].append(own.pop("x"))
    assert trial.params == NESTED


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_records_pickle_and_stay_frozen(protocol):
    trial = et.Trial(0, NESTED, NESTED, failure=et.Failure("died", "gone"), values=(1.0,))
    records = [trial, et.Proposal(NESTED, note=NESTED), et.Outcome(NESTED, (NESTED,))]
    for record in records:
        for back in (pickle.loads(pickle.dumps(record, protocol)), copy.deepcopy(record)):
            assert back == record
            name = "metrics" if isinstance(record, et.Outcome) else "genome"
            with pytest.raises(TypeError):
                getattr(back, name)["layers"].append(1)


def test_a_running_trial_has_nested_params_of_its_own():
    trial = et.Trial(0, NESTED, NESTED)
    handle = et.RunningTrial(trial)
    handle.params["layers"][0].pop("units")
    handle.params["pair"][1].append(3)
    handle.params.pop("x")
    assert trial.params == NESTED


@pytest.mark.parametrize(
    "step", [np.int64(2), np.uint8(2), np.float32(2), torch.tensor(2), np.array([2]), 2.0]
)
def test_a_step_of_another_library_is_a_number_like_any_other(step):
    trial = handle()
    trial.report(step, loss=np.float32(0.5), size=torch.ones(1, requires_grad=True))
    assert json.dumps(trial.reports) == '[{"step": 2, "loss": 0.5, "size": 1.0}]'


def test_a_reported_tensor_with_a_graph_is_taken_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        handle().report(loss=torch.ones(1, 1, requires_grad=True).sum())


@pytest.mark.parametrize(
    "given", [{"step": "last"}, {"step": math.nan}, {"loss": "0.5"}, {"loss": np.ones(2)}]
)
def test_what_is_reported_and_no_number_is_refused_by_its_name(given):
    with pytest.raises(StudyError, match=next(iter(given))):
        handle().report(**given)


def test_numbers_of_other_libraries_are_plain_in_a_record():
    proposal = Proposal(
        {"x": np.int64(1)},
        budget=np.int64(3),
        weights_from=np.int64(2),
        parents=(np.int64(2),),
        note={"all": [np.float32(0.5), {"x": np.bool_(True)}], "t": torch.tensor(3)},
    )
    fields = {
        name: getattr(proposal, name) for name in ("genome", "budget", "weights_from", "note")
    }
    assert json.loads(json.dumps(fields)) == {
        "genome": {"x": 1},
        "budget": 3,
        "weights_from": 2,
        "note": {"all": [0.5, {"x": True}], "t": 3},
    }
    assert json.dumps(proposal.parents) == "[2]"


@pytest.mark.parametrize("step", [10**400, -(10**400)])
def test_a_step_beyond_floats_is_refused(step):
    with pytest.raises(StudyError, match="step"):
        RunningTrial(Trial(0, {}, {})).report(step=step, loss=1.0)


def test_a_masked_number_is_no_number():
    assert as_number(np.ma.masked) is None
    assert as_number(np.ma.array([2.0])) == 2.0
