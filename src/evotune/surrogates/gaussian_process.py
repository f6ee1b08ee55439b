"""A small Gaussian process: Matérn 5/2 with one lengthscale per gene on warped inputs.

References: Rasmussen and Williams, "Gaussian processes for machine learning" (2006), cited as RW;
Snoek et al., "Input warping for Bayesian optimization of non-stationary functions", ICML 2014.

numpy and scipy only: a fit and a prediction cost a fifth to a tenth of what the general libraries
take at a few hundred points.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtrs
from scipy.optimize import minimize

from evotune.surrogates.features import Layout

Array = npt.NDArray[np.float64]

#: Added to the diagonal beside the noise.
JITTER = 1e-8
#: How much longer the lengthscales of slots are at first: a single layer says less of a network
#: than the summary of its chain does.
SLOTS = 3.0
#: Steps of a fit at most.
STEPS = 40
#: Distance that the warp keeps from 0 and 1, where its slope may be infinite.
_MARGIN = 1e-7
_ROOT_5 = math.sqrt(5.0)


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """The fitted hyperparameters, all as natural logarithms.

    Attributes:
        lengthscales: One for each gene, shape ``(genes,)``.
        powers: a of the warp of each ordered gene, shape ``(ordered,)``.
        roots: b of it, likewise.
        signal: Variance of the function.
        noise: Variance of an observation around it.
    """

    lengthscales: Array
    powers: Array
    roots: Array
    signal: float
    noise: float

    def vector(self) -> Array:
        """Return all numbers in one vector."""
        last = np.array([self.signal, self.noise])
        return np.concatenate([self.lengthscales, self.powers, self.roots, last])

    @classmethod
    def of(cls, vector: Array, layout: Layout) -> "Hyperparameters":
        """Split a vector made by `vector`."""
        genes, warped = layout.genes, layout.warped
        first, second, third = np.split(vector[:-2], [genes, genes + warped])
        return cls(first, second, third, float(vector[-2]), float(vector[-1]))


@dataclass(frozen=True, slots=True)
class Priors:
    """Normal priors of the hyperparameters' logarithms, and their bounds.

    Attributes:
        mean: Shape ``(hyperparameters,)``, in the order of `Hyperparameters.vector`.
        std: Likewise.
        bounds: Lowest and highest, shape ``(hyperparameters, 2)``.
    """

    mean: Array
    std: Array
    bounds: Array

    @classmethod
    def of(cls, layout: Layout) -> "Priors":
        """Return the priors of a layout."""
        genes, warps, slots = layout.genes, 2 * layout.warped, list(layout.slots)
        length = _length(genes - len(slots))
        rows = (  # how many, mean, standard deviation, lowest, highest
            (genes, length, 0.9, math.log(0.01), math.log(1000.0)),
            (warps, 0.0, 0.4, -1.5, 1.5),
            (1, 0.0, 1.0, -3.0, 3.0),
            (1, math.log(1e-3), 1.5, math.log(1e-6), 0.0),
        )
        table = np.repeat([row[1:] for row in rows], [row[0] for row in rows], axis=0)
        table[slots, 0] = _length(genes) + math.log(SLOTS)
        return cls(table[:, 0], table[:, 1], table[:, 2:])

    def start(self, layout: Layout) -> Hyperparameters:
        """Return the hyperparameters at the priors' means."""
        return Hyperparameters.of(self.mean, layout)


def _length(genes: int) -> float:
    # The distance of two random points grows with the root of the number of genes.
    return math.log(0.5) + 0.5 * math.log(max(genes, 1) / 4.0)


