"""Trials trained one by one and together, in float64, to be compared."""

import pytest
import torch

from evotune.checkpoints.handover import TrialWeights
from evotune.checkpoints.store import Checkpoints
from evotune.running import RunningTrial
from evotune.training.stacked.together import train_together
from evotune.training.task import SupervisedTask
from evotune.trial import Trial
from helpers_training import without_seconds

torch.set_num_threads(1)


def examples(*shape, count=22, words=None, seed=0):
    """Inputs ``(count, *shape)`` of float64, or of whole numbers below ``words``, and 3 classes."""
    generator = torch.Generator().manual_seed(seed)
    if words is None:
        inputs = torch.randn(count, *shape, generator=generator, dtype=torch.float64)
    else:
        inputs = torch.randint(words, (count, *shape), generator=generator)
    return inputs, torch.randint(3, (count,), generator=generator)


def double_task(make, data=None, **options):
    """A task for ``make(params)`` with two epochs of batches of 8, 8 and 6."""
    data = data or examples(5)
    defaults = {
        "loss": "cross_entropy",
        "optimizer": "sgd",
        "train": data,
        "validation": examples(*data[0].shape[1:], seed=1) if data[0].is_floating_point() else data,
        "batch_size": 8,
        "epochs": 2,
    }
    return SupervisedTask(lambda params: make(params).double(), **(defaults | options))


class Line:
    """Trials one after another whose weights are kept in memory."""

    def __init__(self):
        self.store = Checkpoints()
        self.store.open("line")
        self.records = {}

    def handle(self, number, params, *, seed=None, donor=None, inherit=None, budget=None):
        trial = Trial(
            number,
            params,
            params,
            seed=number if seed is None else seed,
            weights_from=donor,
            inherit=inherit or {},
            budget=budget,
        )
        weights = TrialWeights(self.store, number, self.records, wanted=True, write=False)
        return RunningTrial(trial, weights)

    def state(self, handle):
        """Return what a trial has kept, and the epochs noted with it."""
        self.records[handle.number] = handle.weights.written()
        return self.store.load(handle.number, self.records[handle.number])


def run_each(task, handles):
    results = []
    for handle in handles:
        try:
            results.append(task(handle))
        except Exception as error:
            results.append(error)
    return results


def assert_alike(found, expected, **tolerance):
    """Compare results, or nested states, up to rounding."""
    tolerance = tolerance or {"rel": 1e-8, "abs": 1e-10}
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=tolerance["rel"], atol=tolerance["abs"])
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_alike(found[key], value, **tolerance)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for own, value in zip(found, expected, strict=True):
            assert_alike(own, value, **tolerance)
    elif isinstance(expected, Exception):
        assert repr(found) == repr(expected)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, nan_ok=True, **tolerance)
    else:
        assert found == expected


def assert_same_training(task, genomes, *, budget=None):
    """Train one by one and together: metrics, reports and kept weights must agree."""
    lines = Line(), Line()
    alone, together = (
        [line.handle(n, genome, budget=budget) for n, genome in enumerate(genomes)]
        for line in lines
    )
    expected = run_each(task, alone)
    found = train_together(task, together)
    for own, other, handle, twin in zip(found, expected, together, alone, strict=True):
        assert isinstance(own, dict | Exception), own
        if isinstance(other, Exception):
            assert_alike(own, other)
            continue
        assert list(own) == list(other)
        assert_alike(without_seconds(own), without_seconds(other))
        assert_alike(list(handle.reports), list(twin.reports))
        assert_alike(lines[1].state(handle), lines[0].state(twin))
    return found
