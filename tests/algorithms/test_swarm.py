from dataclasses import replace

import numpy as np
import pytest

from evotune.algorithms.swarm import FASTEST, ParticleSwarm
from evotune.errors import AlgorithmError, GenomeError
from evotune.seeding import generator
from evotune.space import Choice, Fixed, Float, Int, Space
from evotune.study.study import Study
from evotune.testing.algorithms import AlgorithmContract, Rehearsal
from evotune.trial import Trial
from helpers_algorithms import numbers

SPACE = Space({f"g{k}": Float(-1, 1) for k in range(4)})


class TestContract(AlgorithmContract):
    def make(self, space):
        return ParticleSwarm(space, population_size=8)


class TestContractOfARing(AlgorithmContract):
    def make(self, space):
        return ParticleSwarm(space, population_size=6, topology="ring")


def squares(trial):
    return sum((value - 0.4) ** 2 for value in trial.params.values())


def end(algorithm, number, proposal, values, **changes):
    """Tell of a proposal's start and of its end."""
    genome = dict(proposal.genome)
    trial = Trial(number, genome, algorithm.space.params(genome), "running", note=proposal.note)
    algorithm.tell(trial)
    ended = replace(trial, state="failed" if values is None else "done", values=values, **changes)
    algorithm.tell(ended)
    return ended


def swarm(values, space=SPACE, genomes=None, **options):
    """A swarm after its first generation, with these values in the order of its particles."""
    algorithm = ParticleSwarm(space, population_size=len(values), **options)
    for number, value in enumerate(values):
        proposal = algorithm.ask(generator(0, number))
        if genomes is not None:
            proposal = replace(proposal, genome=genomes[number])
        end(algorithm, number, proposal, value)
    return algorithm


def test_flight_follows_its_formula():
    """v = w·v + c₁·r₁·(own − x) + c₂·r₂·(leader − x): the second flight, seen from outside."""
    algorithm = ParticleSwarm(SPACE, population_size=2, inertia=0.5, cognitive=0.0, social=1.0)
    starts = [SPACE.decode([0.5] * 4), SPACE.decode([0.6, 0.55, 0.45, 0.4])]
    for number, genome in enumerate(starts):
        proposal = replace(algorithm.ask(generator(0, number)), genome=genome)
        end(algorithm, number, proposal, (float(-number),))
    toward = SPACE.encode(starts[1]) - 0.5
    first = algorithm.ask(generator(0, 2))
    velocity = np.array(first.note["velocity"])
    share = velocity / toward
    assert ((share > 0) & (share < 1)).all()
    assert len(set(share.round(9))) == 4  # a random factor for each gene
    assert SPACE.encode(first.genome) == pytest.approx(0.5 + velocity)
    end(algorithm, 2, first, (5.0,))
    end(algorithm, 3, algorithm.ask(generator(0, 3)), (5.0,))
    drawn = [algorithm.ask(generator(1, seed)).note["velocity"] for seed in range(400)]
    rest = SPACE.encode(starts[1]) - SPACE.encode(first.genome)
    assert np.mean(drawn, axis=0) == pytest.approx(0.5 * velocity + 0.5 * rest, abs=0.01)


def test_the_default_is_the_constriction_of_clerc_and_kennedy():
    """χ = 2/|2 − φ − √(φ² − 4φ)| with φ = 4.1, split evenly."""
    phi = 4.1
    chi = 2 / abs(2 - phi - np.sqrt(phi * phi - 4 * phi))
    algorithm = ParticleSwarm(SPACE)
    assert algorithm.inertia == pytest.approx(chi, abs=1e-4)
    assert algorithm.cognitive == algorithm.social == pytest.approx(chi * phi / 2, abs=1e-4)


def test_whom_a_particle_follows():
    values = [(0.0,), (5.0,), (4.0,), (3.0,), (2.0,), (1.0,)]
    everyone, ring = swarm(values), swarm(values, topology="ring")
    leaders = {"everyone": [], "ring": []}
    for k in range(6):
        for name, algorithm in (("everyone", everyone), ("ring", ring)):
            proposal = algorithm.ask(generator(0, 6 + k))
            leaders[name].append(proposal.parents[-1])
            end(algorithm, 6 + k, proposal, None)
    assert leaders["everyone"] == [0] * 6
    assert leaders["ring"] == [0, 0, 3, 4, 5, 0]


