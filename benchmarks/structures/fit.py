"""How many random structures are too large, and what making them fit takes.

Run it as ``python benchmarks/structures/fit.py``; it prints the table in ``RESULTS.md``, in CPU
time, within two minutes.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import evotune as et

CONV = {
    "filters": et.Int(8, 128, log=True),
    "kernel": et.Ordinal(1, 3, 5),
    "activation": et.Choice("relu", "gelu"),
}
SPACE = et.Space(
    lr=et.Float(1e-4, 3e-2, log=True),
    features=et.Chain(1, 7, conv=CONV, residual=CONV, pool={}),
    head=et.Chain(0, 2, dense={"units": et.Int(16, 256, log=True), "dropout": et.Float(0, 0.6)}),
)
SIZES = {"28 × 28": (1, 28, 28), "64 × 64": (3, 64, 64)}
LIMITS = (1_000_000, 100_000)
COUNT = 100


def milliseconds(action: Callable[[Any], Any], given: list[Any]) -> tuple[list[Any], float, float]:
    """Return what an action makes of each, and the median and largest milliseconds it took."""
    made, took = [], []
    for each in given:
        began = time.process_time()
        made.append(action(each))
        took.append(1e3 * (time.process_time() - began))
    return made, float(np.median(took)), max(took)


def parameters(params: dict[str, Any], shape: tuple[int, ...]) -> int:
    """Return how many parameters the network of params has."""
    network = et.image_classifier(shape, 10)(params)
    return sum(p.numel() for p in network.parameters())


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    genomes = [SPACE.sample(rng) for _ in range(COUNT)]
    print("| images | limit | above | after fit | changed | ms a fit (largest) | ms a build |")
    print("|---|---|---|---|---|---|---|")
    for name, shape in SIZES.items():
        free = et.image_classifier(shape, 10)
        free(SPACE.params(genomes[0]))  # what is imported and prepared once
        before = [SPACE.params(genome) for genome in genomes]
        networks, build, _ = milliseconds(free, before)
        sizes = [sum(p.numel() for p in network.parameters()) for network in networks]
        del networks
        for limit in LIMITS:
            model = et.image_classifier(shape, 10, parameters=limit)
            fitted, took, most = milliseconds(lambda g, model=model: model.fit(SPACE, g), genomes)
            after = [parameters(SPACE.params(genome), shape) for genome in fitted]
            changed = sum(a != b for a, b in zip(genomes, fitted, strict=True))
            shares = [sum(n > limit for n in each) / COUNT for each in (sizes, after)]
            print(
                f"| {name} | {limit:,} | {shares[0]:.0%} | {shares[1]:.0%} | {changed / COUNT:.0%}"
                f" | {took:.0f} ({most:.0f}) | {build:.0f} |"
            )


if __name__ == "__main__":
    main()
