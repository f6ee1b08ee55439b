import math

import pytest

import evotune as et
from evotune.algorithms import recipes
from evotune.algorithms.genetic import Genetic
from evotune.algorithms.grid import Grid
from evotune.algorithms.halving import Hyperband, SuccessiveHalving
from evotune.algorithms.islands import Islands
from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.algorithms.random_search import RandomSearch
from evotune.errors import AlgorithmError, StudyError
from evotune.protocols import Algorithm, Traits
from evotune.space import Float, Space
from evotune.testing.algorithms import SPACES, AlgorithmContract, Rehearsal, foreign_trials
from helpers_halving import Ladder, count_epochs

LINE = Space(x=Float(0.0, 1.0))


class TestAroundRandomSearch(AlgorithmContract):
    improves = False

    def make(self, space: Space) -> Algorithm:
        return SuccessiveHalving(RandomSearch(space))


class TestAroundGenetic(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return SuccessiveHalving(Genetic(space, population_size=6), maximum=8, eta=2)


class TestAroundIslandsWithoutWeights(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        islands = Islands([Genetic(space, population_size=n) for n in (3, 4)], every=2)
        return SuccessiveHalving(islands, minimum=1 / 9, maximum=1, resume=False)


class TestAroundGrid(AlgorithmContract):
    improves = False
    finishes = True

    def make(self, space: Space) -> Algorithm:
        return SuccessiveHalving(Grid(space, points=3), maximum=4, eta=2)


class TestInsideIslands(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        halving = SuccessiveHalving(Genetic(space, population_size=6), maximum=9)
        return Islands([halving, Genetic(space, population_size=5)], every=3)


class TestHyperband(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return Hyperband(Genetic(space, population_size=6), maximum=9)


class Recorder:
    """An algorithm inside that writes down what it is told."""

    traits = Traits(generational=True)

    def __init__(self, space=LINE):
        self.space = space
        self.told = []

    def ask(self, rng):
        return et.Proposal(self.space.sample(rng), note={"mine": 1})

    def tell(self, trial):
        self.told.append(trial)

    def donors(self):
        return ()


def halving(inside=None, **options):
    return SuccessiveHalving(inside or RandomSearch(LINE), **({"maximum": 9} | options))


@pytest.mark.parametrize(
    ("minimum", "maximum", "eta", "budgets"),
    [
        (1, 27, 3, (1, 3, 9, 27)),
        (1, 52, 3, (1, 3, 7, 19, 52)),  # both ends are met
        (2, 3, 4, (2, 3)),
        (1 / 9, 1, 3, (1 / 9, 1 / 3, 1)),
    ],
)
def test_rungs_lead_from_the_minimum_to_the_maximum(minimum, maximum, eta, budgets):
    found = halving(minimum=minimum, maximum=maximum, eta=eta).budgets
    assert found == pytest.approx(budgets)
    assert (found[0], found[-1]) == (minimum, maximum)


class TestPromotion:
    def test_the_best_third_goes_on_and_only_for_the_difference(self):
        study = Ladder(halving())
        for value in (5, 3, 4):
            assert study.go(value).budget == 1
        promoted = study.start()
        assert promoted.genome == study.trials[1].genome
        assert (promoted.budget, promoted.weights_from, promoted.parents) == (2, 1, (1,))
        assert study.start().weights_from is None  # one in three, and that one is on its way

    def test_the_top_is_reached_with_the_maximum_of_epochs(self):
        study = Ladder(halving())
        while not (top := [t for t in study.trials if t.origin.rung == 9 and t.is_done]):
            study.go(len(study.trials) % 7)
        assert top[0].checkpoint.epochs == 9
        line = [top[0]]
        while line[-1].weights_from is not None:
            line.append(study.trials[line[-1].weights_from])
        assert [trial.budget for trial in line] == [6, 2, 1]

    def test_the_highest_rung_goes_first(self):
        study = Ladder(halving(maximum=4, eta=2))
        for value in (4, 3, 2, 1):
            study.finish(study.start(), value)
        rungs = [trial.origin.rung for trial in study.trials]
        while 4 not in rungs:
            study.go(0)
            rungs = [trial.origin.rung for trial in study.trials]
        assert rungs.index(4) == [k for k, rung in enumerate(rungs) if rung == 2][1] + 1

    def test_nobody_is_promoted_twice(self):
        study = Rehearsal(halving()).run(300, at_once=7, shuffled=True, failing=0.2)
        sources = [t.weights_from for t in study.trials if t.weights_from is not None]
        assert len(sources) == len(set(sources)) > 60

    @pytest.mark.parametrize("state", ["failed", "stopped"])
    def test_failed_and_stopped_trials_stay_where_they_are(self, state):
        study = Ladder(halving())
        for _ in range(12):
            study.go(1 if state == "stopped" else None, state=state)
        assert all(trial.weights_from is None for trial in study.trials)
        for value in (2, 1, 3):
            study.go(value)
        assert study.start().weights_from == 13

    def test_a_running_trial_is_no_result(self):
        study = Ladder(halving())
        study.start()
        study.go(1)
        study.go(2)
        assert study.start().weights_from is None

    def test_several_objectives_are_ranked_by_domination(self):
        study = Ladder(halving())
        values = ((2.0, 2.0), (1.0, 1.0), (0.0, 3.0), (3.0, 3.0), (2.0, 4.0), (4.0, 4.0))
        for trial, pair in zip([study.start() for _ in values], values, strict=True):
            study.finish(trial, values=pair)
        chosen = {study.start().weights_from for _ in range(2)}
        assert chosen == {1, 2}

    def test_anew_means_the_whole_budget_and_no_weights(self):
        study = Ladder(halving(minimum=1 / 9, maximum=1, resume=False))
        for value in (5, 3, 4):
            study.go(value, keeps=False)
        promoted = study.start()
        assert promoted.budget == pytest.approx(1 / 3)
        assert (promoted.weights_from, promoted.parents) == (None, (1,))
        assert not study.algorithm.donors()

    def test_weights_of_the_hopeless_are_let_go_for_good(self):
        study = Rehearsal(halving(maximum=27)).run(600)
        assert len(study.algorithm.donors()) < 40
        assert max(t.origin.rung for t in study.trials) == 27

    def test_ends_when_the_algorithm_inside_does(self):
        trials = Rehearsal(halving(Grid(LINE, points=9))).run(100).trials
        assert sorted(t.origin.rung for t in trials) == [1] * 9 + [3] * 3 + [9]


class TestInside:
    def test_it_hears_of_its_own_trials_and_of_promotions_as_repeats(self):
        recorder = Recorder()
        study = Ladder(halving(recorder))
        for value in (3, 1, 2):
            study.go(value)
        own = recorder.told[:]
        assert [trial.note for trial in own] == [{"mine": 1}] * 6
        promoted = study.start()
        assert recorder.told == own  # nothing to wait for
        study.finish(promoted, 0.5)
        last = recorder.told[-1]
        assert (last.repeat_of, last.values, last.note) == (1, (0.5,), {})
        for value in (3, 1, 2, 3, 1, 2):
            study.go(value)
        again = [t for t in study.trials if t.origin.rung == 9]
        assert again == [] or recorder.told[-1].repeat_of == 1

    def test_a_generation_is_not_held_up_by_promotions(self):
        study = Ladder(halving(Genetic(LINE, population_size=3)))
        for value in (3, 1, 2):
            study.go(value)
        assert study.start().weights_from == 1  # runs on and on
        assert study.go(4).origin.generation == 1

    def test_it_is_asked_again_where_it_repeats_itself(self):
        space = SPACES["finite"]
        trials = Rehearsal(halving(RandomSearch(space), resume=False)).run(7).trials
        new = [space.key(t.genome) for t in trials if t.origin.rung == 1]
        assert len(set(new)) == len(new)

    def test_trials_from_elsewhere_are_for_it_alone(self):
        recorder = Recorder()
        study = Rehearsal(halving(recorder))
        for trial in foreign_trials(LINE, 9):
            study.adopt(trial)
        assert len(recorder.told) == 9
        assert study.start().weights_from is None


class TestBrackets:
    def test_each_budget_begins_one_and_all_get_the_same_share(self):
        study = Rehearsal(Hyperband(RandomSearch(LINE), maximum=27)).run(1000)
        spent = dict.fromkeys(range(4), 0.0)
        for trial in study.trials:
            spent[trial.note["bracket"]] += trial.budget
        first = [t.budget for t in study.trials if t.weights_from is None]
        assert set(first) == {1, 3, 9, 27}
        assert max(spent.values()) - min(spent.values()) <= 4 * 27 + 27

    def test_they_take_turns_and_the_boldest_is_first(self):
        trials = Rehearsal(Hyperband(RandomSearch(LINE), maximum=27)).run(300).trials
        brackets = [t.note["bracket"] for t in trials]
        turns = [b for k, b in enumerate(brackets) if k == 0 or brackets[k - 1] != b]
        assert turns[:6] == [0, 1, 2, 3, 0, 1]
        length = brackets.index(1)
        assert 4 * 27 <= sum(t.budget for t in trials[:length]) <= 4 * 27 + 18


class TestDehb(AlgorithmContract):
    def make(self, space: Space) -> Algorithm:
        return recipes.dehb(space, maximum=9, population_size=8)

    def test_settings_of_the_paper(self):
        algorithm = recipes.dehb(LINE, minimum=1, maximum=27, eta=3, resume=False)
        evolution = algorithm.algorithm
        assert isinstance(algorithm, Hyperband)
        assert (evolution.strategy, evolution.adaptation) == ("rand/1", None)
        assert (evolution.scale, evolution.crossover_rate) == (0.5, 0.5)
        assert (algorithm.budgets, algorithm.eta, algorithm.resume) == ((1, 3, 9, 27), 3, False)


class TestStudy:
    def test_promoted_trials_go_on_from_their_own_weights(self, tmp_path):
        seen = {}
        algorithm = SuccessiveHalving(RandomSearch(LINE), maximum=9)
        with et.Study(algorithm, "min loss", seed=1, storage=tmp_path / "s.db") as study:
            study.run(count_epochs(seen), trials=40)
            for trial in study.trials:
                began, ended = seen[trial.number]
                assert ended == trial.origin.rung
                assert began == (trial.origin.rung / 3 if trial.weights_from is not None else 0)
            assert {ended for _, ended in seen.values()} == {1, 3, 9}
            kept = [t for t in study.trials if t.checkpoint and not t.checkpoint.deleted]
            assert len(kept) <= len(algorithm.donors()) + 1

    def test_it_goes_on_in_another_process(self, tmp_path):
        whole, parts = {}, {}
        alone = et.Study(halving(), "min loss", seed=1).run(count_epochs(whole), trials=30)
        for trials in (7, 19, 30):
            path = tmp_path / "s.db"
            with et.Study(halving(), "min loss", seed=1, storage=path) as study:
                study.run(count_epochs(parts), trials=trials)
                found = [(dict(t.params), t.budget, t.weights_from) for t in study.trials]
        assert found == [(dict(t.params), t.budget, t.weights_from) for t in alone.trials]
        assert parts == whole

    def test_functions_that_keep_no_weights_are_told_what_to_write(self):
        study = et.Study(halving(), "min loss", seed=1)
        with pytest.raises(AlgorithmError, match=r"trial.keep\(.*resume=False"):
            study.run(lambda trial: trial.params["x"], trials=10)
        assert len(study.trials) == 3

    def test_a_table_needs_no_weights(self):
        def look_up(trial):
            return trial.params["x"] + 1 / trial.budget

        study = et.Study(halving(resume=False), "min loss", seed=1).run(look_up, trials=60)
        assert study.best.origin.rung == 9
        assert all(trial.repeat_of is None for trial in study.trials)

    def test_fewer_epochs_than_the_maximum_are_an_error(self):
        study = et.Study(halving(), "min loss", seed=1)
        with pytest.raises(StudyError, match=r"epochs=3 .* budget, 9: write .*maximum=3"):
            study.run(count_epochs({}), trials=12, epochs=3)
        assert not study.trials

    def test_more_epochs_than_the_maximum_change_nothing(self):
        seen = {}
        study = et.Study(halving(), "min loss", seed=1)
        study.run(count_epochs(seen), trials=40, epochs=100)
        assert {ended for _, ended in seen.values()} == {1, 3, 9}

    def test_shares_are_no_epochs(self):
        study = et.Study(halving(minimum=0.1, maximum=1), "min loss", seed=1)
        with pytest.raises(StudyError, match="whole number"):
            study.run(count_epochs({}), trials=20)


BAD = {
    "no algorithm": (lambda: SuccessiveHalving(LINE), r"such as Genetic\(space\)"),
    "weights twice": (
        lambda: halving(PopulationBasedTraining(LINE)),
        "must not hand on weights itself",
    ),
    "halving twice": (lambda: Hyperband(halving()), "Hyperband: algorithm must not hand on"),
    "nothing": (lambda: halving(minimum=0), "minimum must be a number above 0, got 0"),
    "not a number": (lambda: halving(maximum=math.nan), "maximum must be a number above 0"),
    "one rung": (lambda: halving(minimum=9), "minimum must be below maximum"),
    "half an epoch": (lambda: halving(minimum=0.5), "epochs, whole numbers from 1 up, or shares"),
    "no choice": (lambda: halving(eta=1), "eta must be a whole number from 2 up"),
}


@pytest.mark.parametrize("what", BAD)
def test_settings_that_cannot_work_are_refused(what):
    make, message = BAD[what]
    with pytest.raises(AlgorithmError, match=message):
        make()
