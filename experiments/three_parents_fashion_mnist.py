"""Population-based training of Vose et al. (2019) on Digits, FashionMNIST or MNIST.

    python experiments/three_parents_fashion_mnist.py --set digits
    python experiments/three_parents_fashion_mnist.py --set fashion_mnist --scale small

Every search is a study in experiments/runs/, so the same command goes on where a killed one ended.
"""

import argparse
import functools
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import data
import numpy as np
import numpy.typing as npt
from data import shuffled
from three_parents_common import Arm, Command, Experiment
from three_parents_models.small import lenet, perceptron
from three_parents_report import RANDOM, Claim, Row, Story
from torch import Tensor, nn

import evotune as et

RAY = "Ray Tune PBT"
EVOLVED = ("PBT, ours", "PBT as in the paper", "PBT, classic")


@dataclass(frozen=True, slots=True)
class Scale:
    """How large one training is, and how many there are.

    Attributes:
        train: Training examples.
        validation: Validation examples, out of the same set.
        test: Test examples.
        population: Members, and lines of random search.
        epochs: Epochs of a line.
        seeds: Seeds.
        channels: Channels of LeNet's convolutions; () for a perceptron.
        dense: Units of the two dense layers.
    """

    train: int
    validation: int
    test: int
    population: int
    epochs: int
    seeds: int
    channels: tuple[int, ...] = ()
    dense: tuple[int, int] = (64, 64)


IMAGES = {
    "small": Scale(10_000, 2_000, 2_000, 8, 10, seeds=4, channels=(4, 8), dense=(32, 32)),
    "full": Scale(50_000, 10_000, 10_000, 100, 20, seeds=10, channels=(6, 16), dense=(120, 84)),
}
DIGITS = {
    "small": Scale(897, 450, 450, 16, 20, seeds=10),
    "full": Scale(897, 450, 450, 100, 40, seeds=10),
}
SCALES = {"digits": DIGITS, "fashion_mnist": IMAGES, "mnist": IMAGES}
TITLES = {"digits": "Digits", "fashion_mnist": "FashionMNIST", "mnist": "MNIST"}

#: Inputs and classes of one part of the data.
Examples = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def space() -> et.Space:
    """Return the genes of the plain experiments: all that can change while a network trains."""
    return et.Space(
        lr=et.Float(1e-4, 1.0, log=True),
        momentum=et.Float(0.0, 0.99),
        weight_decay=et.Float(1e-6, 1e-2, log=True),
        dropout=et.Float(0.0, 0.7),
    )


@functools.lru_cache(maxsize=1)
def examples(name: str, scale: Scale, seed: int, directory: str | None) -> tuple[Examples, ...]:
    """Return training, validation and test examples, drawn anew for each seed."""
    if name == "digits":
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        x = (x / 16).astype(np.float32)
        parts = shuffled(len(x), seed, (scale.train, scale.validation, scale.test))
        return tuple((x[part], y[part]) for part in parts)
    x, y, test_x, test_y = getattr(data, name)(directory)
    train, validation = shuffled(len(x), seed, (scale.train, scale.validation))
    (test,) = shuffled(len(test_x), seed, (scale.test,))
    return (x[train], y[train]), (x[validation], y[validation]), (test_x[test], test_y[test])


def network(scale: Scale, params: Mapping[str, Any]) -> nn.Module:
    """Return LeNet, or a perceptron for Digits."""
    if scale.channels:
        first, second = scale.channels
        return lenet((first, second), scale.dense, params["dropout"])
    return perceptron(64, scale.dense, params["dropout"])


def error_rate(output: Tensor, target: Tensor) -> float:
    """Return the share of examples whose class is not the one with the largest output."""
    return float((output.argmax(1) != target).float().mean())


