"""Proposals that are made to fit before they are trials."""

import logging

import numpy as np
import pytest

import evotune as et
from evotune.errors import StudyError, TaskError
from evotune.protocols import TaskTraits
from helpers_study import decisions

PLAIN = et.Space(width=et.Int(1, 100), lr=et.Float(0.0, 1.0))
COARSE = et.Space(width=et.Int(1, 12), kind=et.Choice("a", "b"))
LIMIT = 40


def fit(space, genome):
    return genome | {"width": min(genome["width"], LIMIT)}


def strict(space, genome):
    return genome | {"width": min(genome["width"], 4)}


def train(trial):
    return {"loss": (trial.params["width"] - 60) ** 2 / 100 + trial.params.get("lr", 0)}


class Task:
    """A task with limits."""

    traits = TaskTraits(fit=fit)

    def __call__(self, trial):
        return train(trial)


ALGORITHMS = {
    "random": lambda space: et.RandomSearch(space),
    "genetic": lambda space: et.Genetic(space, population_size=6),
    "steady": lambda space: et.recipes.regularised_evolution(space, population_size=6),
    "cma": lambda space: et.CmaEs(space, population_size=6),
    "differential": lambda space: et.DifferentialEvolution(space, population_size=6),
    "swarm": lambda space: et.ParticleSwarm(space, population_size=6),
    "hybrid": lambda space: et.Hybrid(space, initial=5),
    "strategy": lambda space: et.EvolutionStrategy(space),
    "halving": lambda space: et.SuccessiveHalving(
        et.Genetic(space, population_size=6), minimum=1, maximum=4, resume=False
    ),
    "islands": lambda space: et.Islands(
        [et.Genetic(space, population_size=4), et.RandomSearch(space)]
    ),
    "racing": lambda space: et.Racing(et.RandomSearch(space)),
    "drifting": lambda space: et.Drifting(et.Genetic(space, population_size=6)),
}


def made(name, space=PLAIN, **options):
    return et.Study(ALGORITHMS[name](space), "min loss", seed=3, **options)


@pytest.fixture(params=ALGORITHMS)
def name(request):
    return request.param


def test_every_trial_fits_and_the_algorithm_learns_it(name):
    told = []
    study = made(name)
    tell = study.algorithm.tell
    study.algorithm.tell = lambda trial: (told.append(trial), tell(trial))[1]
    study.run(Task(), trials=24)
    assert max(t.params["width"] for t in study.trials) <= LIMIT
    assert {t.number: t.genome for t in told} == {t.number: t.genome for t in study.trials}
    free = made(name).run(train, trials=24)
    assert max(t.params["width"] for t in free.trials) > LIMIT


def test_killed_and_resumed_it_is_the_same_study(name, tmp_path):
    whole = made(name).run(Task(), trials=20)
    for killed in (1, 9):
        path = tmp_path / f"{killed}.db"
        for trials in (killed, 20):
            with made(name, storage=path) as study:
                study.run(Task(), trials=trials)
        assert decisions(study) == decisions(whole)


@pytest.mark.parametrize(
    "around",
    [
        lambda hybrid: hybrid,
        lambda hybrid: et.Racing(hybrid),
        lambda hybrid: et.Drifting(hybrid),
        lambda hybrid: et.SuccessiveHalving(hybrid, minimum=1, maximum=4, resume=False),
        lambda hybrid: et.Islands([hybrid, et.RandomSearch(PLAIN)]),
    ],
)
def test_hybrid_knows_what_will_be_tried_in_place_of_its_candidates(around):
    hybrid = et.Hybrid(PLAIN, initial=5)
    asked, ask = [], hybrid.ask
    hybrid.ask = lambda rng: (asked.append(ask(rng)), asked[-1])[1]
    et.Study(around(hybrid), "min loss", seed=3).run(Task(), trials=24)
    assert max(proposal.genome["width"] for proposal in asked[:5]) > LIMIT  # the start
    assert max(proposal.genome["width"] for proposal in asked[6:]) <= LIMIT


