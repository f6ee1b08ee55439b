"""Blocks on images, ``(channels, height, width)``."""

from torch import nn

from evotune.architectures.blocks import Shape
from evotune.architectures.families.common import activation as activation_named
from evotune.architectures.families.common import in_order


def conv(
    shape: Shape,
    filters: int,
    kernel: int = 3,
    activation: str = "relu",
    norm: str = "batch",
    dropout: float = 0.0,
) -> nn.Module:
    """Return a convolution that keeps height and width, with normalisation and activation.

    Args:
        shape: ``(channels, height, width)``.
        filters: Channels behind it.
        kernel: Height and width of the kernel.
        activation: Name out of `evotune.architectures.families.common.ACTIVATIONS`.
        norm: ``"batch"`` or ``"none"``.
        dropout: Probability that a channel is dropped.
    """
    before, behind = (kernel - 1) // 2, kernel // 2  # "same" would copy the input of even kernels
    pad = None if before == behind else nn.ZeroPad2d((before, behind, before, behind))
    return in_order(
        pad=pad,
        conv=nn.Conv2d(
            shape[0], filters, kernel, padding=0 if pad else before, bias=norm == "none"
        ),
        norm=nn.BatchNorm2d(filters) if norm == "batch" else None,
        activation=activation_named(activation),
        dropout=nn.Dropout2d(dropout) if dropout else None,
    )


def pool(shape: Shape, kind: str = "max") -> nn.Module | None:
    """Return a pool that halves height and width; None on images too small for it.

    Args:
        shape: ``(channels, height, width)``.
        kind: ``"max"`` or ``"average"``.
    """
    if min(shape[1:]) < 2:
        return None
    return nn.MaxPool2d(2) if kind == "max" else nn.AvgPool2d(2)
