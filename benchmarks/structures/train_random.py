"""Train random networks of the space; one JSON record a line goes to data/random_networks.jsonl.

    python benchmarks/structures/train_random.py --networks 400    # about 15 minutes on one core

`surrogate.py` learns from the file, which is kept with the code, so that the search benchmarks run
without any training. A run that was cut off goes on.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import accuracy, examples, fitted, make_space, train

FILE = Path(__file__).parent / "data" / "random_networks.jsonl"
#: Trainings are as short as the search's: 3 epochs are 90 steps.
EPOCHS = 3


def rounded(params: dict[str, Any]) -> dict[str, Any]:
    """Return params with floats of four digits, as the file holds them."""
    head = [layer | {"dropout": round(layer["dropout"], 3)} for layer in params["head"]]
    return params | {"lr": float(f"{params['lr']:.4g}"), "head": head}


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
        params = rounded(fitted(space.params(space.sample(np.random.default_rng([7, k])))))
        found = accuracy(train(params, k, EPOCHS), x, y)
        with FILE.open("a") as file:
            file.write(json.dumps({"accuracy": round(found, 4), **params}) + "\n")


if __name__ == "__main__":
    main()
