import json
import math

import numpy as np
import pytest

from evotune.errors import ObjectiveError
from evotune.objectives import Constraint, Objective, Objectives, WeightedSum, parse_objectives

METRICS = {"accuracy": 0.9, "loss": 0.25, "train_seconds": 20.0, "parameters": 150.0}


@pytest.mark.parametrize(
    ("spec", "text", "values"),
    [
        ("max accuracy", "max accuracy", (-0.9,)),
        ("min loss", "min loss", (0.25,)),
        ("  min   loss ", "min loss", (0.25,)),
        (Objective("loss"), "min loss", (0.25,)),
        (["max accuracy", Objective("loss", "min")], "max accuracy, min loss", (-0.9, 0.25)),
        (("min parameters",), "min parameters", (150.0,)),
        (
            WeightedSum(accuracy=1.0, train_seconds=-0.001),
            "max 1·accuracy -0.001·train_seconds",
            (-0.88,),
        ),
    ],
)
def test_what_a_user_writes_becomes_minimised_values(spec, text, values):
    objectives = parse_objectives(spec)
    assert str(objectives) == text
    assert objectives.values(METRICS) == pytest.approx(values)


def test_metric_names_may_hold_spaces():
    objectives = parse_objectives("max f1 of class 3")
    assert objectives.values({"f1 of class 3": 0.5}) == (-0.5,)


def test_the_weighted_sum_of_accuracy_time_and_robustness():
    """Fitness = α·accuracy − β·time + γ·robustness, to be maximised."""
    fitness = WeightedSum(accuracy=1.0, train_seconds=-0.001, robustness=0.2)
    metrics = {"accuracy": 0.9, "train_seconds": 30.0, "robustness": 0.5}
    assert fitness.value(metrics) == pytest.approx(-(0.9 - 0.03 + 0.1))
    assert fitness.score(fitness.value(metrics)) == pytest.approx(0.97)
    assert fitness.needed == ("accuracy", "train_seconds", "robustness")


@pytest.mark.parametrize("objective", [Objective("loss", "min"), Objective("accuracy", "max")])
def test_score_gives_back_the_user_s_sign(objective):
    assert objective.score(objective.value(METRICS)) == METRICS[objective.metric]


@pytest.mark.parametrize(
    ("constraint", "violation"),
    [
        (Constraint("parameters", at_most=100), 0.5),
        (Constraint("parameters", at_most=150), 0.0),
        (Constraint("parameters", at_least=200), 0.25),
        (Constraint("parameters", at_least=100, at_most=200), 0.0),
        (Constraint("parameters", at_most=0), 150.0),
        (Constraint("loss", at_most=-0.5), 1.5),
    ],
)
def test_violation_is_relative_to_the_bound(constraint, violation):
    assert constraint.violation(METRICS) == pytest.approx(violation)


def test_violations_add_up_from_list_and_argument():
    bounds = [Constraint("loss", at_most=0.2), Constraint("accuracy", at_least=0.5)]
    objectives = parse_objectives(
        ["max accuracy", Constraint("parameters", at_most=100)], constraints=bounds
    )
    assert objectives.violation(METRICS) == pytest.approx(0.5 + 0.25)
    assert objectives.needed == ("accuracy", "loss", "parameters")
    single = parse_objectives("max accuracy", Constraint("loss", at_most=1))
    assert single.constraints == (Constraint("loss", at_most=1),)


def test_needed_names_each_metric_once():
    spec = [WeightedSum(loss=-1.0, accuracy=1.0), "min loss", Constraint("loss", at_most=1)]
    assert parse_objectives(spec).needed == ("loss", "accuracy")


def test_json_round_trip():
    objectives = parse_objectives(
        ["min loss", WeightedSum(accuracy=1.0, loss=-0.5)],
        [Constraint("parameters", at_most=100), Constraint("loss", at_least=-1, at_most=2)],
    )
    text = json.dumps(objectives.to_json(), allow_nan=False)
    again = Objectives.from_json(json.loads(text))
    assert again == objectives
    assert again.values(METRICS) == objectives.values(METRICS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: parse_objectives("accuracy"), 'got objective .accuracy.; write "max accuracy"'),
        (lambda: parse_objectives("maximise accuracy"), 'write "max accuracy" or "min accuracy"'),
        (lambda: parse_objectives("Max accuracy"), 'write "max accuracy"'),
        (lambda: parse_objectives("max"), 'got objective .max.; write "max accuracy"'),
        (lambda: parse_objectives(""), 'write "max accuracy" or "min accuracy"'),
        (lambda: parse_objectives([]), "a study needs an objective"),
        (lambda: parse_objectives(Constraint("a", at_most=1)), "a study needs an objective"),
        (lambda: parse_objectives([Constraint("a", at_most=1)]), "a study needs an objective"),
        (lambda: parse_objectives(None), "an objective is a string .* got NoneType"),
        (lambda: parse_objectives(max), "got builtin_function_or_method"),
        (lambda: parse_objectives(["max a", 3]), "got int: 3"),
        (lambda: parse_objectives(["max a", "min a"]), "two objectives are named 'a'"),
        (lambda: parse_objectives([WeightedSum(a=1)] * 2), "two objectives are named '1·a'"),
        (lambda: Objective("a", "maximize"), '"max" or "min", got .maximize.'),
        (lambda: Objective(""), "an objective needs a metric"),
        (lambda: WeightedSum(), "needs weights"),
        (lambda: WeightedSum(a="1"), "weight 'a' must be a finite number, got '1'"),
        (lambda: WeightedSum(a=None), "weight 'a' must be a finite number, got None"),
        (lambda: WeightedSum(a=True), "must be a finite number, got True"),
        (lambda: WeightedSum(a=math.nan), "must be a finite number, got nan"),
        (lambda: Constraint("a"), r'no bound: write Constraint\("a", at_most=...\)'),
        (lambda: Constraint("a", at_least=2, at_most=1), "nothing satisfies 2 <= a <= 1"),
        (lambda: Constraint("a", at_most=math.nan), "at_most must be a number, got nan"),
    ],
)
def test_bad_objectives_say_what_to_write(make, message):
    with pytest.raises(ObjectiveError, match=message):
        make()


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Constraint("size", at_most="3"),
        lambda: Constraint("size", at_most=math.nan),
        lambda: Constraint("size", at_least=True),
        lambda: Constraint(3, at_most=3),
        lambda: Objective(3, "max"),
        lambda: Objective(None),
        lambda: parse_objectives("max accuracy", "size"),
        lambda: parse_objectives("max accuracy", [("size", 3)]),
    ],
)
def test_what_is_of_the_wrong_type_is_refused_at_once(bad):
    with pytest.raises(ObjectiveError):
        bad()


def test_a_bound_of_numpy_is_a_plain_number():
    assert type(Constraint("size", at_most=np.float32(0.5)).at_most) is float
