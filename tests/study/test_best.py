"""Which trial is the best where some were repeated."""

import math
from statistics import fmean, variance

import numpy as np
import pytest

import evotune as et
from evotune.analysis.data import prepare


class Scripted(et.RandomSearch):
    """Proposes points of a space of one whole number in a given order."""

    def __init__(self, points):
        super().__init__(et.Space(point=et.Int(0, 99)))
        self.points = points
        self.started = 0

    def ask(self, rng):
        return et.Proposal({"point": self.points[self.started]})

    def tell(self, trial):
        self.started += not trial.has_ended


def study(points, losses, objectives="min loss", **options):
    made = et.Study(Scripted(points), objectives, duplicates="repeat", seed=1, **options)
    return made.run(lambda trial: losses[trial.number], trials=len(points))


def test_one_lucky_run_is_not_ahead_of_a_good_mean_of_many():
    points, losses = [0, 0, 0, 1], [0.8, 1.0, 1.2, 0.95]
    best = study(points, losses).best
    assert (best.number, best.repeats, best.metrics["loss"]) == (0, 3, pytest.approx(1.0))
    # 1.0 + 1.645·0.2/√3 = 1.190 against loss + 1.645·0.2
    assert study(points, [*losses[:3], 0.87]).best.params["point"] == 0
    assert study(points, [*losses[:3], 0.86]).best.params["point"] == 1


def test_it_is_the_lower_bound_of_what_is_maximised():
    points, scores = [0, 0, 0, 1], [0.8, 1.0, 1.2, 1.1]
    assert study(points, scores, "max score").best.params["point"] == 0
    assert study(points, [*scores[:3], 1.2], "max score").best.params["point"] == 1


def test_without_repeats_the_best_value_is_the_best():
    assert study([0, 1, 2], [0.5, 0.1, 0.3]).best.number == 1


def test_feasible_trials_come_first_however_well_tested_the_others_are():
    points = [0, 0, 1]
    metrics = [{"loss": 0.1, "size": 9}, {"loss": 0.1, "size": 9}, {"loss": 5.0, "size": 1}]
    objectives = ["min loss", et.Constraint("size", at_most=5)]
    assert study(points, metrics, objectives).best.params["point"] == 1


@pytest.mark.parametrize("seed", range(5))
def test_asked_after_every_trial_it_is_what_the_formula_says(seed, tmp_path):
    rng = np.random.default_rng(seed)
    points = rng.integers(12, size=60).tolist()
    losses = [point / 10 + rng.normal() for point in points]

    def best(count):
        groups = {}
        for point, loss in zip(points[:count], losses[:count], strict=True):
            groups.setdefault(point, []).append(loss)
        repeated = [group for group in groups.values() if len(group) > 1]
        freedom = sum(len(group) - 1 for group in repeated)
        squares = sum(variance(group) * (len(group) - 1) for group in repeated)
        noise = math.sqrt(squares / freedom) if freedom else 0.0
        return min(groups, key=lambda p: fmean(groups[p]) + 1.645 * noise / len(groups[p]) ** 0.5)

    options = {"duplicates": "repeat", "seed": 1, "storage": tmp_path / "a.db"}
    made = et.Study(Scripted(points), "min loss", **options)
    found = []
    made.run(
        lambda trial: losses[trial.number],
        trials=60,
        callbacks=lambda study, _: found.append(study.best.params["point"]),
    )
    assert found == [best(count) for count in range(1, 61)]
    assert prepare(made).best.params["point"] == found[-1]
    made.close()
    again = et.Study(Scripted(points), "min loss", **options)
    assert again.best.params["point"] == found[-1]


def halving(inside=None, **options):
    inside = inside or et.RandomSearch(et.Space(x=et.Float(0, 1)))
    return et.SuccessiveHalving(inside, **{"minimum": 1, "maximum": 9, "resume": False, **options})


def grows(trial):
    return trial.budget * (1 + trial.params["x"])


def test_the_best_is_among_those_of_the_largest_budget(tmp_path):
    path = tmp_path / "runs.db"
    bests = []
    with et.Study(halving(), "min loss", seed=1, storage=path) as made:
        made.run(grows, trials=40, callbacks=lambda s, _: bests.append(s.best))
        largest = [t for t in made.trials if t.budget == 9]
        assert made.best == min(largest, key=lambda t: t.values)
        assert [t.budget for t in bests] == sorted(t.budget for t in bests)  # larger ones replace
        data = prepare(made)
        assert data.best.number == made.best.number == data.done[data.best_so_far[-1]].number
        assert data.done[data.ranking[0]].budget == 9
        assert made.front == [made.best]
    with et.Study(halving(), "min loss", storage=path) as again:
        assert again.best.number == made.best.number


def test_a_promoted_trial_counts_by_its_rung_and_not_by_what_it_adds():
    def trained(trial):
        trial.resume()
        for _ in trial.epochs():
            pass
        trial.keep(kept=1.0)
        return trial.record.origin.rung * (1 + trial.params["x"])

    made = et.Study(halving(resume=True), "min loss", seed=1).run(trained, trials=40)
    assert made.best.origin.rung == 9
    assert made.best.budget < 9
    assert made.trials[made._ledger.best_with_weights()].origin.rung == 9


def test_a_target_is_reached_at_the_largest_budget_only():
    made = et.Study(halving(), "min loss", seed=1).run(grows, trials=60, target=10.0)
    assert made.stop_reason == "target"
    assert made.best.budget == 9
    assert made.best.metrics["loss"] <= 10.0
    assert len([t for t in made.trials if t.metrics["loss"] <= 10.0]) > 1


def test_a_run_of_more_epochs_makes_the_results_of_fewer_no_rivals():
    made = et.Study(et.RandomSearch(et.Space(x=et.Float(0, 1))), "min loss", seed=1)
    made.run(grows, trials=10, epochs=2)
    assert made.best.budget == 2
    made.run(grows, trials=20, epochs=5)
    assert made.best == min(made.trials[10:], key=lambda t: t.values)


def test_a_front_has_trials_of_the_largest_budget_only():
    def two(trial):
        return {"a": grows(trial), "b": trial.budget * (2 - trial.params["x"])}

    made = et.Study(halving(et.Genetic(et.Space(x=et.Float(0, 1)))), ["min a", "min b"], seed=1)
    made.run(two, trials=40)
    assert {trial.budget for trial in made.front} == {9}
    data = prepare(made)
    assert {data.done[k].number for k in np.flatnonzero(data.front)} == {
        t.number for t in made.front
    }


def test_other_budgets_are_compared_when_asked_for():
    made = et.Study(et.RandomSearch(et.Space(x=et.Float(0, 1))), "min loss", seed=1)
    made.run(grows, trials=10, epochs=2)
    made.run(grows, trials=20, epochs=5)
    assert made.best_at() == min(made.trials, key=lambda t: t.values)
    assert made.best_at(2) == min(made.trials[:10], key=lambda t: t.values)
    assert made.best_at(5) == made.best
    with pytest.raises(et.errors.NoResultError, match="no trial of budget 3 is done"):
        made.best_at(3)
