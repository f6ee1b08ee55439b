"""The one list of public names: type checkers and editors read it, and so does the package.

A line is ``from MODULE import NAME as PUBLIC``; `evotune` loads each name when it is first used.
"""

from evotune import errors as errors
from evotune import protocols as protocols
from evotune import proxies as proxies
from evotune import report as report
from evotune import testing as testing
from evotune.algorithms import recipes as recipes
from evotune.algorithms.auto import auto as auto
from evotune.algorithms.cma_es import CmaEs as CmaEs
from evotune.algorithms.differential import DifferentialEvolution as DifferentialEvolution
from evotune.algorithms.drifting import Drifting as Drifting
from evotune.algorithms.estimation import EstimationOfDistribution as EstimationOfDistribution
from evotune.algorithms.evolution_strategy import EvolutionStrategy as EvolutionStrategy
from evotune.algorithms.genetic import Genetic as Genetic
from evotune.algorithms.grid import Grid as Grid
from evotune.algorithms.halving import Hyperband as Hyperband
from evotune.algorithms.halving import SuccessiveHalving as SuccessiveHalving
from evotune.algorithms.hybrid import Hybrid as Hybrid
from evotune.algorithms.islands import Islands as Islands
from evotune.algorithms.phases import Phases as Phases
from evotune.algorithms.population_based import GrowingInterval as GrowingInterval
from evotune.algorithms.population_based import PopulationBasedTraining as PopulationBasedTraining
from evotune.algorithms.prescreened import Prescreened as Prescreened
from evotune.algorithms.racing import Racing as Racing
from evotune.algorithms.random_search import RandomSearch as RandomSearch
from evotune.algorithms.recipes import Nsga2 as Nsga2
from evotune.algorithms.recipes import Nsga3 as Nsga3
from evotune.algorithms.swarm import ParticleSwarm as ParticleSwarm
from evotune.architectures.blocks import block as block
from evotune.architectures.build import build_chain as build_chain
from evotune.architectures.cost import Cost as Cost
from evotune.architectures.cost import cost as cost
from evotune.architectures.templates import rebuild as rebuild
from evotune.architectures.templates.autoencoder import autoencoder as autoencoder
from evotune.architectures.templates.image import image_classifier as image_classifier
from evotune.architectures.templates.sequence import sequence_model as sequence_model
from evotune.architectures.templates.tabular import tabular as tabular
from evotune.architectures.templates.translation import sequence_to_sequence as sequence_to_sequence
from evotune.architectures.templates.two_branch import two_branch as two_branch
from evotune.checkpoints.store import Checkpoints as Checkpoints
from evotune.errors import EvotuneError as EvotuneError
from evotune.evolution import exploitation as exploitation
from evotune.evolution import rates as rates
from evotune.evolution import selection as selection
from evotune.evolution import survival as survival
from evotune.evolution import topology as topology
from evotune.evolution.stopping import DominationStopping as DominationStopping
from evotune.evolution.stopping import MedianStopping as MedianStopping
from evotune.evolution.stopping import PercentileStopping as PercentileStopping
from evotune.execution.inline import InlineExecutor as InlineExecutor
from evotune.execution.processes import ProcessExecutor as ProcessExecutor
from evotune.execution.stacked import StackedExecutor as StackedExecutor
from evotune.integrations import callbacks as callbacks
from evotune.integrations.energy import Energy as Energy
from evotune.objectives import Constraint as Constraint
from evotune.objectives import Objective as Objective
from evotune.objectives import WeightedSum as WeightedSum
from evotune.proxies.task import ProxyTask as ProxyTask
from evotune.pruning.compact import compact as compact
from evotune.pruning.prune import prune as prune
from evotune.pruning.result import Pruned as Pruned
from evotune.pruning.sweep import Sweep as Sweep
from evotune.pruning.task import PruningTask as PruningTask
from evotune.report import figures as plot
from evotune.schedules.schedule import Schedule as Schedule
from evotune.space import Bool as Bool
from evotune.space import Chain as Chain
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
from evotune.study.opening import open as open
from evotune.study.study import Study as Study
from evotune.study.tune import tune as tune
from evotune.training.command import CommandTask as CommandTask
from evotune.training.task import SupervisedTask as SupervisedTask
from evotune.trial import Checkpoint as Checkpoint
from evotune.trial import Failed as Failed
from evotune.trial import Failure as Failure
from evotune.trial import Outcome as Outcome
from evotune.trial import Proposal as Proposal
from evotune.trial import RunningTrial as RunningTrial
from evotune.trial import Trial as Trial

__version__: str

__all__ = ["plot"]  # exported although its name at home is another
