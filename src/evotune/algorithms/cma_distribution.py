"""The distribution that CMA-ES samples from, over any space, on the `cmaes` package.

Numbers become coordinates of a Gaussian, in the unit interval and on each gene's own scale;
unordered genes get probabilities. `cmaes` does not know genes that are dormant in some samples and
has no public access to its state, so this module, and no other, reads and corrects its attributes.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evotune.space import Domain, Space
from evotune.space.folding import reflect, reflect_all

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Kind = Literal["full", "separable", "adaptive"]

#: Discrete numbers with more values than this are searched as if they were continuous.
LISTED_AT_MOST = 1024

#: How far beyond the unit interval coordinates may lie where all genes are continuous; all that is
#: the bound. So an optimum at a bound is amid the samples, and their spread does not vanish early.
BEYOND = 0.02

#: How often a sample is drawn anew because a coordinate lies beyond that.
REDRAWS = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One draw.

    Attributes:
        point: Gaussian coordinates: at most `BEYOND` outside the unit cube where all genes are
            continuous, and otherwise as they were drawn.
        choices: Index of the value of each unordered gene.
    """

    point: tuple[float, ...] = ()
    choices: tuple[int, ...] = ()


class Layout:
    """Which gene is which coordinate.

    Args:
        space: What may be searched.

    Attributes:
        continuous: Genes that come first in a sample's point. Where others are beside them, the
            cube is mirrored at its bounds; where there are none, just outside lies the bound.
        stepped: Discrete ordered genes, which come next; beyond the interval lies the end value.
        unordered: Genes with probabilities. Those with two values are always among them, as the
            margin of CatCMAwM is not made for such short ranges.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        kinds = {name: _kind(space[name]) for name in space.variable}
        self.continuous = [name for name, kind in kinds.items() if kind == "continuous"]
        self.stepped = [name for name, kind in kinds.items() if kind == "stepped"]
        self.unordered = [name for name, kind in kinds.items() if kind == "unordered"]
        self.values = {n: list(space[n].values()) for n in (*self.stepped, *self.unordered)}
        self.levels = {n: [space[n].to_unit(v) for v in self.values[n]] for n in self.stepped}
        # As `cmaes` computes them, to the last bit.
        self._limits = {
            name: ((np.array(units)[1:] + np.array(units)[:-1]) / 2).tolist()
            for name, units in self.levels.items()
        }
        self._constant = {n: next(d.values()) for n, d in space.domains.items() if n not in kinds}

    @property
    def is_mixed(self) -> bool:
        """True where some genes are discrete."""
        return bool(self.stepped or self.unordered)

    @property
    def numbers(self) -> list[str]:
        """Genes that are Gaussian coordinates, in order."""
        return [*self.continuous, *self.stepped]

    @property
    def size(self) -> int:
        """Number of genes that vary."""
        return len(self.continuous) + len(self.stepped) + len(self.unordered)

    def decode(self, sample: Sample) -> dict[str, Any]:
        """Return the genome of a sample."""
        domains, values = self.space.domains, self.values
        found = dict(self._constant)
        for name, unit in zip(self.continuous, sample.point, strict=False):
            inside = reflect(unit) if self.is_mixed else min(max(unit, 0.0), 1.0)
            found[name] = domains[name].from_unit(inside)
        for name, unit in zip(self.stepped, sample.point[len(self.continuous) :], strict=True):
            found[name] = values[name][bisect_left(self._limits[name], unit)]
        for name, index in zip(self.unordered, sample.choices, strict=True):
            found[name] = values[name][index]
        return {name: found[name] for name in self.space.names}

    def encode(self, genome: Mapping[str, Any], sample: Sample | None = None) -> Sample:
        """Return a sample of a genome, with the given sample's coordinates where these fit it."""
        known = {} if sample is None else self.decode(sample)
        sample = sample or Sample((0.5,) * len(self.numbers), (0,) * len(self.unordered))
        point = [
            u if n in known and known[n] == genome[n] else float(self.space[n].to_unit(genome[n]))
            for n, u in zip(self.numbers, sample.point, strict=True)
        ]
        return Sample(tuple(point), tuple(self.values[n].index(genome[n]) for n in self.unordered))

    def dormant(self, genome: Mapping[str, Any]) -> tuple[list[bool], list[bool]]:
        """Return which coordinates and which unordered genes are dormant in a genome."""
        asleep = self.space.dormant(genome)
        return [n in asleep for n in self.numbers], [n in asleep for n in self.unordered]


