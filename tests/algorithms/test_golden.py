"""Short runs that pin what each algorithm does; a change here changes every user's studies."""

import pytest

from evotune.algorithms import recipes
from evotune.algorithms.cma_es import CmaEs
from evotune.algorithms.differential import DifferentialEvolution
from evotune.algorithms.estimation import EstimationOfDistribution
from evotune.algorithms.evolution_strategy import EvolutionStrategy
from evotune.algorithms.genetic import Genetic
from evotune.algorithms.grid import Grid
from evotune.algorithms.halving import Hyperband, SuccessiveHalving
from evotune.algorithms.hybrid import Hybrid
from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.algorithms.racing import Racing
from evotune.algorithms.random_search import RandomSearch
from evotune.algorithms.recipes import Nsga2, Nsga3
from evotune.algorithms.swarm import ParticleSwarm
from evotune.evolution.rates import Adaptive
from evotune.space.refine import Refinement
from evotune.study.study import Study
from evotune.testing.algorithms import SPACES, sphere

ALGORITHMS = {
    "CMA-ES": lambda space: CmaEs(space, population_size=4),
    "random": RandomSearch,
    "grid": lambda space: Grid(space, points=2),
    "genetic": lambda space: Genetic(space, population_size=4),
    "steady state": lambda space: Genetic(space, population_size=4, steady_state=True),
    "both children": lambda space: Genetic(space, population_size=4, both_children=True),
    "self-adaptive": lambda space: Genetic(space, population_size=4, self_adaptive=True),
    "refined": lambda space: Genetic(
        space,
        population_size=4,
        refinement=Refinement(every=1),
        mutation_rate=Adaptive(0.3),
        start="sobol",
    ),
    "plus": lambda space: EvolutionStrategy(space, parents=2, offspring=4),
    "comma": lambda space: EvolutionStrategy(space, parents=2, offspring=4, replacement="comma"),
    "halving": lambda space: SuccessiveHalving(
        Genetic(space, population_size=4), maximum=4, eta=2, resume=False
    ),
    "hyperband": lambda space: Hyperband(
        Genetic(space, population_size=4), maximum=2, eta=2, resume=False
    ),
    "NSGA-II": lambda space: Nsga2(space, population_size=4),
    "NSGA-III": lambda space: Nsga3(space, population_size=4),
    "structural": lambda space: recipes.structural_tuning(space, population_size=4),
    "dynamic": lambda space: recipes.dynamic_hyperparameters(space, population_size=4),
    "three parents": lambda space: recipes.three_parent_search(space, population_size=4),
    "racing": lambda space: Racing(Genetic(space, population_size=4), repeats=2),
    "ageing": lambda space: recipes.regularised_evolution(space, population_size=4, sample_size=2),
    "differential": lambda space: DifferentialEvolution(space, population_size=4),
    "differential, jde": lambda space: DifferentialEvolution(
        space, population_size=4, strategy="rand/1", adaptation="jde"
    ),
    "estimation": lambda space: EstimationOfDistribution(space, population_size=4),
    "hybrid": lambda space: Hybrid(space, initial=8),
    "swarm": lambda space: ParticleSwarm(space, population_size=4),
}

