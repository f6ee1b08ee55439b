import copy
import pickle
from functools import partial

import numpy as np
import pytest

import evotune as et
from evotune.errors import AlgorithmError, SpaceError, StudyError, TaskError
from evotune.running import RunningTrial
from helpers_study import last_error_of

optuna = pytest.importorskip("optuna")
from evotune.integrations.optuna import (  # noqa: E402
    PROPOSAL,
    Sampler,
    distributions,
    import_study,
    space,
)

Float = optuna.distributions.FloatDistribution
Int = optuna.distributions.IntDistribution
Categorical = optuna.distributions.CategoricalDistribution
FixedTrial = optuna.trial.FixedTrial

SPACE = et.Space(
    x=et.Float(-5.0, 5.0),
    rate=et.Float(1e-3, 1.0, log=True),
    kind=et.Choice("a", "b"),
    depth=et.Int(1, 9, when={"kind": "b"}),
)


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def suggest(trial):
    params = {
        "x": trial.suggest_float("x", -5, 5),
        "rate": trial.suggest_float("rate", 1e-3, 1, log=True),
        "kind": trial.suggest_categorical("kind", ["a", "b"]),
    }
    if params["kind"] == "b":
        params["depth"] = trial.suggest_int("depth", 1, 9)
    return params


def objective(trial):
    params = suggest(trial)
    return params["x"] ** 2 + (np.log10(params["rate"]) + 1) ** 2 + abs(params.get("depth", 2) - 5)


def searched(algorithm="Genetic", trials=30, *, function=objective, **options):
    study = optuna.create_study(sampler=Sampler(algorithm, SPACE, seed=1), **options)
    study.optimize(function, n_trials=trials)
    return study


def params_of(study):
    return [trial.params for trial in study.trials]


def kept(folder):
    """A storage as another process opens it."""
    file = optuna.storages.journal.JournalFileBackend(str(folder / "optuna.log"))
    return optuna.storages.JournalStorage(file)


class TestSpace:
    def test_distributions_map_one_to_one(self):
        given = {
            "a": Float(0.1, 10.0, log=True),
            "b": Float(0.0, 1.0, step=0.25),
            "c": Float(-1.0, 1.0),
            "d": Int(1, 64, log=True),
            "e": Int(0, 10, step=5),
            "f": Categorical(["x", None, 3, True, 0.5]),
            "g": Float(2.0, 2.0),
        }
        ours = space(given)
        assert ours == et.Space(
            a=et.Float(0.1, 10.0, log=True),
            b=et.Float(0.0, 1.0, step=0.25),
            c=et.Float(-1.0, 1.0),
            d=et.Int(1, 64, log=True),
            e=et.Int(0, 10, step=5),
            f=et.Choice("x", None, 3, True, 0.5),
            g=et.Float(2.0, 2.0),
        )
        assert distributions(ours) == given

    def test_the_other_way_listed_values_are_categories(self):
        ours = et.Space(o=et.Ordinal(1, 2, 4), b=et.Bool(), f=et.Fixed("x"))
        assert distributions(ours) == {
            "o": Categorical([1, 2, 4]),
            "b": Categorical([False, True]),
            "f": Categorical(["x"]),
        }

    def test_a_study_has_the_space_of_all_its_trials(self):
        study = optuna.create_study()
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        study.optimize(
            lambda trial: trial.suggest_float("x", -1, 0.5) + trial.suggest_int("n", 1, 3),
            n_trials=1,
        )
        assert space(study) == et.Space(x=et.Float(-1.0, 1.0), n=et.Int(1, 3))

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"a": 3}, "param 'a': 3 has no counterpart"),
            ({"a": Categorical([(1, 2), (3,)])}, "param 'a': .*Give it a name"),
            (3, "needs a study of Optuna"),
        ],
    )
    @pytest.mark.filterwarnings("ignore")
    def test_what_has_no_counterpart_is_said(self, given, words):
        with pytest.raises(SpaceError, match=words):
            space(given)

    def test_a_study_without_a_single_space_is_refused(self):
        study = optuna.create_study()
        with pytest.raises(SpaceError, match="no trial with params"):
            space(study)
        study.optimize(lambda trial: trial.suggest_int("x", 1, 9, step=2), n_trials=1)
        study.optimize(lambda trial: trial.suggest_int("x", 1, 10, step=3), n_trials=1)
        with pytest.raises(SpaceError, match="write the space anew"):
            space(study)

    def test_chains_are_refused(self):
        with pytest.raises(
            SpaceError, match="chains and schedules have no counterpart in Optuna: 'layers'"
        ):
            distributions(et.Space(layers=et.Chain(1, 2, dense={})))


