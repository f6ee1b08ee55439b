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
        early_stopping: Score candidates on the first fold, and on the others only those that there
            reach the median of all before and of their generation; the first five are scored on
            all (the median rule of Golovin et al., "Google Vizier", 2017, with folds in place of
            steps). The algorithm is told of a stopped candidate its score on the first fold, plus
            what the others gained on average from the first fold to the mean of all. In
            ``cv_results_`` a stopped candidate has True in the column ``stopped``, its score in the
            first split, and NaN in the other splits, the mean and the standard deviation; its rank
            is the last, and its times are those of one fit.
        storage: None keeps the study in memory; a path or URL keeps it there as `Study` does. A
            search of the same ``name`` then goes on: earlier candidates count as part of
            ``n_iter``, and the algorithm learns from them. Of these ``cv_results_`` has the best
            one only, which is scored again. Scores of other data must not be mixed: give each data
            set a ``name``; a warning says so where the best one scores differently now.
        name: Name of the study in its storage.

    Attributes:
        study_: The closed `Study`, with ``trials``, ``importance()`` and ``report(path)``.
        cv_results_: As in scikit-learn, in the order in which candidates were proposed.

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
        try:
            super().fit(X, y, **params)
        finally:
            del self._data
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: during a fit workers get the data by themselves."""
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_data"}

    def _run_search(self, evaluate_candidates: Callable[..., dict[str, Any]]) -> None:
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
        evaluate: Callable[..., dict[str, Any]],
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
        self._results: dict[str, Any] | None = None  # which scikit-learn goes on with
        self._numbers: list[int] = []  # trials of its rows
        self._rows: list[_Row] = []  # further rows
        self._error: ValueError = StudyError(f"no candidate of study {study.name!r} has a score")

    def again(self) -> None:
        """Score the best candidate of an earlier fit again, so that it can be the best of all."""
        done = [t for t in self.study.trials if t.state == "done" and not t.metrics.get("stopped")]
        if not done:
            return
        best = max(done, key=lambda trial: trial.metrics[self._metric])
        now = self._metrics(self._on_all_folds([best])[0]).get(self._metric, math.nan)
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
        whole = len(batch)
        if self.search.early_stopping:
            whole = max(STARTUP - len(self._first_folds()), 0)
        rest = batch[whole:]
        self._at_once(batch[:whole])
        if self._results is None:  # nothing yet to be compared with
            self._at_once(rest)
        elif rest:
            self._fold_by_fold(rest)
        if self._results is None and self.study.counts.get("failed", 0) >= HOPELESS:
            raise self._error

    def end(self) -> None:
        """Complete the results with which scikit-learn goes on, and say once what they lack.

        Raises:
            ValueError: No candidate could be scored.
        """
        if self._results is None:
            raise self._error
        stopped = _complete(self._results, self._numbers, self._rows)
        for name, values in self._results.items():
            known = values if name == "params" else values[~stopped]
            if name.startswith(("mean_test_", "mean_train_")) and not np.isfinite(known).all():
                kind = name.split("_")[1]
                text = f"One or more of the {kind} scores are non-finite: {values}"
                warnings.warn(text, UserWarning, stacklevel=2)
        if self.search.early_stopping:
            self._results["stopped"] = stopped

    def _params(self, trial: Trial) -> dict[str, Any]:
        params = thawed(trial.params)
        return {n: self._meant[n][v] if n in self._meant else v for n, v in params.items()}

    def _tell(self, trial: Trial, columns: Mapping[str, float]) -> None:
        metrics = self._metrics(columns)
        if metrics and self.search.early_stopping:
            metrics |= {"first_fold": columns[f"split0_test_{self._name(columns)}"], "stopped": 0.0}
        self.study.tell(trial, metrics or Failed(_NO_SCORE))

    def _metrics(self, columns: Mapping[str, float]) -> dict[str, float]:
        """Return the metrics of a row of results; nothing where it has no score."""
        if not columns:
            return {}
        own = self._name(columns)
        means = {
            n.removeprefix("mean_test_"): v
            for n, v in columns.items()
            if n.startswith("mean_test_")
        }
        score = means.pop(own)
        folds = sum(n.startswith("split") and n.endswith(f"_test_{own}") for n in columns)
        times = {
            "train_seconds": folds * columns["mean_fit_time"],
            "evaluation_seconds": folds * columns["mean_score_time"],
        }
        return {**means, **times, self._metric: score} if math.isfinite(score) else {}

    def _name(self, columns: Mapping[str, float]) -> str:
        """Return under which name the score to maximise stands there."""
        names = [n.removeprefix("mean_test_") for n in columns if n.startswith("mean_test_")]
        for name in (self._metric, "score"):
            if name in names:
                return name
        raise StudyError(
            "with several scores the search maximises the one that refit names: write "
            f"refit={names[0]!r}; got refit={self.search.refit!r}"
        )

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

    def _lack(self, trials: Sequence[Trial]) -> None:
        """Note rows for candidates of which no fit succeeded."""
        given = self.search.error_score
        score = math.nan if given == "raise" else float(given)
        self._rows += [_Row(t.number, self._params(t), {}, otherwise=score) for t in trials]

    # -- all folds at once --------------------------------------------------------------------

    def _at_once(self, trials: Sequence[Trial]) -> None:
        for trial, columns in zip(trials, self._on_all_folds(trials), strict=True):
            self._tell(trial, columns)

    def _on_all_folds(self, trials: Sequence[Trial]) -> list[dict[str, float]]:
        """Return rows of results; nothing for a trial of which no fit succeeded."""
        if not trials:
            return []
        cv = {} if self._cv is None else {"cv": self._cv}
        candidates = [self._params(trial) for trial in trials]
        results = self._tried(lambda: self._evaluate(candidates, **cv))
        if results is None:
            self._lack(trials)
            return [{} for _ in trials]
        self._results = results
        self._numbers += [trial.number for trial in trials]
        return _rows_of(results, len(trials))

    # -- the first fold first -----------------------------------------------------------------

    def _first_folds(self) -> list[float]:
        """Return the scores on the first fold of all trials so far."""
        return [t.metrics["first_fold"] for t in self.study.trials if "first_fold" in t.metrics]

    def _fold_by_fold(self, trials: Sequence[Trial]) -> None:
        """Score trials on the first fold, and on the others those that reach the median there."""
        folds = self._folds()
        first = self._alone(trials, slice(0, 1))
        scores = {n: columns[f"mean_test_{self._name(columns)}"] for n, columns in first.items()}
        scores = {n: score for n, score in scores.items() if math.isfinite(score)}
        failed = [trial for trial in trials if trial.number not in scores]
        self._lack(failed)
        for trial in failed:
            self.study.tell(trial, Failed(_NO_SCORE))
        if not scores:
            return
        bar = np.median([*self._first_folds(), *scores.values()])
        further = [t for t in trials if t.number in scores and scores[t.number] >= bar]
        others = self._alone(further, slice(1, None))
        for trial in further:
            columns = _joined(first[trial.number], others.get(trial.number, {}), folds - 1)
            self._rows.append(_Row(trial.number, self._params(trial), columns))
            self._tell(trial, columns)
        gain = self._gain()
        for trial in trials:
            if trial.number in scores and scores[trial.number] < bar:
                score, columns = scores[trial.number], first[trial.number]
                known = {n: v for n, v in columns.items() if n in _TIMES or n.startswith("split")}
                self._rows.append(_Row(trial.number, self._params(trial), known, stopped=True))
                metrics = {self._metric: score + gain, "first_fold": score, "stopped": 1.0}
                self.study.tell(trial, metrics)

    def _folds(self) -> int:
        """Return how many folds there are.

        Raises:
            StudyError: There is one only, so that nothing can be stopped after it.
        """
        names = list(self._results or ())
        own = self._name(dict.fromkeys(names, 0.0))
        folds = sum(bool(re.fullmatch(rf"split\d+_test_{re.escape(own)}", n)) for n in names)
        if folds < 2:
            raise StudyError("early_stopping=True needs two folds or more, such as cv=5")
        return folds

    def _alone(self, trials: Sequence[Trial], part: slice) -> dict[int, dict[str, float]]:
        """Return results on some of the splits, by number of the trial; nothing if all fail."""
        if not trials:
            return {}
        search, (X, y, params) = self.search, self.search._data
        cv = self._cv or check_cv(search.cv, y, classifier=is_classifier(search.estimator))
        alone = GridSearchCV(
            clone(search.estimator),
            [{n: [value] for n, value in self._params(trial).items()} for trial in trials],
            scoring=search.scoring,
            n_jobs=search.n_jobs,
            refit=False,
            cv=_SomeSplits(cv, part),
            pre_dispatch=search.pre_dispatch,
            error_score=search.error_score,
            return_train_score=search.return_train_score,
        )
        if self._tried(lambda: alone.fit(X, y, **params)) is None:
            return {}
        rows = _rows_of(alone.cv_results_, len(trials))
        return {trial.number: row for trial, row in zip(trials, rows, strict=True)}

    def _gain(self) -> float:
        """Return by how much the mean of all folds lies above the first fold, on average."""
        gains = [
            t.metrics[self._metric] - t.metrics["first_fold"]
            for t in self.study.trials
            if t.metrics.get("stopped") == 0
        ]
        return float(np.mean(gains)) if gains else 0.0


def _rows_of(results: Mapping[str, Any], count: int) -> list[dict[str, float]]:
    """Return the numbers of the last rows of results, by name of the column."""
    numbers = {n: v for n, v in results.items() if n.startswith(("mean_", "std_", "split"))}
    return [{n: float(v[k]) for n, v in numbers.items()} for k in range(-count, 0)]


def _joined(
    first: Mapping[str, float], others: Mapping[str, float], count: int
) -> dict[str, float]:
    """Return a row on all splits from that on the first one and that on the others.

    Args:
        first: Of the first split.
        others: Of the others, numbered from 0; empty where all of their fits failed.
        count: How many others there are.
    """
    joined: dict[str, float] = {}
    for name in [name.removeprefix("mean_") for name in first if name.startswith("mean_")]:
        if name in ("fit_time", "score_time"):
            mean, square = first[f"mean_{name}"], first[f"mean_{name}"] ** 2
            rest = others.get(f"mean_{name}", math.nan)
            square += count * (rest**2 + others.get(f"std_{name}", math.nan) ** 2)
            mean = (mean + count * rest) / (count + 1)
            joined[f"mean_{name}"] = mean
            joined[f"std_{name}"] = math.sqrt(max(square / (count + 1) - mean**2, 0.0))
            continue
        splits = [first[f"split0_{name}"]]
        splits += [others.get(f"split{k}_{name}", math.nan) for k in range(count)]
        joined |= {f"split{k}_{name}": value for k, value in enumerate(splits)}
        joined |= {f"mean_{name}": float(np.mean(splits)), f"std_{name}": float(np.std(splits))}
    return joined


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of ``cv_results_`` that scikit-learn has not made.

    Attributes:
        number: Number of the trial.
        params: The candidate.
        columns: What is known of it.
        stopped: True when it was stopped after the first fold.
        otherwise: What stands for all scores that are not known.
    """

    number: int
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


