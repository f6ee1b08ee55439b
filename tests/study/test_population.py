"""Weights handed from trial to trial: the right ones, kept as long as needed, and no longer."""

import html
import os
import random
import shutil
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import evotune as et
import helpers_warm
from evotune.errors import (
    AlgorithmError,
    CheckpointError,
    NoResultError,
    ScheduleError,
    StudyError,
    TaskError,
)
from evotune.study import controls
from evotune.study.controls import find_comparison
from helpers_members import Member, line_of, population, population_space, train_member
from helpers_study import decisions
from helpers_training import blob_task, start

MODES = {
    "three parents": {},
    "two parents": {"parents": 2},
    "classic": {"parents": 1, "population_size": 8},
    "asynchronous": {"asynchronous": True},
    "both children": {"both_children": True, "population_size": 4},
}


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.safetensors")}


def check_lines(study: et.Study) -> None:
    assert {trial.state for trial in study.trials} == {"done"}
    for trial in study.trials:
        assert trial.metrics["line"] == line_of(study, trial.number)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("storage", [None, "runs.db"])
def test_every_trial_starts_from_its_donors_weights(mode, storage, tmp_path):
    where = None if storage is None else tmp_path / storage
    study = et.Study(population(**MODES[mode]), "min loss", seed=1, storage=where)
    study.run(train_member, epochs=8)
    check_lines(study)
    assert study.stop_reason == "epochs"
    if mode != "asynchronous":
        assert max(t.checkpoint.epochs for t in study.trials) == 8
    assert any(t.weights_from is not None for t in study.trials)


def test_workers_hand_weights_over_in_files(tmp_path):
    runs = []
    for workers in (1, 2):
        study = et.Study(population(), "min loss", seed=1)
        study.run(train_member, epochs=5, workers=workers)
        check_lines(study)
        runs.append(decisions(study))
        study.close()
    assert runs[0] == runs[1]


def test_files_that_nobody_needs_are_removed(tmp_path):
    with et.Study(population(), "min loss", seed=1, storage=tmp_path / "runs.db") as study:
        study.run(train_member, epochs=7)
        needed = {*study.algorithm.donors(), study.best.number}
        assert files(tmp_path / "runs.db.checkpoints") == {f"trial-{n}.safetensors" for n in needed}
        kept = {t.number for t in study.trials if t.checkpoint and not t.checkpoint.deleted}
        assert kept == needed


def test_an_interval_that_does_not_divide_the_epochs_is_cut_short():
    study = et.Study(population(interval=3), "min loss", seed=1).run(train_member, epochs=8)
    assert sorted({(t.origin.generation, t.budget) for t in study.trials}) == [
        (0, 3),
        (1, 3),
        (2, 2),
    ]
    assert len(study.schedule()) == 8
    first = study.schedule(0)
    assert len(first) == 3


def test_more_epochs_go_on_where_it_ended(tmp_path):
    whole = et.Study(population(), "min loss", seed=2).run(train_member, epochs=9)
    for epochs in (4, 4, 9):
        with et.Study(population(), "min loss", seed=2, storage=tmp_path / "runs.db") as study:
            study.run(train_member, epochs=epochs)
            result = decisions(study)
    assert result == decisions(whole)


def test_epochs_are_a_budget_to_an_algorithm_that_gives_none():
    seen = []

    def train(trial):
        seen.append(len(list(trial.epochs())))
        return 1.0

    et.Study(et.RandomSearch(population_space()), "min loss").run(train, trials=3, epochs=5)
    assert seen == [5, 5, 5]


def test_a_function_that_keeps_nothing_is_told_what_to_write():
    study = et.Study(population(), "min loss")
    with pytest.raises(AlgorithmError, match=r"trial\.keep\(model=model"):
        study.run(lambda trial: trial.params["lr"], epochs=4)
    assert len(study.trials) == 6  # the generation that was trained is not lost


def test_a_member_that_keeps_nothing_is_never_a_donor():
    def forgetful(trial):
        result = train_member(trial)
        if trial.number % 3 == 0:
            trial.weights._kept = None
            result["loss"] = 0.0  # the best by far
        return result

    study = et.Study(population(), "min loss", seed=3).run(forgetful, epochs=6)
    donors = {n for t in study.trials for n in t.donors}
    assert donors
    assert not [n for n in donors if n % 3 == 0]


def test_a_generation_that_fails_as_a_whole_goes_on_from_the_one_before():
    def train(trial):
        result = train_member(trial)
        if 6 <= trial.number < 12:
            raise RuntimeError("power cut")
        return result

    study = et.Study(population(), "min loss", seed=3)
    study.run(train, epochs=4, max_failures=1)
    assert {t.weights_from for t in study.trials[12:18]} <= set(range(6))
    assert study.counts["failed"] == 6


def test_ask_and_tell_leave_the_weights_to_the_caller():
    study = et.Study(population(), "min loss", seed=4)
    kept: dict[int, float] = {}
    for _ in range(30):
        trial = study.ask()
        assert trial is not None
        start = 1.0 if trial.weights_from is None else kept[trial.weights_from]
        kept[trial.number] = start * (1 - trial.params["lr"])
        study.tell(trial, kept[trial.number])
    assert study.trials[-1].checkpoint.epochs == 5


# -- damage ---------------------------------------------------------------------------------------


def break_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [break_off, flip, Path.unlink])
def test_a_damaged_checkpoint_fails_its_child_and_the_population_goes_on(damage, tmp_path):
    with et.Study(population(), "min loss", seed=1, storage=tmp_path / "runs.db") as study:
        study.run(train_member, epochs=3)
        best = min(study.trials[-6:], key=lambda t: t.values)
        assert best.number in study.algorithm.donors()
    damage(tmp_path / "runs.db.checkpoints" / "study" / f"trial-{best.number}.safetensors")
    with et.Study(population(), "min loss", seed=1, storage=tmp_path / "runs.db") as study:
        study.run(train_member, epochs=8)
        failed = [t for t in study.trials if t.failure]
        assert failed
        assert {t.failure.kind for t in failed} == {"checkpoint"}
        assert {t.weights_from for t in failed} == {best.number}
        assert f"trial {best.number}" in failed[0].failure.message
        assert max(t.checkpoint.epochs for t in study.trials if t.is_done) == 8
        for trial in study.trials:
            if trial.is_done:
                assert trial.metrics["line"] == line_of(study, trial.number)


