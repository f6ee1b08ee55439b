"""evotune evolves deep-learning models: hyperparameters, structure, schedules and sparsity.

Every public name is loaded when it is first used, so that ``import evotune`` stays light.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "algorithms.auto": ("auto",),
    "algorithms.cma_es": ("CmaEs",),
    "algorithms.differential": ("DifferentialEvolution",),
    "algorithms.drifting": ("Drifting",),
    "algorithms.estimation": ("EstimationOfDistribution",),
    "algorithms.evolution_strategy": ("EvolutionStrategy",),
    "algorithms.genetic": ("Genetic",),
    "algorithms.grid": ("Grid",),
    "algorithms.halving": ("Hyperband", "SuccessiveHalving"),
    "algorithms.hybrid": ("Hybrid",),
    "algorithms.islands": ("Islands",),
    "algorithms.phases": ("Phases",),
    "algorithms.population_based": ("GrowingInterval", "PopulationBasedTraining"),
    "algorithms.prescreened": ("Prescreened",),
    "algorithms.racing": ("Racing",),
    "algorithms.random_search": ("RandomSearch",),
    "algorithms.swarm": ("ParticleSwarm",),
    "errors": ("EvotuneError",),
    "evolution.stopping": ("DominationStopping", "MedianStopping", "PercentileStopping"),
    "execution.inline": ("InlineExecutor",),
    "execution.processes": ("ProcessExecutor",),
    "execution.stacked": ("StackedExecutor",),
    "objectives": ("Constraint", "Objective", "WeightedSum"),
    "space": ("Bool", "Choice", "Fixed", "Float", "Int", "Ordinal", "Range", "Space"),
    "study.study": ("Study",),
    "checkpoints.store": ("Checkpoints",),
    "training.command": ("CommandTask",),
    "schedules.schedule": ("Schedule",),
    "training.task": ("SupervisedTask",),
    "trial": ("Checkpoint", "Failed", "Failure", "Outcome", "Proposal", "RunningTrial", "Trial"),
    "study.tune": ("tune",),
}
_MODULES = (
    "algorithms.recipes",
    "errors",
    "evolution.exploitation",
    "evolution.rates",
    "evolution.selection",
    "report",
    "space.crossover",
    "space.mutation",
    "space.refine",
)
_WHERE = {name: home for home, names in _HOMES.items() for name in names}
_WHERE_MODULES = {path.rpartition(".")[2]: path for path in _MODULES}
_WHERE_MODULES["plot"] = "report.figures"

__all__ = ["__version__", *sorted(_WHERE), *sorted(_WHERE_MODULES)]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(f"evotune.{_WHERE[name]}"), name)
    elif name in _WHERE_MODULES:
        value = importlib.import_module(f"evotune.{_WHERE_MODULES[name]}")
    else:
        raise AttributeError(f"module 'evotune' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
