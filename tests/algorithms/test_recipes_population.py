from collections import Counter

import pytest

import evotune as et
from evotune.algorithms import recipes
from evotune.algorithms.genetic import Genetic
from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.errors import AlgorithmError
from evotune.evolution.exploitation import Everyone, Quantile
from evotune.evolution.selection import RelativeExponential, Truncation
from evotune.space import Choice, Fixed, Float, Int, Range, Space
from evotune.space.crossover import Toward, Uniform
from evotune.space.mutation import Creep, Perturb, UniformReset
from helpers_islands import Driver

RATES = Space(lr=Float(1e-4, 1.0, log=True), decay=Float(0.0, 0.1))
NET = Space(
    lr=Float(1e-4, 1.0, log=True),
    optimizer=Choice("sgd", "adam"),
    momentum=Float(0.0, 0.99, when={"optimizer": "sgd"}),
    layers=Int(1, 4),
    width=Int(8, 64, log=True),
    dropout=Float(0.0, 0.9, when={"layers": Range(2, 4)}),
    second=Int(8, 64, when={"layers": (2, 3, 4)}),
)


def loss(trial):
    return abs(trial.genome["lr"] - 0.1)


class TestThreeParentTraining:
    def test_settings(self):
        algorithm = recipes.three_parent_training(RATES)
        assert algorithm.population_size == 100
        assert algorithm.interval == 1
        assert algorithm.breeding.parents == 3
        assert algorithm.breeding.selection == RelativeExponential(4.0)
        assert algorithm.variation.crossover == Uniform(0.33)
        assert algorithm.variation.crossover_rate == 1.0
        assert algorithm.variation.mutation == Creep(0.05)
        assert algorithm.breeding.exploit == Everyone()
        assert algorithm.breeding.elitism == 0
        softer = recipes.three_parent_training(RATES, strength=2.0)
        assert softer.breeding.selection == RelativeExponential(2.0)

    def test_every_child_has_parents_and_weights_of_the_last_generation(self):
        driver = Driver(recipes.three_parent_training(RATES, population_size=12)).run(48, loss)
        for trial in driver.trials[12:]:
            last = range(trial.number // 12 * 12 - 12, trial.number // 12 * 12)
            assert set(trial.parents) <= set(last)
            assert trial.weights_from in last
            assert trial.budget == 1
        weights_of_a_parent = [t.weights_from in t.parents for t in driver.trials[12:]]
        assert weights_of_a_parent.count(False) > 10  # a third one, drawn independently


class TestPairwiseLearning:
    def test_settings(self):
        algorithm = recipes.pairwise_learning(RATES, interval=4)
        assert algorithm.population_size == 20
        assert algorithm.interval == 4
        assert algorithm.breeding.own_genes
        assert algorithm.breeding.parents == 2
        assert algorithm.breeding.selection == Truncation(0.5)
        assert algorithm.breeding.exploit == Quantile(0.5)
        assert algorithm.variation.crossover == Toward()
        assert algorithm.variation.mutation == UniformReset(0.25)


class TestParameterAveraging:
    def test_settings(self):
        algorithm = recipes.parameter_averaging(RATES)
        assert algorithm.population_size == 10
        assert algorithm.interval == 5
        assert algorithm.weights == "pairs"
        assert algorithm.breeding.own_genes
        assert algorithm.breeding.selection == Truncation(1.0)
        assert algorithm.breeding.exploit == Everyone()
        assert algorithm.variation.mutation == UniformReset(0.0)


class TestClassic:
    def test_settings(self):
        algorithm = recipes.classic_population_training(RATES, interval=4)
        assert algorithm.population_size == 20
        assert algorithm.interval == 4
        assert algorithm.breeding.parents == 1
        assert algorithm.breeding.selection == Truncation(0.25)
        assert algorithm.breeding.exploit == Quantile(0.25)
        assert algorithm.variation.mutation == Perturb()

    def test_the_worst_quarter_takes_weights_and_genes_from_the_best(self):
        driver = Driver(recipes.classic_population_training(RATES, population_size=8)).run(16, loss)
        ranked = sorted(driver.trials[:8], key=lambda t: t.values)
        best, worst = ({t.number for t in part} for part in (ranked[:2], ranked[6:]))
        for member, trial in enumerate(driver.trials[8:]):
            own = driver.trials[member]
            if own.number in worst:
                assert trial.weights_from in best
                assert trial.parents == (trial.weights_from,)
                assert trial.genome != driver.trials[trial.weights_from].genome
            else:
                assert trial.weights_from == own.number
                assert trial.genome == own.genome


class TestMultipleFrequencies:
    def test_settings(self):
        algorithm = recipes.multiple_frequencies(RATES, intervals=(1, 10, 25, 50))
        assert [a.interval for a in algorithm.algorithms] == [1, 10, 25, 50]
        assert {a.population_size for a in algorithm.algorithms} == {8}
        assert {a.breeding.parents for a in algorithm.algorithms} == {1}
        assert algorithm.asymmetric
        assert algorithm.every == 50
        assert algorithm.send == 2
        assert algorithm.neighbours[1] == (0, 2, 3)

    def test_options_reach_every_population(self):
        algorithm = recipes.multiple_frequencies(
            RATES, every=8, population_size=4, parents=3, exploit="everyone"
        )
        assert algorithm.every == 8
        assert {a.breeding.parents for a in algorithm.algorithms} == {3}
        assert {a.breeding.exploit for a in algorithm.algorithms} == {Everyone()}

    def test_all_populations_train_alike_and_exchange_weights(self):
        algorithm = recipes.multiple_frequencies(RATES, population_size=4)
        driver = Driver(algorithm).run(4 * 7 * 12, loss)
        home = [t.note["island"] for t in driver.trials]
        epochs = Counter()
        for trial in driver.trials:
            epochs[home[trial.number]] += trial.budget
        assert set(epochs.values()) == {4 * 4 * 12}
        crossings = {
            (home[t.weights_from], home[t.number])
            for t in driver.trials
            if t.weights_from is not None
        }
        assert crossings > {(k, k) for k in range(3)}
        assert all(t.weights_from is None or t.weights_from < t.number for t in driver.trials)

    def test_nobody_inherits_weights_that_are_gone(self):
        """At each start the donor was among the donors when it was last asked for them."""
        driver = Driver(recipes.multiple_frequencies(RATES, population_size=4, every=4))
        kept = set()
        while len(driver.trials) < 200:
            trial = driver.start()
            assert trial.weights_from is None or trial.weights_from in kept
            driver.finish(trial, loss)
            kept = set(driver.algorithm.donors())

    @pytest.mark.parametrize(
        ("intervals", "message"),
        [
            ((1,), "intervals are two numbers of epochs or more"),
            (3, "intervals are two numbers of epochs or more"),
            ((1, 0), "each of intervals must be a whole number from 1 up, got 0"),
        ],
    )
    def test_bad_intervals(self, intervals, message):
        with pytest.raises(AlgorithmError, match=message):
            recipes.multiple_frequencies(RATES, intervals=intervals)


class TestTuneThenSchedule:
    def phases(self, structure=("layers", "width", "second"), **options):
        settings = {"trials": 20, "population_size": 6, **options}
        return recipes.tune_then_schedule(NET, structure=structure, **settings)

    @pytest.mark.parametrize("seed", range(4))
    def test_a_plain_search_then_the_schedule_of_its_winner(self, seed):
        driver = Driver(self.phases(interval=2), seed).run(20 + 30, loss)
        search, schedule = driver.trials[:20], driver.trials[20:]
        assert {t.note["phase"] for t in search} == {0}
        assert {t.budget for t in search} == {3.0}
        assert {t.weights_from for t in search} == {None}
        winner = min(search, key=lambda t: t.values)
        assert {t.note["phase"] for t in schedule} == {1}
        assert {t.budget for t in schedule} == {2.0}
        assert {t.weights_from for t in schedule[:6]} == {None}
        assert None not in {t.weights_from for t in schedule[6:]}
        for name in ("layers", "width", "second"):
            assert {t.genome[name] for t in schedule} == {winner.genome[name]}
        assert len({t.genome["lr"] for t in schedule}) > 6
        for trial in schedule:
            NET.check(trial.genome)

    def test_the_first_population_lies_around_the_winner(self):
        driver = Driver(self.phases(population_size=12)).run(20 + 12, loss)
        winner = min(driver.trials[:20], key=lambda t: t.values)
        first = driver.trials[20:]
        assert first[0].genome == winner.genome
        places = [NET["lr"].to_unit(t.genome["lr"]) for t in first]
        assert sum(abs(place - places[0]) < 0.3 for place in places) >= 10
        assert len({NET.key(t.genome) for t in first}) == 12

    def test_genes_that_depend_on_the_structure_follow_it(self):
        """A winner of one layer has no dropout; with more it can be scheduled."""
        for layers in (1, 3):
            driver = Driver(self.phases()).run(
                20 + 30, lambda t, n=layers: abs(t.genome["layers"] - n) + loss(t)
            )
            schedule = driver.trials[20:]
            winner = min(driver.trials[:20], key=lambda t: t.values)
            assert {"dropout" in t.params for t in schedule} == {winner.genome["layers"] > 1}
            assert {"second" in t.params for t in schedule} == {winner.genome["layers"] > 1}
            kinds = len({t.genome["dropout"] for t in schedule})
            assert kinds > 1 if winner.genome["layers"] > 1 else kinds == 1

    def test_settings(self):
        phases = self.phases(parents=1, epochs=5)
        assert phases.trials == 20
        assert phases.budget == 5
        assert isinstance(phases.algorithms[0], Genetic)
        Driver(phases).run(20, loss)
        second = phases.algorithms[1]
        assert isinstance(second, PopulationBasedTraining)
        assert second.population_size == 6
        assert second.breeding.parents == 1
        assert isinstance(second.space["width"], Fixed)

    @pytest.mark.parametrize(
        ("structure", "message"),
        [
            ("width", r"structure is a list of gene names: write \['width'\]"),
            (["widht"], "structure names 'widht', which is not in the space; did you mean 'width'"),
            (list(NET), "structure names every gene that varies"),
        ],
    )
    def test_bad_structure(self, structure, message):
        with pytest.raises(AlgorithmError, match=message):
            self.phases(structure)


class Weight:
    """A network of one number."""

    def __init__(self):
        self.value = 0.0

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = float(state["value"])


def train(trial):
    model = Weight()
    trial.resume(model=model)
    for epoch in trial.epochs():
        model.value += 1 - abs(trial.params["lr"] - 0.1 * (1 + epoch % 3))
    trial.keep(model=model)
    return {"score": model.value}


@pytest.mark.parametrize(
    "make",
    [
        lambda: recipes.multiple_frequencies(NET, population_size=4),
        lambda: recipes.tune_then_schedule(NET, structure=["layers"], trials=9, population_size=4),
    ],
    ids=["frequencies", "phases"],
)
def test_a_study_that_was_cut_off_goes_on_alike(make, tmp_path):
    whole = et.Study(make(), "max score", seed=3).run(train, epochs=6)
    for trials in (15, 100):
        storage = f"sqlite:///{tmp_path}/study.db"
        with et.Study(make(), "max score", seed=3, storage=storage, name="cut") as study:
            study.run(train, trials=trials, epochs=6)
            told = [(t.genome, t.weights_from, t.parents, t.values) for t in study.trials]
    assert told == [(t.genome, t.weights_from, t.parents, t.values) for t in whole.trials]
