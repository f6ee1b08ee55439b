"""Evolution and Bayesian optimisation together: evolution proposes, Gaussian processes select.

A pool of candidates evolves under the expected improvement that two Gaussian processes predict,
and its winner is tried. No gradient of the acquisition is needed, so that whole numbers,
categories and conditional genes are searched as they are.

References: Jones, Schonlau and Welch, "Efficient global optimization" (1998); for several
objectives Knowles, "ParEGO" (2006).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import log_ndtr

from evotune.algorithms.generations import Generations
from evotune.algorithms.proxy_start import ProxyStart
from evotune.checks import check_whole
from evotune.evolution.pareto import non_dominated
from evotune.protocols import Traits
from evotune.proxies.archive import Scores
from evotune.proxies.ranking import Agreement
from evotune.space import Space, needed_space
from evotune.space.designs import sobol
from evotune.surrogates.acquisition import log_chebyshev_improvement, log_expected_improvement
from evotune.surrogates.candidates import Fit, evolve
from evotune.surrogates.model import Model, Surrogate
from evotune.surrogates.observations import Observation
from evotune.surrogates.rows import Array, Mask, Rows
from evotune.surrogates.threads import one_thread
from evotune.trial import Proposal, Trial

#: Best trials whose genes the first candidates inherit.
PARENTS = 20
#: Results without a new best after which the best is taken for luck, or for genuine again.
PATIENCE = 6


class Hybrid:
    """A genetic search in a surrogate of the objective, for tens to some hundreds of trials.

    After a start that covers the space, two Gaussian processes learn from all trials. Trials that
    still run count as if they would bring what is predicted for them, failed ones as if they were
    as bad as the worst, and infeasible ones as worse than all feasible ones. Several objectives
    are weighted at random for each proposal, so that the whole front is searched. Where a task has
    limits, the best candidates are made to keep to them before one is chosen.

    Args:
        space: What may be searched.
        initial: Trials of the scrambled Sobol sequence that come first; trials from elsewhere that
            are told before count as part of them.
        seeds: Genomes, or params, to begin with.
        proxies: Function of params that returns zero-cost scores of their network by name, such as
            `evotune.proxies.Proxies`. Where they rank the first 5 trials, which are those of the
            search without proxies, at all as their results do, the next 8 are the best of about a
            thousand networks, found by evolving the scores; where after 3 of these the ranks no
            longer agree with all results, the rest is left out. Genes that change no score, such
            as a learning rate, fill their ranges in these 8. ``initial`` is 5 or more with them.

    Raises:
        AlgorithmError: A gene that has neither an order nor a list of values, or no start.
        GenomeError: A seed genome lies outside the space.
    """

    def __init__(
        self,
        space: Space,
        *,
        initial: int = 10,
        seeds: Sequence[Mapping[str, Any]] = (),
        proxies: Scores | None = None,
    ) -> None:
        check_whole("Hybrid", "initial", initial, 1)
        self.space = needed_space(space)
        self._rows = Rows(space)
        self._surrogate = Surrogate(self._rows)
        start = None if proxies is None else ProxyStart(space, proxies)
        self._generations = Generations(space, sobol, seeds, initial, start)
        self.initial = initial if proxies is None else self._generations.running.size
        self._seeds = len(seeds)
        self._observations: list[Observation] = []
        self._running: dict[int, Array] = {}
        self._known: set[int] = set()  # numbers of all trials
        self._taken: set[bytes] = set()  # keys of their rows
        self._model: Model | None = None
        self._modelled = -1  # how many observations the model has seen
        self._fit: Fit | None = None

    def __repr__(self) -> str:
        return f"Hybrid(initial={self.initial})"

    @property
    def traits(self) -> Traits:
        """What a study must know of it."""
        return Traits(seeds=self._generations.late_seeds, heed=self._heed)

    def _heed(self, fit: Fit | None) -> None:
        self._fit = fit

    @property
    def agreement(self) -> Agreement | None:
        """How well the proxies agree with the results of the start; None before the fifth."""
        return self._generations.agreement

    def donors(self) -> Collection[int]:
        """Return no trials: weights are never inherited."""
        return ()

    # -- tell: the only change ----------------------------------------------------------------

    def tell(self, trial: Trial) -> None:
        """Record a trial."""
        self._generations.tell(trial)
        row = self._rows.row(trial.genome)
        self._known.add(trial.number)
        self._taken.add(self._keys(row[None])[0])
        if trial.has_ended:
            self._running.pop(trial.number, None)
            self._observations.append(Observation.of(trial, row))
        else:
            self._running[trial.number] = row

    def _keys(self, rows: Array) -> list[bytes]:
        return self._rows.keys(rows, self._rows.active(rows))

    # -- ask: reads only ----------------------------------------------------------------------

    def ask(self, rng: np.random.Generator) -> Proposal:
        """Propose the next trial."""
        chosen = self._generations.chosen(rng)
        if chosen is not None:
            return chosen
        design = self._generations.running
        is_short = len(self._known) < self.initial and not design.is_full
        if design.started < self._seeds or is_short:
            return self._generations.newcomer(rng)
        with one_thread():
            row = self._best_candidate(rng)
        return Proposal(self.space.sample(rng) if row is None else self._rows.genome(row))

    def _current_model(self) -> Model | None:
        """Return the model of all results; what it was made from last is kept."""
        if self._modelled != len(self._observations):
            self._model = self._surrogate.model(self._observations)
            self._modelled = len(self._observations)
        return self._model

    def _best_candidate(self, rng: np.random.Generator) -> Array | None:
        """Return the best new row; None where nothing can be learned, or no row is new."""
        model = self._current_model()
        if model is None or not self._rows.names:
            return None
        if self._running:
            rows = np.array(list(self._running.values()))
            model = model.believing(rows, self._rows.active(rows))
        direction = np.abs(rng.standard_normal(model.table.values.shape[1]))
        # A best value that no other comes near may be luck, or a detail that the model does not
        # resolve yet: the two assumptions take turns while neither finds anything better.
        so_far = model.smoothed if model.stale // PATIENCE % 2 else model.targets
        gain = _Gain(model, so_far, direction / np.linalg.norm(direction))
        order = np.argsort(gain.losses, kind="stable")[:PARENTS]
        return evolve(self._rows, model.table.rows[order], gain, self._taken, rng, self._fit)


class _Gain:
    """The gain at candidates: the log expected improvement, averaged over transforms.

    Several objectives become one: the largest (f_k - reference_k) / λ_k, whose improvement,
    averaged over directions λ, is that of the hypervolume (Golovin and Zhang, "Random hypervolume
    scalarizations for provable multi-objective black box optimization", ICML 2020, lemma 5).

    Args:
        model: The model.
        so_far: Transformed objectives of its observations, of each transform
            ``(observations, objectives)``.
        direction: λ, of length 1, shape ``(objectives,)``.

    Attributes:
        losses: The scalarised value of each observation, shape ``(observations,)``.
    """

    def __init__(self, model: Model, so_far: Sequence[Array], direction: Array) -> None:
        self._model = model
        self._single = len(direction) == 1
        feasible = model.table.violations == 0
        self._scales = [
            _scale(targets[feasible], direction) for targets in so_far if not self._single
        ]
        losses = [self._losses(k, targets) for k, targets in enumerate(so_far)]
        self._best = [float(all_losses[feasible].min()) for all_losses in losses]
        self.losses = np.where(feasible, losses[0], losses[0].max() + model.table.violations)

    def _losses(self, k: int, targets: Array) -> Array:
        if self._single:
            return targets[:, 0]
        weights, reference = self._scales[k]
        return np.asarray(((targets - reference) * weights).max(axis=1))

    def __call__(self, rows: Array, active: Mask) -> Array:
        seen = self._model.features(rows, active)
        gain = np.mean([self._one(k, seen) for k in range(len(self._best))], axis=0)
        if self._model.border is not None:
            mean, std = self._model.border.predict(seen)
            gain += log_ndtr(-mean / std)
        return np.asarray(gain)

    def _one(self, k: int, seen: Array) -> Array:
        predicted = [process.predict(seen) for process in self._model.processes[k]]
        if self._single:
            return log_expected_improvement(*predicted[0], self._best[k])
        means, stds = zip(*predicted, strict=True)
        return log_chebyshev_improvement(means, stds, *self._scales[k], self._best[k])


def _scale(targets: Array, direction: Array) -> tuple[Array, Array]:
    """Return weights and reference point of objectives, each of shape ``(objectives,)``.

    The reference is the worst of the front, but no better than the median: as long as the front
    is a single corner, there is more of it to be found.
    """
    front = targets[non_dominated(targets)]
    ideal = targets.min(axis=0)
    reference = np.maximum(front.max(axis=0), np.median(targets, axis=0))
    span = np.maximum(reference - ideal, 1e-6)
    return 1.0 / (span * np.maximum(direction, 0.01)), reference + 0.1 * span
