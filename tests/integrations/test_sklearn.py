import pickle
import warnings
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import sklearn
from joblib import parallel_config
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_digits, make_classification
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

import evotune as et
from evotune.integrations.sklearn import EvolutionSearchCV, _to_space

X, Y = make_classification(120, 6, random_state=0)
SPACE = {"max_depth": et.Int(1, 8), "min_samples_leaf": et.Int(1, 20, log=True)}


def tree(**options):
    settings = {"n_iter": 8, "cv": 3, "random_state": 0} | options
    return EvolutionSearchCV(DecisionTreeClassifier(random_state=0), SPACE, **settings)


def search_of(estimator, name):
    settings = {"n_iter": 2, "cv": 2, "error_score": "raise", "random_state": 0}
    return EvolutionSearchCV(estimator, {name: [0.1, 1.0]}, **settings)


def expected_to_fail(_):
    """What scikit-learn expects of its own GridSearchCV and RandomizedSearchCV."""
    return {
        "check_supervised_y_2d": "DataConversionWarning not caught",
        "check_requires_y_none": "Doesn't fail gracefully",
    }


@parametrize_with_checks(
    [
        search_of(LogisticRegression(), "C"),
        search_of(Pipeline([("pca", PCA()), ("ridge", Ridge())]), "ridge__alpha"),
        search_of(Ridge(), "alpha").set_params(early_stopping=True),
    ],
    expected_failed_checks=expected_to_fail,
)
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


def same(one, other):
    names = [name for name in one.cv_results_ if "time" not in name]
    assert names == [name for name in other.cv_results_ if "time" not in name]
    for name in names:
        np.testing.assert_array_equal(one.cv_results_[name], other.cv_results_[name])


class TestSearch:
    def test_it_finds_params_and_fits_the_best(self):
        search = tree().fit(X, Y)
        results = search.cv_results_
        assert len(results["params"]) == 8
        assert search.best_params_ == results["params"][search.best_index_]
        assert search.best_score_ == results["mean_test_score"].max()
        assert search.best_estimator_.get_params()["max_depth"] == search.best_params_["max_depth"]
        assert search.score(X, Y) == search.best_estimator_.score(X, Y)
        assert search.study_.best.metrics["score"] == search.best_score_

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"algorithm": "Genetic"},
            {"algorithm": "RandomSearch"},
            {"early_stopping": True},
            {"cv": ShuffleSplit(2, random_state=1)},
        ],
    )
    def test_a_seed_gives_the_same_search(self, options):
        one, other = tree(**options), tree(**options)
        same(one.fit(X, Y), clone(other).fit(X, Y))
        same(one, one.fit(X, Y))

    def test_another_seed_is_another_search(self):
        one, other = tree().fit(X, Y), tree(random_state=1).fit(X, Y)
        assert one.cv_results_["params"] != other.cv_results_["params"]

    def test_a_random_state_may_be_an_object(self):
        one = tree(random_state=np.random.RandomState(3)).fit(X, Y)
        same(one, tree(random_state=np.random.RandomState(3)).fit(X, Y))

    def test_with_a_batch_size_the_number_of_jobs_means_nothing(self):
        same(tree(batch_size=4).fit(X, Y), tree(batch_size=4, n_jobs=2).fit(X, Y))

    def test_generations_and_batches_are_evaluated_together(self, monkeypatch):
        sizes = []
        run = EvolutionSearchCV._run_search

        def counted(self, evaluate):
            def count(candidates):
                sizes.append(len(candidates))
                return evaluate(candidates)

            run(self, count)

        monkeypatch.setattr(EvolutionSearchCV, "_run_search", counted)
        tree(algorithm=partial(et.Genetic, population_size=6)).fit(X, Y)
        assert sizes == [6, 2]
        sizes.clear()
        with parallel_config("threading"):
            tree(algorithm="Hybrid", n_jobs=2, n_iter=5).fit(X, Y)
        assert sizes == [2, 2, 1]
        sizes.clear()
        tree(algorithm="RandomSearch").fit(X, Y)
        assert sizes == [8]

    def test_a_small_space_is_tried_once(self):
        search = EvolutionSearchCV(SVC(), {"C": [0.1, 1.0], "kernel": ["rbf", "linear"]}, cv=2)
        assert len(search.fit(X, Y).cv_results_["params"]) == 4

    def test_new_splits_are_drawn_once_for_all_candidates(self):
        """Candidates that mean the same have the same scores."""
        space = {"max_depth": [3, 4, 5], "ccp_alpha": [0.0]}
        estimator = DecisionTreeClassifier(max_leaf_nodes=2, random_state=0)
        search = EvolutionSearchCV(
            estimator, space, cv=KFold(3, shuffle=True, random_state=np.random.RandomState(0))
        )
        scores = search.fit(X, Y).cv_results_["mean_test_score"]
        assert len(set(scores)) == 1

    def test_an_algorithm_may_be_given_as_an_object(self):
        space = et.Space(SPACE)
        algorithm = et.Genetic(space, population_size=4)
        estimator = DecisionTreeClassifier(random_state=0)
        search = EvolutionSearchCV(estimator, space, algorithm=algorithm, n_iter=6, random_state=0)
        same(search.fit(X, Y), clone(search).fit(X, Y))
        assert algorithm.population == ()

    def test_it_is_pickled_with_its_study(self):
        search = pickle.loads(pickle.dumps(tree().fit(X, Y)))
        assert (search.predict(X) == search.best_estimator_.predict(X)).all()
        assert len(search.study_.trials) == 8

    def test_it_learns(self):
        """More of its candidates are good than of those drawn at random."""
        x, y = load_digits(return_X_y=True)
        space = {"C": stats.loguniform(0.01, 100), "gamma": stats.loguniform(1e-6, 1)}
        means = []
        for algorithm in ("Hybrid", "RandomSearch"):
            search = EvolutionSearchCV(
                SVC(), space, algorithm=algorithm, n_iter=20, cv=2, random_state=0
            )
            means.append(np.mean(search.fit(x[:200], y[:200]).cv_results_["mean_test_score"]))
        assert means[0] > means[1] + 0.1


