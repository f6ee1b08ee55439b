"""Optimizers' update rules over a stack of members, each member with its own hyperparameters.

All members' parameters lie in one matrix ``(members, numbers)``, so that a step is a handful of
operations whatever the model. Every rule computes what torch's optimizer of the same name computes
for each member alone, and its state converts to and from torch's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

#: Hyperparameters that must agree between members, because they choose what is computed.
_FLAGS = ("nesterov", "amsgrad", "centered", "maximize", "decoupled_weight_decay")


@dataclass(frozen=True, slots=True)
class Step:
    """The arguments of one step of a rule; everything is changed in place.

    Attributes:
        parameters: ``(members, numbers)``.
        gradients: ``(members, numbers)``; the rule may use them up.
        scratch: ``(members, numbers)``, free to use, with arbitrary content.
        state: The optimizer's state by torch's names, each ``(members, numbers)``.
        steps: Steps that each member has taken, this one included, ``(members, 1)``, float64.
        values: Each hyperparameter, ``(members, 1)``, float64.
        flags: Hyperparameters that are not numbers, such as ``nesterov``.
        any_of: Names of the hyperparameters that are not 0 in some member.
    """

    parameters: Tensor
    gradients: Tensor
    scratch: Tensor
    state: Mapping[str, Tensor]
    steps: Tensor
    values: Mapping[str, Tensor]
    flags: Mapping[str, bool]
    any_of: frozenset[str]

    def value(self, number: Tensor | str) -> Tensor:
        """Return a hyperparameter, or a number computed from some, in the parameters' dtype."""
        column = self.values[number] if isinstance(number, str) else number
        return column.to(self.parameters.dtype)

    def decay_into_gradients(self) -> None:
        """Add the L2 penalty's gradient."""
        if "weight_decay" in self.any_of:
            self.gradients.addcmul_(self.parameters, self.value("weight_decay"))


@dataclass(frozen=True, slots=True)
class Rule:
    """An optimizer's rule.

    Attributes:
        step: Takes one step.
        memory: ``(flags, any_of)`` -> names of the state that it needs.
        counts: True when torch keeps the number of steps in the state.
    """

    step: Callable[[Step], None]
    memory: Callable[[Mapping[str, bool], frozenset[str]], Sequence[str]]
    counts: bool


def _sgd(step: Step) -> None:
    step.decay_into_gradients()
    change = step.gradients
    if "momentum" in step.any_of:
        momentum, buffer = step.values["momentum"], step.state["momentum_buffer"]
        buffer.mul_(step.value(momentum))
        if "dampening" in step.any_of:
            # Without momentum there is no dampening, and torch does not dampen the first step.
            dampened = (momentum != 0) & (step.steps > 1)
            buffer.addcmul_(change, step.value(1 - step.values["dampening"] * dampened))
        else:
            buffer.add_(change)
        if step.flags["nesterov"]:
            change.addcmul_(buffer, step.value(momentum))
        else:
            change = buffer
    step.parameters.addcmul_(change, step.value(-step.values["lr"]))


def _adam(step: Step) -> None:
    if not step.flags["decoupled_weight_decay"]:
        step.decay_into_gradients()
    elif "weight_decay" in step.any_of:
        step.parameters.mul_(step.value(1 - step.values["lr"] * step.values["weight_decay"]))
    first, second = step.values["beta1"], step.values["beta2"]
    mean, square = step.state["exp_avg"], step.state["exp_avg_sq"]
    mean.lerp_(step.gradients, step.value(1 - first))
    scaled = torch.mul(step.gradients, step.gradients, out=step.scratch)
    square.mul_(step.value(second)).addcmul_(scaled, step.value(1 - second))
    if step.flags["amsgrad"]:
        square = torch.maximum(step.state["max_exp_avg_sq"], square, out=_maximum(step))
    root = torch.sqrt(square, out=step.scratch)
    root.mul_(step.value((1 - second**step.steps).rsqrt())).add_(step.value("eps"))
    change = torch.div(mean, root, out=step.scratch)
    step.parameters.addcmul_(change, step.value(-step.values["lr"] / (1 - first**step.steps)))


def _maximum(step: Step) -> Tensor:
    return step.state["max_exp_avg_sq"]


def _rmsprop(step: Step) -> None:
    step.decay_into_gradients()
    gradients, square = step.gradients, step.state["square_avg"]
    rest = step.value(1 - step.values["alpha"])
    scaled = torch.mul(gradients, gradients, out=step.scratch)
    square.mul_(step.value("alpha")).addcmul_(scaled, rest)
    root = step.scratch
    if step.flags["centered"]:
        mean = step.state["grad_avg"]
        mean.lerp_(gradients, rest)
        torch.addcmul(square, mean, mean, value=-1, out=root).sqrt_()
    else:
        torch.sqrt(square, out=root)
    change = torch.div(gradients, root.add_(step.value("eps")), out=root)
    if "momentum" in step.any_of:
        change = step.state["momentum_buffer"].mul_(step.value("momentum")).add_(change)
    step.parameters.addcmul_(change, step.value(-step.values["lr"]))


def _sgd_memory(flags: Mapping[str, bool], any_of: frozenset[str]) -> Sequence[str]:
    return ("momentum_buffer",) if "momentum" in any_of else ()


def _adam_memory(flags: Mapping[str, bool], any_of: frozenset[str]) -> Sequence[str]:
    return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if flags["amsgrad"] else ()))


def _rmsprop_memory(flags: Mapping[str, bool], any_of: frozenset[str]) -> Sequence[str]:
    centered = ("grad_avg",) if flags["centered"] else ()
    return ("square_avg", *centered, *_sgd_memory(flags, any_of))


_ADAM = Rule(_adam, _adam_memory, counts=True)
RULES: dict[type[torch.optim.Optimizer], Rule] = {
    torch.optim.SGD: Rule(_sgd, _sgd_memory, counts=False),
    torch.optim.Adam: _ADAM,
    torch.optim.AdamW: _ADAM,
    torch.optim.RMSprop: Rule(_rmsprop, _rmsprop_memory, counts=True),
}


def flags_of(optimizer: torch.optim.Optimizer) -> tuple[dict[str, bool], ...]:
    """Return, for each param group, the hyperparameters that choose what is computed."""
    is_decoupled = isinstance(optimizer, torch.optim.AdamW)
    return tuple(
        {name: bool(group.get(name, False)) for name in _FLAGS}
        | {"decoupled_weight_decay": bool(group.get("decoupled_weight_decay", is_decoupled))}
        for group in optimizer.param_groups
    )


def numbers_of(group: Mapping[str, Any]) -> dict[str, float]:
    """Return a param group's numeric hyperparameters, with betas split into beta1 and beta2."""
    names = ("lr", "momentum", "dampening", "weight_decay", "eps", "alpha")
    numbers = {name: float(group[name]) for name in names if name in group}
    if "betas" in group:
        numbers["beta1"], numbers["beta2"] = map(float, group["betas"])
    return numbers
