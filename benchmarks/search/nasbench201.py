"""NAS-Bench-201: a table of all 15,625 cells on CIFAR-10 (Dong and Yang, ICLR 2020)."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from stored import stored

import evotune as et

Array = npt.NDArray[np.float64]
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
#: The six edges of a cell in the order of the table, from node and to node.
EDGES = ("0-1", "0-2", "1-2", "0-3", "1-3", "2-3")


class NasBench201:
    """The cell as six genes, one operation an edge.

    What is minimised is the validation error after 12 epochs; what counts in the end is the test
    error after 200.

    Attributes:
        name: ``nas201/cifar10``.
        space: One `Choice` of five operations for each edge, named such as ``0-1``.
    """

    name = "nas201/cifar10"
    space = et.Space({edge: et.Choice(*OPERATIONS) for edge in EDGES})

    def value(self, params: Mapping[str, Any]) -> float:
        """Return the validation error after 12 epochs, in percent."""
        return float(self.values([params])[0])

    def values(self, many: Sequence[Mapping[str, Any]]) -> Array:
        """Return the validation errors of several cells after 12 epochs, in percent."""
        return 100.0 - _table()["cifar10_val_12ep"][_rows(many)]

    def scores(self, many: Sequence[Mapping[str, Any]]) -> Array:
        """Return the test errors of several cells after 200 epochs, in percent."""
        return 100.0 - _table()["cifar10_test_200ep"][_rows(many)]


def _rows(many: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.int64]:
    codes = [[OPERATIONS.index(params[edge]) for edge in EDGES] for params in many]
    rows: npt.NDArray[np.int64] = _row_of()[tuple(np.array(codes).T)]
    return rows


@cache
def _table() -> dict[str, Array]:
    with np.load(stored("nas_bench_201/nasbench201.npz")) as found:
        names = ("cifar10_val_12ep", "cifar10_test_12ep", "cifar10_test_200ep")
        ops = found["ops"].astype(np.int64)
        return {"ops": ops} | {name: found[name].astype(float) for name in names}


@cache
def _row_of() -> npt.NDArray[np.int64]:
    """Return the row of the table for the six operations, ``(5, 5, 5, 5, 5, 5)``."""
    ops = _table()["ops"]
    rows = np.zeros((len(OPERATIONS),) * len(EDGES), np.int64)
    rows[tuple(ops.T)] = np.arange(len(ops))
    return rows
