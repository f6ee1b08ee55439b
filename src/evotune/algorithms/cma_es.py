"""CMA-ES on any space: the covariance matrix adaptation of a search distribution.

References: Hansen, "The CMA evolution strategy: a tutorial" (2016, arXiv:1604.00772); for mixed
genes Hamano et al., "CatCMA with margin" (2025, arXiv:2504.07884); for restarts Auger and Hansen,
"A restart CMA evolution strategy with increasing population size" (2005) and Hansen,
"Benchmarking a BI-population CMA-ES on the BBOB-2009 function testbed" (2009); separable: Ros and
Hansen (2008); learning rates: Nomura et al. (2023, arXiv:2304.03473).
"""

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from evotune.algorithms.cma_distribution import Distribution, Kind, Layout, Sample
from evotune.algorithms.generations import Generation, genomes
from evotune.checks import check_in, check_whole
from evotune.errors import AlgorithmError
from evotune.evolution.survival import best_first
from evotune.protocols import Traits
from evotune.space import Space, needed_space
from evotune.trial import Proposal, Trial

#: Restarts that make the population larger; with more it would never finish a generation.
DOUBLINGS = 9


class CmaEs:
    """CMA-ES: plain where all genes are continuous, CatCMA with margin on mixed genes.

    The margin keeps whole numbers, steps and ordinals from freezing at one value; unordered genes
    have probabilities that follow the natural gradient. Genes that are dormant in a trial learn
    nothing from it. A generation is ranked when all its trials have ended; failed trials are its
    worst. Trials that it did not ask for count only before its first own trial: the search begins
    at the best of them.

    Args:
        space: What may be searched.
        population_size: Trials of a generation; by default 4 + ⌊3·ln(genes)⌋.
        step_size: First standard deviation, relative to each gene's range; by default 0.2, and
            less where more than 14 genes are all continuous: 0.15 with 25, 0.075 with 100, 0.05
            from 225 on.
        restarts: What happens once a run has converged, or has found nothing better for long:
            ``"ipop"`` restarts elsewhere with twice the population, ``"bipop"`` alternates that
            with short runs of small populations and steps, None goes on.
        separable: Learn variances only, no correlations: for hundreds of genes, all continuous.
        learning_rate_adaptation: Learn more slowly where progress is mostly noise: for objectives
            that are noisy or have many local optima, all genes continuous; takes far more trials.
        seeds: Genomes, or params, to try first; the search begins at the best of them.

    Raises:
        AlgorithmError: A size out of bounds, an unknown kind of restart, or an option that needs
            a space whose genes are all continuous.
        GenomeError: A seed genome lies outside the space.
    """

    def __init__(
        self,
        space: Space,
        *,
        population_size: int | None = None,
        step_size: float | None = None,
        restarts: Literal["ipop", "bipop"] | None = "ipop",
        separable: bool = False,
        learning_rate_adaptation: bool = False,
        seeds: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.space = needed_space(space)
        self._layout = Layout(space)
        if population_size is None:
            population_size = 4 + math.floor(3 * math.log(max(self._layout.size, 1)))  # eq. 48
        if step_size is None:
            step_size = 0.2 if self._layout.is_mixed else _first_step(self._layout.size)
        self.population_size = population_size
        self.step_size = step_size
        self.restarts = restarts
        self.separable = separable
        self.learning_rate_adaptation = learning_rate_adaptation
        self._check()
        self._seeds = genomes(space, seeds)
        self._generation = Generation(0, len(self._seeds) or population_size)
        self._ended: dict[int, Trial] = {}  # of the running generation
        self._origin: Trial | None = None  # where the search begins
        self._run = _Run(self._layout, population_size, step_size)
        self._distribution: Distribution | None = None
        self._regimes = _Regimes(population_size)

    def _check(self) -> None:
        check_whole("CmaEs", "population_size", self.population_size, 4)
        check_in("CmaEs", "step_size", self.step_size, "(0, 1]")
        if self.restarts not in ("ipop", "bipop", None):
            raise AlgorithmError(
                f'CmaEs: restarts is "ipop", "bipop" or None, got {self.restarts!r}'
            )
        if self.separable and self.learning_rate_adaptation:
            raise AlgorithmError("CmaEs: separable excludes learning_rate_adaptation")
        discrete = [*self._layout.stepped, *self._layout.unordered]
        for option in ("separable", "learning_rate_adaptation"):
            if getattr(self, option) and discrete:
                raise AlgorithmError(
                    f"CmaEs: {option} needs a space whose genes are all continuous; "
                    f"{discrete[0]!r} is not. Leave {option} out"
                )

    def __repr__(self) -> str:
        options = f"population_size={self.population_size}, restarts={self.restarts!r}"
        for option in ("separable", "learning_rate_adaptation"):
            options += f", {option}=True" if getattr(self, option) else ""
        return f"CmaEs({options})"

    @property
    def traits(self) -> Traits:
        """What a study must know of it."""
        started = self._generation.started if self._generation.number == 0 else None
        return Traits(
            generational=True,
            population_size=self.population_size,
            generations=True,
            seeds=tuple(self._seeds[:started]),
        )

    def donors(self) -> Collection[int]:
        """Return no trials: weights are never inherited."""
        return ()

    # -- ask: reads only ----------------------------------------------------------------------

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose the next sample; None while the last ones of a generation are running."""
        generation = self._generation
        if generation.is_full:
            return None
        seed = generation.draw_seed(rng)
        if self._is_seeding:
            given = dict(self._seeds[generation.started])
            return generation.stamp(Proposal(given, note={"sample": None}), seed)
        sample = self._current().sample(rng)
        drawn = {"sample": list(sample.point), "choices": list(sample.choices)}
        return generation.stamp(Proposal(self._layout.decode(sample), note=drawn), seed)

    @property
    def _is_seeding(self) -> bool:
        return self._generation.number == 0 and bool(self._seeds)

    def _current(self) -> Distribution:
        """Return the distribution; it is built late, as trials told before may set its start."""
        if self._distribution is None:
            mean = np.full(len(self._layout.numbers), 0.5)
            favourites = None
            if self._origin is not None:
                start = self._layout.encode(self._origin.genome)
                mean, favourites = np.array(start.point), start.choices
            self._distribution = self._new(mean, favourites)
        return self._distribution

    def _new(self, mean: Any, favourites: Sequence[int] | None) -> Distribution:
        adaptive: Kind = "adaptive" if self.learning_rate_adaptation else "full"
        return Distribution(
            self._layout,
            population_size=self._run.size,
            step_size=self._run.step_size,
            mean=mean,
            favourites=favourites,
            kind="separable" if self.separable else adaptive,
        )

    # -- tell: the only change ----------------------------------------------------------------

    def tell(self, trial: Trial) -> None:
        """Record a trial; the last one of a generation moves the distribution."""
        generation = self._generation
        if not self._owns(trial):
            if trial.is_done and generation.number == 0 and generation.started == 0:
                self._begin_at([trial])
            return
        generation.tell(trial, self.space.key(trial.genome))
        if trial.has_ended:
            self._ended[trial.number] = trial
        if generation.is_complete:
            self._next_generation()

    def _owns(self, trial: Trial) -> bool:
        """Return whether a trial is a sample of the running generation; all others are dropped."""
        note = trial.note
        if "sample" not in note or not self._generation.owns(trial):
            return False
        if self._is_seeding or note["sample"] is None:
            return self._is_seeding and note["sample"] is None
        sizes = len(self._layout.numbers), len(self._layout.unordered)
        return (len(note["sample"]), len(note["choices"])) == sizes

    def _begin_at(self, trials: Sequence[Trial]) -> None:
        known = [] if self._origin is None else [self._origin]
        self._origin = next(iter(best_first([*known, *trials])), None)
        self._distribution = None

    def _next_generation(self) -> None:
        ended = [trial for _, trial in sorted(self._ended.items())]
        done = best_first(ended)
        if self._is_seeding:
            self._begin_at(done)
        elif done:  # where all have failed there is nothing to learn
            ranked = [*done, *(trial for trial in ended if not trial.is_done)]
            samples = [self._sample(trial) for trial in ranked]
            self._current().update(samples, [trial.genome for trial in ranked])
            self._run.note(done)
            if self.restarts is not None and self._has_stopped():
                self._restart()
        self._ended = {}
        self._generation = Generation(self._generation.number + 1, self._run.size)

    def _sample(self, trial: Trial) -> Sample:
        # In a small space the study may have tried another point than was proposed.
        drawn = Sample(tuple(trial.note["sample"]), tuple(trial.note["choices"]))
        return self._layout.encode(trial.genome, drawn)

    def _has_stopped(self) -> bool:
        return self._run.is_over or self._current().has_converged

    def _restart(self) -> None:
        # The seed came with the generation's first trial: asking must not change anything.
        rng = np.random.default_rng(self._generation.seed)
        size, shrink = self._regimes.next(self._run.trials, self.restarts == "bipop", rng)
        self._run = _Run(self._layout, size, self.step_size * shrink)
        self._distribution = self._new(rng.random(len(self._layout.numbers)), None)


def _first_step(genes: int) -> float:
    """Return the default step size: 0.75/√n between 0.2 and 0.05.

    The best step towards a point at a distance R is proportional to R/n (Hansen and Ostermeier,
    2001), and from the middle of the box R grows with √n. The lower end was measured on the 2,410
    weights of a network.
    """
    return min(0.2, max(0.75 / math.sqrt(max(genes, 1)), 0.05))


class _Run:
    """How the search has gone since the last restart.

    Args:
        layout: Which gene is which coordinate.
        size: Trials of a generation.
        step_size: First standard deviation.
    """

    def __init__(self, layout: Layout, size: int, step_size: float) -> None:
        self.size = size
        self.step_size = step_size
        self.trials = 0
        share = 30 * layout.size / size
        self._ranges: deque[tuple[float, float]] = deque(maxlen=10 + math.ceil(share))
        self._patience = 120 + math.ceil(share)
        self._best: Trial | None = None
        self._since = 0

    def note(self, done: Sequence[Trial]) -> None:
        """Record the trials of a generation that have values, best first."""
        self.trials += self.size
        self._since += 1
        if self._best is None or best_first([self._best, done[0]])[0] is not self._best:
            self._best, self._since = done[0], 0
        values = [trial.values[0] for trial in done if trial.values and not trial.violation]
        self._ranges.append((min(values), max(values)) if values else (-math.inf, math.inf))

    @property
    def is_over(self) -> bool:
        """True when values no longer differ, or none was better for long (Hansen, 2009)."""
        if self._since >= self._patience:
            return True
        if len(self._ranges) < (self._ranges.maxlen or 0):
            return False
        low, high = min(low for low, _ in self._ranges), max(high for _, high in self._ranges)
        # Infinite where a generation had no feasible trial: then the values tell nothing.
        return high - low < math.inf and high - low <= 1e-12 * max(abs(low), abs(high))


class _Regimes:
    """Population sizes and step sizes of restarts: IPOP, and the two regimes of BIPOP.

    Args:
        size: Population of the first run.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._doublings = 0
        self._small = True  # the regime of the run that ends next; the first counts as small
        self._spent = {True: 0, False: 0}

    def next(self, trials: int, both: bool, rng: np.random.Generator) -> tuple[int, float]:
        """Return the population of the next run and the factor on its step size.

        Args:
            trials: Trials that the run that has ended took.
            both: True for BIPOP: the regime that has spent fewer trials goes on.
            rng: For the small regime.
        """
        self._spent[self._small] += trials
        self._small = both and self._doublings > 0 and self._spent[True] < self._spent[False]
        if not self._small:
            self._doublings = min(self._doublings + 1, DOUBLINGS)
            return self.size * 2**self._doublings, 1.0
        # Hansen (2009): λ = λ0·(λ_large / 2·λ0)^(U²), σ = σ0·10^(−2·U)
        larger = 2.0 ** (self._doublings - 1)
        return math.floor(self.size * larger ** (rng.random() ** 2)), 10 ** (-2 * rng.random())