class TestSpaces:
    def test_distributions_of_scipy(self):
        space, labels = _to_space(
            {
                "a": stats.loguniform(1e-3, 10),
                "b": stats.uniform(1, 4),
                "c": stats.randint(2, 9),
                "d": ["x", None, 1],
                "e": et.Ordinal(1, 2),
                "f": np.array([1, 2]),
                "g": range(3),
                "h": [True],
            }
        )
        assert labels == {}
        assert space == et.Space(
            a=et.Float(1e-3, 10.0, log=True),
            b=et.Float(1.0, 5.0),
            c=et.Int(2, 8),
            d=et.Choice("x", None, 1),
            e=et.Ordinal(1, 2),
            f=et.Choice(1, 2),
            g=et.Choice(0, 1, 2),
            h=et.Choice([True]),
        )

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"a": stats.norm(0, 1)}, r"norm has no counterpart.*Float\(low, high\)"),
            ({"a": stats.loguniform(1, 2, loc=3)}, "loguniform with loc="),
            ({"a": stats.poisson(3)}, "poisson has no counterpart"),
            ({"a": 3.0}, r"For a constant write \[3.0\]"),
            ({"a": "rbf"}, r"write \['rbf'\]"),
            ({"a": []}, "has no values"),
            ([{"a": [1]}, {"b": [1]}], "genes have conditions"),
            (3, "needs a space"),
            ({}, "needs a gene"),
        ],
    )
    def test_what_has_no_counterpart_is_said(self, given, words):
        with pytest.raises(et.EvotuneError, match=words):
            EvolutionSearchCV(SVC(), given).fit(X, Y)

    def test_values_may_be_anything(self):
        """Steps of a pipeline, tuples, a value twice."""
        pipeline = Pipeline([("scale", StandardScaler()), ("model", SVC())])
        space = {
            "model": [SVC(), GaussianNB(), LogisticRegression()],
            "scale": ["passthrough", StandardScaler()],
        }
        search = EvolutionSearchCV(pipeline, space, cv=2, random_state=0).fit(X, Y)
        assert len(search.cv_results_["params"]) == 6
        assert {type(p["model"]) for p in search.cv_results_["params"]} == {
            SVC,
            GaussianNB,
            LogisticRegression,
        }
        domain, labels = _to_space({"a": [(1,), (1, 2)], "b": [True, 1]})
        assert domain["a"] == et.Choice("(1,)", "(1, 2)")
        assert labels == {"a": {"(1,)": (1,), "(1, 2)": (1, 2)}, "b": {"True": True, "1": 1}}

    def test_genes_may_have_conditions(self):
        space = {
            "svc__kernel": et.Choice("rbf", "poly"),
            "svc__degree": et.Int(2, 4, when={"svc__kernel": "poly"}),
        }
        search = EvolutionSearchCV(
            make_pipeline(StandardScaler(), SVC()), space, n_iter=4, cv=2, random_state=0
        ).fit(X, Y)
        for params, degree in zip(
            search.cv_results_["params"], search.cv_results_["param_svc__degree"], strict=True
        ):
            assert ("svc__degree" in params) == (params["svc__kernel"] == "poly")
            assert (degree is np.ma.masked) == (params["svc__kernel"] == "rbf")


