"""Methods are compared on the same task, paired by seed; what is missing is said."""

import math
from dataclasses import replace

import numpy as np
import pytest

import evotune as et
from evotune.analysis.ranking import Ranking, compare
from evotune.analysis.statistics import paired
from evotune.errors import StudyError
from helpers_ranking import BAD, Run, run, runs


@pytest.fixture(scope="module")
def ranking() -> Ranking:
    return compare({"poor": runs(0.6), "good": runs(0.9), "fair": runs(0.8)})


def test_the_best_comes_first_with_its_gains(ranking):
    assert ranking.methods == ("good", "fair", "poor")
    assert [ranking.rank(name) for name in ranking.methods] == [1.0, 2.0, 3.0]
    assert [(p.first, p.second) for p in ranking.pairs] == [
        ("good", "fair"),
        ("good", "poor"),
        ("fair", "poor"),
    ]
    pair = ranking.pairs[1]
    assert pair.low <= pair.gain <= pair.high
    assert pair.gain == pytest.approx(0.3, abs=0.02)
    assert (pair.wins, pair.losses) == (8, 0)
    assert pair.p == pytest.approx(3 * 2 / 2**8)
    assert ranking.checkpoints == (3, 6, 12)


def test_the_direction_turns_the_order():
    low, high = ([run(s, [v + s / 100], "min loss") for s in range(3)] for v in (0.1, 0.5))
    ranking = compare({"high": high, "low": low})
    assert ranking.methods == ("low", "high")
    assert ranking.pairs[0].gain == pytest.approx(0.4)


def test_words_say_who_is_better_and_who_may_be(ranking):
    said = "\n".join(ranking.verdicts())
    assert "good has the best mean rank, 1.00 of 3, over 8 paired runs" in said
    assert "good is better than fair and poor" in said
    same = compare({"a": runs(0.9), "b": runs(0.9)})
    assert "a and b share the best mean rank" in same.verdicts()[0]
    assert "cannot be told apart from" in str(same)
    assert "+0 to +0" in str(same)


def test_too_few_runs_are_called_so():
    few = compare({"a": runs(0.9, range(5)), "b": runs(0.5, range(5))})
    assert "5 runs of each cannot prove a difference, however large: 2 methods need 6" in str(few)
    one = compare({"a": runs(0.9, [3]), "b": runs(0.5, [3])})
    assert one.rank("a") == 1.0
    assert math.isnan(one.pairs[0].low)
    assert "1 run of each cannot prove" in str(one)


def test_gains_have_the_interval_of_all_comparisons(ranking):
    good, poor = (ranking.tasks[0].curves[name][:, -1] for name in ("good", "poor"))
    found = paired(good, poor)
    pair = ranking.pairs[1]
    assert (pair.gain, pair.low, pair.high) == pytest.approx((found.mean, found.low, found.high))


def test_who_leads_by_mean_rank_may_be_worse_than_another_run_by_run():
    """In two runs of twenty b is last, just behind a and all others; else well ahead of a."""
    seeds = range(20)
    methods = {
        f"other {k}": [run(s, [0.501 + k / 1e4 if s < 2 else 0.1]) for s in seeds]
        for k in range(10)
    }
    methods["a"] = [run(s, [0.51 if s < 2 else 0.5]) for s in seeds]
    methods["b"] = [run(s, [0.5 if s < 2 else 0.8 + s / 100]) for s in seeds]
    ranking = compare(methods)
    assert ranking.methods[:2] == ("a", "b")
    assert ranking.pairs[0].is_sure
    assert ranking.pairs[0].sign == -1
    said = "\n".join(ranking.verdicts())
    assert "a is better than b" not in said
    assert "However, b is better than a in their pair" in said


def test_runs_are_paired_by_seed_not_by_place():
    a = [run(0, [0.2]), run(1, [0.8])]
    b = [run(1, [0.7]), run(0, [0.1])]
    pair = compare({"a": a, "b": b}).pairs[0]
    assert (pair.wins, pair.losses) == (2, 0)


def test_seeds_that_one_lacks_are_left_out():
    ranking = compare({"a": runs(0.9, range(4)), "b": runs(0.5, range(2, 7))})
    assert ranking.tasks[0].seeds == (2, 3)
    assert "left out (a: 0, 1; b: 4, 5, 6)" in ranking.notes[0]


def test_runs_are_compared_at_what_the_shortest_has():
    short, long = runs(0.9, trials=6), runs(0.9, trials=60)
    ranking = compare({"short": short, "long": long})
    assert ranking.points[-1] == 6
    assert ranking.methods[0] == "short"
    assert "Runs are compared at 6 evaluations, although the longest has 60" in str(ranking)
    later = compare({"short": short, "long": long}, at=[6, 60])
    assert later.checkpoints == (6, 60)
    assert later.rank("short", 6) < later.rank("short", 60) + 1
    assert "8 runs ended before 60 evaluations" in str(later)


def test_curves_never_get_worse_and_begin_with_the_first_result():
    ranking = compare({"a": [run(0, [BAD, 0.3, 0.1, 0.5])], "b": [run(0, [0.2] * 4)]})
    a, b = ranking.tasks[0].curves["a"][0], ranking.tasks[0].curves["b"][0]
    assert np.isnan(a[0])
    assert a[1:].tolist() == [0.3, 0.3, 0.5]
    assert b.tolist() == [0.2] * 4
    assert ranking.rank("a", 1) == 2.0
    assert ranking.rank("a") == 1.0


