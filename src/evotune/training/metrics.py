"""Metrics by name, computed from all outputs and targets at once.

All but accuracy come from torchmetrics, which is imported when one of them is first computed: it
takes longer to import than torch itself, and each process of a study would pay for it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from evotune.errors import TaskError
from evotune.training.losses import Loss, alike, by_name, find_loss, is_regression, one_target
from evotune.training.params import pick

#: ``(output, target) -> number``; output and target hold all examples of the data.
Metric = Callable[..., Any]
Metrics = str | Sequence[str] | Mapping[str, str | Metric]

#: Names of metrics that the task itself returns and reports.
RESERVED = (
    *("loss", "train_loss", "parameters", "train_seconds", "evaluation_seconds", "robustness"),
    "step",
)


def find_metrics(metrics: Metrics | None, loss: str | Loss) -> dict[str, Metric]:
    """Return the functions that compute the chosen metrics and the loss.

    Args:
        metrics: A name, several names, or a mapping of names to known names or functions. None
            means accuracy, or nothing for a regression loss.
        loss: The task's loss.

    Raises:
        TaskError: A name is not known or is reserved.
    """
    if metrics is None:
        metrics = () if is_regression(loss) else ("accuracy",)
    if isinstance(metrics, str):
        metrics = (metrics,)
    if not isinstance(metrics, Mapping | Sequence):
        raise TaskError(
            f'metrics= are names such as "accuracy" or ["accuracy", "f1"], got {metrics!r}'
        )
    named = metrics if isinstance(metrics, Mapping) else {str(name): name for name in metrics}
    found = {name: _find(name, metric, loss) for name, metric in named.items()}
    return found | {"loss": find_loss(loss)}


def _find(name: str, metric: str | Metric, loss: str | Loss) -> Metric:
    if metric == "loss":
        return find_loss(loss)
    if name in RESERVED or name.startswith("test_"):
        raise TaskError(
            f"a metric cannot be named {name!r}: the task itself returns {', '.join(RESERVED)} "
            "and test_...; choose another name"
        )
    if callable(metric):
        return metric
    if not isinstance(metric, str):
        raise TaskError(f"metric {name!r} must be a known name or a function, got {metric!r}")
    if metric in _REGRESSION:
        return _of_each(_REGRESSION[metric])
    score: Metric = pick("metric", metric, _CLASSIFICATION | _REGRESSION)
    are_probabilities = loss == "bce"

    def of_one(output: Tensor, target: Tensor) -> Any:
        return score(*classify(metric, output, target, are_probabilities))

    return _of_each(of_one)


def _of_each(metric: Metric) -> Metric:
    """Return a metric that gives one number for each of several outputs by name."""

    def of_all(output: Any, target: Any) -> Any:
        if not isinstance(output, Mapping):
            return metric(output, one_target(target))
        return {name: metric(*pair) for name, pair in by_name(output, target).items()}

    return of_all


def classify(
    metric: str, output: Tensor, target: Tensor, are_probabilities: bool = False
) -> tuple[Tensor, Tensor]:
    """Return probabilities ``(examples, classes)`` and labels ``(examples,)``.

    Args:
        metric: Name of the metric, for the error message.
        output: Scores ``(examples, classes, ...)``; or for two classes one score per example, as
            ``(examples,)`` or ``(examples, 1)``.
        target: Labels ``(examples, ...)``.
        are_probabilities: True when single scores are probabilities instead of logits.

    Raises:
        TaskError: The targets are not class labels, or their shape does not match the output.
    """
    if target.is_floating_point() and not torch.equal(target, target.round()):
        raise TaskError(
            f"metric {metric!r} needs class labels, but the targets are not whole numbers; "
            'for a regression write metrics=("mae", "r2")'
        )
    if output.numel() == len(target) == target.numel():
        score = output.reshape(-1)
        positive = score if are_probabilities else score.sigmoid()
        return torch.stack((1 - positive, positive), dim=1), target.reshape(-1).long()
    if output.dim() < 2 or output.shape[:1] + output.shape[2:] != target.shape:
        raise TaskError(
            f"metric {metric!r} needs output (examples, classes) and labels (examples,), got "
            f"{tuple(output.shape)} and {tuple(target.shape)}; for another form give a function: "
            f'metrics={{"{metric}": lambda output, target: ...}}'
        )
    scores = output.movedim(1, -1).flatten(0, -2)
    return scores.softmax(dim=1), target.reshape(-1).long()


def _accuracy(scores: Tensor, labels: Tensor) -> Tensor:
    classes = scores.shape[1]
    # Only where labels lie that far apart, as `unique` takes longer than all the rest.
    is_wide = len(labels) > 0 and int(labels.max()) - int(labels.min()) >= classes
    if is_wide and len(found := torch.unique(labels)) > classes:
        raise TaskError(
            f"metric 'accuracy' needs labels of {classes} classes, as many as the model has "
            f"outputs; the targets hold {len(found)}, {int(found[0])} to {int(found[-1])}: give "
            "the model one output for each class"
        )
    right = (scores.argmax(dim=1) == labels).sum()
    return right.double() / max(len(labels), 1)  # .872 of single precision would miss at_least=.872


def _macro(name: str) -> Metric:
    def score(scores: Tensor, labels: Tensor) -> Any:
        from torchmetrics.functional import classification

        function = getattr(classification, f"multiclass_{name}")
        return function(scores, labels, scores.shape[1], average="macro")

    return score


def _auc(scores: Tensor, labels: Tensor) -> Any:
    from torchmetrics.functional.classification import multiclass_auroc

    present = torch.unique(labels)
    if len(present) < 2:
        raise TaskError("metric 'auc' needs two classes, but the data hold one class only")
    # A class without examples has no ROC curve; torchmetrics would count it as 0.
    places = torch.searchsorted(present, labels)
    return multiclass_auroc(scores[:, present], places, len(present), average="macro")


def _distance(name: str) -> Metric:
    def distance(output: Tensor, target: Tensor) -> Any:
        from torchmetrics.functional import regression

        function = getattr(regression, name)
        return function(*(part.reshape(len(part), -1) for part in alike(output, target)))

    return distance


_CLASSIFICATION: dict[str, Metric] = {
    "accuracy": _accuracy,
    "auc": _auc,
    "f1": _macro("f1_score"),
    "precision": _macro("precision"),
    "recall": _macro("recall"),
}
_REGRESSION: dict[str, Metric] = {
    "mae": _distance("mean_absolute_error"),
    "mse": _distance("mean_squared_error"),
    "r2": _distance("r2_score"),
}


def measure(metrics: Mapping[str, Metric], output: Any, target: Any) -> dict[str, float]:
    """Return every metric as a number; of several outputs the mean, and each by its name.

    Args:
        metrics: What `find_metrics` returned.
        output: ``(examples, ...)``, or such tensors by name.
        target: ``(examples, ...)``, or such tensors by name.

    Returns:
        By name of the metric; that of an output ``site`` is ``f1_site``.

    Raises:
        TaskError: A metric did not return one number.
    """
    found: dict[str, float] = {}
    for name, metric in metrics.items():
        value = metric(output, target)
        if isinstance(value, Mapping) and value:
            each = {f"{name}_{key}": _number(f"{name}_{key}", v) for key, v in value.items()}
            found |= {name: sum(each.values()) / len(each)} | each
        else:
            found[name] = _number(name, value)
    return found


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TaskError(f"metric {name!r} must return one number, got {value!r}") from error
