"""The records: what an algorithm proposes, what a study keeps, what an evaluation gives back."""

import json
import logging
import math
import os
import reprlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Real
from time import perf_counter
from typing import Any, Literal, NoReturn, Protocol, get_args

from evotune.errors import CheckpointError, StudyError, TaskError
from evotune.printing import html_table, number, printable, shorten

log = logging.getLogger("evotune")

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
            with one donor's number, or None for fresh weights, for each network of an ensemble).
        clock: Epochs that count as trained before this trial when a run is limited by epochs; by
            default those of the donor's weights.
    """

    genome: Mapping[str, Any]
    budget: float | None = None
    weights_from: int | None = None
    parents: tuple[int, ...] = ()
    origin: Origin = NOWHERE
    note: Mapping[str, Any] = field(default_factory=FrozenDict)
    inherit: Mapping[str, Any] = field(default_factory=FrozenDict)
    clock: float | None = None
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
        networks = self.inherit.get("networks", ())
        return tuple(dict.fromkeys(n for n in (self.weights_from, *networks) if n is not None))

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


class _DeclaredError(TaskError, AttributeError):
    """A param is suggested as in Optuna; as an AttributeError, ``hasattr`` says that it cannot."""


def _declared(method: str, domain: str) -> Any:
    def refuse(trial: "RunningTrial") -> NoReturn:
        raise _DeclaredError(
            f"trial.{method}(...) is of Optuna; here genes are declared before the search, as in "
            f"et.Space(x={domain}), and the function reads trial.params['x']; this trial has "
            f"{', '.join(map(repr, trial.params)) or 'no params'}"
        )

    return property(refuse)


class RunningTrial:
    """The handle that an evaluate function receives.

    Args:
        trial: The record.
        weights: Access to kept weights; by default the record's own.

    Attributes:
        params: The active genes, a plain dict.
        dormant: Names of the genes, and of the chains, whose condition fails in this trial.
        number: Number of the trial in its study.
        budget: Epochs that the algorithm gave, or None.
        seed: Seed for the evaluation's own randomness, different for every trial.
        networks: Number of networks in a member's ensemble; 1 is a plain network.
        weights: Access to kept weights, or None.
        record: The trial's record.
        watched: True when a stopping rule reads what `report` is given.
        stopped: True once that rule has ended it.
        notes: What `note` was given.
        purpose: How long what it keeps is kept, see `keep_for`.
    """

    def __init__(self, trial: Trial, weights: Weights | None = None) -> None:
        self.params: dict[str, Any] = thawed(trial.params)
        self.dormant = _dormant(trial)
        self.number = trial.number
        self.budget = trial.budget
        self.seed = trial.seed
        self.networks = len(trial.inherit.get("networks", (None,)))
        self.weights = trial.weights if weights is None else weights
        self.record = trial
        self.watched = trial.bar is not None
        self.stopped = False
        self.notes: dict[str, Any] = {}
        self.purpose: Purpose = "best"
        self._reports: list[Mapping[str, float]] = []
        self._train_seconds: float | None = None
        self._training_since: float | None = None
        self._resumed = False
        self._start = 0.0
        self._done = 0.0
        self._step = 0

    def __repr__(self) -> str:
        return f"RunningTrial(number={self.number}, params={self.params})"

    suggest_float = _declared("suggest_float", "et.Float(1e-4, 1.0, log=True)")
    suggest_int = _declared("suggest_int", "et.Int(1, 9)")
    suggest_categorical = _declared("suggest_categorical", "et.Choice('a', 'b')")

    @property
    def device(self) -> str:
        """Name of the device to train on, such as ``"cuda:0"``: ``model.to(trial.device)``.

        With ``devices=`` it is that of this worker, which sees no other; without, CUDA's current
        device where torch is imported and has one, else ``"cpu"``.
        """
        torch = sys.modules.get("torch")
        found = torch is not None and torch.cuda.is_available()
        return os.environ.get(DEVICE_VARIABLE, "cuda" if found else "cpu")

    @property
    def keeps(self) -> bool:
        """True when `keep` is worth its cost: another trial may ask for these weights."""
        return self.weights is not None and self.weights.wanted

    def resume(self, *, inputs: Any = None, **objects: Any) -> bool:
        """Start from the donor's weights, if this trial has a donor.

        Call it once everything is built and before `epochs`. Each object gets back the state that
        was kept under the same name. The optimizer then gets this trial's params again, in every
        param group, and a group that was built with its own multiple of a value keeps that
        multiple; dropout modules get the params that bear their name. Without a donor nothing is
        changed: build everything with this trial's params.

        A network of a template, such as `image_classifier`, may have another structure than the
        donor's: its weights are then carried over from one to the other, and optimizers and
        schedulers start afresh.

        Args:
            inputs: Some examples as the network reads them, or a function that returns them; only
                where structures differ. Batch normalisation is measured by them.
            **objects: Modules, optimizers, schedulers, anything with ``state_dict`` and
                ``load_state_dict``, such as ``model=model, optimizer=optimizer``.

        Returns:
            True when weights were loaded, False for a trial that starts afresh.

        Raises:
            CheckpointError: The donor's weights are missing, damaged or do not fit these objects.
        """
        if self.weights is None:
            if self.record.donors:
                raise CheckpointError(
                    f"trial {self.number} inherits from trial {self.record.donors[0]}, but this "
                    "handle has no access to weights; run it with Study.run"
                )
            return False
        examples = () if inputs is None else (inputs,)  # not all that hand weights on know them
        self.start_from(self.weights.resume(self.record, objects, *examples))
        return bool(self.record.donors)

    def keep(self, **objects: Any) -> None:
        """Keep the state of these objects, for trials that inherit it and for the best trial.

        Args:
            **objects: As given to `resume`; also numbers, texts, arrays, tensors, and lists and
                dicts of these. Nothing is pickled.

        Raises:
            CheckpointError: Something cannot be kept; the message says what and where.
            TaskError: The trial has a donor, but `resume` was not called.
        """
        if self.weights is not None:
            if self.record.donors and not self._resumed:
                raise TaskError(
                    f"trial {self.number} continues from the weights of trial "
                    f"{self.record.donors[0]}, but keep was called without resume; call "
                    "trial.resume(model=model, optimizer=optimizer) once both are built"
                )
            if self.budget is not None and self.train_seconds is None:
                log.warning(
                    "trial.epochs() was not used, so trial %d is assumed to have trained for its "
                    "budget of %g epochs; write: for epoch in trial.epochs(): ...",
                    *(self.number, self.budget),
                )
            self.weights.keep(objects, self.trained)

    def keep_for(self, purpose: Purpose | None, **objects: Any) -> None:
        """Keep the state of objects as `keep` does, and say for how long.

        Where other trials start from these weights, all objects are kept. Else only the ``model``
        is, for `Study.restore`, and that it cannot be kept is a warning, not an error.

        Args:
            purpose: ``"best"``, while this trial is the best; ``"front"``, while no other dominates
                it; ``"all"``, always; None, only while other trials start from it.
            **objects: As for `keep`; one is ``model``.

        Raises:
            TaskError: It is another purpose.
            CheckpointError: Something that other trials start from cannot be kept.
        """
        check_purpose(purpose)
        self.purpose = purpose or "best"
        if self.keeps:
            self.keep(**objects)
        elif purpose:
            try:
                self.keep(model=objects["model"])
            except CheckpointError as error:  # no trial fails for what nobody has asked for
                log.warning("the weights of trial %d are not kept: %s", self.number, error)

    def start_from(self, epochs: float) -> None:
        """Set how many epochs the weights have been trained for; `resume` does so by itself."""
        self._resumed, self._start = True, epochs

    @property
    def trained(self) -> float:
        """Epochs that the weights have been trained for by now, over all trials of their line.

        A trial that trains without `epochs` is assumed to have trained for its budget.
        """
        return self._start + ((self.budget if self.train_seconds is None else self._done) or 0.0)

    def epochs(self, default: int | None = None) -> Iterator[int]:
        """Yield the epoch numbers to train; the time spent inside counts as training.

        They go on from where the donor's weights stopped, and from 0 for fresh weights.

        Args:
            default: Epochs to train when the algorithm gave no budget.

        Raises:
            StudyError: No budget and no default is given, or it is not a whole number from 0 up.
        """
        count = default if self.budget is None else self.budget
        if count is None:
            raise StudyError(
                "trial.epochs() got no number of epochs: this algorithm gives no budget; "
                "write trial.epochs(default=10)"
            )
        if count < 0 or count != int(count):
            raise StudyError(f"trial.epochs() needs a whole number from 0 up, got {count!r}")
        self._training_since = perf_counter()
        try:
            for epoch in range(int(self._start), int(self._start + count)):
                self._step = epoch
                # Counted when it begins: `keep` is often the last thing inside an epoch.
                self._done = epoch + 1 - self._start
                yield epoch
        finally:
            self._train_seconds, self._training_since = self.train_seconds, None

    def report(self, step: float | None = None, **metrics: float) -> None:
        """Report intermediate metrics; a stopping rule may end the trial here.

        If it does, only ``finally`` blocks and context managers still run, and the trial is
        recorded as stopped, with the metrics that it reported last.

        Args:
            step: Epoch or step they belong to; by default the running epoch of `epochs`, or one
                more than the last report's step.
            **metrics: Named numbers; a tensor of one element is one.

        Raises:
            StudyError: The step or a metric is no number, or there is no metric.
        """
        if step is None:
            last = self._reports[-1]["step"] if self._reports else -1
            step = max(self._step, int(last) + 1)
        else:
            step = _step(step)
        if not metrics:
            raise StudyError(
                "trial.report needs a metric with its name: write trial.report(accuracy=0.9)"
            )
        report = {"step": step, **{k: _reported(k, v) for k, v in metrics.items()}}
        self._reports.append(report)
        bar = self.record.bar
        self.stopped = self.stopped or (bar is not None and bar.stops(report))
        if self.stopped:  # again, in case a bare ``except:`` caught the first one
            raise StopTrial

    def note(self, text: str = "", /, **notes: Any) -> None:
        """Note something beside the metrics, such as where a file is or why training was cut short.

        It becomes part of the trial's record, as ``study.trials[12].notes``, also where the trial
        fails later on. Nothing that searches reads it.

        Args:
            text: Kept under the name ``note``; a further one goes on a new line.
            **notes: Texts, numbers, True, False, None, and lists and dicts of these, by name.

        Raises:
            StudyError: It is something else, or nothing.
        """
        if text:
            notes["note"] = "\n".join(filter(None, [self.notes.get("note"), text]))
        if not notes:
            raise StudyError(
                'trial.note needs something to note: write trial.note("diverged, cut short") or '
                "trial.note(log=path)"
            )
        for name, value in notes.items():
            try:
                self.notes[name] = json.loads(json.dumps(value))
            except (TypeError, ValueError, RecursionError) as error:
                raise StudyError(
                    f"trial.note({name}=...) takes texts, numbers, and lists and dicts of these; "
                    f"got {_shown(value)}: write str(...)"
                ) from error

    @property
    def reports(self) -> Sequence[Mapping[str, float]]:
        """What was reported so far, in order."""
        return self._reports

    @property
    def train_seconds(self) -> float | None:
        """Seconds spent inside `epochs` by now, or None when it was not used."""
        if self._training_since is None:
            return self._train_seconds
        return (self._train_seconds or 0.0) + perf_counter() - self._training_since


def check_trial(given: object) -> None:
    """Raise TaskError unless it is a running trial."""
    if not isinstance(given, RunningTrial):
        raise TaskError(
            "TrialCallback takes the trial that the evaluate function is called with; got "
            f"{given!r}"
        )


def check_purpose(purpose: object) -> None:
    """Raise TaskError unless it says how long weights are kept."""
    if purpose not in (*PURPOSES, None):
        raise TaskError(f'keep= is "best", "front", "all" or None, got {purpose!r}')


def _dormant(trial: Trial) -> frozenset[str]:
    """Return the names that params would hold if their conditions held.

    Of a chain, params hold one list in the place of all its genes: its name stands for them.
    """
    asleep = trial.genome.keys() - trial.params.keys()
    depths = {name.removesuffix(".depth") for name in asleep if name.endswith(".depth")}
    chains = depths - trial.genome.keys()
    awake = tuple(f"{name}." for name in chains & trial.params.keys())
    return frozenset(
        {name for name in asleep if not name.startswith(awake)} | (chains - trial.params.keys())
    )


def _step(step: Any) -> int | float:
    found = as_number(step)
    if type(step) is int and found is not None:  # exact, however large
        return step
    if found is None or not math.isfinite(found):
        raise StudyError(f"trial.report(step=...) needs a finite number, got {_shown(step)}")
    return int(found) if found == int(found) else found


def _reported(name: str, value: Any) -> float:
    found = as_number(value)
    if found is None:
        raise StudyError(
            f"trial.report({name}=...) needs one number, got {_shown(value)}; write float(...) of "
            "one value"
        )
    return found


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {' '.join(reprlib.repr(value).split())}"
