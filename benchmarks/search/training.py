"""Real training to be tuned: the network of the demo, and a perceptron on FashionMNIST.

One trial takes about a second on one core. The same params always train alike, whatever asks.
"""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from stored import stored
from torch import nn

import evotune as et
from evotune.cli.digits import digits_space, digits_task

#: The first images of FashionMNIST's training set: train on the first part, validate on the rest.
TRAIN, VALIDATION = 8_000, 2_000


@dataclass(frozen=True)
class Training:
    """One training as something to minimise.

    What is minimised is the share of validation images that the trained network gets wrong; what
    counts in the end is its share of test images.

    Args:
        name: Its name.
        space: What is tuned.
        task: The training.

    Attributes:
        ends: Scores of which regret is 0 and 1: errors are told as they are.
    """

    name: str
    space: et.Space
    task: et.SupervisedTask
    ends: ClassVar[tuple[float, float]] = (0.0, 1.0)
    _measured: dict[Any, dict[str, float]] = field(default_factory=dict, repr=False)

    def value(self, params: Mapping[str, Any]) -> float:
        """Return the validation error; 1 for a training that diverges, as peers need a number."""
        return 1.0 - self._measure(params).get("accuracy", 0.0)

    def values(self, many: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
        """Return the validation errors of several params."""
        return np.array([self.value(params) for params in many])

    def scores(self, many: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
        """Return the test errors of several params; no search sees them."""
        return np.array([1.0 - self._measure(p).get("test_accuracy", 0.0) for p in many])

    def _measure(self, params: Mapping[str, Any]) -> dict[str, float]:
        genome = self.space.complete(params)
        key = self.space.key(genome)
        if key not in self._measured:
            trial = et.Trial(0, genome, self.space.params(genome), seed=0)
            try:
                self._measured[key] = self.task(et.RunningTrial(trial))
            except et.Failed:
                self._measured[key] = {}
        return self._measured[key]


def digits() -> Training:
    """Return the demo's network on scikit-learn's digits, 5 genes, 10 epochs."""
    return Training("training/digits", digits_space(epochs=10), digits_task())


def fashion() -> Training:
    """Return a perceptron on the first 10,000 images of FashionMNIST, 7 genes, 5 epochs."""
    space = et.Space(
        lr=et.Float(1e-4, 1.0, log=True),
        momentum=et.Float(0.0, 0.99),
        weight_decay=et.Float(1e-6, 1e-1, log=True),
        dropout=et.Float(0.0, 0.9),
        width=et.Int(8, 256, log=True),
        depth=et.Int(1, 3),
        batch_size=et.Ordinal(16, 32, 64, 128, 256),
    )
    images, labels = _fashion("train")
    test_images, test_labels = _fashion("t10k")
    task = et.SupervisedTask(
        perceptron,
        loss="cross_entropy",
        optimizer="sgd",
        train=(images[:TRAIN], labels[:TRAIN]),
        validation=(images[TRAIN : TRAIN + VALIDATION], labels[TRAIN : TRAIN + VALIDATION]),
        test=(test_images, test_labels),
        epochs=5,
    )
    return Training("training/fashion", space, task)


def perceptron(params: Mapping[str, Any]) -> nn.Module:
    """Return a perceptron for images ``(batch, 784)`` with scores ``(batch, 10)``."""
    layers: list[nn.Module] = []
    inputs = 784
    for _ in range(params["depth"]):
        layers += [nn.Linear(inputs, params["width"]), nn.ReLU(), nn.Dropout(params["dropout"])]
        inputs = params["width"]
    return nn.Sequential(*layers, nn.Linear(inputs, 10))


@cache
def _fashion(part: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return images as ``(images, 784)`` in [0, 1], and labels; the files are in LeCun's format."""
    pixels = _read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 784)
    labels = _read(f"{part}-labels-idx1-ubyte.gz", 8)
    return (pixels[:10_000] / 255).astype(np.float32), labels[:10_000].astype(np.int64)


def _read(name: str, header: int) -> npt.NDArray[np.uint8]:
    with gzip.open(stored(f"fashion_mnist/{name}")) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


torch.set_num_threads(1)
