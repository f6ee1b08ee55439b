"""What the populations of `population_averaged.py` train: networks, data, and what is searched."""

import functools
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import data
import numpy as np
import numpy.typing as npt
import torch
from three_parents_models.resnet import ResNet
from three_parents_models.small import convnet, lenet, perceptron
from torch import Tensor, nn

import evotune as et

Part = tuple[npt.NDArray[Any], npt.NDArray[Any]]
Params = Mapping[str, Any]

NARROW = et.Space(
    lr=et.Float(1e-4, 1.0, log=True),
    momentum=et.Float(0.0, 0.99),
    weight_decay=et.Float(1e-6, 1e-2, log=True),
    dropout=et.Float(0.0, 0.7),
)
WIDE = et.Space(
    lr=et.Float(1e-5, 10.0, log=True),
    momentum=et.Float(0.0, 0.999),
    weight_decay=et.Float(1e-6, 1.0, log=True),
    dropout=et.Float(0.0, 0.95),
)
NO_DROPOUT = et.Space({name: NARROW[name] for name in ("lr", "momentum", "weight_decay")})
ADAM = et.Space(
    lr=et.Float(1e-5, 1e-1, log=True),
    beta1=et.Float(0.0, 0.99),
    weight_decay=et.Float(1e-6, 1e-1, log=True),
    dropout=et.Float(0.0, 0.7),
)


def share_of_errors(outputs: Tensor, targets: Tensor) -> float:
    """Return the share of examples ``(examples, classes)`` that are not of the class given."""
    return float((outputs.argmax(1) != targets).double().mean())


def squared_error(outputs: Tensor, targets: Tensor) -> float:
    """Return the mean squared error."""
    return float((outputs - targets).double().square().mean())


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained.

    Attributes:
        network: Function of params that returns a network.
        examples: Function of a seed that returns training, validation and test data.
        space: What is searched.
        practice: Constants of accepted practice, with a learning rate that falls along a cosine.
        members: Networks of each arm.
        epochs: Of each.
        optimizer: See `SupervisedTask`.
        loss: See `SupervisedTask`.
        error: Function of (outputs, targets) that measures the test data, smaller is better.
    """

    network: Callable[[Params], nn.Module]
    examples: Callable[[int], tuple[Part, Part, Part]]
    space: et.Space
    practice: Params
    members: int = 12
    epochs: int = 20
    optimizer: str = "sgd"
    loss: str = "cross_entropy"
    error: Callable[[Tensor, Tensor], float] = share_of_errors


# -- images ---------------------------------------------------------------------------------------


def fashion(train: int, seed: int, *, flat: bool) -> tuple[Part, Part, Part]:
    """Return some of FashionMNIST's images, 2,000 to validate and all of its test images."""
    x, y, test_x, test_y = data.fashion_mnist()
    if flat:
        x, test_x = (((p.reshape(len(p), -1) / 255 - 0.286) / 0.353) for p in (x, test_x))
        x, test_x = x.astype(np.float32), test_x.astype(np.float32)
    chosen, validation = data.shuffled(len(x), seed, (train, 2000))
    return (x[chosen], y[chosen]), (x[validation], y[validation]), (test_x, test_y)


def digits(seed: int) -> tuple[Part, Part, Part]:
    """Return scikit-learn's Digits: a half to train, a quarter to validate, a quarter to test."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    parts = data.shuffled(len(x), seed, (897, 450, 450))
    return tuple((x[part], y[part]) for part in parts)  # type: ignore[return-value]


def cifar(seed: int) -> tuple[Part, Part, Part]:
    """Return 2,000 images of CIFAR-10 to train, 2,000 to validate, 5,000 to test."""
    x, y, test_x, test_y = data.cifar10()

    def standard(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        scaled = (np.asarray(images, np.float32) / 255 - 0.473) / 0.251
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))

    train, validation = (np.sort(part) for part in data.shuffled(len(x), seed, (2000, 2000)))
    parts = ((x[train], y[train]), (x[validation], y[validation]), (test_x[:5000], test_y[:5000]))
    return tuple((standard(a), b) for a, b in parts)  # type: ignore[return-value]


# -- a time series --------------------------------------------------------------------------------

#: Hours that a forecast looks back and ahead, and in which the parts of ETTh1 end (Zhou et al.,
#: 2021).
BACK, AHEAD, ENDS = 24, 24, (8_640, 11_520, 14_400)


class Forecaster(nn.Module):
    """A GRU over the last hours, and one linear layer for the change in all hours ahead."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        self.recurrent = nn.GRU(7, 32, batch_first=True)
        self.dropout = nn.Dropout(params["dropout"])
        self.output = nn.Linear(32, AHEAD)

    def forward(self, hours: Tensor) -> Tensor:
        """Map ``(examples, hours, 7)`` to oil temperatures ``(examples, hours ahead)``."""
        states, _ = self.recurrent(hours)
        return hours[:, -1, -1:] + self.output(self.dropout(states[:, -1]))


def forecasts(seed: int) -> tuple[Part, Part, Part]:
    """Return windows of ETTh1; the seed says at which hour the first begins."""
    series = data.transformer()
    mean, deviation = series[: ENDS[0]].mean(0), series[: ENDS[0]].std(0)
    series = (series - mean) / deviation
    bounds = ((0, ENDS[0], 6), (ENDS[0] - BACK, ENDS[1], 3), (ENDS[1] - BACK, ENDS[2], 3))
    parts = []
    for start, end, stride in bounds:
        begins = np.arange(start + seed % stride, end - BACK - AHEAD, stride)
        x = np.stack([series[k : k + BACK] for k in begins])
        y = np.stack([series[k + BACK : k + BACK + AHEAD, -1] for k in begins])
        parts.append((x, y))
    return tuple(parts)  # type: ignore[return-value]


