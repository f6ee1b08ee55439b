"""What all templates share: params to a network, limits, and blocks of a user's own that travel."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import Any, ClassVar, ParamSpec, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from evotune.architectures.blocks import find_block, receive_blocks, sent_blocks
from evotune.architectures.families.common import Shape
from evotune.architectures.fit import Limits, check_limits, fit
from evotune.architectures.network import Network
from evotune.architectures.templates.inputs import check_inputs
from evotune.checks import option
from evotune.errors import TaskError
from evotune.protocols import Genome
from evotune.space import Space

P = ParamSpec("P")
T = TypeVar("T")

#: What a trial measures, so that it cannot be a limit, and an example of each (seconds, bytes).
MEASURED = {"latency": "0.002", "memory": "10_000_000"}


def limited_by_size(make: Callable[P, T]) -> Callable[P, T]:
    """Let a function that makes a template refuse limits on what is only measured.

    Raises:
        TaskError: It is called with ``latency=`` or ``memory=``.
    """

    @wraps(make)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        for name, example in MEASURED.items():
            if name in kwargs:
                raise TaskError(
                    f"{make.__name__}: {name}={kwargs[name]!r} cannot be a limit of a template: "
                    "limits are met before a trial, by counting, so that a study resumes exactly, "
                    f"and {name} is measured on the network of a trial. Write "
                    f'SupervisedTask(..., costs=("{name}",)) and give the study '
                    f'constraints=Constraint("{name}", at_most={example}), or the objective '
                    f'"min {name}"; limits are parameters= and multiply_adds='
                )
        return make(*args, **kwargs)

    return checked


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return an option of a template that counts something.

    Raises:
        TaskError: It is no whole number, or too small.
    """
    return int(option(name, value, f"[{least}, inf)", whole=True, error_type=TaskError))


def sizes(template: str, shape: Any, form: str, example: Shape) -> Shape:
    """Return the shape of one example, of as many dimensions as an example of it.

    Raises:
        TaskError: It is something else.
    """
    given = tuple(shape) if isinstance(shape, list | tuple) else ()
    if len(given) != len(example):
        raise TaskError(
            f"{template}: shape is {form} of one example, such as {example}; got {shape!r}"
        )
    return tuple(whole(f"{template}: shape", size) for size in given)