class TestScores:
    def test_refit_names_what_is_maximised(self):
        for scoring in (["accuracy", "recall"], {"accuracy": "accuracy", "recall": "recall"}):
            search = tree(scoring=scoring, refit="recall").fit(X, Y)
            results = search.cv_results_
            assert results["rank_test_recall"][search.best_index_] == 1
            assert search.study_.best.metrics["recall"] == results["mean_test_recall"].max()
            assert set(search.study_.best.metrics) > {"accuracy", "recall"}

    def test_a_scorer_may_return_several(self):
        def both(estimator, x, y):
            hits = float((estimator.predict(x) == y).mean())
            return {"hits": hits, "errors": 1 - hits}

        search = tree(scoring=both, refit="errors").fit(X, Y)
        assert search.study_.best.metrics["errors"] == search.best_score_
        with pytest.raises(et.errors.StudyError, match="refit='hits'"):
            tree(scoring=both, refit=False).fit(X, Y)

    @pytest.mark.parametrize("refit", [False, lambda results: 0])
    def test_several_scores_need_a_name(self, refit):
        with pytest.raises(et.errors.StudyError, match="refit='accuracy'"):
            tree(scoring=["accuracy", "recall"], refit=refit).fit(X, Y)

    def test_one_score_by_name_or_without_a_refit(self):
        assert tree(scoring="accuracy", refit="accuracy").fit(X, Y).best_score_ > 0.5
        search = tree(refit=False).fit(X, Y)
        assert search.best_score_ > 0.5
        assert not hasattr(search, "best_estimator_")
        chosen = tree(refit=lambda results: int(results["rank_test_score"].argmax())).fit(X, Y)
        assert chosen.best_index_ == chosen.cv_results_["rank_test_score"].argmax()

    def test_training_scores(self):
        assert "mean_train_score" in tree(return_train_score=True).fit(X, Y).cv_results_


class Fragile(ClassifierMixin, BaseEstimator):
    """Cannot be fitted where ``a`` is large."""

    def __init__(self, a=0.0):
        self.a = a

    def fit(self, x, y):
        if self.a > 0.5:
            raise ValueError("a is too large")
        self.classes_ = np.unique(y)
        return self

    def predict(self, x):
        return np.where(x[:, 0] > self.a, *self.classes_[::-1])


