"""Rerun Wasudeorao and Prasad (2024) on clips of Captioned Moving MNIST, made by `moving_mnist`.

    python experiments/structural_moving_mnist.py

Hyperparameters and structure together, by the paper's genetic algorithm and by our own default,
beside hyperparameters only, structure only, no tuning at all, and random search, at equal trials.
Every search is a study in experiments/runs/, so the same command goes on where a killed one ended.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from data import mnist
from moving_mnist import CLASSES, clips
from searches import Arm, Figure, Row, Script, conclusions, gains, least_p, run_all, summary
from tables import params_lines, readable, spread, table
from torch import Tensor, nn

import evotune as et
from evotune.architectures.build import build_chain

FRAME = (1, 18, 32)
LENGTH = 20
#: The digit images of training, validation and test clips are different ones.
TRAINING_DIGITS = 50_000

# -- the network ----------------------------------------------------------------------------------


@et.block
def stage(shape: tuple[int, ...], filters: int, kernel: int, activation: str) -> nn.Module:
    """Return one of the paper's convolutional layers: convolution, pooling, activation.

    Pooling comes before normalisation and activation, which then have a quarter of the work, and is
    left out on images that are too small for it.
    """
    kinds = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}
    pool = [nn.MaxPool2d(2)] if min(shape[1:]) >= 2 else []
    convolution = nn.Conv2d(shape[0], filters, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, *pool, nn.BatchNorm2d(filters), kinds[activation]())


class Recurrent(nn.Module):
    """A recurrent layer, ``(examples, length, channels)`` to ``(examples, length, units)``."""

    def __init__(self, kind: type[nn.RNNBase], channels: int, units: int) -> None:
        super().__init__()
        self.layer = kind(channels, units, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the state at every step."""
        states: Tensor = self.layer(x)[0]
        return states


@et.block
def tanh_rnn(shape: tuple[int, ...], units: int) -> nn.Module:
    """Return the paper's recurrent layer, with tanh."""
    return Recurrent(nn.RNN, shape[1], units)


@et.block
def gated_rnn(shape: tuple[int, ...], units: int) -> nn.Module:
    """Return a layer of gated recurrent units."""
    return Recurrent(nn.GRU, shape[1], units)


class ClipNetwork(nn.Module):
    """A convolutional network for every frame, a recurrent one over the frames, dense layers.

    Args:
        given: ``frames``, ``time`` and ``head``, lists of layers, and ``dropout``; the structure
            before tuning where there are no lists.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__()
        params = {name: given.get(name, STRUCTURE.get(name)) for name in (*STRUCTURE, "dropout")}
        frames = build_chain(params["frames"], FRAME, "frames")
        features = int(np.prod(frames.shape))
        time = build_chain(params["time"], (LENGTH, features), "time")
        head = build_chain(params["head"], (time.shape[1],), "head")
        self.frames, self.time, self.head = frames.module, time.module, head.module
        self.dropout = nn.Dropout(params["dropout"])
        self.output = nn.Linear(head.shape[0], CLASSES)

    def forward(self, clips: Tensor) -> Tensor:
        """Return the logits of clips ``(examples, 20, 18, 32)``, which are bytes or noisy bytes."""
        count, length = clips.shape[:2]
        images = (clips.float() / 64 - 0.3).reshape(count * length, *FRAME)
        features = self.frames(images.contiguous(memory_format=torch.channels_last))
        states = self.time(features.flatten(1).reshape(count, length, -1))
        return self.output(self.dropout(self.head(states[:, -1])))


# -- the spaces -----------------------------------------------------------------------------------

#: The paper's "before tuning": learning rate 0.01, batches of 32, two convolutional layers.
STRUCTURE: dict[str, Any] = {
    "frames": [{"block": "stage", "filters": 8, "kernel": 3, "activation": "relu"}] * 2,
    "time": [{"block": "tanh_rnn", "units": 64}],
    "head": [],
}
HYPERPARAMETERS: dict[str, Any] = {"lr": 0.01, "batch_size": 32, "dropout": 0.2}
BEFORE = {**HYPERPARAMETERS, **STRUCTURE}


def hyperparameter_genes() -> dict[str, Any]:
    """Return the paper's hyperparameters."""
    return {
        "lr": et.Float(1e-4, 0.1, log=True),
        "batch_size": et.Ordinal(16, 32, 64),
        "dropout": et.Float(0.0, 0.5),
    }


