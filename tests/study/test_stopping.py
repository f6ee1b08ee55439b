"""Trials that end early: in every executor, in the record, and in what comes of it."""

import logging
import pickle

import pytest

import evotune as et
from evotune.analysis.data import prepare
from evotune.errors import StudyError
from helpers_study import decisions

SPACE = et.Space(slope=et.Float(0.1, 1.0), width=et.Int(1, 64, log=True))
STEPS = 8
RULE = et.MedianStopping(startup=3)


class When:
    """Stops trials by a condition on their reports; any object with these methods is a rule."""

    def __init__(self, stops):
        self.stops = stops

    def fresh(self, objectives):
        return self

    def tell(self, trial):
        pass

    def bar(self):
        return self


def train(trial):
    """A straight line down to ``1 - slope``, which tells after two steps how it will end."""
    loss = 1.0
    try:
        for step in trial.epochs(default=STEPS):
            loss = 1 - trial.params["slope"] * (step + 1) / STEPS
            trial.report(loss=loss, width=trial.params["width"])
            trial.keep(progress=loss)
    except Exception:
        return {"loss": -1.0, "width": 0}  # a careless function does not swallow the signal
    return {"loss": loss, "width": trial.params["width"]}


def train_on(trial):
    """The same where weights are inherited."""
    trial.resume()
    for epoch in trial.epochs():
        loss = 1 - trial.params["slope"] * (epoch + 1) / 16
        trial.keep(progress=loss)
        trial.report(loss=loss, slope=trial.params["slope"])
    return loss


def study(objectives="min loss", algorithm=None, **options):
    algorithm = algorithm or et.RandomSearch(SPACE)
    return et.Study(algorithm, objectives, seed=1, **options)


def stopped(study):
    return [t for t in study.trials if t.state == "stopped"]


def test_hopeless_trials_end_early_with_what_they_reported_last():
    done = study().run(train, trials=40, stopping=RULE)
    assert 10 < len(stopped(done)) < 37
    for trial in stopped(done):
        assert trial.number >= 3
        assert 2 <= len(trial.reports) < STEPS
        assert trial.metrics["loss"] == trial.reports[-1]["loss"] == trial.values[0]
        assert trial.metrics["width"] == trial.params["width"]
        assert 0 < trial.metrics["train_seconds"] < 1
        assert trial.failure is None
    best = max(t.params["slope"] for t in done.trials)
    assert done.best.params["slope"] == best
    assert done.best.state == "done"
    assert done.counts["stopped"] + done.counts["done"] == 40


def test_the_same_in_worker_processes_one_at_a_time(tmp_path):
    here = study().run(train, trials=12, stopping=RULE)
    there = study().run(train, trials=12, stopping=RULE, executor=et.ProcessExecutor(1))
    assert decisions(there) == decisions(here)
    assert [len(t.reports) for t in there.trials] == [len(t.reports) for t in here.trials]


@pytest.mark.parametrize("make", [et.RandomSearch, et.Genetic])
def test_killed_and_run_again_it_goes_as_if_it_had_never_stopped(make, tmp_path):
    whole = study(algorithm=make(SPACE)).run(train, trials=30, stopping=RULE)
    for trials in (7, 15, 30):
        with study(algorithm=make(SPACE), storage=tmp_path / "runs.db") as part:
            part.run(train, trials=trials, stopping=RULE)
    assert decisions(part) == decisions(whole)


def test_a_killed_trial_is_judged_by_what_was_known_when_it_was_proposed(tmp_path):
    """Later results must not raise its bar, or the order of a restart would show."""
    whole = study().run(train, trials=20, stopping=RULE)
    number = next(t.number for t in whole.trials[10:] if t.state == "done")
    with study(storage=tmp_path / "runs.db") as first:
        first.run(train, trials=number, stopping=RULE)
        assert first.ask().number == number  # and its process is killed
        perfect = tuple({"step": step, "loss": 0.0} for step in range(STEPS))
        for later in [first.ask() for _ in range(2 * number)]:
            outcome = et.Outcome({"loss": 0.0, "width": 1.0}, perfect)
            first._engine.record({later.number: outcome}, in_order=False)
    again = study(storage=tmp_path / "runs.db")
    again.run(train, trials=3 * number + 2, stopping=RULE)
    assert again.trials[number].state == "done"
    assert again.trials[number].values == whole.trials[number].values
    assert again.trials[-1].state == "stopped"


def test_in_order_a_run_with_several_workers_is_always_the_same():
    runs = [
        study(algorithm=et.Genetic(SPACE, population_size=4)).run(
            train, trials=16, stopping=RULE, workers=2, deterministic=True
        )
        for _ in range(2)
    ]
    assert stopped(runs[0])
    assert decisions(runs[0]) == decisions(runs[1])


def test_domination_spares_what_is_good_in_something():
    both = ["min loss", "min width"]
    done = study(both).run(train, trials=60, stopping=et.DominationStopping(startup=5))
    assert stopped(done)
    ended = [t for t in done.trials if t.state == "done"]
    true = [(-t.params["slope"], t.params["width"]) for t in done.trials]
    front = {
        k
        for k, a in enumerate(true)
        if not any(b[0] <= a[0] and b[1] <= a[1] and a != b for b in true)
    }
    assert front <= {t.number for t in ended}
    assert {t.number for t in done.front} == front


def test_without_values_it_is_stopped_and_not_failed():
    def evaluate(trial):
        return train(trial) | {"size": 1.0}

    done = study("min size").run(
        evaluate, trials=20, stopping=et.MedianStopping("min loss", startup=3), max_failures=0.0
    )
    assert stopped(done)
    assert all(t.values is None and t.metrics["loss"] for t in stopped(done))


