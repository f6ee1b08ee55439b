"""Resuming: exactly the same study, whatever killed it and whenever."""

import gc
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy

import evotune as et
import helpers_warm
from evotune.errors import StudyLockedError
from evotune.storage import open_storage
from helpers_study import decisions, small_space, train

TRIALS = 60

DRIVER = """
import sys, time
sys.path.insert(0, {tests!r})
import evotune as et
from helpers_study import small_space, train

def slow(trial):
    with open({log!r}, "a") as log:
        log.write(f"{{trial.number}}\\n")
    time.sleep(0.002 + (trial.seed % 7) / 1000)
    if trial.number % 11 == 5:
        raise RuntimeError("planned")
    return train(trial)

algorithm = {algorithm}
study = et.Study(algorithm, "min loss", storage="sqlite:///{db}", name="killed", seed=7)
study.run(slow, trials={trials}, workers={workers})
print("finished")
"""

ALGORITHMS = {
    "genetic": "et.Genetic(small_space(), population_size=8)",
    "steady-state": "et.Genetic(small_space(), population_size=8, steady_state=True)",
    "strategy": "et.EvolutionStrategy(small_space(), parents=3)",
}


def undisturbed(kind):
    def planned(trial):
        if trial.number % 11 == 5:
            raise RuntimeError("planned")
        return train(trial)

    names = {"et": et, "small_space": small_space}
    algorithm = eval(ALGORITHMS[kind], names)
    return et.Study(algorithm, "min loss", seed=7).run(planned, TRIALS)


def kill_until_finished(folder: Path, kind: str, workers: int, pause: tuple[float, float]):
    """Run the driver again and again, killing it after a random time; return how often."""
    script = folder / "driver.py"
    script.write_text(
        DRIVER.format(
            tests=str(Path(__file__).parents[1]),
            log=str(folder / "log"),
            trials=TRIALS,
            db=folder / "runs.db",
            algorithm=ALGORITHMS[kind],
            workers=workers,
        )
    )
    rng, kills = random.Random(kind + str(workers)), 0
    while True:
        process = helpers_warm.start(script)
        if kills < 3:
            # The clock starts once trials run, so that every kill falls into the loop.
            size = _size(folder / "log")
            while process.poll() is None and _size(folder / "log") == size:
                time.sleep(0.002)
            time.sleep(rng.uniform(*pause))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
        out, _ = process.communicate()
        if "finished" in out:
            return kills
        assert process.returncode == -signal.SIGKILL


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize(
    ("kind", "workers"), [("genetic", 1), ("steady-state", 1), ("strategy", 1), ("genetic", 2)]
)
def test_killed_at_random_moments_it_ends_as_if_never_killed(tmp_path, kind, workers):
    kills = kill_until_finished(tmp_path, kind, workers, pause=(0.0, 0.08))
    assert kills >= 2
    algorithm = eval(ALGORITHMS[kind], {"et": et, "small_space": small_space})
    with et.Study(algorithm, "min loss", storage=tmp_path / "runs.db", name="killed") as study:
        assert len(study.trials) == TRIALS
        assert set(study.counts) == {"done", "failed"}
        expected = decisions(undisturbed(kind))
        assert decisions(study) == expected
    evaluated = [int(line) for line in (tmp_path / "log").read_text().split()]
    assert set(evaluated) == set(range(TRIALS))
    # Only what was running at a kill runs again, no finished trial does.
    assert len(evaluated) <= TRIALS + kills * workers


@pytest.mark.parametrize("cut", [1, 7, 20, 33])
def test_stopped_and_continued_in_pieces_it_is_the_same_study(tmp_path, cut):
    url = f"sqlite:///{tmp_path}/runs.db"
    whole = et.Study(et.Genetic(small_space(), population_size=8), "min loss", seed=3)
    whole.run(train, trials=40)
    for trials in (cut, 40):
        algorithm = et.Genetic(small_space(), population_size=8)
        with et.Study(algorithm, "min loss", storage=url, seed=3) as study:
            study.run(train, trials=trials)
            result = decisions(study)
    assert result == decisions(whole)


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_gives_the_same_study(workers):
    def uneven(trial):
        time.sleep((trial.seed % 5) / 500)
        return train(trial)

    make = lambda: et.Study(et.Genetic(small_space(), population_size=8), "min loss", seed=4)  # noqa: E731
    assert decisions(make().run(uneven, 40, workers=workers)) == decisions(make().run(uneven, 40))


def test_steady_state_in_order_is_repeatable_with_two_workers():
    def uneven(trial):
        time.sleep((trial.seed % 5) / 500)
        return train(trial)

    def once():
        algorithm = et.Genetic(small_space(), population_size=6, steady_state=True)
        study = et.Study(algorithm, "min loss", seed=4)
        return decisions(study.run(uneven, 30, workers=2, deterministic=True))

    assert once() == once()


