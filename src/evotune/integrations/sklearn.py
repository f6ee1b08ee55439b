"""`EvolutionSearchCV`: the searches of evotune as a ``SearchCV`` of scikit-learn."""

import logging
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from scipy.stats import rankdata
from sklearn.base import clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV, check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import check_random_state

from evotune.algorithms.auto import independent
from evotune.checks import flag, option
from evotune.errors import SpaceError, StudyError
from evotune.objectives import Objective
from evotune.protocols import Algorithm, Storage
from evotune.space import Choice, Domain, Float, Int, Space
from evotune.space.chain import Chain
from evotune.study.study import Study
from evotune.trial import Failed, Trial, thawed

log = logging.getLogger("evotune")

#: So many candidates are scored on all folds before one is stopped after the first.
STARTUP = 5
#: A search ends with the error of its fits when none of so many candidates could be scored.
HOPELESS = 10

#: What scikit-learn says of results so far, after each batch, and when all fits of a batch failed.
_NOT_FINITE = "One or more of the .* scores are non-finite"
_ALL_FAILED = re.compile(r"\s*All the \d+ fits failed")

_NO_SCORE = "it has no score on some fold: warnings of scikit-learn say why"
_TIMES = ("mean_fit_time", "mean_score_time")


class EvolutionSearchCV(BaseSearchCV):  # type: ignore[misc]
    """Search over hyperparameters by evolution, with cross-validation, as in scikit-learn.

    It takes the place of ``RandomizedSearchCV``: pipelines, several scores, ``n_jobs``,
    ``cv_results_``, ``best_params_`` and all else work as there. With the same ``random_state`` and
    ``batch_size`` a search is the same again, exactly, as far as the estimator is.

    A candidate that could not be scored (``error_score``) counts for the algorithm as failed. An
    error ends the search only when ``error_score="raise"``, or when none of the first ten
    candidates could be scored.

    Args:
        estimator: What is fitted.
        space: A `Space`, in which genes may have conditions, or a dict from names of parameters,
            such as ``svc__C``, to domains, to lists of values, or to ``uniform``, ``loguniform`` or
            ``randint`` of ``scipy.stats``. A list becomes a `Choice`; its values may be anything,
            also estimators. Where values have an order, write ``Ordinal(1, 2, 4, 8)``.
        algorithm: ``"auto"``, the name of a search such as ``"Genetic"``, a function of the space
            that makes one, such as ``functools.partial(Genetic, population_size=8)``, or an
            algorithm on this space.
        n_iter: Candidates in total; fewer where the space has fewer points.
        scoring: As in scikit-learn. With several scores, ``refit`` names the one to maximise.
        n_jobs: Fits that run at the same time.
        refit: Whether the best candidate is fitted to all data; the name of a score; or a function
            of ``cv_results_`` that returns the index of the best.
        cv: As in scikit-learn. A splitter that draws new splits at each call is asked once, so that
            all candidates meet the same.
        verbose: As in scikit-learn.
        pre_dispatch: As in scikit-learn.
        random_state: Seed of the search, not of the estimator.
        error_score: Score of a fit that fails, or ``"raise"``.
        return_train_score: Whether ``cv_results_`` has scores on the training data too.
        batch_size: Candidates that are evaluated together, where the algorithm has no generations;
            where it has, a generation is. By default as many as ``n_jobs`` allows, so that the
            search depends on that too.
        early_stopping: Score candidates on the first fold first, and on the others only those
            that there reach the median of all before, and of their generation (the median rule of
            Golovin et al., "Google Vizier", 2017, with folds in place of steps). The algorithm is
            told of a stopped candidate its score on the first fold, plus what candidates gained on
            average from the first fold to the mean of all. In ``cv_results_`` stopped candidates
            come last, with ``stopped`` True: their first split has its score, the other splits,
            mean and standard deviation are NaN, their rank is the last, and their times are those
            of one fit. Those that go on are fitted to the first fold twice.
        storage: None keeps the study in memory; a path or URL keeps it there as `Study` does. A
            search of the same ``name`` then goes on: earlier candidates count as part of
            ``n_iter``, and the algorithm learns from them. Of these ``cv_results_`` has the best
            one only, which is scored again. Scores of other data must not be mixed: give each data
            set a ``name``; a warning says so where the best one scores differently now.
        name: Name of the study in its storage.

    Attributes:
        study_: The closed `Study`, with ``trials``, ``importance()`` and ``report(path)``.
        cv_results_: As in scikit-learn. Batches of which every fit failed come behind the others.

    Raises:
        SpaceError: A parameter has values or a distribution without a counterpart here.
        AlgorithmError: The algorithm is not known, or trains for budgets.
        StudyError: An option is out of bounds; several scores, and ``refit`` names none of them.

    Example::

        search = EvolutionSearchCV(SVC(), {"C": loguniform(0.01, 100)}, n_iter=30, random_state=0)
        search.fit(x, y).best_params_
    """

    def __init__(  # noqa: PLR0913  (as scikit-learn has them)
        self,
        estimator: Any,
        space: Space | Mapping[str, Any],
        *,
        algorithm: str | Algorithm | Callable[[Space], Algorithm] = "auto",
        n_iter: int = 50,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable[..., int] = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: Any = None,
        error_score: float | str = np.nan,
        return_train_score: bool = False,
        batch_size: int | None = None,
        early_stopping: bool = False,
        storage: str | PathLike[str] | Storage | None = None,
        name: str = "study",
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.space = space
        self.algorithm = algorithm
        self.n_iter = n_iter
        self.random_state = random_state
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.storage = storage
        self.name = name

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Search, and fit the best candidate to all data if ``refit`` says so.

        Args:
            X: Data, shape ``(samples, features)``.
            y: What is to be predicted, shape ``(samples,)`` or ``(samples, outputs)``, or None.
            **params: Passed on to the ``fit`` of the estimator, and as in scikit-learn to scorer
                and splitter.

        Returns:
            The search itself.
        """
        self.__dict__.pop("study_", None)  # it would travel to every worker
        self._data = X, y, params
        self._further: list[_Row] = []  # rows of cv_results_ that scikit-learn lacks
        try:
            super().fit(X, y, **params)
            if self._further or self.early_stopping:
                _append(self.cv_results_, self._further, early_stopping=self.early_stopping)
        finally:
            del self._data, self._further
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: during a fit workers get the data by themselves."""
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in ("_data", "_further")}

    def _run_search(self, evaluate_candidates: Callable[..., Mapping[str, Any]]) -> None:
        metric = self.refit if isinstance(self.refit, str) else "score"
        if metric == "score" and isinstance(self.scoring, list | tuple | set | dict):
            raise StudyError(
                "with several scores the search maximises the one that refit names: write "
                f"refit={next(iter(self.scoring))!r}; got refit={self.refit!r}"
            )
        n_iter = option("n_iter", self.n_iter, "[1, inf)", whole=True)
        together = effective_n_jobs(self.n_jobs)
        if self.batch_size is not None:
            together = option("batch_size", self.batch_size, "[1, inf)", whole=True)
        if flag("early_stopping", self.early_stopping) and hasattr(self.cv, "__next__"):
            raise StudyError("early_stopping=True needs cv= as a list of splits: write list(cv)")
        space, meant = _to_space(self.space)
        algorithm = independent(
            type(self).__name__,
            self.algorithm,
            space,
            trials=n_iter,
            workers=min(together, n_iter),
        )
        seed = self.random_state
        if seed is not None:
            seed = int(check_random_state(seed).randint(2**31 - 1))
        objective = Objective(metric, "max")
        with Study(algorithm, objective, storage=self.storage, name=self.name, seed=seed) as study:
            evaluation = _Evaluation(self, evaluate_candidates, study, meant)
            evaluation.again()
            size = n_iter if algorithm.traits.generational else together
            limit = min(n_iter, space.size())
            while batch := _asked(study, size, limit):
                evaluation(batch)
            evaluation.end()
        self.study_ = study


