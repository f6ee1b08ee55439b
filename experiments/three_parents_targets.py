"""Time to a fixed quality: how the reruns of Vose et al. (2019), section 4.2, train and search.

The paper measures wall seconds until a network has reached a fixed quality. Here a run has three
measures: batches, multiply-adds, and CPU seconds of this process, which count no other process
but grow with what shares the processor. A run that does not reach the quality within its limit is
a failure; in tables of fixed settings it counts with the limit, so that its time is a lower bound.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from searches import check_ended
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import evotune as et

#: A quality counts as reached when so many checks in succession have met it.
SUCCESSIVE = 2
#: Batches after which a network is known to be too slow.
PROBE = 4
#: Backward passes cost two forward passes.
PASSES = 3


def multiply_adds(model: nn.Module, example: Tensor) -> int:
    """Return the multiply-adds of one forward pass of one example ``(1, ...)``."""
    was = model.training
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(example)
    model.train(was)
    return int(counter.get_total_flops() // 2)


@dataclass(frozen=True, slots=True)
class Limit:
    """When a run gives up.

    Attributes:
        seconds: CPU seconds of training.
        least: Batches that every network needs; one whose batches are so slow that these alone
            take longer gives up at once.
        loss: Mean loss that the second block of batches must not be above.
    """

    seconds: float
    least: int = 0
    loss: float = math.inf


def until(
    step: Callable[[], Tensor], reached: Callable[[], bool], *, every: int, limit: Limit
) -> dict[str, float]:
    """Train until checks in succession are passed.

    Args:
        step: Trains one batch and returns its loss.
        reached: Checks the model.
        every: Batches between two checks.
        limit: When to give up.

    Returns:
        ``batches``, ``seconds`` of CPU for training alone, ``check_seconds`` for the checks.

    Raises:
        Failed: The limit is passed, or a loss is not finite.
    """
    batches = passed = 0
    seconds = check_seconds = 0.0
    while passed < SUCCESSIVE:
        began = time.process_time()
        losses = _block(step, every, 0.0 if batches else limit.seconds / max(1, limit.least))
        trained = time.process_time()
        batches += every
        seconds += trained - began
        mean = torch.stack(losses).mean().item()
        if not mean <= (limit.loss if batches == 2 * every else math.inf):
            raise et.Failed(f"hopeless: a mean loss of {mean:.3g} by batch {batches}")
        passed = passed + 1 if reached() else 0
        check_seconds += time.process_time() - trained
        if passed < SUCCESSIVE and seconds >= limit.seconds:
            raise et.Failed(f"not reached within {seconds:.0f} CPU seconds, {batches} batches")
    return {"batches": batches, "seconds": seconds, "check_seconds": check_seconds}


def _block(step: Callable[[], Tensor], count: int, slowest: float) -> list[Tensor]:
    """Train some batches; give up after a few where they take longer than ``slowest`` seconds."""
    began = time.process_time()
    losses = [step() for _ in range(min(count, PROBE))]
    took = (time.process_time() - began) / len(losses)
    if 0.0 < slowest < took:
        raise et.Failed(f"too slow: {took:.2g} CPU seconds a batch")
    return losses + [step() for _ in range(count - len(losses))]


@dataclass(frozen=True, slots=True)
class Setting:
    """Params that are measured on several seeds.

    Attributes:
        name: What tables call them.
        space: A space that has them.
        params: The params.
        limit: When a run gives up.
    """

    name: str
    space: et.Space
    params: Mapping[str, Any]
    limit: Limit


@dataclass(frozen=True, slots=True)
class Search:
    """One kind of search.

    Attributes:
        name: What tables call it.
        space: What it searches.
        algorithm: Makes a new algorithm from the space.
        control: Name of the random search of the same space; None for a random search itself.
    """

    name: str
    space: et.Space
    algorithm: Callable[[et.Space], Any]
    control: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One training of a setting.

    Attributes:
        setting: Name of the setting.
        seed: Its seed: the k-th run of every setting has the same split.
        reached: False when it gave up.
        batches: Batches trained; NaN when it gave up.
        billions: Multiply-adds of training in billions; NaN when it gave up.
        seconds: CPU seconds of training, the limit when it gave up.
        check_seconds: CPU seconds of the checks; NaN when it gave up.
        test: Quality on the test part in per cent; NaN when it gave up.
    """

    setting: str
    seed: int
    reached: bool
    batches: float
    billions: float
    seconds: float
    check_seconds: float
    test: float


