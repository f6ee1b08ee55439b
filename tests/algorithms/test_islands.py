import numpy as np
import pytest

import evotune as et
from evotune.algorithms import recipes
from evotune.algorithms.evolution_strategy import EvolutionStrategy
from evotune.algorithms.genetic import Genetic
from evotune.algorithms.grid import Grid
from evotune.algorithms.islands import Islands
from evotune.algorithms.phases import Phases
from evotune.algorithms.random_search import RandomSearch
from evotune.errors import AlgorithmError
from evotune.space import Float, Int, Space
from evotune.testing.algorithms import SPACES, Rehearsal
from evotune.trial import Checkpoint, Proposal
from helpers_islands import SPACE, Driver, Recorder


def islands(count=3, size=3, **options):
    recorders = [Recorder(size) for _ in range(count)]
    return recorders, Driver(Islands(recorders, **options))


def by_island(trials):
    """(island, generation) of each trial."""
    return [(t.origin.islands[0], t.origin.generation) for t in trials]


def end_all(driver, started, values=lambda t: t.number):
    for trial in started:
        driver.end(trial, values(trial))


class TestNotes:
    def test_each_algorithm_gets_back_exactly_the_notes_that_it_gave(self):
        recorders, driver = islands(every=2)
        driver.run(27)
        for recorder in recorders:
            assert len(recorder.own) == 18  # the start and the end of nine trials
            for k, trial in enumerate(recorder.own):
                generation, place = divmod(k // 2, 3)
                note = {"generation": generation, "place": place, "mine": {"island": 99}}
                assert trial.note == note

    def test_the_generation_stands_where_stopping_rules_look_for_it(self):
        _, driver = islands()
        assert [t.origin.generation for t in driver.run(12).trials] == [0] * 9 + [1] * 3

    def test_algorithms_without_generations_have_none(self):
        driver = Driver(Islands([RandomSearch(SPACE), RandomSearch(SPACE)]))
        assert driver.start().origin.generation is None

    def test_islands_of_islands(self):
        recorders = [Recorder(2) for _ in range(3)]
        inner = Islands(recorders[:2], every=1)
        driver = Driver(Islands([inner, recorders[2]], every=1)).run(24)
        assert {tuple(t.note) for r in recorders for t in r.own} == {
            ("generation", "place", "mine")
        }
        assert {len(r.own) for r in recorders} == {2 * 8}
        sent = {trial.number for trial in recorders[2].foreign}
        assert sent
        assert all(driver.trials[number].origin.islands[0] == 0 for number in sent)


class TestMigration:
    def test_the_best_is_told_to_the_neighbour_after_so_many_generations(self):
        recorders, driver = islands(every=2)
        driver.run(18, value=lambda t: -t.number)  # 9 trials a generation
        for k, recorder in enumerate(recorders):
            sender = (k - 1) % 3
            (migrant,) = recorder.foreign
            assert migrant.number == 9 + 3 * sender + 2  # the latest of its second generation
            assert migrant.note == {"migrant": "all"}
            assert migrant.values == (-migrant.number,)

    def test_not_before(self):
        recorders, driver = islands(every=2)
        driver.run(17)
        assert not any(recorder.foreign for recorder in recorders)

    def test_only_what_is_new_is_sent(self):
        recorders, driver = islands(2, every=1, send=2)
        driver.run(6 * 4, value=lambda t: t.number)  # the first ones stay the best
        told = [t.number for t in recorders[1].foreign]
        assert told == [0, 1, 6, 7, 12, 13, 18, 19]

    def test_ties_go_to_the_lower_number_whatever_comes_first(self):
        recorders, driver = islands(2, every=1)
        end_all(driver, driver.start_all()[::-1], lambda t: 1.0)
        assert [t.number for t in recorders[1].foreign] == [0]
        assert [t.number for t in recorders[0].foreign] == [3]

    def test_a_feasible_trial_goes_before_a_better_one(self):
        recorders, driver = islands(2, every=1)
        for trial in driver.start_all():
            driver.end(trial, trial.number, violation=float(trial.number < 2))
        assert [t.number for t in recorders[1].foreign] == [2]

    def test_failed_trials_stay(self):
        recorders, driver = islands(2, every=1, send=3)
        for trial in driver.start_all():
            driver.end(trial, None if trial.number != 4 else 1.0)
        assert [t.number for t in recorders[0].foreign] == [4]
        assert not recorders[1].foreign
        assert driver.start() is not None

    def test_where_weights_are_inherited_only_those_that_still_exist_leave(self):
        recorders, driver = islands(2, every=2)
        started = driver.run(6).trials
        recorders[0].weights.remove(1)
        for trial in driver.start_all():
            driver.end(trial, 10, checkpoint=Checkpoint(1, 8))
        assert started[1].number == 1
        best = min((t for t in started[:3] if t.number != 1), key=lambda t: t.values)
        assert recorders[1].foreign[0].number == best.number

    def test_topology_decides_who_gets_it(self):
        recorders, driver = islands(4, every=1, topology="star")
        driver.run(12)
        islands_of = [
            {driver.trials[t.number].origin.islands[0] for t in r.foreign} for r in recorders
        ]
        assert islands_of == [{1, 2, 3}, {0}, {0}, {0}]

    def test_migrants_become_parents(self):
        algorithm = Islands([Genetic(SPACE, population_size=4) for _ in range(2)], every=1)
        trials = Rehearsal(algorithm).run(60).trials
        crossed = [
            trial
            for trial in trials
            if any(trials[p].origin.islands[0] != trial.origin.islands[0] for p in trial.parents)
        ]
        assert crossed


class TestOrder:
    def test_the_lowest_generation_goes_first(self):
        _, driver = islands(2, every=9)
        assert by_island(driver.start_all()) == [(0, 0)] * 3 + [(1, 0)] * 3

    def test_an_island_begins_its_next_generation_while_others_end_theirs(self):
        _, driver = islands(2, every=9)
        started = driver.start_all()
        end_all(driver, started[:3])
        assert by_island(driver.start_all()) == [(0, 1)] * 3  # and no further: island 1 is next

    def test_before_a_migration_all_wait_for_all(self):
        recorders, driver = islands(2, every=1)
        started = driver.start_all()
        end_all(driver, started[:-1])
        assert driver.start() is None
        assert not recorders[1].foreign
        driver.end(started[-1], 1.0)
        assert recorders[0].foreign
        assert recorders[1].foreign
        assert by_island(driver.start_all()) == [(0, 1)] * 3 + [(1, 1)] * 3

    def test_islands_of_different_sizes_have_as_many_generations(self):
        driver = Driver(Islands([Recorder(2), Recorder(5), Recorder(1)], every=3)).run(80)
        assert [by_island(driver.trials).count((k, 4)) for k in range(3)] == [2, 5, 1]
        assert {generation for _, generation in by_island(driver.trials)} == set(range(10))

    def test_different_intervals_spend_as_many_epochs(self):
        recorders = [Recorder(2, interval=epochs) for epochs in (1, 2, 4)]
        driver = Driver(Islands(recorders, every=4)).run(14 * 5)
        for k in range(3):
            own = [t for t in driver.trials if t.origin.islands[0] == k]
            assert sum(t.budget for t in own) == 2 * 4 * 5

    def test_every_counts_epochs_of_proposals_that_have_a_budget(self):
        recorders = [Recorder(2, interval=epochs) for epochs in (1, 2, 4)]
        driver = Driver(Islands(recorders, every=4)).run(13)
        assert not any(r.foreign for r in recorders)
        driver.run(14)
        assert [len(r.foreign) for r in recorders] == [1, 1, 1]

    def test_a_long_interval_does_not_miss_the_migrations_of_the_others(self):
        recorders = [Recorder(2, interval=epochs) for epochs in (1, 3)]
        Driver(Islands(recorders, every=2)).run(8 * 4)
        assert len(recorders[1].foreign) == 12 // 2
        assert len(recorders[0].foreign) == 12 // 3

    def test_without_generations_ten_trials_make_one(self):
        kinds = [RandomSearch(SPACE), Recorder(3)]
        driver = Driver(Islands(kinds, every=2)).run(25)
        assert not kinds[1].foreign
        driver.run(39)
        assert len(kinds[1].foreign) == 1
        assert [t.origin.islands[0] for t in driver.trials] == ([0] * 10 + [1] * 3) * 3

    def test_who_has_nothing_more_to_propose_holds_nobody_up(self):
        space = Space(a=Int(1, 3), b=Int(1, 2))
        grid, rest = Grid(space), Recorder(2, space=space)
        driver = Driver(Islands([grid, rest], every=2)).run(40, value=lambda t: t.number)
        assert [t.origin.islands[0] for t in driver.trials].count(0) == 6
        assert len(driver.trials) == 40
        both = Driver(Islands([Grid(space), Grid(space)])).run(40, value=lambda t: t.number)
        assert len(both.trials) == 12


class TestWithoutGenerations:
    def test_no_island_waits(self):
        recorders = [Recorder(3, generational=False), Recorder(3)]
        driver = Driver(Islands(recorders, every=1))
        assert not driver.algorithm.traits.generational
        started = [driver.start() for _ in range(20)]
        assert None not in started
        assert [t.origin.islands[0] for t in started].count(1) == 3  # its barrier is its own affair

    def test_each_island_sends_when_its_own_trials_make_up_for_the_generations(self):
        recorders = [Recorder(2, generational=False) for _ in range(2)]
        driver = Driver(Islands(recorders, every=2))
        started = [driver.start() for _ in range(8)]
        own = [t for t in started if t.origin.islands[0] == 0]
        end_all(driver, own[:3])
        assert not recorders[1].foreign
        driver.end(own[3], -1.0)
        assert [t.number for t in recorders[1].foreign] == [own[3].number]
        assert not recorders[0].foreign

    def test_the_island_with_the_fewest_generations_goes_first(self):
        recorders = [Recorder(n, generational=False) for n in (1, 4)]
        driver = Driver(Islands(recorders)).run(25)
        assert [t.origin.islands[0] for t in driver.trials].count(1) == 20


class TestForeignTrials:
    @pytest.mark.parametrize(
        "note",
        [
            {"from": "me"},
            {"generation": 0, "place": 0, "mine": {"island": 99}},  # as without islands
            *({"island": k, "generation": 0, "note": {"mine": {}}} for k in (7, -1, "0", None)),
        ],
    )
    def test_are_told_to_every_island_and_are_nobodys_own(self, note):
        recorders, driver = islands()
        trial = driver.adopt(Proposal({"x": 0.5, "y": 0.5}, note=note))
        driver.end(trial, 0.0)
        for recorder in recorders:
            assert [t.note for t in recorder.foreign] == [{}, {}]
            assert not recorder.own

    def test_migrants_into_islands_of_islands_bring_what_they_bring(self):
        recorders, driver = islands()
        driver.adopt(Proposal({"x": 0.5, "y": 0.5}, note={"migrant": "weights"}))
        assert all(r.foreign[0].note == {"migrant": "weights"} for r in recorders)

    def test_do_not_migrate(self):
        recorders, driver = islands(2, every=1)
        driver.end(driver.adopt(Proposal({"x": 0.5, "y": 0.5})), -100.0)
        driver.run(7)
        assert all([t.values for t in r.foreign].count((-100.0,)) == 1 for r in recorders)


class TestAsymmetry:
    def test_genes_travel_from_steady_to_frequent_islands_only(self):
        recorders = [Recorder(2, interval=epochs) for epochs in (1, 4, 1)]
        algorithm = Islands(recorders, every=4, topology="full", asymmetric=True)
        driver = Driver(algorithm).run(18)
        kinds = [
            {driver.trials[t.number].origin.islands[0]: t.note["migrant"] for t in r.foreign}
            for r in recorders
        ]
        assert kinds == [
            {1: "all", 2: "weights"},
            {0: "weights", 2: "weights"},
            {0: "weights", 1: "all"},
        ]

    def test_otherwise_everything_travels(self):
        recorders = [Recorder(2, interval=epochs) for epochs in (1, 4)]
        Driver(Islands(recorders, every=4)).run(10)
        assert {t.note["migrant"] for r in recorders for t in r.foreign} == {"all"}


def test_donors_are_those_of_all_islands():
    recorders, driver = islands(2)
    driver.run(6)
    recorders[0].weights, recorders[1].weights = {1, 2}, {2, 5}
    assert set(driver.algorithm.donors()) == {1, 2, 5}


def test_what_one_sees_from_outside():
    algorithms = [Genetic(SPACE, population_size=4), EvolutionStrategy(SPACE)]
    both = Islands(algorithms, topology="grid")
    assert both.space is SPACE
    assert both.algorithms == tuple(algorithms)
    assert both.neighbours == ((1,), (0,))
    assert "Genetic(" in repr(both)
    assert "every=5" in repr(both)


def test_a_study_stops_islands_that_stagnate():
    algorithm = Islands([Genetic(SPACE, population_size=4) for _ in range(3)])
    study = et.Study(algorithm, "min loss", seed=0).run(lambda t: 1.0, trials=500, stagnation=4)
    assert 12 * 4 <= len(study.trials) <= 12 * 6


ONE = Recorder()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Islands([]), "needs a list of two algorithms or more"),
        (lambda: Islands([Recorder()]), "needs a list of two algorithms or more"),
        (lambda: Islands(Recorder()), "needs a list of two algorithms or more"),
        (lambda: Islands([ONE, Recorder(), ONE]), "the same algorithm object was given twice"),
        (lambda: Islands([ONE, Genetic]), "island 1 must be an algorithm such as Genetic"),
        (
            lambda: Islands([ONE, Recorder(space=Space(x=Float(0, 2), y=Float(0, 1)))]),
            r"(?s)same space, but island 1 differs from island 0 in\n~ x: .*'high': 2.0",
        ),
        (lambda: Islands([ONE, Recorder()], every=0), "every must be a whole number from 1 up"),
        (lambda: Islands([ONE, Recorder()], send=0), "send must be a whole number from 1 up"),
        (lambda: Islands([ONE, Recorder()], topology="rnig"), "did you mean 'ring'"),
        (
            lambda: Islands([Recorder(interval=1), ONE], asymmetric=True),
            "asymmetric=True compares the intervals .* island 1 has none",
        ),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(AlgorithmError, match=message):
        make()


