"""Searches that begin with what zero-cost proxies rank best."""

import json
import logging
import math
import pickle
from statistics import median

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


def upside_down(params):
    return {"first": -hopeful(params)["first"]}


def chosen(study):
    """Return the numbers of the trials that proxies have chosen."""
    return [trial.number for trial in study.trials if "proxy_choice" in trial.note]


def genomes(study):
    return [trial.genome for trial in study.trials]


def plain(make, trials):
    """Return the genomes of a search without proxies."""
    study = study_of(make())
    study.run(value, trials=trials)
    return genomes(study)


@each_search
def test_proxies_that_agree_choose_eight_trials_behind_the_first_five(make, caplog):
    caplog.set_level(logging.INFO, "evotune")
    study = study_of(make(proxies=lambda params: {"first": hopeful(params)["first"]}))
    study.run(value, trials=14)
    assert genomes(study)[:5] == plain(make, 5)
    assert chosen(study) == list(range(5, 13))
    found = [value(trial)["value"] for trial in study.trials]
    assert min(found[5:13]) > median(found[:5])
    assert found[5:13] == sorted(found[5:13], reverse=True)
    assert "agree with the first results, and choose the next trials: rank" in caplog.text
    assert f"all results of the start: {study.algorithm.agreement}" in caplog.text


@each_search
def test_proxies_that_do_not_agree_change_nothing_and_evolve_nothing(make, caplog):
    scored = []

    def counted(params):
        scored.append(params)
        return upside_down(params)

    study = study_of(make(proxies=counted))
    study.run(value, trials=30)
    assert genomes(study) == plain(make, 30)
    assert len(scored) == 5
    assert study.algorithm.agreement.correlation < 0
    assert "do not agree with the first results, and are not used: rank corr" in caplog.text


@each_search
def test_proxies_whose_choices_disappoint_choose_no_more(make, caplog):
    def disappoints(trial):
        return {"value": value(trial)["value"] if trial.number < 5 else 0.0}

    study = study_of(make(proxies=hopeful))
    study.run(disappoints, trials=10)
    assert chosen(study) == [5, 6, 7]
    assert genomes(study)[8:] == plain(make, 7)[5:]
    assert "disagree with the results, and are used no further: rank" in caplog.text


@each_search
@pytest.mark.parametrize("scores", [{"first": 1.0}, {"first": math.nan, "second": math.inf}])
def test_scores_that_are_all_the_same_are_not_used(make, scores, caplog):
    study = study_of(make(proxies=lambda params: scores))
    study.run(value, trials=20)
    assert genomes(study) == plain(make, 20)
    assert study.algorithm.agreement is None
    assert "are not used: too few of the scores or results differ" in caplog.text


def test_scores_of_other_names_are_refused_before_anything_is_recorded():
    found = iter([{"one": 1.0}, {"one": 2.0}, {"two": 2.0}])
    study = study_of(Hybrid(SPACE, proxies=lambda params: next(found)))
    with pytest.raises(AlgorithmError, match="ranked by the same scores"):
        study.run(value, trials=5)
    assert len(study.trials) == 2


@each_search
def test_results_that_are_all_the_same_speak_for_no_proxies(make):
    study = study_of(make(proxies=hopeful))
    study.run(lambda trial: {"value": 1.0}, trials=8)
    assert chosen(study) == []


@each_search
def test_they_are_off_by_default_and_then_nothing_changes(make):
    plain = Rehearsal(make()).run(14)
    proxied = Rehearsal(make(proxies=None)).run(14)
    assert [t.genome for t in plain.trials] == [t.genome for t in proxied.trials]
    assert make().agreement is None


@each_search
def test_agreement_is_of_all_results_of_the_start(make):
    study = study_of(make(proxies=hopeful))
    study.run(value, trials=4)
    assert study.algorithm.agreement is None
    study.run(value, trials=16)
    found = study.algorithm.agreement
    assert found.correlation > 0.7
    assert found.low <= found.high <= 1.0
    assert found.trials == 13


