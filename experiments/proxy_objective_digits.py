"""SynFlow as the objective of hyperparameter optimisation, on Digits.

    python experiments/proxy_objective_digits.py --markdown experiments/RESULTS.md

Hirianskyi and Bulakh (2026), "Effectiveness of evolutionary algorithms in neural network
optimization tasks", abstract: SynFlow as the objective is over 250 times faster than training, and
ends less accurate. The same random configurations are trained, and scored by `evotune.ProxyTask`
without training; then compared: the best by validation F1, the best by SynFlow, SynFlow's
architecture with a sound learning rate in place of its own, and the best by validation F1 of
SynFlow's top three. The test part plays no part in any choice.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from data import digits
from scipy.stats import spearmanr
from searches import Script
from tables import cells, spread, table
from torch import nn

import evotune as et
from evotune.analysis.statistics import mean_interval, paired

SPACE = et.Space(
    depth=et.Int(1, 3),
    width1=et.Int(8, 128, log=True),
    width2=et.Int(8, 128, log=True, when={"depth": et.Range(2, 3)}),
    width3=et.Int(8, 128, log=True, when={"depth": 3}),
    lr=et.Float(1e-4, 1e-1, log=True),
    gain=et.Float(0.3, 3.0, log=True),
)
#: The middle of its range, chosen without any training.
SOUND_LR = SPACE["lr"].from_unit(0.5)
TOP = 3


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is run."""

    seeds: int
    configurations: int
    epochs: int
    examples: int | None = None


SCALES = {"small": Scale(10, 15, 30), "full": Scale(20, 50, 60)}


def network(params: Mapping[str, Any]) -> nn.Module:
    """Return the multilayer perceptron; ``gain`` scales its first weights."""
    sizes = [64, *(params[f"width{k}"] for k in range(1, params["depth"] + 1))]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(sizes[-1], 10))
    with torch.no_grad():
        for layer in model[::2]:
            layer.weight *= params["gain"]
    return model


@dataclass(frozen=True, slots=True)
class Row:
    """What one seed gives.

    Attributes:
        picks: Test F1 by way of choosing.
        trainings: CPU seconds by way of choosing: all that it trains and scores.
        correlation: Spearman's, of SynFlow and validation F1.
    """

    seed: int
    picks: Mapping[str, float]
    trainings: Mapping[str, float]
    correlation: float


def run(scale: Scale, seed: int) -> Row:
    """Train and score the same configurations."""
    train, validation, test = digits(seed, scale.examples)
    training = et.SupervisedTask(
        network,
        loss="cross_entropy",
        optimizer="adam",
        train=train,
        validation=validation,
        test=test,
        epochs=scale.epochs,
        metrics="f1",
        keep=None,
    )
    scoring = et.ProxyTask(model=network, train=train, proxies="synflow")
    trained, train_seconds = searched(training, "max f1", seed, scale.configurations)
    scored, score_seconds = searched(scoring, "max synflow", seed, scale.configurations)
    if [t.params for t in trained] != [t.params for t in scored]:
        raise RuntimeError("the two searches have drawn different configurations")
    f1 = [trial.metrics["f1"] for trial in trained]
    synflow = [trial.metrics["synflow"] for trial in scored]
    order = np.argsort(synflow)[::-1]
    sound, sound_seconds = searched(
        training, "max f1", seed, 1, fixed=dict(trained[order[0]].params) | {"lr": SOUND_LR}
    )
    each = train_seconds / scale.configurations
    three = best([trained[k] for k in order[:TOP]], "f1")
    of = {"training": best(trained, "f1"), "SynFlow": trained[order[0]]}
    of |= {"SynFlow, sound lr": sound[0], f"SynFlow's top {TOP}, trained": three}
    # The winner by SynFlow has to be trained too, once, as it is wanted.
    seconds = (train_seconds, score_seconds, score_seconds + sound_seconds)
    return Row(
        seed,
        {name: float(trial.metrics["test_f1"]) for name, trial in of.items()},
        dict(zip(of, (*seconds, score_seconds + TOP * each), strict=True)),
        float(spearmanr(synflow, f1).statistic),
    )


def best(trials: Sequence[et.Trial], metric: str) -> et.Trial:
    """Return the trial with the highest metric."""
    return max(trials, key=lambda trial: trial.metrics[metric])


def searched(
    evaluate: Any, objective: str, seed: int, trials: int, fixed: Mapping[str, Any] | None = None
) -> tuple[Sequence[et.Trial], float]:
    """Return the trials of random search, or of given params, and the CPU seconds of all."""
    study = et.Study(et.RandomSearch(SPACE), objective, seed=seed)
    if fixed is not None:
        study.enqueue(dict(fixed))
    begin = time.process_time()
    study.run(evaluate, trials, workers=1)
    return study.trials, time.process_time() - begin


def section(rows: Sequence[Row], scale: Scale, head: str) -> str:
    """Return what was found, as Markdown."""
    names = list(rows[0].picks)
    picks = {name: [row.picks[name] for row in rows] for name in names}
    seconds = {name: [row.trainings[name] for row in rows] for name in names}
    speed = np.array(seconds["training"]) / np.array(seconds["SynFlow"])
    lines = [
        [
            name,
            spread(picks[name], 3),
            f"{min(picks[name]):.3f} to {max(picks[name]):.3f}",
            f"{np.median(seconds[name]):.3g}",
        ]
        for name in names
    ]
    gaps = [
        [name, *cells(paired(picks[name], picks["training"]), 3)]
        for name in names[1:]
        if len(rows) > 1
    ]
    correlations = np.array([row.correlation for row in rows])
    interval = mean_interval(correlations) if len(rows) > 1 else (np.nan, np.nan)
    about = (
        f"Digits, {scale.configurations} random configurations of depth, widths, learning rate and "
        f"gain of the first weights; training is {scale.epochs} epochs with Adam. Seconds are CPU "
        "seconds of the whole search, one thread; for SynFlow without training what it picks."
    )
    return "\n\n".join(
        [
            head,
            about,
            table(["chosen by", "test F1", "range", "CPU s, median"], lines),
            table(["test F1 against training", "mean (95 % interval)", "p", "better in"], gaps),
            f"SynFlow takes 1/{np.median(speed):,.0f} of the time (1/{speed.min():,.0f} to "
            f"1/{speed.max():,.0f}). Rank correlation of SynFlow and validation F1: "
            f"{correlations.mean():.2f}, 95 % CI {interval[0]:.2f} to {interval[1]:.2f}; by seed "
            f"{correlations.min():.2f} to {correlations.max():.2f}.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment as the command line says, and print its tables."""
    script = Script("proxy_objective_digits.py", SCALES)
    options, scale = script.begin(arguments)
    seeds = options.seeds or scale.seeds
    searched(  # what is loaded once only is no part of any search
        et.ProxyTask(model=network, train=digits(0)[0], proxies="synflow"), "max synflow", 0, 1
    )
    rows = []
    for seed in range(1, seeds + 1):
        rows.append(run(scale, seed))
        print(rows[-1], flush=True)
    text = section(rows, scale, script.head(arguments, seeds))
    script.end(options, "SynFlow as the objective, Digits", text)


if __name__ == "__main__":
    main()
