"""How much each gene decides: over the whole space, and about being among the best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from evotune.errors import StudyError
from evotune.report.fanova import Effects, Floats, fanova
from evotune.report.ped_anova import ped_anova
from evotune.report.scales import units, varied_genes
from evotune.space import Choice, Space
from evotune.trial import Trial

Method = Literal["fanova", "ped_anova"]

TRIALS_AT_LEAST = 10
#: More trials cost seconds and change nothing that a bar chart shows.
TRIALS_AT_MOST = 2000


@dataclass(frozen=True, slots=True)
class Importance:
    """What decides the objective.

    Attributes:
        shares: Share of every varied gene, its interactions with others included, largest first;
            they sum to 1, or are all 0 when nothing could be learnt.
        alone: The part of each share that the gene has by itself, in the same order.
        quality: R² of the forest's predictions on trials that it was not fitted to: 1 is
            perfect, 0 no better than guessing; NaN where no forest was fitted.
        trials: How many trials it rests on.
    """

    shares: dict[str, float]
    alone: dict[str, float]
    quality: float
    trials: int

    @property
    def genes(self) -> list[str]:
        """Names of the genes, most important first."""
        return list(self.shares)

    @property
    def is_reliable(self) -> bool:
        """True with enough trials, which the forest, if there is one, predicts well enough."""
        return self.trials >= 20 and any(self.shares.values()) and not self.quality < 0.3

    def __str__(self) -> str:
        lines = [f"{share:6.1%}  {gene}" for gene, share in self.shares.items()]
        if not self.is_reliable:
            fit = "" if math.isnan(self.quality) else f", R² {self.quality:.2f}"
            lines.append(f"not reliable: {self.trials} trials{fit}")
        return "\n".join(lines)


def importance(
    space: Space,
    trials: Sequence[Trial],
    objective_index: int = 0,
    *,
    method: Method = "fanova",
    seed: int = 0,
) -> Importance:
    """Return how much each gene decides one objective.

    ``"fanova"`` asks what makes the objective vary over the whole space: a random forest learns the
    trials' *ranks* from their genes, so that a few diverged trials do not rule the picture, and the
    variance of its predictions is taken apart; interactions count for each gene that takes part.
    ``"ped_anova"`` asks what makes a trial one of the best tenth: genes by which only bad trials
    differ do not count.

    Args:
        space: The space of the trials.
        trials: Trials without a finite value are left out.
        objective_index: Which objective.
        method: One of the two.
        seed: Seed of the forest.

    Raises:
        StudyError: Another method.
    """
    if method not in get_args(Method):
        raise StudyError(f'method must be "fanova" or "ped_anova", got {method!r}')
    genes = varied_genes(space)
    done = [t for t in trials if t.values and math.isfinite(t.values[objective_index])]
    rng = np.random.default_rng(seed)
    if len(done) > TRIALS_AT_MOST:
        kept = np.sort(rng.choice(len(done), TRIALS_AT_MOST, replace=False))
        done = [done[k] for k in kept]
    targets = np.array([t.values[objective_index] for t in done if t.values])
    effects = Effects(np.zeros(len(genes)), np.zeros(len(genes)), math.nan)
    if genes and len(done) >= TRIALS_AT_LEAST and np.ptp(targets) > 0:
        cube = units(space, genes, done)
        if method == "fanova":
            effects = fanova(cube, _ranks(targets), rng)
        else:
            unordered = np.array([isinstance(space[name], Choice) for name in genes])
            variances = ped_anova(cube, targets, unordered)
            effects = Effects(variances, variances, math.nan)
    whole = effects.total.sum() or 1.0
    order = np.argsort(-effects.total, kind="stable")
    return Importance(
        {genes[k]: float(effects.total[k] / whole) for k in order},
        {genes[k]: float(effects.alone[k] / whole) for k in order},
        effects.quality,
        len(done),
    )


def _ranks(targets: Floats) -> Floats:
    from scipy.stats import rankdata  # takes half a second to load

    ranks: Floats = rankdata(targets) / len(targets)
    return ranks
