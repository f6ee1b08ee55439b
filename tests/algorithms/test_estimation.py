from dataclasses import replace
from statistics import median

import numpy as np
import pytest

from evotune.algorithms.estimation import UNIFORM_SPREAD, ElitesModel, EstimationOfDistribution
from evotune.errors import AlgorithmError, GenomeError
from evotune.space import Choice, Fixed, Float, Int, Space
from evotune.study.study import Study
from evotune.testing.algorithms import AlgorithmContract, Rehearsal
from evotune.trial import Trial
from helpers_algorithms import best, numbers

SPACE = Space({f"g{k}": Float(-1, 1) for k in range(5)})


class TestContract(AlgorithmContract):
    def make(self, space):
        return EstimationOfDistribution(space, population_size=8)


class TestContractGeneByGene(AlgorithmContract):
    def make(self, space):
        return EstimationOfDistribution(space, population_size=8, joint=False)


def squares(trial):
    return sum((value - 0.4) ** 2 for value in trial.params.values())


def valley(trial):
    """Narrow and along the diagonal: no gene can be judged alone."""
    x = np.array(list(trial.params.values()))
    return float(50 * np.sum((x[1:] - x[:-1]) ** 2) + np.sum((x - 0.4) ** 2))


def model(space, genomes, *, joint=True, smallest_spread=0.01):
    elite = [
        Trial(k, genome, space.params(genome), "done", values=(0.0,))
        for k, genome in enumerate(genomes)
    ]
    return ElitesModel(space, elite, joint=joint, smallest_spread=smallest_spread)


def draws(learned, count=2000):
    rng = np.random.default_rng(0)
    return [learned.draw(rng)[0] for _ in range(count)]


def correlated(count, noise):
    rng = np.random.default_rng(1)
    line = rng.normal(0.5, 0.1, count)
    return [{"x": u, "y": 1 - u + noise * rng.normal()} for u in line.tolist()]


PLANE = Space(x=Float(0, 1), y=Float(0, 1))


class TestModel:
    def test_draws_have_the_elites_mean_spread_and_correlation(self):
        genomes = correlated(40, 0.02)
        found = np.array([[g["x"], g["y"]] for g in draws(model(PLANE, genomes))])
        given = np.array([[g["x"], g["y"]] for g in genomes])
        assert found.mean(axis=0) == pytest.approx(given.mean(axis=0), abs=0.01)
        assert found.std(axis=0) == pytest.approx(given.std(axis=0), rel=0.06)
        assert np.corrcoef(found.T)[0, 1] < -0.9

    def test_gene_by_gene_there_is_no_correlation(self):
        learned = model(PLANE, correlated(40, 0.02), joint=False)
        found = np.array([[g["x"], g["y"]] for g in draws(learned)])
        assert abs(np.corrcoef(found.T)[0, 1]) < 0.08

    def test_correlation_of_a_few_is_put_down_to_chance_unless_it_is_strong(self):
        rng = np.random.default_rng(2)
        space = Space({f"g{k}": Float(0, 1) for k in range(10)})
        random = [model(space, [space.sample(rng) for _ in range(6)]) for _ in range(20)]
        assert median(m.shrinkage for m in random) > 0.7
        assert model(PLANE, correlated(20, 0.001)).shrinkage < 0.3

    def test_spread_has_a_floor(self):
        same = [{"x": 0.5, "y": 0.5}] * 4
        found = np.array([g["x"] for g in draws(model(PLANE, same, smallest_spread=0.03))])
        assert found.std() == pytest.approx(0.03, rel=0.06)

    def test_numbers_go_with_the_category_they_were_found_with(self):
        space = Space(kind=Choice("a", "b"), x=Float(0, 1))
        genomes = [
            {"kind": k, "x": x}
            for k, x in zip("aaabbb", (0.2, 0.21, 0.22, 0.8, 0.81, 0.82), strict=True)
        ]

        def gap(joint):
            found = draws(model(space, genomes, joint=joint))
            means = [np.mean([g["x"] for g in found if g["kind"] == kind]) for kind in "ab"]
            return means[1] - means[0]

        assert gap(joint=True) > 0.2
        assert abs(gap(joint=False)) < 0.05

    def test_chances_follow_the_elite_and_rule_nothing_out(self):
        space = Space(kind=Choice("a", "b", "c"), x=Float(0, 1))
        genomes = [{"kind": k, "x": 0.5} for k in "aaaaaabb"]
        for joint in (True, False):
            kinds = [g["kind"] for g in draws(model(space, genomes, joint=joint))]
            assert kinds.count("a") > 2 * kinds.count("b") > 4 * kinds.count("c") > 0

    def test_a_gene_is_learned_where_it_is_active(self):
        space = Space(
            kind=Choice("tree", "linear", "none"),
            depth=Float(0, 1, when={"kind": "tree"}),
            rate=Float(0, 1, when={"kind": "none"}),
            rule=Choice("p", "q", when={"kind": "tree"}),
        )
        tree = [{"kind": "tree", "depth": d, "rate": 0.1, "rule": "p"} for d in (0.7, 0.8, 0.9)]
        linear = [{"kind": "linear", "depth": 0.1, "rate": 0.1, "rule": "q"}] * 3
        learned = model(space, [*tree, *linear])
        assert learned.mean == pytest.approx([0.8, 0.5])
        found = draws(learned)
        trees = [g for g in found if g["kind"] == "tree"]
        assert np.std([g["depth"] for g in trees]) == pytest.approx(
            np.std([0.7, 0.8, 0.9]), rel=0.15
        )
        assert np.mean([g["rule"] == "p" for g in trees]) > 0.8
        unknown = [g["rate"] for g in found if g["kind"] == "none"]
        assert np.std(unknown) == pytest.approx(UNIFORM_SPREAD, rel=0.25)
        dormant = {g["depth"] for g in found if g["kind"] != "tree"}
        assert dormant <= {0.7, 0.8, 0.9, 0.1}

    def test_whole_numbers_are_right_on_average(self):
        space = Space(n=Int(0, 9), x=Float(0, 1))
        genomes = [{"n": n, "x": 0.5} for n in (4, 4, 4, 5)]
        assert np.mean([g["n"] for g in draws(model(space, genomes))]) == pytest.approx(
            4.25, abs=0.05
        )


