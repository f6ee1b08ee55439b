"""Real trainings of networks in PyTorch: images, a forecast, and LoRA on a small transformer.

A value is the share of wrong labels, or for the forecast the root mean squared error relative to
the deviation of the series, or for the transformer the cross-entropy in nats a byte.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from real_data import TRAIN, series, tabular, text
from torch import Tensor, nn
from torch.nn import functional as F

import evotune as et

Params = Mapping[str, Any]
#: Inputs and what is to be predicted.
Part = tuple[Tensor, Tensor]

#: Genes of every training here but LoRA's.
OPTIMIZER = {
    "optimizer": et.Choice("sgd", "adam"),
    "lr": et.Float(1e-4, 1.0, log=True),
    "momentum": et.Float(0.0, 0.99, when={"optimizer": "sgd"}),
    "beta": et.Float(0.5, 0.99, when={"optimizer": "adam"}),
    "weight_decay": et.Float(1e-6, 1e-1, log=True),
    "batch_size": et.Ordinal(16, 32, 64, 128),
}


@dataclass(frozen=True, slots=True)
class Network:
    """One training of a network.

    Args:
        space: What is tuned.
        build: Makes the network of params.
        parts: Returns what to train, to validate and to test on.
        loss: What is minimised, of outputs and targets.
        error: What is measured, of outputs and targets.
        epochs: How often the examples are gone through.
        smallest: The least value that can be told from 0.
        worst: The value of a training that diverges, and the largest.
    """

    space: et.Space
    build: Callable[[Params], nn.Module]
    parts: Callable[[], tuple[Part, Part, Part]]
    loss: Callable[[Tensor, Tensor], Tensor]
    error: Callable[[Tensor, Tensor], float]
    epochs: int
    smallest: float
    worst: float = 1.0

    def train(self, params: Params, seed: int) -> tuple[float, float]:
        """Return the validation and the test value."""
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        model = self.build(params)
        train, validation, test = self.parts()
        _fit(model, _optimizer(model, params), train, self.loss, self.epochs, params["batch_size"])
        model.eval()
        with torch.no_grad():
            first, second = (self.error(model(x), y) for x, y in (validation, test))
        return first, second


def _optimizer(model: nn.Module, params: Params) -> torch.optim.Optimizer:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    common = {"lr": params["lr"], "weight_decay": params["weight_decay"]}
    if params["optimizer"] == "sgd":
        return torch.optim.SGD(weights, momentum=params["momentum"], **common)
    return torch.optim.AdamW(weights, betas=(params["beta"], 0.999), **common)


def _fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    part: Part,
    loss: Callable[[Tensor, Tensor], Tensor],
    epochs: int,
    batch: int,
) -> None:
    x, y = part
    model.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            loss(model(x[chosen]), y[chosen]).backward()
            optimizer.step()


def wrong(scores: Tensor, labels: Tensor) -> float:
    """Return the share of wrong labels."""
    return float((scores.argmax(1) != labels).float().mean())


def distance(predicted: Tensor, true: Tensor) -> float:
    """Return the root mean squared error."""
    return float(((predicted - true) ** 2).mean().sqrt())


@cache
def _images(name: str) -> tuple[Part, Part, Part]:
    data, side = tabular(name), {"digits": 8, "fashion": 14}[name]
    train = {"digits": 500, "fashion": TRAIN}[name]
    most = float(data.x.max())

    def part(x: Any, y: Any) -> Part:
        pixels = torch.tensor(x / most, dtype=torch.float32).reshape(-1, 1, side, side)
        return pixels, torch.tensor(y, dtype=torch.int64)

    return (
        part(data.x[:train], data.y[:train]),
        part(data.x[train:], data.y[train:]),
        part(data.test_x, data.test_y),
    )


def _classifier(
    name: str, genes: Mapping[str, Any], build: Callable[[Params], nn.Module], epochs: int
) -> Network:
    validated = {"digits": 200, "fashion": 500}[name]
    return Network(
        et.Space(OPTIMIZER | dict(genes)),
        build,
        lambda: _images(name),
        F.cross_entropy,
        wrong,
        epochs,
        0.5 / validated,
    )


def perceptron(name: str, epochs: int) -> Network:
    """Return a perceptron on images: 11 genes."""
    genes = {
        "width": et.Int(8, 128, log=True),
        "depth": et.Int(1, 3),
        "activation": et.Choice("relu", "gelu", "tanh"),
        "dropout": et.Float(0.0, 0.8),
        "norm": et.Bool(),
    }
    pixels = {"digits": 64, "fashion": 196}[name]

    def build(params: Params) -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        inputs, width = pixels, params["width"]
        for _ in range(params["depth"]):
            layers += [nn.Linear(inputs, width)]
            layers += [nn.BatchNorm1d(width)] if params["norm"] else []
            layers += [_activation(params), nn.Dropout(params["dropout"])]
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, 10))

    return _classifier(name, genes, build, epochs)


def convolutions(name: str, epochs: int) -> Network:
    """Return a convolutional network of two layers on images: 12 genes."""
    genes = {
        "filters": et.Int(2, 16, log=True),
        "growth": et.Float(1.0, 2.0),
        "kernel": et.Ordinal(1, 3, 5),
        "activation": et.Choice("relu", "gelu", "tanh"),
        "pool": et.Choice("max", "average", "stride"),
        "dropout": et.Float(0.0, 0.8),
    }

    def build(params: Params) -> nn.Module:
        layers: list[nn.Module] = []
        inputs, filters = 1, float(params["filters"])
        for _ in range(2):
            outputs, kernel = round(filters), params["kernel"]
            step = 2 if params["pool"] == "stride" else 1
            layers += [nn.Conv2d(inputs, outputs, kernel, step, kernel // 2), _activation(params)]
            pools = {"max": nn.MaxPool2d(2), "average": nn.AvgPool2d(2), "stride": nn.Identity()}
            layers.append(pools[params["pool"]])
            inputs, filters = outputs, filters * params["growth"]
        return nn.Sequential(
            *layers, nn.Flatten(), nn.Dropout(params["dropout"]), nn.LazyLinear(10)
        )

    return _classifier(name, genes, lambda params: _shaped(build(params), name), epochs)


def _shaped(network: nn.Module, name: str) -> nn.Module:
    """Return a network whose lazy layer has its shape, so that an optimizer can have it."""
    network(_images(name)[0][0][:2])
    return network


def _activation(params: Params) -> nn.Module:
    made: nn.Module = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}[params["activation"]]()
    return made


class Forecaster(nn.Module):
    """A recurrent network that reads some hours of seven series and predicts one of them."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        self.hours = params["hours"]
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[params["cell"]]
        self.cells = kind(7, params["width"], batch_first=True)
        self.dropout = nn.Dropout(params["dropout"])
        self.out = nn.Linear(params["width"], 1)
        self.residual = params["residual"]
        self.column = params["column"]

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.cells(x[:, -self.hours :])
        change = self.out(self.dropout(states[:, -1]))[:, 0]
        return change + x[:, -1, self.column] if self.residual else change


