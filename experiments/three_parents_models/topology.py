"""The networks of section 4.2 of Vose et al. (2019), whose sizes are genes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

#: Names and sizes of the tasks of P3B1, in the order of its files.
TASKS = {"site": 13, "laterality": 2, "grade": 4}


def same(kernel: int) -> nn.Module:
    """Pad images so that a convolution keeps their size, for even kernels too.

    ``padding="same"`` of PyTorch does so too, and warns that it copies the input.
    """
    before, after = (kernel - 1) // 2, kernel // 2
    return nn.ZeroPad2d((before, after, before, after))


def convolution(inputs: int, filters: int, kernel: int) -> tuple[nn.Module, ...]:
    """Return a convolution that keeps the size, pooling that halves it, and ReLU.

    ReLU behind pooling gives the same as before it, from a quarter of the values.
    """
    odd = kernel % 2 == 1
    padding = () if odd else (same(kernel),)
    conv = nn.Conv2d(inputs, filters, kernel, padding=kernel // 2 if odd else 0)
    return *padding, conv, nn.MaxPool2d(2), nn.ReLU()


def convolutional(
    shape: tuple[int, int, int], classes: int, stages: int, params: Mapping[str, Any]
) -> nn.Sequential:
    """Return LeNet with two stages, or the network for RPV with three.

    Args:
        shape: Channels, height and width of an image.
        classes: Number of classes.
        stages: Convolutions, each followed by pooling.
        params: ``kernel1``, ``filters1``, ..., ``dense``, ``dropout``.
    """
    channels, height, width = shape
    layers: list[nn.Module] = []
    for stage in range(1, stages + 1):
        filters = params[f"filters{stage}"]
        layers += convolution(channels, filters, params[f"kernel{stage}"])
        channels, height, width = filters, height // 2, width // 2
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(channels * height * width, params["dense"]),
        nn.ReLU(),
        nn.Dropout(params["dropout"]),
        nn.Linear(params["dense"], classes),
    )


class Reports(nn.Module):
    """The multi-task network of CANDLE P3B1: a shared layer, then two layers and an output a task.

    Weights start as in Keras (Glorot and Bengio, 2010), which CANDLE uses: PyTorch's own start is
    smaller, and plain SGD takes several times longer to leave it.

    Args:
        features: Inputs.
        shared: Units of the shared layer, ``dense_sz2`` in the paper.
        own: Units of both layers of each task, ``dense_szA``, ``B`` and ``C``.
        dropout: Share of units dropped behind every hidden layer.
    """

    def __init__(
        self, features: int, shared: int, own: tuple[int, int, int], dropout: float
    ) -> None:
        super().__init__()
        self.shared = nn.Sequential(*_hidden(features, shared, dropout))
        self.tasks = nn.ModuleList(
            nn.Sequential(
                *_hidden(shared, units, dropout),
                *_hidden(units, units, dropout),
                nn.Linear(units, classes),
            )
            for units, classes in zip(own, TASKS.values(), strict=True)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, task: int) -> Tensor:
        """Return the outputs ``(examples, classes)`` of one task."""
        return self.tasks[task](self.shared(x))


def _hidden(inputs: int, units: int, dropout: float) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, units), nn.ReLU(), nn.Dropout(dropout)