def test_the_elite_is_the_best_share_of_the_best_so_far():
    algorithm = EstimationOfDistribution(SPACE, population_size=10, elite=0.3)
    rehearsal = Rehearsal(algorithm, value=squares)
    assert algorithm.model is None
    for generation in range(1, 6):
        rehearsal.run(10 * generation)
        assert numbers(algorithm.population) == numbers(best(rehearsal.trials, 10))
        assert numbers(algorithm.model.elite) == numbers(best(rehearsal.trials, 3))


def test_joint_beats_gene_by_gene_where_genes_interact():
    found = {
        joint: median(
            Rehearsal(
                EstimationOfDistribution(SPACE, population_size=24, joint=joint), seed, valley
            )
            .run(480)
            .best
            for seed in range(5)
        )
        for joint in (True, False)
    }
    assert found[True] < 0.7 * found[False]


def test_it_reaches_a_thousandth_on_the_sphere():
    assert Rehearsal(EstimationOfDistribution(SPACE), value=squares).run(400).best < 1e-3


def test_failures_change_nothing():
    algorithm = EstimationOfDistribution(SPACE, population_size=6)
    rehearsal = Rehearsal(algorithm, value=squares).run(6)
    before = algorithm.population
    rehearsal.run(12, failing=1.0)
    assert algorithm.population == before


def test_immigrants_are_learned_from():
    algorithm = EstimationOfDistribution(SPACE, population_size=6)
    rehearsal = Rehearsal(algorithm, value=squares)
    genome = SPACE.decode([0.7] * 5)
    rehearsal.adopt(Trial(0, genome, genome, "done", values=(-1.0,)))
    rehearsal.run(7)
    assert algorithm.model.elite[0].number == 0


def test_seeds_come_first_and_all_of_them():
    seeds = [SPACE.decode([k / 10] * 5) for k in range(6)]
    algorithm = EstimationOfDistribution(SPACE, population_size=4, seeds=seeds)
    rehearsal = Rehearsal(algorithm).run(10)
    assert [dict(t.genome) for t in rehearsal.trials[:6]] == seeds
    assert [t.origin.generation for t in rehearsal.trials] == [0] * 6 + [1] * 4


def test_several_objectives_and_constraints():
    """The elite is what survival says it is."""
    algorithm = EstimationOfDistribution(SPACE, population_size=4, elite=0.5)
    rehearsal = Rehearsal(algorithm)
    results = [((0.0, 1.0), 1.0), ((2.0, 2.0), 0.0), ((1.0, 1.0), 0.0), ((5.0, 5.0), 0.0)]
    for values, violation in results:
        trial = rehearsal.start()
        algorithm.tell(replace(trial, state="done", values=values, violation=violation))
    assert numbers(algorithm.model.elite) == [2, 1]


ODD_SPACES = {
    "one point": Space(a=Fixed(1), b=Int(3, 3)),
    "two points": Space(a=Choice("x", "y")),
    "categories": Space({f"c{k}": Choice("x", "y", "z") for k in range(6)}),
    "300 genes": Space({f"g{k}": Float(0, 1) for k in range(300)}),
}


@pytest.mark.parametrize("name", ODD_SPACES)
def test_odd_spaces_and_a_constant_objective(name):
    algorithm = EstimationOfDistribution(ODD_SPACES[name], population_size=5)
    study = Study(algorithm, "min loss", seed=1)
    study.run(lambda trial: 1.0, trials=20)
    assert len(study.trials) == 20


def test_repr():
    text = repr(EstimationOfDistribution(SPACE))
    assert text == "EstimationOfDistribution(population_size=16, elite=0.5, joint=True)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 1}, "population_size must be a whole number from 2 up, got 1"),
        ({"elite": 0}, r"elite must lie in \(0, 1\], got 0"),
        ({"smallest_spread": 0.6}, r"smallest_spread must lie in \[0, 0.5\], got 0.6"),
        ({"start": "nowhere"}, "start must be one of"),
        ({"survival": "best"}, "survival must be such as"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(AlgorithmError, match=message):
        EstimationOfDistribution(SPACE, **options)


def test_a_seed_outside_the_space():
    with pytest.raises(GenomeError, match="'g0' is 7"):
        EstimationOfDistribution(SPACE, seeds=[{**SPACE.decode([0.5] * 5), "g0": 7}])
