"""Small networks of every kind, and what they take."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from evotune.pruning.goals import Likeness
from evotune.pruning.rounds import Pruning
from evotune.pruning.working import Working


class Block(nn.Module):
    """Two convolutions with norms beside a way past them."""

    def __init__(self, inputs: int, outputs: int, step: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, step, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.last = nn.BatchNorm2d(outputs)
        self.past = nn.Sequential()
        if inputs != outputs:
            self.past = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, step, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, images: Tensor) -> Tensor:
        inside = self.last(self.second(functional.relu(self.norm(self.first(images)))))
        return functional.relu(inside + self.past(images))


class Residual(nn.Module):
    """A small residual network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.blocks = nn.Sequential(Block(4, 4, 1), Block(4, 8, 2))
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        found = self.blocks(functional.relu(self.norm(self.stem(images))))
        return self.head(found.mean((2, 3)))


class Sequences(nn.Module):
    """A recurrent layer, attention beside a way past it, and a linear layer on the mean."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.recurrent = layer
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 3)

    def forward(self, steps: Tensor) -> Tensor:
        found, _ = self.recurrent(steps)
        found = self.norm(found + self.attention(found, found, found)[0])
        return self.head(found.mean(1))


class Tokens(nn.Module):
    """A transformer's encoder on tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(tokens)).mean(1))


def perceptron() -> nn.Module:
    layers = [nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)]
    return nn.Sequential(*layers)


def convolutional() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6), nn.ReLU()),
        *(nn.Conv2d(6, 8, 1), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)),
    )


NETWORKS = {
    "perceptron": (perceptron, lambda count: torch.randn(count, 6)),
    "convolutions": (convolutional, lambda count: torch.randn(count, 1, 8, 8)),
    "residual": (Residual, lambda count: torch.randn(count, 1, 8, 8)),
    "one axis": (
        lambda: nn.Sequential(nn.Conv1d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)),
        lambda count: torch.randn(count, 2, 8),
    ),
    "lstm": (
        lambda: Sequences(nn.LSTM(4, 8, batch_first=True), 8),
        lambda count: torch.randn(count, 5, 4),
    ),
    "gru": (
        lambda: Sequences(nn.GRU(4, 4, 2, batch_first=True, bidirectional=True), 8),
        lambda count: torch.randn(count, 5, 4),
    ),
    "rnn": (
        lambda: Sequences(nn.RNN(4, 8, batch_first=True, nonlinearity="relu"), 8),
        lambda count: torch.randn(count, 5, 4),
    ),
    "tokens": (Tokens, lambda count: torch.randint(11, (count, 5))),
}


def made(name: str, count: int = 40) -> tuple[nn.Module, Tensor]:
    """Return a network in evaluation, of norms that have seen something, and examples for it."""
    torch.manual_seed(0)
    build, draw = NETWORKS[name]
    model, inputs = build(), draw(count)
    with torch.no_grad():
        for _ in range(3):
            model(inputs)
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d | nn.LayerNorm):
                norm.weight.uniform_(0.5, 1.5)
    return model.eval(), inputs


def under_pruning(name):
    model, inputs = made(name)
    working = Working(model, inputs[:2])
    with torch.no_grad():
        dense = working.network(inputs)
    return working, Pruning(working.network, working.layers, inputs, Likeness(dense, 0)), dense
