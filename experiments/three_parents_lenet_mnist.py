"""Rerun Vose et al. (2019), section 4.2.3: LeNet on MNIST, time to 98.6 % validation accuracy.

    python experiments/three_parents_lenet_mnist.py

Every search and every setting is a study in experiments/runs/, so the same command goes on where a
killed one ended.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from data import mnist, shuffled
from searches import Script
from three_parents_models.topology import convolutional
from three_parents_targets import PASSES, Limit, Search, Setting, multiply_adds, until
from three_parents_targets_report import Paper, Scale, Target, run
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

import evotune as et

CLASSES = 10
SHAPE = (1, 28, 28)
BATCH_SIZE = 64  # the paper does not state it
VALIDATION = 5_000
ACCURACY = 0.986
CHECK_EVERY = 100
CHECK_BATCH = 500
#: Of MNIST's training pixels, as shares of 255.
MEAN, DEVIATION = 0.1307, 0.3081

PAPER = et.Space(
    kernel1=et.Int(2, 8),
    kernel2=et.Int(2, 8),
    filters1=et.Int(8, 128, log=True),
    filters2=et.Int(16, 256, log=True),
    dense=et.Int(64, 4096, log=True),
    lr=et.Float(1e-6, 1e-2, log=True),
    dropout=et.Float(5e-3, 0.9),
)
SIZES = ("kernel1", "kernel2", "filters1", "filters2", "dense", "lr", "dropout")
REFERENCE = dict(zip(SIZES, (5, 5, 32, 64, 1024, 1e-4, 0.5), strict=True))
OPTIMIZED = dict(zip(SIZES, (4, 4, 8, 18, 1024, 4.3e-4, 0.83), strict=True))
SMALL = dict(zip(SIZES, (5, 5, 8, 16, 64, 2e-3, 0.1), strict=True))

#: Beyond the paper's genes: chains of layers, and a learning rate that falls to nothing.
CHAINS = et.Space(
    features=et.Chain(
        2,
        6,
        conv={
            "filters": et.Int(4, 32, log=True),
            "kernel": et.Ordinal(3, 5),
            "norm": et.Choice("batch", "none"),
        },
        pool={},
    ),
    head=et.Chain(0, 1, dense={"units": et.Int(16, 256, log=True), "dropout": et.Float(0.0, 0.5)}),
    lr=et.Float(1e-3, 3e-2, log=True),
    horizon=et.Int(300, 1500, log=True),
    batch_size=et.Ordinal(32, 64, 128),
)
BY_HAND: dict[str, Any] = {
    "features": [
        {"block": "conv", "filters": 8, "kernel": 3, "norm": "batch"},
        {"block": "pool"},
        {"block": "conv", "filters": 16, "kernel": 3, "norm": "batch"},
        {"block": "pool"},
        {"block": "conv", "filters": 32, "kernel": 3, "norm": "batch"},
        {"block": "pool"},
    ],
    "head": [],
    "lr": 1e-2,
    "horizon": 500,
    "batch_size": 64,
}
#: Share of the learning rate that is left once the horizon is behind.
FLOOR = 0.01

#: Images ``(examples, 1, 28, 28)`` and their classes.
Examples = tuple[Tensor, Tensor]


@functools.lru_cache(maxsize=1)
def images(seed: int, directory: str | None) -> tuple[Examples, Examples, Examples]:
    """Return 55,000 training, 5,000 validation and 10,000 test examples; the split is drawn."""
    x, y, test_x, test_y = mnist(directory)
    parts = shuffled(len(x), seed, (len(x) - VALIDATION, VALIDATION))
    train, validation = (_tensors(x[np.sort(part)], y[np.sort(part)]) for part in parts)
    return train, validation, _tensors(test_x, test_y)


def _tensors(x: Any, y: Any) -> Examples:
    pixels = torch.from_numpy(x.astype(np.float32)).unsqueeze(1)
    return (pixels / 255 - MEAN) / DEVIATION, torch.from_numpy(y.astype(np.int64))


def reaches(model: nn.Module, examples: Examples, accuracy: float) -> bool:
    """Return whether a model has an accuracy; stops counting once it cannot have it any more."""
    x, y = examples
    may_be_wrong = round((1 - accuracy) * len(x))
    model.eval()
    wrong = 0
    with torch.no_grad():
        for part, labels in zip(x.split(CHECK_BATCH), y.split(CHECK_BATCH), strict=True):
            wrong += int((model(part).argmax(1) != labels).sum())
            if wrong > may_be_wrong:
                break
    model.train()
    return wrong <= may_be_wrong


def accuracy_of(model: nn.Module, examples: Examples) -> float:
    """Return the share of images that a model gets right."""
    x, y = examples
    model.eval()
    with torch.no_grad():
        right = sum(
            int((model(part).argmax(1) == labels).sum())
            for part, labels in zip(x.split(CHECK_BATCH), y.split(CHECK_BATCH), strict=True)
        )
    return right / len(x)


def network(params: Mapping[str, Any]) -> nn.Module:
    """Return the LeNet of the paper's genes, or the network of chains."""
    if "features" in params:
        return et.image_classifier(SHAPE, CLASSES)(params)
    return convolutional(SHAPE, CLASSES, 2, params)