class TestFailures:
    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("early_stopping", [False, True])
    @pytest.mark.parametrize("algorithm", ["Hybrid", "RandomSearch"])
    def test_candidates_that_fail_are_told_as_failed(self, algorithm, early_stopping):
        space = {"a": et.Float(0.0, 1.0)}
        search = EvolutionSearchCV(
            Fragile(),
            space,
            algorithm=algorithm,
            n_iter=12,
            random_state=0,
            early_stopping=early_stopping,
        ).fit(X, Y)
        results = search.cv_results_
        failed = np.array([params["a"] > 0.5 for params in results["params"]])
        assert 0 < failed.sum() < 12 == len(failed)
        assert np.isnan(results["mean_test_score"][failed]).all()
        assert (results["rank_test_score"][failed] == results["rank_test_score"].max()).all()
        assert not failed[search.best_index_]
        states = {t.params["a"] > 0.5: t.state for t in search.study_.trials}
        assert states == {True: "failed", False: "done"}
        if early_stopping:
            assert not results["stopped"][failed].any()

    def test_the_warnings_of_scikit_learn_come(self):
        search = EvolutionSearchCV(Fragile(), {"a": [0.1, 0.2, 0.9]}, n_iter=3, random_state=0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            search.fit(X, Y)
        texts = [str(warning.message) for warning in caught]
        assert sum("a is too large" in text for text in texts) == 1
        assert any(issubclass(warning.category, FitFailedWarning) for warning in caught)

    def test_an_error_may_be_raised(self):
        search = EvolutionSearchCV(Fragile(), {"a": [0.6, 0.7]}, error_score="raise")
        with pytest.raises(ValueError, match="a is too large"):
            search.fit(X, Y)
        assert not hasattr(search, "study_")

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("early_stopping", [False, True])
    def test_a_search_without_hope_ends(self, early_stopping):
        space = {"a": et.Float(0.6, 1.0)}
        search = EvolutionSearchCV(Fragile(), space, early_stopping=early_stopping)
        with pytest.raises(ValueError, match=r"All the \d+ fits failed"):
            search.fit(X, Y)

    @pytest.mark.filterwarnings("ignore")
    def test_an_error_score_stands_where_no_fit_succeeds(self):
        search = EvolutionSearchCV(
            Fragile(), {"a": [0.1, 0.9]}, n_iter=2, random_state=0, error_score=-1.0
        ).fit(X, Y)
        (failed,) = (k for k, p in enumerate(search.cv_results_["params"]) if p["a"] == 0.9)
        assert search.cv_results_["mean_test_score"][failed] == -1
        assert search.cv_results_["std_test_score"][failed] == 0

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"n_iter": 0}, "n_iter must"),
            ({"batch_size": 0}, "batch_size must"),
            ({"early_stopping": "yes"}, "early_stopping must"),
            ({"algorithm": "Genetics"}, "there is no algorithm 'Genetics'"),
            ({"algorithm": 3}, "the name of one"),
            ({"algorithm": et.Genetic(et.Space(a=et.Float(0, 1)))}, "searches another space"),
            ({"algorithm": "PopulationBasedTraining"}, "goes on from weights"),
            ({"algorithm": lambda s: et.SuccessiveHalving(et.Genetic(s))}, "trains for budgets"),
            ({"early_stopping": True, "cv": iter([([0], [1])])}, "write list"),
        ],
    )
    def test_a_wrong_option_gets_words(self, options, words):
        with pytest.raises(et.EvotuneError, match=words):
            tree(**options).fit(X, Y)


