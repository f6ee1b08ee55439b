import logging
import math
import pickle
import statistics

import pytest

from evotune.errors import AlgorithmError, ObjectiveError
from evotune.evolution.stopping import DominationStopping, MedianStopping, PercentileStopping
from evotune.objectives import WeightedSum, parse_objectives
from evotune.trial import Trial

LOSS = parse_objectives("min loss")
TWO = parse_objectives(["max accuracy", "min parameters"])


def finished(number, *reports, state="done"):
    return Trial(number, {}, {}, state, reports=tuple(reports))


def curve(number, *losses, state="done"):
    reports = [{"step": step, "loss": loss} for step, loss in enumerate(losses)]
    return finished(number, *reports, state=state)


def standards(rule, objectives, trials):
    made = rule.fresh(objectives)
    for trial in trials:
        made.tell(trial)
    return made


def stopped_at(made, *reports):
    """Return the step at which a trial with these reports is stopped, or None."""
    bar = pickle.loads(pickle.dumps(made.bar()))  # as a worker process gets it
    return next((report["step"] for report in reports if bar.stops(report)), None)


def losses(*values):
    return [{"step": step, "loss": value} for step, value in enumerate(values)]


class TestMedian:
    #: Averages 4, 3.5, 3 and so on: at step 2 they are 3, 4, 5, 6, 7, whose median is 5.
    CURVES = tuple(curve(n, 4 + n, 3 + n, 2 + n) for n in range(5))

    def test_best_so_far_against_the_median_of_averages(self):
        made = standards(MedianStopping(), LOSS, self.CURVES)
        assert stopped_at(made, *losses(9, 9, 5.01)) == 1
        assert stopped_at(made, *losses(9, 5.5, 5.01)) == 2
        assert stopped_at(made, *losses(9, 5.5, 5.0)) is None
        assert stopped_at(made, *losses(5, 99, 99)) is None  # its best report counts

    def test_no_trial_is_stopped_before_grace_nor_before_enough_have_finished(self):
        made = standards(MedianStopping(grace=2), LOSS, self.CURVES)
        assert stopped_at(made, *losses(99, 99, 99)) == 2
        made = standards(MedianStopping(startup=6), LOSS, self.CURVES)
        assert stopped_at(made, *losses(99, 99, 99)) is None

    def test_only_trials_that_ran_to_their_end_count(self):
        stopped = [curve(9 + n, 0, 0, 0, state="stopped") for n in range(9)]
        made = standards(MedianStopping(), LOSS, [*self.CURVES, *stopped])
        assert stopped_at(made, *losses(9, 5.5, 5.0)) is None

    def test_a_step_at_which_too_few_reported_is_passed(self):
        shorter = [curve(n, 4 + n) for n in range(5)]
        made = standards(MedianStopping(startup=2), LOSS, [curve(9, 1, 1, 1), *shorter])
        assert stopped_at(made, *losses(99, 99, 99)) is None

    def test_a_direction_is_turned_once(self):
        accuracy = parse_objectives("max accuracy")
        trials = [finished(n, {"step": 1, "accuracy": 0.5 + n / 10}) for n in range(5)]
        made = standards(MedianStopping(), accuracy, trials)
        assert stopped_at(made, {"step": 1, "accuracy": 0.69}) == 1
        assert stopped_at(made, {"step": 1, "accuracy": 0.7}) is None

    def test_other_metrics_and_weighted_sums(self):
        trials = [finished(n, {"step": 1, "loss": n, "speed": n}) for n in range(5)]
        made = standards(MedianStopping("max speed"), LOSS, trials)
        assert stopped_at(made, {"step": 1, "speed": 1.9}) == 1
        assert stopped_at(made, {"step": 1, "loss": 99}) is None
        weighted = parse_objectives(WeightedSum(speed=1.0, loss=-2.0))
        made = standards(MedianStopping(), weighted, trials)  # scores 0, -1, -2, -3, -4
        assert stopped_at(made, {"step": 1, "speed": 1.0, "loss": 1.6}) == 1
        assert stopped_at(made, {"step": 1, "speed": 1.0, "loss": 1.4}) is None
        assert stopped_at(made, {"step": 1, "speed": -99.0}) is None  # half of the sum

    def test_nan_is_worse_than_anything_and_spoils_no_median(self):
        made = standards(MedianStopping(), LOSS, [*self.CURVES, curve(5, math.nan, 1.0, 1.0)])
        assert stopped_at(made, *losses(math.nan, math.nan)) == 1
        assert stopped_at(made, *losses(5, 5)) is None
        made = standards(MedianStopping(), LOSS, [curve(n, *[math.nan] * 3) for n in range(5)])
        assert stopped_at(made, *losses(math.nan, math.nan, math.inf)) is None


class TestPercentile:
    def test_best_so_far_against_the_percentile_of_the_best_so_far(self):
        trials = [curve(n, 99, n, 99) for n in range(9)]
        made = standards(PercentileStopping(25), LOSS, trials)
        assert stopped_at(made, *losses(99, 3, 2.1)) == 1
        assert stopped_at(made, *losses(99, 2, 2.1)) is None

    @pytest.mark.parametrize("percentile", [1, 10, 50, 99])
    def test_between_two_trials_it_is_interpolated(self, percentile):
        values = [3.0, 1.0, 4.0, 1.5, 9.0]
        made = standards(
            PercentileStopping(percentile), LOSS, [curve(n, 0, v) for n, v in enumerate(values)]
        )
        trials = [finished(n, {"step": 1, "loss": v}) for n, v in enumerate(values)]
        made = standards(PercentileStopping(percentile), LOSS, trials)
        demand = statistics.quantiles(values, n=100, method="inclusive")[percentile - 1]
        assert stopped_at(made, {"step": 1, "loss": demand + 1e-9}) == 1
        assert stopped_at(made, {"step": 1, "loss": demand - 1e-9}) is None


