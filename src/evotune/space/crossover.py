"""Crossover: two parents' genomes -> one child's. Every operator is pure.

The second child of a pair is the same operator with the parents swapped and the same random
stream: each locus that the first child took from ``a``, the second takes from ``b``.

Dormant genes take part: a conditional gene that is active in one parent only is inherited from that
parent, where its value was evaluated. Options out of bounds raise AlgorithmError.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from evotune.checks import check_whole
from evotune.errors import AlgorithmError
from evotune.names import own_names
from evotune.space.domains.base import Mix
from evotune.space.layers import Layers, active_chains
from evotune.space.space import Genome, Space

__dir__ = own_names(__name__)

Crossover = Callable[[Space, Genome, Genome, np.random.Generator], Genome]


def _check_rate(name: str, rate: float) -> None:
    if not 0.0 <= rate <= 1.0:
        raise AlgorithmError(f"{name}: rate must lie in [0, 1], got {rate!r}")


class Exchange(Protocol):
    """A crossover that takes each locus whole from either parent."""

    def picks(self, loci: int, rng: np.random.Generator) -> list[bool]:
        """Return for each locus whether it comes from the second parent."""
        ...


def _exchange(space: Space, a: Genome, b: Genome, from_b: Sequence[bool]) -> dict[str, Any]:
    child = {n: b[n] if swap else a[n] for n, swap in zip(space.names, from_b, strict=True)}
    return _inherit_tested(space, a, b, child)


def _inherit_tested(space: Space, a: Genome, b: Genome, child: dict[str, Any]) -> dict[str, Any]:
    if space.conditional:
        asleep_a, asleep_b = space.dormant(a), space.dormant(b)
        for name in asleep_a ^ asleep_b:
            child[name] = b[name] if name in asleep_a else a[name]
    return child


@dataclass(frozen=True, slots=True)
class KPoint:
    """Cut both genomes at ``points`` loci and alternate: 1 is one-point, 2 two-point.

    Args:
        points: Number of cuts; at most genes − 1 are made.
    """

    points: int = 1

    def __post_init__(self) -> None:
        check_whole("KPoint", "points", self.points, 1)

    def __call__(
        self, space: Space, a: Genome, b: Genome, rng: np.random.Generator
    ) -> dict[str, Any]:
        return _exchange(space, a, b, self.picks(len(space.names), rng))

    def picks(self, loci: int, rng: np.random.Generator) -> list[bool]:
        """Return for each locus whether it comes from the second parent."""
        cuts = set((rng.permutation(loci - 1)[: self.points] + 1).tolist()) if loci > 1 else set()
        from_b, swap = [], False
        for locus in range(loci):
            swap ^= locus in cuts
            from_b.append(swap)
        return from_b


@dataclass(frozen=True, slots=True)
class Uniform:
    """Take each gene from ``b`` with probability ``rate``, else from ``a``.

    0.5 is uniform crossover; 0.33 is the per-locus crossover of Vose et al. (2019), where each
    event switches one locus.

    Args:
        rate: Probability per locus.
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        _check_rate("Uniform", self.rate)

    def __call__(
        self, space: Space, a: Genome, b: Genome, rng: np.random.Generator
    ) -> dict[str, Any]:
        return _exchange(space, a, b, self.picks(len(space.names), rng))

    def picks(self, loci: int, rng: np.random.Generator) -> list[bool]:
        """Return for each locus whether it comes from the second parent."""
        return [u < self.rate for u in rng.random(loci).tolist()]


@dataclass(frozen=True, slots=True)
class Segment:
    """At each locus, with probability ``rate``, a crossing switches the parent of all later loci.

    Vose et al. (2019), section 6.1.

    Args:
        rate: Probability of a crossing per locus.
    """

    rate: float = 0.33

    def __post_init__(self) -> None:
        _check_rate("Segment", self.rate)

    def __call__(
        self, space: Space, a: Genome, b: Genome, rng: np.random.Generator
    ) -> dict[str, Any]:
        return _exchange(space, a, b, self.picks(len(space.names), rng))

    def picks(self, loci: int, rng: np.random.Generator) -> list[bool]:
        """Return for each locus whether it comes from the second parent."""
        crossings = rng.random(loci) < self.rate
        return [count % 2 == 1 for count in np.cumsum(crossings).tolist()]


