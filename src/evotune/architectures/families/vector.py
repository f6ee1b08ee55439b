"""Blocks on vectors, ``(features,)``."""

from torch import nn

from evotune.architectures.blocks import Shape
from evotune.architectures.families.common import activation as activation_named
from evotune.architectures.families.common import in_order


def dense(
    shape: Shape, units: int, activation: str = "relu", norm: str = "none", dropout: float = 0.0
) -> nn.Module:
    """Return a linear layer with normalisation, activation and dropout.

    Args:
        shape: ``(features,)``.
        units: Width behind it.
        activation: Name out of `evotune.architectures.families.common.ACTIVATIONS`.
        norm: ``"none"``, ``"batch"`` or ``"layer"``.
        dropout: Probability that a value is dropped.
    """
    norms = {"none": None, "batch": nn.BatchNorm1d(units), "layer": nn.LayerNorm(units)}
    return in_order(
        linear=nn.Linear(shape[0], units, bias=norm != "batch"),
        norm=norms[norm],
        activation=activation_named(activation),
        dropout=nn.Dropout(dropout) if dropout else None,
    )