@dataclass(frozen=True, slots=True)
class ToTarget:
    """An evaluate function that trains with Adam until the validation accuracy is reached.

    Metrics: ``seconds``, ``check_seconds``, ``batches``, ``multiply_adds``, and, but in
    a search, ``test``, the accuracy on the test images at that moment.

    Attributes:
        split: Seed of the split of a search; None takes the trial's number, and one that gives up
            is a failure then.
        limit: When it gives up.
        directory: Where MNIST lies; None looks where `data` says.
        accuracy: The validation accuracy.
    """

    split: int | None
    limit: Limit
    directory: str | None = None
    accuracy: float = ACCURACY

    def __call__(self, trial: et.RunningTrial) -> dict[str, float]:
        """Train one trial."""
        split = 1000 + trial.number if self.split is None else self.split
        train, validation, test = images(split, self.directory)
        torch.manual_seed(trial.seed)
        model = network(trial.params).to(memory_format=torch.channels_last)
        cost = multiply_adds(model, train[0][:1])
        step = _stepper(model, train, trial.params)
        measured = until(
            step,
            lambda: reaches(model, validation, self.accuracy),
            every=CHECK_EVERY,
            limit=self.limit,
            missing=None if self.split is None else lambda: self._missing(model, validation),
        )
        size = trial.params.get("batch_size", BATCH_SIZE)
        return {
            **measured,
            "multiply_adds": PASSES * cost * size * measured["batches"],
            **({"test": accuracy_of(model, test)} if self.split is None else {}),
        }

    def _missing(self, model: nn.Module, validation: Examples) -> float:
        """Return the share of the accuracy that a model lacks; one check alone does not count."""
        lack = self.accuracy - accuracy_of(model, validation)
        return max(lack, 1 / len(validation[1])) / self.accuracy


def _stepper(model: nn.Module, train: Examples, params: Mapping[str, Any]) -> Any:
    """Return a function that trains one batch; batches go through the images in random order.

    With a gene ``horizon`` the learning rate falls linearly over so many batches.
    """
    size = params.get("batch_size", BATCH_SIZE)
    optimizer = torch.optim.Adam(model.parameters(), lr=params["lr"], fused=True)
    horizon = params.get("horizon", math.inf)
    schedule = LambdaLR(optimizer, lambda batch: max(1 - batch / horizon, FLOOR))
    x, y = train

    def batches() -> Any:
        while True:
            for chosen in torch.randperm(len(x)).split(size):
                yield x[chosen], y[chosen]

    source = batches()

    def step() -> Tensor:
        inputs, labels = next(source)
        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss.detach()

    return step


@dataclass(frozen=True, slots=True)
class Reach(Scale):
    """How much is run.

    Attributes:
        accuracy: Validation accuracy that ends a trial of a search; settings, and the best of
            every search, train until `ACCURACY`.
    """

    accuracy: float = ACCURACY


SCALES = {
    "small": Reach(3, 3, 12, 1, Limit(8.0), Limit(120.0), accuracy=0.95),
    "full": Reach(10, 10, 2_000, 10, Limit(60.0, least=600, loss=1.0)),
}
ABOUT = (
    "LeNet: two convolutions with ReLU, each followed by pooling, a dense layer with dropout, an "
    "output layer; Adam, batches of 64 (the paper does not state them), 55,000 training and 5,000 "
    "validation images drawn anew for each run; the target is 98.6 % of the validation images on "
    "two successive checks, one every 100 batches. The test images play no part in any choice. "
    "A run of a setting gives up after 900 CPU seconds. The paper states −83.5 %, which is not "
    "what its two times give. The paper's genes leave Adam's learning "
    "rate constant. Those called chains are not the paper's: 2 to 6 layers out of convolutions of "
    "4 to 32 filters and pools, batch normalisation or none, at most one dense layer, batches of "
    "32 to 128, and a learning rate that falls linearly to nothing within a horizon of 300 to "
    "1,500 batches. A trial of a search ends at {accuracy:.1%} already, and one that does not get "
    "there counts by the accuracy that it lacks; the best of a search is trained anew until "
    "98.6 %{again}."
)


def target(scale: Reach, directory: str | None) -> Target:
    """Return the experiment."""

    def training(split: int | None, limit: Limit) -> ToTarget:
        accuracy = ACCURACY if split is None else scale.accuracy
        return ToTarget(split, limit, directory, accuracy)

    def ours(space: et.Space) -> Any:
        return et.auto(space, trials=scale.trials)

    def setting(name: str, params: Mapping[str, Any], space: et.Space = PAPER) -> Setting:
        return Setting(name, space, params, Limit(900.0))

    return Target(
        title="Three parents: LeNet on MNIST, time to 98.6 %",
        about=ABOUT.format(
            accuracy=scale.accuracy,
            again=f", or {scale.again.seconds:g} CPU seconds" if scale.again else "",
        ),
        quality="test accuracy, %",
        paper=Paper(reference=164.5, found=32.4),
        settings=(
            setting("reference", REFERENCE),
            setting("the paper's optimum", OPTIMIZED),
            setting("smallest, lr 2e-3", SMALL),
            setting("chains, by hand", BY_HAND, CHAINS),
        ),
        searches=(
            Search("random", PAPER, et.RandomSearch),
            Search(
                "as in the paper",
                PAPER,
                lambda space: et.recipes.three_parent_search(space, population_size=4),
                "random",
            ),
            Search("ours", PAPER, ours, "random"),
            Search("random, chains", CHAINS, et.RandomSearch),
            Search("ours, chains", CHAINS, ours, "random, chains"),
        ),
        training=training,
    )


if __name__ == "__main__":
    run(Script("three_parents_lenet_mnist.py", SCALES), target)
