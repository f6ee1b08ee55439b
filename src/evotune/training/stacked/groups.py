"""Which members can be trained as one model: those whose models differ only in their numbers."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from evotune.running import RunningTrial
from evotune.training.stacked.update_rules import RULES, flags_of
from evotune.training.trainer import Setup

#: Entries of a module that hold tensors and modules, which are compared as such, or what differs
#: between equal modules.
_ASIDE = (
    *("training", "_parameters", "_buffers", "_modules", "_flat_weights", "_flat_weight_refs"),
    "structure",
)
_PLAIN = (bool, int, float, complex, str, bytes, type, torch.dtype, torch.device, torch.Size)
#: Of what kinds most attributes of a module are, such as its hooks; without entries, the kind says
#: it all.
_OFTEN_EMPTY = (OrderedDict, dict, set)
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Unstackable:
    """Why a trial has to be trained by itself.

    Attributes:
        reason: One line to show; "" if there is only no other member to train it with.
    """

    reason: str = ""


@dataclass(slots=True, eq=False)
class Member:
    """A trial that is trained together with others.

    Attributes:
        handle: The trial.
        setup: Its model, optimizer and so on, freshly built.
        generator: Draws the dropout; starts at the state of the RNG after building the model.
        result: Metrics, an error of this trial alone, or why it must be trained by itself; None
            as long as it is in training.
        row: Its row in the stack.
        epoch: Number of the running epoch.
        scores: What has been measured so far.
    """

    handle: RunningTrial
    setup: Setup
    generator: torch.Generator
    result: dict[str, float] | Exception | Unstackable | None = None
    row: int = 0
    epoch: int = 0
    scores: dict[str, float] = field(default_factory=dict)


def grouped(members: Sequence[Member]) -> list[list[Member]]:
    """Return groups of members that can be trained together; all others get an `Unstackable`.

    Args:
        members: Each with a freshly built set-up.
    """
    groups: dict[Any, list[Member]] = {}
    traits: dict[Any, dict[str, Any]] = {}
    for member in members:
        reason = _obstacle(member.setup)
        if reason:
            member.result = Unstackable(reason)
            continue
        own = _traits(member.setup)
        key = frozenset(own.items())
        traits[key] = own
        groups.setdefault(key, []).append(member)
    for key, group in groups.items():
        if len(group) == 1:
            others = [own for k, own in traits.items() if k != key]
            group[0].result = _alone(traits[key], others, group[0].setup)
    return [group for group in groups.values() if len(group) > 1]


def _alone(
    own: Mapping[str, Any], others: Sequence[Mapping[str, Any]], setup: Setup
) -> Unstackable:
    """Return in what a member differs from all others, if in only one trait from some."""
    if not others:
        return Unstackable()
    [name, *_] = min((_differences(own, other) for other in others), key=len)
    if hasattr(setup.model, "structure") and name not in _of_training(setup):
        name = "layers"  # of a template's network nobody knows the parts by name
    return Unstackable(f"no other member has the same {name}")


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [name for name in {**one, **other} if one.get(name) != other.get(name)]


def _obstacle(setup: Setup) -> str:
    kind = type(setup.optimizer)
    if kind not in RULES:
        known = ", ".join(rule.__name__ for rule in RULES)
        return f"the optimizer is {kind.__name__}; {known} can be stacked"
    if any(flags["maximize"] for flags in flags_of(setup.optimizer)):
        return "the optimizer maximizes"
    own = {id(parameter) for parameter in setup.model.parameters()}
    groups = setup.optimizer.param_groups
    if not all(id(parameter) in own for group in groups for parameter in group["params"]):
        return "the optimizer trains parameters that are not the model's"
    if len({(p.dtype, p.device) for p in setup.model.parameters()}) != 1:
        return "the model's parameters are not all of one type on one device"
    return ""


def _traits(setup: Setup) -> dict[str, Any]:
    """Return by name everything that must be equal in all members of a group."""
    return _structure(setup.model) | _of_training(setup)


def _of_training(setup: Setup) -> dict[str, Any]:
    names = {id(p): name for name, p in setup.model.named_parameters()}
    optimizer = setup.optimizer
    return {
        "number of epochs": setup.epochs,
        "batch size": setup.batch_size,
        "number of pruned networks": len(setup.sparsifiers),
        "averaging": setup.average is not None,
        "optimizer": type(optimizer),
        "kind of optimizer step": tuple(tuple(flags.items()) for flags in flags_of(optimizer)),
        "param groups": tuple(
            tuple(names[id(parameter)] for parameter in group["params"])
            for group in optimizer.param_groups
        ),
    }


def _structure(model: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        where = f"{name}." if name else "model "
        found[f"{where}type"] = _type_name(module)
        for key, value in vars(module).items():
            if key not in _ASIDE and not _is_number(key, value):
                found[f"{where}{key}"] = _frozen(value, 0)
        for kind in (module._parameters, module._buffers):
            for key, tensor in kind.items():
                found[f"{where}{key}"] = _form(tensor)
    return found


def _is_number(key: str, value: Any) -> bool:
    # A whole number may be a size, which must agree; a rate of dropout may be written as 0 or 1.
    return type(value) is float or (type(value) is int and key in ("p", "dropout"))


def _type_name(module: nn.Module) -> tuple[str, str]:
    # Not the class itself: a class made inside of the model function is another one each time.
    return type(module).__module__, type(module).__qualname__


def _form(tensor: Tensor | None) -> Any:
    if tensor is None:
        return None
    return tensor.shape, tensor.dtype, tensor.requires_grad


def numbers(models: Sequence[nn.Module]) -> dict[tuple[str, str], Tensor]:
    """Return the attributes of modules that differ, such as dropout rates, each ``(members,)``.

    Args:
        models: Of one group.
    """
    found = {}
    device = next(models[0].parameters()).device
    alike = [dict(model.named_modules()) for model in models]
    for name, module in alike[0].items():
        for key, value in vars(module).items():
            if _is_number(key, value):
                column = [float(getattr(own[name], key)) for own in alike]
                if any(number != value for number in column):
                    found[name, key] = torch.tensor(column, dtype=torch.float64, device=device)
    return found


def _frozen(value: Any, depth: int) -> Any:
    """Return a hashable that is equal for values with the same behaviour."""
    if value is None or isinstance(value, _PLAIN):
        return type(value), value
    if type(value) in _OFTEN_EMPTY and not value:
        return type(value)
    if depth > _DEEPEST:
        return id(value)
    if isinstance(value, Tensor):
        return _form(value), value.detach().cpu().numpy().tobytes()
    if isinstance(value, nn.Module):
        return _type_name(value)
    return _frozen_parts(value, depth + 1)


def _frozen_parts(value: Any, depth: int) -> Any:
    def of(parts: Any) -> Any:
        return tuple(_frozen(part, depth) for part in parts)

    if isinstance(value, Mapping):
        # Keys may be running numbers, as those of hooks are.
        return type(value), of(value.values()), of(k for k in value if isinstance(k, str))
    if isinstance(value, list | tuple):
        return type(value), of(value)
    if isinstance(value, set | frozenset):
        return type(value), frozenset(of(value))
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return value.__code__, of(cells), of(value.__defaults__ or ())
    if isinstance(value, MethodType):
        return of((value.__func__, value.__self__))
    if isinstance(value, partial):
        return of((value.func, value.args, value.keywords))
    if isinstance(value, BuiltinFunctionType) or not hasattr(value, "__dict__"):
        return id(value)
    return type(value), _frozen(vars(value), depth)
