"""Genomes made to fit before they become trials, and what is said about it."""

import logging
from collections.abc import Hashable, Iterable
from typing import Any

from evotune.errors import GenomeError, TaskError
from evotune.protocols import Fit, Genome

log = logging.getLogger("evotune")


class Fitting:
    """Applies the `TaskTraits.fit` of a task; without one it returns genomes as they are.

    Args:
        space: The space of the study.

    Attributes:
        fit: The function, or None.
    """

    def __init__(self, space: Any) -> None:
        self._space = space
        self.fit: Fit | None = None
        # The last genomes that were made to fit. Only what is new is kept: nothing depends on it.
        self._fitted: dict[Hashable, Genome] = {}
        self._before: dict[Hashable, Genome] = {}

    def __bool__(self) -> bool:
        return self.fit is not None

    def use(self, fit: Fit | None) -> None:
        """Use another function, or none."""
        self.fit = fit
        self._forget()

    def _forget(self) -> None:
        self._fitted, self._before = {}, {}

    def __call__(self, genome: Genome) -> Genome:
        """Return the genome, or one near it that can be tried.

        Raises:
            TaskError: The function returned no genome of the space; or it raised this, as there is
                none within its limits.
        """
        if self.fit is None:
            return genome
        key = self._space.key(genome)
        if key not in self._fitted:
            if len(self._fitted) >= _REMEMBERED:
                self._forget()
            fitted = self._checked(self.fit(self._space, dict(genome)))
            self._fitted[key] = fitted
            if self._space.key(fitted) != key:
                self._before[self._space.key(fitted)] = genome
        return self._fitted[key]

    def _checked(self, fitted: Any) -> Genome:
        try:
            self._space.check(fitted)
        except (GenomeError, AttributeError) as error:
            raise TaskError(
                "fit, a function of (space, genome), must return a genome of the space, with all "
                f"its genes; it returned {fitted!r}: {error}"
            ) from error
        genome: Genome = fitted
        return genome

    def changes(self, genome: Genome) -> str:
        """Return what would be changed of a genome, one gene after the other, or ""."""
        return self._difference(genome, self(genome))

    def is_from(self, genomes: Iterable[Genome], fitted: Genome) -> bool:
        """Tell whether one of some genomes was changed into this one."""
        before = self._before.get(self._space.key(fitted))
        key = None if before is None else self._space.key(before)
        return key is not None and any(self._space.key(genome) == key for genome in genomes)

    def say(self, what: str, fitted: Genome) -> None:
        """Log what was changed to make this genome, if anything was."""
        before = self._before.get(self._space.key(fitted))
        if before is not None:
            changes = self._difference(before, fitted)
            log.warning("%s was made to fit the limits of the task: %s", what, changes)

    def _difference(self, before: Genome, after: Genome) -> str:
        a, b = self._space.active(before), self._space.active(after)
        return ", ".join(
            f"{name} {_value(a, name)} -> {_value(b, name)}"
            for name in dict.fromkeys([*a, *b])
            if _value(a, name) != _value(b, name)
        )


#: Genomes whose fitted form is remembered, for repeated proposals.
_REMEMBERED = 256


def _value(active: Genome, name: str) -> str:
    return repr(active[name]) if name in active else "(none)"
