"""The records: what an algorithm proposes, what a study keeps, what an evaluation gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Real
from typing import Any, Literal, NoReturn, Protocol, get_args

from evotune.printing import html_table, number, printable, shorten

State = Literal["waiting", "running", "done", "failed", "stopped"]
FailureKind = Literal[
    "exception",
    "not_finite",
    "timeout",
    "died",
    "missing_metric",
    "not_a_number",
    "checkpoint",  # a donor's weights could not be read, or its own could not be written
    "damaged",  # its row in the database was, and has been set aside
]

#: Why weights are kept, see `Checkpoint`.
Purpose = Literal["best", "front", "all"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

ENDED: frozenset[State] = frozenset({"done", "failed", "stopped"})

#: Environment variable with the device of a worker that was given one.
DEVICE_VARIABLE = "EVOTUNE_DEVICE"

#: Metric name under which a bare number travels until the study names it after its objective.
BARE_NUMBER = ""


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError(
        "this is part of a record, which cannot be changed; change a copy instead: "
        "params = dict(trial.params), or copy.deepcopy(trial.params) where it is nested"
    )


class FrozenDict(dict[str, Any]):
    """A dict inside a record: it can be read and copied, but not changed.

    Copies are ordinary dicts again, by ``dict()``, ``copy``, ``pickle`` and JSON alike.
    """

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


class FrozenList(list[Any]):
    """A list inside a record, like `FrozenDict`."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = _refuse
    pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> Any:
        return list, (list(self),)


_ATOMS = frozenset({bool, int, float, str, type(None)})
_UNCHANGEABLE = _ATOMS | {FrozenDict, FrozenList}


def frozen(value: Any) -> Any:
    """Return a value whose dicts and lists, at any depth, are read-only copies."""
    kind = type(value)
    if kind in _UNCHANGEABLE:
        return value
    if kind is dict or isinstance(value, Mapping):
        if _UNCHANGEABLE.issuperset(map(type, value.values())):  # nearly always, and far faster
            return FrozenDict(value)
        return FrozenDict({name: frozen(inner) for name, inner in value.items()})
    if isinstance(value, list):
        return FrozenList(map(frozen, value))
    if kind is tuple:
        is_frozen = _UNCHANGEABLE.issuperset(map(type, value))
        return value if is_frozen else tuple(map(frozen, value))
    return _python(value)


def _python(value: Any) -> Any:
    """Return a scalar of numpy, or a tensor that is one number, as the number that JSON gives back.

    A record is then the same in memory and read from a file. Other values stay as they are.
    """
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def as_number(value: Any) -> float | None:
    """Return any one number as a float, also a tensor of one element; None for all else."""
    try:
        if type(value).__name__ == "MaskedConstant":  # of numpy: no number, though it converts
            return None
        plain = value.item() if callable(getattr(value, "item", None)) else value
        return float(plain) if isinstance(plain, Real | Decimal) else None
    except Exception:  # each library has its own for an array of many elements
        return None


def thawed(value: Any) -> Any:
    """Return a copy of a frozen value in ordinary dicts and lists."""
    if isinstance(value, FrozenDict):
        if _ATOMS.issuperset(map(type, value.values())):
            return dict(value)
        return {name: thawed(inner) for name, inner in value.items()}
    if isinstance(value, FrozenList | tuple):
        inner = map(thawed, value)
        return tuple(inner) if isinstance(value, tuple) else list(inner)
    return value


def freeze(record: Any, *names: str) -> None:
    """Freeze fields of a record, from its ``__post_init__``."""
    for name in names:
        value = getattr(record, name)
        if type(value) is not FrozenDict:
            object.__setattr__(record, name, frozen(value))