#: Makes an evaluate function from the seed of the split (None: the trial's number) and the limit.
Training = Callable[[int | None, Limit], Callable[[et.RunningTrial], dict[str, float]]]


def measure(
    setting: Setting, training: Training, seeds: Iterable[int], storage: str, name: str = ""
) -> list[Run]:
    """Train a setting with each seed, or go on with it.

    Args:
        setting: What is trained.
        training: How; the k-th run has split k.
        seeds: Numbers from 0 on.
        storage: Where the runs are kept.
        name: Name of the study; by default that of the setting.
    """
    count = len(list(seeds))
    study = et.Study(
        et.RandomSearch(setting.space),
        "min seconds",
        storage=storage,
        name=name or setting.name,
        seed=1,
        duplicates="allow",
    )
    with study:
        for _ in range(count - len(study.trials)):
            study.enqueue(dict(setting.params))
        study.run(training(None, setting.limit), count, workers=1, max_failures=1.0)
        check_ended(study)
        return [_run(setting, trial) for trial in study.trials]


def _run(setting: Setting, trial: et.Trial) -> Run:
    got = trial.metrics
    lost = math.nan
    return Run(
        setting=setting.name,
        seed=trial.number,
        reached=trial.is_done,
        batches=got.get("batches", lost),
        billions=got.get("multiply_adds", lost) / 1e9,
        seconds=got.get("seconds", setting.limit.seconds),
        check_seconds=got.get("check_seconds", lost),
        test=100 * got.get("test", lost),
    )


@dataclass(frozen=True, slots=True)
class Found:
    """What one search found.

    Attributes:
        search: Name of the search.
        seed: Its seed.
        trials: Trials that it had.
        failed: How many of them gave up.
        seconds: CPU seconds of training of all of them, where a failed one counts with the limit,
            which it may not have used.
        best: The best trial's seconds, which are the least of several and so too good.
        params: The best trial's params; None when all failed.
    """

    search: str
    seed: int
    trials: int
    failed: int
    seconds: float
    best: float
    params: Mapping[str, Any] | None


def search(
    how: Search, training: Training, seed: int, *, trials: int, limit: Limit, storage: str
) -> Found:
    """Run one search, or go on with it.

    Args:
        how: The search.
        training: How one trial trains.
        seed: Seed of the search and of its split.
        trials: How many.
        limit: When a trial gives up.
        storage: Where the study is kept.
    """
    study = et.Study(
        how.algorithm(how.space),
        "min seconds",
        storage=storage,
        name=f"{how.name}, search {seed}",
        seed=seed,
    )
    with study:
        study.run(training(seed, limit), trials, workers=1, max_failures=1.0)
        check_ended(study)
        done = [trial for trial in study.trials if trial.is_done]
        best = min(done, key=lambda trial: trial.metrics["seconds"], default=None)
        return Found(
            search=how.name,
            seed=seed,
            trials=len(study.trials),
            failed=len(study.trials) - len(done),
            seconds=sum(trial.metrics.get("seconds", limit.seconds) for trial in study.trials),
            best=math.nan if best is None else best.metrics["seconds"],
            params=None if best is None else best.params,
        )


def retrained(
    found: Sequence[Found], searches: Sequence[Search], training: Training, **where: Any
) -> list[Run]:
    """Train the best of every search anew, each with fresh seeds.

    Args:
        found: What the searches found.
        searches: The searches.
        training: How one trial trains.
        **where: ``seeds``, ``storage`` and ``limit``.
    """
    spaces = {how.name: how.space for how in searches}
    runs = []
    for each in found:
        if each.params is not None:
            name = f"{each.search}, best of search {each.seed}"
            setting = Setting(each.search, spaces[each.search], each.params, where["limit"])
            runs += measure(setting, training, where["seeds"], where["storage"], name)
    return runs
