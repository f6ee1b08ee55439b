"""Optimizers by name, and genes that set the optimizer argument of the same name."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.nn import Parameter

from evotune.checkpoints.hyperparameters import ALIASES, NO_GENES
from evotune.errors import TaskError
from evotune.reading import ReadParams
from evotune.training.params import pick

#: ``(parameters, params) -> optimizer``, where params are the trial's genes.
OptimizerFactory = Callable[[Iterable[Parameter], Mapping[str, Any]], Any]

#: Torch's optimizers by name in lower case, without those that only special models can use: LBFGS
#: needs a closure, SparseAdam sparse gradients, Muon a model of nothing but matrices.
OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type)
    and issubclass(kind, torch.optim.Optimizer)
    and name not in ("Optimizer", "LBFGS", "SparseAdam", "Muon")
}


def find_optimizer(optimizer: Any) -> Any:
    """Return the optimizer class of a name; a class or a factory is returned as it is.

    Raises:
        TaskError: The name is not known, or the object is neither a name nor a callable.
    """
    if isinstance(optimizer, str):
        return pick("optimizer", optimizer.lower(), OPTIMIZERS)
    if not callable(optimizer):
        raise TaskError(
            f'optimizer= is a name such as "sgd" or a function of (parameters, params), '
            f"got {optimizer!r}"
        )
    return optimizer


def is_factory(optimizer: Any) -> bool:
    """Return True for a function that reads all its genes itself; False for a name or a class."""
    chosen = find_optimizer(optimizer)
    return not (isinstance(chosen, type) and issubclass(chosen, torch.optim.Optimizer))


def gene_names(kind: type[torch.optim.Optimizer]) -> tuple[str, ...]:
    """Return the names of the genes that are applied to an optimizer of this class."""
    names = [name for name in inspect.signature(kind).parameters if name not in NO_GENES]
    names += [alias for alias, name in ALIASES.items() if name in names]
    return tuple(names) + (("beta1", "beta2") if "betas" in names else ())


def build_optimizer(optimizer: Any, parameters: Iterable[Parameter], params: ReadParams) -> Any:
    """Build the optimizer of a trial.

    Args:
        optimizer: Name, class or factory. A gene ``optimizer`` replaces a name or a class.
        parameters: The model's parameters.
        params: The genes; those named like the optimizer's arguments are passed to it.

    Raises:
        TaskError: The gene ``optimizer`` is not a known name, two genes set the same argument, or
            the result of the factory has no ``step`` and ``zero_grad``.
    """
    chosen = find_optimizer(optimizer)
    if not is_factory(optimizer):
        if "optimizer" in params:
            chosen = find_optimizer(params["optimizer"])
        return chosen(parameters, **_arguments(chosen, params))
    built = chosen(parameters, params)
    if not (hasattr(built, "step") and hasattr(built, "zero_grad")):
        raise TaskError(
            f"the optimizer factory returned {type(built).__name__}; it needs to return an "
            "optimizer, which has step() and zero_grad()"
        )
    return built


def _arguments(kind: Any, params: ReadParams) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    given = [gene for gene in gene_names(kind) if gene in params]
    for gene in given:
        name = ALIASES.get(gene, gene)
        if name in arguments:
            raise TaskError(f"genes {name!r} and {gene!r} mean the same; keep one of them")
        arguments[name] = params[gene]
    if "beta1" in arguments or "beta2" in arguments:
        first, second = inspect.signature(kind).parameters["betas"].default
        betas = (arguments.pop("beta1", first), arguments.pop("beta2", second))
        if "betas" in arguments:
            raise TaskError("genes 'betas' and 'beta1' or 'beta2' mean the same; keep one of them")
        arguments["betas"] = betas
    return arguments


def hint_for(gene: str, optimizer: Any) -> str:
    """Return why a gene named like an argument of some optimizer had no effect, or "".

    Args:
        gene: A gene that nothing used.
        optimizer: The optimizer of the trial.
    """
    takers = [name for name, kind in OPTIMIZERS.items() if gene in gene_names(kind)]
    if not takers:
        return ""
    mine = type(optimizer).__name__
    if mine.lower() in takers:
        return f"; the function that makes the {mine} does not read it: params[{gene!r}]"
    taker = "sgd" if "sgd" in takers else takers[0]
    return (
        f"; {mine} has no {gene}, but {', '.join(takers)} have: if the optimizer is a gene, give "
        f'{gene!r} a condition such as when={{"optimizer": "{taker}"}}'
    )
