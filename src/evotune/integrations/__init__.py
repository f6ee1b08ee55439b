"""Integrations with other libraries: one file per library, each an optional extra.

`sklearn` has `EvolutionSearchCV`; `optuna` has a sampler, and brings studies of Optuna here. Each
is imported when it is first used: ``evotune.integrations.optuna.Sampler``.
"""

import pkgutil
from importlib import import_module
from typing import Any

__all__ = sorted(module.name for module in pkgutil.iter_modules(__path__))


def __dir__() -> list[str]:
    return list(__all__)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