def _asked(study: Study, size: int, limit: float) -> list[Trial]:
    """Return the next trials to evaluate together; none at the end."""
    ended = sum(trial.has_ended for trial in study.trials)
    batch: list[Trial] = []
    while len(batch) < size and ended + len(batch) < limit:
        trial = study.ask()
        if trial is None:
            break
        batch.append(trial)
    return batch


class _Evaluation:
    """Scores batches of trials and tells the study.

    Args:
        search: The search.
        evaluate: What scikit-learn gives to ``_run_search``.
        study: The open study.
        meant: The values that labels stand for, by name of the parameter.
    """

    def __init__(
        self,
        search: EvolutionSearchCV,
        evaluate: Callable[..., Mapping[str, Any]],
        study: Study,
        meant: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.search = search
        self.study = study
        self._evaluate = evaluate
        self._meant = meant
        self._metric = study.objectives.needed[0]
        # Splits that are drawn anew at each call are drawn once.
        self._cv = _SameSplits(search.cv) if hasattr(search.cv, "split") else None
        self._results: Mapping[str, Any] | None = None
        self._rows: dict[int, _Row] = {}  # of the last batch, on the first fold
        self._error: ValueError = StudyError(f"no candidate of study {study.name!r} has a score")

    def again(self) -> None:
        """Score the best candidate of an earlier fit again, so that it can be the best of all."""
        done = [t for t in self.study.trials if t.state == "done" and not t.metrics.get("stopped")]
        if not done:
            return
        best = max(done, key=lambda trial: trial.metrics[self._metric])
        now = self._scores([self._params(best)])[0].get(self._metric, math.nan)
        before = best.metrics[self._metric]
        if not math.isclose(now, before, rel_tol=1e-6, abs_tol=1e-9):
            log.warning(
                "study %r: its best candidate had a score of %.6g when it was recorded and has "
                "%.6g now. Either the estimator has no random_state, or these are other data: then "
                "scores that cannot be compared are mixed, so write another name=",
                *(self.study.name, before, now),
            )

    def __call__(self, batch: Sequence[Trial]) -> None:
        """Score trials, and tell the study."""
        first: dict[int, float] = {}
        stopped: set[int] = set()
        if self.search.early_stopping:
            first = self._first_fold(batch)
            stopped = self._below_median(first)
            batch = [t for t in batch if t.number in first and t.number not in stopped]
        scores = self._scores([self._params(trial) for trial in batch]) if batch else []
        for trial, metrics in zip(batch, scores, strict=True):
            if metrics and trial.number in first:
                metrics |= {"first_fold": first[trial.number], "stopped": 0.0}
            self.study.tell(trial, metrics or Failed(_NO_SCORE))
        gain = self._gain() if stopped else 0.0
        for number in sorted(stopped):
            score = first[number]
            self.search._further.append(self._rows[number])
            metrics = {self._metric: score + gain, "first_fold": score, "stopped": 1.0}
            self.study.tell(number, metrics)
        if self._results is None and self.study.counts.get("failed", 0) >= HOPELESS:
            raise self._error

    def end(self) -> None:
        """Say what scikit-learn would say after each batch.

        Raises:
            ValueError: No candidate could be scored.
        """
        if self._results is None:
            raise self._error
        for name, values in self._results.items():
            if name.startswith(("mean_test_", "mean_train_")) and not np.isfinite(values).all():
                kind = name.split("_")[1]
                text = f"One or more of the {kind} scores are non-finite: {values}"
                warnings.warn(text, UserWarning, stacklevel=2)

    def _params(self, trial: Trial) -> dict[str, Any]:
        params = thawed(trial.params)
        return {n: self._meant[n][v] if n in self._meant else v for n, v in params.items()}

    # -- all folds ----------------------------------------------------------------------------

    def _scores(self, candidates: list[dict[str, Any]]) -> list[dict[str, float]]:
        """Score candidates on all folds; nothing stands for one that has no score."""
        cv = {} if self._cv is None else {"cv": self._cv}
        results = self._tried(lambda: self._evaluate(candidates, **cv))
        if results is None:
            self._lack(candidates)
            return [{} for _ in candidates]
        self._results = results
        own = f"mean_test_{self._metric}"
        own = own if own in results else "mean_test_score"
        if own not in results:
            names = [n.removeprefix("mean_test_") for n in results if n.startswith("mean_test_")]
            raise StudyError(
                "with several scores the search maximises the one that refit names: write "
                f"refit={names[0]!r}; got refit={self.search.refit!r}"
            )
        columns = {
            n.removeprefix("mean_test_"): v for n, v in results.items() if n.startswith("mean_test")
        }
        columns.pop(own.removeprefix("mean_test_"))
        folds = sum(n.startswith("split") and n.endswith(own[4:]) for n in results)
        columns[self._metric] = results[own]
        columns["train_seconds"] = folds * results["mean_fit_time"]
        columns["evaluation_seconds"] = folds * results["mean_score_time"]
        rows = [
            {name: float(column[k]) for name, column in columns.items()}
            for k in range(-len(candidates), 0)
        ]
        return [row if math.isfinite(row[self._metric]) else {} for row in rows]

    def _tried(self, evaluate: Callable[[], Any]) -> Any:
        """Return what is evaluated, or None where every fit has failed and that is allowed."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", _NOT_FINITE, UserWarning)
            try:
                return evaluate()
            except ValueError as error:
                allowed = self.search.error_score != "raise"
                if not (allowed and _ALL_FAILED.match(str(error))):
                    raise
                self._error = error
        warnings.warn(str(self._error), FitFailedWarning, stacklevel=2)
        return None

    def _lack(self, candidates: Sequence[Mapping[str, Any]]) -> None:
        """Note rows for candidates of which no fit succeeded."""
        given = self.search.error_score
        error_score = math.nan if given == "raise" else float(given)
        self.search._further += [_Row(params, {}, otherwise=error_score) for params in candidates]

    # -- the first fold -----------------------------------------------------------------------

    def _first_fold(self, batch: Sequence[Trial]) -> dict[int, float]:
        """Return scores on the first fold by trial; tell the study of those that have none."""
        search, (X, y, params) = self.search, self.search._data
        candidates = [self._params(trial) for trial in batch]
        cv = self._cv or check_cv(search.cv, y, classifier=is_classifier(search.estimator))
        alone = GridSearchCV(
            clone(search.estimator),
            [{name: [value] for name, value in each.items()} for each in candidates],
            scoring=search.scoring,
            n_jobs=search.n_jobs,
            refit=False,
            cv=_FirstSplit(cv),
            pre_dispatch=search.pre_dispatch,
            error_score=search.error_score,
        )
        if self._tried(lambda: alone.fit(X, y, **params)) is None:
            self._lack(candidates)
            for trial in batch:
                self.study.tell(trial, Failed(_NO_SCORE))
            return {}
        results = alone.cv_results_
        own = f"mean_test_{self._metric}"
        scores = results[own if own in results else "mean_test_score"]
        columns = {n: v for n, v in results.items() if n.startswith(("split0_test_", *_TIMES))}
        found = {}
        for k, trial in enumerate(batch):
            if math.isfinite(scores[k]):
                found[trial.number] = float(scores[k])
                row = {name: float(column[k]) for name, column in columns.items()}
                self._rows[trial.number] = _Row(candidates[k], row, stopped=True)
            else:
                self._lack([candidates[k]])
                self.study.tell(trial, Failed(_NO_SCORE))
        return found

    def _below_median(self, first: Mapping[int, float]) -> set[int]:
        """Return the numbers of the trials that are stopped."""
        earlier = [t.metrics["first_fold"] for t in self.study.trials if "first_fold" in t.metrics]
        known = [*earlier, *first.values()]
        if len(known) <= STARTUP:
            return set()
        bar = float(np.median(known))
        return {number for number, score in first.items() if score < bar}

    def _gain(self) -> float:
        """Return by how much the mean of all folds lies above the first fold, on average."""
        gains = [
            t.metrics[self._metric] - t.metrics["first_fold"]
            for t in self.study.trials
            if t.metrics.get("stopped") == 0
        ]
        return float(np.mean(gains)) if gains else 0.0


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of ``cv_results_`` that scikit-learn has not made.

    Attributes:
        params: The candidate.
        columns: What is known of it.
        stopped: True when it was stopped after the first fold.
        otherwise: What stands for all scores that are not known.
    """

    params: Mapping[str, Any]
    columns: Mapping[str, float]
    stopped: bool = False
    otherwise: float = math.nan

    def column(self, name: str) -> float:
        if name in self.columns:
            return self.columns[name]
        if name.startswith("std_"):
            return 0.0 * self.otherwise
        return self.otherwise if "_test_" in name or "_train_" in name else math.nan


def _append(results: dict[str, Any], rows: Sequence[_Row], *, early_stopping: bool) -> None:
    """Add rows behind those of scikit-learn, and rank all of them again as it does."""
    count = len(results["params"])
    results["params"] = [*results["params"], *(row.params for row in rows)]
    for each in sorted({each for row in rows for each in row.params}):
        results.setdefault(f"param_{each}", _masked(count))
    for name, old in results.items():
        if name.startswith("param_"):
            results[name] = _extended(old, name.removeprefix("param_"), rows)
        elif name.startswith(("mean_", "std_", "split")):
            results[name] = np.append(old, [row.column(name) for row in rows])
    for name in [name for name in results if name.startswith("rank_test_")]:
        means = results[name.replace("rank", "mean", 1)]
        worst = np.nanmin(means) - 1
        ranks = rankdata(-np.where(np.isnan(means), worst, means), method="min")
        results[name] = ranks.astype(np.int32)
    if early_stopping:
        results["stopped"] = np.array([False] * count + [row.stopped for row in rows])


def _masked(count: int) -> Any:
    return np.ma.array(np.empty(count, dtype=object), mask=True)


def _extended(old: Any, name: str, rows: Sequence[_Row]) -> Any:
    """Return a masked column of values of one parameter with those of further rows."""
    column = _masked(len(old) + len(rows))
    column[: len(old)] = old
    for k, row in enumerate(rows, start=len(old)):
        if name in row.params:
            cell = np.empty(1, dtype=object)
            cell[0] = row.params[name]  # a list stays one value
            column[k : k + 1] = cell
    is_number = old.dtype.kind in "fiu" and not np.ma.is_masked(column)
    return column.astype(old.dtype) if is_number else column


def _to_space(given: Any) -> tuple[Space, dict[str, dict[str, Any]]]:
    """Return a space, and by name the values that labels of its genes stand for.

    Args:
        given: A `Space`, or a dict of domains, chains, lists and distributions of scipy.

    Raises:
        SpaceError: It is neither, or a value has no counterpart here.
    """
    if isinstance(given, Space):
        return given, {}
    if isinstance(given, list | tuple):
        raise SpaceError(
            "a list of spaces has no counterpart here; write one space whose genes have "
            'conditions, such as Int(2, 5, when={"kernel": "poly"}); got a list of '
            f"{len(given)}"
        )
    if not isinstance(given, Mapping):
        raise SpaceError(
            'EvolutionSearchCV needs a space, such as {"C": Float(0.01, 100.0, log=True)}; got '
            f"{given!r}"
        )
    genes: dict[str, Any] = {}
    meant: dict[str, dict[str, Any]] = {}
    for name, each in given.items():
        if isinstance(each, Domain | Chain):
            genes[name] = each
        elif hasattr(each, "rvs"):
            genes[name] = _of_distribution(name, each)
        elif isinstance(each, Sequence | np.ndarray) and not isinstance(each, str | bytes):
            genes[name], labels = _of_list(name, each)
            if labels:
                meant[name] = labels
        else:
            raise SpaceError(
                f"parameter {name!r}: give a domain such as Float(0, 1), a list of values, or "
                f"uniform, loguniform or randint of scipy.stats; got {each!r}. For a constant "
                f"write [{each!r}]"
            )
    return Space(genes), meant


def _of_list(name: str, given: Any) -> tuple[Choice, dict[str, Any]]:
    values = list(given)
    if not values:
        raise SpaceError(f"parameter {name!r} has no values")
    try:
        return Choice(*values) if len(values) > 1 else Choice(values), {}
    except SpaceError:  # estimators, tuples, functions, or one value twice: they get labels
        texts = [re.sub(r" at 0x[0-9a-f]+", "", " ".join(repr(v).split())) for v in values]
        labels = [t if texts.count(t) == 1 else f"{k}: {t}" for k, t in enumerate(texts)]
        return Choice(*labels), dict(zip(labels, values, strict=True))


def _of_distribution(name: str, given: Any) -> Float | Int:
    kind = getattr(getattr(given, "dist", None), "name", type(given).__name__)
    if kind == "uniform":
        return Float(*given.support())
    if kind == "randint":
        return Int(*map(int, given.support()))
    if kind in ("loguniform", "reciprocal"):
        low, high = given.support()
        # Shifted by loc=, it is not even on a logarithmic scale.
        if math.isclose(given.median(), math.sqrt(low) * math.sqrt(high)):
            return Float(low, high, log=True)
        kind += " with loc="
    raise SpaceError(
        f"parameter {name!r}: the distribution {kind} has no counterpart here. Say between which "
        f'bounds to search: {{"{name}": Float(low, high)}}, or Float(low, high, log=True), '
        "Int(low, high); uniform, loguniform and randint of scipy.stats are understood as they are"
    )


class _SameSplits:
    """A splitter that asks another one once, and then gives the same splits again."""

    def __init__(self, cv: Any) -> None:
        self.cv = cv
        self._splits: list[Any] | None = None
        if hasattr(cv, "get_metadata_routing"):
            self.get_metadata_routing = cv.get_metadata_routing

    def split(self, *data: Any, **params: Any) -> list[Any]:
        if self._splits is None:
            self._splits = list(self.cv.split(*data, **params))
        return self._splits

    def get_n_splits(self, *data: Any, **params: Any) -> int:
        return int(self.cv.get_n_splits(*data, **params))


class _FirstSplit(_SameSplits):
    """The first split of another splitter."""

    def split(self, *data: Any, **params: Any) -> list[Any]:
        return super().split(*data, **params)[:1]

    def get_n_splits(self, *data: Any, **params: Any) -> int:
        return 1