@dataclass(frozen=True, slots=True)
class GaussianProcess:
    """A Gaussian process conditioned on observations, with zero prior mean.

    Attributes:
        layout: Which feature belongs to which gene.
        hyperparameters: Those it was made with.
        scaled: The observed features, warped and divided by lengthscales.
        factor: Lower Cholesky factor L of the covariance of the observations.
        dual: K⁻¹y, shape ``(observations,)``.
    """

    layout: Layout
    hyperparameters: Hyperparameters
    scaled: Array
    factor: Array
    dual: Array

    @classmethod
    def after(
        cls, features: Array, targets: Array, layout: Layout, hyperparameters: Hyperparameters
    ) -> "GaussianProcess":
        """Return the process conditioned on observations.

        Args:
            features: Shape ``(observations, features)``.
            targets: Shape ``(observations,)``.
            layout: Which feature belongs to which gene.
            hyperparameters: Those of the kernel.
        """
        scaled = scale(features, layout, hyperparameters)
        covariance = math.exp(hyperparameters.signal) * matern(squared_distances(scaled, scaled))
        factor = cholesky(covariance, math.exp(hyperparameters.noise))
        return cls(layout, hyperparameters, scaled, factor, dpotrs(factor, targets, lower=1)[0])

    def smooth(self, targets: Array) -> Array:
        """Return the means at the observations, given what was observed there.

        From (K + σ²I)·dual = y follows K·dual = y - σ²·dual: nothing has to be solved again.
        """
        return targets - (math.exp(self.hyperparameters.noise) + JITTER) * self.dual

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the function itself, without noise.

        Args:
            features: Shape ``(candidates, features)``.

        Returns:
            Two arrays of shape ``(candidates,)``.
        """
        signal = math.exp(self.hyperparameters.signal)
        scaled = scale(features, self.layout, self.hyperparameters)
        cross = signal * matern(squared_distances(scaled, self.scaled))
        mean = cross @ self.dual  # RW eq. 2.25
        half = dtrtrs(self.factor, cross.T, lower=1)[0]
        variance = signal - np.einsum("ij,ij->j", half, half)  # RW eq. 2.26
        return mean, np.sqrt(np.maximum(variance, 1e-12 * signal))

    def believing(self, features: Array) -> "GaussianProcess":
        """Return the process conditioned on its own mean at further points (kriging believer).

        This leaves every mean unchanged and adds zeros to the dual, so that only the factor grows
        (Ginsbourger et al., "Kriging is well-suited to parallelize optimization", 2010).

        Args:
            features: Shape ``(points, features)``.
        """
        signal = math.exp(self.hyperparameters.signal)
        scaled = scale(features, self.layout, self.hyperparameters)
        cross = signal * matern(squared_distances(self.scaled, scaled))
        corner = signal * matern(squared_distances(scaled, scaled))
        side = dtrtrs(self.factor, cross, lower=1)[0]
        noise = math.exp(self.hyperparameters.noise)
        known, new = side.shape
        factor = np.zeros((known + new, known + new), order="F")
        factor[:known, :known] = self.factor
        factor[known:, :known] = side.T
        factor[known:, known:] = cholesky(corner - side.T @ side, noise)
        return replace(
            self,
            scaled=np.concatenate([self.scaled, scaled]),
            factor=factor,
            dual=np.concatenate([self.dual, np.zeros(new)]),
        )


# -- the kernel -----------------------------------------------------------------------------------


def warp(units: Array, powers: Array, roots: Array) -> Array:
    """Return Kumaraswamy's 1 - (1 - xᵃ)ᵇ (Snoek et al., section 3.1, with its distribution).

    Args:
        units: Points in [0, 1], shape ``(points, ordered)``.
        powers: log a of each ordered gene.
        roots: log b.
    """
    inside = np.clip(units, _MARGIN, 1.0 - _MARGIN)
    return np.asarray(-np.expm1(np.exp(roots) * np.log1p(-(inside ** np.exp(powers)))))


def scale(features: Array, layout: Layout, hyperparameters: Hyperparameters) -> Array:
    """Return features with ordered genes warped, each divided by its gene's lengthscale."""
    numbers = warp(features[:, : layout.warped], hyperparameters.powers, hyperparameters.roots)
    warped = np.concatenate([numbers, features[:, layout.warped :]], axis=1)
    lengthscales = np.exp(hyperparameters.lengthscales)[layout.gene]
    return np.asarray(warped / lengthscales)


def squared_distances(a: Array, b: Array) -> Array:
    """Return squared distances between two sets of points, shape ``(points of a, of b)``."""
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2.0 * (a @ b.T)
    return np.asarray(np.maximum(squares, 0.0))


def matern(squares: Array) -> Array:
    """Return Matérn 5/2 of squared scaled distances (RW eq. 4.17)."""
    distance = _ROOT_5 * np.sqrt(squares)
    return np.asarray((1.0 + distance + distance * distance / 3.0) * np.exp(-distance))


