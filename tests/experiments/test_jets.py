"""Tests of the made-up jets: what tells the classes apart, and nothing else does."""

import numpy as np
import pytest
from jets import BACKGROUND, CHANNELS, SIGNAL, SIZE, Events, events, law, least_error


@pytest.fixture(scope="module")
def made() -> Events:
    return events(3_000, seed=1)


def test_images_are_sparse_and_of_the_paper_s_shape(made: Events) -> None:
    assert made.images.shape == (3_000, CHANNELS, SIZE, SIZE)
    assert made.images.dtype == np.float32
    assert 0 < (made.images > 0).mean() < 0.05
    assert made.images.min() == 0


def test_classes_are_equally_many_and_mixed(made: Events) -> None:
    assert made.classes.mean() == 0.5
    assert 0.4 < made.classes[:500].mean() < 0.6


@pytest.mark.parametrize("given", [BACKGROUND, SIGNAL])
def test_the_law_of_the_jets_sums_to_one(given: tuple[int, int, float]) -> None:
    assert sum(law(n, given) for n in range(30)) == pytest.approx(1.0)


def test_jets_follow_the_laws(made: Events) -> None:
    for kind, given in enumerate((BACKGROUND, SIGNAL)):
        jets = made.jets[made.classes == kind]
        for number in range(12):
            assert np.mean(jets == number) == pytest.approx(law(number, given), abs=0.04)


def test_no_rule_on_the_number_of_jets_errs_less_than_it_says(made: Events) -> None:
    best = min(np.mean((made.jets >= n) != made.classes) for n in range(2, 11))
    assert best == pytest.approx(least_error(), abs=0.01)


@pytest.mark.parametrize("channel", range(CHANNELS))
def test_totals_do_not_tell_the_classes_apart(made: Events, channel: int) -> None:
    totals = np.expm1(made.images[:, channel]).sum((1, 2))
    assert abs(np.corrcoef(totals, made.classes)[0, 1]) < 0.06


def test_a_seed_gives_the_same_events() -> None:
    one, again, other = events(20, 3), events(20, 3), events(20, 4)
    assert (one.images == again.images).all()
    assert (one.images != other.images).any()