@dataclass(frozen=True, slots=True)
class ByLayer:
    """Exchange the layers of chains whole: cuts fall between layers, never inside of one.

    ``ByLayer(KPoint(1))``, ``ByLayer(KPoint(2))`` and ``ByLayer(Uniform())`` are the one-point,
    two-point and uniform crossover of Wasudeorao and Prasad (2024) on layers. Layer k of one parent
    stands beside layer k of the other; the depth, and each gene outside of chains, is a locus of
    its own. For cuts at different places in both parents see `Splice`.

    Args:
        base: Which loci are exchanged: `KPoint`, `Uniform` or `Segment`.
    """

    base: Exchange = KPoint(1)

    def __post_init__(self) -> None:
        if not callable(getattr(self.base, "picks", None)) or isinstance(self.base, type):
            raise AlgorithmError(
                f"ByLayer: base is KPoint(1), Uniform() or Segment(), got {self.base!r}"
            )

    def __call__(
        self, space: Space, a: Genome, b: Genome, rng: np.random.Generator
    ) -> dict[str, Any]:
        layers = {
            gene: (name, k)
            for name, chain in space.chains.items()
            for k in range(1, chain.max + 1)
            for gene in chain.slot(name, k)
        }
        loci = [layers.get(gene, (gene, 0)) for gene in space.names]
        places = {locus: place for place, locus in enumerate(dict.fromkeys(loci))}
        picks = self.base.picks(len(places), rng)
        return _exchange(space, a, b, [picks[places[locus]] for locus in loci])


