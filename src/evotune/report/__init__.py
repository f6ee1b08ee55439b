"""Tables, figures and HTML pages made from a study's records, which are only read.

Each name is loaded when it is first used, so that pandas, plotly and scikit-learn load only when a
report is made.
"""

import importlib
from typing import Any

_HOMES = {"compare": "evotune.analysis.ranking", "write_ranking": "evotune.report.ranking_page"}

__all__ = ["compare", "write_ranking"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evotune.report' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