def structure_genes() -> dict[str, Any]:
    """Return chains: with the recurrent and dense layers there are 2 to 8 layers, 3 to 7 in it."""
    conv = {
        "filters": et.Int(4, 16, log=True),
        "kernel": et.Ordinal(3, 5),
        "activation": et.Choice("relu", "tanh", "gelu"),
    }
    units = {"units": et.Int(16, 128, log=True)}
    return {
        "frames": et.Chain(1, 4, stage=conv),
        "time": et.Chain(1, 2, tanh_rnn=units, gated_rnn=units),
        "head": et.Chain(0, 1, dense={"units": et.Int(16, 128, log=True)}),
    }


BOTH = et.Space({**hyperparameter_genes(), **structure_genes()})


def held(free: Mapping[str, Any], rest: Mapping[str, Any]) -> et.Space:
    """Return the space of some genes; the rest keep what they were before tuning."""
    fixed = {name: et.Fixed(value) for name, value in rest.items() if not isinstance(value, list)}
    return et.Space({**fixed, **free})


# -- the training ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is run.

    Attributes:
        train: Training clips.
        validation: Validation clips.
        test: Test clips, with digits of MNIST's test images.
        epochs: Epochs of a trial.
        population: Members.
        generations: Generations; every search has population × generations trials.
        seeds: Seeds of every search.
        every: The network sees every so-many-th of the 20 frames.
    """

    train: int
    validation: int
    test: int
    epochs: int
    population: int
    generations: int
    seeds: int
    every: int = 1

    @property
    def trials(self) -> int:
        """Trials of a search."""
        return self.population * self.generations


SCALES = {
    "small": Scale(300, 200, 1_000, epochs=4, population=3, generations=5, seeds=3, every=2),
    "full": Scale(10_000, 2_000, 2_000, epochs=20, population=50, generations=5, seeds=5),
}
METRICS = ("accuracy", "precision", "recall", "f1", "auc")
#: Of its inputs, in grey levels of 255; the largest of a reduced frame are about 200.
NOISE = 16.0


@functools.lru_cache(maxsize=8)
def part(scale: Scale, seed: int, name: str, directory: str | None) -> tuple[Tensor, Tensor]:
    """Return a set of clips as floats; each of the three parts has digit images of its own."""
    images, _, test_images, _ = mnist(directory)
    digits = {
        "train": images[:TRAINING_DIGITS],
        "validation": images[TRAINING_DIGITS:],
        "test": test_images,
    }[name]
    made = clips(getattr(scale, name), 100 * seed + len(name), digits)
    return torch.from_numpy(made.frames[:, :: scale.every]).float(), torch.from_numpy(made.targets)


def task(scale: Scale, directory: str | None, test: bool, seed: int) -> et.SupervisedTask:
    """Return the training of one trial; every seed has clips of its own."""
    data = {
        name: functools.partial(part, scale, seed, name, directory)
        for name in ("train", "validation", "test")
    }
    return et.SupervisedTask(
        ClipNetwork,
        loss="cross_entropy",
        optimizer="adam",
        train=data["train"],
        validation=data["validation"],
        test=data["test"] if test else None,
        epochs=scale.epochs,
        metrics=METRICS,
        robustness=NOISE,
        evaluation_batch_size=125,
    )


#: The paper's fitness, α·A − β·T + γ·R; it does not state the weights. Seconds by the clock.
FITNESS = et.WeightedSum(accuracy=0.7, train_seconds=-0.001, robustness=0.3)

# -- the searches ---------------------------------------------------------------------------------


def arms(scale: Scale) -> tuple[Arm, ...]:
    """Return what is compared."""

    def paper(space: et.Space) -> et.Genetic:
        return et.recipes.structural_tuning(space, population_size=scale.population)

    return (
        Arm("no tuning", BOTH, params=BEFORE, restarts=scale.generations),
        Arm("hyperparameters only", held(hyperparameter_genes(), STRUCTURE), paper),
        Arm("structure only", held(structure_genes(), HYPERPARAMETERS), paper),
        Arm("both, as in the paper", BOTH, paper),
        Arm("both, ours", BOTH, lambda space: et.auto(space, trials=scale.trials)),
        Arm("both, random", BOTH),
    )


PAIRS = (
    ("both, as in the paper", "no tuning"),
    ("both, as in the paper", "hyperparameters only"),
    ("both, as in the paper", "structure only"),
    ("both, as in the paper", "both, random"),
    ("both, ours", "both, random"),
    ("both, ours", "both, as in the paper"),
)
SHOWN = tuple(Figure(f"test_{name}", f"{name}, %", 100, 1, lower=False) for name in METRICS)


def anew(rows: Sequence[Row]) -> list[Arm]:
    """Return the best of every search, to be trained anew and then tested."""
    return [Arm(row.arm, BOTH, params=whole(row.params)) for row in rows]


def whole(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return params with what a search has held fixed."""
    return {**BEFORE, **params}


