"""What a network costs: parameters, multiplications, memory, and its latency on this machine."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import quantiles
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from evotune.architectures.counting import Counter
from evotune.architectures.families.common import Shape
from evotune.architectures.network import Network
from evotune.architectures.templates import template_of
from evotune.architectures.templates.base import Template
from evotune.checks import flag, option
from evotune.errors import TaskError

#: Forward passes before the first one whose time counts.
WARM_UP = 3
#: A latency is the median of so many forward passes, of fewest to most, within `SECONDS`.
FEWEST, MOST = 7, 200
SECONDS = 0.5


#: One input of a network: a tensor, ``(examples, ...)``, or several by name.
Input = Tensor | Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network costs.

    Attributes:
        parameters: How many numbers it has to learn, or to keep where they are frozen.
        multiply_adds: Multiplications with addition of a forward pass of one example, in linear,
            convolutional and recurrent layers, products of matrices and attention; what works
            element by element, looks up or normalises counts nothing.
        memory: Bytes of its parameters and buffers, and of what a forward pass of one example
            keeps for the backward pass. Training takes more: gradients and the optimizer's state
            are as large as the parameters, or two or three times that.
        latency: Seconds of a forward pass without gradients, the median; None if not measured.
        latency_spread: The quartiles of these seconds; None if not measured.
    """

    parameters: int
    multiply_adds: int
    memory: int
    latency: float | None = None
    latency_spread: tuple[float, float] | None = None


def cost(
    what: nn.Module | Mapping[str, Any],
    shape: Shape | Input | Sequence[Tensor] | None = None,
    *,
    model: Template | None = None,
    latency: bool = False,
    batch: int = 1,
) -> Cost:
    """Return what a network costs; it is left as it was, and so is torch's random state.

    Args:
        what: A module; or params, with their template as ``model``; or a `Network.structure`.
        shape: Of one example, without the batch, such as ``(1, 28, 28)``; or example inputs,
            ``(examples, ...)``: a tensor, a dict by name, or a list or tuple of several. A network
            of a template knows it.
        model: The template that builds the network of params.
        latency: Measure the latency too, which takes about half a second.
        batch: Examples in a forward pass whose latency is measured, where ``shape`` gives none.

    Raises:
        TaskError: It is neither of these, or nothing says what its inputs are.

    Example:
        ``et.cost(study.best.params, model=template, latency=True).multiply_adds``
    """
    module = _built(what, model)
    lazy = [name for name, p in module.named_parameters() if is_lazy(p)]
    if lazy:
        raise TaskError(
            f"the parameter {lazy[0]!r} gets its shape from the first inputs: run the module on a "
            "batch before its cost is asked for"
        )
    count = option("batch", batch, "[1, inf)", whole=True, error_type=TaskError)
    with _undisturbed(module):
        found = _counted(module, _inputs(module, shape, 1))
        if not flag("latency", latency):
            return found
        seconds = _seconds(module, _inputs(module, shape, count))
    low, median, high = quantiles(seconds, n=4)
    return Cost(found.parameters, found.multiply_adds, found.memory, median, (low, high))


def _built(what: Any, model: Any) -> nn.Module:
    """Return the module, built if need be.

    Raises:
        TaskError: It is none, and cannot be built.
    """
    if isinstance(what, nn.Module):
        return what
    if not isinstance(what, Mapping):
        raise TaskError(
            "cost() takes a module and the shape of one example, such as cost(net, (1, 28, 28)), "
            f"or params and their template, cost(params, model=template); got {what!r}"
        )
    with torch.random.fork_rng(devices=[]):
        if model is None and {"template", "params"} <= what.keys():
            return template_of(what)(what["params"])
        if not isinstance(model, Template):
            raise TaskError(
                "the cost of params depends on the template that builds their network: write "
                f"cost(params, model=image_classifier(...)); got model={model!r}"
            )
        return model(what)


def _inputs(module: nn.Module, shape: Any, count: int) -> tuple[Input, ...]:
    """Return inputs of ``count`` examples on the device of the module, or those that are given.

    Raises:
        TaskError: Nothing says what they are.
    """
    if isinstance(shape, Tensor) or (isinstance(shape, Mapping) and shape):
        inputs: tuple[Any, ...] = (shape,)
    elif shape is None and isinstance(module, Network):
        inputs = template_of(module.structure).example(count)
    elif _are(int, shape):
        inputs = (torch.zeros(count, *shape),)
    elif _are(Tensor, shape) and shape:
        inputs = tuple(shape)
    else:
        raise TaskError(
            "cost() needs the shape of one example, without the batch, such as (1, 28, 28), or "
            f"example inputs, such as x[:1]; got {shape!r}"
        )
    parameter = next(module.parameters(), None)
    device = _tensors(inputs)[0].device if parameter is None else parameter.device
    # Copies, as what is a part of a larger tensor would count with all of it.
    copies = [
        {name: _copy(value, device) for name, value in each.items()}
        if isinstance(each, Mapping)
        else _copy(each, device)
        for each in inputs
    ]
    return tuple(copies)


def _copy(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.detach().to(device, copy=True)


def _tensors(inputs: Iterable[Input]) -> list[Tensor]:
    return [t for each in inputs for t in (each.values() if isinstance(each, Mapping) else (each,))]


def _are(kind: type, given: Any) -> bool:
    return isinstance(given, tuple | list) and all(isinstance(each, kind) for each in given)


@contextmanager
def _undisturbed(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode for a while, and keep torch's random state."""
    training = [each for each in module.modules() if each.training]
    with torch.random.fork_rng():
        module.eval()
        try:
            yield
        finally:
            for each in training:
                each.training = True


def _counted(module: nn.Module, inputs: tuple[Input, ...]) -> Cost:
    own = [*module.parameters(), *module.buffers()]
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    counter = Counter()
    try:
        with torch.enable_grad(), hooks, counter:
            output = module(*inputs)  # it keeps alive the tensors whose addresses are compared
    except Exception as error:
        shapes = [tuple(each.shape) for each in _tensors(inputs)]
        error.add_note(f"(in cost(), on inputs of shape {shapes})")
        raise
    examples = len(_tensors(inputs)[0])
    weights = {p.untyped_storage().data_ptr() for p in own}
    activations = sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in weights)
    del output
    return Cost(
        parameters=sum(p.numel() for p in module.parameters()),
        multiply_adds=counter.multiply_adds // examples,
        memory=sum(p.nbytes for p in own) + activations // examples,
    )


def _seconds(module: nn.Module, inputs: tuple[Input, ...]) -> list[float]:
    """Return the seconds of forward passes, one after another."""
    found: list[float] = []
    with torch.inference_mode():
        for _ in range(WARM_UP):
            _pass(module, inputs)
        while len(found) < FEWEST or (sum(found) < SECONDS and len(found) < MOST):
            found.append(_pass(module, inputs))
    return found


def _pass(module: nn.Module, inputs: tuple[Input, ...]) -> float:
    device = _tensors(inputs)[0].device
    _wait(device)
    began = perf_counter()
    module(*inputs)
    _wait(device)
    return perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type != "cpu":  # work there goes on after the call
        torch.accelerator.synchronize(device)
