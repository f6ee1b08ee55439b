"""The greedy soup: the mean of the weights of a population's networks, as long as it helps.

Source: Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves
accuracy without increasing inference time" (2022), recipe 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from evotune.analysis.steps import steps, survivors
from evotune.analysis.text import count
from evotune.checkpoints.state import State, mean_of, restore
from evotune.errors import NoResultError, StudyError
from evotune.evolution.survival import best_first
from evotune.execution.evaluate import read_metrics
from evotune.objectives import Objectives
from evotune.printing import number
from evotune.trial import BARE_NUMBER, Failure, Trial

MODEL = "model"


@dataclass(frozen=True, slots=True)
class Soup:
    """A mean of networks, and how it was chosen.

    Attributes:
        metric: What it was chosen by, on the validation data.
        value: That of the soup, in the sign of the metric.
        alone: That of the best network alone, measured in the same way.
        members: Numbers of the trials whose weights are in it, in the order they were taken.
        tried: Numbers of all trials that were tried, best first.
        metrics: All metrics of the soup; those of test data were measured once, at the end.
        unlike: Numbers of trials whose weights cannot be averaged with the others'.
        network: The module with these weights, in evaluation mode.
    """

    metric: str
    value: float
    alone: float
    members: tuple[int, ...]
    tried: tuple[int, ...]
    metrics: Mapping[str, float]
    unlike: tuple[int, ...] = ()
    network: Any = field(default=None, repr=False)

    def __str__(self) -> str:
        trials = ", ".join(map(str, self.members))
        text = (
            f"soup of trial{'s' * (len(self.members) > 1)} {trials}, of {len(self.tried)} tried: "
            f"{self.metric} {number(self.value)}, {number(self.alone)} of the best alone. It was "
            f"chosen by {count(len(self.tried), 'measurement')} on the validation data, so other "
            "data tell how good it is"
        )
        tested = {n: v for n, v in self.metrics.items() if n.startswith("test_")}
        if tested:
            text += ": " + ", ".join(f"{name} {number(value)}" for name, value in tested.items())
        if self.unlike:
            text += f". Of another structure, and left out: {', '.join(map(str, self.unlike))}"
        return text


class StudyLike(Protocol):
    """What is needed of a study here."""

    objectives: Objectives

    @property
    def name(self) -> str: ...
    @property
    def trials(self) -> tuple[Trial, ...]: ...


def greedy_soup(
    study: StudyLike,
    state_of: Callable[[Trial], State],
    rebuild: Callable[[Trial], Any],
    model: Any,
    evaluate: Any,
) -> Soup:
    """Average the networks of the last population as long as the objective gets no worse.

    Args:
        study: A study whose last trials have kept their weights under the name ``model``.
        state_of: Returns what a trial has kept.
        rebuild: Returns a trial's network where a template built it.
        model: A module of the same kind, which gets the weights, or None.
        evaluate: A task that can measure a network, or a function of the network that returns what
            an evaluate function returns.

    Raises:
        NoResultError: No trial of the last population has kept its weights.
        StudyError: What is measured is not what the objective needs.
        CheckpointError: Weights are damaged, or do not fit the network.
    """
    trials = _candidates(study)
    objective = study.objectives.objectives[0]
    judge = _judge(study, evaluate)
    best, *others = trials
    network = rebuild(best) if model is None else model
    parts = {MODEL: state_of(best)[MODEL]}

    def measured(state: State) -> tuple[float, dict[str, float]]:
        restore({MODEL: network}, state, best.number)
        metrics = judge(network, "validation")
        return float(objective.value(metrics)), metrics

    value, metrics = measured(parts)
    alone, members, unlike = value, [best.number], []
    for trial in others:
        own = {MODEL: state_of(trial)[MODEL]}
        if not _are_alike(parts[MODEL], own[MODEL]):
            unlike.append(trial.number)
            continue
        mixed = mean_of(parts, own, 1 / (len(members) + 1))
        found, its = measured(mixed)
        if found <= value:
            parts, value, metrics = mixed, found, its
            members.append(trial.number)
    restore({MODEL: network}, parts, best.number)
    metrics |= judge(network, "test")
    return Soup(
        objective.metric,
        float(objective.score(value)),
        float(objective.score(alone)),
        tuple(members),
        tuple(t.number for t in trials if t.number not in unlike),
        metrics,
        tuple(unlike),
        network.eval() if callable(getattr(network, "eval", None)) else network,
    )


def _candidates(study: StudyLike) -> list[Trial]:
    """Return the trials of the last population that have kept a network, best first."""
    last = [step.trial for step in survivors(steps(study.trials))]
    kept = [t for t in last if t.checkpoint is not None and not t.checkpoint.deleted]
    feasible = [t for t in kept if not t.violation] or kept
    if not feasible:
        raise NoResultError(
            f"study {study.name!r} has no population whose weights are kept: a soup is made of the "
            "last members of PopulationBasedTraining, or of the trials of a SupervisedTask(..., "
            'keep="all")'
        )
    return best_first(feasible)


def _are_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        getattr(part, "shape", None) == getattr(other[name], "shape", None)
        for name, part in one.items()
    )


def _judge(study: StudyLike, evaluate: Any) -> Callable[[Any, str], dict[str, float]]:
    """Return what measures a network on validation data, or on test data where there are some."""
    measure = getattr(evaluate, "measure", None)
    if evaluate is None or not (callable(measure) or callable(evaluate)):
        raise StudyError(
            "soup needs what measures a network: "
            + ("nothing was run in this process" if evaluate is None else f"got {evaluate!r}")
            + "; write study.soup(model=model, evaluate=task), or evaluate= a function of the "
            "model that returns its metrics"
        )
    needed = study.objectives.objectives[0].needed

    def judge(network: Any, data: str) -> dict[str, float]:
        if callable(measure):
            metrics = measure(network, data)
        else:
            metrics = {} if data == "test" else read_metrics(evaluate(network))
        if isinstance(metrics, Failure):
            raise StudyError(f"soup(evaluate=...): {metrics.message}")
        if BARE_NUMBER in metrics and len(needed) == 1:
            metrics = {needed[0]: metrics[BARE_NUMBER]}
        missing = [name for name in needed if name not in metrics]
        if missing and data == "validation":
            raise StudyError(
                f"the objective needs {', '.join(map(repr, missing))}, and measuring a network "
                f"gives {', '.join(metrics) or 'nothing'}; write evaluate= a function of the model "
                "that returns it"
            )
        return dict(metrics)

    return judge