def point(step, accuracy, parameters):
    return {"step": step, "accuracy": accuracy, "parameters": parameters}


class TestDomination:
    #: Three fronts of two: the first half of the trials are those on the first two.
    POINTS = ((0.9, 20), (0.8, 10), (0.8, 30), (0.7, 20), (0.6, 40), (0.5, 30))

    def made(self, step=1, rule=None):
        trials = [finished(n, point(step, *values)) for n, values in enumerate(self.POINTS)]
        return standards(rule or DominationStopping(), TWO, trials)

    def test_worse_than_the_last_good_front(self):
        made = self.made()
        assert stopped_at(made, point(1, 0.69, 21)) == 1  # behind (0.7, 20)
        assert stopped_at(made, point(1, 0.75, 25)) is None  # behind the first front only
        assert stopped_at(made, point(1, 0.1, 5)) is None  # nobody else is that small
        assert stopped_at(made, point(1, 0.95, 500)) is None
        assert stopped_at(made, point(1, 0.7, 20)) is None  # as good as a good one

    def test_a_smaller_share_is_harder_to_reach(self):
        made = self.made(rule=DominationStopping(percentile=30))
        assert stopped_at(made, point(1, 0.75, 25)) == 1

    def test_with_one_objective_it_is_the_median_of_the_values(self):
        trials = [curve(n, n, n) for n in range(9)]
        made = standards(DominationStopping(), LOSS, trials)
        assert stopped_at(made, *losses(99, 4.1)) == 1
        assert stopped_at(made, *losses(99, 4.0)) is None

    def test_trials_are_judged_at_the_first_report_of_each_rung(self):
        rule = DominationStopping(grace=4, reduction=3)
        assert [rule.rung(step) for step in (0, 3, 4, 11, 12, 35, 36)] == [-1, -1, 0, 0, 1, 1, 2]
        made = self.made(step=5, rule=rule)
        bad, good = (0.1, 99), (0.9, 10)
        assert stopped_at(made, point(3, *bad), point(7, *bad)) == 7
        assert stopped_at(made, point(4, *good), point(5, *bad), point(11, *bad)) is None
        assert stopped_at(made, point(3, *bad), point(13, *bad)) is None  # none came so far

    def test_only_reports_of_all_metrics_count(self):
        made = self.made()
        assert stopped_at(made, {"step": 1, "accuracy": 0.0}, point(1, 0.1, 99)) == 1
        assert stopped_at(made, {"step": 1, "accuracy": 0.0}) is None

    def test_other_metrics_than_the_objectives(self):
        rule = DominationStopping(metrics=("accuracy", "min seconds"), startup=1)
        made = standards(rule, TWO, [finished(0, {"step": 1, "accuracy": 0.9, "seconds": 5})])
        assert stopped_at(made, {"step": 1, "accuracy": 0.8, "seconds": 6}) == 1
        assert stopped_at(made, {"step": 1, "accuracy": 0.8, "seconds": 4}) is None


@pytest.mark.parametrize("rule", [MedianStopping(), PercentileStopping(), DominationStopping()])
def test_a_metric_that_nobody_reports_is_said_once(rule, caplog):
    other = [finished(n, {"step": 0, "speed": 1.0}) for n in range(3)]
    with caplog.at_level(logging.WARNING, logger="evotune"):
        made = standards(rule, LOSS, [finished(0, state="failed"), *other])
    (record,) = caplog.records
    for word in ("'loss'", "'speed'", "trial.report(loss=...)"):
        assert word in record.getMessage()
    assert stopped_at(made, *losses(1, 2, 3)) is None


@pytest.mark.parametrize("kind", [MedianStopping, PercentileStopping, DominationStopping])
def test_numbers_out_of_bounds_are_refused(kind):
    for options in ({"grace": 0}, {"grace": 1.5}, {"startup": 0}):
        with pytest.raises(AlgorithmError, match=rf"{kind.__name__}.*{next(iter(options))}"):
            kind(**options)


@pytest.mark.parametrize("percentile", [0, 100, -1, "half", math.nan])
@pytest.mark.parametrize("kind", [PercentileStopping, DominationStopping])
def test_a_percentile_lies_between_0_and_100(kind, percentile):
    with pytest.raises(AlgorithmError, match="percentile"):
        kind(percentile)


def test_rungs_need_a_reduction():
    with pytest.raises(AlgorithmError, match="reduction"):
        DominationStopping(reduction=1)


def test_a_metric_without_a_direction_is_refused():
    with pytest.raises(ObjectiveError, match=r'"min los" or "max los"'):
        MedianStopping("los").fresh(LOSS)
    with pytest.raises(ObjectiveError, match="did you mean 'loss'"):
        MedianStopping("los").fresh(LOSS)
    with pytest.raises(ObjectiveError, match="speed"):
        DominationStopping(metrics=("loss", "speed")).fresh(LOSS)
