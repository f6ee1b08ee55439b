import numpy as np
import pytest

from evotune.seeding import fresh_seed, generator, run_seed, trial_seed


def draws(seed, number):
    return tuple(generator(seed, number).integers(2**63, size=4).tolist())


def test_streams_depend_on_seed_and_number_only():
    assert draws(3, 7) == draws(3, 7)
    streams = {draws(seed, number) for seed in range(20) for number in range(20)}
    assert len(streams) == 400


def test_streams_of_neighbouring_trials_are_independent():
    points = np.array([generator(1, number).random(2) for number in range(4000)])
    assert abs(np.corrcoef(points.T)[0, 1]) < 0.05
    assert abs(np.corrcoef(points[:-1, 0], points[1:, 0])[0, 1]) < 0.05
    assert np.histogram(points[:, 0], 4, (0, 1))[0].min() > 900


def test_trial_seeds_are_many_small_and_stable():
    seeds = {trial_seed(seed, number) for seed in range(50) for number in range(50)}
    assert len(seeds) == 2500
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_stored_studies_can_rely_on_the_numbers():
    """A change here would make resumed studies go on differently."""
    assert (trial_seed(0, 0), trial_seed(1, 2)) == (1915600865, 415021730)
    assert generator(1, 2).random() == 0.44841514333227195
    assert run_seed(1, "schedule", 2, 3) == 2027045928


def test_large_seeds_are_taken_whole():
    assert draws(2**40, 0) != draws(2**41, 0)
    assert trial_seed(2**62, 1) != trial_seed(2**61, 1)


def test_fresh_seeds_differ():
    seeds = {fresh_seed() for _ in range(20)}
    assert len(seeds) > 15
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_torch_is_seeded_as_torch_does():
    torch = pytest.importorskip("torch")
    from evotune.training.seeds import seed_torch

    torch.manual_seed(2**40 + 7)
    expected = torch.rand(3), torch.randn(3)
    seed_torch(2**40 + 7)
    assert torch.equal(torch.rand(3), expected[0])
    assert torch.equal(torch.randn(3), expected[1])