@dataclass(frozen=True)
class Template(ABC):
    """A function of params that returns a network; it reads only the genes that it names.

    Attributes:
        name: The public name of the template.
        choices: The genes that it reads beside its chains.
        naming: Its options that are names of chains.
        shape: Shape of one example.
        parameters: Most parameters, or None.
        multiply_adds: Most multiplications with addition for one example, or None.
    """

    name: ClassVar[str]
    choices: ClassVar[tuple[str, ...]] = ()
    naming: ClassVar[tuple[str, ...]] = ()

    shape: Shape
    parameters: int | None = field(default=None, kw_only=True)
    multiply_adds: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("parameters", "multiply_adds"):
            limit = getattr(self, name)
            if limit is not None:
                object.__setattr__(self, name, whole(name, limit))
        self._check_names()

    def _check_names(self) -> None:
        """Check that the names of its chains are names, each of another gene."""
        taken: dict[str, str] = {name: name for name in self.choices}
        for part in self.naming:
            given = getattr(self, part)
            if not isinstance(given, str):
                raise TaskError(
                    f"{self.name}: {part} is the name of a chain in the space, such as "
                    f"{part}={part!r}; got {given!r}"
                )
            if given in taken:
                raise TaskError(
                    f"{self.name}: {part}={given!r} is the name of {taken[given]!r} too; each "
                    "part of the network has a chain of its own, of another name"
                )
            taken[given] = part

    @property
    @abstractmethod
    def chains(self) -> dict[str, int]:
        """The names of its chains, and how many dimensions an example has in each.

        These are 3 for images, 2 for sequences and 1 for vectors.
        """

    @property
    def genes(self) -> tuple[str, ...]:
        """The names of the params that it reads: its chains first."""
        return (*self.chains, *self.choices)

    @abstractmethod
    def parts(self, params: Mapping[str, Any]) -> dict[str, nn.Module]:
        """Return the parts of the network, in order."""

    def __call__(self, params: Mapping[str, Any]) -> Network:
        """Build the network of params.

        Raises:
            TaskError: A chain is missing, or a layer cannot be built.
        """
        read = {name: _plain(params[name]) for name in self.genes if name in params}
        structure = {"template": self.name, "options": self.options(), "params": read}
        return Network(self.parts(read), structure, type(self).rebuild)

    @classmethod
    def of(cls, structure: Mapping[str, Any]) -> Self:
        """Return the template that a structure of its kind was built by.

        Args:
            structure: What `Network.structure` is, also from JSON.

        Raises:
            TaskError: It has options that this version does not know.
        """
        given = structure["options"].items()
        options: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in given}
        try:
            return cls(**options)
        except TypeError as error:  # an option that another version has
            raise TaskError(
                f"the options of template {cls.name!r} in this structure are not those of this "
                f"version of evotune: {error}; install the version that trained the network, or a "
                "later one"
            ) from error

    @classmethod
    def rebuild(cls, structure: Mapping[str, Any]) -> Network:
        """Build the network of a structure of its kind, with new weights.

        Raises:
            TaskError: Options or a block are not known here.
        """
        return cls.of(structure)(structure["params"])

    @property
    def unused(self) -> Mapping[str, str]:
        """Chains that a space must not have, as nothing would come of them, and what to do."""
        return {}

    def example(self, count: int = 1) -> tuple[Tensor, ...]:
        """Return inputs of the network, all zero, for a number of examples."""
        return (torch.zeros(count, *self.shape),)

    @property
    def vocabularies(self) -> dict[str, int]:
        """Number of tokens of each input that has some, by its name; of a single one ``""``."""
        return {}

    def check_inputs(self, where: str, inputs: Any) -> None:
        """Check examples before any network is trained on them.

        Args:
            where: What they are called in messages, such as ``train=``.
            inputs: A tensor ``(examples, ...)``, or tensors by name.

        Raises:
            TaskError: The networks cannot read them, or would read them as something else.
        """
        check_inputs(self.name, where, inputs, self.example()[0], self.vocabularies)

    def check(self, space: Space) -> None:
        """Check every block that the chains of a space may have, before any network is built.

        Args:
            space: The space.

        Raises:
            TaskError: A block is unknown, works on another kind of examples, or lacks a setting.
        """
        unused = [name for name in self.unused if name in space.chains]
        if unused:
            raise TaskError(
                f"{self.name} does not use a chain {unused[0]!r} here: {self.unused[unused[0]]}"
            )
        for name, dimensions in self.chains.items():
            blocks = space.chains[name].blocks if name in space.chains else {}
            for block, settings in blocks.items():
                found = find_block(block, f"chain {name!r}")
                found.check_dimensions(dimensions, f"chain {name!r}")
                found.check(settings, f"chain {name!r}")

    def fit(self, space: Space, genome: Genome) -> dict[str, Any]:
        """Return the genome with its chains made to fit: `evotune.architectures.fit.fit`.

        Layers that do not fit their input are moved behind the depth of their chain, and where the
        network is larger than ``parameters`` or ``multiply_adds`` allow, its layers get narrower,
        or fewer. A study calls this for each proposal, before there is a trial.

        Args:
            space: The space; genes outside of the chains of this template stay as they are.
            genome: A whole genome of it.

        Raises:
            TaskError: No network within the limits can be made of it, or `check` found an error.
        """
        self.check(space)
        return fit(self, Limits(self.parameters, self.multiply_adds), space, genome)

    def check_limits(self, params: Mapping[str, Any]) -> None:
        """Check that the network of params keeps to the limits, where no study made it fit.

        Raises:
            TaskError: It is larger.
        """
        check_limits(self, Limits(self.parameters, self.multiply_adds), params)

    def options(self) -> dict[str, Any]:
        """Return its arguments, JSON-able; those that are None are left out."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
            if value is not None
        }

    def layers(self, params: Mapping[str, Any], chain: str) -> list[dict[str, Any]]:
        """Return the layers of a chain that the network cannot do without.

        Raises:
            TaskError: It is missing from the params, or no list of layers.
        """
        if chain not in params:
            raise TaskError(
                f"{self.name} needs a chain {chain!r}: write Space({chain}=Chain(1, 5, ...)); the "
                "params have none, as the space has no such chain, or as its conditions (when=) do "
                "not hold"
            )
        if not isinstance(params[chain], list | tuple):
            raise TaskError(
                f"{self.name}: {chain!r} is a list of layers, of a Chain in the space; got "
                f"{params[chain]!r}"
            )
        return list(params[chain])

    def __getstate__(self) -> dict[str, Any]:
        return {"arguments": self.__dict__, "blocks": sent_blocks()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        receive_blocks(state["blocks"])
        self.__dict__.update(state["arguments"])


def _plain(value: Any) -> Any:
    """Return a copy of what params hold of a chain or gene, as JSON can hold it."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value
