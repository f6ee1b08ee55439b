"""Metrics -> values: the one place where signs are flipped, so that all other code minimises."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evotune import finite
from evotune.checks import option
from evotune.errors import ObjectiveError

Direction = Literal["max", "min"]


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric with a direction.

    Args:
        metric: Name of the metric.
        direction: ``"max"`` or ``"min"``.

    Raises:
        ObjectiveError: The direction is neither, or the metric has no name.
    """

    metric: str
    direction: Direction = "min"

    def __post_init__(self) -> None:
        if self.direction not in ("max", "min"):
            raise ObjectiveError(
                f'an objective\'s direction is "max" or "min", got {self.direction!r}'
            )
        if not isinstance(self.metric, str) or not self.metric:
            raise ObjectiveError('an objective needs a metric: write "max accuracy" or "min loss"')

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of the metrics it is computed from."""
        return (self.metric,)

    def value(self, metrics: Mapping[str, float]) -> float:
        """Return the minimised value."""
        return -metrics[self.metric] if self.direction == "max" else metrics[self.metric]

    def score(self, value: float) -> float:
        """Return a minimised value with the sign that the user expects."""
        return -value if self.direction == "max" else value

    def __str__(self) -> str:
        return f"{self.direction} {self.metric}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able description."""
        return {"metric": self.metric, "direction": self.direction}


@dataclass(frozen=True, slots=True, init=False)
class WeightedSum:
    """A weighted sum of metrics, maximised.

    An example is the fitness α·A − β·T + γ·R of Wasudeorao and Prasad (2024), section 3.

    Example: ``WeightedSum(accuracy=1.0, train_seconds=-0.001, robustness=0.2)``.

    Args:
        **weights: Weight of each metric; a negative weight makes a metric a cost.

    Raises:
        ObjectiveError: No weight at all, or one that is not a finite number.
    """

    weights: tuple[tuple[str, float], ...]
    direction: Direction

    def __init__(self, **weights: float) -> None:
        if not weights:
            raise ObjectiveError("WeightedSum needs weights: write WeightedSum(accuracy=1.0)")
        for name, weight in weights.items():
            weights[name] = option(
                f"weight {name!r}", weight, "(-inf, inf)", error_type=ObjectiveError
            )
        object.__setattr__(self, "weights", tuple((k, float(v)) for k, v in weights.items()))
        object.__setattr__(self, "direction", "max")

    @property
    def metric(self) -> str:
        """Its name in tables and plots."""
        return " ".join(f"{weight:+g}·{name}" for name, weight in self.weights).removeprefix("+")

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of the metrics it is computed from."""
        return tuple(name for name, _ in self.weights)

    def value(self, metrics: Mapping[str, float]) -> float:
        """Return the minimised value."""
        given = [metrics[name] for name, _ in self.weights]
        total = sum(weight * metrics[name] for name, weight in self.weights)
        if not math.isfinite(total) and all(map(math.isfinite, given)):
            # Products beyond floats may cancel, so they are added in shares of the largest.
            weights = [weight for _, weight in self.weights]
            one, largest = finite.unit(weights), finite.unit(given)
            shares = (w / one * (v / largest) for w, v in zip(weights, given, strict=True))
            total = finite.limited(math.fsum(shares) * one * largest)
        return -total

    def score(self, value: float) -> float:
        """Return a minimised value with the sign that the user expects."""
        return -value

    def __str__(self) -> str:
        return f"max {self.metric}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able description."""
        return {"weights": dict(self.weights)}


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound on a metric; a trial that violates it ranks behind all trials that do not.

    Args:
        metric: Name of the metric.
        at_most: Largest value that is allowed.
        at_least: Smallest value that is allowed.

    Raises:
        ObjectiveError: No bound at all, one that is no number, or the bounds exclude each other.
    """

    metric: str
    at_most: float = math.inf
    at_least: float = -math.inf

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) or not self.metric:
            raise ObjectiveError(
                f'a constraint needs a metric: write Constraint("size", ...), got {self.metric!r}'
            )
        for name in ("at_most", "at_least"):
            bound = option(name, getattr(self, name), "[-inf, inf]", error_type=ObjectiveError)
            object.__setattr__(self, name, bound)
        if self.at_most == math.inf and self.at_least == -math.inf:
            raise ObjectiveError(
                f"the constraint on {self.metric!r} has no bound: "
                f'write Constraint("{self.metric}", at_most=...) or at_least='
            )
        if not self.at_least <= self.at_most:
            raise ObjectiveError(
                f"nothing satisfies {self.at_least} <= {self.metric} <= {self.at_most}"
            )

    def violation(self, metrics: Mapping[str, float]) -> float:
        """Return the violation of the bound, relative to the bound; 0 when it is met."""
        value = metrics[self.metric]
        if value > self.at_most:
            return _relative(value - self.at_most, value, self.at_most)
        if value < self.at_least:
            return _relative(self.at_least - value, value, self.at_least)
        return 0.0

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able description; an open bound is None."""
        bounds = {"at_most": self.at_most, "at_least": self.at_least}
        return {"metric": self.metric} | {
            k: v if math.isfinite(v) else None for k, v in bounds.items()
        }


