"""Both measures of importance against functions whose variances are known."""

import numpy as np
import pytest

from evotune.analysis.importance import fanova, ped_anova


@pytest.fixture(scope="module")
def cube():
    return np.random.default_rng(0).random((800, 3))


def test_a_step_has_the_variance_of_a_coin(cube):
    effects = fanova(cube, (cube[:, 0] < 0.25).astype(float), np.random.default_rng(1))
    assert effects.alone[0] == pytest.approx(0.25 * 0.75, rel=0.03)
    assert effects.total[0] == pytest.approx(0.25 * 0.75, rel=0.05)
    assert effects.alone[1:].max() < 1e-3
    assert effects.quality > 0.95


def test_a_sum_is_taken_apart(cube):
    effects = fanova(cube, 3 * cube[:, 0] + cube[:, 1], np.random.default_rng(1))
    shares = effects.alone / effects.total.sum()
    assert shares == pytest.approx([0.9, 0.1, 0.0], abs=0.03)


def test_an_interaction_is_nobodys_own(cube):
    apart = (cube[:, 0] > 0.5) != (cube[:, 1] > 0.5)
    effects = fanova(cube, apart.astype(float), np.random.default_rng(1))
    assert effects.alone.max() < 0.01
    assert effects.total[:2] == pytest.approx([0.25, 0.25], rel=0.2)
    assert effects.total[2] < 0.02


def test_a_conditional_gene_counts_as_much_as_it_is_active(cube):
    """The second gene is active where the first is small, a third of the trials."""
    active = cube[:, 0] < 1 / 3
    target = np.where(active, cube[:, 1], 0.5)
    conditional = cube.copy()
    conditional[~active, 1] = np.nan
    effects = fanova(conditional, target, np.random.default_rng(1))
    assert effects.alone[1] == pytest.approx(1 / 12 / 3, rel=0.15)
    assert effects.alone[0] < 0.1 * effects.alone[1]


def test_many_genes_are_no_trouble():
    cube = np.random.default_rng(0).random((60, 300))
    effects = fanova(cube, cube[:, 7], np.random.default_rng(1))
    assert np.argmax(effects.total) == 7


def test_a_gene_that_alone_makes_the_best_has_all_the_variance(cube):
    variances = ped_anova(cube, cube[:, 0], np.zeros(3, bool))
    assert variances[0] == pytest.approx(0.1 * 0.9, rel=0.2)  # of a coin of 10 %
    assert variances[1:].max() < 0.02


def test_an_option_is_compared_by_its_shares():
    """The best tenth all have one of three options: the chances are 0.3, 0 and 0."""
    options = np.tile([1 / 6, 1 / 2, 5 / 6], 100)[:, None]
    target = np.where(options[:, 0] < 0.3, np.arange(300), 1000.0)
    [variance] = ped_anova(options, target, np.ones(1, bool))
    assert variance == pytest.approx(((0.3 - 0.1) ** 2 + 2 * 0.1**2) / 3)


def test_genes_of_bad_trials_only_do_not_matter_to_the_best(cube):
    """The second gene decides among those that the first has ruined already."""
    ruined = cube[:, 0] > 0.5
    target = np.where(ruined, 10 + 10 * cube[:, 1], cube[:, 2])
    variances = ped_anova(cube, target, np.zeros(3, bool))
    effects = fanova(cube, target, np.random.default_rng(1))
    assert effects.total[1] > 10 * effects.total[2]
    assert variances[2] > 5 * variances[1]


def test_a_gene_that_no_good_trial_has_counts_nothing(cube):
    conditional = cube.copy()
    conditional[cube[:, 0] < 0.5, 1] = np.nan
    assert ped_anova(conditional, cube[:, 0], np.zeros(3, bool))[1] == 0
