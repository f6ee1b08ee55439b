"""Children of a trained network: weights inherited, only their common corner, or none.

    python benchmarks/structures/inherit.py                 # all changes, 3 seeds, about 10 minutes
    python benchmarks/structures/inherit.py --seeds 5 --only lstm

Fashion-MNIST, 1,500 training images averaged to 14 × 14, accuracy on 4,000 test images. A
parent is trained for some epochs, changed, and its child trained on, with Adam started anew. Beside
it stand the child with the common corner of equal-named tensors, and the child from scratch,
trained for the child's epochs alone and for both trainings together. All of a seed's networks see
the same images in the same order. The data are read from `DATA`, or from --data.
"""

import argparse
import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy

from evotune.architectures.build import build_chain
from evotune.architectures.inherit import inherit
from evotune.architectures.inherit.rules import copy_corner
from evotune.architectures.network import Network
from evotune.architectures.templates.image import image_classifier

DATA = Path(os.environ.get("DATA", "/work/shared/data"))
EXAMPLES, TEST, BATCH, LR = 1500, 4000, 32, 1e-3
console = Console(width=140)

Params = dict[str, Any]


class LastStep(nn.Module):
    """The last step of sequences, ``(batch, channels)``."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the last step."""
        return inputs[:, -1]


def images(params: Params) -> nn.Module:
    """Return a classifier of images of 14 × 14."""
    return image_classifier((1, 14, 14), 10)(params)


def rows(params: Params) -> nn.Module:
    """Return a classifier that reads an image row by row."""
    time_chain = build_chain(params["time"], (14, 14), "time")
    parts = {
        "rows": nn.Flatten(1, 2),
        "time": time_chain.module,
        "last": LastStep(),
        "output": nn.Linear(time_chain.shape[1], 10),
    }
    return Network(parts, {"params": params})


def conv(filters: int, kernel: int = 3, activation: str = "relu") -> Params:
    """Return the record of a convolution."""
    return {"block": "conv", "filters": filters, "kernel": kernel, "activation": activation}


def cnn(*features: Params, dense: tuple[int, ...] = (64,)) -> Params:
    """Return the params of a classifier of images."""
    return {"features": list(features), "head": [{"block": "dense", "units": n} for n in dense]}


def recurrent(block: str, *units: int) -> Params:
    """Return the params of recurrent layers."""
    return {"time": [{"block": block, "units": n} for n in units]}


@dataclass(frozen=True)
class Change:
    """A parent and a child; epochs of the parent's and of the child's training."""

    name: str
    build: Callable[[Params], nn.Module]
    parent: Params
    child: Params
    epochs: tuple[int, int] = (3, 2)


def changes() -> Iterator[Change]:
    """Return all changes that are measured."""
    pool = {"block": "pool"}
    base = cnn(conv(16), pool, conv(32), pool)
    wider = {
        "conv ×1.5": cnn(conv(24), pool, conv(48), pool),
        "dense ×2": cnn(conv(16), pool, conv(32), pool, dense=(128,)),
        "kernel 3→5": cnn(conv(16, 5), pool, conv(32, 5), pool),
        "+ conv": cnn(conv(16), pool, conv(32), conv(32), pool),
        "+ residual": cnn(conv(16), pool, conv(32), {"block": "residual", "filters": 32}, pool),
        "+ dense": cnn(conv(16), pool, conv(32), pool, dense=(64, 64)),
        "CNN ×.75": cnn(conv(12), pool, conv(24), pool, dense=(48,)),
    }
    for name, child in wider.items():
        yield Change(name, images, base, child)
    for kind in ("lstm", "gru"):
        parent, name = recurrent(kind, 64), kind.upper()
        yield Change(f"{name} ×1.5", rows, parent, recurrent(kind, 96), (6, 3))
        yield Change(f"+ {name}", rows, parent, recurrent(kind, 64, 64), (6, 3))
        yield Change(f"{name} ×.75", rows, parent, recurrent(kind, 48), (6, 3))
    small = cnn(conv(16), pool, conv(32), pool, dense=())
    yield Change("first dense", images, small, base)
    for a in ("tanh", "gelu"):
        yield from curved(a)
    yield from streams()


def curved(a: str) -> Iterator[Change]:
    """Return changes of a network with an activation that is not ReLU."""
    pool = {"block": "pool"}

    def net(*filters: int, kernel: int = 3, dense: tuple[int, ...] = (64,)) -> Params:
        first, *others = (conv(n, kernel, a) for n in filters)
        found = cnn(first, pool, *others, pool, dense=dense)
        return found | {"head": [layer | {"activation": a} for layer in found["head"]]}

    children = {
        "conv ×1.5": net(24, 48),
        "dense ×2": net(16, 32, dense=(128,)),
        "kernel 3→5": net(16, 32, kernel=5),
        "+ conv": net(16, 32, 32),
        "+ dense": net(16, 32, dense=(64, 64)),
    }
    for name, child in children.items():
        yield Change(f"{name}, {a}", images, net(16, 32), child)