def forecast(column: int, ahead: int, epochs: int) -> Network:
    """Return a recurrent network that predicts a series of ETTh1 some hours ahead: 11 genes."""
    space = et.Space(
        OPTIMIZER,
        cell=et.Choice("gru", "lstm"),
        width=et.Int(4, 32, log=True),
        hours=et.Int(2, 24, log=True),
        dropout=et.Float(0.0, 0.6),
        residual=et.Bool(),
    )

    def build(params: Params) -> nn.Module:
        return Forecaster(dict(params) | {"column": column})

    def loss(predicted: Tensor, true: Tensor) -> Tensor:
        return F.mse_loss(predicted, true)

    return Network(
        space, build, lambda: _windows(column, ahead), loss, distance, epochs, 1e-3, worst=2.0
    )


@cache
def _windows(column: int, ahead: int) -> tuple[Part, Part, Part]:
    """Return windows of 24 hours, every 7th hour, 800 to train and 300 each for the others."""
    values = torch.tensor(series(), dtype=torch.float32)
    starts = torch.arange(0, 1400 * 7, 7)
    x = torch.stack([values[start : start + 24] for start in starts])
    y = values[starts + 23 + ahead, column]
    return (x[:800], y[:800]), (x[800:1100], y[800:1100]), (x[1100:], y[1100:])


CONTEXT, EMBEDDED, HEADS, LAYERS = 32, 32, 2, 2


class Block(nn.Module):
    """Causal attention and a perceptron, each added to what comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(EMBEDDED), nn.LayerNorm(EMBEDDED)
        self.attention = nn.Linear(EMBEDDED, 3 * EMBEDDED)
        self.joined = nn.Linear(EMBEDDED, EMBEDDED)
        self.wide, self.narrow = nn.Linear(EMBEDDED, 64), nn.Linear(64, EMBEDDED)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        parts = self.attention(self.first(x)).reshape(batch, length, 3, HEADS, -1)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.joined(mixed.transpose(1, 2).reshape(batch, length, EMBEDDED))
        return x + self.narrow(F.gelu(self.wide(self.second(x))))


class Transformer(nn.Module):
    """Predicts the next byte of a text, ``(batch, length)`` to ``(batch, length, 256)``."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = nn.Embedding(256, EMBEDDED)
        self.places = nn.Embedding(CONTEXT, EMBEDDED)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.out = nn.Linear(EMBEDDED, 256)

    def forward(self, x: Tensor) -> Tensor:
        places = self.places(torch.arange(x.shape[1]))
        return self.out(self.blocks(self.bytes(x) + places))


