"""Zero-cost proxies at the start of a search: tested on its own first results, then used or not.

The first trials are those of the search itself. Only where the proxies rank these as their results
do is an archive evolved by the proxies (`evotune.proxies.archive`) and are the best of it trained.
Proxies that say nothing so cost no trial, and of the time only a few scores.
"""

import logging
import math
import time
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from evotune.checks import check_operator
from evotune.evolution.survival import best_first, scalar_values
from evotune.protocols import Genome
from evotune.proxies.archive import Archive, Scores, evolve, scores_of
from evotune.proxies.ranking import Agreement, agreement, rank
from evotune.space import Space
from evotune.space.designs import sobol
from evotune.trial import Proposal, Trial

log = logging.getLogger("evotune")

#: Results of the search itself that proxies are tested on; how many of the best by them may come
#: then; and after how many of these all results are looked at again.
TESTED, BEST, TRIED = 5, 8, 3
#: Rank correlation with the results that proxies must exceed.
LEAST = 0.0
#: How often a gene is changed to tell whether the proxies see it.
CHANGES = 2
#: Entries of a proposal's note: the scores of a trial of the search itself, or of one that the
#: proxies have chosen, None for NaN; and, of the first of these, all that they have chosen, so that
#: the archive need not be made again.
TEST, CHOSEN, PICKS = "proxy_test", "proxy_choice", "proxy_picks"

Pick = tuple[dict[str, Any], dict[str, float | None]]


class ProxyStart:
    """What proxies choose at the start of a search, and how well they agree with its results.

    All that it knows it is told of in trials and their notes: a search that goes on from its log
    scores nothing again.

    Args:
        space: What may be searched.
        proxies: Function of params that returns scores by name.

    Attributes:
        agreement: Of proxies and results so far, once it could be told.

    Raises:
        AlgorithmError: The proxies are no function.
    """

    def __init__(self, space: Space, proxies: Scores) -> None:
        check_operator("the search", "proxies", proxies, "proxies.Proxies(model, x, y)")
        self.agreement: Agreement | None = None
        self._space = space
        self._proxies = proxies
        self._cache: tuple[int, Archive] | None = None  # of the seed that was asked for last
        self._picks: list[Pick] = []
        self._tried: set[Hashable] = set()
        self._scored: dict[int, Trial] = {}
        self._is_trusted: bool | None = None  # None before the test

    # -- what a search asks it ----------------------------------------------------------------

    @property
    def may_choose(self) -> bool:
        """True while the next trial is to be one that the proxies choose."""
        return bool(self._is_trusted) and self._count(CHOSEN) < BEST

    @property
    def is_due(self) -> bool:
        """True while results are due that decide what comes next.

        A generation, whose trials must not depend on the order of results, waits for them.
        """
        if self._is_trusted is None:
            return len(self._scored) >= TESTED
        running = any(not t.has_ended for t in self._scored.values() if CHOSEN in t.note)
        return self._is_trusted and self._count(CHOSEN) == TRIED and running

    def test(self, genome: Genome) -> dict[str, Any]:
        """Return the note of a genome that the search itself proposes: its scores, if they count.

        Raises:
            AlgorithmError: The proxies return no scores, or others than before.
        """
        if self._is_trusted is not None:
            return {}
        return {TEST: self._noted(scores_of(self._space, self._proxies, genome))}

    def propose(self, seed: int) -> Proposal | None:
        """Return what the proxies choose next; None where nothing new is left.

        Args:
            seed: Seed of the archive.
        """
        picks, index = self._picks or self._evolved(seed), self._count(CHOSEN)
        if index >= len(picks):
            return None
        genome, scores = picks[index]
        start = {} if self._picks else {PICKS: [list(pick) for pick in picks]}
        return Proposal(dict(genome), note={CHOSEN: scores, **start})

    def _evolved(self, seed: int) -> list[Pick]:
        archives, spreads = np.random.default_rng(seed).spawn(3)[1:]  # 0 is the starting design's
        if self._cache is None or self._cache[0] != seed:
            began = time.monotonic()
            log.info("proxies: evolving networks by their scores")
            archive = evolve(self._space, self._proxies, archives)
            took = time.monotonic() - began
            log.info("proxies: scored %d different networks in %.0f s", len(archive.genomes), took)
            self._cache = (seed, archive)
        archive = self._cache[1]
        new = [k for k in archive.order() if self._space.key(archive.genomes[k]) not in self._tried]
        genomes = [archive.genomes[k] for k in new[:BEST]]
        scores = [self._noted(archive.scores[k]) for k in new[:BEST]]
        return list(zip(spread(self._space, self._proxies, genomes, spreads), scores, strict=True))

    def _noted(self, scores: dict[str, float]) -> dict[str, float | None]:
        # Scores of other names are refused now: once they are told, the log could not be read.
        rank([scores, *(_scores(trial) for trial in self._scored.values())])
        return {name: value if math.isfinite(value) else None for name, value in scores.items()}

    def _count(self, kind: str) -> int:
        return sum(kind in trial.note for trial in self._scored.values())

    # -- tell: the only change ----------------------------------------------------------------

    def tell(self, trial: Trial) -> bool:
        """Record a trial and return whether its result has just led to trust in the proxies."""
        self._tried.add(self._space.key(trial.genome))
        if TEST not in trial.note and CHOSEN not in trial.note:
            return False
        if PICKS in trial.note:
            self._picks = [(dict(genome), dict(scores)) for genome, scores in trial.note[PICKS]]
        self._scored[trial.number] = trial
        return trial.has_ended and self._judge(trial)

    def _judge(self, last: Trial) -> bool:
        ended = [trial for trial in self._scored.values() if trial.has_ended]
        if len(ended) < TESTED:
            return False
        self.agreement = agreement_of(ended)
        chosen = sum(CHOSEN in trial.note for trial in ended)
        is_first = self._is_trusted is None
        is_second = bool(self._is_trusted) and CHOSEN in last.note and chosen == TRIED
        if is_first or is_second:
            self._is_trusted = self.agreement is not None and self.agreement.correlation > LEAST
            say(self.agreement, trusted=self._is_trusted, chosen=chosen)
        elif chosen == BEST and CHOSEN in last.note:
            log.info("proxies and all results of the start: %s", self.agreement)
        return is_first and bool(self._is_trusted)