def streams() -> Iterator[Change]:
    """Return changes of attention on a stream of convolved rows."""

    def attention(heads: int = 2, size: int = 16, feed_forward: int = 64) -> Params:
        sizes = {"heads": heads, "head_size": size, "feed_forward": feed_forward}
        return {"block": "attention", **sizes}

    def net(*layers: Params, width: int = 32, kernel: int = 3) -> Params:
        return {"time": [{"block": "conv1d", "filters": width, "kernel": kernel}, *layers]}

    children = {
        "heads 2→3": net(attention(heads=3)),
        "head size 16→24": net(attention(size=24)),
        "feed-forward ×1.5": net(attention(feed_forward=96)),
        "heads 2→3, 64→96": net(attention(heads=3, feed_forward=96)),
        "+ attention": net(attention(), attention()),
        "conv1d kernel 3→5, attention": net(attention(), kernel=5),
        "stream ×1.5, attention": net(attention(), width=48),
        "stream ×2, attention": net(attention(), width=64),
    }
    for name, child in children.items():
        yield Change(name, rows, net(attention()), child, (6, 3))


def read(folder: Path, part: str, count: int) -> tuple[Tensor, Tensor]:
    """Return images, normalised, ``(count, 1, 14, 14)``, and labels, ``(count,)``."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        raw = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)[:count]
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)[:count]
    x = avg_pool2d(torch.from_numpy(raw.astype(np.float32)), 2) / 255
    return (x - 0.286) / 0.32, torch.from_numpy(labels.astype(np.int64))


def train(
    network: nn.Module,
    data: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    stops: tuple[int, ...],
    seed: int,
) -> list[float]:
    """Train a network in place; return its accuracy after each of these numbers of epochs."""
    x, y = data
    found = []
    order = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=LR)
    for epoch in range(1, max(stops) + 1):
        network.train()
        for batch in torch.randperm(len(x), generator=order).split(BATCH):
            optimizer.zero_grad()
            cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
        if epoch in stops:
            found.append(accuracy(network, test))
    return found


@torch.no_grad()
def accuracy(network: nn.Module, data: tuple[Tensor, Tensor]) -> float:
    """Return the accuracy in per cent."""
    network.eval()
    hits = sum(
        int((network(x).argmax(1) == y).sum())
        for x, y in zip(data[0].split(1000), data[1].split(1000), strict=True)
    )
    return 100 * hits / len(data[0])


parents: dict[tuple[str, int, int], tuple[nn.Module, float]] = {}  # many changes share one
COLUMNS = (
    "parent",
    "lost at once",
    "inherited, at once",
    "+ epochs",
    "common corner, at once",
    "+ epochs",
    "scratch, child's epochs",
    "scratch, all epochs",
)


def measure(
    change: Change, seed: int, data: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]
) -> list[float]:
    """Return the accuracies of one seed, one a column."""
    first, second = change.epochs

    def fresh(params: Params) -> nn.Module:
        torch.manual_seed(1000 + seed)
        return change.build(params)

    key = (json.dumps(change.parent), first, seed)
    if key not in parents:
        network = fresh(change.parent)
        parents[key] = network, train(network, data, test, (first,), seed)
    parent, before = parents[key]
    found = [*before]
    child = fresh(change.child)
    inherit(child, parent, data[0][:500], rng=np.random.default_rng(seed))
    found += [accuracy(child, test), *train(child, data, test, (second,), seed + 1)]
    corner = fresh(change.child)
    with torch.no_grad():
        copy_corner(corner, parent)
    found += [accuracy(corner, test), *train(corner, data, test, (second,), seed + 1)]
    return found + train(fresh(change.child), data, test, (second, first + second), seed)


def cell(values: list[float], digits: int = 1) -> str:
    """Return mean and standard deviation as a text."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="changes whose name has this text")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.data / "fashion_mnist"
    data, test = read(folder, "train", EXAMPLES), read(folder, "t10k", TEST)
    table = Table("change", *COLUMNS, title=f"{options.seeds} seeds: mean ± standard deviation")
    start, gains, losses = time.process_time(), [], []
    for change in changes():
        if options.only.lower() not in change.name.lower():
            continue
        runs = [measure(change, seed, data, test) for seed in range(options.seeds)]
        lost = [run[0] - run[1] for run in runs]
        row = [cell(list(column)) for column in zip(*runs, strict=True)]
        row.insert(1, cell(lost, 2))
        table.add_row(change.name, *row)
        gains += [(run[2] - run[5], run[4] - run[5], run[2] - run[6]) for run in runs]
        if "×.75" not in change.name:
            losses.append((mean(lost), change.name))
        seconds = f"{time.process_time() - start:.0f} s"
        console.print(" | ".join([change.name, *row, seconds]), style="dim")
    console.print(table)
    beside = [mean(column) for column in zip(*gains, strict=True)]
    wins = sum(gain[0] > 0 for gain in gains)
    console.print(
        f"After training: inherited {beside[0]:+.1f} beside scratch at the child's epochs "
        f"({wins} of {len(gains)}), the common corner {beside[1]:+.1f}; inherited {beside[2]:+.1f} "
        "beside scratch with all epochs."
    )
    if losses:
        console.print(
            "Most lost at once by wider and deeper: {:.2f} points, {}".format(*max(losses))
        )


if __name__ == "__main__":
    main()
