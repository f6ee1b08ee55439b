"""Named compositions: the papers' algorithms with exactly their settings.

Each function returns an algorithm; read its body to see what the paper's method is made of.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from evotune.algorithms.differential import DifferentialEvolution
from evotune.algorithms.genetic import Genetic
from evotune.algorithms.halving import Hyperband
from evotune.algorithms.islands import Islands
from evotune.algorithms.phases import Phases, check_structure
from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.checks import check_whole
from evotune.errors import AlgorithmError
from evotune.evolution.exploitation import Quantile
from evotune.evolution.niching import Niching
from evotune.evolution.rates import Decay
from evotune.evolution.selection import Boltzmann, RelativeExponential, Tournament, Truncation
from evotune.evolution.survival import Youngest, best_first
from evotune.names import own_names
from evotune.protocols import Algorithm
from evotune.space import Fixed, Space
from evotune.space.crossover import Crossover, KPoint, Uniform
from evotune.space.designs import Design
from evotune.space.mutation import Creep, Gaussian, Mutation, Perturb, UniformReset
from evotune.space.refine import Refinement
from evotune.trial import Trial

__dir__ = own_names(__name__)


def structural_tuning_p1(
    space: Space, *, population_size: int = 50, beta: float = 1.0, beta_growth: float = 1.0
) -> Genetic:
    """Return the genetic algorithm of P1, "hyperparameter and structural tuning".

    Population 50 to 100; parents by p_i = exp(β·f_i)/Σ exp(β·f_j), whose β may grow; one-point
    crossover; mutation that starts at 5 % a locus and falls as μ₀·exp(−λt); ranges refined to
    the high performers' after every 5 generations.

    Args:
        space: What may be searched.
        population_size: Members of the population.
        beta: Selection pressure β; its scale is one over that of the fitness.
        beta_growth: Factor on β with each generation.
    """
    return Genetic(
        space,
        population_size=population_size,
        elitism=1,
        selection=Boltzmann(beta, beta_growth),
        crossover=KPoint(1),
        crossover_rate=1.0,
        mutation=UniformReset(0.05),
        mutation_rate=Decay(initial=0.05, decay=0.05),
        refinement=Refinement(every=5, undo_after=None),
        start="random",
    )


def dynamic_hyperparameters_p2(
    space: Space, *, population_size: int = 10, mutation_rate: float = 0.2
) -> Genetic:
    """Return the genetic algorithm of P2, "genetic algorithms for dynamic optimization".

    Uniform start (section 4.1); the top half survives and is the parents (4.3); each gene from
    either parent at random (4.4); with probability 0.2 a gene gets a new uniform value (4.5). The
    paper does not say how many children replace the lower half: here as many as are missing.

    Args:
        space: What may be searched; the paper's genes are Float(1e-4, 1) for the learning rate,
            Float(0, 0.9) for momentum, Float(0, 0.1) for weight decay, all on a linear scale.
        population_size: The paper used 10 and 5.
        mutation_rate: Probability per gene.
    """
    half = population_size // 2
    return Genetic(
        space,
        population_size=population_size,
        offspring=population_size - half,
        elitism=half,
        selection=Truncation(half / population_size),
        crossover=Uniform(0.5),
        crossover_rate=1.0,
        mutation=UniformReset(mutation_rate),
        start="random",
    )


def three_parent_search_p3(
    space: Space, *, population_size: int = 100, strength: float = 4.0
) -> Genetic:
    """Return the genetic algorithm of P3 for plain tuning, without inherited weights.

    Parents by exp(−σ²·relative figure of merit), each drawn independently, so that both may be the
    same; per-locus crossover 0.33; four-way creep 0.05 per locus; the whole population is replaced
    each generation (figure 3).

    Args:
        space: What may be searched.
        population_size: The paper used 100, for up to 250 generations.
        strength: σ², which the paper leaves open.
    """
    return Genetic(
        space,
        population_size=population_size,
        elitism=0,
        selection=RelativeExponential(strength),
        crossover=Uniform(0.33),
        crossover_rate=1.0,
        mutation=Creep(0.05),
        distinct_parents=False,
        start="random",
    )


def population_training_p3(
    space: Space,
    *,
    population_size: int = 100,
    strength: float = 4.0,
    seeds: Sequence[Mapping[str, Any]] = (),
) -> PopulationBasedTraining:
    """Return the population-based training of P3, section 4.3, with three parents.

    One generation an epoch; the genes of a child from two parents, its weights from a third, each
    drawn independently by exp(−σ²·relative figure of merit); per-locus crossover 0.33; four-way
    creep 0.05 per locus; the whole population is replaced each generation (figure 3).

    Args:
        space: What may be scheduled.
        population_size: The paper used 100.
        strength: σ², which the paper leaves open.
        seeds: Params that the first generation begins with, such as the accepted settings.
    """
    return PopulationBasedTraining(
        space,
        population_size=population_size,
        interval=1,
        parents=3,
        selection=RelativeExponential(strength),
        crossover=Uniform(0.33),
        mutation=Creep(0.05),
        exploit="everyone",
        elitism=0,
        start="random",
        seeds=seeds,
    )


def classic_population_training(
    space: Space,
    *,
    population_size: int = 20,
    interval: int = 1,
    seeds: Sequence[Mapping[str, Any]] = (),
) -> PopulationBasedTraining:
    """Return the population-based training of Jaderberg et al. (2017), with one parent.

    Truncation selection: a member of the worst quarter takes weights and genes from one of the
    best quarter (a fifth each in the paper), and its genes are perturbed: drawn anew, or
    multiplied by 0.8 or 1.2.

    Args:
        space: What may be scheduled.
        population_size: Members.
        interval: Epochs between two selections.
        seeds: Params that the first generation begins with.
    """
    return PopulationBasedTraining(
        space,
        population_size=population_size,
        interval=interval,
        parents=1,
        selection=Truncation(0.25),
        mutation=Perturb(),
        exploit=Quantile(0.25),
        elitism=0,
        start="random",
        seeds=seeds,
    )


def regularised_evolution(
    space: Space,
    *,
    population_size: int = 100,
    sample_size: int = 25,
    seeds: Sequence[Mapping[str, Any]] = (),
) -> Genetic:
    """Return regularised (ageing) evolution of Real et al. (2019), algorithm 1.

    The best of a random sample becomes the parent; its child, one gene changed, joins, and the
    oldest member leaves, however good it is. No worker ever waits.

    Args:
        space: What may be searched.
        population_size: The paper used 100; a fifth of the trials or less is a good choice.
        sample_size: Members, drawn with replacement, of which the best is the parent.
        seeds: Genomes, or params, to begin with.
    """
    return Genetic(
        space,
        population_size=population_size,
        steady_state=True,
        selection=Tournament(sample_size),
        crossover_rate=0.0,
        mutation=Gaussian(rate=0.0, at_least_one=True),
        survival=Youngest(population_size),
        start="random",
        seeds=seeds,
    )


def multiple_frequencies(
    space: Space,
    *,
    intervals: Sequence[int] = (1, 2, 4),
    population_size: int = 8,
    every: int | None = None,
    **options: Any,
) -> Islands:
    """Return Multiple-Frequencies Population-Based Training (Doulazmi et al., 2025).

    One classic population for each interval. Steady ones (long intervals) send weights and genes
    to those that select more often, and get weights only from these: what pays at once does not
    overrun what pays in the long run. The paper lets the third quarter of a population compete
    with the best of all others whenever it selects; here the best quarter of each moves.

    Args:
        space: What may be scheduled.
        intervals: Epochs between two selections, for each population; the paper used factors of
            1, 10, 25 and 50. Where each divides ``every``, migrants are as old as their hosts.
        population_size: Members of each population; the paper used 8.
        every: Epochs between two migrations; by default the longest interval.
        **options: Other options of each `PopulationBasedTraining`, where they shall not be those
            of `classic_population_training`.
    """
    if isinstance(intervals, str) or not isinstance(intervals, Sequence) or len(intervals) < 2:
        raise AlgorithmError(
            "multiple_frequencies: intervals are two numbers of epochs or more, such as "
            f"(1, 2, 4); got {intervals!r}"
        )
    for interval in intervals:
        check_whole("multiple_frequencies", "each of intervals", interval, 1)
    settings: dict[str, Any] = {
        "parents": 1,
        "selection": Truncation(0.25),
        "mutation": Perturb(),
        "exploit": Quantile(0.25),
        **options,
    }
    return Islands(
        [
            PopulationBasedTraining(
                space, population_size=population_size, interval=interval, **settings
            )
            for interval in intervals
        ],
        topology="full",
        every=max(intervals) if every is None else every,
        send=max(1, population_size // 4),
        asymmetric=True,
    )


def tune_then_schedule(
    space: Space,
    *,
    structure: Collection[str],
    trials: int = 60,
    epochs: int = 3,
    population_size: int = 16,
    interval: int = 1,
    parents: int = 3,
) -> Phases:
    """Return the two phases of P3, section 4.2: a plain search, then the schedule of the winner.

    A genetic algorithm searches the whole space with short trials. Then the genes that shape the
    network stay at the winner's values, as weights cannot be inherited across shapes, and
    population-based training starts from the winner and mutations of it.

    Args:
        space: What may be searched.
        structure: Names of the genes that the second phase keeps, such as widths and kernels.
        trials: Trials of the first phase.
        epochs: Epochs of each of them.
        population_size: Members of the second phase.
        interval: Epochs between two of its selections.
        parents: 3 is the paper's; 1 is the classic.

    Raises:
        AlgorithmError: A structure that names unknown genes or leaves nothing to schedule.
    """
    check_structure(space, structure)
    check_whole("tune_then_schedule", "population_size", population_size, 2)

    def schedule_of(best: Trial) -> Algorithm:
        fixed = {n: Fixed(best.genome[n], when=dict(space[n].when)) for n in structure}
        kept = space.narrowed({**space.domains, **fixed})
        rng = np.random.default_rng(best.seed)
        near = Gaussian(0.5, scale=0.1)
        around = [near(kept, best.genome, rng) for _ in range(population_size - 1)]
        return PopulationBasedTraining(
            kept,
            population_size=population_size,
            interval=interval,
            parents=parents,
            seeds=[best.genome, *around],
        )

    return Phases(Genetic(space), schedule_of, trials=trials, budget=epochs)


def dehb(
    space: Space,
    *,
    minimum: float = 1,
    maximum: float = 27,
    eta: int = 3,
    population_size: int = 20,
    resume: bool = True,
) -> Hyperband:
    """Return Hyperband with differential evolution inside, after DEHB (Awad et al., 2021).

    Its rand/1/bin with F = CR = 0.5. It differs from the paper in three points. There is one
    population, in which of each genome the result at its largest budget counts, instead of one for
    each budget that takes its mutants' parents from the next lower one's best: on LCBench one of
    each bracket's own did worse. Genomes are promoted throughout and not in the first round of
    brackets only, so that weights can be trained on. And no worker waits for a rung to be full.

    Args:
        space: What may be searched.
        minimum: Budget of the lowest rung: epochs, or with ``maximum=1`` a share of the data.
        maximum: Budget of the highest rung.
        eta: One in so many trials is promoted.
        population_size: Members of the population.
        resume: Promoted trials go on from their own weights; the paper trains them anew.
    """
    evolution = DifferentialEvolution(
        space,
        population_size=population_size,
        strategy="rand/1",
        scale=0.5,
        crossover_rate=0.5,
        adaptation=None,
        steady_state=True,
        start="random",
    )
    return Hyperband(evolution, minimum=minimum, maximum=maximum, eta=eta, resume=resume)


class Nsga2(Genetic):
    """NSGA-II (Deb et al., 2002): survival by front, then by crowding distance.

    The defaults are those that find the most hypervolume in some hundred trials: a small
    population, each child inserted as it arrives (Durillo et al., 2009), genes exchanged whole
    and moved by normal steps of all sizes. The paper's own operators, for thousands of trials, are
    ``Nsga2(space, population_size=100, steady_state=False, crossover=SimulatedBinary(),
    mutation=Polynomial())``.

    Args:
        space: What may be searched.
        population_size: Members that survive.
        steady_state: Insert each child as it arrives: no worker waits. False waits for as many
            children as there are members, whose results may then arrive in any order.
        crossover: How two parents' genes combine.
        mutation: How a child's genes change.
        start: ``"latin_hypercube"``, ``"sobol"``, ``"random"``, or a design of your own.
        seeds: Genomes, or params, that the first generation begins with.

    Raises:
        AlgorithmError: A size out of bounds, or an operator that is none.
        GenomeError: A seed genome lies outside the space.
    """

    def __init__(
        self,
        space: Space,
        *,
        population_size: int = 20,
        steady_state: bool = True,
        crossover: Crossover = Uniform(),
        mutation: Mutation = Gaussian(),
        start: str | Design = "latin_hypercube",
        seeds: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(
            space,
            population_size=population_size,
            steady_state=steady_state,
            selection=Tournament(3),
            crossover=crossover,
            mutation=mutation,
            survival=best_first,
            start=start,
            seeds=seeds,
        )

    def __repr__(self) -> str:
        return _text(self)


class Nsga3(Genetic):
    """NSGA-III (Deb and Jain, 2014): survival by front, then evenly over reference directions.

    For three objectives and more, where nearly all trials come to lie in the first front and
    crowding tells them apart badly. There are as many directions as the population has members, or
    a few less; parents are the better of two (U-NSGA-III, Seada and Deb, 2016).

    Args:
        space: What may be searched.
        population_size: Members that survive; 28 makes 28 directions of two or three objectives.
        steady_state: See `Nsga2`, like all that follow.
        crossover: How two parents' genes combine.
        mutation: How a child's genes change.
        start: Design of the first trials.
        seeds: Genomes, or params, that the first generation begins with.

    Raises:
        AlgorithmError: A size out of bounds, or an operator that is none.
        GenomeError: A seed genome lies outside the space.
    """

    def __init__(
        self,
        space: Space,
        *,
        population_size: int = 28,
        steady_state: bool = True,
        crossover: Crossover = Uniform(),
        mutation: Mutation = Gaussian(),
        start: str | Design = "latin_hypercube",
        seeds: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(
            space,
            population_size=population_size,
            steady_state=steady_state,
            selection=Tournament(2),
            crossover=crossover,
            mutation=mutation,
            survival=Niching(population_size),
            start=start,
            seeds=seeds,
        )

    def __repr__(self) -> str:
        return _text(self)


def _text(algorithm: Genetic) -> str:
    how = algorithm.variation
    return (
        f"{type(algorithm).__name__}(population_size={algorithm.population_size}, "
        f"steady_state={algorithm.steady_state}, crossover={how.crossover}, "
        f"mutation={how.mutation})"
    )
