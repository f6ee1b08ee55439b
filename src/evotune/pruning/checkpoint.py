"""A refinement on its way, in a file: it goes on where it was, and comes to the same end."""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from evotune.checkpoints.state import pack
from evotune.checks import user_path, write_whole
from evotune.errors import CheckpointError, TaskError
from evotune.pruning import files
from evotune.pruning.examples import Examples
from evotune.pruning.refinement import Refinement

log = logging.getLogger("evotune")

#: Seconds between two writes, and at least so many times what the last one took.
EVERY, TIMES = 5.0, 20.0
#: What is kept beside the state: of what it is one.
_OF = "of"


class Checkpoint:
    """Where the state of a refinement is kept; without a path, nowhere.

    Args:
        path: The file.
        of: What it is the refinement of, as plain parts by name: all of these must be as before.
        device: Of the network.
    """

    def __init__(
        self, path: str | PathLike[str] | None, of: Mapping[str, Any], device: torch.device
    ) -> None:
        self._path = None if path is None else user_path(path, CheckpointError)
        self._of, self._device = dict(of), device
        self._due = time.monotonic() + EVERY

    def load(self, steps: int, say: Callable[[str], None] = lambda text: None) -> Refinement | None:
        """Return the state, or None where there is none yet.

        Args:
            steps: How many steps it is to have in the end.
            say: Is told that there is one.

        Raises:
            CheckpointError: The file is another, damaged, or of another network or other data.
            TaskError: It has more steps already.
        """
        if self._path is None or not self._path.exists():
            return None
        state = files.read(self._path)
        self._check(state.pop(_OF, {}))
        try:
            found = Refinement(**state)
        except TypeError as error:
            raise CheckpointError(
                f"{self._path} is no file of a refinement; give another path"
            ) from error
        if found.steps > steps:
            raise TaskError(
                f"refine={steps}, and {self._path} has {found.steps} steps already; write refine="
                f"{found.steps} or more, or another checkpoint="
            )
        found.masks = {name: mask.to(self._device) for name, mask in found.masks.items()}
        found.weights = {
            name: (weights.to(self._device), None if bias is None else bias.to(self._device))
            for name, (weights, bias) in found.weights.items()
        }
        words = f"going on from {self._path}: {found.steps} steps of refinement"
        log.info("%s", words)
        say(words)
        return found

    def _check(self, kept: Mapping[str, Any]) -> None:
        other = [
            name
            if name in ("network", "data")
            else f"{name} ({kept.get(name)!r} there, {own!r} now)"
            for name, own in self._of.items()
            if kept.get(name) != own
        ]
        if other:
            raise CheckpointError(
                f"{self._path} is of another pruning, with another {', '.join(other)}; give "
                "another place, or remove that file to begin anew"
            )

    def save(self, state: Refinement) -> None:
        """Write the state, whole or not at all.

        Raises:
            CheckpointError: It cannot be written.
        """
        if self._path is not None:
            began = time.monotonic()
            parts = {name: getattr(state, name) for name in Refinement.__slots__}
            write_whole(self._path, pack(parts | {_OF: self._of}, 0), CheckpointError)
            now = time.monotonic()
            self._due = now + max(EVERY, TIMES * (now - began))

    def after(self, state: Refinement) -> None:
        """Write the state now and then."""
        if time.monotonic() >= self._due:
            self.save(state)


def identity(model: nn.Module, examples: Examples, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a pruning is of: digests of network and data, and the options as texts."""
    return {
        "network": digest({"kinds": files.kinds_of(model), "state": model.state_dict()}),
        "data": digest({"inputs": examples.inputs, "targets": examples.targets}),
        **{name: named(value) for name, value in options.items()},
    }


def digest(value: Any) -> str:
    """Return the SHA-256 of nested tensors and plain parts."""
    found = hashlib.sha256()
    _feed(found, value)
    return found.hexdigest()


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        for name, part in value.items():
            found.update(f"{name}\0".encode())
            _feed(found, part)
    elif isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous()
        found.update(f"{flat.dtype}{tuple(flat.shape)}".encode())
        found.update(flat.reshape(-1).view(torch.uint8).numpy())
    else:
        found.update(repr(value).encode())


def named(value: Any) -> Any:
    """Return a function's name, and any other value as it is."""
    if not callable(value):
        return value
    return getattr(value, "__qualname__", type(value).__qualname__)