def test_a_quota_is_kept(tmp_path):
    sizes = []

    def watch(study, trial):
        sizes.append(sum(p.stat().st_size for p in tmp_path.rglob("*.safetensors")))

    def train(trial):
        result = train_member(trial)
        watch(None, None)
        return result

    one = 700  # bytes of a file, about
    store = et.Checkpoints(tmp_path / "weights", quota=9 * one)
    study = et.Study(population(), "min loss", seed=1, checkpoints=store)
    study.run(train, epochs=8, workers=1, callbacks=watch)
    check_lines(study)
    assert max(sizes) <= 9 * one
    assert max(sizes) > 5 * 300


def test_a_quota_too_small_is_an_error_before_anything_is_lost(tmp_path):
    options = {"storage": tmp_path / "runs.db", "name": "tight"}
    tight = et.Checkpoints(tmp_path / "weights", quota=2500)
    with (
        et.Study(population(), "min loss", seed=1, checkpoints=tight, **options) as study,
        pytest.raises(CheckpointError, match="quota"),
    ):
        study.run(train_member, epochs=5)
    wide = et.Checkpoints(tmp_path / "weights", quota="1 MB")
    with et.Study(population(), "min loss", seed=1, checkpoints=wide, **options) as study:
        study.run(train_member, epochs=5)
        check_lines(study)
        expected = et.Study(population(), "min loss", seed=1).run(train_member, epochs=5)
        assert decisions(study) == decisions(expected)


# -- weights that were in memory only -------------------------------------------------------------


@pytest.mark.parametrize("write_every", [2, 3, None])
def test_weights_that_went_with_a_process_are_trained_again(write_every, tmp_path):
    expected = et.Study(population(), "min loss", seed=5).run(train_member, epochs=9)
    runs: list[int] = []

    def train(trial):
        runs.append(trial.number)
        return train_member(trial)

    def study():
        store = et.Checkpoints(tmp_path / "weights", write_every=write_every)
        return et.Study(
            population(), "min loss", seed=5, storage=tmp_path / "runs.db", checkpoints=store
        )

    def stop_dead(opened, trial):
        if trial.number == 31:
            raise SystemError("as if killed")

    first = study()
    first._engine.save_weights = lambda: None  # a killed process writes nothing at its end
    with pytest.raises(SystemError):
        first.run(train, epochs=9, callbacks=stop_dead)
    first.close()
    runs.clear()
    with study() as second:
        second.run(train, epochs=9)
        assert decisions(second) == decisions(expected)
        check_lines(second)
    again = [n for n in runs if n <= 31]
    assert again
    if write_every is not None:  # only back to the last generation that was written
        assert min(again) >= 30 - 6 * write_every


def test_weights_that_cannot_be_trained_again_end_the_run_and_no_trial(tmp_path):
    def study():
        return stored(tmp_path, checkpoints=et.Checkpoints(write_every=None))

    def stop_dead(opened, trial):
        if trial.number == 20:
            raise SystemError("as if killed")

    def broken(trial):
        raise RuntimeError("a slip of the pen")

    first = study()
    first._engine.save_weights = lambda: None
    with pytest.raises(SystemError):
        first.run(train_member, epochs=6, callbacks=stop_dead)
    first.close()
    for train in (broken, lambda trial: 1.0):  # fails; keeps nothing
        with study() as second:
            with pytest.raises(CheckpointError, match=r"training them again failed.*nothing was"):
                second.run(train, epochs=6, max_failures=1)
            assert "failed" not in second.counts
    with study() as third:
        third.run(train_member, epochs=6)
        check_lines(third)
        expected = et.Study(population(), "min loss", seed=1).run(train_member, epochs=6)
        assert decisions(third) == decisions(expected)


def test_at_the_end_of_a_run_all_needed_weights_are_written(tmp_path):
    store = et.Checkpoints(tmp_path / "weights", write_every=None)
    with et.Study(
        population(), "min loss", seed=5, storage=tmp_path / "runs.db", checkpoints=store
    ) as study:
        study.run(train_member, epochs=3)
        needed = {*study.algorithm.donors(), study.best.number}
    assert files(tmp_path / "weights") == {f"trial-{n}.safetensors" for n in needed}


# -- killed ---------------------------------------------------------------------------------------

DRIVER = """
import sys
import tempfile
sys.path.insert(0, {tests!r})
import evotune as et
from helpers_members import population, train_member

def train(trial):
    open({log!r}, "a").write(f"{{trial.number}}\\n")
    return train_member(trial)

store = et.Checkpoints({weights!r}, quota={quota}, write_every={write_every})
study = et.Study(
    population({options}), "min loss", storage={db!r}, name="killed", seed=7, checkpoints=store
)
study.run(train, epochs={epochs}, workers={workers})
print("finished")
"""


