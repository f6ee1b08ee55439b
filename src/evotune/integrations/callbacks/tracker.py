"""What all experiment trackers share: each trial is logged once, beside the search."""

import hashlib
import logging
import queue
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from evotune.checks import seconds
from evotune.errors import NoResultError, StudyError
from evotune.trial import Trial

log = logging.getLogger("evotune")

#: So many trials in a row that could not be logged: the tracker is away, and no more are tried.
PATIENCE = 3

#: Largest number of characters of a text, such as a failure's reason, that is logged.
LONGEST = 5000


@dataclass(frozen=True, slots=True)
class Subject:
    """What a tracker is told of a study.

    Attributes:
        name: Its name.
        key: What no other study has, also none of the same name: 12 hexadecimal digits.
        facts: Algorithm, objectives and seed, as texts.
        created: Unix time in seconds.
    """

    name: str
    key: str
    facts: Mapping[str, str]
    created: float

    @classmethod
    def of(cls, study: Any) -> "Subject":
        """Return what is to be known of a study."""
        made = study.definition
        key = hashlib.sha256(f"{made.name}\n{made.seed}\n{made.created!r}".encode()).hexdigest()
        facts = {
            "algorithm": repr(study.algorithm),
            "objectives": ", ".join(map(str, study.objectives.objectives)),
            "seed": str(made.seed),
        }
        return cls(made.name, key[:12], facts, made.created)


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known when a run ends.

    Attributes:
        metrics: The metrics of the best trial as ``best_<metric>``, and ``trials_<state>``.
        facts: Number of the best trial, and why the run ended, as texts.
    """

    metrics: Mapping[str, float]
    facts: Mapping[str, str]

    @classmethod
    def of(cls, study: Any) -> "Summary":
        """Return the summary of a study as it is now."""
        metrics = {f"trials_{state}": float(count) for state, count in study.counts.items()}
        facts = {"stop_reason": study.stop_reason}
        try:
            best = study.best if len(study.objectives.objectives) == 1 else None
        except NoResultError:
            best = None
        if best is not None:
            metrics |= {f"best_{name}": value for name, value in best.metrics.items()}
            facts["best_trial"] = str(best.number)
        return cls(metrics, facts)


class Tracker(ABC):
    """A callback of `Study.run` that logs every trial to an experiment tracker.

    Trials are logged by a thread of their own, so that the search does not wait for the tracker;
    the end of a run waits until all are logged, at most ``patience`` seconds. Each trial is logged
    once, whatever was interrupted: the tracker is asked which numbers it has, and trials of earlier
    runs that it lacks are logged too. An error of the tracker never ends a search: a warning at the
    end of the run says how many trials were not logged, and the next run with it logs those.

    A tracker of your own has `open`, `log` and `close`, which are called in this order in one
    thread, from `open` on again in each run.

    Args:
        patience: Seconds that the end of a run waits for what is not logged yet.

    Raises:
        StudyError: ``patience`` is no time, or the library is not installed.
    """

    #: Modules that it needs, and the extras of evotune that install them.
    needs: ClassVar[tuple[str, ...]] = ()
    extras: ClassVar[str] = ""

    def __init__(self, *, patience: float = 60.0) -> None:
        self.patience = seconds("patience", patience, "[0, inf)")
        for module in self.needs:
            if find_spec(module) is None:
                raise StudyError(
                    f"et.callbacks.{type(self).__name__} needs the library {module}; install it "
                    f'with pip install "evotune[{self.extras}]"'
                )
        self._sessions: dict[int, _Session] = {}  # of the runs that go on, by id of the study
        self._last: threading.Thread | None = None

    def __call__(self, study: Any, trial: Trial) -> None:
        """Take a trial that has ended; `Study.run` calls this."""
        self._session(study).take([trial])

    def finish(self, study: Any) -> None:
        """Log what is left and end; `Study.run` calls this at its end, however that came."""
        session = self._session(study)
        del self._sessions[id(study)]
        session.end(study)

    def _session(self, study: Any) -> "_Session":
        if id(study) not in self._sessions:
            session = _Session(self, Subject.of(study), self._last)
            self._sessions[id(study)], self._last = session, session.thread
        return self._sessions[id(study)]

    @abstractmethod
    def open(self, subject: Subject) -> Collection[int]:
        """Connect, and return the numbers of the study's trials that are logged already."""

    @abstractmethod
    def log(self, trial: Trial) -> None:
        """Log one trial that has ended. It counts as logged only once this has returned."""

    def close(self, summary: Summary) -> None:  # noqa: B027  (not every tracker has an end)
        """Log what is known at the end of a run; called also where some trials are missing."""


