"""What users of Optuna write by habit is answered with what to write here."""

import pytest

import evotune as et
from evotune.errors import ObjectiveError, StudyError
from evotune.objectives import parse_objectives

SPACE = et.Space(x=et.Float(0.0, 1.0))


@pytest.mark.parametrize(
    ("habit", "says"),
    [
        (lambda trial: trial.should_prune(), r"stopping=et\.MedianStopping"),
        (lambda trial: trial.set_user_attr("k", 1), r"trial\.note\(name=value\)"),
        (lambda trial: trial.report(0.5, 3), r"write trial\.report\(3, accuracy=0\.5\)"),
        (lambda trial: trial.suggest_float("x", 0, 1), r"trial\.params\['x'\]"),
    ],
)
def test_a_method_of_optunas_trial_says_what_to_write(habit, says):
    with pytest.raises(Exception, match=says):
        et.tune(habit, SPACE, "min loss", trials=3, max_failures=0.0)


def test_a_trial_that_optuna_would_prune_says_how_trials_are_ended():
    optuna = pytest.importorskip("optuna")

    def train(trial):
        if trial.number:
            raise optuna.TrialPruned("too bad")
        return {"loss": 0.0}

    study = et.tune(train, SPACE, "min loss", trials=2, max_failures=1)
    message = study.trials[1].failure.message
    assert "too bad (Optuna's way to end a trial, which counts as a failure here" in message
    assert "stopping=et.MedianStopping()" in message


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"direction": "minimize"}, '"max accuracy"'),
        ({"n_trials": 3}, "write trials="),
        ({"sampler": None}, "write algorithm="),
        ({"pruner": None}, "write stopping="),
    ],
)
def test_an_option_of_optunas_says_what_to_write(option, says):
    with pytest.raises(StudyError, match=says):
        et.tune(lambda trial: 0.0, SPACE, "min loss", **option)


@pytest.mark.parametrize(
    ("given", "says"), [("minimize", '"min loss"'), ("maximize", '"max accuracy"')]
)
def test_a_direction_alone_is_no_objective(given, says):
    with pytest.raises(ObjectiveError, match=says):
        parse_objectives(given)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("best_params", "study.best.params"),
        ("best_value", "study.best.metrics"),
        ("best_trials", "study.front"),
        ("optimize", "study.run"),
    ],
)
def test_an_attribute_of_optunas_study_says_what_to_write(name, says):
    study = et.Study(et.RandomSearch(SPACE), "min loss")
    with pytest.raises(AttributeError, match=says):
        getattr(study, name)
    assert not hasattr(study, name)


def test_an_error_within_a_property_is_not_taken_for_a_missing_one():
    class Broken(et.Study):
        @property
        def size(self):
            return None.shape

    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'shape'"):
        _ = Broken(et.RandomSearch(SPACE), "min loss").size
