"""Starting populations that cover the space better than independent draws."""

from collections.abc import Callable
from typing import Any

import numpy as np

from evotune.errors import AlgorithmError
from evotune.space.space import Space

Design = Callable[[Space, int, np.random.Generator], list[dict[str, Any]]]


def random(space: Space, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return ``count`` genomes drawn independently."""
    return [space.sample(rng) for _ in range(count)]


def latin_hypercube(space: Space, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return ``count`` genomes; each of ``count`` equal slices of a gene's range is used once."""
    # The points of scipy.stats.qmc.LatinHypercube, without its import, which takes half a second.
    (rng,) = rng.spawn(1)
    offsets = rng.uniform(size=(count, len(space)))
    slices = np.tile(np.arange(1, count + 1), (len(space), 1))
    for row in slices:
        rng.shuffle(row)
    return _decode(space, (slices.T - offsets) / count)


def sobol(space: Space, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return the first ``count`` genomes of a scrambled Sobol sequence (Owen, 1998)."""
    from scipy.stats import qmc

    # A power of two keeps the sequence balanced; the rest is cut off.
    sampler = qmc.Sobol(len(space), scramble=True, rng=rng)
    return _decode(space, sampler.random_base2(max(int(count) - 1, 0).bit_length())[:count])


def _decode(space: Space, points: Any) -> list[dict[str, Any]]:
    return [space.decode(point) for point in points]


DESIGNS: dict[str, Design] = {"random": random, "latin_hypercube": latin_hypercube, "sobol": sobol}


def design_named(start: str | Design) -> Design:
    """Return a design by its name, or the callable itself.

    Raises:
        AlgorithmError: No design has that name.
    """
    if callable(start) and not isinstance(start, type):
        return start
    if not isinstance(start, str) or start not in DESIGNS:
        raise AlgorithmError(f"start must be one of {', '.join(DESIGNS)}, got {start!r}")
    return DESIGNS[start]
