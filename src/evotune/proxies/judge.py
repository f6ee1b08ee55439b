"""Proxies of the networks that params describe: built, scored and dropped."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from inspect import isclass
from math import nan
from typing import Any

import torch
from torch import nn

from evotune.checks import option
from evotune.errors import TaskError
from evotune.protocols import TaskTraits, task_traits
from evotune.proxies.examples import Examples, examples_of
from evotune.proxies.losses import Loss, check_loss
from evotune.proxies.passes import measured, say_once, undisturbed
from evotune.proxies.scoring import FIVE, MEASURES, checked_names
from evotune.reading import ReadParams


@dataclass(frozen=True, eq=False)
class Proxies:
    """A function of params that returns the scores of their network, for ``proxies=`` of a search.

    The network of params has weights of its own, drawn with a seed that follows from the params
    that the model function reads: params that differ only in others, such as a learning rate,
    have the same network and the same scores. Scores are kept; networks are not.

    Args:
        model: Function of params that returns a new network.
        inputs: Array or tensor ``(examples, ...)``, or a dict of them, such as all training data.
        targets: Array or tensor ``(examples, ...)``.
        names: Which scores; see `evotune.proxies.score`.
        loss: Function of (output, targets); None for one that suits the targets.
        batch_size: Examples, drawn once, that all networks are scored on.
        seed: Seed of that draw, and of all networks.

    Raises:
        TaskError: No function, unknown names, or examples that are no pairs.

    Example:
        ``Hybrid(space, proxies=Proxies(model, x, y, names=("naswot", "zico")))``
    """

    model: Callable[[dict[str, Any]], nn.Module]
    inputs: Any = field(repr=False)
    targets: Any = field(repr=False)
    _: KW_ONLY
    names: str | Sequence[str] = FIVE
    loss: Loss | None = None
    batch_size: int = 16
    seed: int = 0
    _examples: Examples = field(init=False, repr=False)
    _known: dict[str, dict[str, float]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.model, nn.Module) or not callable(self.model):
            raise TaskError(
                "proxies need a function of params that returns a new network, such as "
                f"lambda params: Net(params['width']); got {self.model!r}"
            )
        check_loss(self.loss)
        size = option("batch_size", self.batch_size, "[2, inf)", whole=True, error_type=TaskError)
        seed = option("seed", self.seed, "[0, inf)", whole=True, error_type=TaskError)
        examples = examples_of(self.inputs, self.targets)
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
        check = None if isclass(self.model) else getattr(self.model, "check_inputs", None)
        if check is not None:  # that of a template
            check("the data of proxies", examples.inputs)
        drawn = examples.taken(order[:size].to(examples.device))
        # Only the mini-batch is kept: it goes along to other processes.
        for name, value in (
            ("names", checked_names(self.names)),
            ("_examples", drawn),
            ("inputs", drawn.inputs),
            ("targets", drawn.targets),
        ):
            object.__setattr__(self, name, value)

    @property
    def traits(self) -> TaskTraits:
        """The limits of a template, within which genomes are judged."""
        traits = task_traits(self.model)
        fit = getattr(self.model, "fit", traits.fit)
        return TaskTraits(fit=fit if callable(fit) else None)

    def __call__(self, params: Mapping[str, Any]) -> dict[str, float]:
        """Return the scores of the network of params by name; NaN where there is none.

        Raises:
            TaskError: The model function can build no network at all.
        """
        module, key = self._built(params)
        if key not in self._known:
            if module is None:
                self._known[key] = dict.fromkeys(self.names, nan)
            else:
                measures = {name: MEASURES[name] for name in self.names}
                module.to(self._examples.device)
                self._known[key] = measured(measures, module, self._examples, self.loss, owned=True)
        return dict(self._known[key])

    def _built(self, params: Mapping[str, Any]) -> tuple[nn.Module | None, str]:
        """Return the network, and the key of the params that it was built from."""
        key = _key(params)
        used: set[str] = set()
        module = self._build(ReadParams(params, used), key)
        read = {name: value for name, value in params.items() if name in used}
        if len(read) < len(params):
            key = _key(read)
            if key not in self._known:
                module = self._build(ReadParams(params, used), key)
        return module, key

    def _build(self, params: ReadParams, key: str) -> nn.Module | None:
        with undisturbed(self._examples.device, _seed(self.seed, key)):
            try:
                module = self.model(params)
            except TaskError:
                raise
            except Exception as error:
                say_once("of a network", f"it cannot be built: {type(error).__name__}: {error}")
                return None
        if not isinstance(module, nn.Module):
            raise TaskError(
                f"the model function returned {type(module).__name__}; proxies need an nn.Module"
            )
        return module


def _key(params: Mapping[str, Any]) -> str:
    return json.dumps(dict(params), sort_keys=True, default=repr)


def _seed(seed: int, key: str) -> int:
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
