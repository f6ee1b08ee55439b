"""Refinement of the space towards an elite (Wasudeorao and Prasad, 2024, section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass

from evotune.checks import check_whole
from evotune.errors import AlgorithmError
from evotune.space.domains import Domain, Float, Int
from evotune.space.listed import Choice
from evotune.space.space import Genome, Space


@dataclass(frozen=True, slots=True)
class Refinement:
    """When and how far the ranges shrink to those of the elite.

    The paper prints θ_new ∈ [min(θ) + ε, max(θ) − ε] over the high performers, ranges that become
    narrower than the elite itself with every step; a negative ``margin`` gives that. The default
    keeps a margin around the elite.

    Args:
        every: Generations between two refinements.
        elite: Share of the population, best first, whose range counts.
        margin: ε as a share of the present range, added on each side.
        floor: Chance of each categorical value that died out in the elite; never zero.
        narrowest: Smallest width that a range may shrink to, as a share of the full range.
        undo_after: Generations without a better best after which the full ranges return; None
            never undoes.
    """

    every: int = 5
    elite: float = 0.3
    margin: float = 0.1
    floor: float = 0.05
    narrowest: float = 0.02
    undo_after: int | None = 10

    def __post_init__(self) -> None:
        check_whole("Refinement", "every", self.every, 1)
        if self.undo_after is not None:
            check_whole("Refinement", "undo_after", self.undo_after, 1)
        if not 0 < self.elite <= 1:
            raise AlgorithmError(f"Refinement: elite must lie in (0, 1], got {self.elite!r}")
        if not (0 < self.floor < 0.5 and 0 < self.narrowest <= 1):
            raise AlgorithmError(
                f"Refinement: floor must lie in (0, 0.5) and narrowest in (0, 1], "
                f"got floor={self.floor!r}, narrowest={self.narrowest!r}"
            )

    def refine(self, full: Space, now: Space, elite: Sequence[Genome]) -> Space:
        """Return ``full`` with every range shrunk to the elite's within ``now``.

        Args:
            full: The space as the user gave it.
            now: The space as refined before.
            elite: Genomes of the high performers; genes dormant in all of them keep their range.
        """
        awake = [(genome, full.dormant(genome)) for genome in elite]
        domains = {}
        for name, domain in full.domains.items():
            values = [genome[name] for genome, asleep in awake if name not in asleep]
            shrunk = self._shrink(domain, now.domains[name], values) if values else None
            domains[name] = shrunk or now.domains[name]
        return full.narrowed(domains)

    def _shrink(self, full: Domain, now: Domain, values: Sequence[object]) -> Domain | None:
        if isinstance(full, Float | Int) and isinstance(now, Float | Int):
            return self._shrink_range(full, now, values)
        if isinstance(full, Choice):
            shares = [max(self.floor, values.count(v) / len(values)) for v in full.options]
            return Choice(*full.options, weights=shares, when=dict(full.when))
        return None  # ordinals and fixed genes keep all their values

    def _shrink_range(
        self, full: Float | Int, now: Float | Int, values: Sequence[object]
    ) -> Domain:
        begin, end = full.to_unit(now.low), full.to_unit(now.high)
        # An elite trial may lie outside: it came from before, or from elsewhere.
        units = sorted(min(max(full.to_unit(value), begin), end) for value in values)
        margin = self.margin * (end - begin)
        low, high = units[0] - margin, units[-1] + margin
        if high - low < self.narrowest:
            middle = (units[0] + units[-1]) / 2
            low, high = middle - self.narrowest / 2, middle + self.narrowest / 2
        low, high = max(low, begin), min(high, end)
        when = dict(full.when)
        if isinstance(full, Int):
            return Int(full.from_unit(low), full.from_unit(high), log=full.log, when=when)
        bounds = full.from_unit(low), full.from_unit(high)
        return Float(*bounds, log=full.log, step=full.step, when=when)


def into(space: Space, genome: Genome) -> dict[str, object]:
    """Return a genome with every number brought inside the ranges of a refined space."""
    inside = dict(genome)
    for name, domain in space.domains.items():
        if isinstance(domain, Float | Int):
            inside[name] = min(max(genome[name], domain.low), domain.high)
    return inside