@pytest.mark.parametrize("name", ["random", "genetic", "cma", "hybrid", "swarm"])
def test_a_small_space_in_which_many_come_to_the_same_is_searched_to_the_end(name):
    # 4 widths fit, of 2 kinds each: 8 params of 24 can be tried.
    study = made(name, COARSE, fit=strict).run(train, trials=14)
    seen = {tuple(t.params.values()) for t in study.trials}
    assert len(seen) == 8
    assert all(t.params["width"] <= 4 for t in study.trials)
    assert sum(t.repeat_of is not None for t in study.trials) == 6


def test_a_grid_ends():
    study = et.Study(et.Grid(COARSE, points=12), "min loss", seed=1, fit=strict).run(train)
    assert study.stop_reason == "trials"
    assert len({tuple(t.params.values()) for t in study.trials}) == 8


def test_members_of_a_population_fit():
    def step(trial):
        trial.resume()
        for _ in trial.epochs():
            pass
        trial.keep(kept=1.0)
        return train(trial)

    algorithm = et.PopulationBasedTraining(PLAIN, population_size=6)
    study = et.Study(algorithm, "min loss", seed=1, fit=fit).run(step, epochs=6)
    assert max(t.params["width"] for t in study.trials) <= LIMIT
    assert len(study.trials) == 36


def test_a_loop_of_ones_own():
    study = made("random", fit=fit)
    for _ in range(12):
        trial = study.ask()
        assert trial.params["width"] <= LIMIT
        study.tell(trial, train(trial))


def test_the_fit_of_the_study_goes_before_that_of_the_task():
    study = made("random", fit=strict).run(Task(), trials=12)
    assert max(t.params["width"] for t in study.trials) <= 4


def test_without_one_nothing_is_changed():
    plain, free = made("random").run(train, trials=8), made("random").run(train, trials=8)
    assert decisions(plain) == decisions(free)


def test_a_seed_that_is_too_large_is_made_smaller_and_the_log_says_so(caplog):
    seeds = [{"width": 90, "lr": 0.5}, {"width": 10, "lr": 0.25}]
    study = et.Study(et.Genetic(PLAIN, population_size=4, seeds=seeds), "min loss", seed=1)
    study.run(Task(), trials=4)
    assert [t.params for t in study.trials[:2]] == [{"width": 40, "lr": 0.5}, seeds[1]]
    said = [r.message for r in caplog.records if "seed" in r.message]
    assert said == ["study 'study': a seed was made to fit the limits of the task: width 90 -> 40"]


@pytest.mark.parametrize("kind", [et.Genetic, et.Hybrid, et.CmaEs])
def test_seeds_that_were_made_smaller_are_not_tried_again_on_resumption(kind, tmp_path):
    seeds = [{"width": 90, "lr": 0.5}, {"width": 10, "lr": 0.25}]

    def opened(path):
        return et.Study(kind(PLAIN, seeds=seeds), "min loss", seed=1, storage=path)

    whole = opened(None).run(Task(), trials=12)
    for killed in (1, 6):
        for trials in (killed, 12):
            with opened(tmp_path / f"{killed}.db") as study:
                study.run(Task(), trials=trials)
        assert decisions(study) == decisions(whole)


def test_seeds_given_later_are_made_to_fit(tmp_path, caplog):
    path = tmp_path / "runs.db"
    with made("genetic", storage=path) as study:
        study.run(Task(), trials=5)
    later = et.Genetic(PLAIN, population_size=6, seeds=[{"width": 90, "lr": 0.5}])
    with et.Study(later, "min loss", seed=3, storage=path) as study:
        study.run(Task(), trials=8)
    assert study.trials[5].params == {"width": 40, "lr": 0.5}
    assert "width 90 -> 40" in caplog.text


def test_what_is_enqueued_is_made_to_fit(caplog):
    study = made("random", fit=fit)
    trial = study.enqueue({"width": 90, "lr": 0.5})
    assert trial.params == {"width": 40, "lr": 0.5}
    assert "what was enqueued was made to fit the limits of the task: width 90 -> 40" in caplog.text
    assert study.enqueue({"width": 70, "lr": 0.5}) is trial  # they come to the same
    assert study.run(train, trials=3).trials[0].params["width"] == 40