class TestEarlyStopping:
    SPACE: ClassVar = {"C": stats.loguniform(1e-3, 100), "gamma": stats.loguniform(1e-6, 10)}

    def search(self, **options):
        settings = {"algorithm": "RandomSearch", "n_iter": 25, "cv": 4, "random_state": 0}
        return EvolutionSearchCV(SVC(), self.SPACE, **settings | options)

    def test_bad_candidates_get_one_fold(self):
        search = self.search(early_stopping=True).fit(X, Y)
        results, stopped = search.cv_results_, search.cv_results_["stopped"]
        assert 5 <= stopped.sum() <= 12
        assert not stopped[:5].any()
        assert np.isnan(results["mean_test_score"][stopped]).all()
        assert np.isnan(results["split1_test_score"][stopped]).all()
        first = results["split0_test_score"]
        assert first[stopped].max() < np.median(first) <= first[5:][~stopped[5:]].min()
        assert (results["rank_test_score"][stopped] == 1 + (~stopped).sum()).all()
        assert not stopped[search.best_index_]
        assert [p["C"] for p in results["params"]] == list(results["param_C"])
        assert results["param_C"].dtype == float
        assert [p["C"] for p in results["params"]] == [t.params["C"] for t in search.study_.trials]
        # The algorithm hears what may be expected of all folds.
        gain = np.mean(results["mean_test_score"][~stopped] - first[~stopped])
        told = np.array([t.metrics["score"] for t in search.study_.trials])
        np.testing.assert_allclose(told[stopped], first[stopped] + gain)
        np.testing.assert_array_equal(told[~stopped], results["mean_test_score"][~stopped])

    def test_the_others_are_scored_as_without_it(self):
        options = {"return_train_score": True, "scoring": ["f1", "accuracy"], "refit": "f1"}
        with_it = self.search(early_stopping=True, **options).fit(X, Y)
        without = self.search(**options).fit(X, Y)
        on_all = ~with_it.cv_results_["stopped"]
        for name, column in without.cv_results_.items():
            if name.startswith(("mean_t", "std_t", "split", "param_")):
                ours = with_it.cv_results_[name][on_all]
                np.testing.assert_allclose(ours.astype(float), column[on_all].astype(float))
        assert (np.isfinite(with_it.cv_results_["std_fit_time"]) == on_all).all()
        assert with_it.best_score_ == without.best_score_

    def test_no_fold_is_fitted_twice(self):
        fits = []

        class Counted(SVC):
            def fit(self, x, y):
                fits.append(self.C)
                return super().fit(x, y)

        search = self.search(early_stopping=True, refit=False).set_params(estimator=Counted())
        stopped = search.fit(X, Y).cv_results_["stopped"]
        assert len(fits) == stopped.sum() + 4 * (~stopped).sum()

    @pytest.mark.parametrize("routing", [False, True])
    def test_groups_reach_the_splitter(self, routing):
        with sklearn.config_context(enable_metadata_routing=routing):
            search = self.search(early_stopping=True, n_iter=8, cv=GroupKFold(4))
            search.fit(X, Y, groups=np.arange(len(Y)) // 10)
        assert np.isfinite(search.best_score_)

    def test_one_fold_is_too_few(self):
        with pytest.raises(et.errors.StudyError, match="two folds or more"):
            self.search(early_stopping=True, cv=ShuffleSplit(1)).fit(X, Y)

    def test_the_first_candidates_are_not_stopped(self):
        search = tree(early_stopping=True, n_iter=5, batch_size=1, algorithm="Hybrid").fit(X, Y)
        assert not search.cv_results_["stopped"].any()

    def test_it_passes_on_what_a_fit_is_given(self):
        weights = np.ones(len(Y))
        one = tree(early_stopping=True).fit(X, Y, sample_weight=weights)
        same(one, tree(early_stopping=True).fit(X, Y))


class TestStorage:
    def test_a_search_goes_on(self, tmp_path, caplog):
        file = str(tmp_path / "runs.db")
        first = tree(storage=file, n_iter=6).fit(X, Y)
        further = tree(storage=file, n_iter=10).fit(X, Y)
        assert len(further.study_.trials) == 10
        assert further.cv_results_["params"][0] == first.best_params_
        assert len(further.cv_results_["params"]) == 5
        assert further.best_score_ >= first.best_score_
        assert not caplog.records
        whole = tree(n_iter=10).fit(X, Y)
        assert [t.params for t in further.study_.trials] == [t.params for t in whole.study_.trials]

    def test_a_finished_search_fits_its_best_again(self, tmp_path):
        file = str(tmp_path / "runs.db")
        first = tree(storage=file).fit(X, Y)
        again = tree(storage=file).fit(X, Y)
        assert again.best_params_ == first.best_params_
        assert len(again.study_.trials) == 8
        assert pickle.loads(pickle.dumps(again)).study_.best.params == first.best_params_

    def test_other_data_are_noticed(self, tmp_path, caplog):
        file = str(tmp_path / "runs.db")
        tree(storage=file).fit(X, Y)
        tree(storage=file).fit(X[:60], Y[:60])
        assert "these are other data" in caplog.text


def test_skorch():
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")

    class Net(torch.nn.Module):
        def __init__(self, units=4, layers=()):
            super().__init__()
            self.all = torch.nn.Sequential(
                torch.nn.Linear(6, units), torch.nn.ReLU(), torch.nn.Linear(units, 2)
            )
            self.layers = layers

        def forward(self, x):
            return self.all(x)

    torch.manual_seed(0)
    net = skorch.NeuralNetClassifier(
        Net, criterion=torch.nn.CrossEntropyLoss, max_epochs=3, verbose=0, train_split=None
    )
    space = et.Space(
        {
            "lr": et.Float(1e-3, 1.0, log=True),
            "module__units": et.Int(2, 16, log=True),
            "module__layers": et.Chain(1, 2, dense={"units": et.Int(1, 4)}),
        }
    )
    search = EvolutionSearchCV(net, space, n_iter=5, cv=2, random_state=0)
    search.fit(X.astype("float32"), Y)
    assert search.best_score_ > 0.4
    assert search.best_estimator_.module_.layers == search.best_params_["module__layers"]
