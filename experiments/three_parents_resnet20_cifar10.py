"""Rerun Vose et al. (2019), section 4.3.1: ResNet-20 on CIFAR-10.

    python experiments/three_parents_resnet20_cifar10.py --scale small --seeds 3 --workers 2

Every search is a study in experiments/runs/, so the same command goes on where a killed one ended.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from three_parents_common import Command, Experiment, accepted_arms
from three_parents_models.resnet import ResNet
from three_parents_report import BASELINE, RANDOM, RESTARTS, Claim, Story
from three_parents_training import ImageSizes, ImageTraining, constant, steps

import evotune as et

#: He et al. (2016), section 4.2; Vose et al. begin with accepted settings too.
ACCEPTED = {"lr": 0.1, "weight_decay": 1e-4}


@dataclass(frozen=True, slots=True)
class Scale:
    """How large one training is, and how many there are.

    Attributes:
        images: Images of each part.
        population: Members.
        epochs: Epochs of a line.
        blocks: Blocks of a stage, 3 in ResNet-20.
        width: Channels of the first stage, 16 in ResNet-20.
        batch_size: Images in a batch, 128 in He et al.
    """

    images: ImageSizes
    population: int
    epochs: int
    blocks: int = 3
    width: int = 16
    batch_size: int = 128


SCALES = {
    "small": Scale(
        ImageSizes(2_000, 1_000, 1_000), population=5, epochs=12, blocks=1, width=8, batch_size=64
    ),
    "full": Scale(ImageSizes(45_000, 5_000, 10_000), population=100, epochs=164),
}


def space() -> et.Space:
    """Return the paper's genes; it leaves their ranges open."""
    return et.Space(lr=et.Float(1e-3, 0.5, log=True), weight_decay=et.Float(1e-5, 1e-2, log=True))


def optimizer(parameters: Any, params: Mapping[str, Any]) -> torch.optim.Optimizer:
    """Return SGD with momentum 0.9, as He et al. train."""
    return torch.optim.SGD(
        parameters, lr=params["lr"], momentum=0.9, weight_decay=params["weight_decay"]
    )


def training(
    scale: Scale, epochs: int, seed: int, accepted: bool, directory: str | None = None
) -> ImageTraining:
    """Return the training of one trial.

    Args:
        scale: How large.
        epochs: Epochs of a line.
        seed: Seed of the split.
        accepted: Divide the learning rate by ten at 50 % and 75 % of the epochs.
        directory: Where CIFAR-10 lies.
    """
    return ImageTraining(
        scale.images,
        seed,
        epochs,
        model=lambda params: ResNet(blocks=scale.blocks, width=scale.width),
        optimizer=optimizer,
        loss=F.cross_entropy,
        batch_size=scale.batch_size,
        augment=True,
        decay=steps if accepted else constant,
        directory=directory,
    )


def make(options: argparse.Namespace) -> Experiment:
    """Return the experiment that the options ask for."""
    scale = SCALES[options.scale]
    arms = accepted_arms(space(), ACCEPTED, options.population)
    story = Story(
        title="ResNet-20 on CIFAR-10",
        metric="error",
        unit="points",
        factor=100,
        setting=setting(scale, options),
        evolved=("PBT as in the paper", "PBT, ours"),
        against=(BASELINE, RESTARTS.format(options.population), RANDOM),
        paper=(8.0, 7.0),
        claims=(Claim("lr", "falls"), Claim("weight_decay", "grows")),
    )

    def train(seed: int, accepted: bool) -> ImageTraining:
        return training(scale, options.epochs, seed, accepted, options.data)

    return Experiment(story, "three_parents_resnet20", train, arms, options.epochs)


def setting(scale: Scale, options: argparse.Namespace) -> str:
    """Describe what is trained."""
    images = scale.images
    return (
        f"A residual network of {6 * scale.blocks + 2} layers, {scale.width} channels in its first "
        f"stage (the paper's has 20 and 16), SGD with momentum 0.9, batches of {scale.batch_size}, "
        f"crops and mirroring; {images.train:,} training and {images.validation:,} validation "
        f"images drawn anew for each seed, {images.test:,} test images (JPEG); {options.epochs} "
        f"epochs a line. {options.population} lines in each search, one generation an epoch. "
        "Accepted practice: learning rate 0.1, divided by ten at 50 % and 75 % of the epochs, "
        "weight decay 1e-4; every other search begins with these two values and holds or evolves "
        "them. The best model is taken after any epoch, by validation error. The paper: all "
        "50,000 images, 100 members, chosen and reported on the test set, ten runs."
    )


COMMAND = Command(
    script="three_parents_resnet20_cifar10.py",
    what="Population-based training of ResNet-20 on CIFAR-10 (Vose et al., 4.3.1).",
    scales=tuple(SCALES),
    size=lambda options: (SCALES[options.scale].population, SCALES[options.scale].epochs, 3),
    make=make,
)

if __name__ == "__main__":
    COMMAND.run()
