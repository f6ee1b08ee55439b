"""Networks that are found by evolving their proxies, and not by training any."""

import logging
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evotune.errors import AlgorithmError
from evotune.protocols import Genome, task_traits
from evotune.proxies.ranking import Array, rank
from evotune.space import Space
from evotune.space.crossover import Uniform
from evotune.space.mutation import Gaussian

log = logging.getLogger("evotune")

#: Function of params that returns the scores of their network by name; larger is better.
Scores = Callable[[dict[str, Any]], Mapping[str, float]]

#: Random genomes to begin with; then rounds, children of each, and the best that are parents.
FIRST, ROUNDS, CHILDREN, PARENTS = 300, 10, 200, 60
#: A space with many networks has about so many different ones in the end; what is said of the time
#: that they take is measured on the first few, and only where it is long, in seconds.
NETWORKS, TIMED, LONG = 1000, 20, 20.0
_CROSS, _CHANGE_ONE = Uniform(), Gaussian(rate=0.0, at_least_one=True)


@dataclass(slots=True)
class Archive:
    """All genomes whose scores differ, of those that were looked at.

    Args:
        space: What may be searched.
        proxies: Function of params that returns scores by name. Where it has ``traits`` with a
            `fit`, as `Proxies` of a template with limits have, genomes are made to fit first.

    Attributes:
        genomes: In the order in which they were found.
        scores: Of each of them.
    """

    space: Space
    proxies: Scores
    genomes: list[dict[str, Any]] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    _keys: set[Hashable] = field(default_factory=set)
    _different: set[tuple[float, ...]] = field(default_factory=set)

    def add(self, genome: Genome) -> None:
        """Score a genome; what was looked at, or has the scores of another one, is left out.

        Raises:
            AlgorithmError: The proxies return no scores.
        """
        made = _fitted(self.space, self.proxies, genome)
        key = self.space.key(made)
        if key in self._keys:
            return
        self._keys.add(key)
        scores = _checked(self.proxies(self.space.params(made)))
        different = tuple(scores.values())
        if different not in self._different:
            self._different.add(different)
            self.genomes.append(made)
            self.scores.append(scores)

    def ranks(self) -> Array:
        """Return the rank of each genome among all, larger is better, shape ``(genomes,)``."""
        return rank(self.scores)

    def order(self) -> list[int]:
        """Return the places of the genomes, best first."""
        return [int(k) for k in np.argsort(-self.ranks(), kind="stable")]


def evolve(space: Space, proxies: Scores, rng: np.random.Generator) -> Archive:
    """Evolve proxies: 300 random genomes, then 10 rounds of 200 children of the best 60.

    A child has two of them as parents, each gene from either, and one of its genes is changed.
    Ranks are those in the archive as it grows.

    Args:
        space: What may be searched.
        proxies: Function of params that returns scores by name.
        rng: Random stream.

    Raises:
        AlgorithmError: The proxies return no scores, or none that is finite.
    """
    archive = Archive(space, proxies)
    began = time.monotonic()
    for k in range(FIRST):
        archive.add(space.sample(rng))
        if k == TIMED - 1:
            _say_how_long((time.monotonic() - began) / TIMED)
    if not any(np.isfinite(list(scores.values())).any() for scores in archive.scores):
        raise AlgorithmError(
            f"proxies={proxies!r} gave no network of {FIRST} a finite score, so that they say "
            "nothing; the log says why. Leave proxies= out, or choose others"
        )
    for _ in range(ROUNDS):
        best = archive.order()[:PARENTS]
        for _ in range(CHILDREN):
            a, b = (archive.genomes[best[int(k)]] for k in rng.integers(len(best), size=2))
            archive.add(_CHANGE_ONE(space, _CROSS(space, a, b, rng), rng))
    return archive


def _say_how_long(seconds: float) -> None:
    """Say how long all networks will take, if that is so long that a run seems to hang."""
    about = seconds * NETWORKS
    if about >= LONG:
        log.warning(
            "proxies: scoring about %d networks before the next trial takes about %.0f s; "
            "faster are fewer scores, such as Proxies(..., names=('synflow', 'params'))",
            NETWORKS,
            about,
        )


def scores_of(space: Space, proxies: Scores, genome: Genome) -> dict[str, float]:
    """Return the scores of a genome as it would be tried: made to fit the limits of a template.

    Raises:
        AlgorithmError: The proxies return no scores.
    """
    return _checked(proxies(space.params(_fitted(space, proxies, genome))))


def _fitted(space: Space, proxies: Scores, genome: Genome) -> dict[str, Any]:
    fit = task_traits(proxies).fit
    return dict(genome if fit is None else fit(space, genome))


def _checked(scores: Any) -> dict[str, float]:
    """Return scores as a dict of floats.

    Raises:
        AlgorithmError: They are something else.
    """
    try:
        found = {str(name): float(value) for name, value in scores.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise AlgorithmError(
            "proxies= is a function of params that returns scores by name, such as "
            f'{{"naswot": 12.3, "params": 1200.0}}; it returned {scores!r}'
        ) from error
    if not found:
        raise AlgorithmError("the function given as proxies= returned no scores")
    return found
