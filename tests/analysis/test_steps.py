"""Trials as steps of members: epochs along the line of weights, places, who is still alive."""

from dataclasses import replace

from evotune.analysis.steps import inherits_weights, latest, steps, survivors
from evotune.trial import Checkpoint, Origin, Trial
from helpers_population import step


def test_a_lane_is_the_islands_and_the_member() -> None:
    origin = Origin(generation=9, member=2, islands=(3,), replaces=7, mutated=())
    [wrapped] = steps([replace(step(0, 0.5), origin=origin)])
    assert wrapped.lane == (3, 2)
    assert wrapped.member == "3.2"
    assert wrapped.replaces == 7
    assert wrapped.is_child
    assert wrapped.generation == 9


def test_epochs_are_counted_along_the_line_of_weights() -> None:
    trials = [
        step(0, 0.1, budget=4),
        step(1, 0.2, budget=4, member=1),
        step(2, 0.3, budget=2, weights=1, generation=1),
        step(3, 0.4, budget=2, weights=2, generation=2),
    ]
    assert [(s.start, s.end, s.epochs) for s in steps(trials)] == [
        (0, 4, "0-3"),
        (0, 4, "0-3"),
        (4, 6, "4-5"),
        (6, 8, "6-7"),
    ]


def test_a_checkpoint_knows_better_than_a_budget_and_a_failure_adds_nothing() -> None:
    early = replace(step(0, 0.1, budget=4), state="stopped", checkpoint=Checkpoint(3, 8))
    child, failed = steps([early, step(1, None, budget=4, weights=0)])
    assert (child.end, failed.start, failed.end) == (3, 3, 3)


def test_the_latest_step_of_each_member() -> None:
    trials = [step(0, 0.1), step(1, 0.1, member=1), step(2, 0.2, weights=0, generation=1)]
    assert [s.trial.number for s in latest(steps(trials))] == [2, 1]


def test_survivors_are_the_members_latest_done_steps() -> None:
    trials = [
        step(0, 0.1),
        step(1, 0.1, member=1),
        step(2, 0.2, weights=0, generation=1),
        step(3, None, weights=0, generation=1, member=1, replaces=1),
    ]
    assert [s.trial.number for s in survivors(steps(trials))] == [2, 1]


def test_without_members_the_ends_of_all_lines_survive() -> None:
    trials = [
        replace(step(k, 0.1, weights=k - 1 if k in (1, 3) else None), origin=Origin())
        for k in range(4)
    ]
    assert [s.trial.number for s in survivors(steps(trials))] == [1, 3]
    assert latest(steps(trials)) == []


def test_plain_searches_inherit_nothing() -> None:
    assert not inherits_weights([Trial(0, {}, {}, parents=(1,)), Trial(1, {}, {})])
    assert inherits_weights([Trial(0, {}, {}), Trial(1, {}, {}, weights_from=0)])
    networks = {"networks": [None, 0]}
    assert inherits_weights([Trial(0, {}, {}), Trial(1, {}, {}, inherit=networks)])
