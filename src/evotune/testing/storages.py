"""The promises of the `Storage` protocol as tests."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from typing import Any

import pytest

from evotune.errors import StorageError, StudyLockedError
from evotune.protocols import Driver, Storage, StudyDefinition
from evotune.trial import Checkpoint, Failure, Origin, Trial

FIRST = Driver("amber", 4242, 1_700_000_000.25, 1_700_000_100.5, "token-1")
SECOND = Driver("birch", 17, 1_700_000_200.125, 1_700_000_300.75, "token-2")

AWKWARD = {
    "nothing": None,
    "yes": True,
    "text": 'naïve ‘quoted’ "text" % :name ? \\ \n \0 🧬 \ud800',
    "": "empty name",
    "big": 2**200,
    "tiny": 5e-324,
    "third": 1 / 3,
    "minus zero": -0.0,
    "whole": 1.0,
    "layers": [{"kind": "dense", "units": 8}, [], {}, [[None]]],
}


def make_definition(name: str = "lenet", **changes: Any) -> StudyDefinition:
    """Return a study's definition in which the given fields are changed."""
    space = {"lr": {"type": "float", "low": 1e-4, "high": 1.0, "log": True}}
    objectives = {"objectives": [{"metric": "accuracy", "direction": "max"}], "constraints": []}
    definition = StudyDefinition(name, 1, space, objectives, "Genetic(20)", 1_700_000_000.125)
    return replace(definition, **changes)


def make_trial(number: int, **changes: Any) -> Trial:
    """Return a finished trial in which the given fields are changed."""
    genome = {"lr": 0.1 / (number + 1), "depth": number}
    trial = Trial(
        number,
        genome,
        dict(genome),
        "done",
        seed=2**31 - 1 - number,
        metrics={"accuracy": 0.5 + number / 7, "train_seconds": 1.5},
        values=(-0.5 - number / 7,),
        result_order=number,
        started=1_700_000_000.1,
        ended=1_700_000_001.7,
    )
    return replace(trial, **changes)