def test_a_personal_best_is_only_replaced_by_no_worse():
    algorithm = swarm([(1.0,), (2.0,), (3.0,)])
    for number, value in ((3, 0.5), (4, 2.0), (5, 4.0)):
        end(algorithm, number, algorithm.ask(generator(0, number)), (value,))
    assert numbers(algorithm.population) == [3, 4, 2]


def test_feasible_comes_first():
    algorithm = swarm([(1.0,), (2.0,)])
    end(algorithm, 2, algorithm.ask(generator(0, 2)), (-9.0,), violation=1.0)
    end(algorithm, 3, algorithm.ask(generator(0, 3)), (1.5,))
    assert numbers(algorithm.population) == [0, 3]


def test_several_objectives_have_several_leaders():
    algorithm = swarm([(0.0, 2.0), (2.0, 0.0), (1.0, 1.0), (3.0, 3.0)])
    leaders = {algorithm.ask(generator(3, seed)).parents[-1] for seed in range(60)}
    assert leaders == {0, 1, 2}


def test_of_two_incomparable_ones_survival_chooses():
    """The newcomer is alone at its end of the front, where the old one was in a crowd."""
    algorithm = swarm([(5.0, 5.1), (0.0, 10.0), (5.1, 5.0)])
    for number, value in ((3, (10.0, 0.0)), (4, (9.0, 9.0)), (5, (9.0, 9.0))):
        end(algorithm, number, algorithm.ask(generator(0, number)), value)
    assert {t.values for t in algorithm.population} == {(10.0, 0.0), (0.0, 10.0), (5.1, 5.0)}


def test_walls_turn_a_particle_back_and_speed_has_a_limit():
    far = Rehearsal(
        ParticleSwarm(SPACE, social=4.0, cognitive=4.0, inertia=0.99),
        value=lambda t: -sum(t.params.values()),
    ).run(200)
    speeds = np.array([t.note["velocity"] for t in far.trials if "velocity" in t.note])
    assert np.abs(speeds).max() == FASTEST
    bounced = np.abs(speeds) == FASTEST / 2
    assert bounced.any()


def test_whole_numbers_are_rounded_when_tried_not_where_the_particle_is():
    space = Space(n=Int(0, 9), x=Float(0, 1))
    rehearsal = Rehearsal(ParticleSwarm(space)).run(60)
    flown = [t for t in rehearsal.trials if "position" in t.note]
    for trial in flown:
        assert trial.genome["n"] == space["n"].from_unit(trial.note["position"][0])
    assert len({trial.note["position"][0] for trial in flown}) > 20


def test_categories_are_chances_that_the_best_one_raises():
    space = Space(kind=Choice("a", "b", "c"), x=Float(0, 1))
    algorithm = ParticleSwarm(space, population_size=8)
    rehearsal = Rehearsal(algorithm, value=lambda t: float(ord(t.genome["kind"]))).run(240)
    chances = np.array([t.note["position"][:3] for t in rehearsal.trials[8:]])
    assert np.allclose(chances.sum(axis=1), 1)
    assert (chances >= 0).all()
    assert np.mean(chances[:8, 0]) < 0.7 < np.mean(chances[-40:, 0])
    kinds = [t.genome["kind"] for t in rehearsal.trials]
    assert kinds[8:60].count("a") < kinds[-52:].count("a")


def test_dormant_genes_rest_and_do_not_attract():
    space = Space(
        kind=Choice("tree", "linear"), depth=Float(0, 1, when={"kind": "tree"}), x=Float(0, 1)
    )
    genomes = [
        {"kind": "linear", "depth": 0.1, "x": 0.2},
        {"kind": "linear", "depth": 0.9, "x": 0.8},
    ]
    algorithm = swarm([(1.0,), (0.0,)], space, genomes)
    drawn = [algorithm.ask(generator(4, seed)) for seed in range(60)]
    assert {p.genome["kind"] for p in drawn} == {"tree", "linear"}
    assert {p.genome["depth"] for p in drawn} == {0.1}
    assert {p.note["velocity"][2] for p in drawn} == {0.0}
    assert len({p.genome["x"] for p in drawn}) > 10


