"""What ``evotune demo`` tunes: a small convolutional network on scikit-learn's digits."""

from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import evotune as et

#: Which image is for training, validation or test, in every run of every search.
SPLIT_SEED = 0


def digits_space(epochs: int) -> et.Space:
    """Return the search space, with the epochs as a fixed gene, so that a study records them."""
    return et.Space(
        lr=et.Float(1e-4, 1.0, log=True),
        momentum=et.Float(0.0, 0.99),
        weight_decay=et.Float(1e-6, 1e-1, log=True),
        dropout=et.Float(0.0, 0.9),
        width=et.Int(2, 32, log=True),
        epochs=et.Fixed(epochs),
    )


def digits_task() -> et.SupervisedTask:
    """Return the task: of 1,797 images, half for training, a quarter each to validate and test."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    x, rest, y, rest_labels = _halves(images, labels)
    x_validation, x_test, y_validation, y_test = _halves(rest, rest_labels)
    return et.SupervisedTask(
        network,
        loss="cross_entropy",
        optimizer="sgd",
        train=(x, y),
        validation=(x_validation, y_validation),
        test=(x_test, y_test),  # measured for every trial, seen by no search
        batch_size=32,
    )


def network(params: dict[str, Any]) -> nn.Module:
    """Return a network for images ``(batch, 1, 8, 8)`` with logits ``(batch, 10)``."""
    width = params["width"]
    return nn.Sequential(
        nn.Conv2d(1, width, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(params["dropout"]),
        nn.Linear(2 * width * 2 * 2, 10),
    )


def _halves(images: Any, labels: Any) -> Any:
    return train_test_split(
        images, labels, train_size=0.5, stratify=labels, random_state=SPLIT_SEED
    )
