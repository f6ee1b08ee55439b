"""What population-based training costs, beside a plain loop and Ray Tune.

    python benchmarks/population.py                  # everything but Ray, about three minutes
    python benchmarks/population.py toy --ray PYTHON # with Ray 2.60, by the Python that has it
    python benchmarks/population.py kill             # kill -9 at 50 random moments

The toy: 8 small networks on scikit-learn's digits, 20 epochs each, the worst quarter copies the
best quarter every 4 epochs. The plain loop, evotune and Ray run the same training code, one thread,
with the rule of the classic. Medians over repeats; compare ratios.
"""

import argparse
import copy
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import evotune as et
from evotune.checkpoints.store import Checkpoints

console = Console(width=110)
MEMBERS, EPOCHS, INTERVAL = 8, 20, 4


def show(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """Print one table, the first column as text."""
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for row in rows:
        table.add_row(*map(str, row))
    console.print(table)


def verdict(text: str, met: bool) -> None:
    """Print whether a bar is met."""
    console.print(f"  {'met    ' if met else 'MISSED '} {text}\n", style="green" if met else "red")


# -- the toy ---------------------------------------------------------------------------------


def digits() -> list[torch.Tensor]:
    """Return training inputs and labels, validation inputs and labels."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x = torch.tensor(images[order] / 16, dtype=torch.float32)
    y = torch.tensor(labels[order])
    return [x[:1200], y[:1200], x[1200:], y[1200:]]


def network() -> nn.Module:
    """Return an MLP 64-64-64-10."""
    return nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def train_epochs(model: nn.Module, optimizer: Any, data: list[torch.Tensor], epochs: int) -> None:
    """Train on batches of 32 in random order."""
    x, y, _, _ = data
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()


def accuracy(model: nn.Module, data: list[torch.Tensor]) -> float:
    """Return the share of the validation images that is classified right."""
    with torch.no_grad():
        return float((model(data[2]).argmax(1) == data[3]).float().mean())


def sgd(model: nn.Module, genes: dict[str, float]) -> torch.optim.SGD:
    """Return the optimizer of a member."""
    return torch.optim.SGD(model.parameters(), lr=genes["lr"], momentum=genes["momentum"])


def plain_loop(data: list[torch.Tensor], seed: int) -> float:
    """Population-based training as one would write it by hand; return the best accuracy."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    genes = [
        {"lr": float(10 ** rng.uniform(-4, 0)), "momentum": float(rng.uniform(0, 0.99))}
        for _ in range(MEMBERS)
    ]
    models = [network() for _ in range(MEMBERS)]
    optimizers = [sgd(model, own) for model, own in zip(models, genes, strict=True)]
    best = 0.0
    for step in range(EPOCHS // INTERVAL):
        scores = []
        for model, optimizer in zip(models, optimizers, strict=True):
            train_epochs(model, optimizer, data, INTERVAL)
            scores.append(accuracy(model, data))
        best = max(best, *scores)
        if step == EPOCHS // INTERVAL - 1:
            break
        order = np.argsort(scores)[::-1]
        for loser in order[-2:]:
            winner = int(rng.choice(order[:2]))
            models[loser].load_state_dict(models[winner].state_dict())
            genes[loser] = {
                "lr": float(np.clip(genes[winner]["lr"] * rng.choice([0.8, 1.2]), 1e-4, 1)),
                "momentum": float(
                    np.clip(genes[winner]["momentum"] * rng.choice([0.8, 1.2]), 0, 0.99)
                ),
            }
            optimizers[loser].load_state_dict(copy.deepcopy(optimizers[winner].state_dict()))
            optimizers[loser].param_groups[0].update(genes[loser])
    return best


def toy_space() -> et.Space:
    """Return the genes of a member."""
    return et.Space(lr=et.Float(1e-4, 1.0, log=True), momentum=et.Float(0.0, 0.99))


def evotune_toy(data: list[torch.Tensor], seed: int, **options: Any) -> float:
    """Return the best accuracy of the same by evotune."""

    def train(trial: et.RunningTrial) -> float:
        torch.manual_seed(trial.seed)
        model = network()
        optimizer = sgd(model, trial.params)
        trial.resume(model=model, optimizer=optimizer)
        for _ in trial.epochs():
            train_epochs(model, optimizer, data, 1)
        trial.keep(model=model, optimizer=optimizer)
        return accuracy(model, data)

    algorithm = et.PopulationBasedTraining(
        toy_space(), population_size=MEMBERS, interval=INTERVAL, parents=1
    )
    with et.Study(algorithm, "max accuracy", seed=seed, **options) as study:
        study.run(train, epochs=EPOCHS, workers=1)
        return float(study.best.metrics["accuracy"])


def stacked_toy(data: list[torch.Tensor], seed: int) -> float:
    """Return the best accuracy when the population trains as one stacked model."""
    task = et.SupervisedTask(
        lambda params: network(),
        averaging=None,  # of the last weights, as all its results
        loss="cross_entropy",
        optimizer="sgd",
        train=(data[0], data[1]),
        validation=(data[2], data[3]),
        batch_size=32,
    )
    algorithm = et.PopulationBasedTraining(
        toy_space(), population_size=MEMBERS, interval=INTERVAL, parents=1
    )
    study = et.Study(algorithm, "max accuracy", seed=seed)
    study.run(task, epochs=EPOCHS)
    return float(study.best.metrics["accuracy"])


RAY = Path(__file__).with_name("population_ray.py")


def ray_toy(python: str, seed: int) -> dict[str, float]:
    """Run the toy on Ray in a process of its own; return seconds, accuracy and folders left."""
    done = subprocess.run(
        [python, str(RAY), str(seed)], capture_output=True, text=True, timeout=900, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        sys.exit(f"Ray failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(lines[-1]))


def files_left(data: list[torch.Tensor], seed: int) -> int:
    """Return how many checkpoint files a finished study leaves on disk."""
    with tempfile.TemporaryDirectory() as folder:
        evotune_toy(data, seed, storage=f"{folder}/runs.db")
        return len(list(Path(folder).rglob("*.safetensors")))


def toy(repeats: int, ray_python: str | None) -> None:
    """Time and accuracy of the toy."""
    torch.set_num_threads(1)
    data = digits()
    with tempfile.TemporaryDirectory() as folder:
        arms: dict[str, Callable[[int], float]] = {
            "plain loop": lambda seed: plain_loop(data, seed),
            "evotune, inline, in memory": lambda seed: evotune_toy(data, seed),
            "evotune, inline, SQLite and files": lambda seed: evotune_toy(
                data, seed, storage=f"{folder}/{seed}-{time.time_ns()}.db"
            ),
            "evotune, stacked": lambda seed: stacked_toy(data, seed),
        }
        seconds: dict[str, list[float]] = {name: [] for name in arms}
        scores: dict[str, list[float]] = {name: [] for name in arms}
        for arm in arms.values():  # warm up
            arm(0)
        for seed in range(1, repeats + 1):
            for name, arm in arms.items():  # by turns, so that other load hits all alike
                began = time.perf_counter()
                scores[name].append(arm(seed))
                seconds[name].append(time.perf_counter() - began)
    if ray_python:
        runs = [ray_toy(ray_python, seed) for seed in range(1, 4)]
        seconds["Ray Tune 2.60"] = [run["seconds"] for run in runs]
        scores["Ray Tune 2.60"] = [run["accuracy"] for run in runs]
    base = statistics.median(seconds["plain loop"])
    rows = [
        [
            name,
            len(taken),
            f"{statistics.median(taken):.2f}",
            f"{min(taken):.2f}-{max(taken):.2f}",
            f"{statistics.median(taken) / base:.2f}",
            f"{statistics.mean(scores[name]):.3f}",
            f"{min(scores[name]):.3f}-{max(scores[name]):.3f}",
        ]
        for name, taken in seconds.items()
    ]
    columns = ["", "runs", "s, median", "range", "of the loop", "accuracy, mean", "range"]
    show("8 MLPs, 20 epochs, Digits, exploit every 4", columns, rows)
    inline = statistics.median(seconds["evotune, inline, in memory"])
    verdict(f"inline at most 1.2 times the plain loop: {inline / base:.2f}", inline <= 1.2 * base)
    if ray_python:
        ratio = statistics.median(seconds["Ray Tune 2.60"]) / inline
        verdict(f"at least 50 times faster than Ray: {ratio:.0f}", ratio >= 50)
        console.print(f"  checkpoint folders that Ray left: {[int(r['folders']) for r in runs]}")
    left = files_left(data, 1)
    verdict(f"checkpoint files left: {left}, at most members + best", left <= MEMBERS + 1)


# -- inheriting ------------------------------------------------------------------------------


def inherit(repeats: int) -> None:
    """Handing the weights of 100 members of a million parameters to 100 children."""
    torch.set_num_threads(1)
    members, size = 100, 1_000_000
    donors = [torch.randn(size) for _ in range(members)]
    choice = np.random.default_rng(0).integers(members, size=members)
    stacked = torch.stack(donors)
    index, target = torch.as_tensor(choice), torch.empty_like(stacked)
    gathered = _median(lambda: torch.index_select(stacked, 0, index, out=target), repeats)
    with tempfile.TemporaryDirectory() as folder:
        store = Checkpoints(folder)
        store.open("inherit")
        began = time.perf_counter()
        records = []
        for number, donor in enumerate(donors):
            kept = store.keep(number, {"model": {"weight": donor}}, 1.0)
            records.append(store.write(number, kept))
            store.forget(number)
        written = time.perf_counter() - began
        own = torch.empty(size)

        def read() -> None:
            for number in choice.tolist():
                state, _ = store.load(number, records[number])
                own.copy_(state["model"]["weight"])

        loaded = _median(read, max(repeats // 2, 2))
    show(
        "100 members of 1 M float32 parameters",
        ["", "s"],
        [
            ["stacked: a gather on the first axis", f"{gathered:.3f}"],
            ["through files: read, verify, load", f"{loaded:.2f}"],
            ["through files: write, hash, fsync", f"{written:.2f}"],
        ],
    )
    verdict(f"stacked at most 50 ms: {1000 * gathered:.0f} ms", gathered <= 0.05)
    verdict(f"through files at most 1 s: {loaded:.2f} s", loaded <= 1.0)


def _median(work: Callable[[], Any], repeats: int) -> float:
    work()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


# -- kill -9 ---------------------------------------------------------------------------------

MEMBER = """
import sys
sys.path.insert(0, {here!r})
import torch
import evotune as et
from population import MEMBERS, digits, network, sgd, toy_space, train_epochs, accuracy

torch.set_num_threads(1)
data = digits()

def train(trial):
    open({log!r}, "a").write(f"{{trial.number}}\\n")
    torch.manual_seed(trial.seed)
    model = network()
    optimizer = sgd(model, trial.params)
    trial.resume(model=model, optimizer=optimizer)
    for _ in trial.epochs():
        train_epochs(model, optimizer, data, 1)
    trial.keep(model=model, optimizer=optimizer)
    return accuracy(model, data)

store = et.Checkpoints({weights!r}, quota={quota})
algorithm = et.PopulationBasedTraining(toy_space(), population_size=MEMBERS, interval=1)
study = et.Study(algorithm, "max accuracy", storage={db!r}, seed=3, checkpoints=store)
study.run(train, epochs={epochs}, workers=1, deterministic=True)
print("finished", [(t.number, t.state, t.weights_from, t.values) for t in study.trials])
"""


def kill(kills: int) -> None:
    """Kill a run with files at random moments until it is done, with and without a quota."""
    rows, whole, fits = [], True, True
    size = 2 * 4 * sum(p.numel() for p in network().parameters()) + 2500  # with momentum
    for quota in (None, int(1.5 * MEMBERS * size)):
        with tempfile.TemporaryDirectory() as folder:
            never = _run_killed(Path(folder) / "never", 0, quota)[1]
            done, ended, largest = _run_killed(Path(folder) / "killed", kills, quota)
        same = ended == never and "failed" not in ended
        within = quota is None or largest <= quota
        whole, fits = whole and same and done == kills, fits and within
        rows.append(
            [
                "none" if quota is None else f"{quota:,} bytes",
                done,
                "yes" if same else "NO",
                f"{largest:,}",
            ]
        )
    columns = ["quota", "kills", "same members as a run never killed, none failed", "most on disk"]
    show("kill -9 at random moments of a run with files", columns, rows)
    verdict(f"every restart went on, after {kills} kills, and ended alike", whole)
    verdict("the quota of 1.5 times the population was kept", fits)


def _run_killed(folder: Path, kills: int, quota: int | None) -> tuple[int, str, int]:
    folder.mkdir()
    log, weights = folder / "log", folder / "weights"
    script = folder / "member.py"
    script.write_text(
        MEMBER.format(
            here=str(Path(__file__).parent),
            log=str(log),
            weights=str(weights),
            db=str(folder / "runs.db"),
            quota=quota,
            epochs=20,
        )
    )
    rng, done, largest = random.Random(1), 0, 0
    while True:
        process = subprocess.Popen(
            [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        if done < kills:
            before = _bytes(log)
            while process.poll() is None and _bytes(log) == before:
                time.sleep(0.002)
            time.sleep(rng.uniform(0.0, 0.12))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                done += 1
        else:
            while process.poll() is None:
                largest = max(largest, _on_disk(weights))
                time.sleep(0.005)
        output, _ = process.communicate()
        largest = max(largest, _on_disk(weights))
        if "finished" in output:
            return done, output, largest
        if process.returncode != -signal.SIGKILL:
            sys.exit(f"a restart failed after {done} kills")


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _on_disk(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*.safetensors"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # removed in the meantime
            continue
    return total


def main() -> None:
    """Run the parts that were named, or all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=[], help="toy, inherit, kill")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--ray", help="a Python that has ray[tune] 2.60 and torch")
    given = parser.parse_args()
    parts = given.parts or ["toy", "inherit", "kill"]
    for part in parts:
        if part == "toy":
            toy(given.repeats, given.ray)
        elif part == "inherit":
            inherit(given.repeats)
        elif part == "kill":
            kill(given.kills)
        else:
            sys.exit(f"there is no part {part!r}; choose toy, inherit or kill")


if __name__ == "__main__":
    main()