def test_a_failed_particle_flies_on_and_one_without_a_best_starts_again():
    algorithm = swarm([(1.0,), None, (2.0,)])
    flown = algorithm.ask(generator(0, 3))
    end(algorithm, 3, flown, None)
    again = algorithm.ask(generator(0, 4))
    assert "velocity" not in again.note
    end(algorithm, 4, again, (3.0,))
    end(algorithm, 5, algorithm.ask(generator(0, 5)), None)
    assert numbers(algorithm.population) == [0, 2, 4]
    onward = algorithm.ask(generator(0, 6))
    place, speed = np.array(onward.note["position"]), np.array(onward.note["velocity"])
    assert np.allclose(place - speed, flown.note["position"]) or np.any(
        (place < 0.1) | (place > 0.9)
    )


def test_immigrants_take_the_worst_ones_place():
    algorithm = swarm([(1.0,), (2.0,), (3.0,)])
    genome = SPACE.decode([0.5] * 4)
    algorithm.tell(Trial(50, genome, genome, "done", values=(0.0,)))
    algorithm.tell(Trial(51, genome, genome, "done", values=(9.0,)))
    for number in (3, 4, 5):
        end(algorithm, number, algorithm.ask(generator(0, number)), None)
    assert numbers(algorithm.population) == [50, 0, 1]


@pytest.mark.parametrize("topology", ["global", "ring"])
def test_it_reaches_a_thousandth_on_the_sphere(topology):
    algorithm = ParticleSwarm(SPACE, topology=topology)
    assert Rehearsal(algorithm, value=squares).run(400).best < 1e-3


def test_seeds_come_first_and_all_of_them():
    seeds = [SPACE.decode([k / 10] * 4) for k in range(6)]
    rehearsal = Rehearsal(ParticleSwarm(SPACE, population_size=4, seeds=seeds), value=squares)
    rehearsal.run(10)
    assert [dict(t.genome) for t in rehearsal.trials[:6]] == seeds
    assert [t.origin.generation for t in rehearsal.trials] == [0] * 6 + [1] * 4
    best = min(rehearsal.trials[:6], key=lambda t: t.values)
    assert best.values >= rehearsal.algorithm.population[0].values


ODD_SPACES = {
    "one point": Space(a=Fixed(1), b=Int(3, 3)),
    "two points": Space(a=Choice("x", "y")),
    "categories": Space({f"c{k}": Choice("x", "y", "z") for k in range(6)}),
    "300 genes": Space({f"g{k}": Float(0, 1) for k in range(300)}),
}


@pytest.mark.parametrize("name", ODD_SPACES)
def test_odd_spaces_and_a_constant_objective(name):
    study = Study(ParticleSwarm(ODD_SPACES[name], population_size=5), "min loss", seed=1)
    study.run(lambda trial: 1.0, trials=20)
    assert len(study.trials) == 20


def test_repr():
    assert repr(ParticleSwarm(SPACE)) == (
        "ParticleSwarm(population_size=10, inertia=0.7298, cognitive=1.49618, social=1.49618, "
        "topology='global')"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 1}, "population_size must be a whole number from 2 up, got 1"),
        ({"topology": "star"}, 'topology is "global" or "ring", got .star.'),
        ({"inertia": 1.0}, r"inertia must lie in \[0, 1\), got 1.0"),
        ({"social": -1}, r"social must lie in \[0, 4\], got -1"),
        ({"cognitive": "much"}, r"cognitive must lie in \[0, 4\], got 'much'"),
        ({"start": "nowhere"}, "start must be one of"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(AlgorithmError, match=message):
        ParticleSwarm(SPACE, **options)


def test_a_seed_outside_the_space():
    with pytest.raises(GenomeError, match="'g0' is 7"):
        ParticleSwarm(SPACE, seeds=[{**SPACE.decode([0.5] * 4), "g0": 7}])