@pytest.mark.parametrize(
    ("options", "workers", "write_every", "quota"),
    [
        ("", 1, 1, None),
        ("", 2, 1, None),
        ("", 1, 3, None),
        ("", 1, 1, 9 * 700),
        ("weights='kin'", 2, 1, None),
    ],
    ids=["inline", "workers", "every third generation", "quota", "kin"],
)
def test_killed_at_random_moments_it_ends_as_if_never_killed(
    options, workers, write_every, quota, tmp_path
):
    script, log, kills = tmp_path / "driver.py", tmp_path / "log", 0
    script.write_text(
        DRIVER.format(
            tests=str(Path(__file__).parents[1]),
            log=str(log),
            weights=str(tmp_path / "weights"),
            db=str(tmp_path / "runs.db"),
            options=options,
            epochs=12,
            workers=workers,
            write_every=write_every,
            quota=quota,
        )
    )
    rng = random.Random(write_every * 10 + workers)
    while True:
        process = helpers_warm.start(script)
        if kills < 3:
            size = log.stat().st_size if log.exists() else 0
            while process.poll() is None and (log.stat().st_size if log.exists() else 0) == size:
                time.sleep(0.001)
            time.sleep(rng.uniform(0.0, 0.08))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
        out, _ = process.communicate()
        if "finished" in out:
            break
        assert process.returncode == -signal.SIGKILL
    assert kills >= 2
    chosen = {"weights": "kin"} if options else {}
    expected = et.Study(population(**chosen), "min loss", seed=7).run(train_member, epochs=12)
    with et.Study(
        population(**chosen), "min loss", storage=tmp_path / "runs.db", name="killed", seed=7
    ) as study:
        assert decisions(study) == decisions(expected)
        if not chosen:  # a mean of two has no single line
            check_lines(study)


KILLED_LATE = """
import os, signal, sys
import evotune as et
sys.path.insert(0, sys.argv[1])
from evotune.study import controls
from helpers_members import Member, population

def train(trial):
    member = Member(trial.seed, size=1000)
    trial.resume(member=member)
    for _ in trial.epochs():
        member.weights = member.weights * (1 - trial.params["lr"])
    trial.keep(member=member)
    if trial.number == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return abs(member.weights).sum()

store = et.Checkpoints(sys.argv[3], quota=int(sys.argv[5]), write_every=eval(sys.argv[4]))
study = et.Study(population(), "min loss", storage=sys.argv[3] + "/runs.db", seed=7,
                 checkpoints=store)
study.run(train, epochs=12, workers=int(sys.argv[6]))
print(study.best.number)
"""


def test_a_late_kill_goes_on_under_its_quota(tmp_path):
    arguments = [str(tmp_path), "None", str(10 * 8400)]
    for kill_at, processes in ((69, 1), (-1, 2)):
        command = [str(Path(__file__).parents[1]), str(kill_at), *arguments, str(processes)]
        done = helpers_warm.run("-c", KILLED_LATE, *command, timeout=60)
        assert done.returncode == (0 if kill_at < 0 else -signal.SIGKILL), done.stderr


# -- what comes of it -----------------------------------------------------------------------------