#: Values of three generations of four trials.
EXPECTED = {
    "CMA-ES": "0.258 0.487 0.714 0.284 0.351 0.094 0.132 0.330 0.445 0.540 0.395 0.070",
    "random": "0.295 0.505 0.030 0.457 0.546 0.330 0.737 0.580 0.479 0.420 0.250 0.413",
    "grid": "0.161 0.594 0.994 0.430 0.830 0.561 0.994 1.394 0.830 1.230",
    "genetic": "0.071 0.836 0.627 0.091 0.423 0.125 0.288 0.493 0.396 0.405 0.422 0.113",
    "steady state": "0.071 0.836 0.627 0.091 0.747 0.328 0.373 0.353 0.285 0.113 0.065 0.074",
    "both children": "0.071 0.836 0.627 0.091 0.044 0.309 0.038 0.019 0.066 0.040 0.336 0.503",
    "self-adaptive": "0.071 0.836 0.627 0.091 0.423 0.125 0.275 0.455 0.396 0.406 0.423 0.097",
    "refined": "0.551 0.126 0.333 0.306 0.673 0.362 0.114 0.365 0.118 0.357 0.391 0.145",
    "plus": "0.071 0.836 0.627 0.091 0.455 0.057 0.394 0.470 0.043 0.150 0.100 0.469",
    "comma": "0.071 0.836 0.627 0.091 0.455 0.057 0.394 0.470 0.316 0.497 0.069 0.468",
    "halving": "0.071 0.836 0.071 0.627 0.091 0.091 0.071 0.297 0.476 0.297 0.396 0.079",
    "hyperband": "0.071 0.836 0.071 0.627 0.091 0.050 0.050 0.082 0.071 0.259 0.071 0.072",
    "NSGA-II": "0.071 0.836 0.627 0.091 0.368 0.286 0.254 0.284 0.283 0.077 0.099 0.040",
    "NSGA-III": "0.071 0.836 0.627 0.091 0.077 0.184 0.084 0.096 0.074 0.281 0.071 0.073",
    "structural": "0.049 0.595 0.106 0.152 0.422 0.360 0.065 0.064 0.346 0.650 0.049 0.585",
    "dynamic": "0.049 0.595 0.106 0.152 0.090 0.064 0.354 0.051 0.431 0.047 0.380 0.025",
    "three parents": "0.049 0.595 0.106 0.152 0.380 0.168 0.048 0.049 0.016 0.023 0.049 0.380",
    "racing": "0.071 0.071 0.836 0.627 0.091 0.050 0.294 0.041 0.072 0.071 0.253 0.072",
    "ageing": "0.049 0.595 0.106 0.152 0.079 0.103 0.091 0.113 0.072 0.109 0.055 0.058",
    "differential": "0.071 0.836 0.627 0.091 0.530 0.349 0.364 0.155 0.065 0.023 0.173 0.079",
    "differential, jde": "0.071 0.836 0.627 0.091 0.062 0.100 0.719 0.332 0.543 0.102 0.549 0.357",
    "estimation": "0.071 0.836 0.627 0.091 0.059 0.158 0.043 0.072 0.049 0.015 0.073 0.256",
    "hybrid": "0.551 0.126 0.333 0.306 0.363 0.079 0.513 0.765 0.040 0.155 0.201 0.004",
    "swarm": "0.071 0.836 0.627 0.091 0.394 0.110 0.356 0.024 0.015 0.081 0.328 0.071",
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_short_run_goes_as_it_always_went(name):
    space = SPACES["conditional"]
    study = Study(ALGORITHMS[name](space), "min distance", seed=1)
    study.run(lambda trial: sphere(space, space.complete(trial.params)), trials=12)
    assert " ".join(f"{trial.values[0]:.3f}" for trial in study.trials) == EXPECTED[name]


POPULATIONS = {
    "three parents": {},
    "classic": {"parents": 1},
    "asynchronous": {"asynchronous": True},
    "both children": {"both_children": True},
    "ensembles": {"networks": 2, "elitism": 1},
}

#: Values and donors of three generations of four trials.
EXPECTED_OF_POPULATIONS = {
    "three parents": (
        "0.071< 0.836< 0.627< 0.091< 0.091<3 0.100<3 "
        "0.071<3 0.040<0 0.394<7 0.394<7 0.394<6 0.040<7"
    ),
    "classic": (
        "0.071< 0.836< 0.627< 0.091< 0.071<0 0.044<0 "
        "0.627<2 0.091<3 0.071<4 0.044<5 0.397<5 0.091<7"
    ),
    "asynchronous": (
        "0.071< 0.836< 0.627< 0.091< 0.067<3 0.058<3 "
        "0.103<3 0.281<5 0.053<4 0.071<8 0.053<8 0.033<10"
    ),
    "both children": (
        "0.071< 0.836< 0.627< 0.091< 0.091<3 0.118<3 "
        "0.074<0 0.071<3 0.077<3 0.103<0 0.281<0 0.097<0"
    ),
    "ensembles": (
        "0.071< 0.836< 0.627< 0.091< 0.071<0 0.100<3 "
        "0.071<3 0.040<0 0.394<4 0.394<6-7 0.394<7-6 0.040<7"
    ),
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_a_short_population_training_goes_as_it_always_went(name):
    space = SPACES["conditional"]
    algorithm = PopulationBasedTraining(space, population_size=4, **POPULATIONS[name])
    study = Study(algorithm, "min distance", seed=1)
    for _ in range(12):
        trial = study.ask()
        study.tell(trial, sphere(space, trial.genome))
    found = [f"{t.values[0]:.3f}<{'-'.join(map(str, t.donors))}" for t in study.trials]
    assert " ".join(found) == EXPECTED_OF_POPULATIONS[name]
