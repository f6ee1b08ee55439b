"""Searches that begin with what zero-cost proxies rank best."""

import json
import logging
import math
import pickle

import pytest

from evotune.algorithms import recipes
from evotune.algorithms.genetic import Genetic
from evotune.algorithms.hybrid import Hybrid
from evotune.algorithms.prescreened import Prescreened
from evotune.algorithms.random_search import RandomSearch
from evotune.errors import AlgorithmError
from evotune.proxies import archive
from evotune.space import Choice, Float, Int, Space
from evotune.study.study import Study
from evotune.testing.algorithms import AlgorithmContract, Rehearsal, sphere

SPACE = Space(a=Int(1, 200), b=Float(0.0, 1.0), kind=Choice("x", "y", "z"))


@pytest.fixture(autouse=True)
def small_archive(monkeypatch):
    """Archives as large as in use would take most of the time of the contract."""
    monkeypatch.setattr(archive, "FIRST", 25)
    monkeypatch.setattr(archive, "ROUNDS", 1)
    monkeypatch.setattr(archive, "CHILDREN", 15)


def hopeful(params):
    """Two scores that agree with `value`, one of which is missing here and there."""
    first = params.get("a", 1) + 10.0 * params.get("b", 0.0)
    return {"first": first, "second": math.nan if params.get("kind") == "z" else first**2}


def any_params(params):
    """A score of the params of any space."""
    return {"text": float(sum(map(ord, repr(params))))}


def value(trial):
    return {"value": trial.params["a"] + 10.0 * trial.params["b"]}


@pytest.mark.usefixtures("quick")
class TestContractOfHybrid(AlgorithmContract):
    improves = False

    def make(self, space):
        return Hybrid(space, initial=4, proxies=any_params)


class TestContractOfGenetic(AlgorithmContract):
    def make(self, space):
        return Genetic(space, population_size=15, proxies=any_params)


class TestContractOfSteadyState(AlgorithmContract):
    def make(self, space):
        return Genetic(space, population_size=8, steady_state=True, proxies=any_params)


class TestContractOfPrescreened(AlgorithmContract):
    def make(self, space):
        return Prescreened(Genetic(space, population_size=6), proxies=any_params, pool=4)


MAKERS = {
    "Hybrid": lambda **options: Hybrid(SPACE, **options),
    "Genetic": lambda **options: Genetic(SPACE, **options),
    "ageing": lambda **options: recipes.regularised_evolution(
        SPACE, population_size=10, sample_size=3, **options
    ),
}
each_search = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def study_of(algorithm, storage="memory", seed=1):
    return Study(algorithm, "max value", storage=storage, name="proxies", seed=seed)


@each_search
def test_the_start_is_the_best_of_the_archive_and_some_random_ones(make):
    study = study_of(make(proxies=lambda params: {"first": hopeful(params)["first"]}))
    study.run(value, trials=13)
    found = [value(trial)["value"] for trial in study.trials]
    best, random = found[:3] + found[6:9], found[3:6]
    assert min(best) > max(random)
    assert best == sorted(best, reverse=True)


@each_search
def test_they_are_off_by_default_and_then_nothing_changes(make):
    plain = Rehearsal(make()).run(14)
    proxied = Rehearsal(make(proxies=None)).run(14)
    assert [t.genome for t in plain.trials] == [t.genome for t in proxied.trials]
    assert make().agreement is None


@each_search
def test_agreement_is_said_and_kept(make, caplog):
    caplog.set_level(logging.INFO, "evotune")
    study = study_of(make(proxies=hopeful))
    study.run(value, trials=5)
    assert study.algorithm.agreement is None
    study.run(value, trials=14)
    found = study.algorithm.agreement
    assert found.correlation > 0.7
    assert found.low <= found.high <= 1.0
    assert found.trials == (11 if make is MAKERS["Genetic"] else 13)
    assert f"agree with the results: {found}" in caplog.text


@each_search
def test_proxies_upside_down_are_noticed(make, caplog):
    study = study_of(make(proxies=lambda params: {"first": -hopeful(params)["first"]}))
    study.run(value, trials=13)
    assert study.algorithm.agreement.correlation < 0
    assert "disagree with the results" in caplog.text


def test_a_start_that_results_speak_against_is_given_up():
    """Where trials may depend on each other: generations end what they began."""
    upside_down = {"proxies": lambda params: {"first": -hopeful(params)["first"]}}
    for name, trials in (("Hybrid", 6), ("ageing", 6), ("Genetic", 11)):
        study = study_of(MAKERS[name](**upside_down))
        study.run(value, trials=20)
        assert study.algorithm.agreement.trials == trials
        assert study.algorithm.agreement.high < 0
        found = [value(trial)["value"] for trial in study.trials]
        assert (max(found[6:13]) > max(found[:6])) == (trials == 6)


@pytest.mark.parametrize("name", ["Hybrid", "ageing"])
def test_where_proxies_may_mislead_every_other_trial_is_of_the_ordinary_start(name, caplog):
    caplog.set_level(logging.INFO, "evotune")
    results = [1.0, 5.0, 3.0, 2.0, 6.0, 4.0]  # the best three and the random ones, mixed

    def unrelated(trial):
        return {"value": results[trial.number] if trial.number < 6 else 3.5}

    study = study_of(MAKERS[name](proxies=hopeful))
    study.run(unrelated, trials=12)
    by_proxies = ["proxy_rank" in trial.note for trial in study.trials]
    assert by_proxies == [True] * 6 + [True, False] * 3
    assert "may mislead" in caplog.text