def task(name: str, scale: Scale, seed: int, directory: str | None = None) -> et.SupervisedTask:
    """Return the training of one trial; all searches of a seed share the split."""
    train, validation, test = examples(name, scale, seed, directory)
    return et.SupervisedTask(
        lambda params: network(scale, params),
        averaging=None,  # the paper measures the last weights
        loss="cross_entropy",
        optimizer="sgd",
        train=train,
        validation=validation,
        test=test,
        batch_size=64,
        metrics={"error": error_rate},
        device="auto",
    )


def arms(population: int) -> tuple[Arm, ...]:
    """Return the searches; each trains ``population`` lines, so that all have equal epochs."""
    recipes = et.recipes
    makers = (
        lambda: et.PopulationBasedTraining(space(), population_size=population, parents=3),
        lambda: recipes.three_parent_training(space(), population_size=population),
        lambda: recipes.classic_population_training(space(), population_size=population),
    )
    evolved = (Arm(name, maker) for name, maker in zip(EVOLVED, makers, strict=True))
    return (Arm(RANDOM, lambda: et.RandomSearch(space()), population), *evolved)


def make(options: argparse.Namespace) -> Experiment:
    """Return the experiment that the options ask for."""
    scale = SCALES[options.set][options.scale]
    story = Story(
        title=f"population-based training on {TITLES[options.set]}"
        + (", Ray Tune beside it" if options.ray else ""),
        metric="error",
        unit="points",
        factor=100,
        setting=setting(scale, options),
        evolved=EVOLVED,
        against=(RANDOM, RAY) if options.ray else (RANDOM,),
        claims=(Claim("lr", "falls"), Claim("weight_decay", "grows")),
    )

    def train(seed: int, accepted: bool) -> et.SupervisedTask:
        return task(options.set, scale, seed, options.data)

    return Experiment(
        story,
        f"three_parents_{options.set}",
        train,
        arms(options.population),
        options.epochs,
        any_epoch=False,
        others=_with_ray(scale, options) if options.ray else None,
    )


def _with_ray(scale: Scale, options: argparse.Namespace) -> Any:
    if importlib.util.find_spec("ray") is None:
        raise SystemExit('--ray needs Ray Tune; write pip install "ray[tune]==2.60.*"')
    from three_parents_ray import Job, ray_row

    def rows(seed: int) -> list[Row]:
        return [
            ray_row(
                Job(
                    arm=RAY,
                    seed=seed,
                    population=options.population,
                    epochs=options.epochs,
                    network=functools.partial(network, scale),
                    examples=examples(options.set, scale, seed, options.data),
                ),
                options.runs / f"three_parents_{options.set}_{options.scale}_ray",
            )
        ]

    return rows


def setting(scale: Scale, options: argparse.Namespace) -> str:
    """Describe what is trained."""
    model = f"A perceptron with hidden layers of {scale.dense[0]} and {scale.dense[1]}"
    if scale.channels:
        model = (
            f"LeNet with {scale.channels[0]} and {scale.channels[1]} channels and dense layers of "
            f"{scale.dense[0]} and {scale.dense[1]} (LeNet-5: 6, 16, 120, 84)"
        )
    return (
        f"{model}, SGD, batches of 64; {scale.train:,} training, {scale.validation:,} validation "
        f"and {scale.test:,} test examples drawn anew for each seed. {options.population} lines of "
        f"{options.epochs} epochs in each search, one generation an epoch; genes learning rate, "
        "momentum, weight decay and dropout. The best is taken after the last epoch, by validation "
        "error; that of random search is the best constant setting of as many as there are members."
    )


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--set", choices=SCALES, default="digits", help="the data (%(default)s)")
    parser.add_argument("--ray", action="store_true", help="compare with Ray Tune too")


def _size(options: argparse.Namespace) -> tuple[int, int, int]:
    scale = SCALES[options.set][options.scale]
    return scale.population, scale.epochs, scale.seeds


COMMAND = Command(
    script="three_parents_fashion_mnist.py",
    what="Population-based training of Vose et al. (2019), and its controls.",
    scales=tuple(IMAGES),
    size=_size,
    make=make,
    workers=0,
    more=_more,
)

if __name__ == "__main__":
    COMMAND.run()
