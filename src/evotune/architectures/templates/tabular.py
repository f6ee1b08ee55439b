"""Networks on vectors, with one output or one head for each of several tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from evotune.architectures.build import build_chain
from evotune.architectures.parts import Heads
from evotune.architectures.templates.base import Template, limited_by_size, whole
from evotune.errors import TaskError


@dataclass(frozen=True)
class Tabular(Template):
    """See `tabular`."""

    name: ClassVar[str] = "tabular"
    naming: ClassVar[tuple[str, ...]] = ("shared", "head")

    outputs: int | dict[str, int]
    shared: str = "layers"
    head: str = "head"

    @property
    def chains(self) -> dict[str, int]:
        return {self.shared: 1, self.head: 1}

    @property
    def unused(self) -> Mapping[str, str]:
        only = f"it has a single output; add those layers to {self.shared!r}"
        return {self.head: only} if isinstance(self.outputs, int) else {}

    def parts(self, params: Mapping[str, Any]) -> dict[str, nn.Module]:
        layers = build_chain(self.layers(params, self.shared), self.shape, self.shared)
        if isinstance(self.outputs, int):
            return {"layers": layers.module, "output": nn.Linear(layers.shape[0], self.outputs)}
        heads = {}
        for task, outputs in self.outputs.items():
            own = build_chain(params.get(self.head, ()), layers.shape, self.head)
            heads[task] = nn.Sequential(own.module, nn.Linear(own.shape[0], outputs))
        return {"layers": layers.module, "heads": Heads(heads)}


def _check_tasks(outputs: Mapping[str, int]) -> None:
    if not outputs or not all(isinstance(task, str) and task for task in outputs):
        raise TaskError(
            f'tabular: outputs by name are such as {{"site": 13, "grade": 4}}, got {dict(outputs)}'
        )
    for task in outputs:
        if "." in task or hasattr(nn.ModuleDict(), task):
            raise TaskError(
                f"tabular: torch cannot have a part named {task!r}; call the task otherwise, such "
                f"as {task.replace('.', '_') + '_'!r}"
            )


@limited_by_size
def tabular(
    features: int,
    outputs: int | Mapping[str, int],
    *,
    parameters: int | None = None,
    multiply_adds: int | None = None,
    layers: str = "layers",
    head: str = "head",
) -> Tabular:
    """Return a function of params that builds a network on vectors.

    The layers of the chain ``layers`` come first. For a single task a linear layer follows; for
    several, each has a head of its own: the layers of the chain ``head``, if the space has one, and
    a linear layer. Then the network returns a dict of outputs by task, and a `SupervisedTask` sums
    up the losses; its targets are a dict by task, or a tensor with a column for each.

    Args:
        features: Numbers of one example.
        outputs: Classes, or numbers of a regression; by name for several tasks:
            ``{"site": 13, "grade": 4}``.
        parameters: Most parameters; larger structures are made smaller before they are tried.
        multiply_adds: Most multiplications with addition for one example.
        layers: Name of the chain that all tasks share.
        head: Name of the chain that each task has for itself.

    Raises:
        TaskError: A number or name that makes no network.
    """
    if isinstance(outputs, Mapping):
        _check_tasks(outputs)
        found: int | dict[str, int] = {t: whole(f"outputs of {t!r}", n) for t, n in outputs.items()}
    else:
        found = whole("outputs", outputs)
    return Tabular(
        (whole("features", features),),
        found,
        layers,
        head,
        parameters=parameters,
        multiply_adds=multiply_adds,
    )
