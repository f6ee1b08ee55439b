"""Rerun Vose et al. (2019), section 4.3.3: a Vietnamese-English translator.

    python experiments/three_parents_translation.py --scale small --seeds 3 --workers 2

Every search is a study in experiments/runs/, so the same command goes on where a killed one ended.
"""

import argparse
from dataclasses import dataclass

from three_parents_common import Command, Experiment, accepted_arms
from three_parents_report import BASELINE, RANDOM, RESTARTS, Claim, Story
from three_parents_training import TranslationSizes, TranslationTraining

import evotune as et

#: Of Luong's tutorial on sequence-to-sequence translation, from which the paper took data and task.
ACCEPTED = {"lr": 1.0, "dropout": 0.2}


@dataclass(frozen=True, slots=True)
class Scale:
    """How large one training is, and how many there are.

    Attributes:
        sizes: Sentence pairs and network.
        population: Members.
        epochs: Epochs of a line.
    """

    sizes: TranslationSizes
    population: int
    epochs: int


SCALES = {
    "small": Scale(
        TranslationSizes(600, 200, 200, units=32, layers=1, batch_size=16),
        population=5,
        epochs=10,
    ),
    "full": Scale(TranslationSizes(1_353, 200, 1_268), population=100, epochs=40),
}


def space() -> et.Space:
    """Return the paper's genes; it leaves their ranges open."""
    return et.Space(lr=et.Float(0.03, 3.0, log=True), dropout=et.Float(0.0, 0.6))


def make(options: argparse.Namespace) -> Experiment:
    """Return the experiment that the options ask for."""
    scale = SCALES[options.scale]
    arms = accepted_arms(space(), ACCEPTED, options.population)
    story = Story(
        title="translation from Vietnamese to English",
        metric="perplexity",
        unit="",
        factor=1,
        setting=setting(scale, options),
        evolved=("PBT as in the paper", "PBT, ours"),
        against=(BASELINE, RESTARTS.format(options.population), RANDOM),
        paper=(28.0, 26.0),
        claims=(Claim("lr", "falls"), Claim("dropout", "grows")),
    )

    def train(seed: int, accepted: bool) -> TranslationTraining:
        return TranslationTraining(scale.sizes, seed, options.epochs, options.data)

    return Experiment(story, "three_parents_translation", train, arms, options.epochs)


def setting(scale: Scale, options: argparse.Namespace) -> str:
    """Describe what is trained."""
    sizes = scale.sizes
    return (
        f"LSTM encoder and decoder of {sizes.layers} layer(s) and {sizes.units} units with "
        f"multiplicative attention, SGD, gradients cut to a norm of 5, batches of "
        f"{sizes.batch_size}; vocabularies of 7,709 and 17,191 words; {sizes.train:,} training and "
        f"{sizes.validation:,} validation pairs of the 1,553 drawn anew for each seed, "
        f"{sizes.test:,} test pairs of the 1,268; {options.epochs} epochs a line. "
        f"{options.population} lines in each search, one generation an epoch. Accepted practice: "
        "learning rate 1, dropout 0.2, both constant; every other search begins with these values. "
        "The best model is taken after any epoch, by validation perplexity; the paper chooses and "
        "reports on the test set and has no validation part. Its perplexities of 28 and 26 are out "
        "of reach of 1,553 sentences, which are the usual development set, so it must have trained "
        "on more than it says (133,317 pairs are usual): its relative improvement can be compared, "
        "its perplexities cannot."
    )


COMMAND = Command(
    script="three_parents_translation.py",
    what="Population-based training of a translator (Vose et al., 4.3.3).",
    scales=tuple(SCALES),
    size=lambda options: (SCALES[options.scale].population, SCALES[options.scale].epochs, 3),
    make=make,
)

if __name__ == "__main__":
    COMMAND.run()
