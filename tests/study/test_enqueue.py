"""Params from outside: enqueued, added with a result, or given as seeds when a study goes on."""

import pytest

import evotune as et
from evotune.errors import GenomeError, StudyError
from helpers_study import decisions, small_space, train

PLAIN = et.Space(x=et.Float(0, 1), y=et.Float(0, 1))
GOOD = {"x": 0.125, "y": 0.5}
SEEDED = (
    "Genetic",
    "EvolutionStrategy",
    "DifferentialEvolution",
    "ParticleSwarm",
    "CmaEs",
    "Nsga2",
)
SEEDED += ("Nsga3", "Hybrid")


def plain(trial):
    return trial.params["x"] + trial.params["y"]


def tried(study, params=GOOD):
    return [t.number for t in study.trials if dict(t.params) == params]


def made(algorithm, **options):
    return et.Study(algorithm, "min loss", **{"seed": 1, **options})


@pytest.mark.parametrize("name", SEEDED)
@pytest.mark.parametrize("before", [1, 12])
def test_seeds_given_later_are_tried_next_and_once(tmp_path, name, before):
    kind, path = getattr(et, name), tmp_path / "runs.db"
    with made(kind(PLAIN), storage=path) as study:
        study.run(plain, trials=before)
    seeds = [GOOD, {"x": 0.25, "y": 0.75}]
    for _ in range(2):  # also where it was killed before they were tried
        study = made(kind(PLAIN, seeds=seeds), storage=path)
        study.close()
    with made(kind(PLAIN, seeds=seeds), storage=path) as study:
        study.run(plain, trials=before + 12)
        assert study.counts == {"done": before + 12}
        found = [tried(study, seed) for seed in seeds]
        assert [len(numbers) for numbers in found] == [1, 1]
        assert found[0] < found[1]
        assert found[0][0] <= before + 1


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inside: et.Prescreened(inside, initial=4),
        lambda inside: et.Racing(inside),
        lambda inside: et.Drifting(inside),
        lambda inside: et.Islands([inside, et.Genetic(PLAIN, population_size=4)]),
        lambda inside: et.SuccessiveHalving(inside, minimum=1, maximum=3, resume=False),
    ],
)
def test_they_are_tried_by_wrappers_too(tmp_path, wrap):
    path = tmp_path / "runs.db"
    with made(wrap(et.Genetic(PLAIN, population_size=4)), storage=path) as study:
        study.run(plain, trials=9)
    with made(wrap(et.Genetic(PLAIN, population_size=4, seeds=[GOOD])), storage=path) as study:
        study.run(plain, trials=14)
        assert tried(study)[0] == 9
        assert study.trials[9].budget in (None, 3)


@pytest.mark.parametrize("name", SEEDED)
def test_seeds_of_the_beginning_are_never_enqueued(tmp_path, name):
    kind, seeds = getattr(et, name), [GOOD, {"x": 0.25, "y": 0.75}, {"x": 0.5, "y": 0.75}]
    whole = made(kind(PLAIN, seeds=seeds)).run(plain, trials=20)
    for killed in (2, 12):
        path = tmp_path / f"{killed}.db"
        with made(kind(PLAIN, seeds=seeds), storage=path) as study:
            study.run(plain, trials=killed)
        with made(kind(PLAIN, seeds=seeds), storage=path) as study:
            assert len(study.trials) == killed
            study.run(plain, trials=20)
            assert decisions(study) == decisions(whole)


def test_a_population_that_trains_on_says_that_it_cannot(tmp_path, caplog):
    def step(trial):
        trial.resume()
        for _ in trial.epochs():
            pass
        trial.keep(kept=1.0)
        return plain(trial)

    path = tmp_path / "runs.db"
    with made(et.PopulationBasedTraining(PLAIN, population_size=4), storage=path) as study:
        study.run(step, trials=6)
        with pytest.raises(StudyError, match="seeds="):
            study.enqueue(GOOD)
    again = et.PopulationBasedTraining(PLAIN, population_size=4, seeds=[GOOD])
    with made(again, storage=path) as study:
        assert study.run(step, trials=8).counts == {"done": 8}
        assert "seeds" in caplog.text


