"""What a layer of a chain may be: the blocks that come with the package, and a user's own.

A block is a function of the shape of one example and of the settings of its record that returns an
``nn.Module``. Shapes have no batch: ``(channels, height, width)`` for images, ``(length,
channels)`` for sequences, ``(features,)`` for vectors.
"""

import ast
import contextlib
import inspect
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cloudpickle

from evotune.architectures.families import image, sequence, vector
from evotune.checks import did_you_mean
from evotune.errors import TaskError
from evotune.space.chain import BLOCK

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
_HOMES = {"image": image, "sequence": sequence, "vector": vector}
#: What the blocks of each family work on, and the form of one example.
FAMILIES = {
    "image": ("images", "(channels, height, width)"),
    "sequence": ("sequences", "(length, channels)"),
    "vector": ("vectors", "(features,)"),
}
#: The family that works on examples of so many dimensions.
OF_DIMENSIONS = {3: "image", 2: "sequence", 1: "vector"}
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

    def check_dimensions(self, dimensions: int, where: str) -> None:
        """Check that a block of this package is in a chain on its own kind of examples.

        Args:
            dimensions: Those of one example: 3 for images, 2 for sequences, 1 for vectors.
            where: Which layer or chain it is in, for the message.

        Raises:
            TaskError: It works on another kind.
        """
        wanted = SHIPPED.get(self.name)
        given = OF_DIMENSIONS.get(dimensions)
        if wanted is None or given is None or given == wanted:
            return
        (kind, form), (own_kind, own_form) = FAMILIES[given], FAMILIES[wanted]
        raise TaskError(
            f"{where}: block {self.name!r} works on {own_kind} {own_form}, and this chain is on "
            f"{kind} {form}; blocks for {kind} are {', '.join(_of_family(given))} and your own, "
            "made by @et.block"
        )

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


def _of_family(family: str) -> list[str]:
    return [name for name, home in SHIPPED.items() if home == family]


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
    if _returns_nothing(build):
        raise TaskError(
            f"block {name!r} returns nothing, so that all its layers would be left out; end it "
            "with return and an nn.Module"
        )
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


def _returns_nothing(build: Build) -> bool:
    """Tell whether a function ends without a value; False too where its source is not known."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(build)))
    except (OSError, TypeError, SyntaxError):
        return False
    function = tree.body[0]
    if not inspect.isfunction(build) or not isinstance(function, ast.FunctionDef):
        return False
    ends = [node.value for node in _statements(function.body) if isinstance(node, ast.Return)]
    return not any(_is_value(value) for value in ends)


def _is_value(value: ast.expr | None) -> bool:
    return value is not None and not (isinstance(value, ast.Constant) and value.value is None)


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the statements of a function, without those of functions and classes inside it."""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield from _statements(ast.iter_child_nodes(node))


def sent_blocks() -> dict[str, Build | bytes]:
    """Return the blocks that are not of this package, by name, for other processes.

    They travel with a template. One that was defined inside a function is pickled, as a plain
    pickle refuses it; where that cannot be done it stays behind, as it may have nothing to do with
    that template, and a chain that needs it says so.
    """
    sent: dict[str, Build | bytes] = {}
    for name, build in _own.items():
        if "<locals>" not in build.__qualname__:
            sent[name] = build
            continue
        with contextlib.suppress(Exception):
            sent[name] = bytes(cloudpickle.dumps(build))
    return sent


def receive_blocks(blocks: Mapping[str, Build | bytes]) -> None:
    """Make blocks known in this process, as `sent_blocks` gave them in another one."""
    for name, sent in blocks.items():
        if name not in _own:
            _own[name] = cloudpickle.loads(sent) if isinstance(sent, bytes) else sent


def find_block(name: str, where: str = "") -> Block:
    """Return the block of a name.

    Args:
        name: Its name.
        where: Which layer asks for it, for the message.

    Raises:
        TaskError: There is none.
    """
    if name in SHIPPED:
        return Block(name, getattr(_HOMES[SHIPPED[name]], name))
    if name not in _own:
        known = (*SHIPPED, *_own)
        raise TaskError(
            f"{where + ': ' if where else ''}no block is called {name!r}; known are "
            f"{', '.join(known)}{did_you_mean(name, known) or '.'} A block of your own is known "
            f"once the module that defines it is imported: write @et.block above def {name}(shape, "
            "...)"
        )
    return Block(name, _own[name])
