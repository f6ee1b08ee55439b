import itertools
import logging
from statistics import fmean, stdev

import pytest

import evotune as et
from evotune.errors import StudyError
from helpers_study import small_space


def booleans(count=3):
    return et.Space({f"b{k}": et.Bool() for k in range(count)})


def total(trial):
    return float(sum(trial.params.values())) + (trial.seed % 100) / 1000


@pytest.mark.parametrize("make", [et.Genetic, et.RandomSearch, et.EvolutionStrategy])
@pytest.mark.parametrize("seed", range(5))
def test_eight_points_are_tried_in_the_first_eight_trials(make, seed):
    study = et.Study(make(booleans()), "min loss", seed=seed).run(total, trials=8)
    assert len({tuple(t.params.items()) for t in study.trials}) == 8
    assert not study.exhausted


def test_the_study_says_when_it_has_seen_the_whole_space(caplog):
    with caplog.at_level(logging.WARNING, logger="evotune"):
        study = et.Study(et.Genetic(booleans()), "min loss", seed=1).run(total, trials=30)
    assert study.exhausted
    assert sum("all 8 points" in r.message for r in caplog.records) == 1
    assert all(t.repeat_of is not None for t in study.trials[8:])


def test_repeats_are_averaged_and_their_spread_is_kept():
    study = et.Study(et.Genetic(booleans()), "min loss", seed=1).run(total, trials=40)
    best = study.best
    runs = [t.metrics["loss"] for t in study.trials if t.params == best.params]
    assert best.repeats == len(runs) > 1
    assert best.metrics["loss"] == pytest.approx(fmean(runs))
    assert best.spread["loss"] == pytest.approx(stdev(runs))
    groups = itertools.groupby(
        sorted(study.trials, key=lambda t: str(t.params)), key=lambda t: str(t.params)
    )
    means = [fmean(t.metrics["loss"] for t in group) for _, group in groups]
    assert best.metrics["loss"] == pytest.approx(min(means))


def test_evolution_ranks_by_the_average_not_by_the_luckiest_run():
    """A point that was lucky once loses its place when its repeats are worse."""

    class Scripted(et.RandomSearch):
        def __init__(self, space):
            super().__init__(space)
            self.told = []

        def ask(self, rng):
            return et.Proposal({"b0": False})

        def tell(self, trial):
            if trial.has_ended:
                self.told.append((trial.number, trial.repeats, trial.values))

    losses = [0.0, 1.0, 5.0]
    algorithm = Scripted(booleans(1))
    study = et.Study(algorithm, "min loss", duplicates="repeat", seed=1)
    study.run(lambda t: losses[t.number], trials=3)
    assert algorithm.told == [(0, 1, (0.0,)), (1, 2, (0.5,)), (2, 3, (2.0,))]
    assert [t.repeat_of for t in study.trials] == [None, 0, 0]
    assert [t.metrics["loss"] for t in study.trials] == losses


def test_allow_keeps_equal_trials_apart():
    study = et.Study(et.RandomSearch(booleans(1)), "min loss", duplicates="allow", seed=1)
    study.run(total, trials=10)
    assert all(t.repeat_of is None for t in study.trials)
    assert study.best.repeats == 1


def test_redrawn_proposals_differ_in_active_genes():
    space = et.Space(kind=et.Choice("a", "b"), extra=et.Int(1, 50, when={"kind": "b"}))
    study = et.Study(et.Genetic(space, population_size=8), "min loss", seed=2)
    study.run(lambda t: t.params.get("extra", 0), trials=51)
    assert len({tuple(t.params.items()) for t in study.trials}) == 51


def test_a_grid_ends_by_itself():
    space = et.Space(a=et.Choice("x", "y"), n=et.Int(1, 3), f=et.Float(0, 1))
    study = et.Study(et.Grid(space, points=3), "min loss").run(lambda t: t.params["f"])
    assert len(study.trials) == 18
    assert "nothing more" in study.stop_reason or study.stop_reason == "trials"


def test_unknown_handling_is_refused():
    with pytest.raises(StudyError, match="redraw"):
        et.Study(et.RandomSearch(small_space()), "min loss", duplicates="skip")
