"""Particle swarm optimization, on spaces with whole numbers, categories and conditions too.

References: Kennedy and Eberhart, "Particle swarm optimization" (1995); Clerc and Kennedy, "The
particle swarm: explosion, stability, and convergence" (2002); for categories Strasser et al., "A
new discrete particle swarm optimization algorithm" (2016), ICPSO.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evotune.algorithms.generations import Generations
from evotune.checks import check_in, check_operator, check_whole
from evotune.errors import AlgorithmError
from evotune.evolution.selection import draw
from evotune.evolution.survival import Survival, best_first, no_worse
from evotune.protocols import Traits
from evotune.space import Space, needed_space
from evotune.space.designs import Design, design_named
from evotune.space.folding import reflect_all
from evotune.trial import Proposal, Trial

Array = npt.NDArray[np.float64]

#: The constriction χ = 2/|2 − φ − √(φ² − 4φ)| for φ = 4.1, and χ·φ/2 (Clerc and Kennedy).
CONSTRICTION, ATTRACTION = 0.7298, 1.49618

#: The fastest that a particle may fly, relative to each gene's range.
FASTEST = 0.25

#: Factor on the probabilities of the categories not drawn, in a best position.
KEPT_CHANCE = 0.5


class _Coordinates:
    """Where genes lie in a particle's position.

    An ordered gene is one coordinate, in the unit interval; one without an order has a coordinate
    for each of its values, the chance of drawing it.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.places: dict[str, slice] = {}
        end = 0
        for name in space.variable:
            domain = space.domains[name]
            begin, end = end, end + (1 if domain.ordered else int(domain.size))
            self.places[name] = slice(begin, end)
        self.size = end
        self.ordered = np.zeros(end, dtype=bool)
        for name, place in self.places.items():
            self.ordered[place] = space.domains[name].ordered

    def start(self, genome: Mapping[str, Any]) -> Array:
        """Return the position of a genome that no particle drew, all categories equally likely."""
        position = np.empty(self.size)
        for name, place in self.places.items():
            domain = self.space.domains[name]
            unit = domain.to_unit(genome[name]) if domain.ordered else 1.0 / domain.size
            position[place] = unit
        return position

    def aim(self, genome: Mapping[str, Any], position: Array) -> Array:
        """Return a position at which the categories that were drawn are likelier (ICPSO)."""
        aim = np.where(self.ordered, position, KEPT_CHANCE * position)
        for name, place in self.places.items():
            domain = self.space.domains[name]
            if not domain.ordered:
                k = place.start + list(domain.values()).index(genome[name])
                aim[k] += 1.0 - KEPT_CHANCE
        return aim

    def active(self, genome: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
        """Return which coordinates belong to active genes."""
        active = np.ones(self.size, dtype=bool)
        for name in self.space.dormant(genome):
            active[self.places.get(name, slice(0))] = False
        return active

    def inside(self, position: Array, velocity: Array) -> tuple[Array, Array]:
        """Bring a position back: reflected at the bounds at half speed, chances with a sum of 1."""
        out = self.ordered & ((position < 0) | (position > 1))
        position = np.where(out, reflect_all(position), np.clip(position, 0.0, 1.0))
        for name, place in self.places.items():
            if not self.space.domains[name].ordered:
                total = position[place].sum()
                size = place.stop - place.start
                position[place] = position[place] / total if total > 0 else 1.0 / size
        return position, np.where(out, -0.5 * velocity, velocity)

    def genome(
        self, position: Array, fixed: Mapping[str, Any], rng: np.random.Generator
    ) -> dict[str, Any]:
        """Return a genome drawn at a position; genes of one value come from ``fixed``."""
        genome = dict(fixed)
        for name, place in self.places.items():
            domain = self.space.domains[name]
            if domain.ordered:
                genome[name] = domain.from_unit(float(position[place.start]))
            else:
                genome[name] = list(domain.values())[int(draw(position[place], 1, rng)[0])]
        return genome


class ParticleSwarm:
    """A swarm of particles, attracted to the best position of each and of its neighbours.

    Velocity ``v ← inertia·v + cognitive·r₁·(own best − x) + social·r₂·(leader's best − x)``, with
    a random factor in [0, 1] for each gene. The defaults are the constriction of Clerc and
    Kennedy (2002).

    Ordered genes fly in the unit interval and bounce off its ends; whole numbers, steps and
    ordinals are rounded when they are tried, not where the particle flies on. A gene without an
    order has a probability for each value, and these move (ICPSO). A gene that is dormant in a best
    position does not attract, and one dormant in the particle does not move.

    A trial replaces the personal best that it dominates or equals; with several objectives, where
    neither dominates, ``survival`` decides, and ``"global"`` leaders are drawn at random from the
    non-dominated personal bests.

    Args:
        space: What may be searched.
        population_size: Particles; each makes one trial a generation.
        inertia: Share of its velocity that a particle keeps, in [0, 1).
        cognitive: Largest pull to its own best position.
        social: Largest pull to its leader's.
        topology: Whom a particle may follow: ``"global"`` the best of all, ``"ring"`` the best of
            itself and the two beside it, which is slower and finds more.
        survival: Orders trials best first.
        start: ``"latin_hypercube"``, ``"sobol"``, ``"random"``, or a design of your own.
        seeds: Genomes, or params, that the first generation begins with.

    Raises:
        AlgorithmError: A size or factor out of bounds, or an unknown topology.
        GenomeError: A seed genome lies outside the space.
    """

    def __init__(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
        self,
        space: Space,
        *,
        population_size: int = 10,
        inertia: float = CONSTRICTION,
        cognitive: float = ATTRACTION,
        social: float = ATTRACTION,
        topology: Literal["global", "ring"] = "global",
        survival: Survival = best_first,
        start: str | Design = "latin_hypercube",
        seeds: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.space = needed_space(space)
        self.population_size = population_size
        self.inertia = inertia
        self.cognitive = cognitive
        self.social = social
        self.topology = topology
        self.survival = survival
        self._check()
        self._coordinates = _Coordinates(space)
        self._generations = Generations(space, design_named(start), seeds, population_size)
        self._latest: dict[int, Trial] = {}  # of each particle, whether it failed or not
        self._best: dict[int, Trial] = {}  # of each particle that has one
        self._leaders: list[int] = []  # particles with a non-dominated best
        self._ranks: dict[int, int] = {}

    def _check(self) -> None:
        check_whole("ParticleSwarm", "population_size", self.population_size, 2)
        check_operator("ParticleSwarm", "survival", self.survival, "survival.best_first")
        if self.topology not in ("global", "ring"):
            raise AlgorithmError(
                f'ParticleSwarm: topology is "global" or "ring", got {self.topology!r}'
            )
        check_in("ParticleSwarm", "inertia", self.inertia, "[0, 1)")
        check_in("ParticleSwarm", "cognitive", self.cognitive, "[0, 4]")
        check_in("ParticleSwarm", "social", self.social, "[0, 4]")

    def __repr__(self) -> str:
        return (
            f"ParticleSwarm(population_size={self.population_size}, inertia={self.inertia}, "
            f"cognitive={self.cognitive}, social={self.social}, topology={self.topology!r})"
        )

    @property
    def population(self) -> tuple[Trial, ...]:
        """The best trial of each particle, best first."""
        return tuple(self._best[k] for k in sorted(self._best, key=self._ranks.__getitem__))

    @property
    def traits(self) -> Traits:
        """What a study must know of it."""
        return self._generations.traits(population_size=self.population_size)

    def donors(self) -> Collection[int]:
        """Return no trials: weights are never inherited."""
        return ()

    # -- ask: reads only ----------------------------------------------------------------------

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose a particle's next place; None while the last of a generation still run."""
        generation = self._generations.running
        if generation.is_full:
            return None
        particle = generation.started
        if particle not in self._best:
            return self._generations.newcomer(rng, particle=particle)
        seed = generation.draw_seed(rng)
        return generation.stamp(self._flight(particle, rng), seed)

    def _flight(self, particle: int, rng: np.random.Generator) -> Proposal:
        coordinates = self._coordinates
        own, leader = self._best[particle], self._best[self._leader(particle, rng)]
        last = self._latest.get(particle, own)
        position, before = self._motion(last)
        velocity = self.inertia * before
        for pull, best in ((self.cognitive, own), (self.social, leader)):
            toward = coordinates.aim(best.genome, self._motion(best)[0]) - position
            toward[~coordinates.active(best.genome)] = 0.0
            velocity += pull * rng.random(coordinates.size) * toward
        velocity = np.clip(velocity, -FASTEST, FASTEST)
        moved, velocity = coordinates.inside(position + velocity, velocity)
        genome = coordinates.genome(moved, last.genome, rng)
        active = coordinates.active(genome)
        genome |= {name: last.genome[name] for name in self.space.dormant(genome)}
        note = {
            "particle": particle,
            "position": np.where(active, moved, position).tolist(),
            "velocity": np.where(active, velocity, before).tolist(),
        }
        parents = tuple(dict.fromkeys(t.number for t in (last, own, leader)))
        return Proposal(genome, parents=parents, note=note)

    def _motion(self, trial: Trial) -> tuple[Array, Array]:
        """Return position and velocity of a trial's particle; at rest where it is a new one."""
        size = self._coordinates.size
        position, velocity = trial.note.get("position"), trial.note.get("velocity")
        if position is None or velocity is None or not len(position) == len(velocity) == size:
            return self._coordinates.start(trial.genome), np.zeros(size)
        return np.array(position, dtype=float), np.array(velocity, dtype=float)

    def _leader(self, particle: int, rng: np.random.Generator) -> int:
        if self.topology == "global":
            return self._leaders[int(rng.integers(len(self._leaders)))]
        beside = ((particle + k) % self.population_size for k in (-1, 0, 1))
        return min((k for k in beside if k in self._best), key=self._ranks.__getitem__)

    # -- tell: the only change ----------------------------------------------------------------

    def tell(self, trial: Trial) -> None:
        """Record a trial; the last one of a generation moves the best places."""
        owned = self._generations.tell(trial)
        if owned and trial.has_ended and "position" in trial.note:
            self._latest[trial.note["particle"]] = trial
        if self._generations.running.is_complete:
            immigrants = self._generations.strangers
            own = self._generations.running.done()
            self._generations.end(self.population_size)
            self._learn(own, immigrants)

    def _learn(self, trials: list[Trial], immigrants: list[Trial]) -> None:
        everyone = self.survival([*self._best.values(), *trials, *immigrants])
        places = {t.number: k for k, t in enumerate(everyone)}
        for trial in trials:
            particle = trial.note.get("particle", self.population_size)
            if particle >= self.population_size:  # more seeds than particles
                immigrants.append(trial)
            elif self._is_better(trial, self._best.get(particle), places):
                self._best[particle] = trial
        for trial in self.survival(immigrants)[: self.population_size]:
            self._settle(trial, places)
        order = sorted(self._best, key=lambda k: places[self._best[k].number])
        self._ranks = {particle: rank for rank, particle in enumerate(order)}
        self._leaders = [k for k in order if not self._is_dominated(self._best[k])]

    def _settle(self, immigrant: Trial, places: Mapping[int, int]) -> None:
        """Give an immigrant to a particle that has no best yet, or else to the worst one."""
        free = [k for k in range(self.population_size) if k not in self._best]
        particle = free[0] if free else max(self._best, key=lambda k: places[self._best[k].number])
        if self._is_better(immigrant, self._best.get(particle), places):
            self._best[particle] = immigrant
            self._latest.pop(particle, None)  # it flies on from there

    def _is_better(self, trial: Trial, best: Trial | None, places: Mapping[int, int]) -> bool:
        if best is None or no_worse(trial, best):
            return True
        return not no_worse(best, trial) and places[trial.number] < places[best.number]

    def _is_dominated(self, best: Trial) -> bool:
        return any(no_worse(t, best) and not no_worse(best, t) for t in self._best.values())
