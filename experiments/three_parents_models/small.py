"""Small networks for Digits, MNIST and FashionMNIST."""

from torch import Tensor, nn

CLASSES = 10


class Standardise(nn.Module):
    """Bytes ``(examples, height, width)`` -> floats ``(examples, 1, height, width)``."""

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.mean = mean
        self.deviation = deviation

    def forward(self, images: Tensor) -> Tensor:
        """Convert one batch; all examples together would take four times the memory."""
        return (images.unsqueeze(1).float() / 255 - self.mean) / self.deviation


def lenet(channels: tuple[int, int], dense: tuple[int, int], dropout: float) -> nn.Sequential:
    """Return LeNet (LeCun et al., 1998) with ReLU and dropout, for images ``(examples, 28, 28)``.

    LeNet-5 has 6 and 16 channels and dense layers of 120 and 84.
    """
    first, second = channels
    return nn.Sequential(
        Standardise(0.2860, 0.3530),  # of FashionMNIST; on MNIST's scale too
        nn.Conv2d(1, first, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        *_dense(second * 25, dense[0], dropout),
        *_dense(dense[0], dense[1], dropout),
        nn.Linear(dense[1], CLASSES),
    )


def convnet(channels: tuple[int, int], dropout: float) -> nn.Sequential:
    """Return two convolutions and one linear layer, for images ``(examples, 28, 28)``."""
    first, second = channels
    return nn.Sequential(
        Standardise(0.2860, 0.3530),
        nn.Conv2d(1, first, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(second * 49, CLASSES),
    )


def perceptron(features: int, dense: tuple[int, int], dropout: float) -> nn.Sequential:
    """Return two hidden layers for inputs ``(examples, features)``."""
    return nn.Sequential(
        *_dense(features, dense[0], dropout),
        *_dense(dense[0], dense[1], dropout),
        nn.Linear(dense[1], CLASSES),
    )


def _dense(inputs: int, outputs: int, dropout: float) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)