def test_the_schedule_is_the_winners_line():
    study = et.Study(population(interval=2), "min loss", seed=1).run(train_member, epochs=10)
    schedule = study.schedule()
    last = [t for t in study.trials if t.checkpoint.epochs == 10]
    number, line = min(last, key=lambda t: t.values).number, []
    while number is not None:
        line.insert(0, study.trials[number])
        number = line[0].weights_from
    assert len(schedule) == 2 * len(line)
    for epoch in range(len(schedule)):
        assert schedule[epoch] == line[epoch // 2].params


def test_a_schedule_needs_trials_with_epochs():
    study = et.Study(et.RandomSearch(population_space()), "min loss")
    with pytest.raises(NoResultError):
        study.schedule()
    study.run(lambda trial: 1.0, trials=2)
    with pytest.raises(ScheduleError):
        study.schedule()


def test_the_best_weights_can_be_restored(tmp_path):
    with et.Study(population(), "min loss", seed=1, storage=tmp_path / "runs.db") as study:
        study.run(train_member, epochs=6)
        best = study.best
    with et.Study(population(), "min loss", seed=1, storage=tmp_path / "runs.db") as study:
        member = Member(0)
        assert study.restore(member=member).number == best.number
        assert member.history[-1] == best.number
        with pytest.raises(CheckpointError, match=rf"trial {best.number} kept member, not net; "):
            study.restore(net=member)
        gone = next(t.number for t in study.trials if t.checkpoint.deleted)
        with pytest.raises(CheckpointError, match="deleted"):
            study.restore(gone, member=member)


def test_restoring_needs_kept_weights():
    study = et.Study(et.RandomSearch(population_space()), "min loss")
    study.run(lambda trial: 1.0, trials=2)
    with pytest.raises(NoResultError, match="kept"):
        study.restore(member=Member(0))
    with pytest.raises(CheckpointError, match="trial 1 has kept no weights"):
        study.restore(1, member=Member(0))


def test_a_trial_with_inherited_weights_is_no_repeat():
    space = et.Space(kind=et.Choice("a", "b"))

    def train(trial):
        member = Member(trial.seed)
        trial.resume(member=member)
        list(trial.epochs())
        trial.keep(member=member)
        return trial.number

    pbt = et.PopulationBasedTraining(space, population_size=4)
    study = et.Study(pbt, "min loss", seed=1).run(train, epochs=5)
    assert {t.repeat_of for t in study.trials} == {None}
    assert not study.exhausted


def test_random_search_beside_it_trains_as_many_epochs(tmp_path):
    study = et.Study(population(), "min loss", seed=1, storage=tmp_path / "runs.db")
    study.run(train_member, epochs=6)
    comparison = study.compare_with_random(train_member, runs=3)
    assert [len(values) for values in comparison.arms.values()] == [3, 3]
    last = [t.metrics["loss"] for t in study.trials if t.checkpoint.epochs == 6]
    assert comparison.arms["evolution"][0] == min(last)
    spent = {
        summary.definition.name: sum(
            t.budget for t in study.storage.trials(summary.definition.name)
        )
        for summary in study.storage.studies()
    }
    assert set(spent.values()) == {36.0}
    assert len(spent) == 6
    assert "random search" in str(comparison)


def test_a_comparison_goes_on_where_it_was_stopped(tmp_path):
    study = et.Study(population(), "min loss", seed=1, storage=tmp_path / "runs.db")
    study.run(train_member, epochs=4)
    calls = []

    def breaks(trial):
        calls.append(trial.number)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return train_member(trial)

    with pytest.raises(KeyboardInterrupt):
        study.compare_with_random(breaks, runs=3)
    resumed = study.compare_with_random(train_member, runs=3)
    other = et.Study(population(), "min loss", seed=1).run(train_member, epochs=4)
    assert resumed.arms == other.compare_with_random(train_member, runs=3).arms


def test_a_comparison_may_have_further_arms_that_its_report_finds(tmp_path):
    def drifting(trial):
        metrics = train_member(trial)
        return metrics | {"loss": metrics["loss"] + 1}

    study = et.Study(population(), "min loss", seed=1, storage=tmp_path / "runs.db", name="a")
    study.run(train_member, epochs=4)
    with pytest.raises(StudyError, match="are of a SupervisedTask"):
        study.compare_with_random(train_member, controls=["averaged"])
    for wrong in ("averaged", 3, {"evolution": drifting}, {"other": 1}):
        with pytest.raises(StudyError, match="controls="):
            study.compare_with_random(train_member, controls=wrong)
    found = study.compare_with_random(train_member, runs=3, controls={"one more": drifting})
    assert list(found.arms) == ["evolution", "random search", "one more"]
    pairs = zip(found.arms["random search"], found.arms["one more"], strict=True)
    assert all(b == pytest.approx(a + 1) for a, b in pairs)  # the same seeds and settings
    assert found.epochs["one more"] == found.epochs["random search"]
    assert "corrected for 2 comparisons" in str(found)
    assert find_comparison(study.storage, "a").arms == found.arms
    study.close()


def test_controls_of_a_task_are_averaged_and_decay(tmp_path):
    space = et.Space(lr=et.Float(0.01, 0.3, log=True))
    task = blob_task()
    pbt = et.PopulationBasedTraining(space, population_size=3)
    study = et.Study(pbt, "min loss", seed=1).run(task, epochs=2)
    found = study.compare_with_random(task, runs=2, controls=["last", "cosine"])
    arms = list(found.arms)
    assert arms[2:] == ["random search, last", "random search, cosine"]
    first = study.storage.trials(f"{study.name} · random 0")[0]
    task = blob_task(averaging="ema", epochs=2)  # as the population had it by itself
    assert first.values == (task(start(first.params, seed=first.seed, budget=2))["loss"],)
    assert len({found.arms[arm] for arm in arms[1:]}) == 3
    assert blob_task().control("averaged", 2).averaging == "ema"
    with pytest.raises(StudyError, match="the same as without it"):
        blob_task(averaging="ema").control("averaged", 2)
    with pytest.raises(StudyError, match='"cosine" and "schedules", got \'linear\''):
        study.compare_with_random(blob_task(), controls=["linear"])


def test_hybrid_over_schedules_is_the_strongest_control(tmp_path):
    space = et.Space(lr=et.Float(0.01, 0.3, log=True), momentum=et.Float(0.0, 0.9))
    pbt = et.PopulationBasedTraining(space, population_size=3)
    study = et.Study(pbt, "min loss", seed=1, storage=tmp_path / "runs.db", name="a")
    study.run(blob_task(), epochs=4)
    found = study.compare_with_random(blob_task(), runs=2, controls=["schedules"])
    assert list(found.arms)[2:] == ["Hybrid over schedules"]
    assert found.epochs["Hybrid over schedules"] == found.epochs["random search"] == 12
    trials = study.storage.trials("a · with Hybrid over schedules 1")
    assert {"start", "shape"} <= set(trials[0].params["lr"])
    assert find_comparison(study.storage, "a").arms == found.arms
    study.close()
    other = et.PopulationBasedTraining(et.Space(momentum=et.Float(0.0, 0.9)), population_size=3)
    without = et.Study(other, "min loss", seed=1)
    task = blob_task(
        optimizer=lambda parameters, params: torch.optim.SGD(parameters, 0.1, **params)
    )
    without.run(task, epochs=2)
    with pytest.raises(StudyError, match="needs a learning rate among the genes"):
        without.compare_with_random(task, runs=2, controls=["schedules"])


def test_replay_trains_the_schedule_a_constant_and_a_baseline():
    study = et.Study(population(), "min loss", seed=1).run(train_member, epochs=6)
    seen: dict[str, list[float]] = {}

    def train(trial):
        arm = trial.record.note["arm"]
        seen.setdefault(arm, []).append(trial.params["lr"])
        return train_member(trial)

    baseline = {"lr": 0.01, "drift": 0.0, "steps": 0}
    result = study.replay(train, runs=5, epochs=12, baseline=baseline)
    assert [len(values) for values in result.arms.values()] == [5, 5, 5]
    assert set(result.arms) == {"schedule", "constant", "baseline"}
    assert set(seen["baseline"]) == {0.01}
    assert set(seen["schedule"]) == {params["lr"] for params in study.schedule()}
    test = result.against("baseline")
    assert test.low <= test.mean <= test.high
    assert test.sign == 1  # 1 % a step cannot keep up
    assert len(set(result.arms["schedule"])) == 5  # fresh weights and other seeds each time


def test_a_stored_replay_is_found_as_it_was_made(tmp_path):
    path, baseline = tmp_path / "runs.db", {"lr": 0.01, "drift": 0.0, "steps": 0}
    with et.Study(population(), "min loss", seed=1, storage=path) as study:
        study.run(train_member, epochs=4)
        assert controls.find_replay(study.storage, "study") is None
        made = study.replay(train_member, runs=4, baseline=baseline)
        found = controls.find_replay(study.storage, "study")
        assert (found.arms, found.epochs) == (made.arms, made.epochs)
        assert found.settings == made.settings
        assert [found.verdict(arm) for arm in ("constant", "baseline")] == [
            made.verdict(arm) for arm in ("constant", "baseline")
        ]
        longer = study.replay(train_member, runs=2, epochs=8)  # without the baseline
        found = controls.find_replay(study.storage, "study")
        assert (found.arms, found.epochs) == (longer.arms, longer.epochs)


@pytest.mark.parametrize("way", ["study", "command line"])
def test_the_report_has_the_outcome_of_a_replay(tmp_path, way):
    path, page = tmp_path / "runs.db", tmp_path / "report.html"
    with et.Study(population(), "min loss", seed=1, storage=path) as study:
        study.run(train_member, epochs=4)
        before = study.report(page, plotly="cdn").read_text("utf-8")
        made = study.replay(train_member, runs=4)
        if way == "study":
            study.report(page, plotly="cdn")
    if way == "command line":
        app = pytest.importorskip("evotune.cli.main").app
        given = ["report", str(path), "study", "-o", str(page), "--plotly", "cdn"]
        app(given, standalone_mode=False)
    assert 'id="replay"' not in before
    text = html.unescape(page.read_text("utf-8"))
    part = text.split('id="replay"')[1].split("</section>")[0]
    verdict = made.verdict("constant")
    verdict = verdict[0].upper() + verdict[1:]
    assert "Mann-Whitney test" in verdict
    assert "95 % interval" in verdict
    assert verdict in part
    assert verdict in text.split("In short")[1].split("</section>")[0]
    assert part.count("<tr>") == 3
    assert f"Constant: lr {made.settings['constant']['lr']:.4g}" in part


def test_more_runs_of_a_replay_are_added_to_those_there_are(tmp_path, caplog):
    calls = []

    def train(trial):
        calls.append(trial.record.origin.arm)
        return train_member(trial)

    study = et.Study(population(), "min loss", seed=1, storage=tmp_path / "runs.db")
    study.run(train_member, epochs=3)
    two = study.replay(train, runs=2).arms
    calls.clear()
    four = study.replay(train, runs=4).arms
    assert {arm: len(values) for arm, values in four.items()} == {"schedule": 4, "constant": 4}
    assert {arm: values[:2] for arm, values in four.items()} == two
    assert calls.count("constant") == 2  # and none to choose the constant again
    assert set(calls) == {"schedule", "constant"}
    calls.clear()
    assert study.replay(train, runs=2).arms == two
    assert calls == []
    assert caplog.text == ""
    other = et.Study(population(), "min loss", seed=1).run(train_member, epochs=3)
    assert other.replay(train_member, runs=4).arms == four  # at once or bit by bit


def test_another_arm_leaves_the_others_as_they_are(tmp_path):
    calls = []

    def train(trial):
        calls.append(trial.record.origin.arm)
        return train_member(trial)

    with et.Study(population(), "min loss", seed=1, storage=tmp_path / "runs.db") as study:
        study.run(train_member, epochs=3)
        before = study.replay(train_member, runs=2).arms
    with et.Study(population(), "min loss", seed=1, storage=tmp_path / "runs.db") as study:
        slow, fast = ({"lr": lr, "drift": 0.0, "steps": 0} for lr in (0.01, 0.09))
        more = study.replay(train, runs=2, baseline=slow).arms
        assert {arm: more[arm] for arm in before} == before
        assert calls == ["baseline"] * 2
        other = study.replay(train, runs=2, baseline=fast).arms
        assert {arm: other[arm] for arm in before} == before
        assert other["baseline"] != more["baseline"]
        assert calls == ["baseline"] * 4
        assert study.replay(train, runs=2, baseline=slow).arms == more
        replayed = study.storage.trials("study · replay")
        members = {t.origin.member: t.origin.arm for t in replayed}
        assert sorted(members.values()) == ["baseline"] * 4 + ["constant"] * 2 + ["schedule"] * 2


def test_a_replay_that_was_stopped_goes_on_after_another_arm_was_added():
    study = et.Study(population(), "min loss", seed=1).run(train_member, epochs=4)
    calls = []

    def breaks(trial):
        calls.append(trial.record.origin.arm)
        if calls.count("schedule") == 4:
            raise KeyboardInterrupt
        return train_member(trial)

    with pytest.raises(KeyboardInterrupt):
        study.replay(breaks, runs=3)
    baseline = {"lr": 0.01, "drift": 0.0, "steps": 0}
    found = study.replay(train_member, runs=3, baseline=baseline).arms
    other = et.Study(population(), "min loss", seed=1).run(train_member, epochs=4)
    assert found == other.replay(train_member, runs=3, baseline=baseline).arms


def test_one_lucky_training_does_not_choose_the_constant(tmp_path):
    study = et.Study(population(), "min loss", seed=1, storage=tmp_path / "runs.db")
    study.run(train_member, epochs=6)
    tried = {}

    def lucky(trial):
        arm = trial.record.origin.arm
        runs = tried.setdefault(arm, [])
        runs.append(trial.params["lr"])
        train_member(trial)
        if arm == "setting 1":
            return {"loss": 0.0 if len(runs) == 1 else 9.0}
        return {"loss": 1.0 + float(arm[-1]) if arm.startswith("setting") else 1.0}

    result = study.replay(lucky, runs=2)
    assert result.settings["constant"]["lr"] == tried["setting 0"][0]
    assert [len(tried[f"setting {k}"]) for k in range(5)] == [3, 3, 3, 1, 1]
    assert "chosen from 5 settings of the schedule: each was trained once, the best 3 of" in (
        str(result)
    )


def test_a_baseline_that_is_made_to_fit_is_said(caplog):
    def fit(space, genome):
        return {**genome, "lr": min(genome["lr"], 0.05)}

    study = et.Study(population(), "min loss", seed=1, fit=fit).run(train_member, epochs=2)
    study.replay(train_member, runs=2, baseline={"lr": 0.01, "drift": 0.0, "steps": 0})
    assert "made to fit" not in caplog.text
    study.replay(train_member, runs=2, baseline={"lr": 0.09, "drift": 0.0, "steps": 0})
    assert "baseline was made to fit the limits of the task: trained was {'lr': 0.05" in caplog.text


def test_comparing_needs_one_objective_and_several_runs():
    several = et.Study(population(), ["min loss", "min last"], seed=1)
    several.run(train_member, epochs=2)
    with pytest.raises(StudyError, match="one objective"):
        several.compare_with_random(train_member)
    study = et.Study(population(), "min loss", seed=1)
    with pytest.raises(StudyError, match="no trials"):
        study.compare_with_random(train_member)
    with pytest.raises(StudyError, match="runs"):
        study.compare_with_random(train_member, runs=1)


def test_checkpoints_of_one_study_are_not_taken_for_anothers(tmp_path):
    store = et.Checkpoints(tmp_path / "weights")
    first = et.Study(population(), "min loss", name="first", checkpoints=store, seed=1)
    with pytest.raises(CheckpointError, match="first"):
        et.Study(population(), "min loss", name="second", checkpoints=store)
    first.run(train_member, epochs=2)
    second = et.Study(
        population(), "min loss", name="second", seed=1, checkpoints=tmp_path / "weights"
    )
    second.run(train_member, epochs=2)
    check_lines(first)
    check_lines(second)


def test_records_say_what_became_of_weights():
    record = et.Checkpoint(3, 100)
    assert not record.deleted
    assert replace(record, deleted=True).deleted


# -- found by trying to break it ------------------------------------------------------------------


@pytest.mark.parametrize(("one", "two"), [("lr0.1", "lr0.5"), ("runs.db", "runs.sqlite")])
def test_two_storages_never_share_weights(one, two, tmp_path):
    for name in (one, two):
        et.Study(population(), "min loss", seed=1, storage=tmp_path / name).run(
            train_member, epochs=3
        ).close()
    with et.Study(population(), "min loss", seed=1, storage=tmp_path / one) as study:
        study.run(train_member, epochs=6)
        check_lines(study)


def test_a_folder_of_another_study_is_refused(tmp_path):
    def study(file):
        return et.Study(
            population(), "min loss", storage=tmp_path / file, checkpoints=tmp_path / "weights"
        )

    with study("a.db") as first:
        first.run(train_member, epochs=2)
    with pytest.raises(CheckpointError, match="another study that is also called 'study'"):
        study("b.db")


def test_a_study_in_memory_runs_again_at_the_same_location(tmp_path):
    for _ in range(2):
        with et.Study(population(), "min loss", seed=1, checkpoints=tmp_path) as study:
            study.run(train_member, epochs=2)
            study.compare_with_random(train_member, runs=2)
            check_lines(study)
    assert len(list(tmp_path.iterdir())) == 4  # the study, one repetition, two of random search


def test_weights_of_a_deleted_study_make_room(tmp_path):
    storage, quota = tmp_path / "runs.db", 9 * 700
    with et.Study(population(), "min loss", storage=storage) as study:
        study.run(train_member, epochs=3)
        study.storage.delete("study")
    store = et.Checkpoints(quota=quota)
    with et.Study(population(), "min loss", storage=storage, checkpoints=store) as study:
        study.run(train_member, epochs=3)
        check_lines(study)


def stored(folder: Path, name: str = "runs.db", **options) -> et.Study:
    return et.Study(population(), "min loss", seed=1, storage=folder / name, **options)


def away(path: Path) -> None:
    path.rename(path.with_name("away"))


def emptied(path: Path) -> None:
    away(path)
    path.mkdir()


def replaced_by_links(path: Path) -> None:
    away(path)
    path.mkdir()
    for file in (path.parent / "away").rglob("*.safetensors"):
        (path / "study").mkdir(exist_ok=True)
        (path / "study" / file.name).symlink_to(file)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("harm", [away, emptied, replaced_by_links])
def test_a_population_whose_weights_are_away_waits_for_them(harm, workers, tmp_path):
    expected = et.Study(population(), "min loss", seed=1).run(train_member, epochs=5)
    with stored(tmp_path) as study:
        study.run(train_member, epochs=3)
        before = study.trials
    folder = tmp_path / "runs.db.checkpoints"
    harm(folder)
    with stored(tmp_path) as study, pytest.raises(CheckpointError, match="nothing was recorded"):
        study.run(train_member, epochs=5, workers=workers, max_failures=1)
    with stored(tmp_path, checkpoints=tmp_path / "elsewhere") as study:
        with pytest.raises(CheckpointError, match=r"elsewhere.*checkpoints= as before"):
            study.run(train_member, epochs=5, workers=workers, max_failures=1)
        assert study.trials == before
    shutil.rmtree(folder, ignore_errors=True)
    (tmp_path / "away").rename(folder)
    with stored(tmp_path) as study:
        study.run(train_member, epochs=5, workers=workers)
        check_lines(study)
        assert decisions(study) == decisions(expected)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("limits", [{"epochs": 3}, {"trials": 18}, {"epochs": 5, "timeout": 1e-9}])
def test_a_finished_study_stays_finished_without_its_weights(limits, workers, tmp_path):
    with stored(tmp_path) as study:
        study.run(train_member, epochs=3, trials=20)
        before = study.trials
    away(tmp_path / "runs.db.checkpoints")
    with stored(tmp_path) as study:
        study.run(train_member, workers=workers, **limits)
        assert study.trials == before
        with pytest.raises(CheckpointError, match="nothing was recorded"):
            study.run(train_member, epochs=9, workers=workers)
        assert study.trials == before
    shutil.rmtree(tmp_path / "runs.db.checkpoints", ignore_errors=True)
    (tmp_path / "away").rename(tmp_path / "runs.db.checkpoints")
    with stored(tmp_path) as study:
        study.run(train_member, epochs=5)
        check_lines(study)


def cut_short(path: Path) -> None:
    shutil.copytree(path, path.with_name("away"))
    for file in path.rglob("*.safetensors"):
        break_off(file)


@pytest.mark.parametrize(("moment", "harm"), [(5, away), (8, away), (5, cut_short)])
def test_weights_that_go_away_amid_a_run_are_no_results(moment, harm, tmp_path):
    expected = et.Study(population(), "min loss", seed=1).run(train_member, epochs=5)
    folder = tmp_path / "runs.db.checkpoints"

    def unmount(study, trial):
        if trial.number == moment:
            harm(folder)

    with stored(tmp_path) as study:
        with pytest.raises(CheckpointError, match=r"nothing was recorded|put it back|be written"):
            study.run(train_member, epochs=5, workers=2, callbacks=unmount, max_failures=1)
        assert not study.counts.get("failed")
    shutil.rmtree(folder, ignore_errors=True)
    (tmp_path / "away").rename(folder)
    with stored(tmp_path) as study:
        study.run(train_member, epochs=5)
        check_lines(study)
        assert decisions(study) == decisions(expected)


def goes_on(folder: Path, name: str, epochs: int = 5) -> None:
    expected = et.Study(population(), "min loss", seed=1).run(train_member, epochs=epochs)
    with stored(folder, name) as study:
        study.run(train_member, epochs=epochs)
        check_lines(study)
        assert decisions(study) == decisions(expected)


def test_weights_follow_a_database_that_is_renamed(tmp_path):
    with stored(tmp_path) as study:
        study.run(train_member, epochs=3)
    for epochs, (old, new) in enumerate([("runs.db", "new.db"), ("new.db", "runs.db")], start=4):
        (tmp_path / old).rename(tmp_path / new)
        goes_on(tmp_path, new, epochs)
        assert sorted(p.name for p in tmp_path.glob("*.checkpoints")) == [f"{new}.checkpoints"]


@pytest.mark.parametrize("link", ["latest.db", "folder/latest.db"])
def test_a_link_to_a_database_leads_to_its_weights(link, tmp_path):
    with stored(tmp_path) as study:
        study.run(train_member, epochs=2)
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / "runs.db")
    goes_on(tmp_path, link, 3)
    goes_on(tmp_path, "runs.db", 4)


