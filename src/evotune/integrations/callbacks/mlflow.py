"""Trials in MLflow: a run for the study, and nested in it a run for each trial."""

import posixpath
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from evotune.errors import StudyError
from evotune.integrations.callbacks.tracker import (
    Subject,
    Summary,
    Tracker,
    check_there,
    curves,
    facts,
    flat,
)
from evotune.trial import Trial

#: MLflow's status of a trial's run: one that a stopping rule ended is killed.
_STATUS = {"done": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}

#: Most params, tags and metrics that MLflow takes at once (mlflow.utils.validation), and the
#: longest name and text.
_AT_ONCE = {"params": 100, "tags": 100, "metrics": 1000}
_LONGEST_NAME, _LONGEST_TEXT = 250, 6000


class MLflow(Tracker):
    """Logs trials to MLflow.

    The study is a run, and each trial a run nested in it: params, those of layers as
    ``features.0.filters``; metrics, at the step of the last report; what was reported, step by
    step; and tags ``evotune.state``, ``evotune.number``, ``evotune.generation``,
    ``evotune.reason`` (of a failure) and so on. A failed trial is a failed run, one that a stopping
    rule ended a killed one. When a run of the study ends, its MLflow run gets the metrics of the
    best trial as ``best_accuracy``, and how many trials are done, failed or stopped. Characters
    that MLflow does not allow in names become ``_``.

    Args:
        experiment: Name of the experiment; it is created if it is not there.
        tracking_uri: Where MLflow keeps runs: ``"sqlite:///mlflow.db"``, or a server
            ``"http://..."``; by default what MLflow itself is set to, as by
            ``MLFLOW_TRACKING_URI``. Folders of files are refused, as by MLflow from 3.7 on.
        tags: Further tags of the run of the study.
        patience: Seconds that the end of a run waits for what is not logged yet. A new SQLite file
            takes MLflow some ten seconds by itself.

    Raises:
        StudyError: MLflow is not installed, or an argument cannot be used.

    Example:
        ``study.run(train, trials=60, callbacks=et.callbacks.MLflow("digits",
        tracking_uri="sqlite:///mlflow.db"))``
    """

    needs = ("mlflow",)
    extras = "mlflow"

    def __init__(
        self,
        experiment: str = "evotune",
        *,
        tracking_uri: str | None = None,
        tags: Mapping[str, str] | None = None,
        patience: float = 60.0,
    ) -> None:
        super().__init__(patience=patience)
        if not isinstance(experiment, str) or not experiment.strip():
            raise StudyError(f"experiment= is the name of an experiment, got {experiment!r}")
        if tracking_uri is not None and (
            not isinstance(tracking_uri, str) or _is_folder(tracking_uri)
        ):
            raise StudyError(
                "tracking_uri= is a database or a server of MLflow, which keeps no more runs in "
                f'folders; write tracking_uri="sqlite:///mlflow.db"; got {tracking_uri!r}'
            )
        self.experiment = experiment
        self.tracking_uri = tracking_uri
        self.tags = {str(name): str(text) for name, text in (tags or {}).items()}
        self._client: Any = None
        self._home = ""  # id of the experiment
        self._parent = ""  # id of the study's run
        self._subject: Subject | None = None

    def open(self, subject: Subject) -> Collection[int]:
        """Find or create the run of the study; return the numbers of its trials' runs."""
        from mlflow import MlflowClient

        self._client = client = MlflowClient(self.tracking_uri)
        check_there(client.tracking_uri)
        self._subject = subject
        found = client.get_experiment_by_name(self.experiment)
        self._home = found.experiment_id if found else client.create_experiment(self.experiment)
        runs = list(self._runs_of(subject))
        numbers: set[int] = set()
        parents = []
        for run in runs:
            number = run.data.tags.get("evotune.number")
            if number is None:
                parents.append(run.info.run_id)
            elif run.info.status in _STATUS.values():
                numbers.add(int(number))
            else:  # its logging was interrupted
                client.delete_run(run.info.run_id)
        self._parent = parents[-1] if parents else self._create_parent(subject)
        client.update_run(self._parent, status="RUNNING")
        return numbers

    def log(self, trial: Trial) -> None:
        """Log a trial as a nested run."""
        assert self._subject is not None  # open() comes first
        check_there(self._client.tracking_uri)
        began = _milliseconds(trial.started or trial.ended)
        ended = _milliseconds(trial.ended or trial.started)
        run = self._client.create_run(
            self._home,
            start_time=began,
            run_name=f"trial-{trial.number}",
            tags={
                "mlflow.parentRunId": self._parent,
                "evotune.study": self._subject.key,
                "evotune.number": str(trial.number),
            },
        )
        reported = curves(trial)
        points = [(n, v, began, step) for n, curve in reported.items() for step, v in curve]
        last = max((step for *_, step in points), default=0)
        for name, value in trial.metrics.items():
            if (last, value) not in reported.get(name, ()):
                points.append((name, value, ended, last))
        texts = {f"evotune.{name}": text for name, text in facts(trial).items()}
        self._write(run.info.run_id, flat(trial.params), texts, points)
        self._client.set_terminated(run.info.run_id, _STATUS[trial.state], ended)

    def close(self, summary: Summary) -> None:
        """Log the best trial's metrics to the run of the study, and end it."""
        now = _milliseconds(None)
        points = [(name, value, now, 0) for name, value in summary.metrics.items()]
        texts = {f"evotune.{name}": text for name, text in summary.facts.items()}
        self._write(self._parent, {}, texts, points)
        self._client.set_terminated(self._parent, "FINISHED", now)

    def _runs_of(self, subject: Subject) -> Iterator[Any]:
        wanted, token = f"tags.`evotune.study` = '{subject.key}'", None
        while True:
            page = self._client.search_runs([self._home], wanted, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _create_parent(self, subject: Subject) -> str:
        run = self._client.create_run(
            self._home,
            start_time=_milliseconds(subject.created),
            run_name=subject.name,
            tags={"evotune.study": subject.key, **self.tags},
        )
        self._write(run.info.run_id, subject.facts, {}, ())
        return str(run.info.run_id)

    def _write(
        self,
        run: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        points: Iterable[tuple[str, float, int, int]],
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        points = list(points)
        names = _allowed(dict.fromkeys(name for name, *_ in points))
        shorter = _allowed(params)
        everything: dict[str, list[Any]] = {
            "metrics": [Metric(names[name], *point) for name, *point in points],
            "params": [Param(shorter[n], str(v)[:_LONGEST_TEXT]) for n, v in params.items()],
            "tags": [RunTag(name, text) for name, text in tags.items()],
        }
        for kind, entries in everything.items():
            most = _AT_ONCE[kind]
            for first in range(0, len(entries), most):
                self._client.log_batch(run, **{kind: entries[first : first + most]})


def _is_folder(uri: str) -> bool:
    """Return whether MLflow would keep runs in files there."""
    return uri.startswith("file:") or (":" not in uri and uri not in ("databricks", "uc"))


def _milliseconds(since: float | None) -> int:
    return int((time.time() if since is None else since) * 1000)


def _allowed(names: Iterable[str]) -> dict[str, str]:
    """Return, by name, a name that MLflow allows; two names stay two."""
    found: dict[str, str] = {}
    for name in names:
        allowed = re.sub(r"[^\w\-. /]", "_", name)[: _LONGEST_NAME - 10] or "_"
        if posixpath.normpath(allowed) != allowed or allowed.startswith(("..", "/", ".")):
            allowed = re.sub(r"[./]", "_", allowed)
        while allowed in found.values():
            allowed += "_"
        found[name] = allowed
    return found
