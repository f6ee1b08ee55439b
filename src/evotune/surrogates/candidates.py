"""A pool of candidates that evolves under a surrogate's acquisition, thousands at a time.

Everything works on matrices of `evotune.surrogates.rows`; no candidate becomes a genome before it
is chosen.
"""

import math
from collections.abc import Callable, Collection
from contextlib import suppress

import numpy as np

from evotune.errors import TaskError
from evotune.protocols import Genome
from evotune.space.folding import reflect_all
from evotune.surrogates.rows import Array, Mask, Rows

#: Judges rows, shape ``(rows, columns)``, given which genes are active: the higher, the better.
Score = Callable[[Array, Mask], Array]
#: Returns a genome as it would be tried, which keeps to the limits of the task.
Fit = Callable[[Genome], Genome]

#: Candidates of the first generation, and the share of them that are drawn uniformly.
FIRST, UNIFORM = 512, 0.25
#: Later generations, candidates of each, and how many parents they have.
LATER, CANDIDATES, PARENTS = 3, 256, 24
#: Shares of children by uniform crossover and by SBX; the rest have one parent.
EXCHANGED, BLENDED = 0.35, 0.35
#: Distribution index of SBX; share of crossed children that are not mutated.
ETA, UNMUTATED = 10.0, 0.15
#: Smallest and largest step of mutations of observed parents, and the smallest of later ones.
STEPS, SMALLEST = (0.01, 0.4), 0.003
#: Candidates of each generation that are made to fit, where a task has limits: networks are built
#: for it, which takes milliseconds each.
FITTED = 6


def evolve(
    rows: Rows,
    observed: Array,
    score: Score,
    taken: Collection[bytes],
    rng: np.random.Generator,
    fit: Fit | None = None,
) -> Array | None:
    """Return the best candidate that was found, or None when all were taken.

    Args:
        rows: The rows of the space.
        observed: Rows of the best trials, best first, shape ``(parents, columns)``.
        score: The acquisition.
        taken: Keys of rows that must not be proposed.
        rng: Random stream.
        fit: Makes genomes keep to the limits of the task. What lies beyond them is never tried and
            so is never learned: its acquisition would stay high, although what is tried in its
            place is long known. So the best of each generation are judged as they would be tried.
    """
    pool = _Pool(rows, score, taken, fit)
    uniform = round(UNIFORM * FIRST)
    born = children(rows, observed, FIRST - uniform, STEPS, rng)
    pool.add(np.concatenate([born, rows.sample(uniform, rng)]))
    for generation in range(1, LATER + 1):
        if len(pool.best) == 0:
            pool.add(rows.sample(CANDIDATES, rng))
        else:
            steps = (SMALLEST, 0.2 / (1 + generation))
            pool.add(children(rows, pool.best, CANDIDATES, steps, rng))
    return pool.best[0] if len(pool.best) else None


class _Pool:
    """The best candidates so far."""

    def __init__(self, rows: Rows, score: Score, taken: Collection[bytes], fit: Fit | None) -> None:
        self.best = np.zeros((0, len(rows.names)))
        self._scores = np.zeros(0)
        self._rows = rows
        self._score = score
        self._taken = taken
        self._fit = fit
        self._seen: set[bytes] = set()  # keys of what was judged
        self._tried: set[bytes] = set()  # and of what came out of `fit`

    def add(self, candidates: Array) -> None:
        new, scores = self._judged(candidates, self._seen)
        if self._fit is not None and len(new):
            best = np.argsort(-scores, kind="stable")[:FITTED]
            new, scores = self._judged(self._fitted(new[best], self._fit), self._tried)
        if len(new):
            scores = np.concatenate([self._scores, scores])
            order = np.argsort(-scores, kind="stable")[:PARENTS]
            self.best = np.concatenate([self.best, new])[order]
            self._scores = scores[order]

    def _judged(self, candidates: Array, seen: set[bytes]) -> tuple[Array, Array]:
        """Return the candidates that are new, and their scores; they count as seen then."""
        active = self._rows.active(candidates)
        new = []
        for k, key in enumerate(self._rows.keys(candidates, active)):
            if key not in seen and key not in self._taken:
                seen.add(key)
                new.append(k)
        if not new:
            return candidates[:0], np.zeros(0)
        return candidates[new], self._score(candidates[new], active[new])

    def _fitted(self, candidates: Array, fit: Fit) -> Array:
        """Return candidates as they would be tried, without those for which there is no way."""
        fitted = []
        for candidate in candidates:
            with suppress(TaskError):
                fitted.append(self._rows.row(fit(self._rows.genome(candidate))))
        return np.array(fitted).reshape(-1, candidates.shape[1])


