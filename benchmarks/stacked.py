"""A population trained as one stacked model, beside the same members trained one by one.

    python benchmarks/stacked.py            # everything that this machine can run
    python benchmarks/stacked.py mlp        # one part: mlp, lenet, inherit, runs, ...

Both ways train the same `SupervisedTask` in one thread, in turn, after a run that warms up.
Compared are the seconds inside the epochs (data, forward, backward, optimizer), medians over
repeats; the last column is about all of it, with building, keeping and measuring too. The parts
`runs`, `lenet-runs` and `hundred` compare whole runs: ``study.run`` of a population over ten
generations, in seconds of the processor. Compare ratios between machines, not milliseconds.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import evotune as et
from evotune.checkpoints.handover import TrialWeights
from evotune.checkpoints.store import Checkpoints
from evotune.protocols import Executor
from evotune.running import RunningTrial
from evotune.training.averaging import Averaging
from evotune.training.stacked.groups import Member
from evotune.training.stacked.together import train_together
from evotune.training.stacked.training import Stack
from evotune.training.stacked.weights import keep, resume
from evotune.training.task import SupervisedTask
from evotune.trial import Checkpoint, Trial

console = Console(width=110)
REPEATS = 7
STEPS = 8
GENERATIONS = 10
RUNS = 3


def mlp() -> nn.Module:
    """Return the perceptron 64-64-64-10."""
    return nn.Sequential(
        *(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    )


def lenet() -> nn.Module:
    """Return a LeNet for images of 28 x 28."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def task(
    make: Callable[[], nn.Module],
    shape: Sequence[int],
    batch: int,
    device: str = "cpu",
    *,
    examples: int | None = None,
    averaging: Averaging | None = None,  # of the last weights, as all results but those named
) -> SupervisedTask:
    """Return a task of one epoch of random data."""
    measured = batch if examples is None else examples // 2
    examples = examples or STEPS * batch
    data: tuple[Tensor, Tensor] = torch.randn(examples, *shape), torch.randint(10, (examples,))
    return SupervisedTask(
        lambda params: make(),
        averaging=averaging,
        loss="cross_entropy",
        optimizer="sgd",
        train=data,
        validation=tuple(part[:measured] for part in data),
        batch_size=batch,
        epochs=1,
        device=device,
    )


def handles(count: int) -> list[RunningTrial]:
    """Return trials that differ in seed and learning rate."""
    genes = [{"lr": 0.01 * (1 + n / count), "momentum": 0.9} for n in range(count)]
    return [RunningTrial(Trial(n, g, g, seed=n)) for n, g in enumerate(genes)]


def one_by_one(work: SupervisedTask, count: int) -> list[dict[str, float]]:
    """Train every member by itself."""
    return [work(handle) for handle in handles(count)]


def together(work: SupervisedTask, count: int) -> list[dict[str, float]]:
    """Train all members as one model."""
    return train_together(work, handles(count))  # type: ignore[return-value]


def measured(way: Callable[[SupervisedTask, int], list], work: SupervisedTask, count: int):
    """Return the seconds inside the epochs, and of everything."""
    began = time.perf_counter()
    results = way(work, count)
    return sum(result["train_seconds"] for result in results), time.perf_counter() - began


def compare(work: SupervisedTask, count: int, repeats: int = REPEATS) -> tuple[list[float], ...]:
    """Return medians of (one by one, together) inside the epochs, and of everything."""
    runs = [
        (measured(one_by_one, work, count), measured(together, work, count))
        for _ in range(repeats + 1)
    ][1:]
    return tuple(
        [statistics.median(run[way][part] for run in runs) for way in (0, 1)] for part in (0, 1)
    )


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print one table."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*map(str, row))
    console.print(table)


def verdict(text: str, met: bool) -> None:
    """Print whether a bar is met."""
    console.print(f"  {'met    ' if met else 'MISSED '} {text}\n", style="green" if met else "red")


def against_one_by_one(
    name: str, make: Callable[..., SupervisedTask], cases: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], float]:
    """Print a table over (members, batch size), and return how many times faster each was."""
    rows, factors = [], {}
    for members, batch in cases:
        (alone, stacked), (all_alone, all_stacked) = compare(make(batch=batch), members)
        factors[members, batch] = alone / stacked
        times = (f"{1e3 * value / members / STEPS:.3f}" for value in (alone, stacked))
        faster = (f"{alone / stacked:.2f} x", f"{all_alone / all_stacked:.2f} x")
        rows.append([members, batch, *times, *faster])
    columns = ["members", "batch", "one by one, ms", "stacked, ms", "epochs", "with all else"]
    show(f"{name}: one member's step, and how many times faster", columns, rows)
    return factors


def measure_mlp() -> None:
    """Compare perceptrons on the CPU."""
    make = partial(task, mlp, (64,))
    cases = [(4, 32), (8, 32), (16, 32), (32, 32), (64, 32), (32, 16), (32, 64)]
    factor = against_one_by_one("MLP 64-64-64-10", make, cases)[32, 32]
    verdict(f"MLP, 32 members, batches of 32: {factor:.2f} x, wanted 6 x", factor >= 6)


def measure_lenet() -> None:
    """Compare convolutional networks on the CPU."""
    make = partial(task, lenet, (1, 28, 28))
    factor = against_one_by_one("LeNet", make, [(2, 64), (4, 64), (8, 64), (16, 64)])[16, 64]
    verdict(f"LeNet, 16 members, batches of 64: {factor:.2f} x, wanted 1.4 x", factor >= 1.4)