@dataclass(frozen=True, slots=True)
class Blend:
    """BLX-α (Eshelman and Schaffer, 1993) on ordered genes, in the unit interval.

    The child is uniform in the parents' interval, widened by ``alpha`` times its length on each
    side. Genes without an order, and those dormant in a parent, are exchanged whole.

    Args:
        alpha: Widening, relative to the distance of the parents.
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        if self.alpha < 0:
            raise AlgorithmError(f"Blend: alpha must not be negative, got {self.alpha!r}")

    def __call__(
        self, space: Space, a: Genome, b: Genome, rng: np.random.Generator
    ) -> dict[str, Any]:
        def mix(u: float, v: float, draw: float) -> float:
            return u + (v - u) * (draw * (1 + 2 * self.alpha) - self.alpha)

        return _mix_ordered(space, a, b, rng, mix)


@dataclass(frozen=True, slots=True)
class Toward:
    """Move each ordered gene of ``a`` toward that of ``b``, by a random share of the way.

    The learning step of Bai and Cheng, "Generalized Population-Based Training for Hyperparameter
    Optimization in Reinforcement Learning" (2024): the genes of a worse member learn from those of
    a better one by a random factor for each gene. The paper also keeps a velocity for each
    member; operators have no memory, and a ``reach`` above 1 overshoots in its place. Genes without
    an order, and those dormant in a parent, are exchanged whole.

    Args:
        reach: Largest share of the way, above 0; 1 ends at ``b``.
    """

    reach: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.reach < math.inf:
            raise AlgorithmError(f"Toward: reach is a number above 0, got {self.reach!r}")

    def __call__(
        self, space: Space, a: Genome, b: Genome, rng: np.random.Generator
    ) -> dict[str, Any]:
        def mix(u: float, v: float, draw: float) -> float:
            return u + (v - u) * draw * self.reach

        return _mix_ordered(space, a, b, rng, mix)


@dataclass(frozen=True, slots=True)
class Splice:
    """Join the first layers of one parent to the last of the other: one cut in each.

    One-point crossover of lists of different length: both cuts fall anywhere between layers, so
    that the child may be deeper or shallower than both; its depth stays in the chain's bounds.

    Args:
        base: The crossover of the genes outside of chains, and of chains that only one parent has.
    """

    base: Crossover = Blend(0.3)

    def __post_init__(self) -> None:
        if not callable(self.base) or isinstance(self.base, type):
            raise AlgorithmError(
                f"Splice: base is a crossover such as Blend(0.3), got {self.base!r}"
            )

    def __call__(
        self, space: Space, a: Genome, b: Genome, rng: np.random.Generator
    ) -> dict[str, Any]:
        child = dict(self.base(space, a, b, rng))
        both = set(active_chains(space, a)) & set(active_chains(space, b))
        for name in space.chains:
            if name in both:
                first, second = Layers(space, name, a), Layers(space, name, b)
                i, j = _cuts(first, second, rng)
                rest = [*first.slots[i : first.depth], *first.slots[first.depth :]]
                joined = [*first.slots[:i], *second.slots[j : second.depth]]
                whole = [*joined, *rest][: len(first.slots)]
                child = Layers(space, name, child).replaced(whole, len(joined))
        return child


def _cuts(a: Layers, b: Layers, rng: np.random.Generator) -> tuple[int, int]:
    """Return how many layers of ``a`` come first, and which of ``b``, from 0, is the next.

    Parents in either order get the same two cuts, and both children have an allowed depth.
    """
    turned = repr([a.genome[n] for n in a.space]) > repr([b.genome[n] for n in b.space])
    one, two = (b, a) if turned else (a, b)
    cuts = [
        (i, j)
        for i in range(one.depth + 1)
        for j in range(two.depth + 1)
        if one.allows(i + two.depth - j) and two.allows(j + one.depth - i)
    ]
    i, j = cuts[int(rng.integers(len(cuts)))]
    return (j, i) if turned else (i, j)


@dataclass(frozen=True, slots=True)
class SimulatedBinary:
    """Simulated binary crossover (Deb and Agrawal, 1995) on ordered genes, in the unit interval.

    Genes without an order, and those dormant in a parent, are exchanged whole.

    Args:
        eta: Distribution index; the larger, the closer children lie to a parent.
        rate: Probability that an ordered gene is crossed; otherwise ``a``'s value is kept.
    """

    eta: float = 15.0
    rate: float = 0.5

    def __post_init__(self) -> None:
        _check_rate("SimulatedBinary", self.rate)
        if self.eta < 0:
            raise AlgorithmError(f"SimulatedBinary: eta must not be negative, got {self.eta!r}")

    def __call__(
        self, space: Space, a: Genome, b: Genome, rng: np.random.Generator
    ) -> dict[str, Any]:
        crossed = iter((rng.random(len(space.names)) < self.rate).tolist())

        def mix(u: float, v: float, draw: float) -> float:
            if not next(crossed):
                return u
            power = 1.0 / (self.eta + 1.0)
            below = draw <= 0.5
            beta: float = (2 * draw) ** power if below else (1 / (2 * (1 - draw))) ** power
            return 0.5 * ((1 + beta) * u + (1 - beta) * v)

        return _mix_ordered(space, a, b, rng, mix)


def _mix_ordered(
    space: Space,
    a: Genome,
    b: Genome,
    rng: np.random.Generator,
    mix: Mix,
) -> dict[str, Any]:
    """Mix ordered genes in the unit interval; exchange the others with probability one half."""
    draws = rng.random(len(space.names)).tolist()
    asleep = space.dormant(a) | space.dormant(b)
    child = {}
    for (name, domain), draw in zip(space.domains.items(), draws, strict=True):
        if name in asleep:
            child[name] = b[name] if draw < 0.5 else a[name]
        else:
            child[name] = domain.cross(a[name], b[name], draw, mix)
    return _inherit_tested(space, a, b, child)
