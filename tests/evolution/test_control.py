import numpy as np
import pytest

from evotune.evolution.control import MEMORY, Constant, SelfAdaptive, Setting, SuccessHistory

HALF = Setting(0.5, 0.5)


def draws(control, target=HALF, count=2000):
    rng = np.random.default_rng(0)
    settings = [control.draw(target, rng) for _ in range(count)]
    return np.array([(s.scale, s.crossover_rate) for s in settings]).T


def test_constant_is_constant_whatever_succeeds():
    control = Constant(Setting(0.7, 0.2))
    control.learn([(HALF, 3.0)])
    assert set(map(tuple, draws(control, count=9).T.tolist())) == {(0.7, 0.2)}


def test_self_adaptation_keeps_nine_in_ten():
    """Brest et al. (2006), equations 5 and 6: τ = 0.1, F in [0.1, 1], CR in [0, 1]."""
    scales, rates = draws(SelfAdaptive(), Setting(0.33, 0.44))
    for drawn, kept, low in ((scales, 0.33, 0.1), (rates, 0.44, 0.0)):
        assert np.mean(drawn == kept) == pytest.approx(0.9, abs=0.02)
        new = drawn[drawn != kept]
        assert low <= new.min() < low + 0.05
        assert 0.95 < new.max() <= 1
        assert np.mean(new) == pytest.approx((low + 1) / 2, abs=0.06)


def test_success_history_draws_around_its_memory():
    """Cauchy for F, with a long tail cut at 1; normal for CR, with deviation 0.1."""
    scales, rates = draws(SuccessHistory(HALF))
    assert np.median(scales) == pytest.approx(0.5, abs=0.02)
    assert np.mean(scales == 1.0) > 0.05
    assert scales.min() > 0
    assert np.std(rates) == pytest.approx(0.1, abs=0.01)
    assert np.mean(rates) == pytest.approx(0.5, abs=0.01)


def test_success_history_learns_weighted_means():
    """Tanabe and Fukunaga (2013): the Lehmer mean of F, the mean of CR, weighted by gain."""
    control = SuccessHistory(HALF)
    for _ in range(MEMORY):
        control.learn([(Setting(0.2, 0.0), 1.0), (Setting(0.8, 0.4), 3.0)])
    scales, rates = draws(control)
    assert np.median(scales) == pytest.approx((0.04 + 3 * 0.64) / (0.2 + 3 * 0.8), abs=0.02)
    assert np.median(rates) == pytest.approx(0.3, abs=0.01)


def test_success_history_replaces_its_oldest_entry_first():
    control = SuccessHistory(HALF)
    control.learn([(Setting(0.5, 0.9), 1.0)])
    near = [np.mean(np.abs(draws(control)[1] - 0.9) < 0.2)]
    for _ in range(MEMORY):
        control.learn([(Setting(0.5, 0.1), 1.0)])
        near.append(np.mean(np.abs(draws(control)[1] - 0.9) < 0.2))
    assert near[0] == pytest.approx(1 / MEMORY, abs=0.05)
    assert near[MEMORY - 1] > 0.1
    assert near[MEMORY] == 0


def test_nothing_is_learned_of_a_generation_without_success():
    control = SuccessHistory(HALF)
    control.learn([])
    assert np.median(draws(control)[1]) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("gain", [1e-300, 1e308])
def test_gains_of_any_size(gain):
    control = SuccessHistory(HALF)
    control.learn([(Setting(0.2, 0.1), gain), (Setting(0.4, 0.3), gain)])
    assert np.isfinite(draws(control, count=100)).all()


def test_a_setting_is_read_from_a_note():
    assert Setting.of({"scale": 0.1, "crossover_rate": 0.2}, HALF) == Setting(0.1, 0.2)
    assert Setting.of({"scale": 0.1}, HALF) == HALF
