"""Mutation: a genome -> a changed copy, always inside the bounds. Every operator is pure.

Only active genes mutate: a dormant gene keeps its last evaluated value for when it becomes active
again. Options out of bounds raise AlgorithmError.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from evotune.checks import did_you_mean
from evotune.errors import AlgorithmError
from evotune.names import own_names
from evotune.space.domains import Domain
from evotune.space.domains.lattice import FINE
from evotune.space.layers import EDITS, Layers, active_chains
from evotune.space.space import Genome, Space

__dir__ = own_names(__name__)

Mutation = Callable[[Space, Genome, np.random.Generator], Genome]
Change = Callable[[str, Domain, Any], Any]


class _GeneByGene(Protocol):
    """A mutation that picks each active gene with the same probability."""

    @property
    def rate(self) -> float | None: ...
    @property
    def at_least_one(self) -> bool: ...


def _check(name: str, rate: float | None) -> None:
    if rate is not None and not 0.0 <= rate <= 1.0:
        raise AlgorithmError(
            f"{name}: rate must lie in [0, 1], or be None for one gene on average; got {rate!r}"
        )


def _vary(
    space: Space,
    genome: Genome,
    rng: np.random.Generator,
    operator: _GeneByGene,
    change: Change,
) -> dict[str, Any]:
    """Change each active gene with the operator's rate."""
    child = dict(genome)
    asleep = space.dormant(genome)
    names = [name for name in space.variable if name not in asleep]
    if not names:
        return child
    rate = 1.0 / len(names) if operator.rate is None else operator.rate
    picked = [n for n, u in zip(names, rng.random(len(names)).tolist(), strict=True) if u < rate]
    if not picked and operator.at_least_one:
        picked = [names[int(rng.random() * len(names))]]
    for name in picked:
        child[name] = change(name, space.domains[name], genome[name])
    return child


@dataclass(frozen=True, slots=True)
class UniformReset:
    """Replace a gene by a new uniform value ("Evolving Hyperparameters", 2024, section 4.5).

    Args:
        rate: Probability per active gene; None is one gene on average.
        at_least_one: Mutate one random active gene when none was picked.
    """

    rate: float | None = 0.2
    at_least_one: bool = False

    def __post_init__(self) -> None:
        _check("UniformReset", self.rate)

    def __call__(self, space: Space, genome: Genome, rng: np.random.Generator) -> dict[str, Any]:
        def change(name: str, domain: Domain, value: Any) -> Any:
            return domain.draw(rng)

        return _vary(space, genome, rng, self, change)