@each_search
@pytest.mark.parametrize("cut", [1, 6, 14])
@pytest.mark.usefixtures("quick")
def test_a_resumed_study_proposes_the_same_and_evolves_nothing_again(make, cut, tmp_path):
    calls = []

    def counted(params):
        calls.append(params)
        return hopeful(params)

    whole = study_of(make(proxies=counted))
    whole.run(value, trials=15)
    path = f"sqlite:///{tmp_path}/study.db"
    with study_of(make(proxies=counted), path) as study:
        study.run(value, trials=cut)
    calls.clear()
    with study_of(make(proxies=counted), path) as study:
        study.run(value, trials=15)
        assert [t.genome for t in study.trials] == [t.genome for t in whole.trials]
        assert study.algorithm.agreement == whole.algorithm.agreement
    assert not calls


def test_seeds_come_first():
    seed = {"a": 7, "b": 0.5, "kind": "x"}
    for make in MAKERS.values():
        study = study_of(make(proxies=hopeful, seeds=[seed]))
        study.run(value, trials=14)
        assert study.trials[0].params == seed
        assert study.algorithm.agreement.trials == (11 if make is MAKERS["Genetic"] else 13)


def test_failed_trials_of_the_start_do_not_count():
    def some_fail(trial):
        if trial.number % 4 == 0:
            raise RuntimeError("no")
        return value(trial)

    study = study_of(Hybrid(SPACE, proxies=hopeful))
    study.run(some_fail, trials=15, max_failures=1.0)
    assert study.algorithm.agreement.trials == 9


def test_a_start_that_failed_as_a_whole_is_not_tried_again():
    def fails(trial):
        raise RuntimeError("no")

    study = study_of(Genetic(SPACE, proxies=hopeful))
    study.run(fails, trials=30, max_failures=1.0)
    assert len({json.dumps(dict(trial.params)) for trial in study.trials}) == 30


def test_another_seed_evolves_another_archive():
    a, b = (study_of(Hybrid(SPACE, proxies=hopeful), seed=seed) for seed in (1, 2))
    assert a.ask().params != b.ask().params


def test_an_algorithm_with_proxies_can_be_pickled():
    algorithm = Hybrid(SPACE, proxies=hopeful)
    rehearsal = Rehearsal(algorithm).run(5)
    again = pickle.loads(pickle.dumps(algorithm))
    assert again.agreement is None
    assert len(rehearsal.trials) == 5


def test_what_are_no_proxies():
    with pytest.raises(AlgorithmError, match="proxies must be such as"):
        Hybrid(SPACE, proxies=["naswot"])
    with pytest.raises(AlgorithmError, match="proxies must be such as"):
        Prescreened(RandomSearch(SPACE), proxies="naswot")
    with pytest.raises(AlgorithmError, match="only one of them"):
        Prescreened(RandomSearch(SPACE), proxies=hopeful, surrogate="forest")


def test_candidates_are_prescreened_by_proxies_from_the_first_on():
    picked = Rehearsal(
        Prescreened(RandomSearch(SPACE), proxies=lambda p: {"a": p["a"]}), value=lambda t: 0.0
    ).run(10)
    assert min(trial.genome["a"] for trial in picked.trials) > 100


def test_proxies_that_disagree_choose_no_more(caplog):
    study = study_of(Prescreened(RandomSearch(SPACE), proxies=lambda p: {"a": -p["a"]}))
    study.run(value, trials=40)
    chosen = [trial.params["a"] for trial in study.trials]
    assert max(chosen[:10]) < 100
    assert max(chosen[10:]) > 150
    assert study.algorithm.agreement.correlation < 0
    assert caplog.text.count("disagree with the results") == 1


def test_prescreening_goes_on_from_its_log(tmp_path):
    def make():
        return Prescreened(Genetic(SPACE, population_size=6), proxies=hopeful)

    whole = study_of(make())
    whole.run(value, trials=20)
    path = f"sqlite:///{tmp_path}/study.db"
    for trials in (9, 20):
        with study_of(make(), path) as study:
            study.run(value, trials=trials)
            genomes = [trial.genome for trial in study.trials]
            agreement = study.algorithm.agreement
    assert genomes == [trial.genome for trial in whole.trials]
    assert agreement == whole.algorithm.agreement


def test_the_search_goes_on_from_the_start():
    """From a start by scores that know one gene only, the others are found."""
    rehearsal = Rehearsal(
        Hybrid(SPACE, proxies=lambda params: {"a": -abs(params["a"] - 60)}),
        value=lambda trial: sphere(SPACE, trial.genome),
    ).run(30)
    assert rehearsal.best < 0.05


@pytest.mark.parametrize("search", [Hybrid, Genetic])
@pytest.mark.parametrize("kind", ["x", "z"])
def test_genes_that_no_proxy_sees_fill_their_ranges(search, kind):
    """In an archive they are those of its ancestors, few and maybe bad ones."""
    genes = {"a": SPACE["a"], "b": SPACE["b"], "kind": Choice(kind, "other")}
    space = Space(genes | {"lr": Float(1e-4, 1.0, log=True)})
    study = study_of(search(space, proxies=hopeful))
    study.run(value, trials=13)
    rates = sorted(math.log10(trial.params["lr"]) for trial in study.trials)
    gaps = [high - low for low, high in zip([-4.0, *rates], [*rates, 0.0], strict=True)]
    assert max(gaps) < 1.0