def _complete(results: dict[str, Any], numbers: Sequence[int], rows: Sequence[_Row]) -> Any:
    """Add rows to those of scikit-learn, all in the order of trials, and rank all as it does.

    Args:
        results: Results so far; they are changed.
        numbers: Trials of their rows.
        rows: Further rows.

    Returns:
        Which rows were stopped, shape ``(rows,)``.
    """
    stopped = np.array([False] * len(numbers) + [row.stopped for row in rows])
    if not rows:
        return stopped
    order = np.argsort([*numbers, *(row.number for row in rows)], kind="stable")
    params = [*results["params"], *(row.params for row in rows)]
    for each in sorted({each for row in rows for each in row.params}):
        results.setdefault(f"param_{each}", _masked(len(numbers)))
    for name, old in results.items():
        if name.startswith("param_"):
            results[name] = _extended(old, name.removeprefix("param_"), rows)[order]
        elif name.startswith(("mean_", "std_", "split")):
            results[name] = np.append(old, [row.column(name) for row in rows])[order]
    results["params"] = [params[k] for k in order]
    for name in [name for name in results if name.startswith("rank_test_")]:
        means = results[name.replace("rank", "mean", 1)]
        if not np.isnan(means).all():
            means = np.where(np.isnan(means), np.nanmin(means) - 1, means)
        ranks = rankdata(-means, method="min", nan_policy="omit")
        results[name] = np.nan_to_num(ranks, nan=1).astype(np.int32)
    return stopped[order]


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


class _SomeSplits(_SameSplits):
    """Some of the splits of another splitter."""

    def __init__(self, cv: Any, part: slice) -> None:
        super().__init__(cv)
        self.part = part

    def split(self, *data: Any, **params: Any) -> list[Any]:
        return super().split(*data, **params)[self.part]

    def get_n_splits(self, *data: Any, **params: Any) -> int:
        return len(range(super().get_n_splits(*data, **params))[self.part])
