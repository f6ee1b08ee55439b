"""Estimation of distribution: a model of the elite that new candidates are drawn from.

References: Mühlenbein and Paaß, "From recombination of genes to the estimation of distributions"
(1996); Larrañaga and Lozano, "Estimation of distribution algorithms" (2002), whose EMNA is the
joint normal model of ordered genes; Schäfer and Strimmer, "A shrinkage approach to large-scale
covariance matrix estimation" (2005), for how far a small elite's correlations can be trusted.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evotune.algorithms.generations import Generations
from evotune.checks import check_in, check_operator, check_whole
from evotune.evolution.repeats import merge_repeats
from evotune.evolution.selection import draw
from evotune.evolution.survival import Survival, best_first
from evotune.protocols import Traits
from evotune.space import Space, needed_space
from evotune.space.designs import Design, design_named
from evotune.space.folding import reflect
from evotune.trial import Proposal, Trial

Array = npt.NDArray[np.float64]

#: Standard deviation of a uniform number in [0, 1], for a gene that is active in no elite.
UNIFORM_SPREAD = 1.0 / math.sqrt(12.0)

#: Least share of a category's chance that comes from the whole elite, not from random weights.
WHOLE_ELITE = 0.3


class ElitesModel:
    """A probability model of a few good trials, from which genomes are drawn.

    A draw weighs the elite at random, wᵢ ~ N(0, 1). Ordered genes are the mean plus Σ wᵢ·dᵢ/√n
    over the elite's deviations dᵢ: a normal vector with just the elite's covariance, without a
    matrix. Categories are drawn by the elite's positive weights, squared, so that they go with
    the numbers they were found with. Both are shrunk towards independent genes as far as chance
    explains the elite's correlations. A gene is learned from the elites in which it is active.

    Args:
        space: What may be searched.
        elite: Done trials, two at least.
        joint: False learns each gene by itself.
        smallest_spread: Least standard deviation of an ordered gene, in the unit interval.
    """

    def __init__(
        self, space: Space, elite: Sequence[Trial], *, joint: bool, smallest_spread: float
    ) -> None:
        self.space = space
        self.elite = elite
        self.joint = joint
        self.ordered = [n for n in space.variable if space.domains[n].ordered]
        self.unordered = [n for n in space.variable if not space.domains[n].ordered]
        asleep = [space.dormant(trial.genome) for trial in elite]
        self._fit_categories(asleep)
        self._fit_numbers(asleep, smallest_spread)

    def _fit_numbers(self, asleep: Sequence[frozenset[str]], smallest: float) -> None:
        domains = [self.space.domains[name] for name in self.ordered]
        shape = (len(self.elite), len(domains))
        rows = [
            [d.to_unit(t.genome[n]) for n, d in zip(self.ordered, domains, strict=True)]
            for t in self.elite
        ]
        units = np.array(rows).reshape(shape)
        active = np.array([[n not in a for n in self.ordered] for a in asleep]).reshape(shape)
        counts = active.sum(axis=0)
        known = np.maximum(counts, 1)
        self.mean = np.where(counts > 0, np.where(active, units, 0.0).sum(axis=0) / known, 0.5)
        # A dormant gene deviates by 0; the active ones are scaled up to make up for it.
        deviations = np.where(active, units - self.mean, 0.0)
        self.deviations = deviations * np.sqrt(len(self.elite) / known)
        spread = np.sqrt((self.deviations**2).mean(axis=0))
        floor = np.array([max(smallest, 0.5 / d.size) for d in domains])
        floor = np.where(counts > 0, floor, UNIFORM_SPREAD)
        self.shrinkage = self._shrinkage() if self.joint else 1.0
        missing = np.maximum(floor**2 - spread**2, 0.0)
        self.own_spread = np.sqrt(self.shrinkage * spread**2 + missing)

    def _shrinkage(self) -> float:
        """Return λ*, the share of all correlation between genes that is attributed to chance."""
        n = len(self.elite)
        met = [has[:, has.any(axis=0)] for has in self.has.values()]  # values that occur
        columns = np.hstack([self.deviations, *met])
        sizes = [1] * len(self.ordered) + [has.shape[1] for has in met]
        genes = np.repeat(np.arange(len(sizes)), sizes)
        columns = columns - columns.mean(axis=0)
        spread = np.sqrt((columns**2).mean(axis=0))
        scaled = columns / np.where(spread > 0, spread, 1.0)
        products = scaled.T @ scaled / n
        squares = (scaled**2).T @ (scaled**2)
        variances = np.maximum(squares - n * products**2, 0.0) / (n * (n - 1))
        others = genes[:, None] != genes
        total = float((products[others] ** 2).sum())
        return min(float(variances[others].sum()) / total, 1.0) if total > 0 else 1.0

    def _fit_categories(self, asleep: Sequence[frozenset[str]]) -> None:
        self.values = {name: list(self.space.domains[name].values()) for name in self.unordered}
        self.has: dict[str, Array] = {}  # (elite, values): 1 where an elite has a value
        self.chances: dict[str, Array] = {}
        for name, values in self.values.items():
            has = np.zeros((len(self.elite), len(values)))
            for row, trial, sleeping in zip(has, self.elite, asleep, strict=True):
                row[values.index(trial.genome[name])] = name not in sleeping
            chances = has.sum(axis=0) + 1.0 / len(values)  # no value is ever ruled out
            self.has[name], self.chances[name] = has, chances / chances.sum()

    def draw(self, rng: np.random.Generator) -> tuple[dict[str, Any], Trial]:
        """Return a genome, and the elite from which it has its dormant genes."""
        template = self.elite[int(rng.integers(len(self.elite)))]
        weights = rng.standard_normal(len(self.elite))
        shared = weights @ self.deviations * math.sqrt((1 - self.shrinkage) / len(self.elite))
        own = self.own_spread * rng.standard_normal(len(self.ordered))
        genome = dict(template.genome)
        for name, unit in zip(self.ordered, (self.mean + shared + own).tolist(), strict=True):
            genome[name] = self._rounded(name, unit, rng)
        for name in self.unordered:
            genome[name] = self._category(name, np.maximum(weights, 0.0) ** 2, rng)
        return genome | {n: template.genome[n] for n in self.space.dormant(genome)}, template

    def _rounded(self, name: str, unit: float, rng: np.random.Generator) -> Any:
        domain = self.space.domains[name]
        if domain.size < math.inf:  # at random, so that it is right on average
            unit += (float(rng.random()) - 0.5) / domain.size
        return domain.from_unit(reflect(unit))

    def _category(self, name: str, weights: Array, rng: np.random.Generator) -> Any:
        chances = self.chances[name]
        weighted = weights @ self.has[name]
        if self.joint and weighted.sum() > 0:
            weighted /= weighted.sum()
            share = max(self.shrinkage, WHOLE_ELITE)
            chances = (1 - share) * weighted + share * chances
        return self.values[name][int(draw(chances, 1, rng)[0])]


class EstimationOfDistribution:
    """Draws candidates from a model of the elite, which is refitted each generation.

    The model is joint: ordered genes are a normal vector with the elite's covariance, shrunk as
    far as chance explains it, and categories go with the numbers they were found with
    (`ElitesModel`). The best trials so far stay in the elite until better ones push them out.

    Args:
        space: What may be searched.
        population_size: Draws a generation, and trials that survive it.
        elite: Share of the survivors that the model learns from, in (0, 1]; two at least.
        joint: False learns each gene by itself, as in the univariate marginal algorithm: better
            where genes do not interact and trials are few.
        smallest_spread: Least standard deviation of an ordered gene, relative to its range.
        survival: Orders trials best first.
        start: ``"latin_hypercube"``, ``"sobol"``, ``"random"``, or a design of your own.
        seeds: Genomes, or params, that the first generation begins with.

    Raises:
        AlgorithmError: A size or share out of bounds.
        GenomeError: A seed genome lies outside the space.
    """

    def __init__(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
        self,
        space: Space,
        *,
        population_size: int = 16,
        elite: float = 0.5,
        joint: bool = True,
        smallest_spread: float = 0.01,
        survival: Survival = best_first,
        start: str | Design = "latin_hypercube",
        seeds: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.space = needed_space(space)
        self.population_size = population_size
        self.elite = elite
        self.joint = joint
        self.smallest_spread = smallest_spread
        self.survival = survival
        self._check()
        self._generations = Generations(space, design_named(start), seeds, population_size)
        self._population: list[Trial] = []
        self._model: ElitesModel | None = None

    def _check(self) -> None:
        name = type(self).__name__
        check_whole(name, "population_size", self.population_size, 2)
        check_operator(name, "survival", self.survival, "survival.best_first")
        check_in(name, "elite", self.elite, "(0, 1]")
        check_in(name, "smallest_spread", self.smallest_spread, "[0, 0.5]")

    def __repr__(self) -> str:
        return (
            f"EstimationOfDistribution(population_size={self.population_size}, "
            f"elite={self.elite}, joint={self.joint})"
        )

    @property
    def population(self) -> tuple[Trial, ...]:
        """The trials that survived so far, best first."""
        return tuple(self._population)

    @property
    def model(self) -> ElitesModel | None:
        """The model that is drawn from now; None before the first generation has ended."""
        return self._model

    @property
    def traits(self) -> Traits:
        """What a study must know of it."""
        return self._generations.traits(population_size=self.population_size)

    def donors(self) -> Collection[int]:
        """Return no trials: weights are never inherited."""
        return ()

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose the next draw; None while the last ones of a generation are still running."""
        generation = self._generations.running
        if generation.is_full:
            return None
        if self._model is None:
            return self._generations.newcomer(rng)
        seed = generation.draw_seed(rng)
        genome, template = self._model.draw(rng)
        return generation.stamp(Proposal(genome, parents=(template.number,)), seed)

    def tell(self, trial: Trial) -> None:
        """Record a trial; the last one of a generation renews the model."""
        self._generations.tell(trial)
        if self._generations.running.is_complete:
            self._learn([*self._population, *self._generations.end(self.population_size)])

    def _learn(self, trials: Sequence[Trial]) -> None:
        self._population = self.survival(merge_repeats(trials))[: self.population_size]
        elite = self._population[: max(2, round(self.elite * len(self._population)))]
        if len(elite) > 1:
            self._model = ElitesModel(
                self.space, elite, joint=self.joint, smallest_spread=self.smallest_spread
            )
