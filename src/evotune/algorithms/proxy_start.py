"""A search that begins with the networks which zero-cost proxies rank best.

The proxies are evolved before anything is trained (`evotune.proxies.archive`). The best of the
archive come first, and then a few spread over its ranks: among the best alone, a correlation of
ranks and results would say little.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evotune.checks import check_operator
from evotune.evolution.survival import best_first
from evotune.proxies.archive import Archive, Scores, evolve
from evotune.proxies.ranking import Agreement, agreement
from evotune.space import Space
from evotune.space.designs import Design
from evotune.trial import Proposal, Trial

log = logging.getLogger("evotune")

#: Genomes of the start: the best of the archive, and some spread over its ranks.
BEST, SPREAD = 10, 3
#: Entries of a proposal's note: its rank, larger is better; and, of the first proposal, all genomes
#: of the start with their ranks, so that the archive need not be made again.
RANK, START = "proxy_rank", "proxy_start"

Pick = tuple[dict[str, Any], float]


class ProxyStart:
    """The start of a search by proxies, and how well they agreed with its results.

    Args:
        proxies: Function of params that returns scores by name.
        rest: Design of the further genomes of the first generation.

    Attributes:
        agreement: Of proxies and results, once all trials of the start have ended.

    Raises:
        AlgorithmError: The proxies are no function.
    """

    def __init__(self, proxies: Scores, rest: Design) -> None:
        check_operator("the search", "proxies", proxies, "proxies.Proxies(model, x, y)")
        self.agreement: Agreement | None = None
        self._proxies = proxies
        self._rest = rest
        self._found: list[Pick] = []  # a cache of what the next proposal carries in its note
        self._picks: list[Pick] = []
        self._started: set[int] = set()
        self._ended: dict[int, Trial] = {}

    def design(self, space: Space, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """Return the genomes of the start, and then those of the design for the rest."""
        for_rest, for_archive = rng.spawn(2)  # either is the same without the other
        rest = self._rest(space, count, for_rest)
        if self._picks and len(self._started) >= len(self._picks):
            return rest
        if not self._picks:
            self._found = picked(_evolved(space, self._proxies, for_archive))
        picks = self._picks or self._found
        return [genome for genome, _ in picks] + rest[len(picks) :]

    def mark(self, proposal: Proposal) -> Proposal:
        """Return a proposal with its rank in its note, if it belongs to the start."""
        picks = self._picks or self._found
        rank = next((rank for genome, rank in picks if genome == proposal.genome), None)
        if rank is None:
            return proposal
        start = {} if self._picks else {START: [list(pick) for pick in picks]}
        return replace(proposal, note={**proposal.note, RANK: rank, **start})

    def tell(self, trial: Trial) -> None:
        """Record a trial; the last one of the start says how well the proxies agree."""
        if START in trial.note and not self._picks:
            self._picks = [(dict(genome), float(rank)) for genome, rank in trial.note[START]]
        if RANK not in trial.note:
            return
        self._started.add(trial.number)
        if trial.has_ended:
            self._ended[trial.number] = trial
            if len(self._ended) == len(self._picks) and self.agreement is None:
                self.agreement = agreement_of(list(self._ended.values()))
                say(self.agreement)


def picked(archive: Archive) -> list[Pick]:
    """Return the best genomes of an archive and some spread over its ranks, with their ranks."""
    ranks, order = archive.ranks(), archive.order()
    rest = order[BEST:]
    places = [len(rest) * (k + 1) // (SPREAD + 1) for k in range(SPREAD)]
    chosen = [*order[:BEST], *(rest[place] for place in dict.fromkeys(places) if rest)]
    return [(archive.genomes[k], float(ranks[k])) for k in chosen]


def agreement_of(trials: Sequence[Trial]) -> Agreement | None:
    """Return how well ranks in the notes of trials agree with the order of those that are done."""
    ordered = best_first([trial for trial in trials if trial.is_done])
    return agreement([trial.note[RANK] for trial in ordered], range(len(ordered), 0, -1))


def say(found: Agreement | None) -> None:
    """Log whether the proxies agree with the results."""
    if found is None:
        log.info("proxies: too few different results to say how well they agree")
    elif found.correlation < 0:
        log.warning("proxies disagree with the results, and are used no further: %s", found)
    else:
        log.info("proxies agree with the results: %s", found)


def _evolved(space: Space, proxies: Scores, rng: np.random.Generator) -> Archive:
    began = time.monotonic()
    log.info("proxies: evolving networks by their scores before any is trained")
    archive = evolve(space, proxies, rng)
    seconds = time.monotonic() - began
    log.info("proxies: scored %d different networks in %.0f s", len(archive.genomes), seconds)
    return archive
