"""The network, the weights and the examples that a command line names."""

import inspect
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evotune.checkpoints.state import fitted, unpack
from evotune.checks import user_path
from evotune.cli.task import import_function
from evotune.errors import CheckpointError, ConfigError
from evotune.pruning.files import HELD, fit

#: What the inputs and the labels are called in a file.
PAIRS = (("x", "y"), ("inputs", "labels"))
#: Under which names programs keep a state dict among other things.
_STATES = ("state_dict", "model_state_dict", "model")


def load_network(spec: str, weights: str | None) -> nn.Module:
    """Return the network of a function without arguments, in evaluation, with weights of a file.

    Args:
        spec: ``net.py:Net``, a class, a function, or a network itself.
        weights: A ``.safetensors`` or ``.pt`` file; None for those that it has.

    Raises:
        ConfigError: There is no such function, it needs arguments, or returns no network.
        CheckpointError: The weights cannot be read, or are those of another network.
    """
    factory = import_function(spec, Path.cwd(), "FACTORY", "net")
    model = factory if isinstance(factory, nn.Module) else _called(spec, factory)
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"{spec} must return an nn.Module; what it returned is of class {type(model).__name__}"
        )
    if weights is not None:
        path = user_path(weights, CheckpointError)
        found = load_weights(path)
        fit(model, _as_kinds(model, fitted(model, found)), str(path))
    return model.eval()


def _called(spec: str, function: Any) -> Any:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise ConfigError(
            f"{spec} is called without arguments, and it needs some ({error}); write a function "
            "without arguments around it, and name that"
        ) from error
    except ValueError:  # of a class whose signature is not known
        pass
    return function()


def _as_kinds(model: nn.Module, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return floating weights in the precision of the network, as torch loads them."""
    own = model.state_dict()

    def like(name: str, value: Any) -> Any:
        mine = own.get(name)
        if not isinstance(mine, Tensor) or not isinstance(value, Tensor):
            return value
        are_floats = mine.is_floating_point() and value.is_floating_point()
        return value.to(mine.dtype) if are_floats else value

    return {name: like(name, value) for name, value in state.items()}


def load_weights(path: Path) -> dict[str, Any]:
    """Return the weights in a file, by name.

    Raises:
        CheckpointError: There is no such file, or it holds something else.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.suffix in (".pt", ".pth", ".ckpt", ".bin"):
        return _pickled(path)
    raise CheckpointError(f"weights are in .safetensors or .pt files, got {str(path)!r}")


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = path.read_bytes()
    try:
        found: dict[str, Any] = load(data)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is no file of weights, or it is damaged ({error}); write one with "
            "safetensors.torch.save_file(model.state_dict(), path)"
        ) from error
    try:
        kept = unpack(data)[0]
    except CheckpointError:  # of another program
        return found
    kept.pop(HELD, None)
    return _state_in(kept, path)


def _pickled(path: Path) -> dict[str, Any]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of pickle, of zip files, or of torch
        raise CheckpointError(
            f"{path} holds more than weights, or is damaged ({str(error).splitlines()[0]:.200}); "
            "write one with torch.save(model.state_dict(), path)"
        ) from error
    return _state_in(found, path)


def _state_in(found: Any, path: Path) -> dict[str, Any]:
    """Return the state dict in what a file held."""
    if isinstance(found, Mapping):
        for name in _STATES:
            if isinstance(found.get(name), Mapping):
                return dict(found[name])
        if all(isinstance(value, Tensor) for value in found.values()):
            return dict(found)
    words = f"a dict of {', '.join(map(str, found))}" if isinstance(found, Mapping) else found
    raise CheckpointError(
        f"{path} holds {words!s:.200}; a state dict is needed: tensors by name, as "
        "torch.save(model.state_dict(), path) writes them"
    )


def load_data(spec: str) -> Any:
    """Return examples as `evotune.prune` takes them: of a file, or of a function.

    Args:
        spec: ``examples.npz``, with ``x`` and perhaps ``y``, or ``data.py:load``.

    Raises:
        ConfigError: There is no such file or function, or it holds something else.
    """
    if not spec.endswith(".npz"):
        if ":" not in spec:
            raise ConfigError(f"--data is FILE.npz or PYFILE:FUNCTION, got {spec!r}")
        return _called(spec, import_function(spec, Path.cwd(), "--data", "data"))
    path = user_path(spec, ConfigError)
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    try:
        with np.load(path, allow_pickle=False) as found:
            return _pair({name: found[name] for name in _chosen(path, found.files)})
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"{path} cannot be read ({error}); write one with numpy.savez(path, x=inputs, "
            "y=labels), arrays of numbers"
        ) from error


def _chosen(path: Path, names: list[str]) -> tuple[str, ...]:
    for pair in PAIRS:
        if pair[0] in names:
            chosen = tuple(name for name in pair if name in names)
            unused = [name for name in names if name not in chosen]
            if not unused:
                return chosen
    raise ConfigError(
        f"{path} has the keys {', '.join(names) or 'none'}; needed are x, and y where there are "
        "labels, or inputs and labels, and no others"
    )


def _pair(found: dict[str, Any]) -> Any:
    parts = tuple(found.values())
    return parts if len(parts) == 2 else parts[0]
