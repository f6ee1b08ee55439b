"""The fault table: what a study must outlive, and come out as if nothing had happened.

    python tests/faults/fault_table.py --seeds 10      # all rows at ten seeds each, and a summary

Each row is a kind of fault with the moments, executors and storages at which it may strike; a seed
draws one of each, and where. A study is run in a process of its own, struck once, run again as
often as needed, and compared with one that was never disturbed.
"""

import argparse
import functools
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import helpers_warm  # noqa: E402
from helpers_postgres import own_schema  # noqa: E402
from helpers_study import decisions  # noqa: E402

POSTGRES = os.environ.get("EVOTUNE_POSTGRES_URL", "")
IN_TRIAL = ("start", "middle", "end")
AT_COMMIT = ("before commit", "after commit")
BOTH = ("inline", "processes")
#: No fault needs more.
RUNS = 4
SECONDS = 60


@dataclass(frozen=True)
class Row:
    """One kind of fault.

    Attributes:
        fault: Name in `strikes.STRIKES`, or of the change between two runs.
        moments: Where it may strike.
        executors: With which executors.
        storages: With which storages.
        between: Changes the folder after a run that was killed, or ended by an error; returns what
            is different in the plan from now on.
        kills: The run before that change is killed, and not struck by the fault itself.
    """

    fault: str
    moments: tuple[str, ...] = IN_TRIAL
    executors: tuple[str, ...] = BOTH
    storages: tuple[str, ...] = ("sqlite", "postgres")
    between: Callable[[Path], dict[str, object]] | None = None
    kills: bool = True

    @property
    def usable(self) -> list[str]:
        """The storages that are there."""
        return [storage for storage in self.storages if storage != "postgres" or POSTGRES]