class _Session:
    """One run: what waits to be logged, and the thread that logs it."""

    def __init__(
        self, tracker: Tracker, subject: Subject, previous: threading.Thread | None
    ) -> None:
        self._tracker = tracker
        self._subject = subject
        self._previous = previous  # of an earlier run: it may still be logging its last trial
        self._seen: set[int] = set()
        self._own: set[int] = set()
        self._logged = self._late = self._in_row = 0
        self._reason = ""
        self._is_over = False
        self._waiting: queue.SimpleQueue[Trial | Summary] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="evotune-tracker", daemon=True)
        self.thread.start()

    def take(self, trials: Iterable[Trial]) -> None:
        """Put trials into the queue, each once."""
        for trial in trials:
            if trial.number not in self._seen:
                self._seen.add(trial.number)
                self._waiting.put(trial)

    def end(self, study: Any) -> None:
        """Hand over all that is left, wait for it, and say what was not logged."""
        self._own = set(self._seen)
        self.take(trial for trial in study.trials if trial.has_ended)
        self._waiting.put(Summary.of(study))
        patience, name = self._tracker.patience, type(self._tracker).__name__
        with suppress(KeyboardInterrupt):  # a second Ctrl-C: it waits no longer
            self.thread.join(patience)
        self._is_over = True
        missing = len(self._seen) - self._logged
        if missing or self._reason:
            why = self._reason or f"not within patience={patience:g} s"
            log.warning(
                "study %r: %d of %d trials were not logged to %s (%s); the next run with this "
                "callback logs them",
                *(study.name, missing, len(self._seen), name, why),
            )
        if self._late:
            log.warning(
                "study %r: %d trials of earlier runs were not in %s yet and are logged now",
                *(study.name, self._late, name),
            )

    def _work(self) -> None:
        if self._previous is not None:
            self._previous.join()
        present = self._try(lambda: self._tracker.open(self._subject))
        if present is None:
            self._in_row = PATIENCE
        while not isinstance(item := self._waiting.get(), Summary):
            if present is not None and item.number in present:
                self._logged += 1
            elif self._in_row < PATIENCE and not self._is_over:
                self._log(item)
        if self._in_row < PATIENCE and not self._is_over:
            self._try(lambda: self._tracker.close(item))

    def _log(self, trial: Trial) -> None:
        if self._try(lambda: self._tracker.log(trial) or True) is None:
            self._in_row += 1
            return
        self._in_row = 0
        self._logged += 1
        # Whatever `end` has added, this run did not evaluate.
        self._late += bool(self._own) and trial.number not in self._own

    def _try(self, call: Callable[[], Any]) -> Any:
        """Return what a call to the tracker gives, None where it fails."""
        try:
            return call()
        except Exception as error:  # each library has its own for a server that is away
            self._reason = (
                self._reason or " ".join(f"{type(error).__name__}: {error}".split())[:500]
            )
            return None


# -- what trackers write ----------------------------------------------------------------------


def flat(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return params without nesting: the layers of a chain as ``features.0.filters``.

    Args:
        params: As a trial has them: numbers, texts, booleans, None, and lists and dicts of these.

    Returns:
        By name: numbers, texts and booleans; None and what is empty as a text.
    """
    return dict(_flat("", params))


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    if inner and value:
        for key, part in inner:
            yield from _flat(f"{name}.{key}" if name else str(key), part)
    elif name:
        yield name, value if isinstance(value, bool | int | float | str) else str(value)


def curves(trial: Trial) -> dict[str, list[tuple[int, float]]]:
    """Return what a trial reported, by metric: (step, value) in order.

    Trackers count steps in whole numbers: where a trial's are others, they are numbered from 0.
    """
    whole = all(float(report["step"]).is_integer() for report in trial.reports)
    found: dict[str, list[tuple[int, float]]] = {}
    for index, report in enumerate(trial.reports):
        for name, value in report.items():
            if name != "step":
                step = int(report["step"]) if whole else index
                found.setdefault(name, []).append((step, value))
    return found


def facts(trial: Trial) -> dict[str, str]:
    """Return what else is to be known of a trial, as texts; only what it has."""
    failure, origin = trial.failure, trial.origin
    known = {
        "state": trial.state,
        "number": trial.number,
        "seed": trial.seed,
        "budget": trial.budget,
        "weights_from": trial.weights_from,
        "parents": ", ".join(map(str, trial.parents)) or None,
        "generation": origin.generation,
        "member": origin.member,
        "failure": None if failure is None else failure.kind,
        "reason": None if failure is None else failure.message[:LONGEST],
    }
    return {name: str(value) for name, value in known.items() if value is not None}


def check_there(uri: str) -> None:
    """Raise OSError where no server answers: a library itself tries for minutes, each time."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https") and parts.hostname and not getproxies():
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=5).close()
