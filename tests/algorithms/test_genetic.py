import numpy as np
import pytest

from evotune.algorithms.genetic import Genetic
from evotune.errors import AlgorithmError, GenomeError
from evotune.evolution.rates import Decay
from evotune.evolution.selection import Truncation
from evotune.space import Bool, Choice, Float, Int, Space
from evotune.space.crossover import KPoint, Uniform
from evotune.space.designs import sobol
from evotune.space.mutation import Creep, UniformReset
from evotune.space.refine import Refinement
from evotune.study.study import Study
from evotune.testing.algorithms import SPACES, Rehearsal, foreign_trials, sphere
from helpers_algorithms import best, generations, numbers

SPACE = SPACES["continuous"]


def still():
    return UniformReset(0.0)


@pytest.mark.parametrize("elitism", [0, 2, 6, None])
def test_the_best_of_the_old_compete_with_the_children(elitism):
    """By default all of them do."""
    algorithm = Genetic(SPACE, population_size=6, elitism=elitism)
    rehearsal = Rehearsal(algorithm)
    expected = []
    for generation in range(1, 6):
        rehearsal.run(6 * generation)
        children = rehearsal.trials[-6:]
        expected = best([*expected[: algorithm.elitism], *children], 6)
        assert numbers(algorithm.population) == numbers(expected)


def test_offspring_is_the_size_of_later_generations():
    rehearsal = Rehearsal(Genetic(SPACE, population_size=6, offspring=9)).run(6 + 9 + 9)
    assert [len(trials) for trials in generations(rehearsal)] == [6, 9, 9]
    assert len(rehearsal.algorithm.population) == 6


def test_nothing_is_proposed_while_a_generation_is_running():
    rehearsal = Rehearsal(Genetic(SPACE, population_size=3))
    running = [rehearsal.start() for _ in range(3)]
    assert rehearsal.start() is None
    for trial in running:
        assert rehearsal.ask() is None
        rehearsal.end(trial)
    assert rehearsal.ask().origin.generation == 1


class TestBothChildren:
    def test_children_2j_and_2j_plus_1_share_out_their_parents(self):
        algorithm = Genetic(
            SPACE,
            population_size=6,
            both_children=True,
            crossover=Uniform(0.5),
            mutation=still(),
        )
        rehearsal = Rehearsal(algorithm).run(6 + 12 + 12)
        assert [len(trials) for trials in generations(rehearsal)] == [6, 12, 12]
        crossed = 0
        for children in generations(rehearsal)[1:]:
            for first, second in zip(children[::2], children[1::2], strict=True):
                pair = {*first.parents, *second.parents}
                assert len(pair) == 2
                a, b = (rehearsal.trials[number].genome for number in sorted(pair))
                for name in SPACE:
                    given = sorted([first.genome[name], second.genome[name]])
                    assert given == sorted([a[name], b[name]])
                crossed += len(first.parents) == 2
                assert first.parents == second.parents[::-1] or len(first.parents) == 1
        assert crossed >= 8

    def test_survival_decides_between_them(self):
        algorithm = Genetic(SPACE, population_size=6, both_children=True, elitism=0)
        rehearsal = Rehearsal(algorithm).run(6 + 12)
        assert numbers(algorithm.population) == numbers(best(rehearsal.trials[6:], 6))


class TestSteadyState:
    def test_a_child_counts_at_once(self):
        algorithm = Genetic(SPACE, population_size=4, steady_state=True)
        rehearsal = Rehearsal(algorithm)
        for count in range(1, 30):
            rehearsal.run(count)
            assert numbers(algorithm.population) == numbers(best(rehearsal.trials, 4))

    def test_no_worker_ever_waits(self):
        rehearsal = Rehearsal(Genetic(SPACE, population_size=4, steady_state=True, seeds=[]))
        started = [rehearsal.start() for _ in range(15)]
        assert None not in started
        assert len({SPACE.key(trial.genome) for trial in started}) == 15

    def test_generations_go_on_counting(self):
        algorithm = Genetic(SPACE, population_size=4, offspring=2, steady_state=True)
        rehearsal = Rehearsal(algorithm).run(10)
        assert [len(trials) for trials in generations(rehearsal)] == [4, 2, 2, 2]
        assert not algorithm.traits.generational


def test_steady_state_takes_a_constant_rate():
    algorithm = Genetic(SPACE, mutation=UniformReset(), steady_state=True, mutation_rate=0.25)
    assert algorithm.variation.mutation == UniformReset(0.25)


