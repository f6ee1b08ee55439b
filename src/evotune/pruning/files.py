"""A pruned network as one safetensors file: its weights as torch knows them, and its masks.

Weights stand under their plain names, zeros where they were removed, so that without evotune
``model.load_state_dict({k: v for k, v in load_file(path).items() if k[:8] != "evotune."})`` loads
them. Masks are packed, eight to a byte, under names that begin with ``evotune.``.
"""

import logging
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from evotune.checkpoints.state import pack, unpack
from evotune.checks import user_path, write_whole
from evotune.errors import CheckpointError
from evotune.pruning.working import attach, copied
from evotune.training.data import each

log = logging.getLogger("evotune")

Made = TypeVar("Made")
#: What is kept beside the weights. No module has such a name: they have no dots.
HELD = "evotune.pruned"
#: So many names that do not fit are said.
_SAID = 3


def save(path: str | PathLike[str], fields: Mapping[str, Any]) -> Path:
    """Write a pruned network whole or not at all; what stands there is replaced.

    Args:
        path: Ends in ``.safetensors``, or in nothing.
        fields: Those of `evotune.Pruned`, by name.

    Returns:
        The path.

    Raises:
        CheckpointError: It cannot be written.
    """
    target = user_path(path, CheckpointError, (".safetensors",))
    held = dict(fields)
    model, masks = held.pop("model"), held.pop("masks")
    held |= {
        "masks": {name: packed(mask) for name, mask in masks.items()},
        "shapes": {name: list(mask.shape) for name, mask in masks.items()},
        "training": model.training,
        "kinds": kinds_of(model, masks),
    }
    return write_whole(target, pack(plain_state(model, masks) | {HELD: held}, 0), CheckpointError)


def load(path: str | PathLike[str], model: nn.Module, make: Callable[..., Made]) -> Made:
    """Read what `save` wrote.

    Args:
        path: The file.
        model: A network of the same class, with any weights; it stays as it is.
        make: Makes the result of its fields, by name.

    Raises:
        CheckpointError: There is no such file, it is another or damaged, or of another network.
        TaskError: It is no network, or cannot be copied.
    """
    source = user_path(path, CheckpointError)
    state = read(source)
    held = state.pop(HELD, None)
    if not isinstance(held, dict):
        raise CheckpointError(f"{source} holds weights, and no pruned network; Pruned.save writes")
    model = copied(model)
    fit(model, state, str(source))
    shapes, kinds = held.pop("shapes"), held.pop("kinds")
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    held["masks"] = {
        name: unpacked(bits, shapes[name]).to(device) for name, bits in held["masks"].items()
    }
    _say_kinds(kinds_of(model), kinds, source)
    for name, mask in held["masks"].items():
        owner, _, parameter = name.rpartition(".")
        attach(model.get_submodule(owner), parameter, mask)
    model.train(held.pop("training"))
    if held.get("inputs") is not None:
        held["inputs"] = each(lambda part: part.to(device), held["inputs"])
    try:
        return make(model=model, **held)
    except TypeError as error:
        raise CheckpointError(
            f"{source} was written by another version of evotune ({error}); load it there"
        ) from error


def read(source: Path) -> dict[str, Any]:
    """Return the state in a file that evotune wrote.

    Raises:
        CheckpointError: There is no such file, or it is another or damaged.
    """
    try:
        data = source.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no file {source}") from error
    except OSError as error:
        raise CheckpointError(f"{source} cannot be read: {error.strerror or error}") from error
    try:
        return unpack(data)[0]
    except CheckpointError as error:
        raise CheckpointError(f"{source} cannot be read: {error}") from error


def plain_state(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return copies of the weights of a network under their plain names, without masks."""
    state = {name: _taken(value) for name, value in model.state_dict().items()}
    for name in masks:
        owner, _, parameter = name.rpartition(".")
        made = f"{owner}.parametrizations.{parameter}".lstrip(".")
        if state.pop(f"{made}.original", None) is not None:
            del state[f"{made}.0.mask"]
            state[name] = _taken(getattr(model.get_submodule(owner), parameter))
    return state


def _taken(value: Any) -> Any:
    # Tied weights become two tensors, so that every name is in the file, as torch wants it.
    return value.detach().clone() if isinstance(value, Tensor) else value


def fit(model: nn.Module, state: Mapping[str, Any], where: str) -> None:
    """Give a network weights of just its names, shapes and kinds.

    Args:
        model: The network.
        state: Weights by name.
        where: Where they are from, for the message.

    Raises:
        CheckpointError: They are those of another network.
    """
    own = model.state_dict()
    wrong = [
        *(f"{name} is missing" for name in own if name not in state),
        *(f"{name} is unknown to this network" for name in state if name not in own),
        *(
            f"{name} is {_form(state[name])} there and {_form(value)} here"
            for name, value in own.items()
            if name in state and _form(state[name]) != _form(value)
        ),
    ]
    if wrong:
        more = f", and {len(wrong) - _SAID} more" if len(wrong) > _SAID else ""
        raise CheckpointError(
            f"the weights in {where} do not fit this {type(model).__name__}: "
            f"{'; '.join(wrong[:_SAID])}{more}; build the network as it was built for them"
        )
    model.load_state_dict(dict(state))


def _form(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"


def kinds_of(model: nn.Module, masks: Mapping[str, Tensor] | None = None) -> dict[str, str]:
    """Return the class of each module by name; of those under these masks, the class below."""
    masked = {name.rpartition(".")[0] for name in masks or ()}
    return {
        name: _kind(module, is_masked=name in masked)
        for name, module in model.named_modules()
        if "parametrizations" not in name.split(".")
    }


def _kind(module: nn.Module, *, is_masked: bool) -> str:
    own = type(module)
    return (own.__bases__[0] if is_masked and parametrize.is_parametrized(module) else own).__name__


def _say_kinds(own: Mapping[str, str], kept: Mapping[str, str], source: Path) -> None:
    """Warn where a module is of another class: ReLU and Tanh have the same weights, none."""
    for name in [*own, *(name for name in kept if name not in own)]:
        if own.get(name) != kept.get(name):
            log.warning(
                "%s in %s is %s and in this network %s: its outputs may be others",
                *(name or "the network", source, kept.get(name, "missing")),
                own.get(name, "missing"),
            )
            return


def packed(mask: Tensor) -> np.ndarray[Any, Any]:
    """Return a mask with eight weights to a byte."""
    return np.packbits(mask.cpu().numpy().reshape(-1))


def unpacked(bits: np.ndarray[Any, Any], shape: list[int]) -> Tensor:
    """Return the mask of this shape that `packed` made smaller."""
    count = int(np.prod(shape))
    return torch.from_numpy(np.unpackbits(bits, count=count).astype(bool)).reshape(shape)
