"""The rerun on FashionMNIST: its model, its ranges, its runs, and what they are compared with.

The paper is "Evolving Hyperparameters: Genetic Algorithms for Dynamic Neural Network Optimization"
(2024). Where it leaves something open, a comment beginning with "Open:" says what was chosen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from data import Images, shuffled
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR

import evotune as et

MEAN, DEVIATION = 0.2860, 0.3530  # of FashionMNIST's training pixels, as shares of 255
CLASSES = 10


@dataclass(frozen=True, slots=True)
class Scale:
    """How large one training is.

    Attributes:
        train: Training images, out of the 60,000.
        validation: Validation images, out of the rest of them.
        test: Test images, out of the separate 10,000.
        epochs: Epochs of each trial.
        channels: Channels of the two convolutions.
        stride: Stride of the first convolution; 2 makes training four times as fast.
        dense: Units of the first dense layer.
    """

    train: int
    validation: int
    test: int = 10_000
    epochs: int = 3
    channels: tuple[int, int] = (8, 16)
    stride: int = 2
    dense: int = 64


SCALES = {
    "small": Scale(train=10_000, validation=5_000),
    "medium": Scale(train=50_000, validation=10_000),
    # Open: the number of epochs. The paper's minutes leave room for about five.
    "full": Scale(50_000, 10_000, epochs=5, channels=(32, 64), stride=1, dense=128),
}


class Standardise(nn.Module):
    """Bytes ``(examples, 28, 28)`` -> standardised floats ``(examples, 1, 28, 28)``."""

    def forward(self, images: Tensor) -> Tensor:
        """Convert one batch; all examples together would take four times the memory."""
        return (images.unsqueeze(1).float() / 255 - MEAN) / DEVIATION


def network(scale: Scale) -> nn.Sequential:
    """Return the paper's kind of model: two convolutions and two dense layers.

    Open: its sizes. Those of PyTorch's MNIST example, whose batch sizes and learning rate schedule
    the paper has too, are taken for the full scale, and the same shape made smaller for the others.
    """
    first, second = scale.channels
    side = ((28 - 3) // scale.stride + 1 - 2) // 2
    return nn.Sequential(
        Standardise(),
        nn.Conv2d(1, first, 3, scale.stride),
        nn.ReLU(),
        nn.Conv2d(first, second, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(second * side * side, scale.dense),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(scale.dense, CLASSES),
    )


def task(scale: Scale, images: Images, seed: int) -> et.SupervisedTask:
    """Return the training of one trial, with the paper's batch sizes and schedule.

    Every seed draws its own split of the training images; all arms of a seed share it. Test
    metrics are measured in each trial, but no search sees them: the objective is ``min loss``.

    Args:
        scale: How large.
        images: Training and test images with labels.
        seed: Seed of the split.
    """
    x, y, test_x, test_y = images
    train, validation = shuffled(len(x), seed, (scale.train, scale.validation))
    (test,) = shuffled(len(test_x), seed, (scale.test,))
    return et.SupervisedTask(
        lambda params: network(scale),
        loss="cross_entropy",
        optimizer="sgd",
        train=(x[train], y[train]),
        validation=(x[validation], y[validation]),
        test=(test_x[test], test_y[test]),
        batch_size=64,
        evaluation_batch_size=1000,
        epochs=scale.epochs,
        scheduler=lambda optimizer: StepLR(optimizer, step_size=1, gamma=0.7),
        device="auto",
    )


def paper_space() -> et.Space:
    """Return the paper's ranges, all on a linear scale."""
    return et.Space(
        lr=et.Float(1e-4, 1.0), momentum=et.Float(0.0, 0.9), weight_decay=et.Float(0.0, 0.1)
    )


