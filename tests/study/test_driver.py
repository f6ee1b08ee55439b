"""Who drives a study: which recorded driver still lives, whatever clocks and containers do."""

import subprocess
import sys
from dataclasses import replace

import pytest

from evotune.errors import StudyLockedError
from evotune.protocols import Driver
from evotune.storage import MemoryStorage
from evotune.study import lock
from evotune.testing.storages import make_definition

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says so much")
OTHER = """
import sys
from evotune.study.lock import this_process
me = this_process()
print((me.host, me.pid, me.process_started, me.since, me.token), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def process():
    with subprocess.Popen(
        [sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def driver_of(process):
    return Driver(*eval(process.stdout.readline()))


def with_mark(driver, **changes):
    """Return a driver whose token names another machine, boot, namespace or start."""
    words = dict(zip(("word", *lock._Mark._fields), driver.token.split(" "), strict=True))
    return replace(driver, token=" ".join((words | changes).values()))


def test_a_process_lives_until_it_has_ended(process):
    driver = driver_of(process)
    assert not lock.has_ended(driver)
    assert lock.has_ended(replace(driver, token="word", process_started=1.0))  # of earlier versions
    assert not lock.has_ended(replace(driver, token="word"))
    process.kill()
    process.wait()
    assert lock.has_ended(driver)
    assert lock.has_ended(replace(driver, token="word"))


@linux
def test_what_is_known_of_a_living_process(process):
    driver = driver_of(process)
    assert not lock.has_ended(replace(driver, process_started=driver.process_started - 3600))
    assert lock.has_ended(with_mark(driver, ticks="1")), "its id was given to a new process"
    assert not lock.has_ended(with_mark(driver, namespace="pid:[1]", ticks="1"))
    assert not lock.has_ended(with_mark(driver, machine="a", boot="b", ticks="1"))
    assert not lock.has_ended(with_mark(driver, machine="-", boot="b", ticks="1"))


@linux
def test_a_restart_of_the_machine_ends_its_processes_but_not_those_of_containers(process):
    driver = driver_of(process)
    first = with_mark(driver, namespace=lock._FIRST, machine="m", boot="b")
    me = with_mark(driver, namespace=lock._FIRST, machine="m", boot="c")
    assert lock._has_ended(first, me)
    assert not lock._has_ended(first, with_mark(me, machine="another"))
    inside = [with_mark(d, namespace="pid:[4026532571]") for d in (first, me)]
    assert not lock._has_ended(*inside)


@linux
def test_a_killed_process_that_nobody_has_waited_for_is_dead(process):
    driver = driver_of(process)
    process.kill()
    process.stdout.read()  # returns once it has ended; it stays a zombie
    subprocess.run(["sleep", "0.1"], check=True)
    assert lock.has_ended(driver)


@linux
def test_the_same_id_in_another_container_is_another_process():
    storage = MemoryStorage()
    storage.create(make_definition())
    there = with_mark(lock.this_process(), namespace="pid:[1]")
    storage.acquire("lenet", there, None)
    with pytest.raises(StudyLockedError, match=r"cannot be seen from this container.*take_over"):
        lock.acquire(storage, "lenet")
    assert lock.acquire(storage, "lenet", take_over=True) == storage.studies()[0].driver
