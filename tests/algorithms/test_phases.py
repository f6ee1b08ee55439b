import pytest

from evotune.algorithms.genetic import Genetic
from evotune.algorithms.grid import Grid
from evotune.algorithms.islands import Islands
from evotune.algorithms.phases import Phases
from evotune.algorithms.random_search import RandomSearch
from evotune.errors import AlgorithmError
from evotune.space import Bool, Choice, Fixed, Float, Int, Ordinal, Range, Space
from evotune.trial import Proposal
from helpers_islands import SPACE, Driver, Recorder


class Then:
    """Makes a recorder and remembers of which trial."""

    def __init__(self, **options):
        self.options = options
        self.best = []

    def __call__(self, best):
        self.best.append(best)
        return Recorder(**self.options)


def phases(first=None, **options):
    then = Then(size=2)
    algorithm = Phases(first or RandomSearch(SPACE), then, **{"trials": 5, **options})
    return then, Driver(algorithm)


def phase_of(trials):
    return [t.note.get("phase", t.note["note"].get("phase")) for t in trials]


class TestTheStep:
    def test_the_second_phase_begins_after_so_many_trials(self):
        then, driver = phases()
        driver.run(12)
        assert phase_of(driver.trials) == [0] * 5 + [1] * 7
        assert len(then.best) == 1
        assert len(driver.algorithm.algorithms) == 2

    def test_it_is_made_of_the_best_trial(self):
        then, driver = phases()
        driver.run(5, value=lambda t: abs(t.number - 2))
        assert then.best[0].number == 2
        assert then.best[0].note == {}  # as the first algorithm knows it

    def test_feasible_comes_first_and_ties_go_to_the_lower_number(self):
        then, driver = phases()
        started = [driver.start() for _ in range(5)]
        for trial in started[::-1]:
            driver.end(trial, float(trial.number > 2), violation=float(trial.number == 0))
        assert then.best[0].number == 1

    def test_all_trials_of_the_first_phase_are_waited_for(self):
        then, driver = phases()
        started = driver.start_all()
        assert len(started) == 5
        for trial in started[1:]:
            driver.end(trial, 1.0)
        assert driver.start() is None
        assert not then.best
        driver.end(started[0], 2.0)
        assert phase_of([driver.start()]) == [1]

    def test_failed_trials_count_but_are_not_the_best(self):
        then, driver = phases()
        for trial in driver.start_all():
            driver.end(trial, 1.0 if trial.number == 3 else None)
        assert then.best[0].number == 3
        assert phase_of([driver.start()]) == [1]

    def test_when_all_have_failed_the_first_goes_on_until_one_is_done(self):
        then, driver = phases()
        for trial in driver.start_all():
            driver.end(trial)
        for _ in range(3):
            (trial,) = driver.start_all()
            driver.end(trial)
        (trial,) = driver.start_all()
        assert phase_of(driver.trials) == [0] * 9
        driver.end(trial, 1.0)
        assert then.best[0].number == 8
        assert phase_of([driver.start()]) == [1]

    def test_a_first_algorithm_that_ends_early_ends_its_phase(self):
        space = Space(a=Int(1, 3))
        algorithm = Phases(Grid(space), lambda best: Grid(space), trials=50)
        driver = Driver(algorithm).run(20, value=lambda t: t.genome["a"])
        assert phase_of(driver.trials) == [0] * 3 + [1] * 3

    def test_a_first_algorithm_that_waits_for_its_generation_has_not_ended(self):
        then, driver = phases(Recorder(2))
        for trial in driver.start_all():
            driver.end(trial, 1.0)
        assert not then.best
        driver.run(9)
        assert phase_of(driver.trials) == [0] * 5 + [1] * 4

    def test_it_may_draw_from_the_trials_seed(self):
        then, driver = phases()
        driver.run(6, value=lambda t: float(t.number))
        assert then.best[0].seed == driver.trials[0].seed


class TestNotesAndBudgets:
    def test_each_algorithm_gets_back_exactly_the_notes_that_it_gave(self):
        first = Recorder(2)
        _, driver = phases(first)
        driver.run(11)
        for algorithm in driver.algorithm.algorithms:
            assert algorithm.own
            for k, trial in enumerate(algorithm.own):
                generation, place = divmod(k // 2, 2)
                note = {"generation": generation, "place": place, "mine": {"island": 99}}
                assert trial.note == note

    def test_generations_are_counted_on(self):
        _, driver = phases(Recorder(2))
        driver.run(10)
        assert [t.origin.generation for t in driver.trials] == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5]

    def test_the_first_phase_gets_a_budget_where_it_has_none(self):
        _, driver = phases(budget=3)
        driver.run(8)
        assert [t.budget for t in driver.trials] == [3.0] * 5 + [None] * 3
        _, driver = phases(Recorder(2, interval=7), budget=3)
        assert driver.start().budget == 7.0

    def test_phases_of_islands(self):
        inner = [Recorder(2), Recorder(2)]
        _, driver = phases(Islands(inner, every=1))
        driver.run(12)
        assert {len(r.own) for r in inner} == {4, 6}
        assert all(tuple(t.note) == ("generation", "place", "mine") for r in inner for t in r.own)

    def test_islands_of_phases(self):
        parts = [Phases(Recorder(2), Then(size=3), trials=4) for _ in range(2)]
        driver = Driver(Islands(parts, every=1)).run(60)
        assert phase_of(t for t in driver.trials if t.origin.islands[0] == 1)[:4] == [0] * 4
        for phases in parts:  # whose trials count ten to a generation, as they have no population
            assert len(phases.algorithms[1].foreign) == 3


