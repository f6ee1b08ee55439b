"""Every kind of layer trains in a stack as it does alone: metrics, weights, buffers, dropout."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evotune.training.stacked.together import Unstackable, train_together
from helpers_stacked import Line, assert_same_training, double_task, examples

IMAGE = (3, 6, 6)


class Residual(nn.Module):
    """Convolutions with a way around them, in a forward of its own."""

    def __init__(self):
        super().__init__()
        self.enter = nn.Conv2d(3, 4, 3, padding=1)
        self.deep = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        images = F.relu(self.enter(images))
        images = F.relu(images + self.norm(self.deep(images)))
        return self.head(images.mean(dim=(2, 3)))


class Reader(nn.Module):
    """A recurrent layer over sequences ``(batch, steps, 4)``."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        width = layer.hidden_size * (2 if layer.bidirectional else 1)
        self.head = nn.Linear(width, 3)

    def forward(self, steps):
        if self.layer.batch_first:
            return self.head(self.layer(steps)[0][:, -1])
        return self.head(self.layer(steps.transpose(0, 1))[0][-1])


class Bag(nn.Module):
    """The mean of embedded words; word 0 fills up and is not trained."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(9, 6, padding_idx=0)
        self.head = nn.Linear(6, 3)

    def forward(self, words):
        return self.head(self.words(words).mean(dim=1))


class OwnBuffer(nn.Module):
    """Keeps a running mean that it assigns anew, and shares one matrix between two layers."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.second.weight = self.first.weight
        self.register_buffer("mean", torch.zeros(5))

    def forward(self, inputs):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * inputs.detach().mean(dim=0)
        return self.head(self.second(self.first(inputs - self.mean).tanh()))


def images(*layers, features):
    return lambda: nn.Sequential(*layers_of(layers), nn.Flatten(), nn.Linear(features, 3))


def layers_of(makers):
    return [make() for make in makers]


def rows(*makers):
    return lambda: nn.Sequential(*layers_of(makers))


MODELS = {
    "linear": (rows(lambda: nn.Linear(5, 7), nn.Tanh, lambda: nn.Linear(7, 3)), (5,)),
    "linear without bias": (
        rows(lambda: nn.Linear(5, 7, bias=False), nn.ReLU, lambda: nn.Linear(7, 3)),
        (5,),
    ),
    "linear on steps": (
        rows(lambda: nn.Linear(4, 2), nn.Flatten, lambda: nn.Linear(12, 3)),
        (6, 4),
    ),
    "conv1d": (
        images(
            lambda: nn.Conv1d(3, 4, 3, stride=2, padding=1),
            lambda: nn.BatchNorm1d(4),
            lambda: nn.MaxPool1d(2),
            features=8,
        ),
        (3, 8),
    ),
    "conv2d with stride and padding": (
        images(lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU, features=36),
        IMAGE,
    ),
    "conv2d with groups and dilation": (
        images(lambda: nn.Conv2d(3, 6, 3, groups=3, dilation=2, bias=False), features=24),
        IMAGE,
    ),
    "conv2d, padded by reflection": (
        images(lambda: nn.Conv2d(3, 4, 3, padding="same", padding_mode="reflect"), features=144),
        IMAGE,
    ),
    "transposed convolution": (
        images(
            lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1, dilation=2),
            lambda: nn.AdaptiveAvgPool2d(2),
            features=16,
        ),
        IMAGE,
    ),
    "pooling": (
        images(
            lambda: nn.Conv2d(3, 4, 3),
            lambda: nn.MaxPool2d(2, stride=1),
            lambda: nn.AvgPool2d(2, stride=1),
            lambda: nn.AdaptiveMaxPool2d(1),
            features=4,
        ),
        IMAGE,
    ),
    "batch norm 1d": (
        rows(lambda: nn.Linear(5, 7), lambda: nn.BatchNorm1d(7), lambda: nn.Linear(7, 3)),
        (5,),
    ),
    "batch norm 2d": (
        images(lambda: nn.Conv2d(3, 4, 3), lambda: nn.BatchNorm2d(4), nn.ReLU, features=64),
        IMAGE,
    ),
    "batch norm first": (
        images(lambda: nn.BatchNorm2d(3, affine=False), features=108),
        IMAGE,
    ),
    "layer norm": (
        rows(lambda: nn.Linear(5, 7), lambda: nn.LayerNorm(7), lambda: nn.Linear(7, 3)),
        (5,),
    ),
    "group norm": (
        images(lambda: nn.Conv2d(3, 4, 3), lambda: nn.GroupNorm(2, 4), features=64),
        IMAGE,
    ),
    "instance norm": (
        images(lambda: nn.Conv2d(3, 4, 3), lambda: nn.InstanceNorm2d(4, affine=True), features=64),
        IMAGE,
    ),
    "dropout": (
        rows(lambda: nn.Linear(5, 7), lambda: nn.Dropout(0.3), lambda: nn.Linear(7, 3)),
        (5,),
    ),
    "dropout 2d": (
        images(lambda: nn.Conv2d(3, 4, 3), nn.Dropout2d, lambda: nn.Dropout(0.2), features=64),
        IMAGE,
    ),
    "lstm": (lambda: Reader(nn.LSTM(4, 5, batch_first=True)), (6, 4)),
    "deep lstm": (
        lambda: Reader(nn.LSTM(4, 5, num_layers=2, bidirectional=True, dropout=0.4)),
        (6, 4),
    ),
    "gru": (lambda: Reader(nn.GRU(4, 5, num_layers=2, dropout=0.2, batch_first=True)), (6, 4)),
    "plain recurrence": (lambda: Reader(nn.RNN(4, 5, bias=False)), (6, 4)),
    "residual": (Residual, IMAGE),
    "own buffer and tied weights": (OwnBuffer, (5,)),
    "attention": (
        rows(
            lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True),
            nn.Flatten,
            lambda: nn.Linear(24, 3),
        ),
        (6, 4),
    ),
}


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", MODELS)
def test_a_layer_trains_as_it_does_alone(name):
    make, shape = MODELS[name]
    task = double_task(lambda params: make(), examples(*shape))
    assert_same_training(task, [{"lr": lr, "momentum": 0.9} for lr in (0.05, 0.1, 0.02)])


