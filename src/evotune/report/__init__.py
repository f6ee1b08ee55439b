"""What a study's records show: tables, figures, one HTML page. Reads records only.

`compare` is loaded when it is first used, so that pandas, plotly and scikit-learn load only when a
report is made.
"""

from typing import Any

__all__ = ["compare"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name != "compare":
        raise AttributeError(f"module 'evotune.report' has no attribute {name!r}")
    from evotune.analysis.ranking import compare

    return compare