@dataclass(frozen=True, slots=True)
class Creep:
    """The four-way creep of Vose et al. (2019), section 3.1, for numbers.

    With equal probability one of: decrease by 0–1 %, increase by 0–1 %, increase by 10–20 %,
    decrease by 10–20 % of the value (of the range where the value is 0). Whole numbers and ordinals
    that would not change move by one; other genes change to another value.

    Args:
        rate: Probability per active gene; None is one gene on average.
        at_least_one: Mutate one random active gene when none was picked.
    """

    rate: float | None = 0.05
    at_least_one: bool = False

    def __post_init__(self) -> None:
        _check("Creep", self.rate)

    def __call__(self, space: Space, genome: Genome, rng: np.random.Generator) -> dict[str, Any]:
        def change(name: str, domain: Domain, value: Any) -> Any:
            if not domain.ordered:
                return domain.other(value, rng)
            draw, amount = float(rng.random()), float(rng.random())
            share = (0.01 * amount) if draw < 0.5 else (0.1 + 0.1 * amount)
            sign = 1 if int(draw * 4) % 2 else -1
            return domain.grow(value, sign * share)

        return _vary(space, genome, rng, self, change)


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Move ordered genes by a normal step in the unit interval, reflected at the bounds.

    The step is relative to the gene's range, in log scale where the domain is. Whole numbers always
    move by at least one; genes without an order change to another value.

    Args:
        rate: Probability per active gene; None is one gene on average.
        scale: Standard deviation, relative to the range: one number, a pair between which each
            call draws log-uniformly (small and large steps both keep occurring), or one number
            for each gene by name.
        at_least_one: Mutate one random active gene when none was picked.
    """

    rate: float | None = None
    scale: float | tuple[float, float] | Mapping[str, float] = (0.01, 0.4)
    at_least_one: bool = True

    def __post_init__(self) -> None:
        _check("Gaussian", self.rate)
        if isinstance(self.scale, list):  # as files write a pair
            object.__setattr__(self, "scale", tuple(self.scale))
        given = self.scale
        scales = given.values() if isinstance(given, Mapping) else np.atleast_1d(given).tolist()
        if not all(s > 0 for s in scales) or (isinstance(given, tuple) and len(given) != 2):
            raise AlgorithmError(
                "Gaussian: scale is a positive number, a pair of them, or one for each gene by "
                f"name; got {given!r}"
            )

    def __call__(self, space: Space, genome: Genome, rng: np.random.Generator) -> dict[str, Any]:
        scale = self.scale
        if isinstance(scale, tuple):
            low, high = math.log(scale[0]), math.log(scale[1])
            scale = math.exp(low + (high - low) * float(rng.random()))

        def change(name: str, domain: Domain, value: Any) -> Any:
            if not domain.ordered:
                return domain.other(value, rng)
            if isinstance(scale, Mapping) and name not in scale:
                raise AlgorithmError(f"Gaussian: scale has no number for gene {name!r}: {scale!r}")
            sigma = scale[name] if isinstance(scale, Mapping) else scale
            return domain.shift(value, sigma * float(rng.standard_normal()))

        return _vary(space, genome, rng, self, change)


@dataclass(frozen=True, slots=True)
class Polynomial:
    """Polynomial mutation (Deb and Goyal, 1996) of ordered genes, in the unit interval.

    Args:
        rate: Probability per active gene; None is one gene on average.
        eta: Distribution index; the larger, the smaller the step.
        at_least_one: Mutate one random active gene when none was picked.
    """

    rate: float | None = None
    eta: float = 20.0
    at_least_one: bool = True

    def __post_init__(self) -> None:
        _check("Polynomial", self.rate)
        if self.eta < 0:
            raise AlgorithmError(f"Polynomial: eta must not be negative, got {self.eta!r}")

    def __call__(self, space: Space, genome: Genome, rng: np.random.Generator) -> dict[str, Any]:
        def change(name: str, domain: Domain, value: Any) -> Any:
            if not domain.ordered:
                return domain.other(value, rng)
            unit, draw = domain.to_unit(value), float(rng.random())
            power = 1.0 / (self.eta + 1.0)
            if draw < 0.5:
                rest = 2 * draw + (1 - 2 * draw) * (1 - unit) ** (self.eta + 1)
                return domain.shift(value, max(rest**power - 1, -unit))
            rest = 2 * (1 - draw) + (2 * draw - 1) * unit ** (self.eta + 1)
            return domain.shift(value, min(1 - rest**power, 1 - unit))

        return _vary(space, genome, rng, self, change)


@dataclass(frozen=True, slots=True)
class Perturb:
    """The explore step of population-based training (Jaderberg et al., 2017, section 4).

    With probability ``resample`` a gene is redrawn, uniformly on its own scale; otherwise a number
    is multiplied by one of the factors (0 moves by the same share of its range) and an ordinal
    moves by one. A picked number always changes: at a bound it moves the other way, whole numbers
    and steps move by at least one, and a redrawn discrete value differs from the old one. Genes
    without an order change only when they are redrawn.

    Args:
        factors: Positive numbers other than 1, one of which is taken at random.
        resample: Probability that a picked gene is redrawn.
        rate: Probability per active gene; None is one gene on average.
        at_least_one: Mutate one random active gene when none was picked.
    """

    factors: tuple[float, ...] = (0.8, 1.2)
    resample: float = 0.25
    rate: float | None = 1.0
    at_least_one: bool = False

    def __post_init__(self) -> None:
        _check("Perturb", self.rate)
        if isinstance(self.factors, list):  # as files write them
            object.__setattr__(self, "factors", tuple(self.factors))
        factors = self.factors
        if not (
            isinstance(factors, tuple)
            and factors
            and all(0 < factor < math.inf and factor != 1 for factor in factors)
        ):
            raise AlgorithmError(
                f"Perturb: factors are positive numbers other than 1, such as (0.8, 1.2); "
                f"got {factors!r}"
            )
        if not 0 <= self.resample <= 1:
            raise AlgorithmError(f"Perturb: resample must lie in [0, 1], got {self.resample!r}")

    def __call__(self, space: Space, genome: Genome, rng: np.random.Generator) -> dict[str, Any]:
        def change(name: str, domain: Domain, value: Any) -> Any:
            anew, draw = float(rng.random()) < self.resample, float(rng.random())
            if not domain.ordered:
                return domain.other(value, rng) if anew else value
            if anew:
                drawn = (
                    domain.draw(rng) if FINE < domain.size < math.inf else domain.from_unit(draw)
                )
                stays = drawn == value and 1 < domain.size < math.inf
                return domain.neighbour(value, 1 if draw < 0.5 else -1) if stays else drawn
            return _multiply(domain, value, self.factors[int(draw * len(self.factors))])

        return _vary(space, genome, rng, self, change)


def _multiply(domain: Domain, value: Any, factor: float) -> Any:
    share = factor - 1
    ends = domain.ends()
    if ends is not None:
        share = -share if value < 0 else share
        if value == ends[share > 0]:  # the bound would keep it in place
            share = -share
    return domain.grow(value, share)


@dataclass(frozen=True, slots=True)
class Structural:
    """Edit the layers of a chain, with probability ``share``; otherwise another mutation.

    One random operation out of: ``insert`` a random layer, ``delete``, ``duplicate``, or ``swap``
    two; ``replace`` the block of a layer, ``widen`` it (wider or narrower by half), or ``change``
    how it works, such as its activation. One that is not possible, or changes nothing, gives way
    to another. So Wasudeorao and Prasad (2024) describe structural mutation: layers are added or
    removed, and numbers of neurons and how they work are altered. A space without an active chain
    has ``base`` only.

    Layers move as wholes, with their dormant genes. Ordinary mutations vary chains too, through the
    depth and the block of each layer, and are the default: see benchmarks/RESULTS.md.

    Args:
        base: The mutation of everything else.
        share: Probability of an operation on layers.
        operations: Names of the operations to choose from.
    """

    base: Mutation = Gaussian()
    share: float = 0.3
    operations: tuple[str, ...] = tuple(EDITS)

    def __post_init__(self) -> None:
        _check_callable("Structural", self.base)
        if not 0 <= self.share <= 1:
            raise AlgorithmError(f"Structural: share must lie in [0, 1], got {self.share!r}")
        if isinstance(self.operations, list):  # as files write them
            object.__setattr__(self, "operations", tuple(self.operations))
        if not isinstance(self.operations, tuple) or not self.operations:
            raise AlgorithmError(
                f"Structural: operations are one or more of {', '.join(EDITS)}, such as "
                f"('insert', 'delete'); got {self.operations!r}"
            )
        for name in self.operations:
            if name not in EDITS:
                raise AlgorithmError(
                    f"Structural: there is no operation {name!r}, only {', '.join(EDITS)}"
                    f"{did_you_mean(str(name), EDITS)}"
                )

    def __call__(self, space: Space, genome: Genome, rng: np.random.Generator) -> dict[str, Any]:
        if rng.random() < self.share:
            child = self._edited(space, genome, rng)
            if child is not None:
                return child
        return dict(self.base(space, genome, rng))

    def _edited(
        self, space: Space, genome: Genome, rng: np.random.Generator
    ) -> dict[str, Any] | None:
        """Return the genome after the first operation that makes a difference, or None."""
        chains = active_chains(space, genome)
        pairs = [(operation, chain) for operation in self.operations for chain in chains]
        key = space.key(genome)
        for pick in rng.permutation(len(pairs)).tolist():
            operation, chain = pairs[pick]
            child = EDITS[operation](Layers(space, chain, genome), rng)
            if child is not None and space.key(child) != key:
                return child
        return None


def _check_callable(name: str, base: Any) -> None:
    if not callable(base) or isinstance(base, type):
        raise AlgorithmError(f"{name}: base is a mutation such as Gaussian(), got {base!r}")