class TestImport:
    def test_finished_trials_are_added(self, caplog):
        source = optuna.create_study()

        def mixed(trial):
            value = objective(trial)
            if trial.number % 5 == 3:
                raise optuna.TrialPruned
            if trial.number % 5 == 4:
                raise ArithmeticError
            return value

        source.optimize(mixed, n_trials=20, catch=ArithmeticError)
        source.ask()
        study = et.Study(et.Hybrid(SPACE), "min loss", seed=1)
        added = import_study(source, study)
        done = [t for t in source.trials if t.state.name == "COMPLETE"]
        assert [t.params for t in added] == [t.params for t in done]
        assert [t.metrics["loss"] for t in study.trials] == [t.value for t in done]
        assert study.best.values == (source.best_value,)
        assert len(caplog.records) == 1
        assert "added 12 trials" in caplog.text
        assert "left out: 4 pruned, 4 failed, 1 still running" in caplog.text

    def test_the_algorithm_goes_on_from_them(self):
        source = searched("RandomSearch", 12)
        study = et.Study(et.Genetic(SPACE, population_size=12), "min loss", seed=1)
        import_study(source, study)
        study.run(lambda trial: 100.0, trials=24)
        best = sorted(t.value for t in source.trials)
        assert sorted(t.values[0] for t in study.algorithm.population) == best

    def test_conditions_are_not_in_the_space_of_a_study(self, caplog):
        source = searched("RandomSearch", 12)
        added = import_study(source, et.Study(et.Hybrid(space(source)), "min loss", seed=1))
        assert {t.params["kind"] for t in added} == {"b"}
        assert "gene 'depth' is active but missing from" in caplog.text

    def test_what_lies_outside_is_counted_with_an_example(self, caplog):
        source = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
        source.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=10)
        study = et.Study(et.Hybrid(et.Space(x=et.Float(0.0, 0.5))), "min loss")
        added = import_study(source, study)
        assert 0 < len(added) < 10
        assert f"left out: {10 - len(added)} with params that do not lie in" in caplog.text
        assert "outside its domain" in caplog.text

    def test_nothing_is_added_twice(self, tmp_path, caplog):
        source = searched(trials=6)
        for _ in range(2):
            with et.Study(et.Hybrid(SPACE), "min loss", storage=str(tmp_path / "a.db")) as study:
                import_study(source, study)
                assert len(study.trials) == 6
            source.optimize(objective, n_trials=0)
        assert not caplog.records

    def test_several_objectives_and_constraints(self):
        source = optuna.create_study(directions=["maximize", "minimize"])

        def two(trial):
            x = trial.suggest_float("x", 0, 1)
            trial.set_user_attr("size", x)
            trial.set_user_attr("commit", "abc")
            trial.set_user_attr("curve", [1, 2])
            return x, x**2

        source.optimize(two, n_trials=5)
        study = et.Study(
            et.Hybrid(space(source)),
            ["max accuracy", "min cost", et.Constraint("size", at_most=0.5)],
        )
        import_study(source, study)
        for ours, theirs in zip(study.trials, source.trials, strict=True):
            assert ours.values == (-theirs.values[0], theirs.values[1])
            assert ours.notes == {"commit": "abc"}
            assert (ours.violation > 0) == (theirs.params["x"] > 0.5)

    @pytest.mark.parametrize(
        ("objectives", "words"),
        [
            ("max accuracy", "write Study(..., 'min metric')"),
            (["min loss", "min cost"], "write Study(..., 'min metric')"),
            (et.WeightedSum(loss=-1.0), "has a weighted sum"),
        ],
    )
    def test_directions_must_agree(self, objectives, words):
        source = searched(trials=1)
        with pytest.raises(StudyError) as error:
            import_study(source, et.Study(et.Hybrid(SPACE), objectives))
        assert words in str(error.value)

    def test_a_wrong_call_gets_words(self):
        study = et.Study(et.Hybrid(SPACE), "min loss")
        with pytest.raises(StudyError, match=r"write import_study\(optuna_study, study\)"):
            import_study(study, searched(trials=1))


