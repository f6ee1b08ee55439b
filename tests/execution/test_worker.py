"""A trial in a worker process can do with processes what a plain script can."""

import subprocess
import sys

import pytest

import helpers_warm

METHODS = ("fork", "spawn", "forkserver")

PLAIN = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import evotune as et

OFFSET = None

class Point:
    def __init__(self, x):
        self.x = x

def start(offset):
    global OFFSET
    OFFSET = offset

def shifted(point):
    return Point(point.x + OFFSET)

def put(queue, point):
    queue.put(Point(point.x + 1))

def train(trial):
    context = multiprocessing.get_context(trial.params["method"])
    with context.Pool(1, start, (10,)) as pool:
        of_pool = [point.x for point in pool.map(shifted, [Point(1), Point(2)])]
    with ProcessPoolExecutor(1, context, start, (20,)) as pool:
        of_executor = [point.x for point in pool.map(shifted, [Point(1)])]
    queue = context.Queue()
    process = context.Process(target=put, args=(queue, Point(1)))
    process.start()
    of_process = queue.get(timeout=60).x
    process.join()
    assert (of_pool, of_executor, of_process) == ([11, 12], [21], 2)
    return process.exitcode

if __name__ == "__main__":
    space = et.Space(method=et.Choice("fork", "spawn", "forkserver"))
    with et.Study(et.Grid(space), "min y") as study:
        study.run(train, executor=et.ProcessExecutor(2), max_failures=1)
    for trial in study.trials:
        print(trial.params["method"], trial.failure.traceback if trial.failure else "done")
"""


@pytest.fixture
def run(tmp_path):
    def run(script, modules=helpers_warm.STUDY):
        (tmp_path / "script.py").write_text(script)
        done = helpers_warm.run("script.py", cwd=tmp_path, timeout=120, modules=modules)
        return done.stdout + done.stderr

    return run


@pytest.mark.parametrize("arguments", [("script.py",), ("-m", "script")], ids=["file", "module"])
def test_processes_of_every_method_find_what_is_in_the_main_script(tmp_path, arguments):
    (tmp_path / "script.py").write_text(PLAIN)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert sorted(lines) == sorted(f"{method} done" for method in METHODS)


LOADING = """
import multiprocessing
import torch
from torch.utils.data import DataLoader, Dataset
import evotune as et

class Numbers(Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, index):
        return torch.tensor(float(index))

numbers = Numbers()

def train(trial):
    loader = DataLoader(
        numbers, 4, num_workers=1, multiprocessing_context=trial.params["method"], timeout=60
    )
    return sum(batch.sum().item() for batch in loader)
"""
STUDY = """
executor = et.ProcessExecutor(1)
with et.Study(et.Grid(et.Space(method=et.Choice({methods}))), "min y") as study:
    study.run(train, executor=executor, max_failures=1)
print([trial.failure.traceback if trial.failure else trial.metrics["y"] for trial in study.trials])
"""


def test_data_loaders_with_workers_need_no_main_guard_by_the_default_method(run):
    pytest.importorskip("torch")
    script = LOADING + STUDY.format(methods="None, 'fork'")
    assert run(script, helpers_warm.TRAINING).strip() == "[28.0, 28.0]"


def test_a_supervised_task_loads_its_data_with_workers_of_other_methods(run):
    pytest.importorskip("torch")
    script = (
        "import torch\n"
        "import evotune as et\n"
        "from torch.utils.data import DataLoader, Dataset\n"
        "class Numbers(Dataset):\n"
        "    def __len__(self):\n"
        "        return 16\n"
        "    def __getitem__(self, index):\n"
        "        return torch.full((2,), float(index)), index % 2\n"
        "def loader(method):\n"
        "    return DataLoader(Numbers(), 8, num_workers=1, multiprocessing_context=method)\n"
        "if __name__ == '__main__':\n"
        "    task = et.SupervisedTask(\n"
        "        lambda params: torch.nn.Linear(2, 2), loss='cross_entropy', optimizer='sgd',\n"
        "        train=loader('spawn'), validation=loader('forkserver'), epochs=1)\n"
        "    space = et.Space(lr=et.Float(1e-4, 1e-2))\n"
        "    study = et.Study(et.RandomSearch(space), 'min loss', seed=1)\n"
        "    study.run(task, trials=1, executor=et.ProcessExecutor(1))\n"
        "    print(study.counts['done'])\n"
    )
    assert run(script, helpers_warm.TRAINING).strip() == "1"


def test_start_method_is_that_of_the_driver(run):
    script = (
        "import multiprocessing\n"
        "import evotune as et\n"
        "def train(trial):\n"
        "    assert multiprocessing.get_start_method() == 'spawn'\n"
        "    assert multiprocessing.current_process().name == 'MainProcess'\n"
        "    return 1.0\n"
        "multiprocessing.set_start_method('spawn')\n"
        "study = et.Study(et.RandomSearch(et.Space(x=et.Float(0, 1))), 'min y')\n"
        "study.run(train, trials=1, executor=et.ProcessExecutor(1))\n"
        "print(study.best.metrics['y'])\n"
    )
    assert run(script).strip() == "1.0"


def test_script_without_a_main_guard_says_what_is_missing_where_it_runs_again(run):
    script = (
        "import multiprocessing\n"
        "import evotune as et\n"
        "def train(trial):\n"
        "    process = multiprocessing.get_context('spawn').Process(target=train, args=(trial,))\n"
        "    process.start()\n"
        "    process.join()\n"
        "    return process.exitcode\n"
        "study = et.Study(et.RandomSearch(et.Space(x=et.Float(0, 1))), 'min y')\n"
        "study.run(train, trials=1, executor=et.ProcessExecutor(1))\n"
        "print(study.best.metrics['y'])\n"
    )
    said = run(script)
    assert said.splitlines()[0] == "1.0" or said.splitlines()[-1] == "1.0"
    assert 'write if __name__ == "__main__":' in said


def test_joblib_in_a_worker(run):
    script = (
        "import evotune as et\n"
        "from joblib import Parallel, delayed\n"
        "def double(x):\n"
        "    return 2 * x\n"
        "def train(trial):\n"
        "    return sum(Parallel(2)(delayed(double)(x) for x in range(4)))\n"
        "study = et.Study(et.RandomSearch(et.Space(x=et.Float(0, 1))), 'min y')\n"
        "study.run(train, trials=1, executor=et.ProcessExecutor(1))\n"
        "print(study.best.metrics['y'])\n"
    )
    # On a busy machine, what cleans up after joblib is ended before it is done, and says so.
    assert run(script).splitlines()[0] == "12.0"