@functools.cache
def undisturbed():
    """Return the decisions of the study that nothing happens to."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FAULT_PLAN"] = str(
            _write_plan(Path(folder), {"fault": "", "moment": "", "number": 0})
        )
        import fault_driver as driver

        study = driver.study("memory")
        study.run(driver.train, epochs=driver.EPOCHS)
        return decisions(study)


def survive(row: Row, seed: int, folder: Path) -> int:
    """Strike a study, run it until it is complete, and return how many runs that took.

    Raises:
        AssertionError: It never completed, differs from the undisturbed one, or left something.
    """
    folder.mkdir(exist_ok=True)
    rng = random.Random(f"{row.fault} {seed}")
    storages = row.usable
    executor, moment = rng.choice(row.executors), rng.choice(row.moments)
    with _storage(rng.choice(storages), folder) as storage:
        plan = {
            "fault": "driver killed" if row.between and row.kills else row.fault,
            "moment": moment,
            "number": rng.randint(3 if row.kills else 6, 15),  # before 6 nothing was recorded
            "storage": storage,
            "workers": 1 if executor == "inline" else 2,
            "folder": str(folder),
        }
        said = ""
        for runs in range(1, RUNS + 1):
            environment = os.environ | {
                "FAULT_PLAN": str(_write_plan(folder, plan)),
                "PYTHONPATH": os.pathsep.join(
                    [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
                ),
                "PYTHONHASHSEED": str(rng.randint(0, 1000)),
                "OMP_NUM_THREADS": "1",
            }
            output = _run(environment, plan["folder"], hash_seed=runs % 2)
            said += f"--- run {runs}\n{output}"
            if output.endswith("finished\n"):
                break
            if row.between and runs == 1:
                try:
                    plan |= row.between(folder)
                except (OSError, ValueError) as error:
                    raise AssertionError(
                        f"{row.fault} ({executor}, {plan}): {error}\n{said}"
                    ) from error
        else:
            raise AssertionError(f"{row.fault} ({executor}, {moment}, {plan}): not done\n{said}")
        assert Path(plan["folder"], "struck").exists(), f"{row.fault}: nothing was struck\n{said}"
        _compare(plan, f"{row.fault} ({executor}, {moment}, {plan})\n{said}")
    return runs


def _run(environment: dict[str, str], folder: str, hash_seed: int) -> str:
    script, modules = HERE / "fault_driver.py", (*helpers_warm.STUDY, "numpy", "helpers_postgres")
    program = helpers_warm.start(
        script, cwd=folder, env=environment, modules=modules, hash_seed=hash_seed
    )
    try:
        program.wait(SECONDS)
    except subprocess.TimeoutExpired as error:
        program.kill()
        raise AssertionError(f"still running after {SECONDS} s") from error
    _wait_for_the_rest(program.pid, environment["FAULT_PLAN"])
    output, errors = program.communicate()
    return (errors + output)[-5000:]


def _wait_for_the_rest(session: int, plan: str) -> None:
    deadline = time.monotonic() + 15
    while left := list(_processes_of(session, plan)):
        if time.monotonic() > deadline:
            for process in left:
                process.kill()
            raise AssertionError(f"outlived its driver: {left}")
        time.sleep(0.05)


def _processes_of(session: int, plan: str) -> Iterator[psutil.Process]:
    """Yield the forks of a driver, and the interpreters that it has started."""
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("FAULT_PLAN") == plan or os.getsid(process.pid) == session
            if ours and "python" in process.name() and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.Error, OSError):
            continue


def _compare(plan: dict[str, str], said: str) -> None:
    import fault_driver as driver

    storage = plan["storage"]
    where = storage if "://" in storage else Path(plan["folder"], storage)
    with driver.study(where, plan.get("checkpoints")) as study:
        found, expected = decisions(study), undisturbed()
        for ours, theirs in zip(found, expected, strict=False):
            assert ours == theirs, said
        assert len(found) == len(expected), said
    left = [path for path in Path(plan["folder"]).rglob("*.tmp") if path.is_file()]
    assert not left, f"{said}left behind: {left}"


def _write_plan(folder: Path, plan: dict[str, object]) -> Path:
    path = folder / "plan.json"
    path.write_text(json.dumps({"folder": str(folder)} | plan))
    return path


@contextmanager
def _storage(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield str(folder / "runs.db")
        return
    with own_schema(POSTGRES) as url:
        yield url


# -- what happens to files between two runs ---------------------------------------------------


def _rename(folder: Path) -> dict[str, object]:
    for path in folder.glob("runs.db*"):
        if path.is_file():
            path.rename(path.with_name(path.name.replace("runs.db", "other.db")))
    return {"storage": str(folder / "other.db")}


def _link(folder: Path) -> dict[str, object]:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "link.db").symlink_to(folder / "runs.db")
    return {"storage": str(folder / "elsewhere" / "link.db")}


def _link_folder(folder: Path) -> dict[str, object]:
    folder.with_name(f"{folder.name}-link").symlink_to(folder)
    return {"storage": str(folder.with_name(f"{folder.name}-link") / "runs.db")}


def _move_folder(folder: Path) -> dict[str, object]:
    moved = folder.with_name(f"{folder.name}-moved")
    shutil.copytree(folder, moved)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {"storage": str(moved / "runs.db"), "folder": str(moved)}


def _relative(folder: Path) -> dict[str, object]:
    return {"storage": os.path.relpath(folder / "runs.db", folder)}


def _without_log(folder: Path) -> dict[str, object]:
    for path in itertools.chain(folder.glob("*-wal"), folder.glob("*-shm")):
        path.unlink()
    return {}


def _leftovers(folder: Path) -> dict[str, object]:
    for weights in list(folder.rglob("trial-*.safetensors")):
        weights.with_name(f"{weights.name}.0123abcd.tmp").write_bytes(b"half")
    return {}


def _use_rescued(folder: Path) -> dict[str, object]:
    (rescued,) = folder.glob("runs.db.rescued*.db")
    return {"storage": str(rescued), "checkpoints": str(folder / "runs.db.checkpoints")}


SQLITE, POSTGRES_ONLY = ("sqlite",), ("postgres",)
FAULTS = [
    Row("driver killed"),
    Row("driver killed", moments=AT_COMMIT),
    Row("driver terminated", moments=IN_TRIAL + AT_COMMIT),
    Row("driver hung up"),
    Row("driver interrupted", moments=IN_TRIAL + AT_COMMIT),
    Row("driver paused", executors=("processes",)),
    Row("driver killed while a worker holds the interpreter", executors=("processes",)),
    Row("process killed"),
    Row("process crashed"),
    Row("process aborted"),
    Row("process ended with 0"),
    Row("process ended with 1"),
    Row("process paused", executors=("processes",)),
    Row("process spoilt", executors=("processes",)),
    Row("fork that exits", executors=("processes", "inline")),
    Row("fork that ends at once"),
    Row("fork that comes back"),
    Row("threads and programs left behind"),
    Row("other directory"),
    Row("output closed", executors=("processes",)),
    Row("environment cleared"),
    Row("random streams seeded"),
    Row("warnings as errors"),
    Row("floating-point errors raised"),
    Row("no garbage collection"),
    Row("all settings of the process changed"),
    Row("no descriptors left"),
    Row("guard killed", executors=("processes",)),
    Row("disk full for a while", executors=("inline",), storages=SQLITE),
    *(
        Row(harm, AT_COMMIT[1:], storages=SQLITE, between=_use_rescued, kills=False)
        for harm in ("database removed", "database replaced", "database cut short", "log removed")
    ),
    Row("server away for a while", AT_COMMIT, storages=POSTGRES_ONLY),
    Row("connections cut", AT_COMMIT, storages=POSTGRES_ONLY),
    Row("answer of a commit lost", AT_COMMIT, storages=POSTGRES_ONLY),
    Row("database busy", moments=IN_TRIAL + AT_COMMIT[1:], storages=SQLITE),
    Row("odd errors"),
    Row("numbers of other types"),
    Row("database renamed", storages=SQLITE, between=_rename),
    Row("database reached by a link", storages=SQLITE, between=_link),
    Row("folder reached by a link", storages=SQLITE, between=_link_folder),
    Row("folder moved", storages=SQLITE, between=_move_folder),
    Row("relative path", storages=SQLITE, between=_relative),
    Row("write-ahead log lost", storages=SQLITE, between=_without_log),
    Row("half-written weights", storages=SQLITE, between=_leftovers),
    Row("other number of workers", between=lambda _: {"workers": 3}),
    Row("clock set forward", between=lambda _: {"clock": 40 * 86400.0}),
    Row("clock set back", between=lambda _: {"clock": -40 * 86400.0}),
]


def main() -> None:
    """Run all rows at many seeds and print how they came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    from rich.console import Console
    from rich.table import Table

    table = Table("fault", "moments", "struck", "survived", "runs needed")
    for row in FAULTS:
        if options.only not in row.fault or not row.usable:
            continue
        needed, failures = Counter(), []
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    needed[survive(row, seed, Path(folder, "study").absolute())] += 1
                except AssertionError as error:
                    failures.append(f"seed {seed}: {error}")
        moments = "between runs" if row.between else ", ".join(row.moments)
        runs = ", ".join(f"{runs}: {count}" for runs, count in sorted(needed.items()))
        table.add_row(row.fault, moments, str(options.seeds), str(needed.total()), runs)
        for failure in failures[:3]:
            print(failure, flush=True)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
