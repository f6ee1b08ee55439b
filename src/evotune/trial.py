"""The records: what an algorithm proposes, what a study keeps, what an evaluation gives back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal

from evotune.errors import StudyError

State = Literal["waiting", "running", "done", "failed", "stopped"]
FailureKind = Literal[
    "exception", "not_finite", "timeout", "died", "missing_metric", "not_a_number"
]

ENDED: frozenset[State] = frozenset({"done", "failed", "stopped"})

#: Metric name under which a bare number travels until the study names it after its objective.
BARE_NUMBER = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an algorithm asks for.

    Attributes:
        genome: Value of every gene, dormant ones included.
        budget: Epochs (or steps) to add; None leaves it to the evaluate function.
        weights_from: Number of the trial whose weights are the start, the donor.
        parents: Numbers of the trials whose genes were combined.
        note: Private to the algorithm: JSON, stored, handed back untouched.
    """

    genome: Mapping[str, Any]
    budget: float | None = None
    weights_from: int | None = None
    parents: tuple[int, ...] = ()
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a trial has no result.

    Attributes:
        kind: Which of the known ways of failing.
        message: One line for people.
        traceback: The full traceback where there is one.
        fatal: True when every other trial would fail alike, so that the run ends at once.
    """

    kind: FailureKind
    message: str
    traceback: str = ""
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one evaluation measured.

    Attributes:
        metrics: Named numbers as the user means them.
        reports: Metrics reported on the way, each with its ``step``, in order.
        stopped: True when the evaluation ended early on request.
    """

    metrics: Mapping[str, Any]
    reports: tuple[Mapping[str, float], ...] = ()
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """The record of one piece of training.

    Attributes:
        number: Position in the study, from 0.
        state: ``waiting``, ``running``, ``done``, ``failed`` or ``stopped``.
        genome: Value of every gene, dormant ones included.
        params: The active genes only: what the evaluation saw.
        seed: Seed of this trial, for the evaluation's own randomness.
        metrics: Named numbers as the user gave them, with ``train_seconds`` and
            ``evaluation_seconds``.
        values: The objectives, always minimised; None unless the trial is done.
        violation: Sum of relative constraint violations; 0 when feasible.
        failure: Why there is no result.
        reports: Metrics reported on the way.
        repeat_of: First trial with the same params, when this one repeats it.
        repeats: How many evaluations are averaged in ``metrics`` and ``values``.
        spread: Standard deviation of each metric over the repeats.
        results_seen: How many results the algorithm had been told when it proposed this trial.
        result_order: Position, from 0, in which its result is told to the algorithm.
        started: Unix time in seconds at which the trial was submitted.
        ended: Unix time in seconds at which its result was recorded.
        budget: See `Proposal`, like ``weights_from``, ``parents`` and ``note``.
    """

    number: int
    genome: Mapping[str, Any]
    params: Mapping[str, Any]
    state: State = "waiting"
    seed: int = 0
    budget: float | None = None
    weights_from: int | None = None
    parents: tuple[int, ...] = ()
    note: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    values: tuple[float, ...] | None = None
    violation: float = 0.0
    failure: Failure | None = None
    reports: tuple[Mapping[str, float], ...] = ()
    repeat_of: int | None = None
    repeats: int = 1
    spread: Mapping[str, float] = field(default_factory=dict)
    results_seen: int = 0
    result_order: int | None = None
    started: float | None = None
    ended: float | None = None

    @property
    def is_done(self) -> bool:
        """True when the trial has values and may be ranked."""
        return self.values is not None

    @property
    def has_ended(self) -> bool:
        """True when nothing more will come: done, failed or stopped."""
        return self.state in ENDED


class Failed(Exception):  # noqa: N818  (it is a result that a user gives, not only an error)
    """A trial that has no result: pass it to ``study.tell`` or raise it in an evaluate function."""


class RunningTrial:
    """The handle that an evaluate function receives.

    Attributes:
        params: The active genes, a plain dict.
        dormant: Names of the genes whose condition fails in this trial.
        number: Number of the trial in its study.
        budget: Epochs that the algorithm gave, or None.
        seed: Seed for the evaluation's own randomness, different for every trial.
    """

    def __init__(self, trial: Trial) -> None:
        self.params: dict[str, Any] = dict(trial.params)
        self.dormant = frozenset(trial.genome) - frozenset(trial.params)
        self.number = trial.number
        self.budget = trial.budget
        self.seed = trial.seed
        self._reports: list[Mapping[str, float]] = []
        self._train_seconds: float | None = None
        self._step = 0

    def __repr__(self) -> str:
        return f"RunningTrial(number={self.number}, params={self.params})"

    def epochs(self, default: int | None = None) -> Iterator[int]:
        """Yield the epoch numbers to train, from 0; the time spent inside counts as training.

        Args:
            default: Epochs to train when the algorithm gave no budget.

        Raises:
            StudyError: Neither a budget nor a default says how many, or it is no count.
        """
        count = default if self.budget is None else self.budget
        if count is None:
            raise StudyError(
                "trial.epochs() got no number of epochs: this algorithm gives no budget; "
                "write trial.epochs(default=10)"
            )
        if count < 0 or count != int(count):
            raise StudyError(f"trial.epochs() needs a whole number from 0 up, got {count!r}")
        began = perf_counter()
        try:
            for epoch in range(int(count)):
                self._step = epoch
                yield epoch
        finally:
            self._train_seconds = (self._train_seconds or 0.0) + perf_counter() - began

    def report(self, step: int | None = None, **metrics: float) -> None:
        """Keep intermediate metrics of this trial.

        Args:
            step: Epoch or step they belong to; by default the running epoch of `epochs`, or one
                more than the last report's step.
            **metrics: Named numbers.
        """
        if step is None:
            last = self._reports[-1]["step"] if self._reports else -1
            step = max(self._step, int(last) + 1)
        self._reports.append({"step": step, **{k: float(v) for k, v in metrics.items()}})

    @property
    def reports(self) -> Sequence[Mapping[str, float]]:
        """What was reported so far, in order."""
        return self._reports

    @property
    def train_seconds(self) -> float | None:
        """Seconds spent inside `epochs`, or None when it was not used."""
        return self._train_seconds
