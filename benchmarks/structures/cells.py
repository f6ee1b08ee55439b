"""Cells of NAS-Bench-201 as small networks, and their zero-cost scores, kept in a file.

The networks are smaller than those of the benchmark (8 channels, one cell a stage, CIFAR-10 at
16 x 16): scores need no more.
"""

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import evotune as et

sys.path.insert(0, str(Path(__file__).parents[1] / "search"))
from nasbench201 import EDGES
from stored import stored

CACHE = Path(gettempdir()) / "evotune-nas201-scores.jsonl"
NAMES = ("naswot", "zico", "synflow", "jacob_cov", "params", "snip", "grad_norm")
CHANNELS, EXAMPLES = 8, 256


class Cell(nn.Module):
    """Four nodes; each is the sum of what its incoming edges make of earlier ones."""

    def __init__(self, params: Mapping[str, str], channels: int) -> None:
        super().__init__()
        self.operations = nn.ModuleDict()
        for edge in EDGES:
            made = operation(params[edge], channels)
            if made is not None:
                self.operations[edge] = made

    def forward(self, x: Tensor) -> Tensor:
        nodes = [x]
        for target in range(1, 4):
            incoming = [
                self.operations[f"{source}-{target}"](node)
                for source, node in enumerate(nodes)
                if f"{source}-{target}" in self.operations
            ]
            nodes.append(sum(incoming[1:], incoming[0]) if incoming else torch.zeros_like(x))
        return nodes[-1]


def operation(name: str, channels: int) -> nn.Module | None:
    """Return the operation of an edge, None for none."""
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    if name == "none":
        return None
    return relu_conv_bn(channels, channels, 3 if name == "nor_conv_3x3" else 1)


def relu_conv_bn(inside: int, outside: int, kernel: int, stride: int = 1) -> nn.Module:
    """Return activation, convolution and normalisation, in this order."""
    conv = nn.Conv2d(inside, outside, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(outside))


class Halving(nn.Module):
    """A residual block that halves the image and doubles the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first = relu_conv_bn(channels, 2 * channels, 3, stride=2)
        self.body = nn.Sequential(first, relu_conv_bn(2 * channels, 2 * channels, 3))
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(channels, 2 * channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)


def network(params: Mapping[str, str]) -> nn.Module:
    """Return the network of a cell."""
    c = CHANNELS
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)),
        Cell(params, c),
        Halving(c),
        Cell(params, 2 * c),
        Halving(2 * c),
        Cell(params, 4 * c),
        nn.Sequential(nn.BatchNorm2d(4 * c), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(4 * c, 10),
    )


def images(count: int = EXAMPLES) -> tuple[Tensor, Tensor]:
    """Return images of CIFAR-10 at 16 x 16, ``(count, 3, 16, 16)``, and their classes."""
    from PIL import Image

    found = np.load(stored("cifar10/cifar10_train.npz"))
    raw, at = found["jpeg"].tobytes(), found["offsets"]
    pixels = [np.asarray(Image.open(io.BytesIO(raw[at[i] : at[i + 1]]))) for i in range(count)]
    x = torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2).float()
    x = nn.functional.avg_pool2d(x / 255, 2)
    x = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)
    return x, torch.tensor(found["labels"][:count].astype(np.int64))


class Scored:
    """A function of params that returns the scores of a cell, which a file keeps.

    Args:
        names: Which scores.
        sign: -1 turns them upside down.
    """

    def __init__(self, names: tuple[str, ...] = et.proxies.FIVE, sign: float = 1.0) -> None:
        self.names, self.sign = names, sign

    def __call__(self, params: Mapping[str, Any]) -> dict[str, float]:
        found = scores_of(params)
        return {name: self.sign * found[name] for name in self.names}


_known: dict[str, dict[str, float]] = {}
_proxies: list[et.proxies.Proxies] = []


def scores_of(params: Mapping[str, Any]) -> dict[str, float]:
    """Return all scores of a cell."""
    if not _known and CACHE.exists():
        for line in CACHE.read_text().splitlines():
            key, scores = json.loads(line)
            _known[key] = scores
    key = "|".join(params[edge] for edge in EDGES)
    if key not in _known:
        if not _proxies:
            _proxies.append(et.proxies.Proxies(network, *images(), names=NAMES))
        _known[key] = _proxies[0](params)
        with CACHE.open("a") as file:
            file.write(json.dumps([key, _known[key]]) + "\n")
    return _known[key]