class TestStart:
    def test_seeds_come_first_completed(self):
        space = SPACES["conditional"]
        seeds = [{"rate": 0.5, "booster": "linear", "penalty": 0.1}]
        rehearsal = Rehearsal(Genetic(space, population_size=4, seeds=seeds)).run(4)
        assert dict(rehearsal.trials[0].params) == seeds[0]
        assert len({space.key(trial.genome) for trial in rehearsal.trials}) == 4

    def test_more_seeds_than_members_are_all_tried(self):
        seeds = [SPACE.decode([k / 10] * 4) for k in range(7)]
        algorithm = Genetic(SPACE, population_size=3, seeds=seeds)
        rehearsal = Rehearsal(algorithm).run(10)
        assert [dict(t.genome) for t in rehearsal.trials[:7]] == seeds
        assert [len(trials) for trials in generations(rehearsal)] == [7, 3]
        assert len(algorithm.population) == 3

    @pytest.mark.parametrize("steady_state", [False, True])
    def test_seeds_that_fail_are_not_tried_again(self, steady_state):
        seeds = [SPACE.decode([0.9] * 4)]
        algorithm = Genetic(SPACE, population_size=3, seeds=seeds, steady_state=steady_state)
        rehearsal = Rehearsal(algorithm).run(12, failing=1.0)
        assert [dict(t.genome) for t in rehearsal.trials].count(seeds[0]) == 1

    def test_a_seed_outside_the_space(self):
        with pytest.raises(GenomeError, match="'a' is 7"):
            Genetic(SPACE, seeds=[{"a": 7, "b": 1, "c": 0.1, "d": 0}])

    def test_the_first_generation_is_a_latin_hypercube(self):
        rehearsal = Rehearsal(Genetic(SPACE, population_size=10)).run(10, at_once=3)
        points = np.array([SPACE.encode(trial.genome) for trial in rehearsal.trials])
        assert (np.sort(np.floor(points * 10), axis=0) == np.arange(10)[:, None]).all()

    def test_or_another_design(self):
        rehearsal = Rehearsal(Genetic(SPACE, population_size=8, start="sobol")).run(8)
        seed = rehearsal.trials[0].note["seed"]
        assert [t.genome for t in rehearsal.trials] == sobol(SPACE, 8, np.random.default_rng(seed))

    def test_a_design_does_not_repeat_itself_in_a_small_space(self):
        space = Space(flag=Bool(), n=Int(1, 20))
        rehearsal = Rehearsal(Genetic(space, population_size=20)).run(20)
        assert len({space.key(trial.genome) for trial in rehearsal.trials}) >= 19


class TestParents:
    def test_distinct_parents_by_default(self):
        algorithm = Genetic(SPACE, population_size=3, crossover_rate=1.0)
        trials = Rehearsal(algorithm).run(90).trials[3:]
        assert all(len(trial.parents) == 2 for trial in trials)

    def test_a_distinct_parent_is_selected_like_any_other(self):
        algorithm = Genetic(SPACE, population_size=10, selection=Truncation(0.2), crossover_rate=1)
        rehearsal = Rehearsal(algorithm)
        for count in range(10, 60, 10):
            top = set(numbers(rehearsal.run(count).algorithm.population[:2]))
            children = rehearsal.run(count + 10).trials[count:]
            assert all(set(child.parents) == top for child in children)

    def test_a_selection_that_knows_one_parent_only_is_obeyed(self):
        algorithm = Genetic(SPACE, population_size=5, selection=Truncation(0.1), crossover_rate=1)
        assert {len(t.parents) for t in Rehearsal(algorithm).run(20).trials[5:]} == {1}

    def test_or_as_they_are_drawn(self):
        algorithm = Genetic(
            SPACE, population_size=3, crossover_rate=1.0, distinct_parents=False, mutation=still()
        )
        rehearsal = Rehearsal(algorithm).run(3 + 300)
        alone = [trial for trial in rehearsal.trials[3:] if len(trial.parents) == 1]
        assert 0.2 < len(alone) / 300 < 0.6
        for child in alone:  # a crossing with oneself
            assert child.genome == rehearsal.trials[child.parents[0]].genome

    @pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
    def test_crossover_rate_is_the_share_of_children_with_two_parents(self, rate):
        algorithm = Genetic(SPACE, population_size=10, crossover_rate=rate, mutation=still())
        rehearsal = Rehearsal(algorithm).run(10 + 400)
        pairs = [len(trial.parents) == 2 for trial in rehearsal.trials[10:]]
        assert np.mean(pairs) == pytest.approx(rate, abs=0.08)

    def test_children_take_their_genes_from_their_parents(self):
        algorithm = Genetic(SPACE, population_size=8, crossover=KPoint(1), mutation=still())
        rehearsal = Rehearsal(algorithm).run(60, at_once=2)
        for trial in rehearsal.trials[8:]:
            parents = [rehearsal.trials[number].genome for number in trial.parents]
            assert all(trial.genome[n] in {p[n] for p in parents} for n in SPACE)

    def test_selection_reads_values_best_first_and_the_generation(self):
        seen = []

        def first_two(values, count, rng, generation):
            seen.append((values.tolist(), generation))
            return np.arange(count) % 2

        algorithm = Genetic(SPACE, population_size=5, selection=first_two, crossover_rate=1.0)
        rehearsal = Rehearsal(algorithm).run(10)
        assert seen[0] == ([t.values[0] for t in best(rehearsal.trials[:5], 5)], 1)
        leaders = set(numbers(best(rehearsal.trials[:5], 2)))
        assert all(set(trial.parents) == leaders for trial in rehearsal.trials[5:])

    def test_survival_may_be_replaced(self):
        def worst_first(trials):
            return best(trials, len(trials))[::-1]

        algorithm = Genetic(SPACE, population_size=4, survival=worst_first)
        rehearsal = Rehearsal(algorithm).run(4)
        assert numbers(algorithm.population) == numbers(best(rehearsal.trials, 4)[::-1])