def log_space() -> et.Space:
    """Return the same bounds on the scales that are usual for these genes: another space.

    A logarithmic scale cannot reach the paper's weight decay of 0; it begins at 1e-6, which has no
    effect in so short a training.
    """
    return et.Space(
        lr=et.Float(1e-4, 1.0, log=True),
        momentum=et.Float(0.0, 0.9),
        weight_decay=et.Float(1e-6, 0.1, log=True),
    )


@dataclass(frozen=True, slots=True)
class PaperRun:
    """One of the paper's five runs.

    Attributes:
        name: What the paper calls it.
        population: Members.
        generations: Generations, the starting population counted as the first.
        mutation_rate: Probability per gene.
    """

    name: str
    population: int
    generations: int
    mutation_rate: float

    @property
    def label(self) -> str:
        """What the tables call it."""
        sizes = f"{self.population} × {self.generations}, {self.mutation_rate:g}"
        return f"paper {self.name} ({sizes})"

    @property
    def trials(self) -> int:
        """How many trainings it takes: the half that survives is not trained again."""
        half = self.population // 2
        return self.population + (self.generations - 1) * (self.population - half)


# Open: the baseline's sizes, and what runs 3 and 4 keep of the run before. The paper's times and
# losses fit together when each run changes one thing of the run before it.
PAPER_RUNS = (
    PaperRun("baseline", population=20, generations=5, mutation_rate=0.1),
    PaperRun("run 1", population=10, generations=3, mutation_rate=0.1),
    PaperRun("run 2", population=5, generations=2, mutation_rate=0.1),
    PaperRun("run 3", population=5, generations=2, mutation_rate=0.2),
    PaperRun("run 4", population=5, generations=5, mutation_rate=0.2),
)


@dataclass(frozen=True, slots=True)
class Arm:
    """One search, run once for each seed.

    Attributes:
        name: What the tables call it.
        algorithm: Makes a new algorithm.
        budgets: Numbers of trials after which its best is noted. What a search does up to there
            does not depend on what comes after, so one run serves for all smaller budgets.
        duplicates: What becomes of a child that equals an earlier trial.
    """

    name: str
    algorithm: Callable[[], Any]
    budgets: tuple[int, ...]
    duplicates: Any = "redraw"

    @property
    def trials(self) -> int:
        """Trainings that it gets."""
        return max(self.budgets)


def ours(space: et.Space) -> et.Genetic:
    """Return our genetic algorithm for budgets of about 60 trials.

    Its settings were chosen on a model, fitted to 440 trainings of the small network on MNIST, of
    how the validation loss there depends on the three genes, as the best on average of 20
    combinations over 250 simulated searches on both spaces; FashionMNIST played no part.
    """
    return et.Genetic(
        space,
        population_size=10,
        offspring=5,
        elitism=10,
        selection=et.selection.Tournament(3),
        crossover=et.crossover.Blend(0.5),
        crossover_rate=0.9,
        mutation=et.mutation.Gaussian(rate=1.0, scale=(0.01, 0.4)),
        start="latin_hypercube",
    )


def arms(runs: Sequence[PaperRun] = PAPER_RUNS) -> tuple[Arm, ...]:
    """Return the paper's runs, and random search and our settings on both spaces.

    A child that equals its parent is trained again in the paper's runs, as a plain reading has it.
    """
    budgets = tuple(sorted({run.trials for run in runs}, reverse=True))
    return (
        *(_paper_arm(run) for run in runs),
        Arm("random", lambda: et.RandomSearch(paper_space()), budgets),
        Arm("ours", lambda: ours(paper_space()), budgets),
        Arm("random, log", lambda: et.RandomSearch(log_space()), budgets),
        Arm("ours, log", lambda: ours(log_space()), budgets),
    )


def _paper_arm(run: PaperRun) -> Arm:
    def algorithm() -> et.Genetic:
        return et.recipes.dynamic_hyperparameters(
            paper_space(), population_size=run.population, mutation_rate=run.mutation_rate
        )

    return Arm(run.label, algorithm, (run.trials,), duplicates="allow")
