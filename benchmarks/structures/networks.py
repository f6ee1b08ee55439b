"""The problem of these benchmarks: chains of layers that classify FashionMNIST at 14 x 14.

A space of 44 genes: 1 to 7 layers on images, 0 to 2 dense layers behind them, and a learning rate;
networks of more than a million multiply-adds are made smaller. One evaluation trains a network on
1,500 examples.
"""

import gzip
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import evotune as et

DATA = Path("/work/shared/data/fashion_mnist")
SHAPE, CLASSES = (1, 14, 14), 10
MULTIPLY_ADDS = 1_000_000
TRAIN, VALIDATION = 1_500, 3_000


class Skip(nn.Module):
    """Two convolutions beside a shortcut, activation before convolution."""

    def __init__(self, inside: int, filters: int, kernel: int, activation: str, norm: str) -> None:
        super().__init__()
        act = {"relu": nn.ReLU, "gelu": nn.GELU}[activation]
        normed = norm == "batch"

        def conv(before: int) -> list[nn.Module]:
            steps: list[nn.Module] = [nn.BatchNorm2d(before)] if normed else []
            return [*steps, act(), nn.Conv2d(before, filters, kernel, padding=kernel // 2)]

        self.body = nn.Sequential(*conv(inside), *conv(filters))
        self.shortcut = nn.Identity() if inside == filters else nn.Conv2d(inside, filters, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.body(x)


@et.block
def skip(shape, filters, kernel, activation, norm):
    """Return a residual layer."""
    return Skip(shape[0], filters, kernel, activation, norm)


def make_space() -> et.Space:
    """Return the space."""
    conv = {
        "filters": et.Int(8, 128, log=True),
        "kernel": et.Ordinal(1, 3, 5),
        "activation": et.Choice("relu", "gelu"),
        "norm": et.Choice("batch", "none"),
    }
    dense = {
        "units": et.Int(16, 256, log=True),
        "activation": et.Choice("relu", "gelu"),
        "dropout": et.Float(0, 0.6),
    }
    return et.Space(
        lr=et.Float(1e-4, 3e-2, log=True),
        features=et.Chain(1, 7, conv=conv, skip=conv, pool={}),
        head=et.Chain(0, 2, dense=dense),
    )


def multiply_adds(params: Mapping[str, Any]) -> int:
    """Return the multiplications with addition of one image, from the layers alone."""
    (channels, side, _), total = SHAPE, 0
    for layer in params["features"]:
        if layer["block"] == "pool":
            side = side // 2 or 1
            continue
        filters, taps = layer["filters"], layer["kernel"] ** 2
        total += side**2 * channels * filters * taps
        if layer["block"] == "skip":
            total += side**2 * filters * (filters * taps + (channels if channels != filters else 0))
        channels = filters
    width = channels * side**2
    for units in [*(layer["units"] for layer in params["head"]), CLASSES]:
        total += width * units
        width = units
    return total


def fitted(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return params within the limit: all widths scaled down together, then widest layers out."""
    params = {n: [dict(r) for r in v] if isinstance(v, list) else v for n, v in params.items()}
    least = {"filters": 8, "units": 16}
    while (size := multiply_adds(params)) > MULTIPLY_ADDS:
        wide = [
            (layer, key)
            for layer in (*params["features"], *params["head"])
            for key in least
            if layer.get(key, 0) > least[key]
        ]
        for layer, key in wide:
            scaled = int(layer[key] * (MULTIPLY_ADDS / size) ** 0.5)
            layer[key] = max(least[key], min(layer[key] - 1, scaled))
        if not wide:
            layers = params["features"]
            costs = [
                multiply_adds(params | {"features": layers[:k] + layers[k + 1 :]})
                for k in range(len(layers))
            ]
            del layers[int(np.argmin(costs))]
    return params


@cache
def examples() -> tuple[torch.Tensor, ...]:
    """Return images and labels: to train (1,500), to choose (3,000), to test (10,000)."""

    def read(part: str) -> tuple[torch.Tensor, torch.Tensor]:
        with gzip.open(DATA / f"{part}-images-idx3-ubyte.gz") as file:
            x = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
        with gzip.open(DATA / f"{part}-labels-idx1-ubyte.gz") as file:
            y = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
        n = TRAIN + VALIDATION if part == "train" else len(x)
        images = nn.functional.avg_pool2d(torch.tensor(x[:n] / np.float32(255)), 2)
        return (images - 0.286) / 0.33, torch.tensor(y[:n])

    (x, y), test = read("train"), read("t10k")
    return x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:], *test


def train(params: Mapping[str, Any], seed: int, epochs: int) -> nn.Module:
    """Build a network of params, train it and return it."""
    torch.manual_seed(seed)
    network = et.image_classifier(SHAPE, CLASSES)(params)
    train_on(network, params["lr"], seed, epochs)
    return network


def train_on(network: nn.Module, lr: float, seed: int, epochs: int, batch: int = 50) -> None:
    """Train a network, from the weights that it has, by Adam."""
    x, y = examples()[:2]
    optimizer = torch.optim.Adam(network.parameters(), lr)
    order = np.random.default_rng(seed)
    network.train()
    for _ in range(epochs):
        for chosen in order.permutation(len(x)).reshape(-1, batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[chosen]), y[chosen]).backward()
            optimizer.step()


def accuracy(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the share of examples classified right."""
    network.eval()
    with torch.no_grad():
        found = torch.cat([network(part).argmax(1) for part in x.split(500)])
    return float((found == y).float().mean())