class LowRank(nn.Module):
    """A frozen linear layer and a trained change of low rank (Hu et al., "LoRA", 2021)."""

    def __init__(self, layer: nn.Linear, params: Params) -> None:
        super().__init__()
        rank = params["rank"]
        self.layer = layer
        self.dropout = nn.Dropout(params["dropout"])
        self.down = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank))
        self.scale = params["alpha"] / rank

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.scale * self.dropout(x) @ self.down.T @ self.up.T


@dataclass(frozen=True, slots=True)
class Adapted:
    """A small transformer that knows one language and is adapted to another: 11 genes.

    Args:
        known: Ending of the texts that it was trained on, ``en`` or ``vi``.
        new: Ending of those that it is adapted to.

    Attributes:
        smallest: The least value that can be told from 0.
        worst: What guessing among 256 bytes has.
    """

    known: str
    new: str
    smallest: float = 1e-3
    worst: float = math.log(256)

    @property
    def space(self) -> et.Space:
        """What is tuned."""
        return et.Space(
            OPTIMIZER | {"batch_size": et.Ordinal(8, 16, 32, 64)},
            layers=et.Choice("attention", "perceptron", "all", "none"),
            rank=et.Ordinal(1, 2, 4, 8, 16, when={"layers": ("attention", "perceptron", "all")}),
            alpha=et.Float(
                0.25, 64.0, log=True, when={"layers": ("attention", "perceptron", "all")}
            ),
            dropout=et.Float(0.0, 0.5, when={"layers": ("attention", "perceptron", "all")}),
            out=et.Choice("norms", "bias", "whole"),
        )

    def train(self, params: Params, seed: int) -> tuple[float, float]:
        """Return the cross-entropy on the validation and on the test text."""
        torch.set_num_threads(1)
        model = Transformer()
        model.load_state_dict(_pretrained(self.known))
        torch.manual_seed(seed)
        _adapt(model, params)
        optimizer = _optimizer(model, params)
        for x, y in _batches(f"train_head1000.{self.new}", 30, params["batch_size"], seed):
            optimizer.zero_grad()
            _entropy(model, x, y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            parts = [next(_batches(f"{name}.{self.new}", 1, 128, 0)) for name in HELD]
            first, second = (float(_entropy(model, *part)) for part in parts)
        return first, second


#: Texts to validate and to test on.
HELD = ("tst2012", "tst2013")


def _adapt(model: Transformer, params: Params) -> None:
    """Freeze a model but for what is chosen: changes of low rank, and parts of its output."""
    model.requires_grad_(False)
    chosen = {"attention": ("attention", "joined"), "perceptron": ("wide", "narrow"), "none": ()}
    chosen["all"] = (*chosen["attention"], *chosen["perceptron"])
    for block in model.blocks:
        for name in chosen[params["layers"]]:
            setattr(block, name, LowRank(getattr(block, name), params))
        for norm in (block.first, block.second):
            norm.requires_grad_(params["out"] == "norms")
    model.out.bias.requires_grad_(params["out"] != "norms")
    model.out.weight.requires_grad_(params["out"] == "whole")


def _entropy(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


def _batches(name: str, count: int, batch: int, seed: int) -> Iterator[Part]:
    """Yield pieces of a text and the same one byte later, each ``(batch, CONTEXT)``."""
    letters = torch.tensor(text(name))
    rng = np.random.default_rng(seed)
    for _ in range(count):
        starts = torch.tensor(rng.integers(0, len(letters) - CONTEXT - 1, batch))
        places = starts[:, None] + torch.arange(CONTEXT)
        yield letters[places], letters[places + 1]


@cache
def _pretrained(language: str) -> dict[str, Tensor]:
    """Return the weights of a transformer after 600 steps on one language; takes seconds."""
    torch.manual_seed(0)
    model = Transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for x, y in _batches(f"train_head1000.{language}", 600, 64, 0):
        optimizer.zero_grad()
        _entropy(model, x, y).backward()
        optimizer.step()
    return model.state_dict()
