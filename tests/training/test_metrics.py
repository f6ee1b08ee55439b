"""Metrics equal scikit-learn's on the same predictions."""

import numpy as np
import pytest
import sklearn.metrics as reference
import torch

from evotune.errors import TaskError
from evotune.training.metrics import find_metrics, measure

NAMES = ("accuracy", "f1", "auc", "precision", "recall")


def scores_of(labels, classes, seed=0):
    """Outputs of an imaginary model that is right more often than not."""
    noise = torch.randn(len(labels), classes, generator=torch.Generator().manual_seed(seed))
    return noise + 1.5 * torch.nn.functional.one_hot(labels, classes)


def expected(probabilities, labels):
    predicted = probabilities.argmax(axis=1)
    several = probabilities.shape[1] > 2
    return {
        "accuracy": reference.accuracy_score(labels, predicted),
        "f1": reference.f1_score(labels, predicted, average="macro"),
        "auc": reference.roc_auc_score(
            labels, probabilities if several else probabilities[:, 1], multi_class="ovr"
        ),
        "precision": reference.precision_score(labels, predicted, average="macro"),
        "recall": reference.recall_score(labels, predicted, average="macro"),
    }


@pytest.mark.parametrize("classes", [2, 5])
def test_metrics_of_classes_equal_scikit_learns(classes):
    labels = torch.randint(classes, (400,), generator=torch.Generator().manual_seed(1))
    output = scores_of(labels, classes)
    found = measure(find_metrics(NAMES, "nll"), output.log_softmax(dim=1), labels)
    assert found.pop("loss") > 0
    assert found == pytest.approx(expected(output.softmax(dim=1).numpy(), labels.numpy()), abs=1e-6)


def test_outputs_are_never_taken_for_probabilities():
    labels = torch.randint(3, (400,), generator=torch.Generator().manual_seed(1))
    output = scores_of(labels, 3).sigmoid()  # between 0 and 1, but rows do not add up to 1
    found = measure(find_metrics("auc", "cross_entropy"), output, labels)["auc"]
    assert found == pytest.approx(expected(output.softmax(dim=1).numpy(), labels.numpy())["auc"])


@pytest.mark.parametrize("shape", [(400,), (400, 1)])
@pytest.mark.parametrize("loss", ["bce", "bce_with_logits"])
def test_one_output_for_two_classes_equals_scikit_learns(loss, shape):
    labels = torch.randint(2, (400,), generator=torch.Generator().manual_seed(1))
    logits = torch.randn(400, generator=torch.Generator().manual_seed(2)) / 9 + labels / 9 - 0.05
    assert 0 < (logits[logits > 0]).max() < 1  # easily taken for probabilities
    output = (logits.sigmoid() if loss == "bce" else logits).reshape(shape)
    found = measure(find_metrics(NAMES, loss), output, labels.float())
    found.pop("loss")
    positive = logits.sigmoid().numpy()
    two_columns = np.stack([1 - positive, positive], axis=1)
    assert found == pytest.approx(expected(two_columns, labels.numpy()), abs=1e-6)


def test_a_class_without_examples_does_not_pull_auc_down():
    labels = torch.arange(60) % 3
    output = scores_of(labels, 4)
    output[:, 3] = -100.0  # the model knows that there is none of it
    three = measure(find_metrics("auc", "cross_entropy"), output[:, :3], labels)["auc"]
    four = measure(find_metrics("auc", "cross_entropy"), output, labels)["auc"]
    assert four == pytest.approx(three)


def test_labels_of_every_pixel_count_as_examples():
    labels = torch.randint(3, (5, 4, 4), generator=torch.Generator().manual_seed(1))
    flat = scores_of(labels.flatten(), 3)
    images = flat.reshape(5, 4, 4, 3).movedim(-1, 1)
    metrics = find_metrics(NAMES, "cross_entropy")
    assert measure(metrics, images, labels) == pytest.approx(
        measure(metrics, flat, labels.flatten())
    )


@pytest.mark.parametrize("columns", [1, 3])
def test_metrics_of_a_regression_equal_scikit_learns(columns):
    stream = torch.Generator().manual_seed(3)
    target = torch.randn(50, columns, generator=stream)
    output = target + 0.3 * torch.randn(50, columns, generator=stream)
    found = measure(find_metrics(("mse", "mae", "r2"), "mse"), output, target.double())
    pair = (target.numpy(), output.numpy())
    assert found == pytest.approx(
        {
            "mse": reference.mean_squared_error(*pair),
            "mae": reference.mean_absolute_error(*pair),
            "r2": reference.r2_score(*pair),
            "loss": reference.mean_squared_error(*pair),
        },
        abs=1e-5,
    )


def test_functions_are_metrics_under_names_of_their_own():
    def top2(output, target):
        best = output.topk(2).indices
        return (best == target[:, None]).any(dim=1).float().mean()

    labels = torch.arange(60) % 3
    output = scores_of(labels, 3)
    metrics = find_metrics({"top2": top2, "right": "accuracy"}, "cross_entropy")
    found = measure(metrics, output, labels)
    assert list(found) == ["top2", "right", "loss"]
    assert found["top2"] == pytest.approx(reference.top_k_accuracy_score(labels, output, k=2))
    assert found["right"] == pytest.approx(reference.accuracy_score(labels, output.argmax(dim=1)))


def test_loss_may_be_the_first_metric():
    assert list(find_metrics(("loss", "f1"), "cross_entropy")) == ["loss", "f1"]


@pytest.mark.parametrize(
    ("metric", "output", "target", "message"),
    [
        ("accuracy", torch.zeros(4, 1), torch.tensor([0.1, 1, 2, 3]), r'metrics=\("mae", "r2"\)'),
        ("accuracy", torch.zeros(4, 3), torch.arange(4), r"3 classes.* hold 4, 0 to 3: give"),
        ("f1", torch.zeros(4, 3), torch.zeros(4, 3).long(), r"\(4, 3\) and \(4, 3\)"),
        ("auc", torch.zeros(4, 3), torch.ones(4).long(), "one class only"),
        ({"odd": lambda o, t: "much"}, torch.zeros(4, 3), torch.ones(4), "must return one number"),
        ({"odd": lambda o, t: o}, torch.zeros(4, 3), torch.ones(4), "must return one number"),
    ],
)
def test_metrics_that_cannot_be_computed_end_the_run(metric, output, target, message):
    metrics = find_metrics(metric, "cross_entropy")
    del metrics["loss"]
    with pytest.raises(TaskError, match=message):
        measure(metrics, output, target)
