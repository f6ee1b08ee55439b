"""The knee of a study's front."""

import pytest

import evotune as et

SPACE = et.Space(x=et.Float(0.0, 1.0))


def bent(trial):
    """Accuracy rises fast up to x = 0.2 and hardly beyond, at a cost that is even."""
    x = trial.params["x"]
    return {"accuracy": min(4 * x, 0.8 + (x - 0.2) / 4), "cost": 100 * x}


def study_of(objectives, trials=60):
    return et.Study(et.RandomSearch(SPACE), objectives, seed=3).run(bent, trials=trials)


def test_the_knee_is_where_the_front_bends():
    study = study_of(["max accuracy", "min cost"])
    nearest = min(study.trials, key=lambda t: abs(t.params["x"] - 0.2))
    assert study.knee == nearest
    assert study.best != study.knee


def test_with_one_objective_it_is_the_best():
    study = study_of("max accuracy")
    assert study.knee == study.best


def test_the_knee_keeps_the_constraints():
    study = study_of(["max accuracy", "min cost", et.Constraint("cost", at_most=10.0)])
    assert study.knee.metrics["cost"] <= 10.0


def test_without_a_feasible_trial_there_is_none():
    goals = ["max accuracy", "min cost", et.Constraint("cost", at_least=1000.0)]
    with pytest.raises(et.errors.NoResultError, match="no finished trial that keeps all"):
        _ = study_of(goals).knee
    with pytest.raises(et.errors.NoResultError, match="no finished trial yet"):
        _ = et.Study(et.RandomSearch(SPACE), goals).knee
