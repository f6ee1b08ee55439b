"""Contract suites: one class of tests for each seam, to be subclassed by every implementation."""

from importlib import import_module
from typing import Any

import pytest

__all__ = ["algorithms", "domains", "executors", "operators", "proxies", "stopping", "storages"]

# Assertions in these modules show their values, as those in test files do.
pytest.register_assert_rewrite(*(f"{__name__}.{suite}" for suite in __all__))


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return __all__
