"""``et.plot``: figures of a study; each function returns a Plotly Figure.

Each takes a study, or what `prepare` made of it: to draw several figures of a large study, prepare
it only once. If a study has nothing to show in a figure, the function raises `NoResultError`, which
says what is needed.

- Any study: `progress`, `parallel`, `slices`, `contour`, `importance`, `distributions`,
  `diversity`, `family`, `timeline`.
- Several objectives: `front`, `hypervolume`.
- Trials that report while they train, or that inherit weights: `curves`.
- Trials that inherit weights: `schedules`, `replacements`, `inheritance`, `credit`.
- Chains of layers: `structure`, `structure_changes`, `structures_over_time`, `sizes`.
- Successive halving: `rungs`.
- Several studies: `compare` draws them in one figure. `versus` takes a `Comparison` of one search
  with others; `critical_differences`, `ranks_over_time` and `anytime` take the `Ranking` that
  ``et.report.compare`` returned.
"""

from evotune.analysis.data import prepare
from evotune.report.figures.compare import compare
from evotune.report.figures.contour import contour
from evotune.report.figures.credit import credit
from evotune.report.figures.curves import curves
from evotune.report.figures.distributions import distributions
from evotune.report.figures.diversity import diversity
from evotune.report.figures.family import family, inheritance, replacements
from evotune.report.figures.front import front, hypervolume
from evotune.report.figures.importance import importance
from evotune.report.figures.parallel import parallel
from evotune.report.figures.progress import progress
from evotune.report.figures.ranking import anytime, critical_differences, ranks_over_time
from evotune.report.figures.rungs import rungs
from evotune.report.figures.schedules import schedules
from evotune.report.figures.slices import slices
from evotune.report.figures.structures import structure, structure_changes
from evotune.report.figures.timeline import timeline
from evotune.report.figures.trends import sizes, structures_over_time
from evotune.report.figures.versus import versus

__all__ = [
    "anytime",
    "compare",
    "contour",
    "credit",
    "critical_differences",
    "curves",
    "distributions",
    "diversity",
    "family",
    "front",
    "hypervolume",
    "importance",
    "inheritance",
    "parallel",
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
    "timeline",
    "versus",
]


def __dir__() -> list[str]:
    return list(__all__)
