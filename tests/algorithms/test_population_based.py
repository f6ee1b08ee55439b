"""How population-based training makes its children; its contract is in another file."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from evotune.algorithms.breeding import Population
from evotune.algorithms.intervals import GrowingInterval
from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.errors import AlgorithmError, GenomeError
from evotune.evolution.exploitation import Binary, Everyone, Quantile
from evotune.evolution.selection import RelativeExponential, Truncation
from evotune.space import Choice, Fixed, Float, Int, Ordinal, Space
from evotune.space.crossover import Segment, Uniform
from evotune.space.mutation import Creep, Perturb, UniformReset
from evotune.testing.algorithms import SPACES, Rehearsal, sphere
from evotune.trial import Checkpoint, Failure, Trial
from helpers_algorithms import best, generations, numbers

SPACE = SPACES["continuous"]
STILL = UniformReset(0.0)


def pbt(**options) -> PopulationBasedTraining:
    return PopulationBasedTraining(options.pop("space", SPACE), **{"population_size": 8} | options)


# -- three parents --------------------------------------------------------------------------------


def test_genes_come_from_two_parents_and_weights_from_a_third():
    rehearsal = Rehearsal(pbt(population_size=60, mutation=STILL), seed=3).run(240)
    third = 0
    for trial in rehearsal.trials[60:]:
        genes = [rehearsal.trials[n].genome for n in trial.parents]
        for name, value in trial.genome.items():
            assert value in [parent[name] for parent in genes]
        third += trial.weights_from not in trial.parents
    assert third > 150  # of 180: drawn independently


def test_every_parent_is_drawn_in_proportion_to_its_relative_fitness():
    """exp(-σ²·(fom - min)/(max - min)), for genes and for weights alike."""
    algorithm = pbt(
        population_size=400,
        selection=RelativeExponential(3.0),
        crossover=Uniform(0.5),
        mutation=STILL,
    )
    rehearsal = Rehearsal(algorithm, value=lambda trial: float(trial.number % 4))
    rehearsal.run(400 * 6)
    first = {t.number: t.number % 4 for t in rehearsal.trials}
    weights = np.exp(-3.0 * np.arange(4) / 3)
    expected = weights / weights.sum()
    children = rehearsal.trials[400:]
    donors = Counter(first[t.weights_from] for t in children)
    parents = Counter(first[n] for t in children for n in t.parents)
    for found in (donors, parents):
        shares = np.array([found[k] for k in range(4)]) / sum(found.values())
        assert shares == pytest.approx(expected, abs=0.03)


def test_the_whole_population_is_replaced_each_generation():
    rehearsal = Rehearsal(pbt()).run(32)
    for generation in generations(rehearsal)[1:]:
        assert all(trial.origin.mutated is not None for trial in generation)
        assert [trial.origin.member for trial in generation] == list(range(8))
        assert {trial.budget for trial in generation} == {1.0}


def test_the_next_parents_are_the_last_generation_only():
    rehearsal = Rehearsal(pbt()).run(64)
    for older, younger in zip(generations(rehearsal)[:-1], generations(rehearsal)[1:], strict=True):
        known = set(numbers(older))
        for trial in younger:
            assert {*trial.parents, *trial.donors} <= known


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_segment_crossover_switches_all_following_loci(rate):
    algorithm = pbt(crossover=Segment(rate), mutation=STILL, population_size=30)
    rehearsal = Rehearsal(algorithm, seed=1).run(120)
    names = list(SPACE.names)
    for trial in rehearsal.trials[30:]:
        if len(trial.parents) < 2:
            continue
        a, b = (rehearsal.trials[n].genome for n in trial.parents)
        taken = [trial.genome[n] == a[n] for n in names if a[n] != b[n]]
        assert rate or all(taken)


# -- one parent, the classic ----------------------------------------------------------------------


def test_the_worst_quarter_copies_the_best_quarter_and_the_others_go_on():
    rehearsal = Rehearsal(pbt(parents=1), seed=2).run(40)
    for older, younger in zip(generations(rehearsal)[:-1], generations(rehearsal)[1:], strict=True):
        ordered = best(older, 8)
        winners, losers = set(numbers(ordered[:2])), set(numbers(ordered[-2:]))
        for trial in younger:
            own = next(t for t in older if t.origin.member == trial.origin.member)
            if own.number in losers:
                assert trial.weights_from in winners
                assert trial.parents == (trial.weights_from,)
                assert trial.origin.replaces == own.number
            else:
                assert trial.weights_from == own.number
                assert trial.genome == own.genome
                assert trial.origin.mutated is None


def test_two_parents_take_the_weights_from_the_first():
    rehearsal = Rehearsal(pbt(parents=2), seed=2).run(40)
    children = rehearsal.trials[8:]
    assert all(trial.weights_from == trial.parents[0] for trial in children)
    assert any(len(trial.parents) == 2 for trial in children)


def test_the_elite_goes_on_unchanged():
    rehearsal = Rehearsal(pbt(elitism=2), seed=2).run(40)
    for older, younger in zip(generations(rehearsal)[:-1], generations(rehearsal)[1:], strict=True):
        elite = set(numbers(best(older, 2)))
        kept = [t for t in younger if t.origin.mutated is None]
        assert {t.weights_from for t in kept} == elite
        assert all(t.genome == rehearsal.trials[t.weights_from].genome for t in kept)


# -- options --------------------------------------------------------------------------------------


def test_both_children_of_a_crossing_are_trained_and_the_better_half_lives():
    algorithm = pbt(both_children=True, mutation=STILL, crossover=Uniform(0.5))
    rehearsal = Rehearsal(algorithm, seed=5).run(8 + 16 + 16)
    assert [len(trials) for trials in generations(rehearsal)] == [8, 16, 16]
    second, third = generations(rehearsal)[1:]
    survivors = set(numbers(best(second, 8)))
    assert {n for t in third for n in (*t.parents, *t.donors)} <= survivors
    for k in range(0, 16, 2):
        one, other = second[k], second[k + 1]
        assert set(one.parents) == set(other.parents)
        a, b = (rehearsal.trials[n].genome for n in (one.parents * 2)[:2])
        for name in SPACE.names:  # what one child takes from a, the other takes from b
            assert {one.genome[name], other.genome[name]} == {a[name], b[name]}


def test_shrink_and_perturb_is_asked_for_children_only():
    rehearsal = Rehearsal(pbt(parents=1, shrink_perturb=(0.4, 0.1)), seed=2).run(24)
    for trial in rehearsal.trials:
        expected = {"shrink": 0.4, "perturb": 0.1} if trial.origin.mutated is not None else {}
        assert trial.inherit == expected


def test_an_ensembles_networks_come_from_two_donors():
    rehearsal = Rehearsal(pbt(networks=3, population_size=40), seed=2).run(160)
    assert {tuple(t.inherit["networks"]) for t in rehearsal.trials[:40]} == {(None,) * 3}
    children = rehearsal.trials[40:]
    assert {len(t.inherit["networks"]) for t in children} == {3}
    counts = Counter(len(set(t.inherit["networks"])) for t in children)
    assert set(counts) == {1, 2}
    assert counts[2] > 60
    assert all(t.weights_from == t.inherit["networks"][0] for t in children)


def test_a_growing_interval_doubles_when_nothing_gets_better():
    algorithm = pbt(interval=GrowingInterval(initial=2, patience=2, at_most=6))
    rehearsal = Rehearsal(algorithm, value=lambda trial: 1.0 + trial.number).run(80)
    assert [trials[0].budget for trials in generations(rehearsal)] == [
        *(2, 2, 2),
        *(4, 4),
        *(6, 6, 6, 6, 6),
    ]


def test_a_growing_interval_stays_while_it_gets_better():
    rehearsal = Rehearsal(pbt(interval="auto"), value=lambda trial: -trial.number).run(80)
    assert {trial.budget for trial in rehearsal.trials} == {1.0}


def test_a_restart_draws_new_genes_and_keeps_the_weights():
    algorithm = pbt(interval=GrowingInterval(patience=1, restart=True), mutation=STILL)
    rehearsal = Rehearsal(algorithm, value=lambda trial: 1.0 + trial.number).run(24)
    first, _, restarted = generations(rehearsal)
    known = {value for trial in first for value in trial.genome.values()}
    assert all(trial.weights_from is not None for trial in restarted)
    assert not any(value in known for t in restarted for value in t.genome.values())


def test_one_growing_interval_serves_two_algorithms():
    shared = GrowingInterval(patience=1)
    Rehearsal(pbt(interval=shared), value=lambda trial: 1.0 + trial.number).run(40)
    assert pbt(interval=shared).interval == 1


def test_the_first_generation_begins_with_the_seeds():
    seeds = [{"a": 0.5, "b": 1.0, "c": 0.01, "d": 0.2}, {"a": 0.1, "b": 1.0, "c": 0.01, "d": 0.2}]
    rehearsal = Rehearsal(pbt(seeds=seeds)).run(8)
    assert [dict(t.genome) for t in rehearsal.trials[:2]] == seeds
    with pytest.raises(GenomeError):
        pbt(seeds=[{"a": 7.0}])


@pytest.mark.parametrize("mutation", [Creep(1.0), Perturb()])
def test_values_stay_in_bounds_and_integers_can_always_move(mutation):
    space = Space(
        tiny=Int(0, 2),
        edge=Float(0.9, 1.0),
        rate=Float(1e-4, 1.0, log=True),
        size=Ordinal(16, 32, 64),
        kind=Choice("a", "b"),
        constant=Fixed(3),
    )
    rehearsal = Rehearsal(
        pbt(space=space, mutation=mutation, parents=1, exploit="everyone"),
        value=lambda trial: 0.0,
    ).run(160)  # checks that each genome lies in the space
    moved = Counter()
    for trial in rehearsal.trials[8:]:
        parent = rehearsal.trials[trial.parents[0]].genome
        moved.update(n for n in ("tiny", "edge", "size") if trial.genome[n] != parent[n])
    assert moved["tiny"] > 100
    assert moved["edge"] > 100
    assert moved["size"] > 100


# -- asynchronous ---------------------------------------------------------------------------------


def test_an_idle_member_does_not_wait_for_a_slow_one():
    algorithm = pbt(asynchronous=True, population_size=4)
    rehearsal = Rehearsal(algorithm)
    slow, *others = [rehearsal.start() for _ in range(4)]
    assert rehearsal.ask() is None  # all members are busy
    for _ in range(5):
        for trial in others:
            rehearsal.end(trial)
        others = [rehearsal.start() for _ in range(3)]
    assert {t.origin.member for t in others} == {1, 2, 3}
    assert slow.number in {t.number for t in rehearsal.running}
    assert max(t.origin.generation for t in others) == 5


def test_a_member_is_compared_with_the_latest_results_of_the_others():
    algorithm = pbt(asynchronous=True, parents=1, population_size=4)
    rehearsal = Rehearsal(algorithm, value=lambda trial: float(trial.origin.member))
    for trial in [rehearsal.start() for _ in range(4)]:
        rehearsal.end(trial)
    steps = {t.origin.member: t for t in (rehearsal.start() for _ in range(4))}
    assert steps[3].weights_from == 0  # the worst of four copies the best
    assert steps[3].origin.mutated is not None
    for member in (0, 1, 2):
        assert steps[member].weights_from == member


def test_a_member_that_failed_begins_again_as_a_child():
    algorithm = pbt(asynchronous=True, parents=1, population_size=4)
    rehearsal = Rehearsal(algorithm, value=lambda trial: float(trial.origin.member))
    started = [rehearsal.start() for _ in range(4)]
    for trial in started:
        rehearsal.end(trial, failed=trial.origin.member == 0)
    again = next(t for t in (rehearsal.start() for _ in range(4)) if t.origin.member == 0)
    assert again.weights_from in {1, 2, 3}
    assert again.origin.replaces is None


# -- migrants and lost weights --------------------------------------------------------------------


def migrant(number: int, value: float, **note) -> Trial:
    genome = {"a": 0.123, "b": 4.56, "c": 0.0789, "d": 0.111}
    return Trial(
        number,
        genome,
        genome,
        state="done",
        values=(value,),
        note=note,
        checkpoint=Checkpoint(1, 0, external=True),
    )


@pytest.mark.parametrize("what", ["all", "weights", None])
def test_a_migrant_brings_weights_and_if_it_may_genes(what):
    algorithm = pbt(population_size=6, mutation=STILL)
    rehearsal = Rehearsal(algorithm).run(6)
    rehearsal.adopt(migrant(6, -10.0, **({"migrant": what} if what else {})))
    assert 6 in algorithm.donors()
    rehearsal.run(7 + 18)
    children = rehearsal.trials[13:]
    assert any(6 in trial.donors for trial in children)
    brought_genes = any(6 in trial.parents for trial in children)
    assert brought_genes == (what != "weights")


def test_a_stranger_without_weights_is_no_donor():
    algorithm = pbt(population_size=6)
    rehearsal = Rehearsal(algorithm).run(6)
    rehearsal.adopt(replace(migrant(6, -10.0), checkpoint=None))
    rehearsal.run(40)
    assert not [t for t in rehearsal.trials if 6 in (*t.donors, *t.parents)]


def test_a_donor_that_cannot_be_read_is_replaced_by_the_next_best():
    algorithm = pbt(population_size=6, elitism=1)
    rehearsal = Rehearsal(algorithm, seed=1).run(6)
    first, second = best(rehearsal.trials, 2)
    child = None
    while child is None or child.weights_from != first.number:
        child = rehearsal.start()
    lost = replace(
        child, state="failed", failure=Failure("checkpoint", "damaged", donor=first.number)
    )
    rehearsal.trials[child.number] = lost
    algorithm.tell(lost)
    donors = set()
    while (trial := rehearsal.start()) is not None:
        donors.update(trial.donors)
    assert first.number not in donors
    assert second.number in algorithm.donors() or not donors


def test_places_of_the_population_are_kept_where_they_are_free():
    trials = [replace(migrant(k, float(k)), note={"member": k % 3}) for k in range(5)]
    population = Population()
    population.renew(trials, 5)
    assert {k: population.members[k].number for k in range(3)} == {0: 0, 1: 1, 2: 2}
    assert sorted(t.number for t in population.members.values()) == [0, 1, 2, 3, 4]


# -- exploitation ---------------------------------------------------------------------------------


def test_everyone_gives_way():
    rng = np.random.default_rng(0)
    assert all(Everyone()(rank, 5, rng) for rank in range(5))


@pytest.mark.parametrize(
    ("share", "members", "replaced"), [(0.25, 8, 2), (0.25, 3, 1), (0.5, 6, 3)]
)
def test_the_worst_share_gives_way(share, members, replaced):
    rng = np.random.default_rng(0)
    found = [Quantile(share)(rank, members, rng) for rank in range(members)]
    assert found == [False] * (members - replaced) + [True] * replaced


def test_one_member_alone_never_gives_way_to_itself():
    rng = np.random.default_rng(0)
    assert not Quantile()(0, 1, rng)
    assert not Binary()(0, 1, rng)


def test_a_binary_tournament_is_lost_as_often_as_others_are_better():
    rng = np.random.default_rng(0)
    for rank in range(5):
        lost = np.mean([Binary()(rank, 5, rng) for _ in range(4000)])
        assert lost == pytest.approx(rank / 4, abs=0.03)


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 1}, "population_size"),
        ({"parents": 4}, "parents is 3"),
        ({"interval": 0}, "interval"),
        ({"interval": "often"}, '"auto"'),
        ({"interval": 1.5}, "interval"),
        ({"exploit": "quantil"}, "quantile"),
        ({"exploit": Quantile}, "exploit"),
        ({"elitism": 8}, "below population_size=8"),
        ({"networks": 0}, "networks"),
        ({"asynchronous": True, "both_children": True}, "generations"),
        ({"asynchronous": True, "interval": "auto"}, "generations"),
        ({"parents": 1, "both_children": True}, "parents=3"),
        ({"shrink_perturb": 0.4}, "shrink_perturb"),
        ({"shrink_perturb": (1.4, 0.1)}, "shrink_perturb"),
        ({"selection": Truncation}, "selection"),
    ],
)
def test_options_that_make_no_sense_say_so(options, message):
    with pytest.raises(AlgorithmError, match=message):
        pbt(**options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Quantile(0.0),
        lambda: Quantile(0.6),
        lambda: GrowingInterval(initial=0),
        lambda: GrowingInterval(factor=1),
        lambda: GrowingInterval(initial=4, at_most=2),
    ],
)
def test_operators_out_of_bounds_say_so(make):
    with pytest.raises(AlgorithmError):
        make()


def test_it_improves_a_schedule_that_no_constant_can_follow():
    """The best rate falls with the epochs: a line must change its genes to stay good."""
    space = Space(lr=Float(1e-4, 1.0, log=True))

    def value(trial: Trial) -> float:
        target = -0.06 * trial.origin.generation
        return abs(math.log10(trial.genome["lr"]) - target)

    rehearsal = Rehearsal(pbt(space=space, population_size=16), seed=1, value=value).run(16 * 20)
    last = generations(rehearsal)[-1]
    assert np.median([t.values[0] for t in last]) < 0.5  # a constant misses by up to 1.14
    assert sphere(space, last[0].genome) >= 0
