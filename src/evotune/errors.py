"""Every public exception. Each says what was given, what is needed and what to write."""

from evotune.names import own_names
from evotune.printing import printable

__dir__ = own_names(__name__)


class EvotuneError(ValueError):
    """Base of all errors that evotune raises on purpose; its text can be printed anywhere."""

    def __str__(self) -> str:
        return printable(super().__str__())

    def __repr__(self) -> str:
        return printable(super().__repr__())


class SpaceError(EvotuneError):
    """A domain, a condition or a whole space is not well formed."""


class GenomeError(EvotuneError):
    """A genome does not lie in its space."""


class ObjectiveError(EvotuneError):
    """An objective or a constraint cannot be understood, or is named twice."""


class AlgorithmError(EvotuneError):
    """An algorithm or operator was given a setting it cannot work with."""


class StudyError(EvotuneError):
    """A study was called in a way that cannot work."""


class StudyMismatchError(StudyError):
    """A stored study of this name has another space, other objectives or another seed."""


class StudyLockedError(StudyError):
    """Another process drives this study, or has taken it over."""


class TooManyFailuresError(StudyError):
    """More trials failed than the study tolerates."""


class NoResultError(StudyError):
    """The study has no data, or none yet, for the requested result or figure."""


class StorageError(EvotuneError):
    """The storage cannot be opened, read or written; nothing in it was changed.

    Attributes:
        lost: True when the database is not the one any more that was opened: removed, replaced or
            damaged amid a run.
    """

    def __init__(self, message: str, *, lost: bool = False) -> None:
        super().__init__(message)
        self.lost = lost


class ExecutionError(EvotuneError):
    """An executor cannot run trials as asked, e.g. the function cannot be sent to a process."""


class TaskError(EvotuneError):
    """A task is set up wrongly, so that every trial would fail; it ends the run at once."""


class CheckpointError(EvotuneError):
    """Weights cannot be kept, or kept weights are missing, damaged or do not fit.

    Attributes:
        trial: Number of the trial whose weights cannot be read, when that is the reason.
    """

    def __init__(self, message: str, trial: int | None = None) -> None:
        super().__init__(message)
        self.trial = trial


class ScheduleError(EvotuneError):
    """A schedule cannot be read, or does not fit what it is applied to."""


class ConfigError(EvotuneError):
    """A configuration file or a command line cannot be understood."""
