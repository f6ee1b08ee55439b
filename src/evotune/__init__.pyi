"""The public names for type checkers and editors; ``__init__.py`` loads them lazily."""

from evotune import errors as errors
from evotune.algorithms import recipes as recipes
from evotune.algorithms.auto import auto as auto
from evotune.algorithms.evolution_strategy import EvolutionStrategy as EvolutionStrategy
from evotune.algorithms.genetic import Genetic as Genetic
from evotune.algorithms.grid import Grid as Grid
from evotune.algorithms.intervals import Growing as Growing
from evotune.algorithms.islands import Islands as Islands
from evotune.algorithms.population_based import PopulationBasedTraining as PopulationBasedTraining
from evotune.algorithms.random_search import RandomSearch as RandomSearch
from evotune.errors import EvotuneError as EvotuneError
from evotune.evolution import exploitation as exploitation
from evotune.evolution import schedules as schedules
from evotune.evolution import selection as selection
from evotune.execution.inline import InlineExecutor as InlineExecutor
from evotune.execution.processes import ProcessExecutor as ProcessExecutor
from evotune.execution.stacked import StackedExecutor as StackedExecutor
from evotune.objectives import Constraint as Constraint
from evotune.objectives import Objective as Objective
from evotune.objectives import WeightedSum as WeightedSum
from evotune.space import Bool as Bool
from evotune.space import Choice as Choice
from evotune.space import Fixed as Fixed
from evotune.space import Float as Float
from evotune.space import Int as Int
from evotune.space import Ordinal as Ordinal
from evotune.space import Range as Range
from evotune.space import Space as Space
from evotune.space import crossover as crossover
from evotune.space import mutation as mutation
from evotune.space import refine as refine
from evotune.study import Study as Study
from evotune.training.checkpoints import Checkpoints as Checkpoints
from evotune.training.command import CommandTask as CommandTask
from evotune.training.schedules import Schedule as Schedule
from evotune.training.task import SupervisedTask as SupervisedTask
from evotune.trial import Checkpoint as Checkpoint
from evotune.trial import Failed as Failed
from evotune.trial import Failure as Failure
from evotune.trial import Outcome as Outcome
from evotune.trial import Proposal as Proposal
from evotune.trial import RunningTrial as RunningTrial
from evotune.trial import Trial as Trial
from evotune.tuning import tune as tune

__version__: str
