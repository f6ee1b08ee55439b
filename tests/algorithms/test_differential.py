from dataclasses import replace

import numpy as np
import pytest

from evotune.algorithms.differential import DifferentialEvolution
from evotune.errors import AlgorithmError, GenomeError
from evotune.seeding import generator
from evotune.space import Choice, Fixed, Float, Int, Ordinal, Space
from evotune.study.study import Study
from evotune.testing.algorithms import SPACES, AlgorithmContract, Rehearsal
from evotune.trial import Trial
from helpers_algorithms import generations, numbers

SPACE = Space({f"g{k}": Float(-1, 1) for k in range(5)})
STRATEGIES = ["rand/1", "best/1", "current-to-best/1", "current-to-pbest/1"]


class TestContract(AlgorithmContract):
    def make(self, space):
        return DifferentialEvolution(space, population_size=8)


class TestContractSelfAdaptive(AlgorithmContract):
    def make(self, space):
        return DifferentialEvolution(
            space, population_size=6, strategy="current-to-best/1", adaptation="jde"
        )


class TestContractSteadyState(AlgorithmContract):
    def make(self, space):
        return DifferentialEvolution(space, population_size=8, steady_state=True)


def squares(trial):
    return sum((value - 0.4) ** 2 for value in trial.params.values())


def rosenbrock(trial):
    x = 2 * np.array(list(trial.params.values()))
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def told(space, genomes, values=None, **options):
    """An algorithm whose population is the given genomes, best first."""
    algorithm = DifferentialEvolution(space, population_size=len(genomes), **options)
    for number, genome in enumerate(genomes):
        note = {"generation": 0, "seed": 1}
        value = (float(number),) if values is None else values[number]
        trial = Trial(number, genome, space.params(genome), note=note)
        algorithm.tell(replace(trial, state="running"))
        algorithm.tell(replace(trial, state="done", values=value))
    return algorithm


def started(algorithm, number, rng=0):
    """Ask for a child, tell of its start and return it."""
    proposal = algorithm.ask(generator(rng, number))
    params = algorithm.space.params(proposal.genome)
    trial = Trial(number, proposal.genome, params, "running", note=proposal.note)
    trial = replace(trial, parents=proposal.parents)
    algorithm.tell(trial)
    return trial


def test_a_child_competes_with_its_own_target_only():
    """Each generation keeps, target by target, the better of the two."""
    rehearsal = Rehearsal(DifferentialEvolution(SPACE, population_size=6), value=squares)
    values = {}
    for children in generations(rehearsal.run(60)):
        for child in children:
            values[child.number] = child.values
        if children[0].origin.generation:
            wins = [c.number for c in children if c.values <= values[c.parents[0]]]
            beaten = {c.parents[0] for c in children if c.number in wins}
            members = {*members} - beaten | {*wins}  # noqa: F821
        else:
            members = set(numbers(children))
    assert set(numbers(rehearsal.algorithm.population)) == members


def test_a_good_child_that_loses_to_its_target_is_gone():
    algorithm = told(SPACE, [SPACE.sample(generator(1, k)) for k in range(4)])
    children = [started(algorithm, 4 + k) for k in range(4)]
    assert [c.parents[0] for c in children] == [0, 1, 2, 3]
    for child, value in zip(children, [0.5, 1.5, 1.5, 9.0], strict=True):
        algorithm.tell(replace(child, state="done", values=(value,)))
    # The first two lost, though to better members than the fourth's target, which stays.
    assert numbers(algorithm.population) == [0, 1, 6, 3]


def test_an_equal_child_replaces_its_target():
    algorithm = told(SPACE, [SPACE.sample(generator(1, k)) for k in range(4)])
    for child in [started(algorithm, 4 + k) for k in range(4)]:
        algorithm.tell(replace(child, state="done", values=(float(child.parents[0]),)))
    assert numbers(algorithm.population) == [4, 5, 6, 7]


def test_feasible_beats_infeasible_whatever_the_values():
    algorithm = told(SPACE, [SPACE.sample(generator(1, k)) for k in range(4)])
    for child in [started(algorithm, 4 + k) for k in range(4)]:
        violation = 0.0 if child.number == 5 else 1.0
        done = replace(child, state="done", values=(-5.0,), violation=violation)
        algorithm.tell(done)
    assert numbers(algorithm.population) == [5, 0, 2, 3]


