"""Builds the proxies that a file or ``--proxies`` names, with the model and data of its task."""

from collections.abc import Mapping
from typing import Any

from evotune.cli.registry import at
from evotune.errors import ConfigError
from evotune.protocols import Evaluate

#: Examples of which the proxies draw their mini-batch.
EXAMPLES = 256


def with_proxies(
    table: Mapping[str, Any], chosen: str | None, evaluate: Evaluate
) -> Mapping[str, Any]:
    """Return the table ``[algorithm]`` with its ``proxies`` as an object, if it names some.

    Args:
        table: ``proxies`` in it is a list of names, or one text with commas.
        chosen: Names on the command line, which replace those in the table.
        evaluate: The task.

    Raises:
        ConfigError: A name is unknown, or the task is none whose model and data are known.
    """
    given = table.get("proxies") if chosen is None else chosen
    if given is None:
        return table
    with at("proxies"):
        return {**table, "proxies": _made(_names(given), evaluate)}


def _names(given: Any) -> list[str]:
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f'must be a list of names such as ["naswot", "zico"], got {given!r}')
    return [name.strip() for name in names]


def _made(names: list[str], evaluate: Evaluate) -> Any:
    import torch

    from evotune.proxies.judge import Proxies
    from evotune.training.data import batches
    from evotune.training.losses import find_loss
    from evotune.training.task import SupervisedTask

    if not isinstance(evaluate, SupervisedTask):
        raise ConfigError(
            "they score the networks of a task, so function in [task] has to name a SupervisedTask,"
            f' such as "train:task" where train.py has task = SupervisedTask(...); got {evaluate!r}'
        )
    device = torch.device("cpu")
    with torch.random.fork_rng(devices=[]):
        inputs, targets = next(iter(batches(evaluate.source("train", device), EXAMPLES, device)))
    loss = find_loss(evaluate.loss)
    return Proxies(evaluate.model, inputs, targets, names=names, loss=loss)
