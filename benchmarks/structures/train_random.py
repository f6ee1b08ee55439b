"""Train random networks of the space; one a line goes to data/random_networks.csv.

    python benchmarks/structures/train_random.py --networks 400    # about 15 minutes on one core

`surrogate.py` learns from the file, which is kept with the code, so that the search benchmarks run
without any training. A run that was cut off goes on.
"""

import argparse
import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import accuracy, examples, fitted, make_space, train

FILE = Path(__file__).parent / "data" / "random_networks.csv"
#: Trainings are as short as the search's: 3 epochs are 90 steps.
EPOCHS = 3
CONV = ("filters", "kernel", "activation", "norm")
SETTINGS = {"conv": CONV, "skip": CONV, "pool": (), "dense": ("units", "activation", "dropout")}


def as_line(found: float, params: Mapping[str, Any]) -> str:
    """Return a network as text: accuracy, learning rate, layers on images, dense layers."""
    chains = [" ".join(_as_text(layer) for layer in params[name]) for name in ("features", "head")]
    return ",".join([f"{found:.4f}", f"{params['lr']:.4g}", *chains])


def _as_text(layer: Mapping[str, Any]) -> str:
    values = (f"{v:.3g}" if isinstance(v, float) else str(v) for v in layer.values())
    return ":".join(values)


def read() -> list[tuple[dict[str, Any], float]]:
    """Return the params and the accuracy of all networks that were trained."""
    networks = []
    for line in FILE.read_text().splitlines():
        found, lr, *chains = line.split(",")
        features, head = ([_layer(text) for text in chain.split()] for chain in chains)
        networks.append(({"lr": float(lr), "features": features, "head": head}, float(found)))
    return networks


def _layer(text: str) -> dict[str, Any]:
    block, *values = text.split(":")
    layer: dict[str, Any] = {"block": block}
    for name, value in zip(SETTINGS[block], values, strict=True):
        layer[name] = value if name in ("activation", "norm") else ast.literal_eval(value)
    return layer


def main() -> None:
    """Train, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", type=int, default=400)
    networks = parser.parse_args().networks
    torch.set_num_threads(1)
    FILE.parent.mkdir(exist_ok=True)
    space = make_space()
    x, y = examples()[2:4]
    start = len(FILE.read_text().splitlines()) if FILE.exists() else 0
    for k in range(start, networks):
        params = fitted(space.params(space.sample(np.random.default_rng([7, k]))))
        found = accuracy(train(params, k, EPOCHS), x, y)
        with FILE.open("a") as file:
            file.write(as_line(found, params) + "\n")


if __name__ == "__main__":
    main()