def test_what_is_enqueued_is_tried_next_in_order_and_counted():
    study = made(et.Genetic(PLAIN)).run(plain, trials=3)
    first, second = study.enqueue(GOOD), study.enqueue({"x": 0.75, "y": 0.5})
    assert (first.state, first.number, second.number) == ("waiting", 3, 4)
    study.run(plain, trials=4)
    assert study.counts == {"done": 4, "waiting": 1}
    assert study.run(plain, trials=6).counts == {"done": 6}
    assert [dict(t.params) for t in study.trials[3:5]] == [GOOD, {"x": 0.75, "y": 0.5}]


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"stopping": et.MedianStopping()}])
def test_the_same_enqueued_in_another_process_leads_to_the_same_study(tmp_path, options):
    def ahead(study):
        study.run(plain, trials=4, deterministic=True, **options)
        study.enqueue(GOOD)

    whole = made(et.Hybrid(PLAIN))
    ahead(whole)
    whole.run(plain, trials=16, deterministic=True, **options)
    path = tmp_path / "runs.db"
    with made(et.Hybrid(PLAIN), storage=path) as study:
        ahead(study)
    for trials in (5, 16):
        with made(et.Hybrid(PLAIN), storage=path) as study:
            study.run(plain, trials=trials, deterministic=True, **options)
    assert decisions(study) == decisions(whole)


def test_a_running_study_takes_them_next():
    def callback(study, trial):
        if trial.number == 2:
            study.enqueue(GOOD)

    study = made(et.Genetic(PLAIN)).run(plain, trials=8, callbacks=callback)
    assert tried(study) == [3]
    assert study.counts == {"done": 8}


def test_by_ask_and_tell():
    study = made(et.Genetic(PLAIN))
    waiting = study.enqueue(GOOD)
    asked = study.ask()
    assert (asked.number, asked.state, dict(asked.params)) == (waiting.number, "running", GOOD)
    assert study.ask().number == 1
    study.tell(asked, 0.5)
    told = study.tell(study.enqueue({"x": 0.5, "y": 0.5}), 0.25)  # without having asked for it
    assert told.metrics["train_seconds"] == 0.0


def test_what_was_tried_before_is_said_and_not_repeated(caplog):
    study = made(et.Genetic(PLAIN))
    first = study.enqueue(GOOD)
    assert study.enqueue(GOOD).number == first.number
    study.run(plain, trials=5)
    assert study.enqueue(GOOD).state == "done"
    assert "trial 0 has them" in caplog.text
    assert len(study.trials) == 5
    repeating = made(et.Genetic(PLAIN), duplicates="repeat")
    repeating.enqueue(GOOD)
    assert repeating.enqueue(GOOD).repeat_of == 0


def test_dormant_genes_may_be_left_out_and_active_ones_are_completed():
    study = made(et.RandomSearch(small_space()))
    study.enqueue({"lr": 0.01, "momentum": 0.5, "booster": "linear"})
    assert "depth" in study.enqueue({"lr": 0.01, "momentum": 0.5, "booster": "tree"}).params
    with pytest.raises(GenomeError, match="outside"):
        study.enqueue({"lr": 10.0, "momentum": 0.5, "booster": "linear"})
    for wrong in ({"params": 3}, {"params": {}, "budget": "3"}):
        with pytest.raises(StudyError):
            study.enqueue(**wrong)
    assert study.run(train, trials=2).counts == {"done": 2}


def test_halving_gives_them_the_largest_budget_and_a_run_its_epochs():
    study = made(et.SuccessiveHalving(et.Genetic(PLAIN), minimum=1, maximum=9, resume=False))
    study.enqueue(GOOD)
    study.enqueue({"x": 0.5, "y": 0.5}, budget=3)
    made_by = study.run(plain, trials=6).trials
    assert [t.budget for t in made_by[:3]] == [9, 3, 1]
    study = made(et.RandomSearch(PLAIN))
    study.enqueue(GOOD)
    assert {t.budget for t in study.run(plain, trials=3, epochs=7).trials} == {7}


def test_a_grid_is_whole_beside_them():
    study = made(et.Grid(PLAIN, points=2))
    study.enqueue(GOOD)
    study.run(plain)
    assert len(study.trials) == 5
    assert study.stop_reason == "trials"


def test_a_result_from_elsewhere_is_a_trial_like_any_other(tmp_path):
    path = tmp_path / "runs.db"
    with made(et.Hybrid(PLAIN), storage=path) as study:
        added = study.add(GOOD, {"loss": -1.0, "size": 3})
        assert (added.state, added.metrics["size"]) == ("done", 3.0)
        assert study.add({"x": 0.5, "y": 0.5}, 2.0).values == (2.0,)
        assert study.add({"x": 0.5, "y": 0.5}, 4.0).repeat_of == 1
        for wrong in ({"acc": 1.0}, float("nan"), "good", None):
            with pytest.raises(StudyError, match="not added"):
                study.add({"x": 0.1, "y": 0.1}, wrong)
        study.run(plain, trials=8)
        assert study.best.number == 0
        assert len(study.trials) == 8
    with made(et.Hybrid(PLAIN), storage=path) as study:
        assert study.best.number == 0