def measure_cuda() -> None:
    """Compare convolutional networks on a GPU."""
    if not torch.cuda.is_available():
        console.print("cuda: torch finds no CUDA here\n")
        return
    make = partial(task, lenet, (1, 28, 28), device="cuda")
    cases = [(2**power, 64) for power in range(11)]
    factor = against_one_by_one("LeNet on CUDA", make, cases)[64, 64]
    verdict(f"LeNet on CUDA, 64 members: {factor:.2f} x, wanted 20 x", factor >= 20)


def inheriting(members: int) -> float:
    """Return the seconds in which members take over the weights of others, in memory."""
    work = SupervisedTask(
        lambda params: nn.Linear(1000, 1000),
        averaging=None,  # of the last weights, as all its results
        loss="mse",
        optimizer="sgd",
        train=(torch.zeros(1, 1000), torch.zeros(1, 1000)),
        validation=(torch.zeros(1, 1000), torch.zeros(1, 1000)),
    )
    store = Checkpoints()
    store.open("inherit")
    records: dict[int, Checkpoint] = {}
    device = torch.device("cpu")
    for name in ("train", "validation"):
        work.source(name, device)

    def stacked(first: int, donor: int | None) -> tuple[Stack, list[Member]]:
        found = []
        for number in range(first, first + members):
            genes = {"lr": 0.1}
            given = None if donor is None else donor + (number * 7) % members
            trial = Trial(number, genes, genes, seed=number, weights_from=given)
            weights = TrialWeights(store, number, records, wanted=True, write=False)
            setup = work.set_up(RunningTrial(trial, weights), device)
            found.append(Member(RunningTrial(trial, weights), setup, torch.Generator()))
        return Stack(found, ()), found

    _, parents = stacked(0, None)
    for parent in parents:
        keep(parent)
        records[parent.handle.number] = parent.handle.weights.written()
    stack, children = stacked(members, 0)
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        for child in children:
            resume(child)
        stack.load_optimizers()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure_inherit() -> None:
    """Measure how long 100 members of 1 M parameters take to inherit, through memory."""
    milliseconds = 1e3 * inheriting(100)
    verdict(
        f"100 members of 1 M parameters inherit in {milliseconds:.1f} ms, wanted 50 ms",
        milliseconds <= 50,
    )


def whole_run(work: SupervisedTask, members: int, executor: Executor, seed: int) -> float:
    """Return the seconds of the processor that a population takes, from nothing to its best trial.

    In one thread they are those of the clock, without what other jobs take.
    """
    space = et.Space(lr=et.Float(1e-3, 0.3, log=True), momentum=et.Float(0.0, 0.95))
    algorithm = et.PopulationBasedTraining(space, population_size=members, interval=1)
    study = et.Study(algorithm, "max accuracy", seed=seed)
    began = time.process_time()
    study.run(work, epochs=GENERATIONS, executor=executor)
    study.best  # noqa: B018  (what a run is made for)
    return time.process_time() - began


def compare_runs(
    work: SupervisedTask, name: str, alone: int, stacked: int, wanted: str
) -> tuple[float, str]:
    """Print the seconds of whole runs, by turns; return one by one / stacked, also as a text.

    Args:
        work: What is trained.
        name: What to call it.
        alone: Members that are trained one by one.
        stacked: Members that are trained as one model.
        wanted: The bar, to be shown.
    """
    turns = [
        (
            whole_run(work, alone, et.InlineExecutor(), seed),
            whole_run(work, stacked, et.StackedExecutor(), seed),
        )
        for seed in range(RUNS + 1)
    ][1:]
    ratios = [one / other for one, other in turns]
    factor = statistics.median(ratios)
    names = (f"{alone} alone", f"{stacked} stacked")
    rows = [
        [way, f"{statistics.median(times):.3f}", f"{min(times):.3f}-{max(times):.3f}"]
        for way, times in zip(names, zip(*turns, strict=True), strict=True)
    ]
    title = f"{name}, {GENERATIONS} generations of one epoch, {RUNS} runs"
    show(title, ["", "CPU s", "range"], rows)
    return factor, f"{factor:.2f} x ({min(ratios):.2f}-{max(ratios):.2f}), wanted {wanted}"


def measure_runs() -> None:
    """Compare whole runs of populations of perceptrons."""
    for averaging in (None, "ema"):
        work = task(mlp, (64,), 64, examples=1200, averaging=averaging)
        name = f"Perceptrons, averaging={averaging}"
        factor, text = compare_runs(work, name, 32, 32, "5 x")
        verdict(f"32 perceptrons, whole run, averaging={averaging}: {text}", factor >= 5)


def measure_lenet_runs() -> None:
    """Compare whole runs of populations of convolutional networks."""
    work = task(lenet, (1, 28, 28), 64, examples=512)
    factor, text = compare_runs(work, "LeNet", 16, 16, "1.4 x")
    verdict(f"16 LeNets, whole run: {text}", factor >= 1.4)


def measure_hundred() -> None:
    """Compare a hundred members stacked with eight of them one by one."""
    work = task(mlp, (64,), 64, examples=1200)
    factor, text = compare_runs(work, "Perceptrons", 8, 100, "0.5 x, twice the time")
    verdict(f"8 perceptrons one by one against 100 stacked: {text}", factor >= 0.5)


PARTS = {
    "mlp": measure_mlp,
    "lenet": measure_lenet,
    "inherit": measure_inherit,
    "runs": measure_runs,
    "lenet-runs": measure_lenet_runs,
    "hundred": measure_hundred,
    "cuda": measure_cuda,
}


def main() -> None:
    """Run the chosen parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    chosen = parser.parse_args().parts or PARTS
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for part in chosen:
        PARTS[part]()


if __name__ == "__main__":
    main()
