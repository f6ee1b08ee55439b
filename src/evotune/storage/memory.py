"""A storage that lasts as long as its process."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from evotune.errors import StorageError
from evotune.protocols import Driver, StudyDefinition, StudySummary
from evotune.storage.fencing import require_hold
from evotune.trial import Trial


@dataclass(slots=True)
class _Study:
    definition: StudyDefinition
    driver: Driver | None = None
    trials: dict[int, Trial] = field(default_factory=dict)


class MemoryStorage:
    """Keeps studies in this process only; the records are frozen, so they are not copied.

    A pickled or copied storage contains all its studies.
    """

    def __init__(self) -> None:
        self._studies: dict[str, _Study] = {}
        self._lock = Lock()

    def __repr__(self) -> str:
        return "MemoryStorage()"

    def __getstate__(self) -> dict[str, Any]:
        return {"_studies": self._studies}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._studies, self._lock = state["_studies"], Lock()

    def create(self, definition: StudyDefinition) -> StudyDefinition:
        """See `Storage.create`."""
        with self._lock:
            return self._studies.setdefault(definition.name, _Study(definition)).definition

    def load(self, name: str) -> StudyDefinition | None:
        """See `Storage.load`."""
        with self._lock:
            study = self._studies.get(name)
            return study.definition if study else None

    def studies(self) -> list[StudySummary]:
        """See `Storage.studies`."""
        with self._lock:
            found = sorted(self._studies.values(), key=lambda study: study.definition.created)
            return [
                StudySummary(
                    study.definition,
                    dict(Counter(trial.state for trial in study.trials.values())),
                    study.driver,
                )
                for study in found
            ]

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        with self._lock:
            self._studies.pop(name, None)

    def acquire(self, name: str, driver: Driver, replacing: Driver | None) -> Driver:
        """See `Storage.acquire`; an unknown study is a StorageError."""
        with self._lock:
            study = self._study(name)
            if study.driver is None or (replacing and study.driver.token == replacing.token):
                study.driver = driver
            return study.driver

    def release(self, name: str, driver: Driver) -> None:
        """See `Storage.release`."""
        with self._lock:
            study = self._studies.get(name)
            if study and study.driver and study.driver.token == driver.token:
                study.driver = None

    def write(self, name: str, trials: Sequence[Trial], driver: Driver) -> None:
        """See `Storage.write`; an unknown study is a StorageError."""
        with self._lock:
            study = self._study(name)
            require_hold(name, driver, study.driver)
            study.trials.update({trial.number: _without_views(trial) for trial in trials})

    def trials(self, name: str) -> list[Trial]:
        """See `Storage.trials`; an unknown study has none."""
        with self._lock:
            study = self._studies.get(name)
            return [trial for _, trial in sorted(study.trials.items())] if study else []

    def close(self) -> None:
        """Nothing to free: the studies stay until the storage itself goes."""

    def _study(self, name: str) -> _Study:
        if name not in self._studies:
            raise StorageError(f"there is no study {name!r} in memory: create it first")
        return self._studies[name]


def _without_views(trial: Trial) -> Trial:
    # Repeats and spread are computed again whenever a study is read.
    if trial.repeats == 1 and not trial.spread:
        return trial
    return replace(trial, repeats=1, spread={})