class TestSampler:
    @pytest.mark.parametrize(
        "algorithm", ["auto", "Genetic", "CmaEs", "DifferentialEvolution", "ParticleSwarm"]
    )
    def test_it_learns(self, algorithm):
        values = [t.value for t in searched(algorithm, 24 if algorithm == "auto" else 80).trials]
        assert np.median(values[-12:]) < 0.5 * np.median(values[:12])

    def test_params_that_a_trial_does_not_use_are_fine(self):
        study = searched(trials=20)
        assert {"depth" in p for p in params_of(study)} == {True, False}
        assert all(("depth" in p) == (p["kind"] == "b") for p in params_of(study))

    @pytest.mark.parametrize("algorithm", ["Hybrid", "Genetic", "CmaEs", "EvolutionStrategy"])
    @pytest.mark.parametrize("cut", [7, 16])
    def test_it_goes_on_after_a_restart_as_if_there_had_been_none(self, algorithm, cut, tmp_path):
        whole = searched(algorithm, 20)
        for trials in (cut, 20 - cut):
            rest = searched(
                algorithm, trials, storage=kept(tmp_path), study_name="s", load_if_exists=True
            )
        assert params_of(rest) == params_of(whole)

    @pytest.mark.parametrize("algorithm", ["Hybrid", "Genetic", "CmaEs"])
    def test_it_proposes_what_a_study_would_try(self, algorithm):
        """With the same seed, and one trial after another."""
        made = getattr(et, algorithm)(SPACE)
        study = et.Study(made, "min loss", seed=1)
        study.run(lambda trial: objective(FixedTrial(trial.params)), trials=20)
        assert params_of(searched(algorithm, 20)) == [t.params for t in study.trials]

    def test_it_is_told_each_trial_once(self, monkeypatch):
        told = []
        tell = et.Genetic.tell

        def counted(self, trial):
            told.append((trial.number, trial.state))
            tell(self, trial)

        monkeypatch.setattr(et.Genetic, "tell", counted)
        searched(trials=40)
        assert told[:4] == [(0, "running"), (0, "done"), (1, "running"), (1, "done")]
        assert len(told) == len(set(told)) == 2 * 39

    @pytest.mark.parametrize("algorithm", ["Genetic", "CmaEs", "Hybrid"])
    def test_several_threads(self, algorithm):
        study = optuna.create_study(sampler=Sampler(algorithm, SPACE, seed=1))
        study.optimize(objective, n_trials=26, n_jobs=3)
        assert {t.state.name for t in study.trials} == {"COMPLETE"}
        assert len({str(p) for p in params_of(study)}) == 26

    def test_it_proposes_while_the_rest_of_a_generation_runs(self):
        sampler = Sampler(partial(et.Genetic, population_size=4), SPACE, seed=1)
        study = optuna.create_study(sampler=sampler)
        running = [study.ask() for _ in range(10)]
        assert len({str(suggest(trial)) for trial in running}) == 10
        for trial in running:
            study.tell(trial, objective(trial))
        study.optimize(objective, n_trials=20)
        assert max(t.system_attrs[PROPOSAL]["origin"]["generation"] or 0 for t in study.trials) >= 3

    def test_several_processes(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'optuna.db'}"
        optuna.create_study(storage=url, study_name="s")
        studies = [
            optuna.load_study(
                study_name="s", storage=url, sampler=Sampler("Genetic", SPACE, seed=1)
            )
            for _ in range(2)
        ]
        for k in range(26):
            trial = studies[k % 2].ask()
            studies[k % 2].tell(trial, objective(trial))
        assert params_of(studies[0]) == params_of(searched(trials=26))

    def test_directions_and_constraints(self):
        def two(trial):
            params = suggest(trial)
            trial.set_constraint("x", params["x"] - 1)
            return params["x"], params["rate"]

        study = searched("Nsga2", 120, function=two, directions=["maximize", "minimize"])
        kept = [t for t in study.best_trials if t.params["x"] <= 1]
        assert max(t.values[0] for t in kept) > 0.8
        assert min(t.values[1] for t in kept) < 0.005

    def test_auto_heeds_the_number_of_objectives(self):
        study = searched(
            "auto",
            3,
            function=lambda trial: [suggest(trial)["x"]] * 4,
            directions=["minimize"] * 4,
        )
        assert "Nsga3" in study.sampler._told.algorithm.why

    def test_pruned_and_failed_trials_count_as_failed(self):
        told = {}

        class Spy(et.Genetic):
            def tell(self, trial):
                told[trial.number] = trial.state
                super().tell(trial)

        def fragile(trial):
            objective(trial)
            if trial.number == 0:
                raise optuna.TrialPruned
            if trial.number == 1:
                raise ArithmeticError
            return float("inf") if trial.number == 2 else 1.0

        study = optuna.create_study(sampler=Sampler(Spy, SPACE, seed=1))
        study.optimize(fragile, n_trials=5, catch=ArithmeticError)
        assert told == {0: "failed", 1: "failed", 2: "failed", 3: "done"}

    def test_enqueued_and_foreign_trials_are_learned_from(self):
        study = optuna.create_study(sampler=Sampler(et.Genetic, SPACE, seed=1))
        study.enqueue_trial({"x": 0.0, "rate": 0.1, "kind": "b", "depth": 5})
        study.enqueue_trial({"x": 4.5})
        study.add_trial(
            optuna.trial.create_trial(
                params={"x": 0.5, "rate": 0.1, "kind": "a"},
                distributions={
                    "x": Float(-5, 5),
                    "rate": Float(1e-3, 1, log=True),
                    "kind": Categorical(["a", "b"]),
                },
                value=3.25,
            )
        )
        study.optimize(objective, n_trials=20)
        assert study.trials[0].value == pytest.approx(0)
        assert study.trials[1].params["x"] == 4.5
        population = study.sampler._told.algorithm.population
        assert {0, 2} <= {trial.number for trial in population}

    @pytest.mark.filterwarnings("ignore")
    def test_fixed_params_are_learned_from_as_they_were_tried(self):
        sampler = Sampler(et.Genetic, SPACE, seed=1)
        study = optuna.create_study(
            sampler=optuna.samplers.PartialFixedSampler({"x": 2.0}, sampler)
        )
        study.optimize(objective, n_trials=15)
        assert {trial.genome["x"] for trial in sampler._told.algorithm.population} == {2.0}

    def test_a_sampler_may_serve_several_studies(self):
        sampler = Sampler("Genetic", SPACE, seed=1)
        for _ in range(2):
            study = optuna.create_study(sampler=sampler)
            study.optimize(objective, n_trials=20)
            assert params_of(study) == params_of(searched(trials=20))

    def test_it_is_pickled_and_copied_without_what_it_was_told(self):
        study = searched(trials=14)
        sampler = pickle.loads(pickle.dumps(study.sampler))
        for each in (sampler, copy.deepcopy(study.sampler)):
            again = optuna.create_study(sampler=each)
            again.optimize(objective, n_trials=14)
            assert params_of(again) == params_of(study)

    def test_the_search_space_may_be_of_optuna(self):
        given = {"x": Float(-5, 5), "n": Int(1, 9, log=True)}
        study = optuna.create_study(sampler=Sampler("Genetic", given, seed=1))
        trial = study.ask(given)
        assert set(trial.params) == {"x", "n"}

    def test_an_algorithm_may_be_given_as_an_object(self):
        algorithm = et.Genetic(SPACE, population_size=4)
        searched(algorithm, 10)
        assert algorithm.population == ()

    def test_a_small_space_is_tried_without_repeats(self):
        small = et.Space(a=et.Int(1, 3), b=et.Bool())
        study = optuna.create_study(sampler=Sampler("Genetic", small, seed=1))
        for _ in range(6):
            study.tell(study.ask(distributions(small)), 1.0)
        assert len({str(p) for p in params_of(study)}) == 6

    def test_a_study_that_is_made_anew_begins_anew(self):
        sampler = Sampler("Genetic", SPACE, seed=1)
        storage = optuna.storages.InMemoryStorage()
        for _ in range(2):
            study = optuna.create_study(sampler=sampler, storage=storage, study_name="s")
            study.optimize(objective, n_trials=15)
            assert params_of(study) == params_of(searched(trials=15))
            optuna.delete_study(study_name="s", storage=storage)

    def test_the_order_of_categories_means_nothing(self):
        study = optuna.create_study(sampler=Sampler("Genetic", et.Space(b=et.Bool()), seed=1))
        study.optimize(lambda t: float(t.suggest_categorical("b", [True, False])), n_trials=5)
        assert study.best_value == 0

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            (lambda t: t.suggest_float("y", 0, 1), "'y' is suggested, but is not in"),
            (lambda t: t.suggest_float("x", -5, 6), "write the same in both"),
            (lambda t: t.suggest_int("x", -5, 5), "write the same in both"),
            (lambda t: t.suggest_float("rate", 1e-3, 1), "write the same in both"),
            (lambda t: t.suggest_categorical("kind", ["a", "c"]), "write the same in both"),
        ],
    )
    def test_what_is_suggested_must_be_declared(self, wrong, words):
        with pytest.raises(SpaceError, match=words):
            searched(trials=1, function=wrong)

    @pytest.mark.parametrize(
        ("arguments", "error", "words"),
        [
            (("Genetics", SPACE), AlgorithmError, "there is no algorithm 'Genetics'"),
            ((SPACE, "Genetic"), SpaceError, "needs a search_space"),
            ((SPACE, SPACE), AlgorithmError, "the name of one"),
            (("PopulationBasedTraining", SPACE), AlgorithmError, "goes on from weights"),
            (("Hybrid", et.Space(c=et.Chain(1, 2, dense={}))), SpaceError, "chains"),
        ],
    )
    def test_a_wrong_call_gets_words(self, arguments, error, words):
        with pytest.raises(error, match=words):
            Sampler(*arguments)

    def test_an_algorithm_that_ends_says_so(self):
        study = optuna.create_study(sampler=Sampler("Grid", et.Space(b=et.Bool())))
        with pytest.raises(AlgorithmError, match="nothing more to propose"):
            study.optimize(lambda t: float(t.suggest_categorical("b", [False, True])), n_trials=3)


