"""Named compositions: the papers' algorithms with exactly their settings.

Each function returns an algorithm; read its body to see what the paper's method is made of.
"""

from evotune.algorithms.genetic import Genetic
from evotune.evolution.schedules import Decay
from evotune.evolution.selection import Boltzmann, RelativeExponential, Truncation
from evotune.space import Space
from evotune.space.crossover import KPoint, Uniform
from evotune.space.mutation import Creep, UniformReset
from evotune.space.refine import Refinement


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