def children(
    rows: Rows, parents: Array, count: int, steps: tuple[float, float], rng: np.random.Generator
) -> Array:
    """Return children of parents that are given best first, shape ``(count, columns)``.

    Args:
        rows: The rows of the space.
        parents: Shape ``(parents, columns)``.
        count: How many children.
        steps: Smallest and largest standard deviation of a mutation, in the unit interval.
        rng: Random stream.
    """
    # Log-linear weights, as recombination in CMA-ES has them.
    chance = math.log(len(parents) + 0.5) - np.log(np.arange(1, len(parents) + 1))
    first, second = rng.choice(len(parents), (2, count), p=chance / chance.sum())
    child, crossed = _crossed(rows, parents[first], parents[second], rng)
    return _mutated(rows, rows.snap(child), crossed, steps, rng)


def _crossed(rows: Rows, a: Array, b: Array, rng: np.random.Generator) -> tuple[Array, Mask]:
    """Return children of pairs, and which of them have two parents."""
    kind = rng.random((len(a), 1))
    swapped = np.where(rng.random(a.shape) < 0.5, b, a)
    # SBX (Deb and Agrawal, 1995): the parents' mean, with a spread β times theirs
    draw = np.maximum(rng.random(a.shape), 1e-12)
    spread = np.where(draw <= 0.5, 2 * draw, 1 / (2 * (1 - draw))) ** (1 / (ETA + 1))
    blended = np.where(
        rows.ordered, reflect_all(((1 + spread) * a + (1 - spread) * b) / 2), swapped
    )
    crossed = kind < EXCHANGED + BLENDED
    child = np.where(kind < EXCHANGED, swapped, np.where(crossed, blended, a))
    if rows.space.conditional:
        # A gene that is active in one parent only comes from there, where it was evaluated.
        in_a, in_b = rows.active(a), rows.active(b)
        tested = np.where(in_a, a, b)
        child = np.where((in_a ^ in_b) & crossed, tested, child)
    return child, crossed[:, 0]


def _mutated(
    rows: Rows,
    child: Array,
    crossed: Mask,
    steps: tuple[float, float],
    rng: np.random.Generator,
) -> Array:
    count, genes = child.shape
    rate = genes ** -rng.random((count, 1))  # log-uniform between 1 / genes and 1
    low, high = np.log(steps)
    step = np.exp(low + (high - low) * rng.random((count, 1)))
    draws = rng.random(child.shape)
    # The smallest draw among the active genes: at least one active gene changes.
    active_draws = np.where(rows.active(child), draws, 2.0)
    mutate = draws < rate
    mutate[np.arange(count), active_draws.argmin(axis=1)] = True
    mutate[crossed & (rng.random(count) < UNMUTATED)] = False
    delta = step * rng.standard_normal(child.shape)
    moved = rows.snap(np.where(mutate & rows.ordered, reflect_all(child + delta), child))
    still = mutate & rows.ordered & (moved == child)
    moved = rows.shift_cells(moved, np.where(still, np.where(delta < 0, -1, 1), 0))
    jump = 1 + np.floor(rng.random(child.shape) * (rows.sizes - 1))
    listed = ~rows.ordered
    other = (child[:, listed] + jump[:, listed]) % rows.sizes[listed]
    moved[:, listed] = np.where(mutate[:, listed], other, child[:, listed])
    return moved
