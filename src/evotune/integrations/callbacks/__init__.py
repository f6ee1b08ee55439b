"""Callbacks that log the trials of a study to an experiment tracker, beside the search.

- `MLflow`: a run for the study, and nested in it a run for each trial.
- `TensorBoard`: a folder for each trial, with its curves and hyperparameters.
- `WandB`: a run for each trial, in a group for the study (Weights & Biases).
- `Tracker`: what they share, for one of your own.

Write ``study.run(train, trials=60, callbacks=et.callbacks.MLflow(...))``. Each is loaded when it is
first used, and needs an extra, such as ``pip install "evotune[mlflow]"``.
"""

import importlib
from typing import Any

_HOMES = {"MLflow": "mlflow", "TensorBoard": "tensorboard", "Tracker": "tracker", "WandB": "wandb"}

__all__ = sorted(_HOMES)


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evotune.callbacks' has no attribute {name!r}")
    home = importlib.import_module(f"evotune.integrations.callbacks.{_HOMES[name]}")
    return getattr(home, name)
