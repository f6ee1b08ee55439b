"""Stopping rules and racing in a study's file."""

import pytest

from evotune.algorithms.racing import Racing
from evotune.cli.config import load
from evotune.cli.main import main
from evotune.errors import EvotuneError
from evotune.evolution.stopping import DominationStopping, MedianStopping


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('"MedianStopping"', MedianStopping()),
        (
            '{ name = "MedianStopping", grace = 3, metric = "min loss" }',
            MedianStopping("min loss", 3),
        ),
        (
            '{ name = "DominationStopping", percentile = 30, metrics = ["accuracy", "min size"] }',
            DominationStopping(30, ("accuracy", "min size")),
        ),
    ],
)
def test_a_rule_is_read(study_file, text, rule):
    assert load(study_file(stopping=text), {}).of_run["stopping"] == rule


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('"MedianStoping"', "did you mean 'MedianStopping'"),
        ('{ name = "MedianStopping", gracee = 3 }', "did you mean 'grace'"),
        ('{ name = "MedianStopping", grace = 0 }', "grace must be a whole number from 1 up"),
        ("{ grace = 3 }", "needs a name: one of DominationStopping, MedianStopping"),
        ("5", "must be a name or a table .*Known: .*MedianStopping"),
    ],
)
def test_what_is_no_rule_is_refused(study_file, text, says):
    with pytest.raises(EvotuneError, match=says):
        load(study_file(stopping=text), {})


def test_trials_of_a_file_are_stopped_early(study_file, capsys):
    body = (
        "for _ in trial.epochs(default=4):\n"
        '        trial.report(accuracy=1 - trial.params["lr"])\n'
        '    return {"accuracy": 1 - trial.params["lr"]}'
    )
    rule = '{ name = "MedianStopping", startup = 2 }'
    with pytest.raises(SystemExit, match="0"):
        main(["run", str(study_file(trials="12", stopping=rule, body=body))])
    printed = capsys.readouterr().out
    assert " stopped" in printed
    assert " done" in printed


def test_racing_holds_an_algorithm(study_file):
    table = 'name = "Racing"\nrepeats = 3\nalgorithm = { name = "Genetic", population_size = 5 }'
    algorithm = load(study_file(algorithm=table), {}).algorithm
    assert isinstance(algorithm, Racing)
    assert (algorithm.at_most, algorithm.algorithm.population_size) == (3, 5)