# -- text -----------------------------------------------------------------------------------------

#: Characters of a window; 95 printable ones, the end of a line, and one for all others.
WINDOW, ALPHABET = 32, 97


class CharacterModel(nn.Module):
    """A transformer of two layers that predicts each next character (pre-norm)."""

    def __init__(self, params: Params, size: int = 32) -> None:
        super().__init__()
        self.characters = nn.Embedding(ALPHABET, size)
        self.places = nn.Embedding(WINDOW, size)
        self.blocks = nn.ModuleList(_Attention(size, params["dropout"]) for _ in range(2))
        self.output = nn.Linear(size, ALPHABET)

    def forward(self, text: Tensor) -> Tensor:
        """Map characters ``(examples, window)`` to logits ``(examples, characters, window)``."""
        x = self.characters(text) + self.places.weight
        for block in self.blocks:
            x = block(x)
        return self.output(x).transpose(1, 2)


class _Attention(nn.Module):
    def __init__(self, size: int, dropout: float, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(size), nn.LayerNorm(size)
        self.mixed, self.joined = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.dense = nn.Sequential(nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        examples, places, size = x.shape
        parts = self.mixed(self.first(x)).view(examples, places, 3, self.heads, size // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-1, -2) * (size // self.heads) ** -0.5
        ahead = torch.ones(places, places, dtype=torch.bool).triu(1)
        seen = scores.masked_fill(ahead, -1e9).softmax(-1) @ value
        x = x + self.dropout(self.joined(seen.transpose(1, 2).reshape(examples, places, size)))
        return x + self.dropout(self.dense(self.second(x)))


@functools.cache
def _library() -> npt.NDArray[np.int64]:
    """Return the source code of Python's standard library, 4,000 characters of each module."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    texts = [path.read_text("utf-8", "replace")[:4000] for path in sorted(folder.glob("*.py"))]
    codes = np.frombuffer("".join(texts).encode("latin-1", "replace"), np.uint8).astype(np.int64)
    printable = np.where((codes < 32) | (codes > 126), ALPHABET - 1, codes - 32)
    return np.where(codes == ord("\n"), ALPHABET - 2, printable)


def characters(seed: int) -> tuple[Part, Part, Part]:
    """Return windows of source code, drawn anew for each seed, and what follows each character."""
    text = _library()
    begins = np.arange(0, len(text) - WINDOW - 1, WINDOW)
    parts = data.shuffled(len(begins), seed, (2000, 1000, 3000))

    def windows(chosen: npt.NDArray[np.intp], shift: int) -> npt.NDArray[np.int64]:
        return np.stack([text[k + shift : k + shift + WINDOW] for k in begins[chosen]])

    return tuple((windows(part, 0), windows(part, 1)) for part in parts)  # type: ignore[return-value]


def bits(outputs: Tensor, targets: Tensor) -> float:
    """Return the bits that a character costs."""
    return float(nn.functional.cross_entropy(outputs.double(), targets)) / float(np.log(2))


# -- all ------------------------------------------------------------------------------------------

SGD_PRACTICE = {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4, "dropout": 0.2}
ADAM_PRACTICE = {"lr": 3e-3, "beta1": 0.9, "weight_decay": 1e-4, "dropout": 0.1}


def _perceptron(features: int, params: Params) -> nn.Module:
    return perceptron(features, (64, 64), params["dropout"])


TASKS = {
    "perceptron": Task(
        functools.partial(_perceptron, 784),
        functools.partial(fashion, 4000, flat=True),
        NARROW,
        SGD_PRACTICE,
    ),
    "perceptron-wide": Task(
        functools.partial(_perceptron, 784),
        functools.partial(fashion, 4000, flat=True),
        WIDE,
        SGD_PRACTICE,
    ),
    "cnn": Task(
        lambda params: lenet((4, 8), (32, 32), params["dropout"]),
        functools.partial(fashion, 2560, flat=False),
        NARROW,
        SGD_PRACTICE,
        epochs=16,
    ),
    "convnet": Task(
        lambda params: convnet((8, 16), params["dropout"]),
        functools.partial(fashion, 2560, flat=False),
        NARROW,
        SGD_PRACTICE,
        epochs=16,
    ),
    "digits": Task(functools.partial(_perceptron, 64), digits, NARROW, SGD_PRACTICE),
    "resnet": Task(
        lambda params: ResNet(blocks=1, width=8),
        cifar,
        NO_DROPOUT,
        {name: SGD_PRACTICE[name] for name in NO_DROPOUT},
        members=8,
        epochs=12,
    ),
    "forecast": Task(
        Forecaster,
        forecasts,
        ADAM,
        ADAM_PRACTICE,
        epochs=16,
        optimizer="adamw",
        loss="mse",
        error=squared_error,
    ),
    "text": Task(
        CharacterModel, characters, ADAM, ADAM_PRACTICE, epochs=16, optimizer="adamw", error=bits
    ),
}
#: The perceptron with other numbers of networks, and with 240 epochs in all, as 12 networks have.
VARIANTS = {f"perceptron-{n}": replace(TASKS["perceptron"], members=n) for n in (6, 24, 48)}
VARIANTS |= {
    f"perceptron-{n}x{240 // n}": replace(TASKS["perceptron"], members=n, epochs=240 // n)
    for n in (6, 24)
}
ALL = TASKS | VARIANTS


@functools.cache
def examples(name: str, seed: int) -> Sequence[Part]:
    """Return training, validation and test data of a task."""
    return ALL[name].examples(seed)