def test_a_run_without_any_result_ranks_last():
    a = [run(s, [BAD, BAD]) if s == 0 else run(s, [0.9, 0.9]) for s in range(3)]
    b = [run(s, [0.5, 0.4 + s / 10]) for s in range(3)]
    ranking = compare({"a": a, "b": b})
    assert ranking.rank("a") == pytest.approx(4 / 3)
    assert "1 run without any result that counts (a, seed 0)" in str(ranking)
    assert math.isfinite(ranking.pairs[0].gain)
    nothing = compare({"a": [run(0, [BAD])], "b": [run(0, [math.nan])]})
    assert (nothing.rank("a"), nothing.pairs[0].gain) == (1.5, 0.0)


def test_results_that_break_a_constraint_do_not_count():
    a = run(0, [0.9, 0.8])
    broken = replace(a.trials[0], violation=1.0)
    ranking = compare({"a": [Run(a.definition, (broken, a.trials[1]))], "b": [run(0, [0.1, 0.2])]})
    assert ranking.tasks[0].curves["a"][0, -1] == 0.8


def test_repeats_count_by_their_mean():
    a = run(0, [0.9, 0.5, 0.6])
    trials = (a.trials[0], replace(a.trials[1], repeat_of=0), a.trials[2])
    ranking = compare({"a": [Run(a.definition, trials)], "b": [run(0, [0.1, 0.2, 0.3])]})
    assert ranking.tasks[0].curves["a"][0].tolist() == pytest.approx([0.9, 0.7, 0.7])


def test_unequal_budgets_are_compared_by_epochs():
    cheap = run(0, [0.5, 0.6, 0.7], budget=1.0)
    dear = run(0, [0.6, 0.9], budget=3.0)
    ranking = compare({"cheap": [cheap], "dear": [dear]})
    assert ranking.unit == "epochs"
    assert ranking.points == (1, 2, 3)
    assert ranking.methods[0] == "cheap"


def test_several_objectives_are_compared_by_hypervolume():
    two = ["min loss", "min seconds"]
    whole = run(0, [(0, 10), (1, 0), (0.5, 5)], two)
    ends = run(0, [(0, 10), (1, 0), (1, 10)], two)
    ranking = compare({"ends": [ends], "whole": [whole]})
    assert ranking.methods[0] == "whole"
    task = ranking.tasks[0]
    assert (task.metric, task.direction) == ("hypervolume", "max")
    assert task.curves["ends"][0, -1] == pytest.approx(0.21)
    assert task.curves["whole"][0, -1] == pytest.approx(0.46)
    assert "hypervolume" in ranking.notes[-1]


def test_several_tasks_are_ranked_together():
    tasks = {
        "digits": {"a": runs(0.9), "b": runs(0.8)},
        "letters": {"b": runs(0.3, range(4)), "a": runs(0.2, range(4))},
    }
    ranking = compare(tasks)
    assert ranking.runs == 12
    assert ranking.rank("a") == pytest.approx((8 * 1 + 4 * 2) / 12)
    assert abs(ranking.pairs[0].gain) <= 1.0
    said = str(ranking)
    assert "on 2 tasks" in said
    assert "gain in % of each task's range" in said


def test_scales_of_tasks_do_not_matter_to_gains():
    def task(scale):
        return {
            name: [run(s, [scale * (v + s / 100)]) for s in range(4)]
            for name, v in (("a", 0.9), ("b", 0.5))
        }

    one, other = compare({"x": task(1), "y": task(1)}), compare({"x": task(1), "y": task(1e6)})
    assert one.pairs[0].gain == pytest.approx(other.pairs[0].gain)


@pytest.mark.parametrize(
    ("methods", "says"),
    [
        ({"a": [run(0, [0.5])]}, "two methods or more"),
        ({}, "write compare"),
        ({"a": [], "b": [run(0, [0.5])]}, "'a' needs a list of studies"),
        ({"a": [0.5], "b": [0.6]}, "needs studies, got float"),
        ({"a": [run(0, [0.5])], "b": [run(1, [0.5])]}, r"no seed is shared.*a: 0; b: 1"),
        ({"a": [run(0, [0.5])] * 2, "b": [run(0, [0.5])]}, "two runs with seed 0"),
        ({"a": [run(0, [0.5])], "b": [run(0, [0.5], "min loss")]}, r"differ.*max accuracy.*min"),
        ({"a": [run(0, [])], "b": [run(0, [0.5])]}, "no ended trial"),
        (
            {"t": {"a": [run(0, [1])], "b": [run(0, [1])]}, "u": {"a": [run(0, [1])]}},
            "same methods",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(methods, says):
    with pytest.raises(StudyError, match=says):
        compare(methods)


def test_checkpoints_are_numbers():
    with pytest.raises(StudyError, match="at needs numbers above 0"):
        compare({"a": runs(0.9), "b": runs(0.8)}, at=[0])


def test_real_studies_are_compared_through_the_public_name():
    space = et.Space(x=et.Float(-1, 1))

    def studies(make):
        return [
            et.Study(make(space), "min loss", seed=seed).run(lambda t: t.params["x"] ** 2, trials=6)
            for seed in range(2)
        ]

    methods = {"random": studies(et.RandomSearch), "evolution": studies(et.EvolutionStrategy)}
    ranking = et.report.compare(methods)
    assert set(ranking.methods) == set(methods)
    best = [study.best.metrics["loss"] for study in methods["random"]]
    assert ranking.tasks[0].curves["random"][:, -1].tolist() == best


def test_what_a_stopped_trial_said_last_is_no_result():
    made = run(0, [0.9, 0.5, 0.6])
    first, *others = made.trials
    stopped = Run(made.definition, (replace(first, state="stopped"), *others))
    ranking = compare({"a": [stopped], "b": [run(0, [0.5, 0.7, 0.7])]})
    assert ranking.methods == ("b", "a")