class StorageContract:
    """What every storage must do; subclass it and define a pytest fixture ``storage``.

    The fixture returns an empty storage and closes it afterwards. Example::

        class TestMine(StorageContract):
            @pytest.fixture
            def storage(self):
                storage = MyStorage()
                yield storage
                storage.close()
    """

    def test_create_and_load_a_study(self, storage: Storage) -> None:
        """A definition comes back as it was, a seed of any length included."""
        definition = make_definition("ünïcode / 'name'", seed=2**127 + 1, space=AWKWARD)
        assert repr(storage.create(definition)) == repr(definition)
        assert repr(storage.load(definition.name)) == repr(definition)

    def test_create_returns_the_stored_study_of_a_taken_name(self, storage: Storage) -> None:
        """The first definition of a name stays."""
        storage.create(make_definition(seed=1))
        assert storage.create(make_definition(seed=2)) == make_definition(seed=1)
        assert storage.load("lenet") == make_definition(seed=1)

    def test_a_study_that_is_not_there(self, storage: Storage) -> None:
        """Reading finds nothing, deleting and releasing do nothing, writing is an error."""
        assert storage.load("nobody") is None
        assert storage.trials("nobody") == []
        storage.delete("nobody")
        storage.release("nobody", FIRST)
        with pytest.raises(StorageError, match="nobody"):
            storage.acquire("nobody", FIRST, None)
        with pytest.raises(StorageError, match="nobody"):
            storage.write("nobody", [make_trial(0)], FIRST)
        assert storage.studies() == []

    def test_trials_round_trip(self, storage: Storage) -> None:
        """Every field comes back exactly: floats bit for bit, tuples as tuples, dicts in order."""
        failure = Failure("exception", "naïve\nmessage", 'Traceback "x"\n\0', fatal=True)
        reports = ({"step": 0, "loss": 0.1}, {"step": 1, "loss": math.nan})
        written = [
            Trial(0, {}, {}),
            make_trial(1, genome=AWKWARD, params={"nothing": None}, note={"deep": {"er": AWKWARD}}),
            make_trial(2, metrics={"a": math.nan, "b": math.inf, "c": -math.inf, "d": 2**80}),
            make_trial(3, values=(0.1 + 0.2, -0.0, math.inf), violation=1e-17, results_seen=3),
            make_trial(4, budget=10, weights_from=0, parents=(3, 1), reports=reports),
            make_trial(5, budget=2.5, repeat_of=4, violation=math.inf, ended=None),
            make_trial(6, state="failed", failure=failure, values=None, metrics={}),
            make_trial(7, state="stopped", params={"depth": 7, "lr": 0.1 / 8}),
        ]
        self._drive(storage)
        storage.write("lenet", written, FIRST)
        assert list(map(repr, storage.trials("lenet"))) == list(map(repr, written))

    def test_every_field_of_a_trial_is_stored(self, storage: Storage) -> None:
        """All but the views over repeats."""
        written = make_trial(
            1,
            state="failed",
            budget=3,
            weights_from=0,
            parents=(0,),
            origin=Origin(2, 1, (0, 1), 3.0, 4, 5, ("lr",), "constant"),
            note={"mine": 2},
            violation=0.5,
            failure=Failure("timeout", "took longer than 60 s"),
            reports=({"step": 0, "loss": 1.0},),
            repeat_of=0,
            results_seen=7,
            checkpoint=Checkpoint(12, 4096, "trial-1.safetensors", "a" * 64, deleted=True),
            inherit={"shrink": 0.4, "perturb": 0.1, "networks": [0, None], "kin": [None, 0]},
        )
        for field in fields(Trial):
            if field.name not in ("repeats", "spread", "weights", "bar"):
                value = getattr(written, field.name)
                assert value != field.default, f"this test has forgotten {field.name}"
        self._drive(storage)
        storage.write("lenet", [written], FIRST)
        assert repr(storage.trials("lenet")) == repr([written])

    def test_views_over_repeats_are_not_stored(self, storage: Storage) -> None:
        """Repeats and spread are computed when a study is read."""
        self._drive(storage)
        storage.write("lenet", [make_trial(0, repeats=3, spread={"accuracy": 0.1})], FIRST)
        assert storage.trials("lenet") == [make_trial(0)]

    def test_what_is_read_can_be_changed_without_harm(self, storage: Storage) -> None:
        """Genome and params are dicts of their own."""
        self._drive(storage)
        trial = make_trial(0, genome={"lr": 0.5}, params={"lr": 0.5})
        storage.write("lenet", [trial], FIRST)
        params = storage.trials("lenet")[0].params
        assert params is not storage.trials("lenet")[0].genome

    def test_writing_a_number_again_replaces_the_trial(self, storage: Storage) -> None:
        """All of it, also where the newer one is emptier; within one write the last one counts."""
        self._drive(storage)
        full = make_trial(0, note={"generation": 1}, parents=(7,), budget=3.0)
        storage.write("lenet", [full, make_trial(1)], FIRST)
        bare = Trial(0, {"lr": 1.0}, {"lr": 1.0}, "waiting")
        storage.write("lenet", [full, bare], FIRST)
        assert storage.trials("lenet") == [bare, make_trial(1)]

    def test_trials_come_in_the_order_of_their_numbers(self, storage: Storage) -> None:
        """Whatever the order in which they were written."""
        self._drive(storage)
        for numbers in ([11, 2], [5], [], [0, 10, 1]):
            storage.write("lenet", [make_trial(number) for number in numbers], FIRST)
        assert [trial.number for trial in storage.trials("lenet")] == [0, 1, 2, 5, 10, 11]

    def test_acquire_is_compare_and_swap(self, storage: Storage) -> None:
        """A free study is taken; a held one only by naming its holder."""
        storage.create(make_definition())
        assert storage.acquire("lenet", FIRST, None) == FIRST
        assert storage.acquire("lenet", SECOND, None) == FIRST
        assert storage.acquire("lenet", SECOND, replace(FIRST, token="other")) == FIRST
        assert storage.studies()[0].driver == FIRST
        assert storage.acquire("lenet", SECOND, FIRST) == SECOND
        assert storage.acquire("lenet", FIRST, FIRST) == SECOND
        assert storage.studies()[0].driver == SECOND

    def test_only_one_of_many_acquires_a_free_study(self, storage: Storage) -> None:
        """At the same moment, from several threads."""
        storage.create(make_definition())
        drivers = [replace(FIRST, token=f"token {k}") for k in range(8)]
        with ThreadPoolExecutor(len(drivers)) as pool:
            holders = list(pool.map(lambda driver: storage.acquire("lenet", driver, None), drivers))
        assert len({holder.token for holder in holders}) == 1

    def test_a_driver_that_was_replaced_cannot_write(self, storage: Storage) -> None:
        """The error names the new driver; nothing of the write is kept."""
        self._drive(storage)
        storage.write("lenet", [make_trial(0)], FIRST)
        storage.acquire("lenet", SECOND, FIRST)
        with pytest.raises(StudyLockedError, match=r"process 17 on birch since 2023-11-1"):
            storage.write("lenet", [make_trial(0, budget=9.0), make_trial(1)], FIRST)
        storage.release("lenet", FIRST)
        storage.write("lenet", [make_trial(2)], SECOND)
        assert storage.trials("lenet") == [make_trial(0), make_trial(2)]

    def test_release_frees_the_study(self, storage: Storage) -> None:
        """After that, nobody can write until a driver acquires it, which replaces no other."""
        self._drive(storage)
        storage.release("lenet", FIRST)
        assert storage.studies()[0].driver is None
        with pytest.raises(StudyLockedError, match="released"):
            storage.write("lenet", [make_trial(0)], FIRST)
        assert storage.acquire("lenet", SECOND, FIRST) == SECOND

    def test_a_write_that_fails_keeps_nothing(self, storage: Storage) -> None:
        """Trials that stand before the bad one are not written either."""
        self._drive(storage)
        bad: Any = [make_trial(0), None]
        with pytest.raises(Exception):  # noqa: B017, PT011 (any: the caller broke the contract)
            storage.write("lenet", bad, FIRST)
        assert storage.trials("lenet") == []

    def test_what_it_cannot_store_is_a_storage_error(self, storage: Storage) -> None:
        """Nothing of the write is kept then; a storage that can hold anything keeps it."""
        self._drive(storage)
        written = [make_trial(0), make_trial(1, note={"mine": object()})]
        try:
            storage.write("lenet", written, FIRST)
        except StorageError:
            written = []
        assert storage.trials("lenet") == written

    def test_delete_removes_a_study_and_its_trials(self, storage: Storage) -> None:
        """A new study of that name starts empty and free; other studies stay."""
        for name in ("lenet", "other"):
            self._drive(storage, name)
            storage.write(name, [make_trial(0)], FIRST)
        storage.delete("lenet")
        assert storage.load("lenet") is None
        assert storage.trials("lenet") == []
        storage.create(make_definition())
        assert storage.trials("lenet") == []
        assert storage.acquire("lenet", SECOND, None) == SECOND
        assert storage.trials("other") == [make_trial(0)]

    def test_studies_do_not_mix(self, storage: Storage) -> None:
        """Trials of one number live in both; each study has a driver of its own."""
        self._drive(storage, "a", FIRST)
        self._drive(storage, "b", SECOND)
        storage.write("a", [make_trial(0, budget=1.0)], FIRST)
        storage.write("b", [make_trial(0, budget=2.0)], SECOND)
        with pytest.raises(StudyLockedError):
            storage.write("b", [make_trial(0)], FIRST)
        assert [storage.trials(name)[0].budget for name in "ab"] == [1.0, 2.0]

    def test_summaries(self, storage: Storage) -> None:
        """Oldest first, with the number of trials in every state that occurs."""
        newer = make_definition("newer", created=2.0)
        older = make_definition("older", created=1.0)
        storage.create(newer)
        storage.create(older)
        storage.acquire("newer", FIRST, None)
        states = ["done", "done", "failed", "running"]
        trials = [make_trial(number, state=state) for number, state in enumerate(states)]
        storage.write("newer", trials, FIRST)
        first, second = storage.studies()
        assert (first.definition, dict(first.counts), first.driver) == (older, {}, None)
        assert (second.definition, second.driver) == (newer, FIRST)
        assert dict(second.counts) == {"done": 2, "failed": 1, "running": 1}

    def test_several_threads_write_and_read(self, storage: Storage) -> None:
        """Nothing is lost, and a reader sees whole writes only."""
        for name in ("a", "b"):
            self._drive(storage, name)

        def write(name: str) -> None:
            for number in range(0, 60, 3):
                storage.write(name, [make_trial(number + k) for k in range(3)], FIRST)

        def read(_: int) -> list[int]:
            return [len(storage.trials("a")) for _ in range(20)]

        with ThreadPoolExecutor(4) as pool:
            writing = pool.map(write, ["a", "b"])
            counts = [count for seen in pool.map(read, range(2)) for count in seen]
            list(writing)
        assert {count % 3 for count in counts} == {0}
        for name in ("a", "b"):
            assert storage.trials(name) == [make_trial(number) for number in range(60)]

    def test_close_may_be_called_twice(self, storage: Storage) -> None:
        """The second time has nothing to do."""
        storage.close()
        storage.close()

    def _drive(self, storage: Storage, name: str = "lenet", driver: Driver = FIRST) -> None:
        storage.create(make_definition(name))
        assert storage.acquire(name, driver, None) == driver
