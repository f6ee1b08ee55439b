"""Weights handed on from parents to children, in a search whose trials are otherwise separate."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from evotune.checks import check_whole
from evotune.errors import AlgorithmError
from evotune.trial import Proposal, Trial


class Heirs:
    """Lets children start from the weights of a parent; the first ones start afresh.

    Args:
        owner: Name of the algorithm, for messages.
        epochs: Epochs that each trial adds; None leaves it to the evaluate function.

    Raises:
        AlgorithmError: ``epochs`` is no whole number from 1 up.
    """

    def __init__(self, owner: str, epochs: int | None) -> None:
        if epochs is not None:
            check_whole(owner, "epochs", epochs, 1)
        self.epochs = epochs
        self._owner = owner
        self._running: set[int] = set()
        self._lost: set[int] = set()  # trials whose weights could not be read
        self._kept: int | None = None  # some trial that has kept its weights
        self._kept_none: int | None = None  # one of the algorithm's own that has not

    @property
    def budget(self) -> float | None:
        """Budget of each trial."""
        return None if self.epochs is None else float(self.epochs)

    def founder(self, proposal: Proposal) -> Proposal:
        """Return the proposal of a trial that starts afresh."""
        return replace(proposal, budget=self.budget)

    def child(self, proposal: Proposal, parents: Sequence[Trial]) -> Proposal:
        """Return the proposal of a child with the weights of its first parent that has any.

        The first one is asked first, as a child is mostly its: what is alike need not be mapped.

        Args:
            proposal: The child's genome.
            parents: Its parents in their order.

        Raises:
            AlgorithmError: Trials are done, but none has kept its weights.
        """
        if self._kept is None and self._kept_none is not None:
            raise AlgorithmError(
                f"{self._owner}(inherit=True): trial {self._kept_none} is done but has not kept "
                "its weights, so there is nothing to inherit; end the evaluate function with "
                "trial.keep(model=model, optimizer=optimizer), and begin it with "
                "trial.resume(model=model, optimizer=optimizer)"
            )
        donor = next((p.number for p in parents if self._has_weights(p)), None)
        return replace(proposal, budget=self.budget, weights_from=donor)

    def tell(self, trial: Trial, *, own: bool) -> None:
        """Record a trial.

        Args:
            trial: One that has started or ended.
            own: True when the algorithm has proposed it.
        """
        if trial.failure is not None and trial.failure.donor is not None:
            self._lost.add(trial.failure.donor)
        if not trial.has_ended:
            self._running.add(trial.number)
            return
        self._running.discard(trial.number)
        if trial.checkpoint is not None:
            self._kept = trial.number
        elif own and trial.state == "done":
            self._kept_none = trial.number

    def donors(self, candidates: Iterable[Trial]) -> Collection[int]:
        """Return the trials whose weights may still be asked for.

        Args:
            candidates: All trials that are parents, or may become some.
        """
        return self._running.union(t.number for t in candidates if self._has_weights(t))

    def _has_weights(self, trial: Trial) -> bool:
        return trial.checkpoint is not None and trial.number not in self._lost