def _kind(domain: Domain) -> str:
    if not domain.ordered or domain.size == 2:
        return "unordered"
    return "stepped" if domain.size <= LISTED_AT_MOST else "continuous"


class Distribution:
    """A Gaussian and probabilities that move towards the better samples.

    Args:
        layout: Which gene is which coordinate.
        population_size: Samples of a generation, 4 or more.
        step_size: First standard deviation, in the unit cube.
        mean: First mean, shape ``(numbers,)``.
        favourites: Index of the value of each unordered gene that gets half of its probability;
            by default all get what the space gives them.
        kind: ``"full"`` covariance, ``"separable"``: variances only, or ``"adaptive"`` learning
            rates; the latter two for spaces whose genes are all continuous.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        population_size: int,
        step_size: float,
        mean: Array,
        favourites: Sequence[int] | None = None,
        kind: Kind = "full",
    ) -> None:
        self.layout = layout
        self._mixed = layout.is_mixed
        settings = {"population_size": population_size, "sigma": step_size}
        self._optimizer: Any = None
        if self._mixed:
            self._optimizer = self._catcma(mean, favourites, **settings)
        elif layout.continuous:
            import cmaes

            one_gene = len(layout.continuous) == 1  # `SepCMA` needs two, and none is the same
            if kind == "separable" and not one_gene:
                self._optimizer = cmaes.SepCMA(mean=mean.copy(), **settings)
            else:
                self._optimizer = cmaes.CMA(mean=mean, lr_adapt=kind == "adaptive", **settings)

    def _catcma(self, mean: Array, favourites: Sequence[int] | None, **settings: Any) -> Any:
        import cmaes  # loads scipy.stats, which is slow, so only where needed

        layout = self.layout
        if layout.numbers:
            settings |= {"mean": mean.copy(), "cov": np.eye(len(mean))}
        if layout.continuous:  # the mirror takes care of the bounds
            settings["x_space"] = [[-np.inf, np.inf]] * len(layout.continuous)
        if layout.stepped:
            settings["z_space"] = list(layout.levels.values())
        if layout.unordered:
            settings["c_space"] = [len(layout.values[name]) for name in layout.unordered]
            settings["cat_param"] = _probabilities(layout, favourites)
        return cmaes.CatCMAwM(**settings)

    def sample(self, rng: np.random.Generator) -> Sample:
        """Draw a sample; all randomness comes from ``rng``."""
        seed = int(rng.integers(2**32))
        if self._optimizer is None:  # a space of one point
            return Sample()
        self._optimizer.reseed_rng(seed)
        drawn = self._optimizer.ask()
        if not self._mixed:
            return Sample(tuple(self._brought_inside(drawn).tolist()))
        return Sample(
            () if drawn._v_raw is None else tuple(drawn._v_raw.tolist()),
            () if drawn.c is None else tuple(drawn.c.argmax(axis=1).tolist()),
        )

    def _brought_inside(self, point: Array) -> Array:
        """Return a point in the unit cube or just outside: drawn anew, and at last folded.

        In 100 dimensions most draws have some coordinate outside. Folded alone and told where they
        were drawn, their steps would count as long although what was evaluated was near: the step
        size stays too large. Where the optimum lies in a corner no redrawing helps, so the few
        that are still outside are folded, and the folded point is told.
        """
        width = 1 + 2 * BEYOND
        for _ in range(REDRAWS):
            if (np.abs(point - 0.5) <= width / 2).all():
                break
            point = self._optimizer.ask()
        outside = np.abs(point - 0.5) > width / 2
        folded = reflect_all((point + BEYOND) / width) * width - BEYOND
        return np.where(outside, folded, point)

    def update(self, samples: Sequence[Sample], genomes: Sequence[Mapping[str, Any]]) -> None:
        """Move towards the better samples of a generation.

        Only their order counts: ranks are told in place of values, so that objectives on any
        scale, several objectives and constraints are all the same to it.

        Args:
            samples: As many as the population, best first.
            genomes: What was evaluated for each of them.
        """
        optimizer = self._optimizer
        if optimizer is None or self.has_converged:  # beyond that `cmaes` divides by zero
            return
        asleep, undecided = (
            np.array(m) for m in zip(*map(self.layout.dormant, genomes), strict=True)
        )
        # The worse half has weights below 0, for the covariance alone, and is scaled to full
        # length there: all of it would fall on the genes that are active.
        asleep[optimizer._mu :] = False
        mean, deviation = self._marginals
        points = np.where(asleep, mean, np.array([sample.point for sample in samples]))
        solutions = self._solutions(points, samples, undecided) if self._mixed else list(points)
        rates = optimizer._pmut.copy() if self.layout.stepped else np.zeros(0)
        optimizer.tell([(solution, float(rank)) for rank, solution in enumerate(solutions)])
        if asleep.any():
            self._restore_spread(asleep, deviation, rates)
        if self.layout.unordered:
            # The weight β = 1/(Δ·√parameters) of an average; above 2 `cmaes` takes a root of it
            # that does not exist, which one or two genes reach.
            least = 1.0 / np.sqrt(optimizer._param_sum)
            optimizer._Delta = max(optimizer._Delta, least)

    def _solutions(self, points: Array, samples: Sequence[Sample], undecided: Mask) -> list[Any]:
        """Return what CatCMAwM takes for samples.

        An unordered gene that was dormant is told as its own probabilities: it has no share in
        the natural gradient Σ w (c − q) then.
        """
        import cmaes

        solution = cmaes.CatCMAwM.Solution
        if not self.layout.unordered:
            return [solution(_v_raw=point) for point in points]
        q = self._optimizer._q
        rows = np.arange(len(q))
        # Without any gradient `cmaes` divides by zero; nothing was learned then either way.
        neutral = undecided & ~undecided[: self._optimizer._mu].all()
        hots = []
        for sample, dormant in zip(samples, neutral, strict=True):
            hot = np.zeros_like(q)
            hot[rows, list(sample.choices)] = 1.0
            hots.append(np.where(dormant[:, None], q, hot))
        shown = points if self.layout.numbers else [None] * len(hots)
        return [solution(c=hot, _v_raw=point) for point, hot in zip(shown, hots, strict=True)]

    @property
    def _marginals(self) -> tuple[Array, Array]:
        """Mean and standard deviation of each coordinate, the margin's factor included."""
        optimizer = self._optimizer
        if not self.layout.numbers:
            return np.zeros(0), np.zeros(0)
        variances = optimizer._C if optimizer._C.ndim == 1 else np.diag(optimizer._C)
        margin = optimizer._A if self._mixed else 1.0
        return optimizer._mean.copy(), optimizer._sigma * margin * np.sqrt(variances)

    def _restore_spread(self, asleep: Mask, deviation: Array, rates: Array) -> None:
        """Give back the spread that coordinates lost in samples in which they were dormant.

        There they are told as the mean: where a value does not matter, its chance step must move
        neither the mean nor the paths, whose length governs the step size of the genes that do
        matter. (Told as drawn, means of dormant genes wander off, and branches of a conditional
        space took twice as many trials to converge.) But steps of length 0 shrink the variance,
        and so does the common step size. So the logarithm of the standard deviation gets back the
        square of the dormant samples' share of weight: a gene that was dormant throughout stays
        as it was, and one that was active now and then still learns from that.

        Args:
            asleep: Which coordinates were dormant, best sample first, ``(samples, numbers)``.
            deviation: Standard deviations before, ``(numbers,)``.
            rates: Mutation rates of the stepped genes before, ``(stepped,)``.
        """
        optimizer = self._optimizer
        back = (optimizer._weights[: optimizer._mu] @ asleep[: optimizer._mu]) ** 2
        _, shrunk = self._marginals
        scale = (deviation / shrunk) ** back
        if self.layout.stepped:  # there the margin rules, whose factor follows its mutation rates
            first = len(self.layout.continuous)
            optimizer._A[first:] *= scale[first:]
            optimizer._pmut *= (rates / optimizer._pmut) ** back[first:]
            scale[first:] = 1.0
        optimizer._C *= scale**2 if optimizer._C.ndim == 1 else np.outer(scale, scale)
        optimizer._pc *= scale
        optimizer._D = None  # the decomposition of C is out of date

    @property
    def has_converged(self) -> bool:
        """True when the Gaussian has become too small, or too badly conditioned, to go on."""
        return bool(self.layout.numbers) and bool(self._optimizer.should_stop())


def _probabilities(layout: Layout, favourites: Sequence[int] | None) -> Array:
    """Return the first probabilities, shape ``(unordered genes, most values)``, zero-padded."""
    most = max(len(layout.values[name]) for name in layout.unordered)
    table = np.zeros((len(layout.unordered), most))
    for row, name in enumerate(layout.unordered):
        chances = np.array(layout.space[name].chances())
        # `cmaes` divides by them: none may vanish beside the others.
        table[row, : len(chances)] = np.maximum(chances / chances.sum(), 1e-12)
        if favourites is not None:
            table[row] /= 2
            table[row, favourites[row]] += 0.5
    return table