def test_a_steadier_island_never_takes_genes_from_a_more_frequent_one():
    """Asymmetric migration: only weights go that way, also when the migrant itself goes on."""
    for options in ({}, {"exploit": "everyone", "parents": 3}):
        algorithm = recipes.multiple_frequencies(SPACES["continuous"], population_size=4, **options)
        rehearsal = Rehearsal(algorithm, seed=1).run(400)
        interval = [inner.interval for inner in algorithm.algorithms]
        home = {t.number: interval[t.origin.islands[0]] for t in rehearsal.trials}
        weights = 0
        for trial in rehearsal.trials:
            assert all(home[n] >= home[trial.number] for n in trial.parents)
            weights += any(home[n] < home[trial.number] for n in trial.donors)
        assert weights


def test_migrants_must_be_as_old_as_their_hosts():
    populations = [
        et.PopulationBasedTraining(SPACE, population_size=4, interval=interval)
        for interval in (1, 2, 3)
    ]
    with pytest.raises(AlgorithmError, match="write every=6"):
        Islands(populations, every=4)


def test_islands_that_disagree_about_repeats_are_refused():
    racing, drifting = et.Racing(Genetic(SPACE)), et.Drifting(Genetic(SPACE))
    with pytest.raises(AlgorithmError, match="needs repeats averaged and another one needs them"):
        Islands([racing, drifting])
    assert Islands([racing, Genetic(SPACE)]).traits.duplicates == "repeat"


def test_phases_that_change_their_kind_make_no_generational_islands():
    def steady(best):
        return Genetic(SPACES["continuous"], population_size=4, steady_state=True)

    def make():
        phases = Phases(Genetic(SPACES["continuous"], population_size=4), steady, trials=8)
        return Islands([phases, Genetic(SPACES["continuous"], population_size=4)], every=1)

    assert not make().traits.generational
    rehearsal = Rehearsal(make()).run(40, at_once=3)
    again = make()
    for trial in rehearsal.told:
        again.tell(trial)
    draw = np.random.default_rng
    assert again.ask(draw(1)) == rehearsal.algorithm.ask(draw(1))