@each_search
@pytest.mark.parametrize("cut", [1, 4, 5, 6, 8, 14])
@pytest.mark.usefixtures("quick")
def test_a_resumed_study_proposes_the_same_and_scores_nothing_again(make, cut, tmp_path):
    calls = []

    def counted(params):
        calls.append(params)
        return hopeful(params)

    whole = study_of(make(proxies=counted))
    whole.run(value, trials=15)
    path = f"sqlite:///{tmp_path}/study.db"
    with study_of(make(proxies=counted), path) as study:
        study.run(value, trials=cut)
    before = len(calls)
    with study_of(make(proxies=counted), path) as study:
        if cut >= 6:  # the archive has been evolved
            calls.clear()
        study.run(value, trials=15)
        assert genomes(study) == genomes(whole)
        assert study.algorithm.agreement == whole.algorithm.agreement
    assert (len(calls) > before) == (cut < 6)
    assert calls or cut >= 6


@each_search
@pytest.mark.parametrize("best", [True, False])
def test_a_failed_trial_counts_as_the_worst(make, best):
    found = [point["a"] + 10.0 * point["b"] for point in plain(make, 5)]
    fails = found.index(max(found) if best else min(found))

    def one_fails(trial):
        if trial.number == fails:
            raise RuntimeError("no")
        return value(trial)

    study = study_of(make(proxies=lambda params: {"first": hopeful(params)["first"]}))
    study.run(one_fails, trials=6, max_failures=1.0)
    assert study.algorithm.agreement.trials in (5, 6)
    study.run(one_fails, trials=5, max_failures=1.0)
    correlation = study.algorithm.agreement.correlation
    assert (correlation < 1.0) == best


@each_search
def test_a_start_that_failed_as_a_whole_uses_no_proxies(make):
    def fails(trial):
        raise RuntimeError("no")

    study = study_of(make(proxies=hopeful))
    study.run(fails, trials=30, max_failures=1.0)
    assert chosen(study) == []
    assert len({json.dumps(dict(trial.params)) for trial in study.trials}) == 30


@pytest.mark.parametrize("name", ["Hybrid", "ageing"])
def test_workers_get_trials_of_the_search_itself_until_there_are_results(name):
    rehearsal = Rehearsal(
        MAKERS[name](proxies=hopeful), value=lambda t: -hopeful(t.params)["first"]
    )
    started = [rehearsal.start() for _ in range(9)]
    assert all("proxy_test" in trial.note for trial in started)
    for trial in started[:5]:
        rehearsal.end(trial)
    later = [rehearsal.start() for _ in range(9)]
    assert ["proxy_choice" in trial.note for trial in later] == [True] * 8 + [False]


def test_a_generation_waits_for_what_decides():
    rehearsal = Rehearsal(
        Genetic(SPACE, proxies=hopeful), value=lambda t: -hopeful(t.params)["first"]
    )
    for count in (5, 3, 5):
        for _ in range(count):
            assert rehearsal.start() is not None
        assert rehearsal.start() is None
        for trial in rehearsal.running:
            rehearsal.end(trial)
    assert rehearsal.start().origin.generation == 1


@pytest.mark.parametrize("size", [3, 5, 40])
def test_generations_of_any_size(size):
    study = study_of(Genetic(SPACE, population_size=size, proxies=hopeful))
    study.run(value, trials=60)
    assert chosen(study) == list(range(5, 13))
    first = [trial for trial in study.trials if trial.origin.generation == 0]
    assert len(first) == max(size, 13)


def test_networks_that_were_tried_are_not_chosen_again():
    space = Space(a=Int(1, 12))
    study = study_of(Hybrid(space, proxies=lambda params: {"a": params["a"]}))
    study.run(lambda trial: {"value": trial.params["a"]}, trials=12)
    assert sorted(trial.params["a"] for trial in study.trials) == list(range(1, 13))
    assert chosen(study) == list(range(5, 12))


def test_seeds_come_first():
    seeds = [{"a": a, "b": 0.5, "kind": "x"} for a in (7, 20, 3, 9, 11, 70)]
    for make in MAKERS.values():
        study = study_of(make(proxies=hopeful, seeds=seeds))
        study.run(value, trials=14)
        assert [trial.params for trial in study.trials[:6]] == seeds
        assert chosen(study) == list(range(6, 14))


def test_another_seed_evolves_another_archive():
    a, b = (study_of(Hybrid(SPACE, proxies=hopeful), seed=seed) for seed in (1, 2))
    for study in (a, b):
        study.run(value, trials=13)
    assert genomes(a)[5:] != genomes(b)[5:]


def test_an_algorithm_with_proxies_can_be_pickled():
    algorithm = Hybrid(SPACE, proxies=hopeful)
    rehearsal = Rehearsal(algorithm).run(5)
    again = pickle.loads(pickle.dumps(algorithm))
    assert again.agreement == algorithm.agreement is not None
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
