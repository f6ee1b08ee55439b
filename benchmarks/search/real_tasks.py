"""The real trainings by name, and which of them algorithms may be developed on."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import real_networks as networks
import real_tables as tables

import evotune as et


class Training(Protocol):
    """Something that trains.

    Attributes:
        space: What is tuned.
        smallest: The least value that can be told from 0.
        worst: The value of a training that fails, and the largest.
    """

    @property
    def space(self) -> et.Space: ...
    @property
    def smallest(self) -> float: ...
    @property
    def worst(self) -> float: ...

    def train(self, params: Mapping[str, Any], seed: int) -> tuple[float, float]:
        """Return the validation and the test value, both to be minimised."""


#: Written down before anything was recorded: each kind has a task in either half.
TRAININGS: Mapping[str, Callable[[], Training]] = {
    "svc-digits": lambda: tables.svc("digits"),
    "mlp-breast-cancer": lambda: tables.mlp("breast-cancer"),
    "forest-mnist": lambda: tables.forest("mnist"),
    "boosting-diabetes": lambda: tables.boosting("diabetes"),
    "knn-fashion": lambda: tables.knn("fashion"),
    "elastic-net-diabetes": lambda: tables.elastic_net("diabetes"),
    "families-digits": lambda: tables.families("digits"),
    "families-diabetes": lambda: tables.families("diabetes"),
    "families-fashion": lambda: tables.families("fashion"),
    "convolutions-fashion": lambda: networks.convolutions("fashion", 3),
    "perceptron-digits": lambda: networks.perceptron("digits", 10),
    "forecast-temperature": lambda: networks.forecast(column=6, ahead=3, epochs=5),
    "lora-vietnamese": lambda: networks.Adapted("en", "vi"),
    "svc-fashion": lambda: tables.svc("fashion"),
    "mlp-digits": lambda: tables.mlp("digits"),
    "forest-fashion": lambda: tables.forest("fashion"),
    "boosting-breast-cancer": lambda: tables.boosting("breast-cancer"),
    "knn-mnist": lambda: tables.knn("mnist"),
    "logistic-fashion": lambda: tables.logistic("fashion"),
    "families-breast-cancer": lambda: tables.families("breast-cancer"),
    "families-wine": lambda: tables.families("wine"),
    "families-mnist": lambda: tables.families("mnist"),
    "convolutions-digits": lambda: networks.convolutions("digits", 6),
    "perceptron-fashion": lambda: networks.perceptron("fashion", 5),
    "forecast-load": lambda: networks.forecast(column=0, ahead=1, epochs=5),
    "lora-english": lambda: networks.Adapted("vi", "en"),
}


def measured(training: Training, params: Mapping[str, Any], seed: int) -> tuple[float, float]:
    """Train and return the validation and the test value; a training that fails has the worst."""
    try:
        found = training.train(params, seed)
    except (ValueError, ArithmeticError) as error:
        # What scikit-learn says of weights that have overflowed, among others.
        if "overflow" not in str(error).lower() and "infin" not in str(error).lower():
            raise
        found = (training.worst, training.worst)
    smallest, worst = training.smallest, training.worst
    # A comparison with NaN is false, so that NaN becomes the worst.
    return tuple(max(v, smallest) if v < worst else worst for v in found)  # type: ignore[return-value]