def test_embedded_words_train_as_they_do_alone():
    task = double_task(lambda params: Bag(), examples(7, words=9))
    assert_same_training(task, [{"lr": 0.5}, {"lr": 1.0}])


@pytest.mark.parametrize("rates", [(0.1, 0.6), (0.0, 0.5), (1.0, 0.25), (0, 0.3)])
def test_every_member_has_its_own_rate_of_dropout(rates):
    def model(params):
        return nn.Sequential(
            nn.Linear(5, 16), nn.Dropout(params["dropout"]), nn.ReLU(), nn.Linear(16, 3)
        )

    genomes = [{"lr": 0.1, "dropout": rate} for rate in rates]
    assert_same_training(double_task(model), genomes)


def test_numbers_of_own_modules_may_differ_between_members():
    class Scaled(nn.Module):
        def __init__(self, scale):
            super().__init__()
            self.scale, self.linear = scale, nn.Linear(5, 3)

        def forward(self, inputs):
            return self.linear(F.dropout(inputs * self.scale, self.scale / 4, self.training))

    task = double_task(lambda params: Scaled(params["scale"]))
    assert_same_training(task, [{"lr": 0.1, "scale": 0.5}, {"lr": 0.1, "scale": 2.0}])


def by_sign(inputs):
    return inputs if inputs.sum() > 0 else -inputs


class Branching(nn.Linear):
    def forward(self, inputs):
        return super().forward(by_sign(inputs))


class Noisy(nn.Linear):
    def forward(self, inputs):
        return super().forward(inputs + torch.randn_like(inputs))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda params: Branching(5, 3), "data-dependent control flow"),
        (lambda params: Noisy(5, 3), "random operation"),
        (
            lambda params: nn.Sequential(nn.Linear(5, 4), nn.AlphaDropout(), nn.Linear(4, 3)),
            "random operation",
        ),
    ],
)
def test_what_cannot_be_mapped_is_said_and_trains_alone(make, reason):
    task = double_task(make)
    line = Line()
    handles = [line.handle(n, {"lr": 0.1}) for n in range(3)]
    for handle, result in zip(handles, train_together(task, handles), strict=True):
        assert isinstance(result, Unstackable)
        assert reason in result.reason
        assert len(result.reason.splitlines()) == 1
        assert task(handle)["train_loss"] > 0


def test_a_difference_that_nothing_shows_is_found_out():
    def model(params):
        scale = params["scale"]

        class Hidden(nn.Linear):
            def forward(self, inputs):
                return super().forward(inputs * scale)

        return Hidden(5, 3)

    task = double_task(model)
    line = Line()
    handles = [line.handle(n, {"lr": 0.1, "scale": 1.0 + n}) for n in range(3)]
    first, *others = train_together(task, handles)
    assert isinstance(first, dict)
    assert all("something else" in result.reason for result in others)