def test_failed_trials_never_become_members():
    algorithm = Genetic(SPACE, population_size=6, elitism=0)
    rehearsal = Rehearsal(algorithm).run(60, failing=0.5)
    failed = {trial.number for trial in rehearsal.trials if trial.state == "failed"}
    assert failed
    assert not failed & {number for trial in rehearsal.trials for number in trial.parents}
    assert not failed & set(numbers(algorithm.population))


def test_trials_from_elsewhere_join_with_the_next_generation():
    algorithm = Genetic(SPACE, population_size=4)
    rehearsal = Rehearsal(algorithm).run(6)
    stranger = next(t for t in foreign_trials(SPACE, 3, first=6) if t.is_done)
    winner = type(stranger)(6, stranger.genome, stranger.params, "done", values=(-1.0,))
    rehearsal.adopt(winner)
    assert winner not in algorithm.population
    rehearsal.run(9)
    assert algorithm.population[0] == winner


def test_deep_conditional_genes_are_found():
    """An optimum that needs rarely active genes, each behind the other."""
    space = Space(
        a=Choice("no", "yes", "never"),
        b=Choice("no", "yes", "never", when={"a": "yes"}),
        c=Choice("no", "yes", "never", when={"b": "yes"}),
        x=Float(0, 1, when={"c": "yes"}),
    )

    def loss(trial):
        depth = sum(value == "yes" for value in trial.params.values())
        return 1.0 + abs(trial.params["x"] - 0.2) if depth == 3 else 5.0 - depth

    found = [Rehearsal(Genetic(space), seed, loss).run(150).best for seed in range(5)]
    assert np.median(found) < 1.05


def test_several_objectives_in_a_study():
    space = Space(x=Float(0, 1), y=Float(0, 1))

    def both(trial):
        x, y = trial.params.values()
        return {"near": x**2 + y, "far": (x - 1) ** 2 + y}

    study = Study(Genetic(space, population_size=10), ["min near", "min far"], seed=0)
    front = study.run(both, trials=150).front
    assert len(front) > 10
    assert np.mean([trial.params["y"] for trial in front]) < 0.1
    assert max(t.params["x"] for t in front) - min(t.params["x"] for t in front) > 0.6


def test_constraints_in_a_study():
    from evotune.objectives import Constraint

    space = Space(x=Float(0, 1), y=Float(0, 1))
    constraint = Constraint("x", at_most=0.3)
    study = Study(Genetic(space, population_size=8), ["max score", constraint], seed=0)
    study.run(lambda t: {"score": t.params["x"] - t.params["y"], "x": t.params["x"]}, trials=150)
    assert study.best.violation == 0
    assert 0.2 < study.best.params["x"] <= 0.3


def test_repr_says_what_it_is_made_of():
    text = repr(Genetic(SPACE, population_size=6, crossover=KPoint(2), mutation=Creep()))
    assert text.startswith("Genetic(population_size=6, offspring=6, elitism=6, selection=Tourn")
    assert "crossover=KPoint(points=2)" in text
    assert "mutation=Creep(rate=0.05" in text
    assert repr(Genetic(SPACE, steady_state=True)).startswith("Genetic(steady_state=True, ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 1}, "population_size must be a whole number from 2 up, got 1"),
        ({"mutation": "gaussian"}, "mutation must be such as"),
        ({"selection": Truncation}, "selection must be such as"),
        ({"population_size": 10.5}, r"whole number from 2 up, got 10\.5"),
        ({"offspring": 0}, "offspring must be a whole number from 1 up, got 0"),
        ({"elitism": -1}, "elitism must be a whole number from 0 up, got -1"),
        ({"elitism": 13}, "got 13"),
        ({"crossover_rate": 1.1}, r"crossover_rate must lie in \[0, 1\]"),
        ({"mutation_rate": 2.0}, r"rate must lie in \[0, 1\]"),
        ({"mutation": lambda space, genome, rng: genome, "mutation_rate": 0.1}, "has none"),
        ({"mutation": UniformReset(), "self_adaptive": True}, "needs a mutation with a scale"),
        ({"steady_state": True, "both_children": True}, "leave steady_state out"),
        ({"steady_state": True, "refinement": Refinement()}, "leave steady_state out"),
        ({"steady_state": True, "mutation_rate": Decay()}, "leave steady_state out"),
        ({"start": "nowhere"}, "start must be one of random, latin_hypercube, sobol"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(AlgorithmError, match=message):
        Genetic(SPACE, **options)


def test_the_optimum_of_the_rehearsal_is_known():
    assert sphere(SPACE, SPACE.decode([0.3] * 4)) == 0
