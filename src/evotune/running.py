"""The handle on a running trial, which an evaluate function receives."""

import json
import logging
import math
import os
import reprlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any, NoReturn

from evotune.errors import CheckpointError, StudyError, TaskError
from evotune.trial import (
    DEVICE_VARIABLE,
    PURPOSES,
    Purpose,
    StopTrial,
    Trial,
    Weights,
    as_number,
    thawed,
)

log = logging.getLogger("evotune")


class _OptunaError(TaskError, AttributeError):
    """A method of Optuna's trial; as an AttributeError, ``hasattr`` says that there is none."""


def _of_optuna(method: str, instead: str) -> Any:
    def refuse(trial: "RunningTrial") -> NoReturn:
        own = ", ".join(map(repr, trial.params)) or "no params"
        said = instead.format(own=own)
        raise _OptunaError(f"trial.{method}(...) is of Optuna; here {said}")

    return property(refuse)


def _gene(domain: str) -> str:
    return (
        f"genes are declared before the search, as in et.Space(x={domain}), and the function reads "
        "trial.params['x']; this trial has {own}"
    )


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

    suggest_float = _of_optuna("suggest_float", _gene("et.Float(1e-4, 1.0, log=True)"))
    suggest_int = _of_optuna("suggest_int", _gene("et.Int(1, 9)"))
    suggest_categorical = _of_optuna("suggest_categorical", _gene("et.Choice('a', 'b')"))
    should_prune = _of_optuna(
        "should_prune",
        "trial.report(step, accuracy=value) itself ends a trial of little promise: give the study "
        "a rule, stopping=et.MedianStopping()",
    )
    set_user_attr = _of_optuna("set_user_attr", "write trial.note(name=value)")

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

    def report(self, step: float | None = None, *values: float, **metrics: float) -> None:
        """Report intermediate metrics; a stopping rule may end the trial here.

        If it does, only ``finally`` blocks and context managers still run, and the trial is
        recorded as stopped, with the metrics that it reported last.

        Args:
            step: Epoch or step they belong to; by default the running epoch of `epochs`, or one
                more than the last report's step.
            *values: None; a metric needs its name.
            **metrics: Named numbers; a tensor of one element is one.

        Raises:
            StudyError: The step or a metric is no number, or there is no metric.
        """
        if values:
            raise StudyError(
                "trial.report takes a step and metrics with their names: write "
                f"trial.report({values[0]!r}, accuracy={step!r})"
            )
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
        self.notes |= plain_notes(notes)

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


def plain_notes(notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return notes as they are stored.

    Raises:
        StudyError: One is no text, number, or list or dict of these.
    """
    plain = {}
    for name, value in notes.items():
        try:
            plain[name] = json.loads(json.dumps(value))
        except (TypeError, ValueError, RecursionError) as error:
            raise StudyError(
                f"note {name!r} is {_shown(value)}; trial.note and notes= take texts, numbers, and "
                "lists and dicts of these: write str(...)"
            ) from error
    return plain


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

    Of a chain or schedule, params hold one value in the place of all its genes: its name stands
    for them.
    """
    asleep = trial.genome.keys() - trial.params.keys()
    firsts = [name.rpartition(".") for name in asleep if name.endswith((".depth", ".start"))]
    wholes = {name for name, _, _ in firsts} - trial.genome.keys()
    awake = tuple(f"{name}." for name in wholes & trial.params.keys())
    return frozenset(
        {name for name in asleep if not name.startswith(awake)} | (wholes - trial.params.keys())
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
