"""A space in the peers' own words."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import evotune as et


def grown(space: et.Space, suggest: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Return params gene by gene, each after those that its condition names.

    Args:
        space: The space.
        suggest: Gives the value of an active gene, from its name and domain.
    """
    params: dict[str, Any] = {}
    left = dict(space.domains)
    while left:
        for name, domain in list(left.items()):
            if any(other in left for other, _ in domain.when):
                continue
            del left[name]
            if all(o in params and params[o] in allowed for o, allowed in domain.when):
                params[name] = suggest(name, domain)
    return {name: params[name] for name in space.names if name in params}


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as Python's own types where a library gives numpy's."""
    return {
        n: value.item() if isinstance(value, np.generic) else value for n, value in values.items()
    }


def configspace(space: et.Space, seed: int) -> Any:
    """Return the space as a ConfigurationSpace with conditions, for SMAC3 and DEHB."""
    import ConfigSpace

    made = ConfigSpace.ConfigurationSpace(seed=seed)
    made.add([_hyperparameter(name, domain) for name, domain in space.domains.items()])
    for name in space.conditional:
        holds = [
            ConfigSpace.InCondition(made[name], made[other], _allowed(space[other], allowed))
            for other, allowed in space[name].when
        ]
        made.add(holds[0] if len(holds) == 1 else ConfigSpace.AndConjunction(*holds))
    return made


def _hyperparameter(name: str, domain: Any) -> Any:
    import ConfigSpace

    if isinstance(domain, et.Float) and domain.step is None:
        return ConfigSpace.Float(name, (domain.low, domain.high), log=domain.log)
    if isinstance(domain, et.Int):
        return ConfigSpace.Integer(name, (domain.low, domain.high), log=domain.log)
    return ConfigSpace.Categorical(name, list(domain.values()), ordered=domain.ordered)


def _allowed(domain: Any, allowed: Any) -> list[Any]:
    return [value for value in domain.values() if value in allowed]
