"""A schedule: one record to the user, ordinary conditional genes inside.

So every algorithm, operator and surrogate that works on conditional genes can search how a
hyperparameter changes over the epochs, as it searches constants.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from typing import Any

from evotune.checks import did_you_mean, is_number
from evotune.errors import GenomeError, SpaceError
from evotune.space.conditions import When
from evotune.space.domains import Choice, Domain, Float, domain_from_json
from evotune.space.domains.base import fill
from evotune.space.plain import number, whole

#: The kind of a schedule in JSON and TOML, beside the kinds of domains.
KIND = "scheduled"
#: The shapes, each with the names of its values besides the start; of piecewise, those of knots.
SHAPES = ("constant", "exponential", "cosine", "piecewise")
SHAPE, START, END, END_SHARE, KNOT, WARMUP = "shape", "start", "end", "end_share", "knot", "warmup"
#: Shapes that go to an end.
ENDING = ("exponential", "cosine")
#: Share of the start with which a warm-up begins.
COLD = 0.1


@dataclass(frozen=True)
class Scheduled:
    """A hyperparameter that changes over the epochs: its shape, start and end are genes.

    In params it is one record, such as ``{"shape": "cosine", "start": 0.1, "end_share": 0.01,
    "warmup": 0.1}``, from which `Schedule.of` computes the value of each epoch. `SupervisedTask`
    sets a record that is named like an argument of its optimizer, or ``sparsity``, before each
    epoch. In the genome it is ordinary genes; of a gene ``lr`` these:

    - ``lr.shape``: a `Choice`, unless there is one shape only.
    - ``lr.start``: the value after the warm-up, of the domain.
    - ``lr.end_share``: the last value as a share of the start, from 0.001 to 1; ``lr.end``, a value
      of the domain, if that is not logarithmic. For the shapes exponential and cosine.
    - ``lr.knot1``, ``lr.knot2``, ...: values of the domain at evenly spaced times after the
      warm-up, the last one at the end. For the shape piecewise.
    - ``lr.warmup``: share of all epochs in which the value rises from a tenth of the start.

    Args:
        domain: A `Float` or `Int` of the values; its ``when`` is that of the whole schedule.
        shapes: Some of ``"constant"``, ``"exponential"``, ``"cosine"`` and ``"piecewise"``; the
            formulas are those of `Schedule.of`.
        knots: Number of knots of piecewise, from 1 up; one makes a straight line.
        warmup: Longest warm-up, a share of all epochs in [0, 1); 0 for none.

    Raises:
        SpaceError: The domain is none of numbers, a shape is unknown, another argument lies outside
            its range, or the exponential shape could meet values that are not above 0.

    Example:
        ``Space(lr=Scheduled(Float(1e-4, 1.0, log=True)), momentum=Float(0.8, 0.99))``
    """

    domain: Domain
    _: KW_ONLY
    shapes: tuple[str, ...] = SHAPES
    knots: int = 2
    warmup: float = 0.3

    def __post_init__(self) -> None:
        if not isinstance(self.domain, Domain) or self.domain.ends() is None:
            raise SpaceError(
                f"Scheduled: the values are those of a Float or an Int, got {self.domain!r}; write "
                "Scheduled(Float(1e-4, 1.0, log=True))"
            )
        shapes = (self.shapes,) if isinstance(self.shapes, str) else self.shapes
        if not isinstance(shapes, tuple | list) or not shapes:
            raise SpaceError(f"Scheduled: shapes are some of {', '.join(SHAPES)}; got {shapes!r}")
        for shape in shapes:
            if shape not in SHAPES:
                raise SpaceError(
                    f"Scheduled: the shape {shape!r} is not known; there are {', '.join(SHAPES)}"
                    f"{did_you_mean(str(shape), SHAPES)}"
                )
        if len(set(shapes)) < len(shapes):
            raise SpaceError(f"Scheduled: a shape is there twice: {shapes!r}")
        knots, warmup = (
            whole("Scheduled: knots", self.knots),
            number("Scheduled: warmup", self.warmup),
        )
        if knots < 1:
            raise SpaceError(
                f"Scheduled: knots is a whole number from 1 up, got {knots}; for no knot leave the "
                'shape "piecewise" out'
            )
        if knots != Scheduled.knots and "piecewise" not in shapes:
            raise SpaceError(
                f'Scheduled: knots={knots} has no effect without the shape "piecewise"; leave it '
                "out"
            )
        if not 0 <= warmup < 1:
            raise SpaceError(
                "Scheduled: warmup is the longest warm-up as a share of all epochs, in [0, 1), "
                f"got {warmup!r}; write warmup=0.3, or warmup=0 for none"
            )
        low = self.domain.axis().low
        if "exponential" in shapes and low <= 0:
            others = tuple(shape for shape in shapes if shape != "exponential") or ("cosine",)
            raise SpaceError(
                "Scheduled: the exponential shape needs values above 0, and the domain begins at "
                f"{low:g}; write shapes={others!r}, or give it a low above 0"
            )
        fill(self, shapes=tuple(shapes), knots=knots, warmup=warmup)

    # -- genes --------------------------------------------------------------------------------

    @property
    def _end(self) -> str:
        """Name of the gene of the end: a share of the start for a logarithmic one of floats."""
        whole_numbers = isinstance(self.domain.from_unit(0.5), int)
        return END_SHARE if self.domain.axis().log and not whole_numbers else END

    def _settings(self, shape: str) -> tuple[str, ...]:
        """Return the names of the values in a record of a shape."""
        knots = tuple(f"{KNOT}{k}" for k in range(1, self.knots + 1)) * (shape == "piecewise")
        end = (self._end,) * (shape in ENDING)
        return (START, *end, *knots, *((WARMUP,) if self.warmup else ()))

    def genes(self, name: str) -> dict[str, Domain]:
        """Return the genes of a schedule of this name, in order."""
        domain = self.domain
        found: dict[str, Domain] = {}
        several = len(self.shapes) > 1
        if several:
            found[f"{name}.{SHAPE}"] = Choice(*self.shapes, when=domain.when)
        for setting in dict.fromkeys(s for shape in self.shapes for s in self._settings(shape)):
            having = tuple(s for s in self.shapes if setting in self._settings(s))
            when: When = domain.when
            if several and having != self.shapes:
                when = (*when, (f"{name}.{SHAPE}", having))
            made: Domain
            if setting == END_SHARE:
                made = Float(1e-3, 1.0, log=True, when=when)
            elif setting == WARMUP:
                made = Float(0.0, self.warmup, when=when)
            else:
                made = copy.copy(domain)
                fill(made, when=when)
            found[f"{name}.{setting}"] = made
        return found

    # -- records ------------------------------------------------------------------------------

    def assembled(self, name: str, active: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record of a schedule of this name.

        Args:
            name: The name of the schedule.
            active: The active genes of the space.
        """
        shape = active.get(f"{name}.{SHAPE}", self.shapes[0])
        return {SHAPE: shape} | {s: active[f"{name}.{s}"] for s in self._settings(shape)}

    def taken_apart(self, name: str, record: Any) -> dict[str, Any]:
        """Return the genes of a record; a single number is a constant without a warm-up.

        Raises:
            GenomeError: It is no record, or has a shape or a value that the schedule does not have.
        """
        if is_number(record):
            record = {SHAPE: "constant", START: record} | ({WARMUP: 0.0} if self.warmup else {})
            if "constant" not in self.shapes:
                raise GenomeError(
                    f"schedule {name!r} is one number, {record[START]!r}, but has no constant "
                    f"shape, only {', '.join(self.shapes)}; write a record such as "
                    f"{self._example()}"
                )
        if not isinstance(record, Mapping):
            raise GenomeError(
                f"schedule {name!r} is a record such as {self._example()}, got {record!r}"
            )
        only = self.shapes[0] if len(self.shapes) == 1 else None
        shape = record.get(SHAPE, only)
        if SHAPE in record and shape not in self.shapes:
            raise GenomeError(
                f"schedule {name!r} has the shape {shape!r}; it may be {', '.join(self.shapes)}"
                f"{did_you_mean(str(shape), self.shapes)}"
            )
        shapes = self.shapes if shape is None else (shape,)
        known = tuple(dict.fromkeys(s for each in shapes for s in self._settings(each)))
        genes = {} if only or shape is None else {f"{name}.{SHAPE}": shape}
        for setting, value in record.items():
            if setting == SHAPE:
                continue
            if setting not in known:
                raise GenomeError(
                    f"schedule {name!r}{f', {shape},' if shape else ''} has no {setting!r}, "
                    f"only {', '.join(known)}{did_you_mean(str(setting), known)}"
                )
            genes[f"{name}.{setting}"] = value
        return genes

    def _example(self) -> dict[str, Any]:
        made = {g.removeprefix("."): d.from_unit(0.5) for g, d in self.genes("").items()}
        shape = self.shapes[-1]
        return {SHAPE: shape} | {setting: made[setting] for setting in self._settings(shape)}

    # -- JSON ---------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able description."""
        return {
            "type": KIND,
            "domain": self.domain.to_json(),
            "shapes": list(self.shapes),
            "knots": self.knots,
            "warmup": self.warmup,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Scheduled":
        """Build a schedule from `to_json`, or from one written by hand in a file.

        Raises:
            SpaceError: Something is missing or unknown.
        """
        options = {name: value for name, value in data.items() if name not in ("type", "domain")}
        known = ("shapes", "knots", "warmup")
        unknown = next((name for name in options if name not in known), None)
        if unknown is not None:
            raise SpaceError(
                f"a schedule has no {unknown!r}, only domain, {', '.join(known)}"
                f"{did_you_mean(unknown, ('domain', *known))}"
            )
        if not isinstance(data.get("domain"), Mapping):
            raise SpaceError(
                "a schedule needs the domain of its values, such as {type = 'scheduled', domain = "
                "{type = 'float', low = 1e-4, high = 1.0, log = true}}; got "
                f"{data.get('domain')!r}"
            )
        return cls(domain_from_json(data["domain"]), **options)


# -- values ---------------------------------------------------------------------------------------


def is_record(value: object) -> bool:
    """Return whether a param is the record of a schedule."""
    return isinstance(value, Mapping) and SHAPE in value and START in value


def check_record(name: str, record: Mapping[str, Any]) -> None:
    """Check the record of a schedule, whatever its space.

    Raises:
        SpaceError: Its shape is unknown, or a value is missing, unknown, no number, or one that the
            shape cannot have.
    """
    shape = record.get(SHAPE)
    if shape not in SHAPES:
        raise SpaceError(
            f"schedule {name!r} needs a shape, one of {', '.join(SHAPES)}; got {dict(record)!r}"
        )
    given = {key: value for key, value in record.items() if key != SHAPE}
    needed = {START}
    if shape in ENDING:
        needed |= {END_SHARE if END_SHARE in given else END}
    if shape == "piecewise":
        count = sum(str(key).startswith(KNOT) for key in given)
        needed |= {f"{KNOT}{k}" for k in range(1, max(count, 1) + 1)}
    wrong = sorted(map(str, (given.keys() - {WARMUP}) ^ needed))
    if wrong:
        raise SpaceError(
            f"schedule {name!r} of shape {shape} has {', '.join(sorted(needed))} and perhaps "
            f"{WARMUP}; {wrong[0]!r} is {'missing' if wrong[0] in needed else 'none of these'}: "
            f"{dict(record)!r}"
        )
    for key, value in given.items():
        number(f"schedule {name!r}: {key}", value)
    if not 0 <= given.get(WARMUP, 0.0) < 1:
        raise SpaceError(f"schedule {name!r}: {WARMUP} lies in [0, 1), got {given[WARMUP]!r}")
    if shape == "exponential" and min(given[START], end_of(record)) <= 0:
        raise SpaceError(
            f"schedule {name!r} is exponential, whose start and end lie above 0: {dict(record)!r}"
        )


def end_of(record: Mapping[str, Any]) -> float:
    """Return the last value of a record."""
    if END_SHARE in record:
        return float(record[START] * record[END_SHARE])
    if END in record:
        return float(record[END])
    return float(list(_knots(record))[-1])


def _knots(record: Mapping[str, Any]) -> list[float]:
    """Return the start and the knots in their order, of a record without any the start alone."""
    count = sum(key.startswith(KNOT) for key in record)
    return [record[START], *(record[f"{KNOT}{k}"] for k in range(1, count + 1))]


def value_at(record: Mapping[str, Any], time: float) -> int | float:
    """Return the value of a record that `check_record` has checked; see `Schedule.of`.

    Args:
        record: The record.
        time: Share of all epochs that has passed, in [0, 1].
    """
    start, warmup = record[START], record.get(WARMUP, 0.0)
    if time < warmup:
        value = start * (COLD + (1 - COLD) * time / warmup)
    else:
        value = _after_warmup(record, (time - warmup) / (1 - warmup))
    own = (value for key, value in record.items() if key not in (SHAPE, WARMUP))
    return round(value) if all(isinstance(each, int) for each in own) else float(value)


def _after_warmup(record: Mapping[str, Any], passed: float) -> float:
    """Return the value when a share of the epochs after the warm-up has passed."""
    start, shape = record[START], record[SHAPE]
    if shape == "exponential":
        return float(start * (end_of(record) / start) ** passed)
    if shape == "cosine":
        end = end_of(record)
        return float(end + (start - end) * (1 + math.cos(math.pi * passed)) / 2)
    if shape == "piecewise":
        pieces = list(pairwise(_knots(record)))
        place = min(int(passed * len(pieces)), len(pieces) - 1)
        before, after = pieces[place]
        return float(before + (after - before) * (passed * len(pieces) - place))
    return float(start)
