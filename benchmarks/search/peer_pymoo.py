"""pymoo (Blank and Deb, 2020): its genetic algorithm for mixed variables.

pymoo knows neither conditions nor logarithmic scales: it gets all genes, dormant ones are ignored,
and numbers on a logarithmic scale are given as their position on it.
"""

from collections.abc import Mapping
from typing import Any

from peer_spaces import plain
from pymoo.core.mixed import MixedVariableGA
from pymoo.core.problem import ElementwiseProblem
from pymoo.core.variable import Choice, Integer, Real
from pymoo.optimize import minimize
from recorder import Recorder

import evotune as et

#: Its default of 50 would leave two generations of 100 evaluations.
POPULATION = 20


def mixed_variable_ga(recorder: Recorder, seed: int) -> None:
    """Minimise by MixedVariableGA with a population of 20."""
    budget = ("n_eval", recorder.evaluations)
    minimize(_Problem(recorder), MixedVariableGA(pop_size=POPULATION), budget, seed=seed)


class _Problem(ElementwiseProblem):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        domains = recorder.problem.space.domains
        super().__init__(vars={name: variable_of(d) for name, d in domains.items()}, n_obj=1)

    def _evaluate(self, x: Mapping[str, Any], out: dict[str, Any], *_: Any, **__: Any) -> None:
        space = self._recorder.problem.space
        given = plain(x)
        genome = {name: value_of(domain, given[name]) for name, domain in space.domains.items()}
        out["F"] = self._recorder(space.params(genome))


def variable_of(domain: Any) -> Any:
    """Return the variable of pymoo that stands for a domain."""
    if _is_position(domain):
        return Real(bounds=(0.0, 1.0))
    if isinstance(domain, et.Int):
        return Integer(bounds=(domain.low, domain.high))
    return Choice(options=list(domain.values()))


def value_of(domain: Any, given: Any) -> Any:
    """Return the value of a domain that a value of its variable stands for."""
    if _is_position(domain):
        return domain.from_unit(given)
    return given


def _is_position(domain: Any) -> bool:
    return isinstance(domain, et.Float) or (isinstance(domain, et.Int) and domain.log)
