import logging
from dataclasses import replace

import pytest
import torch
from torch import nn

import evotune as et
from evotune.errors import ExecutionError, TaskError
from evotune.testing.executors import ExecutorContract, make_trial, run_trials
from helpers_training import blob_task, blobs, mlp, without_seconds


class TestStackedExecutor(ExecutorContract):
    """With functions, which it runs one by one."""

    runs_in_background = False

    @pytest.fixture
    def executor(self):
        executor = et.StackedExecutor(members=3)
        yield executor
        executor.close()


def trials(count, **params):
    return [make_trial(n, lr=0.01 * (n + 1), **params) for n in range(count)]


def run(task, started, executor=None):
    executor = executor or et.StackedExecutor()
    executor.open(task)
    return run_trials(executor, started)


def metrics(results):
    return {number: without_seconds(result.metrics) for number, result in results.items()}


def test_what_it_measures_is_what_one_by_one_training_measures(caplog):
    task = blob_task()
    together = metrics(run(task, trials(5)))
    alone = metrics(run(task, trials(5), et.InlineExecutor()))
    for number, expected in alone.items():
        assert together[number] == pytest.approx(expected, rel=1e-4)
    assert not caplog.records  # nothing was trained one by one


def test_networks_of_different_shapes_are_grouped(caplog):
    task = blob_task(model=lambda params: mlp(width=params["width"]))
    started = [replace(t, params={**t.params, "width": 4 + 4 * (t.number % 2)}) for t in trials(6)]
    together, alone = (metrics(run(task, started, e)) for e in (None, et.InlineExecutor()))
    for number, expected in alone.items():
        assert together[number] == pytest.approx(expected, rel=1e-4)
    assert not caplog.records


def test_what_cannot_be_stacked_is_trained_one_by_one_and_says_why_once(caplog):
    class Moody(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3)

        def forward(self, x):
            out = self.layer(x)
            return out if out.sum() > 0 else 2 * out

    task = blob_task(model=lambda params: Moody())
    with caplog.at_level(logging.WARNING, logger="evotune"):
        together = metrics(run(task, trials(4)))
    assert len(caplog.records) == 1
    assert "one by one" in caplog.text
    assert together == metrics(run(task, trials(4), et.InlineExecutor()))


def test_a_member_that_diverges_fails_alone():
    started = trials(4)
    started[2] = replace(started[2], params={"lr": 1e30})
    results = run(blob_task(epochs=5), started)
    assert [isinstance(results[n], et.Failure) for n in range(4)] == [False, False, True, False]
    assert "loss became" in results[2].message


def test_a_gene_without_effect_ends_the_run():
    study = et.Study(
        et.RandomSearch(et.Space(lr=et.Float(0.01, 0.1), speed=et.Float(0, 1))), "max accuracy"
    )
    with pytest.raises(TaskError, match="speed"):
        study.run(blob_task(), trials=4, executor=et.StackedExecutor())


def test_a_population_trains_stacked_by_itself(monkeypatch):
    sizes = []
    submit = et.StackedExecutor.collect

    def collect(self, timeout=None):
        sizes.append(len(self._waiting))
        return submit(self, timeout)

    monkeypatch.setattr(et.StackedExecutor, "collect", collect)
    space = et.Space(lr=et.Float(0.001, 0.1, log=True))
    pbt = et.PopulationBasedTraining(space, population_size=6)
    study = et.Study(pbt, "max accuracy", seed=1).run(blob_task(), epochs=3)
    assert sizes == [6, 6, 6]
    assert study.stop_reason == "epochs"


def test_stacked_and_one_by_one_take_the_same_decisions(tmp_path):
    """And go on with one another's weights."""
    space = et.Space(lr=et.Float(0.001, 0.1, log=True), momentum=et.Float(0.0, 0.9))

    def study(name):
        pbt = et.PopulationBasedTraining(space, population_size=5)
        return et.Study(pbt, "min loss", seed=3, name=name, storage=tmp_path / "runs.db")

    torch.set_num_threads(1)
    with study("stacked") as stacked:
        stacked.run(blob_task(), epochs=6)
    with study("alone") as alone:
        alone.run(blob_task(), epochs=6, workers=1)
    with study("mixed") as mixed:
        mixed.run(blob_task(), epochs=3)
    with study("mixed") as mixed:
        mixed.run(blob_task(), epochs=6, workers=1)
    for trial, other, third in zip(stacked.trials, alone.trials, mixed.trials, strict=True):
        assert trial.genome == other.genome == third.genome
        assert trial.weights_from == other.weights_from == third.weights_from
        assert trial.values == pytest.approx(other.values, rel=1e-3)
        assert trial.values == pytest.approx(third.values, rel=1e-3)


def test_more_than_fits_into_memory_trains_in_turns():
    inputs, _ = blobs()
    assert len(inputs) == 300
    little = et.StackedExecutor(memory=1)
    together = metrics(run(blob_task(), trials(3), little))
    for number, expected in metrics(run(blob_task(), trials(3))).items():
        assert together[number] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("options", [{"members": 0}, {"members": 1.5}, {"memory": 0}])
def test_numbers_that_make_no_sense_say_so(options):
    with pytest.raises(ExecutionError, match=next(iter(options))):
        et.StackedExecutor(**options)