def cholesky(covariance: Array, noise: float) -> Array:
    """Return the lower Cholesky factor of a covariance plus noise.

    The jitter is raised tenfold until rounding no longer prevents the factorisation.
    """
    jitter = JITTER
    while True:
        loaded = covariance.copy(order="F")
        loaded.flat[:: len(loaded) + 1] += noise + jitter
        factor, trouble = dpotrf(loaded, lower=1, overwrite_a=1)
        if trouble == 0:
            return np.asarray(factor)
        jitter *= 10.0


# -- the fit --------------------------------------------------------------------------------------


def fit(
    features: Array, targets: Array, layout: Layout, start: Hyperparameters | None = None
) -> tuple[Hyperparameters, float]:
    """Return the most probable hyperparameters and their loss.

    Args:
        features: Shape ``(observations, features)``.
        targets: Mean near 0 and variance near 1, shape ``(observations,)``.
        layout: Which feature belongs to which gene.
        start: Where to begin; by default at the priors' means.
    """
    priors = Priors.of(layout)
    if not targets.any():
        return priors.start(layout), 0.0  # constant: there is nothing to learn
    found = minimize(
        loss,
        priors.mean if start is None else start.vector(),
        (features, targets, layout, priors),
        method="L-BFGS-B",
        jac=True,
        bounds=priors.bounds,
        options={"maxiter": STEPS},
    )
    return Hyperparameters.of(found.x, layout), float(found.fun)


def loss(
    vector: Array, features: Array, targets: Array, layout: Layout, priors: Priors
) -> tuple[float, Array]:
    """Return the negative log posterior of hyperparameters, up to a constant, and its gradient.

    Args:
        vector: As `Hyperparameters.vector` returns it.
        features: Shape ``(observations, features)``.
        targets: Shape ``(observations,)``.
        layout: Which feature belongs to which gene.
        priors: Those of the hyperparameters.
    """
    now = Hyperparameters.of(vector, layout)
    signal, noise = math.exp(now.signal), math.exp(now.noise)
    scaled = scale(features, layout, now)
    squares = squared_distances(scaled, scaled)
    distance = _ROOT_5 * np.sqrt(squares)
    decay = signal * np.exp(-distance)
    kernel = (1.0 + distance + distance * distance / 3.0) * decay
    factor = cholesky(kernel, noise)
    dual = dpotrs(factor, targets, lower=1)[0]
    away = (vector - priors.mean) / priors.std
    value = 0.5 * targets @ dual + np.log(factor.diagonal()).sum()  # RW eq. 2.30
    inverse = dpotri(factor, lower=1)[0]
    inverse = inverse + np.tril(inverse, -1).T
    # RW eq. 5.9: the loss changes by tr(outer · dK), halves and signs included
    outer = 0.5 * (inverse - np.outer(dual, dual))
    # dk/d(r²) of RW eq. 4.17
    pull = outer * (-5.0 / 6.0) * (1.0 + distance) * decay
    gradient = np.concatenate(
        [
            _input_gradient(pull, scaled, features, layout, now),
            [np.vdot(outer, kernel), noise * np.trace(outer)],
        ]
    )
    return float(value + 0.5 * away @ away), gradient + away / priors.std


def _input_gradient(
    pull: Array, scaled: Array, features: Array, layout: Layout, now: Hyperparameters
) -> Array:
    """Return the gradient by lengthscales and warp, from d loss / d r² of each pair."""
    # Each pair counts twice, and d r²_ij / d z_i = 2·(z_i - z_j).
    by_scaled = 4.0 * (pull.sum(axis=1)[:, None] * scaled - pull @ scaled)
    by_length = -np.bincount(layout.gene, (by_scaled * scaled).sum(axis=0), layout.genes)
    a, b = np.exp(now.powers), np.exp(now.roots)
    inside = np.clip(features[:, : layout.warped], _MARGIN, 1.0 - _MARGIN)
    raised = inside**a
    log_rest = np.log1p(-raised)
    rest = np.exp(b * log_rest)  # (1 - xᵃ)ᵇ
    by_warped = by_scaled[:, : layout.warped] * np.exp(-now.lengthscales[: layout.warped])
    by_power = (by_warped * a * b * rest / (1.0 - raised) * raised * np.log(inside)).sum(axis=0)
    by_root = (by_warped * -b * rest * log_rest).sum(axis=0)
    return np.concatenate([by_length, by_power, by_root])