class TestSuggest:
    def trial(self):
        return RunningTrial(et.Trial(0, {"lr": 0.1}, {"lr": 0.1}))

    @pytest.mark.parametrize("name", ["suggest_float", "suggest_int", "suggest_categorical"])
    def test_our_trials_say_what_to_write_instead(self, name):
        trial = self.trial()
        assert not hasattr(trial, name)
        with pytest.raises(TaskError, match=r"trial.params\['x'\]; this trial has 'lr'"):
            getattr(trial, name)("lr", 0, 1)

    def test_it_ends_a_run_at_once(self):
        tried = []

        def wrong(trial):
            tried.append(trial.number)
            return trial.suggest_float("lr", 0, 1)

        with pytest.raises(TaskError, match=r"et.Space\(x=et.Float"):
            et.tune(wrong, et.Space(lr=et.Float(0, 1)), "min loss", trials=30)
        assert tried == [0]


def test_without_optuna_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['optuna'] = None; "
        "import evotune as et; et.integrations.optuna.Sampler"
    )
    assert 'pip install "evotune[optuna]"' in last_error_of(code)


def test_an_older_optuna_is_refused():
    code = (
        "import optuna; optuna.__version__ = '4.6.0'; "
        "import evotune as et; et.integrations.optuna.Sampler"
    )
    assert "needs Optuna 5, found 4.6.0" in last_error_of(code)
