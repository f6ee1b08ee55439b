"""Nevergrad (Bennet et al., 2021): NGOpt, which picks by the problem, and plain DE.

Nevergrad knows no conditions: it gets all genes, and dormant ones are ignored.
"""

from typing import Any

import nevergrad as ng
from recorder import Recorder

import evotune as et


def ngopt(recorder: Recorder, seed: int) -> None:
    """Minimise by NGOpt."""
    _minimise(recorder, seed, ng.optimizers.NGOpt)


def differential_evolution(recorder: Recorder, seed: int) -> None:
    """Minimise by DE, population 30."""
    _minimise(recorder, seed, ng.optimizers.DE)


def _minimise(recorder: Recorder, seed: int, make: Any) -> None:
    space = recorder.problem.space
    genes = ng.p.Dict(**{name: _parameter(domain) for name, domain in space.domains.items()})
    genes.random_state.seed(seed)
    optimizer = make(genes, budget=recorder.evaluations, num_workers=1)
    while not recorder.is_over:
        candidate = optimizer.ask()
        optimizer.tell(candidate, recorder(space.params(candidate.value)))


def _parameter(domain: Any) -> Any:
    if isinstance(domain, et.Float | et.Int) and getattr(domain, "step", None) is None:
        made = ng.p.Log if domain.log else ng.p.Scalar
        number = made(lower=domain.low, upper=domain.high)
        return number.set_integer_casting() if isinstance(domain, et.Int) else number
    make = ng.p.TransitionChoice if domain.ordered else ng.p.Choice
    return make(list(domain.values()))