def test_a_stopped_trial_is_the_best_only_while_none_is_done():
    done = study().run(train, trials=4, stopping=When(lambda report: report["step"] >= 1))
    assert done.counts == {"stopped": 4}
    assert done.best.values == min(t.values for t in done.trials)
    done.tell(done.ask(), {"loss": 0.99, "width": 1})
    assert done.best.number == 4
    assert done.averaged() == [done.best]
    data = prepare(done)
    assert data.best.number == 4
    assert data.done[data.best_so_far[-1]].number == 4


def test_weights_kept_before_the_end_stay():
    population = et.PopulationBasedTraining(SPACE, population_size=6, interval=4)
    done = study(algorithm=population).run(
        train_on, epochs=12, stopping=et.MedianStopping(startup=2), max_failures=0.0
    )
    assert stopped(done)
    assert done.stop_reason == "epochs"
    for trial in stopped(done):
        assert trial.checkpoint.epochs == trial.reports[-1]["step"] + 1
        assert len(trial.reports) < trial.budget


def test_lost_weights_of_a_stopped_trial_are_trained_to_the_same_end(tmp_path, caplog):
    def run(place, *epochs):
        for total in epochs:
            population = et.PopulationBasedTraining(SPACE, population_size=4, interval=4)
            store = et.Checkpoints(place / "weights", write_every=100)
            with study(algorithm=population, storage=place / "runs.db", checkpoints=store) as part:
                part._engine.save_weights = lambda: None  # as if it were killed at the end
                part.run(train_on, epochs=total, stopping=rule)
                trials = part.trials
        return trials

    rule = When(lambda report: report["slope"] < 0.8 and report["step"] % 4 == 2)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = run(tmp_path / "a", 16)
    with caplog.at_level(logging.INFO, logger="evotune"):
        parts = run(tmp_path / "b", 8, 16)
    again = [number for r in caplog.records if "again" in r.msg for number in r.args[0]]
    assert any(parts[number].state == "stopped" for number in again)
    assert [(t.state, t.values, t.weights_from) for t in parts] == [
        (t.state, t.values, t.weights_from) for t in whole
    ]
    epochs = [[t.checkpoint and t.checkpoint.epochs for t in trials] for trials in (whole, parts)]
    assert epochs[0] == epochs[1]


def test_stopped_trials_are_stored_and_read_alike(tmp_path):
    first = study(storage=tmp_path / "runs.db").run(train, trials=12, stopping=RULE)
    first.close()
    again = study(storage=tmp_path / "runs.db")
    assert [t.state for t in again.trials] == [t.state for t in first.trials]
    assert again.best == first.best
    assert all(t.bar is None for t in (*first.trials, *again.trials))


def test_the_target_is_reached_by_whole_trials_only():
    def evaluate(trial):
        trial.report(step=1, loss=0.0 if trial.number == 5 else 1.0)
        return 2.0

    rule = When(lambda report: report["loss"] == 0)
    done = study().run(evaluate, trials=8, target=0.5, stopping=rule)
    assert [t.number for t in stopped(done)] == [5]
    assert done.stop_reason == "trials"


def test_who_swallows_the_signal_is_ended_at_the_next_report():
    def evaluate(trial):
        for step in range(STEPS):
            try:
                trial.report(loss=float(trial.number))
            except BaseException:
                if step == STEPS - 1:
                    return {"loss": 7.0}
        return {"loss": float(trial.number)}

    done = study().run(evaluate, trials=5, stopping=RULE)
    assert [t.state for t in done.trials] == ["done"] * 3 + ["stopped"] * 2
    assert done.trials[4].metrics["loss"] == 7.0


def test_a_task_reports_after_every_epoch_when_a_rule_looks_at_it():
    pytest.importorskip("torch")
    from helpers_training import blob_task

    space = et.Space(lr=et.Float(1e-4, 1.0, log=True))
    done = et.Study(et.RandomSearch(space), "min loss", seed=1)
    done.run(blob_task(epochs=4), trials=8, stopping=et.MedianStopping(startup=2))
    assert {len(t.reports) for t in done.trials if t.state == "done"} == {4}
    assert stopped(done)
    assert all({"loss", "accuracy", "train_loss"} <= set(t.metrics) for t in stopped(done))
    genetic = et.Study(et.Genetic(space, population_size=2), "min loss", seed=1)
    genetic.run(blob_task(), trials=2, epochs=3, stopping=RULE)  # not stacked then
    assert {len(t.reports) for t in genetic.trials} == {3}


def test_a_stacked_executor_cannot_end_one_of_its_trials():
    with pytest.raises(StudyError, match="StackedExecutor"):
        study().run(train, trials=5, stopping=RULE, executor=et.StackedExecutor())


@pytest.mark.parametrize("given", ["MedianStopping", et.MedianStopping, 5])
def test_what_is_no_rule_is_refused(given):
    with pytest.raises(StudyError, match=r"MedianStopping\(\)"):
        study().run(train, trials=5, stopping=given)


def test_a_function_that_reports_nothing_is_said(caplog):
    with caplog.at_level(logging.WARNING, logger="evotune"):
        options = {"trials": 6, "algorithm": "RandomSearch", "seed": 1}
        et.tune(lambda t: t.params["slope"], SPACE, "min loss", stopping=RULE, **options)
    assert sum("trial.report(loss=...)" in r.getMessage() for r in caplog.records) == 1


def test_rules_can_be_compared_and_sent():
    assert pickle.loads(pickle.dumps(RULE)) == RULE == et.MedianStopping(startup=3)
