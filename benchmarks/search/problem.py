"""What is searched, and the sets of problems that methods are compared on."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import real
import yahpo
from nasbench201 import NasBench201

import evotune as et

SETS = ("lcbench", "xgboost", "nas201", "training", "real", "real-trees", "real-live")


class Problem(Protocol):
    """Something to minimise.

    A problem with a cheaper version of its evaluation has a further attribute ``fidelity``: a
    name, the smallest and the full value; `value` takes it as a keyword. One whose result counts by
    something else than what is minimised has a further method ``scores``, as `values`. One that is
    too dear for `scale` has an attribute ``ends``. One that differs from run to run has a further
    method ``for_run``, which returns it as a run of a seed meets it.
    """

    @property
    def name(self) -> str: ...
    @property
    def space(self) -> et.Space: ...

    def value(self, params: Mapping[str, Any]) -> float:
        """Return the minimised value of active genes."""

    def values(self, many: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
        """Return the values of several params at once."""


def problems(kind: str, tasks: Sequence[str] = (), *, held_out: bool = False) -> list[Problem]:
    """Return the problems of a set.

    Args:
        kind: One of `SETS`.
        tasks: OpenML tasks, or names of real trainings; by default all that algorithms may be
            developed on.
        held_out: Allow tasks that are kept for the final judgement; they have to be named.

    Raises:
        HeldOutError: A held-out task without ``held_out``.
        ValueError: There is no such task.
    """
    if kind == "nas201":
        return [NasBench201()]
    if kind == "training":
        import training  # PyTorch takes seconds to load

        return [training.digits(), training.fashion()]
    if kind.startswith("real"):
        return list(real.problems(kind, tasks, held_out=held_out))
    chosen = tasks or yahpo.DEVELOPMENT[kind]
    return [yahpo.YahpoTask(kind, task, held_out=held_out) for task in chosen]