# -- the tables -----------------------------------------------------------------------------------


def by_generation(rows: Sequence[Row], name: str, shown: Sequence[Figure], scale: Scale) -> str:
    """Return the best so far after each generation, as the paper's tables 2, 3 and 4 do."""
    own = [row for row in rows if row.arm == name]
    lines = []
    for generation in range(1, scale.generations + 1):
        last = [row.path[generation * len(row.path) // scale.generations - 1] for row in own]
        lines.append(
            [
                str(generation),
                spread([-trial.values[0] for trial in last], 3),
                *(spread([100 * t.metrics[f.metric] for t in last], 1) for f in shown),
                readable({k: v for k, v in whole(last[0].params).items() if k in HYPERPARAMETERS}),
                readable({k: v for k, v in whole(last[0].params).items() if k in STRUCTURE}),
            ]
        )
    head = ["generation", "best fitness", *(figure.title for figure in shown)]
    return table([*head, "hyperparameters, seed 1", "structure, seed 1"], lines)


VALIDATED = tuple(
    Figure(name, f"{name}, %", 100, 1) for name in ("accuracy", "precision", "auc", "f1")
)


def section(rows: Sequence[Row], tested: Sequence[Row], scale: Scale, head: str) -> str:
    """Return what was found, as Markdown."""
    seeds = len({row.seed for row in rows})
    about = (
        "Clips made by `experiments/moving_mnist.py` after the data set's description, not the "
        f"data set's own: {scale.train:,} training, {scale.validation:,} validation and "
        f"{scale.test:,} test clips for each seed, of different digit images; 20 frames of 18 × "
        f"32, one in {scale.every} of which the networks see; {scale.epochs} epochs with Adam. "
        "Nine classes: how many of the two digits move right, times how many upwards; to name the "
        "likeliest class always gets 25 % right. A convolutional network for each frame, then a "
        "recurrent one. "
        f"Fitness: {FITNESS.metric}, robustness being the accuracy under noise of {NOISE:g} grey "
        f"levels. {scale.trials} trials a search, {scale.population} a generation; no tuning: "
        f"{scale.generations} restarts of the paper's setting before tuning. The paper's own "
        "figures (accuracy 85.0 to 94.5 %) come from a task that it does not define, and cannot be "
        "compared."
    )
    parts = [head, about]
    titles = {
        "no tuning": "Before tuning (the paper's table 2), best so far",
        "both, as in the paper": "After tuning, the paper's algorithm (its tables 3 and 4)",
        "both, ours": "After tuning, ours",
    }
    for name, title in titles.items():
        parts += [f"{title}; validation clips, mean ± standard deviation over {seeds} seeds:"]
        parts += [by_generation(rows, name, VALIDATED, scale)]
    parts += [
        "The best of every search, trained anew with other weights, on the test clips (the paper's "
        "table 5; means over classes are unweighted; seconds of one training):",
        summary(tested, SHOWN),
        least_p(seeds),
        gains(tested, PAIRS, SHOWN[0]),
        gains(tested, PAIRS, SHOWN[3]),
        params_lines([(row.arm, row.seed, row.params) for row in tested if row.arm != "no tuning"]),
        "Conclusions, written by the script from these figures:",
        "\n".join(
            f"- {line}" for f in (SHOWN[0], SHOWN[3]) for line in conclusions(tested, PAIRS, f)
        ),
    ]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment as the command line says, and print its tables and conclusions."""
    script = Script("structural_moving_mnist.py", SCALES)
    options, scale = script.begin(arguments)
    seeds = range(1, (options.seeds or scale.seeds) + 1)
    rows, tested = [], []
    for seed in seeds:
        evaluate = functools.partial(task, scale, options.data, False)
        own = run_all(
            arms(scale),
            evaluate,
            FITNESS,
            [seed],
            trials=scale.trials,
            storage=script.storage(options),
        )
        rows += own
        tested += run_all(
            anew(own),
            functools.partial(task, scale, options.data, True),
            FITNESS,
            [seed],
            trials=1,
            storage=script.storage(options, "anew"),
        )
    title = "Structure and hyperparameters on moving digits"
    script.end(options, title, section(rows, tested, scale, script.head(arguments, len(seeds))))


if __name__ == "__main__":
    main()
