"""What Vose et al. (2019) leave open: σ², and how often genes mutate in a small population.

    python experiments/three_parents_pressure.py --seeds 10      # about eight minutes on one core

Digits, 16 members, 20 epochs, as in three_parents_fashion_mnist.py. One setting is changed at a
time from the defaults of `PopulationBasedTraining`: σ² = 4, a mutation rate of 0.5 a gene. The best
is taken after the last epoch by validation error; its test error is compared with the defaults',
paired over seeds.
"""

import argparse
import statistics
from collections.abc import Mapping
from typing import Any

import torch
from three_parents_fashion_mnist import DIGITS, space, task

import evotune as et
from evotune.analysis.statistics import paired

DEFAULT = "defaults: σ² = 4, rate 0.5"
ARMS: Mapping[str, Mapping[str, Any]] = {
    DEFAULT: {},
    "σ² = 1": {"selection": et.selection.RelativeExponential(1.0)},
    "σ² = 2": {"selection": et.selection.RelativeExponential(2.0)},
    "σ² = 8": {"selection": et.selection.RelativeExponential(8.0)},
    "σ² = 16": {"selection": et.selection.RelativeExponential(16.0)},
    "rate 0.05, as in the paper": {"mutation": et.mutation.Creep(0.05)},
    "rate 0.2": {"mutation": et.mutation.Creep(0.2)},
    "rate 1": {"mutation": et.mutation.Creep(1.0)},
    "the best goes on unchanged": {"elitism": 1},
    "who loses against a random one gives way": {"exploit": "binary"},
}


def test_error(options: Mapping[str, Any], seed: int, members: int, epochs: int) -> float:
    """Return the test error, in points, of the best of one search after its last epoch."""
    algorithm = et.PopulationBasedTraining(space(), population_size=members, **options)
    study = et.Study(algorithm, "min error", seed=seed)
    study.run(task("digits", DIGITS["small"], seed), epochs=epochs)
    last = [t for t in study.trials if t.checkpoint and t.checkpoint.epochs == epochs and t.is_done]
    best = min(last, key=lambda trial: (trial.values, trial.number))
    return 100 * best.metrics["test_error"]


def main() -> None:
    """Run all arms on all seeds and print a table in Markdown."""
    parser = argparse.ArgumentParser(description="Selection pressure and mutation rate")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--population", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(1)
    errors: dict[str, list[float]] = {name: [] for name in ARMS}
    for seed in range(1, given.seeds + 1):
        for name, options in ARMS.items():
            errors[name].append(test_error(options, seed, given.population, given.epochs))
    print("| | test error, points | against the defaults (95 % interval) | p |")
    print("|---|---|---|---|")
    for name, values in errors.items():
        spread = f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"
        if name == DEFAULT:
            print(f"| {name} | {spread} | | |")
            continue
        gap = paired(values, errors[DEFAULT])
        gain = f"{gap.mean:+.2f} ({gap.low:+.2f} to {gap.high:+.2f})"
        print(f"| {name} | {spread} | {gain} | {gap.p:.3f} |")


if __name__ == "__main__":
    main()