def test_several_objectives_keep_both_of_an_incomparable_pair_then_truncate():
    """GDE3: the union is cut by fronts and crowding."""
    values = [(0.0, 4.0), (1.0, 3.0), (3.0, 1.0), (5.0, 5.0)]
    algorithm = told(SPACE, [SPACE.sample(generator(1, k)) for k in range(4)], values)
    targets = [t.number for t in algorithm.population]
    better = {0: (2.0, 2.0), 1: (0.5, 2.9), 2: (4.0, 4.0), 3: (6.0, 6.0)}
    children = [started(algorithm, 4 + k) for k in range(4)]
    assert [c.parents[0] for c in children] == targets
    for child in children:
        algorithm.tell(replace(child, state="done", values=better[child.parents[0]]))
    found = {t.values for t in algorithm.population}
    assert found == {(0.0, 4.0), (0.5, 2.9), (2.0, 2.0), (3.0, 1.0)}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_mutants_follow_their_formula(strategy):
    """With CR = 1 a child is its mutant; far from the walls nothing is reflected."""
    rng = np.random.default_rng(0)
    genomes = [SPACE.decode(0.45 + 0.1 * rng.random(5)) for _ in range(6)]
    algorithm = told(
        SPACE, genomes, strategy=strategy, scale=0.7, crossover_rate=1.0, adaptation=None
    )
    x = [SPACE.encode(genome) for genome in genomes]
    for seed in range(40):
        proposal = algorithm.ask(generator(2, seed))
        child, target = SPACE.encode(proposal.genome), x[0]
        mutants = []
        for a in range(6):
            for b in range(6):
                for c in range(6):
                    if len({a, b}) < 2:
                        continue
                    mutants += {
                        "rand/1": [x[c] + 0.7 * (x[a] - x[b])] if c not in (a, b, 0) else [],
                        "best/1": [x[0] + 0.7 * (x[a] - x[b])],
                        "current-to-best/1": [target + 0.7 * (x[a] - x[b])],
                        "current-to-pbest/1": [target + 0.7 * (x[c] - target + x[a] - x[b])],
                    }[strategy]
        assert min(np.abs(child - mutant).max() for mutant in mutants) < 1e-9
        assert proposal.parents[0] == 0


def test_crossover_takes_its_share_of_genes_and_one_at_least():
    space = Space({f"g{k}": Float(-1, 1) for k in range(40)})
    genomes = [space.sample(generator(1, k)) for k in range(8)]
    for rate, expected in ((0.0, 1.0), (0.5, 20.5), (1.0, 40.0)):
        algorithm = told(space, genomes, strategy="rand/1", adaptation=None, crossover_rate=rate)
        changed = []
        for seed in range(60):
            child = algorithm.ask(generator(3, seed)).genome
            changed.append(sum(child[name] != genomes[0][name] for name in space))
        assert np.mean(changed) == pytest.approx(expected, abs=1.5)
        assert min(changed) >= 1


def test_whole_numbers_move_on_average_by_the_right_amount():
    """A step of half a lattice's must not always round to the same side."""
    space = Space(n=Int(0, 99), x=Float(0, 1))
    genomes = [{"n": n, "x": k / 10} for k, n in enumerate([50, 51, 50, 50])]
    algorithm = told(
        space, genomes, strategy="best/1", scale=0.25, crossover_rate=1.0, adaptation=None
    )
    drawn = [algorithm.ask(generator(4, seed)).genome["n"] for seed in range(900)]
    assert set(drawn) == {49, 50, 51}
    assert np.mean(np.array(drawn) != 50) == pytest.approx(0.25 * 2 / 3, abs=0.05)


@pytest.mark.parametrize("scale", [0.3, 0.8])
def test_a_category_moves_with_probability_f_where_members_disagree(scale):
    kind = Choice("a", "b", "c")
    space = Space(kind=kind, same=kind, x=Float(0, 1))
    genomes = [{"kind": v, "same": "a", "x": k / 10} for k, v in enumerate("abbc")]
    algorithm = told(
        space, genomes, strategy="best/1", scale=scale, crossover_rate=1.0, adaptation=None
    )
    drawn = [algorithm.ask(generator(5, seed)).genome for seed in range(900)]
    # Of the six ordered pairs of the other three members four disagree.
    assert np.mean([g["kind"] != "a" for g in drawn]) == pytest.approx(scale * 4 / 6, abs=0.05)
    assert {g["same"] for g in drawn} == {"a"}


