from dataclasses import replace

import numpy as np
import pytest

from evotune.space import Float, Space
from evotune.surrogates.model import Surrogate, due, representative
from evotune.surrogates.observations import Observation, tabulated
from evotune.surrogates.rows import Rows
from evotune.testing.algorithms import SPACES, sphere
from evotune.trial import Failure, Trial

SPACE = SPACES["mixed"]
ROWS = Rows(SPACE)


def trial(number, value=1.0, **changes):
    genome = SPACE.sample(np.random.default_rng(number))
    values = None if value is None else (value,)
    return Trial(number, genome, SPACE.params(genome), "done", values=values, **changes)


def observed(*trials):
    return [Observation.of(t, ROWS.row(t.genome)) for t in trials]


def spheres(count):
    trials = [trial(number) for number in range(count)]
    return observed(*(replace(t, values=(sphere(SPACE, t.genome),)) for t in trials))


def column(*trials):
    return tabulated(observed(*trials)).values[:, 0].tolist()


def test_failed_trials_are_as_bad_as_the_worst():
    failure = Failure("died", "gone")
    assert column(trial(0, 2.0), trial(1, None, failure=failure), trial(2, 5.0)) == [2, 5, 5]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_a_failure(value):
    assert column(trial(0, 2.0), trial(1, value), trial(2, 5.0)) == [2, 5, 5]


def test_infeasible_trials_keep_their_values():
    table = tabulated(observed(trial(0, 2.0), trial(1, 0.0, violation=3.0), trial(2, None)))
    assert table.values[:, 0].tolist() == [2, 0, 2]
    assert table.violations.tolist() == [0, 3, 3]


def test_the_border_of_the_feasible_is_modelled():
    """Far inside it is expected to be kept, far outside to be broken."""
    trials = [
        replace(t, violation=max(0.0, t.genome["depth"] - 5.0)) for t in map(trial, range(40))
    ]
    model = Surrogate(ROWS).model(observed(*trials))
    candidates = [
        SPACE.sample(np.random.default_rng(k)) | {"depth": d} for k in range(9) for d in (1, 9)
    ]
    rows = np.array([ROWS.row(genome) for genome in candidates])
    mean, _ = model.border.predict(model.features(rows, ROWS.active(rows)))
    assert np.all(mean[::2] < 0)
    assert np.all(mean[1::2] > 0)


def test_without_violations_there_is_no_border():
    assert Surrogate(ROWS).model(spheres(5)).border is None
    hopeless = observed(*(trial(k, float(k), violation=1.0 + k) for k in range(5)))
    assert Surrogate(ROWS).model(hopeless).border is None


def test_noise_is_smoothed_away():
    rows, rng = Rows(Space(x=Float(0.0, 1.0))), np.random.default_rng(0)
    true = np.sin(5 * np.linspace(0, 1, 60))
    noisy = true + 0.3 * rng.standard_normal(60)
    told = [
        Observation(np.array([x]), (float(value),), 0.0, k, 1)
        for k, (x, value) in enumerate(zip(np.linspace(0, 1, 60), noisy, strict=True))
    ]
    smoothed = Surrogate(rows).model(told).smoothed[0][:, 0]
    assert np.corrcoef(smoothed, true)[0, 1] > 0.97 > np.corrcoef(noisy, true)[0, 1]


def test_with_nothing_feasible_violations_count():
    trials = [trial(0, 2.0, violation=3.0), trial(1, 0.0, violation=4.0), trial(2, None)]
    assert column(*trials) == [3, 4, 4]


def test_repeats_are_one_line_with_their_average():
    first, other = trial(0, 2.0), trial(1, 7.0)
    repeat = replace(first, number=2, repeat_of=0, repeats=2, values=(3.0,))
    failed = replace(first, number=3, repeat_of=0, repeats=1, values=None)
    assert column(first, other, repeat) == [3, 7]
    assert column(first, other, repeat, failed) == [3, 7]
    assert column(failed, first) == [2]


def test_results_behind_the_best_are_counted():
    values = (3.0, 1.0, 2.0, None, 1.5)
    model = Surrogate(ROWS).model(observed(*(trial(k, v) for k, v in enumerate(values))))
    assert model.stale == 3


def test_no_values_no_model():
    assert Surrogate(ROWS).model(observed(trial(0, None), trial(1, None))) is None
    assert Surrogate(ROWS).model([]) is None


def test_fits_are_due_at_every_number_and_then_more_seldom():
    assert [due(count) for count in (0, 1, 2, 10)] == [(0, 1), (0, 1), (1, 2), (9, 10)]
    steps = {due(count)[1] for count in range(1, 1001)}
    assert set(range(1, 41)) <= steps
    assert len(steps) < 120


@pytest.mark.parametrize("count", [5, 30, 44])
def test_a_model_depends_on_observations_alone(count):
    """Not on how often, and after how many, models were made before."""
    observations = spheres(count)
    grown = Surrogate(ROWS)
    for known in range(1, count + 1, 3):
        grown.model(observations[:known])
    candidates = ROWS.sample(20, np.random.default_rng(0))
    seen = grown.features(candidates, ROWS.active(candidates))
    for family, again in zip(
        grown.model(observations).processes,
        Surrogate(ROWS).model(observations).processes,
        strict=True,
    ):
        for ours, fresh in zip(family[0].predict(seen), again[0].predict(seen), strict=True):
            np.testing.assert_array_equal(ours, fresh)


def test_a_late_first_result_makes_a_model():
    """Fits that were due before it had nothing to learn from."""
    failed = observed(*(trial(number, None) for number in range(43)))
    assert Surrogate(ROWS).model([*failed, *spheres(1)]) is not None


def test_representatives_are_the_best_the_latest_and_some_of_all_others():
    targets = np.random.default_rng(0).permutation(1000).astype(float)
    kept = representative(targets, 90)
    assert len(kept) == 90
    assert np.all(np.diff(kept) > 0)
    assert set(range(970, 1000)) <= set(kept)
    ranks = set(targets[kept])
    assert set(range(30)) <= ranks
    assert max(np.diff(sorted(ranks))) < 100
    assert representative(targets[:90], 90).tolist() == list(range(90))


def test_a_repeat_that_fails_takes_nothing_from_what_is_known():
    failed = replace(trial(2, None), repeat_of=0)
    assert column(trial(0, 2.0), trial(1, 5.0), failed) == [2, 5]
    assert column(replace(failed, number=0, repeat_of=None), trial(1, 5.0)) == [5, 5]


def test_the_few_feasible_are_kept_whatever_the_others_promise(monkeypatch):
    monkeypatch.setattr("evotune.surrogates.model.KNOWN", 30)
    trials = [trial(k, float(k % 7), violation=1.0) for k in range(90)]
    trials[10] = trial(10, 3.5)
    known = Surrogate(ROWS).model(observed(*trials)).table
    assert len(known.rows) == 30
    assert 0.0 in known.violations
