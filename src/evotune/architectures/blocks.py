"""What a layer of a chain may be: the blocks that come with the package, and a user's own.

A block is a function of the shape of one example and of the settings of its record that returns an
``nn.Module``. Shapes have no batch: ``(channels, height, width)`` for images, ``(length,
channels)`` for sequences, ``(features,)`` for vectors.
"""

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from evotune.checks import did_you_mean
from evotune.errors import TaskError
from evotune.space.chain import BLOCK

Shape = tuple[int, ...]
Build = Callable[..., Any]

#: Where the blocks that come with the package are defined, by name.
SHIPPED = {
    "conv": "image",
    "separable": "image",
    "residual": "image",
    "pool": "image",
    "rnn": "sequence",
    "lstm": "sequence",
    "gru": "sequence",
    "conv1d": "sequence",
    "attention": "sequence",
    "pool1d": "sequence",
    "dense": "vector",
}
#: Settings of these names are widths, in blocks of a user's own too: a structure that is larger
#: than a limit allows gets smaller ones. All others, such as kernels, stay as they are.
WIDTHS = frozenset(
    ("filters", "units", "channels", "width", "hidden", "heads", "head_size", "feed_forward")
)
_own: dict[str, Build] = {}


@dataclass(frozen=True, slots=True)
class Block:
    """A block by its name.

    Attributes:
        name: Its name in records.
        build: Function of (shape, **settings) that returns an ``nn.Module``, or None where the
            block does not fit the shape, so that the layer is left out.
    """

    name: str
    build: Build

    def check(self, settings: Collection[str], where: str) -> None:
        """Check the settings of a record.

        Raises:
            TaskError: One is missing, or the block has none of that name.
        """
        takes, needs = _settings(self.build)
        unknown = [] if takes is None else [name for name in settings if name not in takes]
        if unknown:
            raise TaskError(
                f"{where}: block {self.name!r} has no setting {unknown[0]!r}; it takes "
                f"{', '.join(takes or ()) or 'none'}{did_you_mean(unknown[0], takes or ())}"
            )
        missing = [name for name in needs if name not in settings]
        if missing:
            raise TaskError(
                f"{where}: block {self.name!r} needs {missing[0]!r}: give the chain a domain or a "
                f"value for it, {self.name}=dict({missing[0]}=...)"
            )


def _settings(build: Build) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return the settings that a block takes (None for any) and those that it needs."""
    kinds = inspect.Parameter
    found = list(inspect.signature(build).parameters.values())[1:]
    named = [p for p in found if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    takes = (
        None if any(p.kind is kinds.VAR_KEYWORD for p in found) else tuple(p.name for p in named)
    )
    return takes, tuple(p.name for p in named if p.default is p.empty)


def block(build: Build) -> Build:
    """Make a function a block, under its own name; use it as a decorator.

    Args:
        build: Function of the shape of one example (a tuple of ints, see `evotune.architectures.
            blocks`) and of the settings of a record, by keyword. It returns an ``nn.Module`` that
            keeps the number of dimensions, or None where the block does not fit the shape.
            Settings with one of the names in `WIDTHS`, such as ``filters`` or ``units``, are made
            smaller where a structure is larger than a limit of its template.

    Returns:
        The function itself.

    Raises:
        TaskError: It is no function of a shape, or the name belongs to another block.

    Example::

        @et.block
        def squeeze(shape, ratio):
            return SqueezeExcite(shape[0], ratio)
    """
    name = getattr(build, "__name__", "")
    if not callable(build) or not name.isidentifier():
        raise TaskError(
            f"a block is a named function of (shape, **settings), got {build!r}; write @block "
            "above def squeeze(shape, ratio): ..."
        )
    if not inspect.signature(build).parameters:
        raise TaskError(
            f"block {name!r} takes no argument; the first one is the shape of one example: write "
            f"def {name}(shape): ..."
        )
    if BLOCK in inspect.signature(build).parameters:
        raise TaskError(f"block {name!r} has a setting {BLOCK!r}, which is the key of its name")
    if name in SHIPPED:
        raise TaskError(f"block {name!r} comes with evotune; give yours another name")
    known = _own.get(name, build)
    if (known.__module__, known.__qualname__) != (build.__module__, build.__qualname__):
        raise TaskError(
            f"block {name!r} is defined twice, in {known.__module__} and in {build.__module__}; "
            "give one of them another name"
        )
    _own[name] = build
    return build


def own_blocks() -> dict[str, Build]:
    """Return the blocks that are not of this package, by name; they travel with a template."""
    return dict(_own)


def add_blocks(blocks: dict[str, Build]) -> None:
    """Make blocks known in this process, as they came from another one."""
    _own.update({name: build for name, build in blocks.items() if name not in _own})


def find_block(name: str, where: str = "") -> Block:
    """Return the block of a name.

    Args:
        name: Its name.
        where: Which layer asks for it, for the message.

    Raises:
        TaskError: There is none.
    """
    if name in SHIPPED:
        family = import_module(f"evotune.architectures.families.{SHIPPED[name]}")
        return Block(name, getattr(family, name))
    if name not in _own:
        known = (*SHIPPED, *_own)
        raise TaskError(
            f"{where + ': ' if where else ''}no block is called {name!r}; known are "
            f"{', '.join(known)}{did_you_mean(name, known)}. A block of your own is known once the "
            f"module that defines it is imported: write @et.block above def {name}(shape, ...)"
        )
    return Block(name, _own[name])