def test_what_was_enqueued_before_the_limits_were_known_is_tried_and_said(caplog):
    study = made("random")
    study.enqueue({"width": 90, "lr": 0.5})
    study.enqueue({"width": 30, "lr": 0.5})
    study.run(Task(), trials=4)
    assert [t.params["width"] for t in study.trials[:2]] == [90, 30]
    said = [r.message for r in caplog.records if "as it was enqueued" in r.message]
    assert len(said) == 1
    assert "width 90 -> 40" in said[0]
    assert "fit=model.fit" in said[0]


def test_what_was_measured_elsewhere_stays_as_it_is():
    study = made("random", fit=fit)
    assert study.add({"width": 90, "lr": 0.5}, {"loss": 1.0}).params["width"] == 90


def test_evolved_proposals_are_made_to_fit_without_a_word(caplog):
    caplog.set_level(logging.INFO)
    made("genetic").run(Task(), trials=30)
    assert "made to fit" not in caplog.text


def test_nothing_is_recorded_where_nothing_can_fit():
    def never(space, genome):
        raise TaskError("the limit cannot be met")

    study = made("random", fit=never)
    with pytest.raises(TaskError, match="cannot be met"):
        study.run(train, trials=3)
    assert study.trials == ()


@pytest.mark.parametrize("wrong", [lambda s, g: None, lambda s, g: {"width": 3}, lambda s, g: 7])
def test_a_function_that_returns_no_genome_is_refused(wrong):
    with pytest.raises(TaskError, match="must return a genome of the space"):
        made("random", fit=wrong).run(train, trials=2)


def test_fit_is_a_function():
    with pytest.raises(StudyError, match="fit must be a function"):
        made("random", fit=3)


def test_tune_takes_it():
    study = et.tune(train, PLAIN, "min loss", trials=10, seed=1, fit=fit)
    assert max(t.params["width"] for t in study.trials) <= LIMIT


# -- with chains --------------------------------------------------------------------------------

CHAINS = et.Space(
    lr=et.Float(1e-3, 1e-1, log=True),
    features=et.Chain(1, 4, conv={"filters": et.Int(4, 64, log=True)}, pool={}),
    head=et.Chain(0, 1, dense={"units": et.Int(8, 64, log=True)}),
)


def task(**options):
    rng = np.random.default_rng(0)
    x = rng.random((60, 1, 8, 8), dtype=np.float32)
    y = (x.mean(axis=(1, 2, 3)) > 0.5).astype(int)
    model = et.image_classifier((1, 8, 8), 2, parameters=3_000)
    given = {"model": model, "loss": "cross_entropy", "optimizer": "sgd", "epochs": 1}
    return et.SupervisedTask(
        train=(x[:40], y[:40]), validation=(x[40:], y[40:]), **given, **options
    )


def test_a_template_brings_its_limits_to_a_study(tmp_path):
    def opened(path):
        algorithm = et.Genetic(CHAINS, population_size=4)
        return et.Study(algorithm, "max accuracy", seed=2, storage=path)

    whole = opened(None).run(task(), trials=10)
    assert max(t.metrics["parameters"] for t in whole.trials) <= 3_000
    for trials in (5, 10):
        with opened(tmp_path / "runs.db") as study:
            study.run(task(), trials=trials)
    assert decisions(study) == decisions(whole)


def test_latency_is_an_objective():
    given = task(costs=("multiply_adds", "memory", "latency"))
    algorithm = et.Nsga2(CHAINS, population_size=4)
    study = et.Study(algorithm, ["max accuracy", "min latency"], seed=2).run(given, trials=8)
    for trial in study.trials:
        found = et.cost(trial.params, model=given.model)
        assert trial.metrics["multiply_adds"] == found.multiply_adds
        assert trial.metrics["memory"] == found.memory
        assert 0 < trial.metrics["latency"] < 1
    assert 1 <= len(study.front) <= 8


def test_accuracy_speed_and_robustness_may_be_weighed():
    goal = et.WeightedSum(accuracy=1.0, train_seconds=-0.1, robustness=0.5)
    study = et.Study(et.Genetic(CHAINS, population_size=4), goal, seed=2)
    study.run(task(robustness=0.1), trials=6)
    for trial in study.trials:
        m = trial.metrics
        score = m["accuracy"] - 0.1 * m["train_seconds"] + 0.5 * m["robustness"]
        assert trial.values[0] == pytest.approx(-score)
    assert study.best.params["features"]
