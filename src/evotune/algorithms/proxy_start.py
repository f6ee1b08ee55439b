"""A search that begins with the networks which zero-cost proxies rank best.

The proxies are evolved before anything is trained (`evotune.proxies.archive`). The best of the
archive are trained first, and soon a few random ones among them. Where the best seem worse than
those, every other trial is of the ordinary start; where they clearly are, the start ends.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from evotune.checks import check_operator
from evotune.evolution.survival import best_first
from evotune.protocols import Genome
from evotune.proxies.archive import Archive, Scores, evolve, scores_of
from evotune.proxies.ranking import Agreement, agreement
from evotune.space import Space
from evotune.space.designs import sobol
from evotune.trial import Proposal, Trial

log = logging.getLogger("evotune")

#: Genomes of the start: the best of the archive, and behind the first of them some random ones. A
#: generation, which cannot give its start up, has fewer of the best.
BEST, RANDOM, FIRST, BEST_OF_GENERATION = 10, 3, 3, 8
#: How often a gene is changed to tell whether the proxies see it.
CHANGES = 2
#: Entries of a proposal's note: its rank, larger is better; and, of the first proposal, all genomes
#: of the start with their ranks, so that the archive need not be made again.
RANK, START = "proxy_rank", "proxy_start"

Pick = tuple[dict[str, Any], float]


class ProxyStart:
    """The start of a search by proxies, and how well they agreed with its results.

    Args:
        space: What may be searched.
        proxies: Function of params that returns scores by name.
        gives_up: Behind the first of the best and the random ones, leave every other trial to the
            ordinary start where results speak against the proxies, and all of them where they do
            so by more than a standard error; not for a generation, whose trials must not depend
            on each other.

    Attributes:
        agreement: Of proxies and results, once it could be told.

    Raises:
        AlgorithmError: The proxies are no function.
    """

    def __init__(self, space: Space, proxies: Scores, *, gives_up: bool) -> None:
        check_operator("the search", "proxies", proxies, "proxies.Proxies(model, x, y)")
        self.agreement: Agreement | None = None
        self._space = space
        self._proxies = proxies
        self._gives_up = gives_up
        self._cache: tuple[int, list[Pick]] = (-1, [])  # of the seed that was asked for last
        self._picks: list[Pick] = []
        self._ended: dict[int, Trial] = {}
        self._is_over = False
        self._is_doubtful = False

    def propose(self, index: int, seed: int) -> Proposal | None:
        """Return a proposal of the start, with its rank in its note; None behind its end.

        Args:
            index: How many of the start have been proposed before.
            seed: Seed of the archive.
        """
        if self._is_over:
            return None
        picks = self._picks or self._evolved(seed)
        if self._is_doubtful and index >= FIRST + RANDOM:
            later, is_ordinary = divmod(index - FIRST - RANDOM, 2)
            if is_ordinary:
                return None
            index = FIRST + RANDOM + later
        if index >= len(picks):
            return None
        genome, rank = picks[index]
        start = {} if self._picks else {START: [list(pick) for pick in picks]}
        return Proposal(dict(genome), note={RANK: rank, **start})

    def _evolved(self, seed: int) -> list[Pick]:
        if self._cache[0] != seed:
            began = time.monotonic()
            log.info("proxies: evolving networks by their scores before any is trained")
            rng = np.random.default_rng(seed).spawn(2)[1]  # not the stream of the starting design
            archive = evolve(self._space, self._proxies, rng)
            took = time.monotonic() - began
            log.info("proxies: scored %d different networks in %.0f s", len(archive.genomes), took)
            self._cache = (
                seed,
                spread(self._space, self._proxies, picked(archive, self._best), rng),
            )
        return self._cache[1]

    @property
    def size(self) -> int:
        """How many genomes it proposes at most."""
        return self._best + RANDOM

    @property
    def _best(self) -> int:
        return BEST if self._gives_up else BEST_OF_GENERATION

    def tell(self, trial: Trial) -> None:
        """Record a trial; the last one of the start says how well the proxies agree."""
        if START in trial.note and not self._picks:
            self._picks = [(dict(genome), float(rank)) for genome, rank in trial.note[START]]
        if RANK not in trial.note or not trial.has_ended or self._is_over:
            return
        self._ended[trial.number] = trial
        found = agreement_of(list(self._ended.values()))
        is_complete = len(self._ended) == len(self._picks)
        if not is_complete and not (self._gives_up and len(self._ended) >= FIRST + RANDOM):
            return
        self.agreement = found
        self._is_over = is_complete or (found is not None and found.high < 0)
        is_doubtful = found is None or found.correlation < 0
        if self._is_over or is_doubtful != self._is_doubtful:
            say(found)
        self._is_doubtful = is_doubtful


def picked(archive: Archive, best: int = BEST) -> list[Pick]:
    """Return the best genomes of an archive and the first random ones of it, with their ranks.

    Args:
        archive: The archive.
        best: How many of the best; the random ones come behind the first of them.
    """
    ranks, order = archive.ranks(), archive.order()[:best]
    random = [k for k in range(len(archive.genomes)) if k not in order][:RANDOM]
    chosen = [*order[:FIRST], *random, *order[FIRST:]]
    return [(archive.genomes[k], float(ranks[k])) for k in chosen]


def spread(
    space: Space, proxies: Scores, picks: list[Pick], rng: np.random.Generator
) -> list[Pick]:
    """Return picks whose genes that no proxy sees, such as a learning rate, fill their ranges.

    In an archive such genes are what the ancestors of its best genomes happened to have.
    """
    unseen = _unseen(space, proxies, picks[0][0], rng)
    if not unseen:
        return picks
    points = sobol(space, len(picks), rng)
    return [
        (genome | {gene: point[gene] for gene in unseen}, found)
        for (genome, found), point in zip(picks, points, strict=True)
    ]


def _unseen(space: Space, proxies: Scores, genome: Genome, rng: np.random.Generator) -> list[str]:
    """Return the genes outside of chains whose changes leave all scores as they are."""

    def scores(changed: Genome) -> str:
        return repr(scores_of(space, proxies, changed))  # with NaN equal to itself

    now, inside = scores(genome), tuple(f"{name}." for name in space.chains)
    found = []
    for gene, domain in space.domains.items():
        if gene.startswith(inside) or domain.size <= 1:
            continue
        others = [{**genome, gene: domain.other(genome[gene], rng)} for _ in range(CHANGES)]
        if all(scores(other) == now for other in others):
            found.append(gene)
    return found


def agreement_of(trials: Sequence[Trial]) -> Agreement | None:
    """Return how well ranks in the notes of trials agree with the order of those that are done."""
    ordered = best_first([trial for trial in trials if trial.is_done])
    return agreement([trial.note[RANK] for trial in ordered], range(len(ordered), 0, -1))


def say(found: Agreement | None) -> None:
    """Log whether the proxies agree with the results."""
    if found is None:
        log.info("proxies: too few different results to say how well they agree")
    elif found.high < 0:
        log.warning("proxies disagree with the results, and are used no further: %s", found)
    elif found.correlation < 0:
        log.warning("proxies may mislead, and are used for every other trial: %s", found)
    else:
        log.info("proxies agree with the results: %s", found)