class TestForeignTrials:
    def test_are_told_to_both(self):
        first = Recorder(2)
        _, driver = phases(first)
        note = {"migrant": "all", "mine": {}, "generation": 0}
        early = driver.adopt(Proposal({"x": 0.5, "y": 0.5}, note=note))
        driver.end(early, 0.0)
        driver.run(8)
        late = driver.adopt(Proposal({"x": 0.1, "y": 0.5}))
        second = driver.algorithm.algorithms[1]
        assert [t.number for t in first.foreign] == [early.number] * 2
        assert [t.number for t in second.foreign] == [early.number, late.number]
        assert first.foreign[0].note == second.foreign[0].note == {"migrant": "all"}

    def test_but_not_to_a_second_one_in_whose_space_they_do_not_lie(self):
        narrow = Space(x=Fixed(0.25), y=Float(0, 1))
        algorithm = Phases(RandomSearch(SPACE), lambda best: Recorder(space=narrow), trials=2)
        driver = Driver(algorithm)
        for x in (0.25, 0.5):
            driver.end(driver.adopt(Proposal({"x": x, "y": 0.5})), 0.0)
        driver.run(4)
        assert [t.number for t in algorithm.algorithms[1].foreign] == [0]


def test_donors_are_those_of_the_running_algorithm():
    first = Recorder(2)
    _, driver = phases(first, trials=3)
    driver.run(2)
    assert set(driver.algorithm.donors()) == {0, 1}
    driver.run(4)
    assert set(driver.algorithm.donors()) == {3}


def test_generational_as_the_running_algorithm_is():
    steady = Genetic(SPACE, population_size=4, steady_state=True)
    algorithm = Phases(steady, Then(), trials=2)
    assert not algorithm.traits.generational
    Driver(algorithm).run(2)
    assert algorithm.traits.generational


def test_what_one_sees_from_outside():
    algorithm = Phases(RandomSearch(SPACE), Then(), trials=2, budget=3)
    assert algorithm.space is SPACE
    assert repr(algorithm).startswith("Phases(RandomSearch(), then=")


WIDE = Space(
    lr=Float(1e-4, 1.0, log=True),
    share=Float(0, 1, step=0.25),
    width=Int(8, 64),
    batch=Ordinal(16, 32, 64),
    kind=Choice("a", "b"),
    flag=Bool(),
    depth=Int(1, 9, when={"kind": "a", "width": Range(16, 64)}),
)


def second_on(**changes):
    """Run the first phase, whose second one has some other domains."""
    space = WIDE.narrowed({**WIDE.domains, **changes})
    algorithm = Phases(RandomSearch(WIDE), lambda best: RandomSearch(space), trials=1)
    Driver(algorithm).run(3, value=lambda t: 0.0)
    return algorithm.algorithms[1].space


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lr": Float(1e-3, 0.1), "width": Int(16, 16), "batch": Ordinal(64, 16)},
        {"kind": Fixed("b"), "flag": Fixed(True), "share": Fixed(0.5)},
        {"depth": Fixed(3, when={"kind": "a", "width": Range(16, 64)})},
        {"share": Float(0.25, 0.75, step=0.5)},
    ],
)
def test_a_narrower_space_is_fine(changes):
    assert second_on(**changes).domains == {**WIDE.domains, **changes}


@pytest.mark.parametrize(
    ("changes", "gene"),
    [
        ({"lr": Float(1e-5, 1.0)}, "lr"),
        ({"lr": Float(1e-4, 1.1)}, "lr"),
        ({"share": Float(0, 1)}, "share"),
        ({"width": Int(8, 65)}, "width"),
        ({"kind": Choice("a", "c")}, "kind"),
        ({"flag": Fixed(1)}, "flag"),
        ({"depth": Int(1, 9)}, "depth"),
    ],
)
def test_a_space_that_leaves_the_first_one_is_refused(changes, gene):
    with pytest.raises(AlgorithmError, match=rf"gene '{gene}' of the second algorithm, {{"):
        second_on(**changes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda first: Phases(first, Then(), trials=0), "trials must be a whole number from 1 up"),
        (lambda first: Phases(first, Then(), trials=1, budget=0), "budget must be a whole number"),
        (lambda first: Phases(first, RandomSearch(SPACE), trials=1), "then must be a function"),
        (
            lambda first: Driver(Phases(first, lambda best: None, trials=1)).run(1),
            "then must return an algorithm such as .* it returned None",
        ),
        (
            lambda first: Driver(
                Phases(first, lambda best: RandomSearch(Space(x=Float(0, 1))), trials=1)
            ).run(1),
            "must search the genes of the first one; they differ in 'y'",
        ),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(AlgorithmError, match=message):
        make(RandomSearch(SPACE))