def test_attraction_brings_a_category_to_the_best():
    space = Space(kind=Choice(*range(9)), x=Float(0, 1))
    genomes = [{"kind": v, "x": k / 10} for k, v in enumerate([3, 7, 7, 7, 7])]
    algorithm = told(
        space, genomes, strategy="current-to-best/1", crossover_rate=1.0, adaptation=None
    )
    started(algorithm, 5)
    drawn = [algorithm.ask(generator(6, seed)).genome["kind"] for seed in range(400)]
    # The other difference has the best in it in one case of two, and moves 3 on or 7 anywhere.
    assert np.mean(np.array(drawn) == 3) > 0.3
    assert set(drawn) > {3, 7}


def test_dormant_genes_stay_as_in_the_target_and_awake_with_a_tested_value():
    space = Space(
        kind=Choice("tree", "linear"),
        depth=Float(0, 1, when={"kind": "tree"}),
        x=Float(0, 1),
    )
    linear = [{"kind": "linear", "depth": 0.123, "x": k / 10} for k in range(3)]
    tree = [{"kind": "tree", "depth": 0.9, "x": k / 10} for k in range(3)]
    algorithm = told(space, [*linear, *tree], strategy="rand/1", adaptation=None)
    drawn = [algorithm.ask(generator(7, seed)).genome for seed in range(200)]
    kinds = {kind: {g["depth"] for g in drawn if g["kind"] == kind} for kind in ("tree", "linear")}
    assert kinds["linear"] == {0.123}
    assert 0.9 in kinds["tree"]
    assert np.mean([g["depth"] != 0.123 for g in drawn if g["kind"] == "tree"]) > 0.8


@pytest.mark.parametrize("adaptation", [None, "jde", "shade"])
def test_notes_carry_factor_and_rate(adaptation):
    algorithm = DifferentialEvolution(
        SPACE, population_size=8, scale=0.6, crossover_rate=0.3, adaptation=adaptation
    )
    rehearsal = Rehearsal(algorithm, value=squares).run(80)
    notes = [trial.note for trial in rehearsal.trials[8:]]
    settings = {(note["scale"], note["crossover_rate"]) for note in notes}
    assert all(0 < scale <= 1 and 0 <= rate <= 1 for scale, rate in settings)
    if adaptation is None:
        assert settings == {(0.6, 0.3)}
    else:
        assert len(settings) > (60 if adaptation == "shade" else 10)


def test_a_valley_is_followed_to_its_end():
    """Random search gets to 1.2 here."""
    space = Space({f"g{k}": Float(-1, 1) for k in range(3)})
    assert Rehearsal(DifferentialEvolution(space), value=rosenbrock).run(1200).best < 1e-3
    algorithm = DifferentialEvolution(space, strategy="rand/1", adaptation="jde")
    assert Rehearsal(algorithm, value=rosenbrock).run(1200).best < 0.5


@pytest.mark.parametrize("adaptation", ["jde", "shade"])
def test_rates_follow_what_succeeds(adaptation):
    """Here the value of a child is the CR that it was made with."""
    algorithm = DifferentialEvolution(SPACE, population_size=8, adaptation=adaptation)
    rehearsal = Rehearsal(algorithm, value=lambda t: t.note.get("crossover_rate", 0.95)).run(320)
    assert np.mean([t.note["crossover_rate"] for t in rehearsal.trials[-40:]]) < 0.4


def test_failures_leave_their_targets_and_empty_places_are_filled():
    algorithm = DifferentialEvolution(SPACE, population_size=8)
    rehearsal = Rehearsal(algorithm, value=squares).run(8, failing=0.3)
    found = len(algorithm.population)
    assert 4 <= found < 8
    second = rehearsal.run(16).trials[8:]
    assert ["scale" in t.note for t in second] == [True] * found + [False] * (8 - found)
    assert len(algorithm.population) == 8
    before = algorithm.population
    rehearsal.run(24, failing=1.0)
    assert algorithm.population == before


def test_immigrants_push_out_the_worst():
    algorithm = told(SPACE, [SPACE.sample(generator(1, k)) for k in range(4)])
    genome = SPACE.sample(generator(1, 9))
    algorithm.tell(Trial(99, genome, genome, "done", values=(0.5,)))
    for child in [started(algorithm, 4 + k) for k in range(4)]:
        algorithm.tell(replace(child, state="failed"))
    assert numbers(algorithm.population) == [0, 99, 1, 2]


