"""What the surrogate should see of a chain: rank correlation on networks held out.

    OMP_NUM_THREADS=1 python benchmarks/structures/features.py   # 13 s on one core

The Gaussian processes of `Hybrid` learn the accuracies of 30, 60 and 120 of the networks that
`train_random.py` has trained, from the slots alone, from the summary alone, and from both; they
predict those of the others. Means and standard errors over random splits; the last line is of the
differences on the same splits.
"""

import argparse

import numpy as np
from networks import make_space
from scipy.stats import spearmanr
from train_random import read

from evotune.surrogates import transforms
from evotune.surrogates.features import Features, Layout
from evotune.surrogates.gaussian_process import GaussianProcess, fit
from evotune.surrogates.rows import Array, Rows
from evotune.surrogates.summary import Summary

SIZES = (30, 60, 120)


def known(rows: Rows) -> tuple[Array, Array]:
    """Return the rows and the errors of the trained networks."""
    networks = read()
    errors = np.array([1 - accuracy for _, accuracy in networks])
    return np.array([rows.row(rows.space.complete(params)) for params, _ in networks]), errors


def views(rows: Rows, seen: Array) -> dict[str, tuple[Array, Layout]]:
    """Return what is compared: features, and which feature belongs to which gene."""
    layout, summary = Features(rows).layout, Summary(rows).size
    numbers, last = layout.warped, layout.warped + summary
    slots = np.delete(seen, range(numbers, last), axis=1)
    gene = np.concatenate([layout.gene[:numbers], layout.gene[last:] - summary])
    own = [k for k, name in enumerate(n for n in rows.names if rows.space[n].ordered)
           if name in rows.space.entries or name.endswith(".depth")]  # fmt: skip
    few = np.concatenate([seen[:, own], seen[:, numbers:last]], axis=1)
    return {
        "slots": (slots, Layout(numbers, layout.genes - summary, gene)),
        "summary": (few, Layout(len(own), few.shape[1], np.arange(few.shape[1]))),
        "both": (seen, layout),
    }


def correlation(seen: Array, layout: Layout, errors: Array, size: int, seed: int) -> float:
    """Return the rank correlation on the networks that are held out."""
    order = np.random.default_rng(seed).permutation(len(errors))
    learned, held = order[:size], order[size:]
    predicted = np.zeros(len(held))
    for transform in (transforms.power, transforms.ranks):
        targets = transform(errors[learned])
        found, _ = fit(seen[learned], targets, layout)
        process = GaussianProcess.after(seen[learned], targets, layout, found)
        predicted += process.predict(seen[held])[0]
    return float(spearmanr(predicted, errors[held])[0])


def cells(table: Array) -> list[str]:
    """Return mean and standard error of each row as a text."""
    errors = np.std(table, axis=1, ddof=1) / table.shape[1] ** 0.5
    pairs = zip(table.mean(axis=1), errors, strict=True)
    return [f"{value:.3f} ± {error:.3f}" for value, error in pairs]


def main() -> None:
    """Measure, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--splits", type=int, default=10)
    given = parser.parse_args()
    rows = Rows(make_space())
    matrix, errors = known(rows)
    print(f"{len(errors)} networks, {given.splits} splits, learned from {SIZES}")
    seen = Features(rows)(matrix, rows.active(matrix))
    found = {}
    for name, (features, layout) in views(rows, seen).items():
        found[name] = np.array(
            [
                [correlation(features, layout, errors, size, s) for s in range(given.splits)]
                for size in SIZES
            ]
        )
        print(f"{name:12}", *cells(found[name]), sep="   ", flush=True)
    print(f"{'both-summary':12}", *cells(found["both"] - found["summary"]), sep="   ")


if __name__ == "__main__":
    main()