def test_a_relative_path_and_a_moved_directory_lead_to_the_weights(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    with stored(Path()) as study:
        study.run(train_member, epochs=2)
    goes_on(home, "runs.db", 3)
    monkeypatch.chdir(tmp_path)
    goes_on(Path("home"), "runs.db", 4)
    home.rename(tmp_path / "moved")
    goes_on(Path("moved"), "runs.db", 5)


def test_a_copied_database_leaves_the_weights_to_the_first(tmp_path):
    with stored(tmp_path) as study:
        study.run(train_member, epochs=3)
    folder = tmp_path / "runs.db.checkpoints"
    before = files(folder)
    shutil.copy(tmp_path / "runs.db", tmp_path / "copy.db")
    with (
        stored(tmp_path, "copy.db") as study,
        pytest.raises(CheckpointError, match="moved or copied too"),
    ):
        study.run(train_member, epochs=5)
    assert files(folder) == before
    shutil.copytree(folder, tmp_path / "copy.db.checkpoints", dirs_exist_ok=True)
    goes_on(tmp_path, "copy.db", 6)
    assert files(folder) == before
    goes_on(tmp_path, "runs.db", 5)


def test_a_copied_database_does_not_share_a_location_that_was_given(tmp_path):
    place = tmp_path / "weights"
    with stored(tmp_path, checkpoints=place) as study:
        study.run(train_member, epochs=3)
    before = files(place)
    shutil.copy(tmp_path / "runs.db", tmp_path / "copy.db")
    with pytest.raises(CheckpointError, match=r"copy\.db seems to be a copy"):
        stored(tmp_path, "copy.db", checkpoints=place)
    assert files(place) == before
    shutil.copytree(place, tmp_path / "weights of the copy")
    with stored(tmp_path, "copy.db", checkpoints=tmp_path / "weights of the copy") as study:
        study.run(train_member, epochs=5)
        check_lines(study)
    assert files(place) == before
    (tmp_path / "runs.db").rename(tmp_path / "renamed.db")
    with stored(tmp_path, "renamed.db", checkpoints=place) as study:
        study.run(train_member, epochs=5)
        check_lines(study)


def test_a_new_database_of_an_old_name_leaves_the_weights_of_the_old_one(tmp_path, caplog):
    with stored(tmp_path) as study:
        study.run(train_member, epochs=3)
    (tmp_path / "runs.db").rename(tmp_path / "kept.db")
    with stored(tmp_path) as study:
        study.run(train_member, epochs=3)
        check_lines(study)
    assert "left as they are" in caplog.text
    with (
        stored(tmp_path, "kept.db") as study,
        pytest.raises(CheckpointError, match="nothing was recorded"),
    ):
        study.run(train_member, epochs=5)
    folder = tmp_path / "kept.db.checkpoints"
    folder.mkdir(exist_ok=True)
    (tmp_path / "runs.db.checkpoints" / "study").rename(folder / "study")
    goes_on(tmp_path, "kept.db")
    goes_on(tmp_path, "runs.db")


def test_a_child_that_does_not_fit_is_not_its_donors_fault(caplog):
    class Sized(Member):
        def load_state_dict(self, state):
            if len(state["weights"]) != len(self.weights):
                raise ValueError("another shape")
            super().load_state_dict(state)

    def train(trial):
        member = Sized(trial.seed, size=trial.params["size"])
        trial.resume(member=member)
        list(trial.epochs())
        trial.keep(member=member)
        return float(trial.number)

    space = et.Space(size=et.Choice(2, 3), lr=et.Float(0.0, 1.0))
    pbt = et.PopulationBasedTraining(space, population_size=6)
    study = et.Study(pbt, "min loss", seed=2).run(train, epochs=4, max_failures=1)
    failed = [t for t in study.trials if t.failure]
    assert failed
    assert {t.failure.kind for t in failed} == {"exception"}
    said = [r.getMessage() for r in caplog.records if "failed" in r.getMessage()]
    assert len(said) == 1
    assert f"trial {failed[0].number}, which" in said[0]
    assert "genes that change shapes" in said[0]
    assert not [t for t in study.trials[6:] if t.weights_from is None]


def test_weights_in_memory_reach_workers_that_come_later():
    with et.Study(population(), "min loss", seed=1) as study:
        study.run(train_member, epochs=2)
        study.run(train_member, epochs=5, workers=2)
        check_lines(study)
        expected = et.Study(population(), "min loss", seed=1).run(train_member, epochs=5)
        assert decisions(study) == decisions(expected)


def test_an_ancestor_that_is_damaged_is_trained_again_too(tmp_path):
    def study():
        store = et.Checkpoints(tmp_path / "weights", write_every=3)
        return et.Study(
            population(), "min loss", seed=5, storage=tmp_path / "runs.db", checkpoints=store
        )

    def stop_dead(opened, trial):
        if trial.number == 31:
            raise SystemError("as if killed")

    first = study()
    first._engine.save_weights = lambda: None
    with pytest.raises(SystemError):
        first.run(train_member, epochs=9, callbacks=stop_dead)
    first.close()
    for path in tmp_path.rglob("*.safetensors"):
        flip(path)
    expected = et.Study(population(), "min loss", seed=5).run(train_member, epochs=9)
    with study() as second:
        second.run(train_member, epochs=9)
        assert decisions(second) == decisions(expected)


@pytest.mark.parametrize("parents", [1, 3])
def test_an_asynchronous_population_trains_no_longer_than_it_was_told(parents):
    study = et.Study(population(asynchronous=True, parents=parents), "min loss", seed=1)
    study.run(train_member, epochs=20)
    members = [t.note["member"] for t in study.trials]
    assert {member: members.count(member) for member in range(6)} == dict.fromkeys(range(6), 20)


def test_keeping_without_resuming_is_an_error_not_an_endless_run():
    def train(trial):
        member = Member(trial.seed)
        list(trial.epochs())
        trial.keep(member=member)
        return 1.0

    study = et.Study(population(), "min loss")
    with pytest.raises(TaskError, match=r"call trial\.resume"):
        study.run(train, epochs=4)


def test_a_quota_that_cannot_hold_what_is_written_at_the_end_is_noticed_before():
    def train(trial):
        member = Member(trial.seed, size=1000)
        trial.resume(member=member)
        list(trial.epochs())
        trial.keep(member=member)
        return 1.0

    with tempfile.TemporaryDirectory() as folder:
        store = et.Checkpoints(folder, quota=30_000, write_every=None)
        study = et.Study(population(), "min loss", seed=1, checkpoints=store)
        with pytest.raises(CheckpointError, match="quota"):
            study.run(train, epochs=5)
        assert len(study.trials) < 6


def test_an_algorithm_without_use_for_weights_does_not_remove_them(tmp_path):
    with et.Study(population(), "min loss", seed=1, storage=tmp_path / "runs.db") as study:
        study.run(train_member, epochs=3)
    before = files(tmp_path)
    with (
        et.Study(
            et.RandomSearch(population_space()), "min loss", seed=1, storage=tmp_path / "runs.db"
        ) as study,
        pytest.raises(StudyError, match="inherit weights"),
    ):
        study.run(train_member, trials=30, epochs=3)
    assert files(tmp_path) == before


@pytest.mark.parametrize("epochs", [0, -1, 2.5])
def test_epochs_are_a_whole_number_from_one(epochs):
    with pytest.raises(StudyError, match="epochs"):
        et.Study(population(), "min loss").run(train_member, epochs=epochs)


def test_one_founder_that_keeps_nothing_does_not_end_an_asynchronous_run():
    def train(trial):
        result = train_member(trial)
        if trial.number == 0:
            trial.weights._kept = None
        return result

    study = et.Study(population(asynchronous=True), "min loss", seed=1)
    study.run(train, epochs=4)
    assert study.stop_reason == "epochs"


def test_a_comparison_spends_what_the_study_spent():
    study = et.Study(population(), "min loss", seed=1).run(train_member, trials=20)
    result = study.compare_with_random(train_member, runs=2)
    assert result.epochs == {"evolution": 20.0, "random search": 20.0}


def test_one_store_does_not_serve_two_studies_of_one_name(tmp_path):
    store = et.Checkpoints(tmp_path / "weights")
    et.Study(population(), "min loss", seed=1, checkpoints=store).run(train_member, epochs=2)
    with pytest.raises(CheckpointError, match="own"):
        et.Study(population(), "min loss", seed=2, checkpoints=store)


def test_restoring_says_how_to_name_the_model():
    study = et.Study(population(), "min loss", seed=1).run(train_member, epochs=2)
    with pytest.raises(StudyError, match=r"restore\(model=member\)"):
        study.restore(Member(0))


def test_training_without_epochs_is_warned_of(caplog):
    def train(trial):
        member = Member(trial.seed)
        trial.resume(member=member)
        trial.keep(member=member)
        return 1.0

    et.Study(population(), "min loss", seed=1).run(train, epochs=2)
    assert "trial.epochs() was not used" in caplog.text


def test_restoring_into_another_network_says_how_to_build_it():
    class Narrow(Member):
        def load_state_dict(self, state):
            raise ValueError("another shape")

    study = et.Study(population(), "min loss", seed=1).run(train_member, epochs=2)
    with pytest.raises(CheckpointError) as error:
        study.restore(member=Narrow(0))
    number = study.restore(member=Member(0)).number
    assert f"the member that trial {number} kept does not fit the given member: " in str(
        error.value
    )
    assert f"study.trials[{number}].params" in str(error.value)
    assert "donor" not in str(error.value)
