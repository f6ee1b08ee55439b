"""Refinement of the space towards an elite (Wasudeorao and Prasad, 2024, section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass

from evotune.checks import check_whole
from evotune.errors import AlgorithmError
from evotune.names import own_names
from evotune.space.space import Genome, Space

__dir__ = own_names(__name__)


@dataclass(frozen=True, slots=True)
class Refinement:
    """When and how far the ranges shrink to those of the elite.

    The paper's θ_new ∈ [min(θ) + ε, max(θ) − ε] over the high performers makes ranges narrower than
    the elite's own; a negative ``margin`` gives that. The default keeps a margin around it.

    Args:
        every: Generations between two refinements.
        elite: Share of the population, best first, that defines the new ranges.
        margin: ε as a share of the present range, added on each side.
        floor: Probability of each categorical value that is absent from the elite; never zero.
        narrowest: Smallest width that a range may shrink to, as a share of the full range.
        undo_after: Generations without improvement after which the full ranges return; None: never.
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
            domains[name] = now.domains[name]
            if values:
                domains[name] = domain.narrowed(
                    domains[name],
                    values,
                    margin=self.margin,
                    narrowest=self.narrowest,
                    floor=self.floor,
                )
        return full.narrowed(domains)


def into(space: Space, genome: Genome) -> dict[str, object]:
    """Return a genome with every number brought inside the ranges of a refined space."""
    return dict(genome) | {n: d.clip(genome[n]) for n, d in space.domains.items()}
