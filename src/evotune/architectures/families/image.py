"""Blocks on images, ``(channels, height, width)``; all but `pool` keep height and width."""

from torch import Tensor, nn

from evotune.architectures.families.common import (
    Shape,
    activation_named,
    counts,
    dropped,
    in_order,
    one_of,
)

NORMS = {"batch": nn.BatchNorm2d, "none": None}
POOLS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


def conv(
    shape: Shape,
    filters: int,
    kernel: int = 3,
    activation: str = "relu",
    norm: str = "batch",
    dropout: float = 0.0,
) -> nn.Module:
    """Return a convolution with normalisation, activation and dropout.

    Args:
        shape: ``(channels, height, width)``.
        filters: Channels behind it.
        kernel: Height and width of the kernel; the image is padded with zeros.
        activation: Name out of `evotune.architectures.families.common.ACTIVATIONS`.
        norm: ``"batch"`` or ``"none"``.
        dropout: Probability that a channel is dropped.

    Raises:
        TaskError: A setting out of bounds, or an unknown name.
    """
    counts(filters=filters, kernel=kernel)
    one_of("norm", norm, NORMS)
    return in_order(
        pad=_pad(kernel),
        conv=_conv(shape[0], filters, kernel, norm),
        norm=_norm(filters, norm),
        activation=activation_named(activation),
        dropout=dropped(dropout, nn.Dropout2d),
    )


def separable(
    shape: Shape,
    filters: int,
    kernel: int = 3,
    activation: str = "relu",
    norm: str = "batch",
    dropout: float = 0.0,
) -> nn.Module:
    """Return a depthwise convolution and a pointwise one (Chollet, "Xception", 2017).

    Args:
        shape: ``(channels, height, width)``.
        filters: Channels behind it.
        kernel: Height and width of the depthwise kernel.
        activation: Name out of `evotune.architectures.families.common.ACTIVATIONS`.
        norm: ``"batch"`` or ``"none"``.
        dropout: Probability that a channel is dropped.

    Raises:
        TaskError: A setting out of bounds, or an unknown name.
    """
    counts(filters=filters, kernel=kernel)
    one_of("norm", norm, NORMS)
    return in_order(
        pad=_pad(kernel),
        depthwise=_conv(shape[0], shape[0], kernel, norm="none", groups=shape[0]),
        pointwise=_conv(shape[0], filters, 1, norm),
        norm=_norm(filters, norm),
        activation=activation_named(activation),
        dropout=dropped(dropout, nn.Dropout2d),
    )


class Residual(nn.Module):
    """What a body makes of its input, added to it (He et al., "Deep residual learning", 2016).

    Args:
        body: Modules that keep height and width.
        skip: ``nn.Identity``, or a convolution of 1 × 1 where the number of channels changes.
        activation: What follows the sum.
    """

    def __init__(self, body: nn.Module, skip: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.skip = skip
        self.activation = activation

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the activated sum, of the shape that the body gives."""
        result: Tensor = self.activation(self.skip(inputs) + self.body(inputs))
        return result


def residual(
    shape: Shape,
    filters: int,
    kernel: int = 3,
    activation: str = "relu",
    norm: str = "batch",
    dropout: float = 0.0,
) -> nn.Module:
    """Return two convolutions around which the input is led.

    ReLU stands behind each convolution and behind the sum. Other activations stand before the
    convolutions and none behind the sum (He et al., "Identity mappings in deep residual networks",
    2016): then a block whose body gives zero passes on every input unchanged, also behind them.

    Args:
        shape: ``(channels, height, width)``.
        filters: Channels behind it; if they differ from those before it, a convolution of 1 × 1
            leads the input around.
        kernel: Height and width of the kernels.
        activation: Name out of `evotune.architectures.families.common.ACTIVATIONS`.
        norm: ``"batch"`` or ``"none"``.
        dropout: Probability that a channel is dropped between the convolutions.

    Raises:
        TaskError: A setting out of bounds, or an unknown name.
    """
    counts(filters=filters, kernel=kernel)
    one_of("norm", norm, NORMS)
    before = activation != "relu"
    body = in_order(
        activation1=activation_named(activation) if before else None,
        pad1=_pad(kernel),
        conv1=_conv(shape[0], filters, kernel, norm),
        norm1=_norm(filters, norm),
        activation2=activation_named(activation),
        dropout=dropped(dropout, nn.Dropout2d),
        pad2=_pad(kernel),
        conv2=_conv(filters, filters, kernel, norm),
        norm2=_norm(filters, norm),
    )
    skip = nn.Identity() if filters == shape[0] else nn.Conv2d(shape[0], filters, 1)
    return Residual(body, skip, nn.Identity() if before else activation_named(activation))


def pool(shape: Shape, kind: str = "max") -> nn.Module | None:
    """Return a pool that halves height and width; None on images too small for it.

    Args:
        shape: ``(channels, height, width)``.
        kind: ``"max"`` or ``"average"``.

    Raises:
        TaskError: An unknown kind.
    """
    one_of("kind", kind, POOLS)
    return POOLS[kind](2) if min(shape[1:]) >= 2 else None


def _pad(kernel: int) -> nn.Module | None:
    """Return the padding of an even kernel; torch's own "same" would copy the whole input."""
    before, behind = (kernel - 1) // 2, kernel // 2
    return None if kernel % 2 else nn.ZeroPad2d((before, behind, before, behind))


def _conv(channels: int, filters: int, kernel: int, norm: str, groups: int = 1) -> nn.Conv2d:
    padding = kernel // 2 if kernel % 2 else 0
    return nn.Conv2d(channels, filters, kernel, padding=padding, groups=groups, bias=norm == "none")


def _norm(filters: int, norm: str) -> nn.Module | None:
    return nn.BatchNorm2d(filters) if norm == "batch" else None