def _relative(gap: float, value: float, bound: float) -> float:
    """Return a distance to a bound, relative to the bound."""
    size = abs(bound) or 1.0
    if math.isinf(gap) and math.isfinite(value):  # two large ones of opposite signs
        return finite.limited(abs(value / 2 - bound / 2) / size * 2)
    return finite.limited(gap / size)


AnyObjective = Objective | WeightedSum
ObjectiveSpec = str | AnyObjective | Sequence[str | AnyObjective | Constraint]


@dataclass(frozen=True, slots=True)
class Objectives:
    """All objectives and constraints of a study."""

    objectives: tuple[AnyObjective, ...]
    constraints: tuple[Constraint, ...] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of all metrics that a trial must return, each once."""
        names = [name for objective in self.objectives for name in objective.needed]
        names += [constraint.metric for constraint in self.constraints]
        return tuple(dict.fromkeys(names))

    def values(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """Return the minimised values, one per objective."""
        return tuple(objective.value(metrics) for objective in self.objectives)

    def violation(self, metrics: Mapping[str, float]) -> float:
        """Return the sum of relative constraint violations; 0 when feasible."""
        return finite.limited(sum(constraint.violation(metrics) for constraint in self.constraints))

    def __str__(self) -> str:
        return ", ".join(map(str, self.objectives))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able description."""
        return {
            "objectives": [objective.to_json() for objective in self.objectives],
            "constraints": [constraint.to_json() for constraint in self.constraints],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Objectives":
        """Rebuild the objectives from `to_json`."""
        objectives = tuple(
            WeightedSum(**item["weights"])
            if "weights" in item
            else Objective(item["metric"], item["direction"])
            for item in data["objectives"]
        )
        constraints = tuple(
            Constraint(item["metric"], **{k: item[k] for k in _BOUNDS if item[k] is not None})
            for item in data["constraints"]
        )
        return cls(objectives, constraints)


_BOUNDS = ("at_most", "at_least")


def parse_objectives(
    spec: ObjectiveSpec, constraints: Constraint | Sequence[Constraint] = ()
) -> Objectives:
    """Parse the objectives that a user writes.

    Args:
        spec: ``"max accuracy"``, ``"min loss"``, an `Objective`, a `WeightedSum`, or a list of
            these; constraints may stand in the list too.
        constraints: Further constraints.

    Raises:
        ObjectiveError: A string that cannot be parsed, no objective, or one metric named twice.
    """
    items = list(spec) if isinstance(spec, Sequence) and not isinstance(spec, str) else [spec]
    bounds = [constraints] if isinstance(constraints, Constraint) else constraints
    if not isinstance(bounds, Sequence) or not all(isinstance(b, Constraint) for b in bounds):
        raise ObjectiveError(
            'constraints= must be one or a list such as [Constraint("size", at_most=1e6)], '
            f"got {constraints!r}"
        )
    objectives = [_parse(item) for item in items if not isinstance(item, Constraint)]
    bounds = [*bounds, *(item for item in items if isinstance(item, Constraint))]
    if not objectives:
        raise ObjectiveError('a study needs an objective: write "max accuracy" or "min loss"')
    names = [objective.metric for objective in objectives]
    for name in names:
        if names.count(name) > 1:
            raise ObjectiveError(
                f"two objectives are named {name!r}; each metric can be an objective only once"
            )
    return Objectives(tuple(objectives), tuple(bounds))


def _parse(item: object) -> AnyObjective:
    if isinstance(item, Objective | WeightedSum):
        return item
    if isinstance(item, str):
        words = item.strip().split(maxsplit=1)
        if len(words) == 2 and words[0] in ("max", "min"):
            return Objective(words[1], "max" if words[0] == "max" else "min")
        if words and words[0].startswith(("max", "min")) and len(words) == 1:  # "minimize"
            metric = "accuracy" if words[0].startswith("max") else "loss"
        else:
            metric = words[-1] if words else "accuracy"
        raise ObjectiveError(f'got objective {item!r}; write "max {metric}" or "min {metric}"')
    raise ObjectiveError(
        f'an objective is a string such as "max accuracy", an Objective or a WeightedSum, '
        f"got {type(item).__name__}: {item!r}"
    )