def test_another_algorithm_can_go_on_with_an_old_study(tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"
    with et.Study(et.RandomSearch(small_space()), "min loss", storage=url, seed=3) as study:
        study.run(train, trials=30)
        before = study.best.values
    for make in (et.Genetic, et.EvolutionStrategy):
        with et.Study(make(small_space()), "min loss", storage=url) as study:
            assert study.best.values <= before
            study.run(train, trials=len(study.trials) + 40)
            assert len(study.trials) >= 70


def test_async_results_replay_in_the_order_of_arrival(tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"

    def make():
        algorithm = et.Genetic(small_space(), population_size=5, steady_state=True)
        return et.Study(algorithm, "min loss", storage=url, seed=3)

    with make() as study:
        running = [study.ask() for _ in range(4)]
        for trial in (running[2], running[0]):
            study.tell(trial, train(trial)["loss"])
        running += [study.ask()]
        for trial in (running[4], running[1], running[3]):
            study.tell(trial, train(trial)["loss"])
        population = [t.number for t in study.algorithm.population]
        upcoming = study.ask()
    with make() as again:
        assert [t.number for t in again.algorithm.population] == population
        repeated = again.ask()
        assert (repeated.number, repeated.genome) == (upcoming.number, upcoming.genome)


def _wait_for_trials(path, count, seconds=60.0):
    deadline = time.monotonic() + seconds
    while _done(path) < count:
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)


def _done(path):
    return open_storage(path).studies()[0].counts.get("done", 0) if path.exists() else 0


def test_ctrl_c_keeps_finished_trials_and_leaves_no_trial_running(tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(
        "import evotune as et, time\n"
        "def train(trial):\n"
        "    time.sleep(0.05); return trial.params['x']\n"
        "study = et.Study(et.Genetic(et.Space(x=et.Float(0, 1))), 'min loss',\n"
        f"                 storage='sqlite:///{tmp_path}/runs.db', seed=1)\n"
        "print('running', flush=True)\n"
        "study.run(train, trials=1000, workers=WORKERS)\n"
        "print(study.stop_reason, len(study.trials), flush=True)\n"
    )
    for workers, enough in ((1, 15), (2, 30)):
        text = script.read_text().replace("WORKERS", str(workers))
        process = subprocess.Popen(
            [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        process.stdout.readline()
        _wait_for_trials(tmp_path / "runs.db", enough)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert out.startswith("interrupted")
        assert "Traceback" not in err
    algorithm = et.Genetic(et.Space(x=et.Float(0, 1)))
    with et.Study(algorithm, "min loss", storage=tmp_path / "runs.db") as study:
        assert study.counts["done"] >= 30
        assert "running" not in study.counts


# -- one driver -----------------------------------------------------------------------------------


def test_a_second_driver_is_refused_and_told_who_drives(tmp_path):
    db = tmp_path / "runs.db"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import evotune as et, sys\n"
            "a = et.RandomSearch(et.Space(x=et.Float(0, 1)))\n"
            f"s = et.Study(a, 'min loss', storage={str(db)!r})\n"
            "s.run(lambda t: t.params['x'], trials=3)\n"
            "print('ready', flush=True); sys.stdin.readline()\n"
            "try:\n    s.run(lambda t: t.params['x'], trials=9)\n"
            "except Exception as e: print(type(e).__name__, e)\n",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "ready\n"
    make = lambda **o: et.Study(  # noqa: E731
        et.RandomSearch(et.Space(x=et.Float(0, 1))), "min loss", storage=db, **o
    )
    watching = make()
    assert len(watching.trials) == 3  # looking is allowed
    for attempt in (lambda: watching.run(lambda t: 1.0, trials=5), watching.ask):
        with pytest.raises(StudyLockedError) as caught:
            attempt()
        assert f"process {holder.pid}" in str(caught.value)
        assert "since" in str(caught.value)
        assert "take_over=True" in str(caught.value)
    with make(take_over=True) as second:
        second.run(lambda t: t.params["x"], trials=6)
        assert len(second.trials) == 6
        out, _ = holder.communicate("go\n", timeout=20)
        assert out.startswith("StudyLockedError")  # the first one's write was fenced off
    with make() as third:
        assert len(third.trials) == 6


def test_a_driver_on_another_host_needs_an_explicit_take_over(tmp_path, monkeypatch):
    db = tmp_path / "runs.db"
    make = lambda **o: et.Study(  # noqa: E731
        et.RandomSearch(et.Space(x=et.Float(0, 1))), "min loss", storage=db, **o
    )
    with monkeypatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "node17")
        away = make()
    here = make()
    with pytest.raises(StudyLockedError, match="node17"):
        here.run(lambda t: 1.0, trials=1)
    with make(take_over=True) as mine:
        mine.run(lambda t: 1.0, trials=1)
    with pytest.raises(StudyLockedError):
        away.run(lambda t: 1.0, trials=3)


def test_an_idle_driver_of_this_process_gives_way(tmp_path):
    make = lambda: et.Study(  # noqa: E731
        et.RandomSearch(et.Space(x=et.Float(0, 1))), "min loss", storage=tmp_path / "runs.db"
    )
    first = make()
    first.ask()
    second = make()
    second.run(lambda t: 1.0, trials=3)
    with pytest.raises(StudyLockedError):
        first.ask()


def test_a_closed_study_can_be_read_but_not_driven():
    study = et.Study(et.RandomSearch(small_space()), "min loss").run(train, trials=3)
    study.close()
    study.close()
    assert study.best is not None
    with pytest.raises(ValueError, match="closed"):
        study.run(train, trials=5)


class Together(et.InlineExecutor):
    """Hands results over in batches that a seed decides, as a loaded machine would."""

    def __init__(self, capacity, seed):
        self.size, self.rng = capacity, random.Random(seed)
        self.held = []

    capacity = property(lambda self: self.size)

    def open(self, evaluate):
        self.evaluate = evaluate

    def submit(self, trial):
        self.held.append(trial)

    def collect(self, timeout=None):
        count = self.rng.randint(1, len(self.held))
        self.rng.shuffle(self.held)
        batch, self.held = self.held[:count], self.held[count:]
        return [(t.number, et.Outcome(train(t))) for t in batch]

    def close(self):
        self.held = []


@pytest.mark.parametrize("steady_state", [True, False])
@pytest.mark.parametrize("workers", [2, 5])
def test_the_order_of_arrival_does_not_matter_in_a_deterministic_study(steady_state, workers):
    def once(seed, pieces, url=None):
        for trials in pieces:
            algorithm = et.Genetic(small_space(), population_size=6, steady_state=steady_state)
            study = et.Study(algorithm, "min loss", seed=4, storage=url)
            executor = Together(workers, seed)
            study.run(train, trials, executor=executor, deterministic=True)
            study.close()
        return decisions(study)

    expected = once(0, [40])
    for seed in range(1, 12):
        assert once(seed, [40]) == expected


@pytest.mark.parametrize("cut", [3, 9, 21])
def test_an_ordered_run_interrupted_amid_a_batch_goes_on_the_same(tmp_path, cut):
    """The driver dies after results were recorded and before any of them was told."""

    def once(url, break_at):
        def breaking(study, trial):
            if trial.number == break_at:
                raise KeyError("as if killed")

        for stop in (True, False) if break_at is not None else (False,):
            algorithm = et.Genetic(small_space(), population_size=6, steady_state=True)
            study = et.Study(algorithm, "min loss", seed=4, storage=url)
            callbacks = [breaking] if stop else []
            options = {"executor": Together(3, 8), "deterministic": True, "callbacks": callbacks}
            with suppress(KeyError):
                study.run(train, 40, **options)
            study.close()
        return decisions(study)

    assert once(tmp_path / "runs.db", cut) == once(None, None)


def test_a_study_that_is_dropped_amid_another_ones_write_does_not_block_it(tmp_path):
    """The garbage collector may come at any moment, also while the database is locked."""
    storage = tmp_path / "runs.db"
    space = et.Space(x=et.Float(0, 1))
    dropped = [et.Study(et.RandomSearch(space), "min loss", storage=storage, name="first")]
    second = et.Study(et.RandomSearch(space), "min loss", storage=storage, name="second")

    @sqlalchemy.event.listens_for(second.storage._writer, "begin")
    def collect(connection):
        dropped.clear()
        gc.collect()

    began = time.monotonic()
    second.run(lambda t: t.params["x"], trials=2)
    assert time.monotonic() - began < 20
    et.Study(et.RandomSearch(space), "min loss", storage=storage, name="third")
    holders = {s.definition.name: s.driver for s in open_storage(storage).studies()}
    assert holders["first"] is None


def test_going_on_with_another_algorithm_says_so(tmp_path, caplog):
    for population in (6, 8):
        algorithm = et.Genetic(small_space(), population_size=population)
        with et.Study(algorithm, "min loss", storage=tmp_path / "runs.db") as study:
            study.run(train, trials=10)
    assert "population_size=6" in caplog.text
    assert "resumes with" in caplog.text


class _Listener:
    """A population whose every word is kept: what it was told when trials started."""

    def __init__(self):
        self.inside = et.PopulationBasedTraining(small_space(), population_size=3)
        self.space, self.heard = self.inside.space, []

    @property
    def traits(self):
        return self.inside.traits

    def ask(self, rng):
        return self.inside.ask(rng)

    def tell(self, trial):
        if not trial.has_ended:
            self.heard.append(trial)
        self.inside.tell(trial)

    def donors(self):
        return self.inside.donors()


def test_a_resumed_algorithm_hears_of_each_start_what_it_heard_live(tmp_path):
    """Every field: origin, note, parents, donor; a record made by hand may forget one."""
    live, again = _Listener(), _Listener()
    study = et.Study(live, "min loss", storage=tmp_path / "runs.db", seed=1)
    for _ in range(8):
        trial = study.ask()
        study.tell(trial, train(trial))
    study.close()
    et.Study(again, "min loss", storage=tmp_path / "runs.db").close()
    assert any(trial.origin.mutated for trial in live.heard)
    assert again.heard == live.heard