def spread(
    space: Space, proxies: Scores, genomes: list[dict[str, Any]], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Return genomes whose genes that no proxy sees, such as a learning rate, fill their ranges.

    In an archive such genes are what the ancestors of its best genomes happened to have.
    """
    unseen = _unseen(space, proxies, genomes[0], rng) if genomes else []
    if not unseen:
        return genomes
    points = sobol(space, len(genomes), rng)
    return [
        genome | {gene: point[gene] for gene in unseen}
        for genome, point in zip(genomes, points, strict=True)
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
    """Return how well scores in the notes of ended trials agree with results; failed are last."""
    ordered = best_first(trials)
    values = dict(zip((t.number for t in ordered), scalar_values(ordered), strict=True))
    results = [-values.get(trial.number, math.inf) for trial in trials]
    return agreement([float(each) for each in rank([_scores(t) for t in trials])], results)


def _scores(trial: Trial) -> dict[str, float]:
    noted = trial.note.get(TEST) or trial.note[CHOSEN]
    return {name: math.nan if value is None else value for name, value in noted.items()}


def say(found: Agreement | None, *, trusted: bool, chosen: int) -> None:
    """Log what was decided about the proxies, and why."""
    why = "too few of the scores or results differ" if found is None else str(found)
    if trusted and chosen:
        log.info("proxies still agree with the results, and choose further trials: %s", why)
    elif trusted:
        log.info("proxies agree with the first results, and choose the next trials: %s", why)
    elif chosen:
        log.warning("proxies disagree with the results, and are used no further: %s", why)
    else:
        log.warning("proxies do not agree with the first results, and are not used: %s", why)
