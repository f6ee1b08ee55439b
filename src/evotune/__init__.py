"""evotune evolves deep-learning models: hyperparameters, structure, schedules and sparsity.

Every public name is loaded when it is first used, so that ``import evotune`` stays light. The list
of them is ``__init__.pyi``, which type checkers and editors read too.
"""

from importlib import import_module
from typing import Any

from evotune.names import PUBLIC

__version__ = "0.1.0"

__all__ = ["__version__", *sorted(PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'evotune' has no attribute {name!r}")
    home, attribute = PUBLIC[name]
    found = vars(import_module(home))
    value = found[attribute] if attribute in found else import_module(f"{home}.{attribute}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
