"""Checks which genes a task uses: one without effect makes the search meaningless, so it fails."""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from evotune.checks import did_you_mean
from evotune.errors import TaskError


def pick(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """Return the entry of a name, e.g. ``pick("loss", "mse", losses)``.

    Raises:
        TaskError: The name is not known; the nearest one is suggested.
    """
    if name not in known:
        raise TaskError(
            f"{kind} {name!r} is not known; choose {', '.join(sorted(known))}, or give a "
            f"function{did_you_mean(name, known)}"
        )
    return known[name]


def declared_names(genes: str | Iterable[str]) -> frozenset[str]:
    """Return the names in ``genes=``, which may also be a single name without brackets.

    Raises:
        TaskError: They are no names.
    """
    names = [genes] if isinstance(genes, str) or not isinstance(genes, Iterable) else [*genes]
    if not all(isinstance(name, str) for name in names):
        raise TaskError(f'genes= are names of genes, such as ("width", "depth"), got {genes!r}')
    return frozenset(names)


def check_all_used(
    genes: Iterable[str],
    used: Collection[str],
    takers: Mapping[str, Collection[str]],
    hint: Callable[[str], str] = lambda gene: "",
) -> None:
    """Raise unless every gene was used.

    Args:
        genes: The active genes.
        used: Names of the genes that were used or declared.
        takers: For the error message: what uses which genes, e.g. ``{"SGD": ["lr", "momentum"]}``.
        hint: Returns a further explanation for an unused gene, or "".

    Raises:
        TaskError: A gene was not used; the nearest name is suggested.
    """
    genes = list(genes)
    unused = [gene for gene in genes if gene not in used]
    if not unused:
        return
    known = {name for names in takers.values() for name in names}.difference(genes)
    found = [
        f"gene {name!r} has no effect{hint(name) or did_you_mean(name, known)}" for name in unused
    ]
    taken = "; ".join(f"{who}: {', '.join(names)}" for who, names in takers.items() if names)
    raise TaskError(
        f"{' '.join(text if text.endswith('?') else text + '.' for text in found)} "
        "Rename or remove the gene, or declare that it is used elsewhere: "
        f"genes={tuple(unused)!r}. Names with an effect: {taken or 'none'}"
    )


def call(function: Callable[..., Any], first: Any, second: Any) -> Any:
    """Call a user's function with both arguments, or only with the first if it takes one."""
    needed = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return function(first, second) if len(needed) > 1 else function(first)
