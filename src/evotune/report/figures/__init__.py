"""``et.plot``: figures of a study; each function returns a Plotly Figure.

Each takes a study, or what `prepare` made of it: to draw several figures of a large study, prepare
it only once. If a study has nothing to show in a figure, the function raises `NoResultError`, which
says what is needed.

- Any study: `progress`, `parallel_coordinates`, `slices`, `importance`, `distributions`,
  `diversity`, `family_tree`.
- Several objectives: `front`, `hypervolume`.
- Trials that inherit weights: `schedules`, `learning_curves`, `replacements`, `inheritance`,
  `credit`.
- Chains of layers: `structure`, `structure_changes`, `structures_over_time`, `sizes`.
- Successive halving: `rungs`.
- Comparisons: `versus` takes a `Comparison` of one search with others; `critical_differences`,
  `ranks_over_time` and `anytime` take the `Ranking` that ``et.report.compare`` returned.
"""

from evotune.analysis.data import prepare
from evotune.report.figures.credit import credit
from evotune.report.figures.curves import learning_curves
from evotune.report.figures.distributions import distributions
from evotune.report.figures.diversity import diversity
from evotune.report.figures.family import family_tree, inheritance, replacements
from evotune.report.figures.front import front, hypervolume
from evotune.report.figures.importance import importance
from evotune.report.figures.parallel import parallel_coordinates
from evotune.report.figures.progress import progress
from evotune.report.figures.ranking import anytime, critical_differences, ranks_over_time
from evotune.report.figures.rungs import rungs
from evotune.report.figures.schedules import schedules
from evotune.report.figures.slices import slices
from evotune.report.figures.structures import structure, structure_changes
from evotune.report.figures.trends import sizes, structures_over_time
from evotune.report.figures.versus import versus

__all__ = [
    "anytime",
    "credit",
    "critical_differences",
    "distributions",
    "diversity",
    "family_tree",
    "front",
    "hypervolume",
    "importance",
    "inheritance",
    "learning_curves",
    "parallel_coordinates",
    "prepare",
    "progress",
    "ranks_over_time",
    "replacements",
    "rungs",
    "schedules",
    "sizes",
    "slices",
    "structure",
    "structure_changes",
    "structures_over_time",
    "versus",
]


def __dir__() -> list[str]:
    return list(__all__)
