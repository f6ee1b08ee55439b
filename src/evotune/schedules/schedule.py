"""Schedule: the hyperparameters per epoch that population-based training has found."""

import json
import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from itertools import accumulate, pairwise
from numbers import Integral
from pathlib import Path
from typing import Any

from evotune.checkpoints.hyperparameters import set_dropout, set_hyperparameters
from evotune.checks import did_you_mean, is_number, user_path, write_whole
from evotune.errors import ScheduleError, SpaceError
from evotune.space.scheduled import SHAPE, START, check_record, is_record, value_at
from evotune.trial import Trial

#: Metrics that do not describe the weights at the end of a segment.
_TIMES = ("train_seconds", "evaluation_seconds")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of epochs with the same hyperparameters.

    Attributes:
        epochs: How many epochs, from 1 up.
        params: The active genes.
        metrics: What was measured at its end, for people.

    Raises:
        ScheduleError: A field has another form.
    """

    epochs: int
    params: Mapping[str, Any]
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _is_whole(self.epochs, 1):
            raise ScheduleError(
                f"epochs of a segment must be a whole number from 1 up, got {self.epochs!r}"
            )
        for name, values in (("params", self.params), ("metrics", self.metrics)):
            if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
                raise ScheduleError(
                    f'{name} of a segment map names to values, such as {{"lr": 0.1}}; '
                    f"got {values!r}"
                )
        if not all(is_number(value) for value in self.metrics.values()):
            raise ScheduleError(f"metrics of a segment must be numbers, got {self.metrics!r}")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Hyperparameters per epoch: the winner's line, followed back through its weights.

    ``len(schedule)`` counts its epochs, ``schedule[epoch]`` are the params of one, and iterating
    yields the params of every epoch in turn.

    Args:
        segments: Stretches of constant hyperparameters, the first epochs first.
        study: Name of the study that found it.
        trial: Number of the trial at its end.
        log: Names of the genes to be shown on a logarithmic axis.

    Raises:
        ScheduleError: There is no segment.
    """

    segments: tuple[Segment, ...]
    _: KW_ONLY
    study: str = ""
    trial: int | None = None
    log: tuple[str, ...] = ()
    _ends: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.segments:
            raise ScheduleError(
                'a schedule needs at least one segment; write Schedule((Segment(10, {"lr": 0.1}),))'
            )
        ends = tuple(accumulate(segment.epochs for segment in self.segments))
        object.__setattr__(self, "_ends", ends)  # frozen to users, filled here once

    @classmethod
    def from_line(
        cls,
        trials: Iterable[Trial],
        space_json: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        study: str = "",
        metrics: Collection[str] | None = None,
    ) -> "Schedule":
        """Make a schedule of the trials of one line; each becomes a segment.

        A trial's epochs are its budget. Where it had none, or was stopped early, they are what its
        checkpoint adds to the line's.

        Args:
            trials: The line, oldest first: each but the first continues the one before it.
            space_json: ``Space.to_json()``, which tells the genes with a logarithmic scale.
            study: Name of the study.
            metrics: Names of the metrics to keep; None keeps all but times.

        Raises:
            ScheduleError: There is no trial, none tells how many epochs it trained, or their params
                are schedules themselves.
        """
        segments: list[Segment] = []
        last = None
        for last in trials:
            _check_constants(last)
            epochs = _epochs_of(last, sum(segment.epochs for segment in segments))
            if epochs:
                # Plain, as JSON is; only a chain of layers is no gene of its own.
                params = {name: last.genome.get(name, given) for name, given in last.params.items()}
                segments.append(Segment(epochs, params, _measured(last, metrics)))
        log = tuple(name for name, domain in (space_json or {}).items() if domain.get("log"))
        return cls(tuple(segments), study=study, trial=last.number if last else None, log=log)

    @classmethod
    def of(cls, params: Mapping[str, Any], *, epochs: int) -> "Schedule":
        """Return params with schedules as their values in each epoch, one segment an epoch.

        In epoch t of T the time m = (t + ½)/T, the epoch's middle, has passed. Before the end w of
        the warm-up the value is start·(0.1 + 0.9·m/w). Then the share s = (m - w)/(1 - w) of the
        rest has passed, and the value is

        - constant: start
        - exponential: start·(end/start)^s
        - cosine: end + (start - end)·(1 + cos(π·s))/2
        - piecewise: on the straight line between the two nearest of the start and the k knots,
          which lie at s = 0, 1/k, 2/k, ... 1

        where end is start·end_share if the share is given. If all values of a record are whole
        numbers, as those of an `Int` are, so are those of the epochs, rounded. Sources: for the
        cosine Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017),
        equation 5; for the linear warm-up from a fraction Goyal et al., "Accurate, large minibatch
        SGD: training ImageNet in 1 hour" (2017), section 2.2.

        Args:
            params: The params of a trial; those of a `Scheduled` are records such as ``{"shape":
                "cosine", "start": 0.1, "end_share": 0.01, "warmup": 0.1}``, all others stay as they
                are in every epoch.
            epochs: Epochs of the whole training, from 1 up.

        Raises:
            ScheduleError: ``epochs`` is no whole number from 1 up, or a record is not complete.
        """
        if not _is_whole(epochs, 1):
            raise ScheduleError(
                f"a schedule has a whole number of epochs from 1 up, got {epochs!r}"
            )
        if not isinstance(params, Mapping):
            raise ScheduleError(
                f"params map names to values, such as study.best.params; got {params!r}"
            )
        records = {
            name: value
            for name, value in params.items()
            if isinstance(value, Mapping) and (START in value or SHAPE in value)
        }
        try:
            for name, record in records.items():
                check_record(name, record)
        except SpaceError as error:
            raise ScheduleError(str(error)) from error
        segments = []
        for epoch in range(int(epochs)):
            time = (epoch + 0.5) / int(epochs)
            values = {name: value_at(record, time) for name, record in records.items()}
            segments.append(Segment(1, {**params, **values}))
        return cls(tuple(segments))

    @classmethod
    def cubic(cls, name: str, final: float, *, epochs: int, initial: float = 0.0) -> "Schedule":
        """Return one gene that changes fast at first and ever more slowly, then stays.

        In epoch t it is final + (initial - final)·(1 - t/epochs)³. Source: Zhu and Gupta, "To
        prune, or not to prune: exploring the efficacy of pruning for model compression" (2017),
        equation 1, for which write ``Schedule.cubic("sparsity", 0.9, epochs=20)``.

        Args:
            name: The gene.
            final: Its value from epoch ``epochs`` on.
            epochs: How many epochs it changes, from 1 up.
            initial: Its value in epoch 0.

        Raises:
            ScheduleError: ``final`` or ``initial`` is no number, or ``epochs`` no whole number.
        """
        for given, value in (("final", final), ("initial", initial)):
            if not is_number(value) or not math.isfinite(value):
                raise ScheduleError(f"{given} of a schedule must be a number, got {value!r}")
        if not _is_whole(epochs, 1):
            raise ScheduleError(
                f"a schedule changes for a whole number of epochs from 1 up, got {epochs!r}"
            )
        values = [cubic(initial, final, epoch / epochs) for epoch in range(int(epochs) + 1)]
        return cls(tuple(Segment(1, {name: value}) for value in values))

    # -- reading ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, epoch: int) -> dict[str, Any]:
        """Return the params of an epoch, from 0; beyond the end the last ones stay.

        Raises:
            ScheduleError: The epoch is not a whole number from 0 up.
        """
        if not _is_whole(epoch, 0):
            raise ScheduleError(f"an epoch is a whole number from 0 up, got {epoch!r}")
        index = min(bisect_right(self._ends, epoch), len(self.segments) - 1)
        return dict(self.segments[index].params)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[epoch] for epoch in range(len(self)))

    def __str__(self) -> str:
        return self.table()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all genes that are active in some epoch."""
        return tuple(dict.fromkeys(name for segment in self.segments for name in segment.params))

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """First epoch of every segment, and the first epoch after it."""
        return tuple(pairwise((0, *self._ends)))

    @property
    def constant(self) -> dict[str, Any]:
        """The params that were held for most epochs; of several, those held last."""
        held: dict[str, int] = {}
        found: dict[str, Mapping[str, Any]] = {}
        for segment in reversed(self.segments):
            key = json.dumps(segment.params, sort_keys=True, default=repr)
            held[key] = held.get(key, 0) + segment.epochs
            found.setdefault(key, segment.params)
        return dict(found[max(held, key=lambda key: held[key])])

    def stretched(self, epochs: int) -> "Schedule":
        """Return the same shape over another number of epochs.

        Each epoch gets the params that were held at the same relative time, by the middle of the
        epoch. A segment that is left without an epoch is dropped.

        Args:
            epochs: Length of the new schedule, from 1 up.

        Raises:
            ScheduleError: ``epochs`` is not a whole number from 1 up.
        """
        if not _is_whole(epochs, 1):
            raise ScheduleError(
                f"a schedule is stretched to a whole number of epochs from 1 up, got {epochs!r}"
            )
        # The first epoch whose middle lies at or after each end.
        ends = ((2 * end * epochs + len(self) - 1) // (2 * len(self)) for end in self._ends)
        lengths = (end - start for start, end in pairwise((0, *ends)))
        pairs = zip(self.segments, lengths, strict=True)
        return replace(
            self, segments=tuple(replace(part, epochs=length) for part, length in pairs if length)
        )

    # -- for people ---------------------------------------------------------------------------

    def table(self) -> str:
        """Return the segments as plain text: epochs, genes, then metrics at the segment's end."""
        genes = self.names
        metrics = tuple(dict.fromkeys(name for part in self.segments for name in part.metrics))
        rows = [("epochs", *genes, *metrics)]
        for part, (start, end) in zip(self.segments, self.spans, strict=True):
            span = str(start) if end == start + 1 else f"{start}-{end - 1}"
            values = [part.params.get(name, "-") for name in genes]
            values += [part.metrics.get(name, "-") for name in metrics]
            rows.append((span, *map(_short, values)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw every gene as a step line over the epochs, on a log axis where the gene is log.

        Args:
            path: Where to write the figure as an HTML file, if wanted.

        Returns:
            A Plotly figure with one panel a gene.

        Raises:
            ScheduleError: The file cannot be written, or is to end in something else.
        """
        target = None if path is None else user_path(path, ScheduleError, (".html", ".htm"))
        found_by = [self.study] if self.study else []
        found_by += [f"trial {self.trial}"] if self.trial is not None else []
        lines = {name: self._line(name) for name in self.names}
        drawn = _figure(", ".join(["Schedule", *found_by]), lines, self.log)
        if target is not None:
            write_whole(target, drawn.to_html(include_plotlyjs=True), ScheduleError)
        return drawn

    def _line(self, name: str) -> tuple[list[int], list[Any]]:
        """Return the corners of a gene's step line; None breaks it where the gene is dormant."""
        epochs = [epoch for span in self.spans for epoch in span]
        values = [segment.params.get(name) for segment in self.segments for _ in range(2)]
        return epochs, values

    # -- JSON ---------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able description."""
        segments = [
            {"epochs": part.epochs, "params": dict(part.params), "metrics": dict(part.metrics)}
            for part in self.segments
        ]
        return _described(segments, study=self.study, trial=self.trial, log=list(self.log))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Schedule":
        """Build a schedule from `to_json`; only the version and the segments are needed.

        Raises:
            ScheduleError: It is not such a description, or of another version.
        """
        _check(data)
        return cls(
            tuple(Segment(**segment) for segment in data["segments"]),
            study=str(data.get("study", "")),
            trial=data.get("trial"),
            log=tuple(data.get("log", ())),
        )

    def save(self, path: str | Path) -> Path:
        """Write the schedule as JSON, one segment a line; the file appears whole or not at all.

        Returns:
            The path that was written.

        Raises:
            ScheduleError: A value is not JSON-able, or the file cannot be written.
        """
        return write_whole(path, _to_text(self.to_json()), ScheduleError)

    @classmethod
    def load(cls, path: str | Path) -> "Schedule":
        """Read a schedule that `save`, or a person, has written.

        Raises:
            ScheduleError: There is no such file, or it holds no valid schedule.
        """
        data = _read(path)
        try:
            return cls.from_json(data)
        except ScheduleError as error:
            raise ScheduleError(f"cannot read the schedule {str(path)!r}: {error}") from error

    # -- training -----------------------------------------------------------------------------

    def apply(self, optimizer: Any, epoch: int, *, model: Any = None) -> set[str]:
        """Set the genes of an epoch on an optimizer, and on the dropout modules of a model.

        Every param group is set; a group that was built with its own multiple of a value keeps
        that multiple. A gene that is dormant at this epoch is left as it is. Where something else
        changes the optimizer too, such as another scheduler or a loaded state, use `scheduler`.

        Args:
            optimizer: A torch optimizer.
            epoch: The epoch that is about to be trained, from 0.
            model: A module whose dropout is scheduled too.

        Returns:
            The genes that had an effect.

        Raises:
            ScheduleError: The epoch is not a whole number from 0 up.
        """
        params = self[epoch]
        used = set_hyperparameters(optimizer, params)
        return used if model is None else used | set_dropout(model, params)

    def scheduler(self, optimizer: Any, *, model: Any = None, last_epoch: int = -1) -> Any:
        """Return a torch ``LRScheduler`` that sets all genes; call its ``step()`` once an epoch.

        Args:
            optimizer: A torch optimizer.
            model: A module whose dropout is scheduled too.
            last_epoch: The last epoch that was trained, -1 for a new training.
        """
        from evotune.schedules.torch import GeneScheduler  # torch takes long to import

        return GeneScheduler(optimizer, self, model=model, last_epoch=last_epoch)


def cubic(initial: float, final: float, passed: float) -> float:
    """Return a value between two, by the share of the time that has passed; see `Schedule.cubic`.

    Source: Zhu and Gupta (2017), equation 1.
    """
    return float(final + (initial - final) * (1 - min(max(passed, 0.0), 1.0)) ** 3)


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _check_constants(trial: Trial) -> None:
    for name, value in trial.params.items():
        if is_record(value):
            raise ScheduleError(
                f"{name!r} of trial {trial.number} is a schedule already: write "
                "Schedule.of(study.best.params, epochs=...) with the epochs of the whole training"
            )


def _epochs_of(trial: Trial, before: int) -> int:
    """Return the epochs that a trial added to the ``before`` epochs of its line."""
    epochs = trial.budget
    if trial.checkpoint is not None and (epochs is None or trial.state == "stopped"):
        epochs = trial.checkpoint.epochs - before
    if epochs is None or epochs < 0 or not float(epochs).is_integer():
        raise ScheduleError(
            f"trial {trial.number} does not tell how many epochs it trained (budget "
            f"{trial.budget!r}, checkpoint {trial.checkpoint}); a schedule needs an algorithm that "
            "gives whole epochs, or trial.epochs() and trial.keep() in the training function"
        )
    return int(epochs)


def _measured(trial: Trial, names: Collection[str] | None) -> dict[str, float]:
    return {
        name: value
        for name, value in trial.metrics.items()
        if math.isfinite(value) and (name not in _TIMES if names is None else name in names)
    }


#: The key that marks a schedule, and the version of its format.
_FORMAT = "evotune_schedule"
_VERSION = 1


def _described(segments: list[dict[str, Any]], **about: Any) -> dict[str, Any]:
    """Return the description of a schedule, under its format's version."""
    return {_FORMAT: _VERSION, **about, "segments": segments}


def _check(data: object) -> None:
    """Check a description of a schedule, as far as its segments do not check themselves.

    Raises:
        ScheduleError: It is none, of another version, or a part is missing, unknown or of another
            form.
    """
    if not isinstance(data, Mapping) or _FORMAT not in data:
        raise ScheduleError(f'it is not a schedule: it lacks the key "{_FORMAT}"')
    if data[_FORMAT] != _VERSION:
        raise ScheduleError(
            f"its version is {data[_FORMAT]!r}, this evotune reads {_VERSION}; update evotune"
        )
    _check_keys("a schedule", data, (_FORMAT, "study", "trial", "log", "segments"), ("segments",))
    for name in ("segments", "log"):
        if not isinstance(data.get(name, []), list):
            raise ScheduleError(f"{name} must be a list, got {data[name]!r}")
    for position, segment in enumerate(data["segments"]):
        what = f"segment {position}"
        if not isinstance(segment, Mapping):
            raise ScheduleError(
                f'{what} must be such as {{"epochs": 4, "params": {{"lr": 0.1}}}}, got {segment!r}'
            )
        _check_keys(what, segment, ("epochs", "params", "metrics"), ("epochs", "params"))


def _check_keys(
    what: str, data: Mapping[str, Any], known: Collection[str], needed: Collection[str]
) -> None:
    for name in data:
        if name not in known:
            raise ScheduleError(
                f"{what} has no {name!r}, only {', '.join(known)}{did_you_mean(name, known)}"
            )
    for name in needed:
        if name not in data:
            raise ScheduleError(f"{what} needs {name!r}")


def _to_text(data: Mapping[str, Any]) -> str:
    """Return a description as JSON with one segment a line.

    Raises:
        ScheduleError: A value is not JSON-able.
    """
    try:
        rows = [f"    {json.dumps(part, allow_nan=False)}" for part in data["segments"]]
        lines = [
            f"  {json.dumps(name)}: {json.dumps(value)}"
            for name, value in data.items()
            if name != "segments"
        ]
    except (TypeError, ValueError) as error:
        raise ScheduleError(
            f"the schedule cannot be written as JSON ({error}); its values must be finite "
            "numbers, texts, booleans, None, and lists and dicts of these"
        ) from error
    lines.append('  "segments": [\n' + ",\n".join(rows) + "\n  ]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _read(path: str | Path) -> Any:
    """Return the JSON in a file.

    Raises:
        ScheduleError: There is no such file, or it is not JSON.
    """
    try:
        return json.loads(user_path(path, ScheduleError).read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:  # no UTF-8, or no JSON
        reason = f"it is no JSON: {error}"
    raise ScheduleError(f"cannot read the schedule {str(path)!r}: {reason}")


#: The corners of a gene's step line: epochs, and values with None where the gene is dormant.
Line = tuple[list[int], list[Any]]

#: Height of one gene's panel, and of what stands around all panels, in pixels.
_PANEL = 150
_AROUND = 110


def _figure(title: str, lines: Mapping[str, Line], log: Collection[str]) -> Any:
    """Return a Plotly figure with one panel a gene: its value as a step line over the epochs.

    Args:
        title: What stands above all panels.
        lines: The step line of each gene.
        log: Names of the genes with a logarithmic axis.
    """
    from plotly.subplots import make_subplots

    names = list(lines)
    drawn = make_subplots(rows=max(len(names), 1), cols=1, shared_xaxes=True)
    for row, (name, (epochs, values)) in enumerate(lines.items(), 1):
        numeric = all(is_number(value) for value in values if value is not None)
        if not numeric:
            values = [None if value is None else str(value) for value in values]
        drawn.add_scatter(x=epochs, y=values, mode="lines", name=name, row=row, col=1)
        kind = "linear" if numeric else "category"
        if numeric and name in log:
            kind = "log"
        drawn.update_yaxes(title_text=name, type=kind, row=row, col=1)
    drawn.update_xaxes(title_text="epoch", row=max(len(names), 1), col=1)
    return drawn.update_layout(
        template="plotly_white",
        height=_PANEL * len(names) + _AROUND,
        showlegend=False,
        title_text=title,
    )
