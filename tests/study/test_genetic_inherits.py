"""A search whose children go on from their parents' weights: lines, epochs, kills, workers."""

import signal
from pathlib import Path

import pytest

import evotune as et
import helpers_warm
from evotune.errors import AlgorithmError, StudyError
from helpers_members import line_of, population_space, train_member
from helpers_study import decisions

MODES = {
    "generations": {},
    "steady state": {"steady_state": True},
    "both children": {"both_children": True, "offspring": 3},
}


def search(**options):
    options = {"population_size": 6, "inherit": True, "epochs": 2} | options
    return et.Genetic(population_space(), **options)


def check_lines(study):
    assert {trial.state for trial in study.trials} == {"done"}
    for trial in study.trials:
        assert trial.metrics["line"] == line_of(study, trial.number)
        before = 0 if trial.weights_from is None else study.trials[trial.weights_from]
        start = before.checkpoint.epochs if before else 0
        assert trial.checkpoint.epochs == start + trial.budget


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("storage", [None, "runs.db"])
def test_every_child_starts_from_its_parents_weights(mode, storage, tmp_path):
    where = None if storage is None else tmp_path / storage
    with et.Study(search(**MODES[mode]), "min loss", seed=1, storage=where) as study:
        study.run(train_member, trials=40)
        check_lines(study)
        assert len(study.trials) == 40
        assert sum(t.weights_from is not None for t in study.trials) == 34
        kept = {t.number for t in study.trials if not t.checkpoint.deleted}
        assert kept == {*study.algorithm.donors(), study.best.number}
        assert len(kept) <= 12


def test_ageing_evolution_inherits_too():
    algorithm = et.recipes.regularised_evolution(
        population_space(), population_size=8, sample_size=3, inherit=True, epochs=1
    )
    study = et.Study(algorithm, "min loss", seed=1).run(train_member, trials=30)
    check_lines(study)
    assert max(t.checkpoint.epochs for t in study.trials) > 3


def test_workers_give_the_same_study():
    runs = []
    for workers in (1, 2):
        with et.Study(search(), "min loss", seed=1) as study:
            study.run(train_member, trials=20, workers=workers)
            check_lines(study)
            runs.append(decisions(study))
    assert runs[0] == runs[1]


def test_without_a_number_of_epochs_the_function_decides():
    def train(trial):
        trial.resume()
        epochs = list(trial.epochs(default=3))
        trial.keep()
        return {"loss": trial.params["lr"], "first": epochs[0], "count": len(epochs)}

    study = et.Study(search(epochs=None), "min loss", seed=1).run(train, trials=18)
    assert {t.metrics["count"] for t in study.trials} == {3}
    for trial in study.trials:
        donor = trial.weights_from
        start = 0 if donor is None else study.trials[donor].checkpoint.epochs
        assert trial.metrics["first"] == start


def test_epochs_of_a_run_limit_the_line():
    study = et.Study(search(epochs=2), "min loss", seed=1).run(train_member, trials=99, epochs=5)
    check_lines(study)
    assert study.stop_reason == "epochs"
    assert max(t.checkpoint.epochs for t in study.trials) == 5
    with pytest.raises(StudyError, match=r"Genetic\(\.\.\., inherit=True, epochs=1\)"):
        et.Study(search(epochs=2), "min loss").run(train_member, trials=9, epochs=1)
    with pytest.raises(StudyError, match=r"inherit=True, epochs=2"):
        et.Study(search(epochs=None), "min loss").run(train_member, trials=9, epochs=8)


def test_params_from_elsewhere_start_afresh_and_may_become_parents():
    study = et.Study(search(), "min loss", seed=1).run(train_member, trials=6)
    best = {"lr": 0.3, "drift": 0.0, "steps": 1}
    queued = study.enqueue(best)
    assert (queued.budget, queued.weights_from) == (2.0, None)
    study.add({"lr": 0.1, "drift": 0.0, "steps": 3}, {"loss": 1e-9, "line": 0.0})
    study.run(train_member, trials=30)
    heirs = [t for t in study.trials if t.weights_from == queued.number]
    assert heirs
    assert any(7 in t.parents and t.weights_from != 7 for t in study.trials)


def test_a_function_that_keeps_nothing_is_told_what_to_write():
    study = et.Study(search(), "min loss")
    with pytest.raises(AlgorithmError, match=r"trial\.keep\(model=model"):
        study.run(lambda trial: trial.params["lr"], trials=20)
    assert len(study.trials) == 6


def test_a_missing_file_fails_one_child_and_the_search_goes_on(tmp_path):
    def study():
        return et.Study(search(), "min loss", seed=1, storage=tmp_path / "runs.db")

    with study() as first:
        first.run(train_member, trials=12)
        lost = first.algorithm.population[0].number
    (tmp_path / "runs.db.checkpoints" / "study" / f"trial-{lost}.safetensors").unlink()
    with study() as second:
        second.run(train_member, trials=40)
        failed = [t for t in second.trials if t.failure]
        assert {t.weights_from for t in failed} == {lost}
        assert {t.failure.kind for t in failed} == {"checkpoint"}
        later = second.trials[failed[-1].number + 1 :]
        assert later
        assert lost not in {t.weights_from for t in later}


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import evotune as et
from helpers_members import population_space, train_member

def train(trial):
    result = train_member(trial)
    if trial.number == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return result

store = et.Checkpoints(write_every=eval(sys.argv[5]))
algorithm = et.Genetic(population_space(), population_size=6, inherit=True, epochs=2)
study = et.Study(algorithm, "min loss", storage=sys.argv[3], seed=1, checkpoints=store)
study.run(train, trials=40, workers=int(sys.argv[4]))
"""


@pytest.mark.parametrize(("workers", "write_every"), [(1, None), (2, 1)])
def test_killed_it_ends_as_if_never_killed(workers, write_every, tmp_path):
    tests, db = str(Path(__file__).parents[1]), str(tmp_path / "runs.db")
    for kill_at, processes in ((27, 1), (-1, workers)):
        options = [str(option) for option in (kill_at, db, processes, write_every)]
        done = helpers_warm.run("-c", KILLED, tests, *options, timeout=120)
        assert done.returncode == (0 if kill_at < 0 else -signal.SIGKILL), done.stderr
    expected = et.Study(search(), "min loss", seed=1).run(train_member, trials=40)
    with et.Study(search(), "min loss", storage=db, seed=1) as study:
        assert decisions(study) == decisions(expected)
        check_lines(study)


def test_its_report_tells_of_the_lines(tmp_path):
    study = et.Study(search(), "min loss", seed=1).run(train_member, trials=24)
    page = study.report(tmp_path / "report.html").read_text()
    assert "weights from" in page
    assert len(study.schedule(study.best.number)) == study.best.checkpoint.epochs


def test_islands_of_them_send_weights_along():
    algorithms = [search(population_size=4, epochs=1) for _ in range(2)]
    study = et.Study(et.Islands(algorithms, every=1), "min loss", seed=1)
    study.run(train_member, trials=40)
    check_lines(study)
    of = {t.number: t.origin.islands for t in study.trials}
    assert any(
        t.weights_from is not None and of[t.weights_from] != of[t.number] for t in study.trials
    )
    assert study.enqueue({"lr": 0.3, "drift": 0.0, "steps": 1}).budget == 1.0
    greedy = et.Islands([search(epochs=None) for _ in range(2)])
    with pytest.raises(StudyError, match="epochs=2"):
        et.Study(greedy, "min loss").run(train_member, trials=9, epochs=8)
