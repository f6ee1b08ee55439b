"""Topologies: which island sends its migrants to which.

A topology is a callable ``(n) -> neighbours`` with, for each of ``n`` islands, the indices of the
islands that it sends to.
"""

import math
from collections.abc import Callable

from evotune.checks import check_whole, did_you_mean
from evotune.errors import AlgorithmError
from evotune.names import own_names

__dir__ = own_names(__name__)

Neighbours = tuple[tuple[int, ...], ...]
Topology = Callable[[int], Neighbours]


def ring(n: int) -> Neighbours:
    """Each island sends to the next one, the last to the first.

    Args:
        n: How many islands.

    Raises:
        AlgorithmError: Fewer than two islands; so in every topology.
    """
    check_whole("ring", "n", n, 2)
    return tuple(((k + 1) % n,) for k in range(n))


def star(n: int) -> Neighbours:
    """The first island sends to all others, these to the first one only."""
    check_whole("star", "n", n, 2)
    return (tuple(range(1, n)), *(((0,),) * (n - 1)))


def full(n: int) -> Neighbours:
    """Every island sends to all others."""
    check_whole("full", "n", n, 2)
    return tuple(tuple(j for j in range(n) if j != k) for k in range(n))


def grid(n: int) -> Neighbours:
    """Each island sends to its four neighbours on a Cartesian grid (Vose et al., 2019, figure 14).

    The grid is as near to a square as n allows, and closed to a torus, so that no island lies at
    an edge: 12 islands make 3 rows of 4. A prime number of islands makes a single row, a ring in
    which each island sends both ways. In a row or column of two both neighbours are the same one.
    """
    check_whole("grid", "n", n, 2)
    rows = next(r for r in range(math.isqrt(n), 0, -1) if n % r == 0)
    columns = n // rows

    def around(k: int) -> tuple[int, ...]:
        row, column = divmod(k, columns)
        reached = [
            ((row + down) % rows) * columns + (column + right) % columns
            for down, right in ((-1, 0), (0, 1), (1, 0), (0, -1))
        ]
        return tuple(sorted(set(reached) - {k}))

    return tuple(around(k) for k in range(n))


TOPOLOGIES: dict[str, Topology] = {t.__name__: t for t in (ring, star, full, grid)}


def find_topology(topology: str | Topology, n: int) -> Neighbours:
    """Return where each of n islands sends to.

    Args:
        topology: ``"ring"``, ``"star"``, ``"full"``, ``"grid"``, or a callable of your own.
        n: How many islands.

    Raises:
        AlgorithmError: No topology has this name, or a callable returns something else.
    """
    if callable(topology):
        return _checked(topology(n), n)
    if not isinstance(topology, str) or topology not in TOPOLOGIES:
        raise AlgorithmError(
            f"there is no topology {topology!r}{did_you_mean(str(topology), TOPOLOGIES) or '.'} "
            f"Known: {', '.join(TOPOLOGIES)}, or a function of the number of islands"
        )
    return TOPOLOGIES[topology](n)


def _checked(given: Neighbours, n: int) -> Neighbours:
    neighbours = tuple(tuple(row) for row in given)
    for k, row in enumerate(neighbours):
        if not set(row) <= set(range(n)) - {k} or len(set(row)) < len(row):
            raise AlgorithmError(
                f"topology: island {k} of {n} must send to other islands, each named once by its "
                f"index from 0 to {n - 1}; got {row!r}"
            )
    if len(neighbours) != n:
        raise AlgorithmError(
            f"topology: there are {n} islands, so it must return {n} tuples; "
            f"got {len(neighbours)}: {neighbours!r}"
        )
    return neighbours
