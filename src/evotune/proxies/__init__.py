"""Networks judged untrained: zero-cost scores, and how a search may use them.

- `score` returns several scores of a network; each is a function too: `naswot`, `zico`, `synflow`,
  `jacob_cov`, `snip`, `grad_norm`, `params`, `multiply_adds`. Larger is better, NaN is no score.
- `rank` joins scores of many networks; `agreement` says how well ranks foretell results.
- `Proxies` judges the networks of params: give it to a search as ``proxies=``.
- `evolve` makes an archive of the best networks by proxies, as searches do that trust them.

Each name is loaded when it is first used: ranks need no PyTorch, scores do.
"""

import importlib
from typing import Any

_HOMES = {
    "Agreement": "ranking",
    "Archive": "archive",
    "FIVE": "scoring",
    "Proxies": "judge",
    "agreement": "ranking",
    "evolve": "archive",
    "grad_norm": "scores.grad_norm",
    "jacob_cov": "scores.jacob_cov",
    "multiply_adds": "scores.size",
    "naswot": "scores.naswot",
    "params": "scores.size",
    "rank": "ranking",
    "score": "scoring",
    "snip": "scores.snip",
    "synflow": "scores.synflow",
    "zico": "scores.zico",
}

__all__ = sorted(_HOMES)


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evotune.proxies' has no attribute {name!r}")
    return getattr(importlib.import_module(f"evotune.proxies.{_HOMES[name]}"), name)
