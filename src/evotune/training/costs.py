"""What a trained network costs, as metrics of its trial."""

from collections.abc import Collection
from typing import Any

from torch import nn

from evotune.architectures.cost import cost
from evotune.checks import did_you_mean
from evotune.errors import TaskError
from evotune.training.data import Part, each

NAMES = ("multiply_adds", "memory", "latency")


def names_of_costs(given: Any, taken: Collection[str]) -> tuple[str, ...]:
    """Return the names of the chosen costs.

    Args:
        given: A name, or several.
        taken: Names of the task's metrics.

    Raises:
        TaskError: One is not known, or also the name of a metric.
    """
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if name not in NAMES:
            raise TaskError(
                f"costs= are names out of {', '.join(NAMES)}, such as costs=({NAMES[0]!r},), got "
                f"{name!r}{did_you_mean(str(name), NAMES)}; parameters are always counted"
            )
        if name in taken:
            raise TaskError(f"costs= and metrics= both give {name!r}; call your metric otherwise")
    return names


def measured_costs(names: Collection[str], model: nn.Module, inputs: Part) -> dict[str, float]:
    """Return the chosen costs of a forward pass of one example.

    Args:
        names: Out of `NAMES`.
        model: The model.
        inputs: A batch of one example or more, ``(examples, ...)``; several inputs by name.
    """
    found = cost(model, each(lambda tensor: tensor[:1], inputs), latency="latency" in names)
    return {name: float(getattr(found, name)) for name in names}
