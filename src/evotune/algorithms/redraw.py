"""New genes for a population that restarts, drawn by a model of what has improved its weights."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evotune.evolution.survival import best_first
from evotune.space import Space
from evotune.surrogates.features import Features
from evotune.surrogates.regressors import Predict, gaussian_process
from evotune.surrogates.rows import Array, Rows
from evotune.surrogates.threads import one_thread
from evotune.trial import Trial

#: Trials that the model learns from, the last ones; fewer than ``FEWEST`` teach nothing.
KNOWN, FEWEST = 200, 8
#: Genomes drawn at random, of which the most promising one is taken.
POOL = 32


class Redraw:
    """Learns which genes improved weights the most in an interval, and draws genes like them.

    A Gaussian process learns each trial's place in its generation, ordered by how much its values
    improved on those of its donor, so that early large gains and late small ones count alike.
    Failed trials come last. Each draw is the best of 32 random genomes by the predicted place,
    so that the children of one restart differ.

    Args:
        space: What may be scheduled.

    Raises:
        AlgorithmError: A gene has neither an order nor a list of values.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._rows = Rows(space)
        self._features = Features(self._rows)
        self._known: list[tuple[Array, float]] = []  # row and place, from 0, the best, to 1
        self._learned: tuple[int, Predict] | None = None
        self._told = 0

    def learn(self, steps: Sequence[tuple[Trial, tuple[float, ...]]]) -> None:
        """Record the ended trials of one generation, by number.

        Args:
            steps: Each with the values of its donor.
        """
        gained = [_gained(trial, before) for trial, before in steps]
        ordered = [trial.number for trial in best_first(gained)]
        last = max(1, len(ordered) - 1)
        places = {number: k / last for k, number in enumerate(ordered)}
        rows = [(self._rows.row(t.genome), places.get(t.number, 1.0)) for t in gained]
        self._known = [*self._known, *rows][-KNOWN:]
        self._told += len(rows)

    def draw(self, rng: np.random.Generator) -> dict[str, object]:
        """Return a genome; at random as long as there is too little to learn from."""
        if len(self._known) < FEWEST or not self._rows.names:
            return self._space.sample(rng)
        pool = [self._space.sample(rng) for _ in range(POOL)]
        with one_thread():
            places = self._model()(self._seen(np.array([self._rows.row(g) for g in pool])))
        return pool[int(np.argmin(places))]

    def _model(self) -> Predict:
        """Return the model of all that is known, fitted once for the children of a restart."""
        if self._learned is None or self._learned[0] != self._told:
            rows, places = (np.array(column) for column in zip(*self._known, strict=True))
            fitted = gaussian_process(self._seen(rows), places, self._features.layout)
            self._learned = (self._told, fitted)
        return self._learned[1]

    def _seen(self, rows: Array) -> Array:
        return self._features(rows, self._rows.active(rows))


def _gained(trial: Trial, before: tuple[float, ...]) -> Trial:
    """Return a trial whose values are how much worse it is than its donor."""
    if trial.values is None:
        return trial
    return replace(trial, values=tuple(b - a for a, b in zip(before, trial.values, strict=True)))