def _rebuilt(record: Any) -> Any:
    """Pickle a record by its fields, so that it is frozen again when it is loaded."""
    return type(record), tuple(getattr(record, name) for name in record.__slots__)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a proposal comes from, for readers other than its own algorithm.

    The note of a proposal is private to its algorithm; reports, stopping rules and wrapping
    algorithms read the origin instead.

    Attributes:
        generation: Its generation, from 0; None where the algorithm has none.
        member: Index, from 0, of the line of continued training that it extends.
        islands: Index of the island in each `Islands` around the algorithm, outermost first.
        rung: Budget of the rung that it runs at.
        promotes: Number of the trial that it promotes to the next rung.
        replaces: Number of the trial of the same member that this child replaces.
        mutated: Genes that mutation changed; None unless it is a child that replaces a trial.
        arm: Name of the plan of a `Replay` that it follows.
    """

    generation: int | None = None
    member: int | None = None
    islands: tuple[int, ...] = ()
    rung: float | None = None
    promotes: int | None = None
    replaces: int | None = None
    mutated: tuple[str, ...] | None = None
    arm: str | None = None


#: The origin of a proposal that states none.
NOWHERE = Origin()


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an algorithm asks for.

    Attributes:
        genome: Value of every gene, dormant ones included.
        budget: Epochs (or steps) to add; None leaves it to the evaluate function.
        weights_from: Number of the trial whose weights are the start, the donor.
        parents: Numbers of the trials whose genes were combined.
        origin: Where it comes from, readable by others.
        note: Private data of the algorithm: JSON, stored and handed back unchanged.
        inherit: How weights are inherited where they are not simply copied: ``shrink`` and
            ``perturb`` (two numbers) make them shrink·donor's + perturb·fresh; ``networks`` (a list
            with one donor's number, or None for fresh weights, for each network of an ensemble);
            ``kin`` (a list, for each network, or for the only one) names second donors, or None:
            all numbers are the means of both donors'.
        clock: Epochs that count as trained before this trial when a run is limited by epochs; by
            default those of the donor's weights.
        seed: Seed of the trial, in [0, 2**31); by default it follows from the study's seed and the
            trial's number.
    """

    genome: Mapping[str, Any]
    budget: float | None = None
    weights_from: int | None = None
    parents: tuple[int, ...] = ()
    origin: Origin = NOWHERE
    note: Mapping[str, Any] = field(default_factory=FrozenDict)
    inherit: Mapping[str, Any] = field(default_factory=FrozenDict)
    clock: float | None = None
    seed: int | None = None
    __reduce__ = _rebuilt

    def __post_init__(self) -> None:
        freeze(self, "genome", "inherit", "note")
        for name in ("budget", "weights_from", "parents", "clock"):
            value = getattr(self, name)
            if value and type(value) not in _ATOMS:
                object.__setattr__(self, name, frozen(value))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The record of weights that a trial has kept.

    Attributes:
        epochs: Epochs that these weights have been trained for, over all trials of their line.
        size: Size in bytes.
        file: Name of the file, "" while the weights are in memory only.
        digest: SHA-256 of the file, in hex.
        deleted: True once the weights were no longer needed and have been removed.
        external: True when the program that calls ask and tell keeps the weights.
        purpose: How long they stay where no other trial needs them: ``"best"``, while their trial
            is the best; ``"front"``, while none dominates it; ``"all"``, always.
    """

    epochs: float
    size: int
    file: str = ""
    digest: str = ""
    deleted: bool = False
    external: bool = False
    purpose: Purpose = "best"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a trial has no result.

    Attributes:
        kind: Kind of failure.
        message: One line for people.
        traceback: The full traceback where there is one.
        fatal: True when every other trial would fail alike, so that the run ends at once.
        donor: Number of the trial whose weights could not be read, when that was the reason.
        notes: What the evaluation had noted; part of the trial's record, not of its failure.
    """

    kind: FailureKind
    message: str
    traceback: str = ""
    fatal: bool = False
    donor: int | None = None
    notes: Mapping[str, Any] = field(default_factory=FrozenDict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one evaluation measured.

    Attributes:
        metrics: Named numbers as the user means them.
        reports: Metrics reported during training, each with its ``step``, in order.
        stopped: True when the evaluation ended early on request.
        checkpoint: The weights that it has kept.
        notes: What the evaluation noted, and texts among its metrics.
    """

    metrics: Mapping[str, Any]
    reports: tuple[Mapping[str, float], ...] = ()
    stopped: bool = False
    checkpoint: Checkpoint | None = None
    notes: Mapping[str, Any] = field(default_factory=FrozenDict)
    __reduce__ = _rebuilt

    def __post_init__(self) -> None:
        freeze(self, "metrics", "reports", "notes")


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
        values: The objectives, always minimised. None unless the trial is done, or was stopped
            after it had reported them: then they are what it reported last.
        violation: Sum of relative constraint violations; 0 when feasible.
        failure: Why there is no result.
        reports: Metrics reported during training.
        repeat_of: First trial with the same params, when this one repeats it.
        repeats: How many evaluations are averaged in ``metrics`` and ``values``.
        spread: Standard deviation of each metric over the repeats.
        results_seen: How many results the algorithm had been told when it proposed this trial.
        result_order: Position, from 0, in which its result is told to the algorithm.
        started: Unix time in seconds at which the trial was submitted.
        ended: Unix time in seconds at which its result was recorded.
        checkpoint: The weights that it has kept, if any.
        notes: What its evaluation noted, by `RunningTrial.note` or as texts among its metrics.
        weights: Access to the weights that it inherits and keeps; only in the copy that an executor
            gets, never stored.
        bar: What its reports must reach not to be stopped; also in the executor's copy only.
        budget: See `Proposal`, like ``weights_from``, ``inherit``, ``parents``, ``origin`` and
            ``note``.
    """

    number: int
    genome: Mapping[str, Any]
    params: Mapping[str, Any]
    state: State = "waiting"
    seed: int = 0
    budget: float | None = None
    weights_from: int | None = None
    parents: tuple[int, ...] = ()
    note: Mapping[str, Any] = field(default_factory=FrozenDict)
    metrics: Mapping[str, float] = field(default_factory=FrozenDict)
    values: tuple[float, ...] | None = None
    violation: float = 0.0
    failure: Failure | None = None
    reports: tuple[Mapping[str, float], ...] = ()
    repeat_of: int | None = None
    repeats: int = 1
    spread: Mapping[str, float] = field(default_factory=FrozenDict)
    results_seen: int = 0
    result_order: int | None = None
    started: float | None = None
    ended: float | None = None
    checkpoint: Checkpoint | None = None
    inherit: Mapping[str, Any] = field(default_factory=FrozenDict)
    origin: Origin = NOWHERE
    notes: Mapping[str, Any] = field(default_factory=FrozenDict)
    weights: "Weights | None" = field(default=None, repr=False, compare=False)
    bar: "Bar | None" = field(default=None, repr=False, compare=False)
    __reduce__ = _rebuilt

    def __post_init__(self) -> None:
        freeze(self, "genome", "params", "note", "metrics", "spread", "inherit", "notes")
        if self.reports:
            freeze(self, "reports")

    def __repr__(self) -> str:
        params = ", ".join(f"{name}: {number(value)}" for name, value in self.params.items())
        parts = [str(self.number), self.state, *_shown_metrics(self).values()]
        parts += [] if self.failure is None else [shorten(self.failure.message, 80)]
        parts.append(f"params={{{shorten(params, 160)}}}")
        return printable(f"Trial({', '.join(parts)})")

    def _repr_html_(self) -> str:
        params = [(name, number(value)) for name, value in self.params.items()]
        metrics = [(name, number(value, 6)) for name, value in self.metrics.items()]
        notes = [shorten(self.failure.message, 300)] if self.failure is not None else []
        title = f"Trial {self.number} · {self.state}"
        title += f" · mean of {self.repeats}" * (self.repeats > 1)
        noted = [(name, shorten(value, 300)) for name, value in self.notes.items()]
        parts = [html_table(("param", "value"), params, title=title)]
        parts.append(html_table(("metric", "value"), metrics, notes=notes))
        parts += [html_table(("note", "value"), noted)] * bool(noted)
        return "".join(parts)

    @property
    def donors(self) -> tuple[int, ...]:
        """Numbers of all trials whose weights it starts from."""
        named = (*self.inherit.get("networks", ()), *self.inherit.get("kin", ()))
        return tuple(dict.fromkeys(n for n in (self.weights_from, *named) if n is not None))

    @property
    def is_done(self) -> bool:
        """True when the trial has values and may be ranked."""
        return self.values is not None

    @property
    def has_ended(self) -> bool:
        """True when nothing more will come: done, failed or stopped."""
        return self.state in ENDED


_TIMES = ("train_seconds", "evaluation_seconds")


def _shown_metrics(trial: Trial) -> dict[str, str]:
    """Return the metrics of a trial, as ``accuracy=0.93``, without the seconds that it took."""
    found = [name for name in trial.metrics if name not in _TIMES]
    return {name: f"{name}={number(trial.metrics[name])}" for name in found[:4]}


class TrialList(list[Trial]):
    """A list of trials that a notebook shows as a table."""

    #: Rows and columns that are shown.
    _rows, _columns = 50, 24

    def _repr_html_(self) -> str:
        shown = self[: self._rows]
        metrics = dict.fromkeys(m for t in shown for m in t.metrics if m not in _TIMES)
        params = dict.fromkeys(name for trial in shown for name in trial.params)
        columns = [*metrics, *params]
        kept = columns[: self._columns]
        notes = [f"{len(self) - len(shown)} more trials"] * (len(self) > len(shown))
        notes += [f"without {len(columns) - len(kept)} more columns"] * (len(columns) > len(kept))
        rows = [
            (
                trial.number,
                *(number(trial.metrics[m]) if m in trial.metrics else "–" for m in metrics),
                *(number(trial.params[p]) if p in trial.params else "–" for p in params),
            )[: len(kept) + 1]
            for trial in shown
        ]
        return html_table(("trial", *kept), rows, title="" if rows else "no trials", notes=notes)


class Failed(Exception):  # noqa: N818  (it is a result that a user gives, not only an error)
    """A trial that has no result: pass it to ``study.tell`` or raise it in an evaluate function."""


class StopTrial(BaseException):
    """Raised by `RunningTrial.report` to end a trial; ``except Exception`` does not catch it."""


class Bar(Protocol):
    """What the reports of one running trial must reach; rules in `evotune.evolution.stopping`."""

    def stops(self, report: Mapping[str, float]) -> bool:
        """Record the next report and return True when the trial is to end."""


class Weights(Protocol):
    """What one running trial may do with weights; see `evotune.checkpoints.handover`."""

    @property
    def wanted(self) -> bool:
        """True when another trial may ask for this trial's weights."""

    def resume(self, trial: Trial, objects: Mapping[str, Any], inputs: Any = None) -> float:
        """Load the donor's state into the objects, apply the trial's params to the optimizer.

        Args:
            trial: The trial.
            objects: What was freshly built, by name.
            inputs: Examples as a model reads them, or a function that returns them, or None.

        Returns:
            Epochs that the weights have been trained for; 0 for fresh ones.

        Raises:
            CheckpointError: The donor's weights are missing, damaged, or do not fit.
        """

    def keep(self, objects: Mapping[str, Any], epochs: float) -> None:
        """Take a snapshot of the objects' state; the last one counts."""

    def written(self) -> Checkpoint | None:
        """Hand over the snapshot, as a file if one is due, and return its record."""