def test_seeds_come_first_and_all_of_them():
    seeds = [SPACE.decode([k / 10] * 5) for k in range(6)]
    algorithm = DifferentialEvolution(SPACE, population_size=4, seeds=seeds)
    rehearsal = Rehearsal(algorithm).run(10)
    assert [dict(t.genome) for t in rehearsal.trials[:6]] == seeds
    assert [t.origin.generation for t in rehearsal.trials] == [0] * 6 + [1] * 4


def test_a_converged_population_still_proposes_something_new():
    space = Space(a=Choice(1, 2, 3), b=Int(0, 9), c=Fixed("x"))
    algorithm = told(space, [{"a": 1, "b": 5, "c": "x"}] * 5)
    drawn = [algorithm.ask(generator(8, seed)).genome for seed in range(30)]
    assert all((g["a"], g["b"]) != (1, 5) for g in drawn)


ODD_SPACES = {
    "one point": Space(a=Fixed(1), b=Int(3, 3)),
    "two points": Space(a=Choice("x", "y")),
    "categories": Space({f"c{k}": Choice("x", "y", "z") for k in range(6)}),
    "ordinals": Space({f"o{k}": Ordinal(1, 2, 4) for k in range(3)}),
    "300 genes": Space({f"g{k}": Float(0, 1) for k in range(300)}),
}


@pytest.mark.parametrize("name", ODD_SPACES)
def test_odd_spaces_and_a_constant_objective(name):
    study = Study(DifferentialEvolution(ODD_SPACES[name], population_size=5), "min loss", seed=1)
    study.run(lambda trial: 1.0, trials=20)
    assert len(study.trials) == 20


@pytest.mark.parametrize("scale", [1e-12, 1e12, 1e300])
def test_the_scale_of_the_objective_means_nothing(scale):
    plain, scaled = (
        Rehearsal(DifferentialEvolution(SPACE), value=lambda t, f=f: f * squares(t)).run(100)
        for f in (1.0, scale)
    )
    # The gains' weights are ratios: equal up to rounding.
    before, after = ([SPACE.encode(t.genome) for t in run.trials] for run in (plain, scaled))
    assert np.allclose(before, after, atol=1e-6)


def test_repr():
    text = repr(DifferentialEvolution(SPACES["mixed"], steady_state=True, adaptation="jde"))
    assert text == (
        "DifferentialEvolution(steady_state=True, population_size=12, "
        "strategy='current-to-pbest/1', adaptation='jde')"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 3}, "population_size must be a whole number from 4 up, got 3"),
        ({"strategy": "rand/2"}, "strategy is one of rand/1, .* got 'rand/2'"),
        ({"adaptation": "sade"}, 'adaptation is None, "jde" or "shade", got .sade.'),
        ({"scale": 0.0}, r"scale must lie in \(0, 2\], got 0.0"),
        ({"crossover_rate": 1.5}, r"crossover_rate must lie in \[0, 1\], got 1.5"),
        ({"start": "nowhere"}, "start must be one of"),
        ({"survival": "best"}, "survival must be such as"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(AlgorithmError, match=message):
        DifferentialEvolution(SPACE, **options)


def test_a_seed_outside_the_space():
    with pytest.raises(GenomeError, match="'g0' is 7"):
        DifferentialEvolution(SPACE, seeds=[{**SPACE.decode([0.5] * 5), "g0": 7}])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_what_is_finished_beats_what_was_stopped_by_no_amount(value):
    """Their values have no common scale, and may even be the same or in the wrong order."""
    space = SPACES["continuous"]
    algorithm = DifferentialEvolution(space, population_size=4)
    for number in range(4):
        note = {"generation": 0, "seed": 1}
        genome = space.sample(generator(1, number))
        trial = Trial(number, genome, space.params(genome), "running", note=note)
        algorithm.tell(trial)
        algorithm.tell(replace(trial, state="stopped", values=(0.0,)))
    for child in [started(algorithm, 4 + k) for k in range(4)]:
        algorithm.tell(replace(child, state="done", values=(value,)))
    settings = [algorithm.ask(generator(0, k)).note for k in range(50)]
    assert all(0 < s["scale"] <= 1 and 0 <= s["crossover_rate"] <= 1 for s in settings)
