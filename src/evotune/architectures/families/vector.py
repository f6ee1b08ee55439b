"""Blocks on vectors, ``(features,)``."""

from torch import nn

from evotune.architectures.families.common import (
    Shape,
    activation_named,
    counts,
    dropped,
    in_order,
    one_of,
)

NORMS = {"none": None, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


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

    Raises:
        TaskError: A setting out of bounds, or an unknown name.
    """
    counts(units=units)
    one_of("norm", norm, NORMS)
    normalise = NORMS[norm]
    return in_order(
        linear=nn.Linear(shape[0], units, bias=norm != "batch"),
        norm=None if normalise is None else normalise(units),
        activation=activation_named(activation),
        dropout=dropped(dropout),
    )
