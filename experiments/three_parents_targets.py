"""Time to a fixed quality: how the reruns of Vose et al. (2019), section 4.2, train and search.

The paper measures wall seconds until a network has reached a fixed quality. Here a run has three
measures: batches, multiply-adds, and CPU seconds of this process, which count no other process
but grow with what shares the processor. A run that does not reach the quality within its limit is
a failure; in tables of fixed settings it counts with the limit, so that its time is a lower bound.
In a search it is a result, worse than every run that reached the quality, and the worse the more
was missing: else a search whose first trials all miss would have nothing to learn from.
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
            take longer gives up at once; 0 lets all train until the limit.
        loss: Mean loss that the second block of batches must not be above.
    """

    seconds: float
    least: int = 0
    loss: float = math.inf


def until(
    step: Callable[[], Tensor],
    reached: Callable[[], bool],
    *,
    every: int,
    limit: Limit,
    missing: Callable[[], float] | None = None,
) -> dict[str, float]:
    """Train until checks in succession are passed.

    Args:
        step: Trains one batch and returns its loss.
        reached: Checks the model.
        every: Batches between two checks.
        limit: When to give up.
        missing: Returns which share of the quality, in (0, 1], a model that gave up lacks; without
            it such a run is a failure.

    Returns:
        ``batches``, ``seconds`` of CPU for training alone, ``check_seconds`` for the checks, and
        ``time``: the seconds, or once the limit is passed the limit times 1 + what is missing.

    Raises:
        Failed: The limit is passed and nothing says what is missing, or the loss is hopeless.
    """
    batches = passed = 0
    seconds = check_seconds = 0.0
    while passed < SUCCESSIVE:
        began = time.process_time()
        slowest = 0.0 if batches or not limit.least else limit.seconds / limit.least
        losses = _block(step, every, slowest, limit.seconds - seconds)
        trained = time.process_time()
        batches += len(losses)
        seconds += trained - began
        mean = torch.stack(losses).mean().item()
        if not mean <= (limit.loss if batches == 2 * every else math.inf):
            raise et.Failed(f"hopeless: a mean loss of {mean:.3g} by batch {batches}")
        passed = passed + 1 if reached() else 0
        check_seconds += time.process_time() - trained
        if passed < SUCCESSIVE and seconds >= limit.seconds:
            if missing is None:
                raise et.Failed(f"not reached within {seconds:.0f} CPU seconds, {batches} batches")
            break
    lost = passed < SUCCESSIVE and missing is not None
    return {
        "batches": batches,
        "seconds": seconds,
        "check_seconds": check_seconds,
        "time": limit.seconds * (1 + missing()) if lost else seconds,
    }


def _block(step: Callable[[], Tensor], count: int, slowest: float, seconds: float) -> list[Tensor]:
    """Train some batches, fewer once ``seconds`` are over.

    It gives up after a few where they take longer than ``slowest`` seconds each.
    """
    began = time.process_time()
    losses = [step() for _ in range(min(count, PROBE))]
    took = (time.process_time() - began) / len(losses)
    if 0.0 < slowest < took:
        raise et.Failed(f"too slow: {took:.2g} CPU seconds a batch")
    while len(losses) < count and time.process_time() - began < seconds:
        losses.append(step())
    return losses


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
        begin: Params of its first trial; None leaves that to the algorithm.
    """

    name: str
    space: et.Space
    algorithm: Callable[[et.Space], Any]
    control: str | None = None
    begin: Mapping[str, Any] | None = None


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


#: Makes an evaluate function from the seed of the split and the limit. A search has one split; a
#: setting has None, which takes the trial's number, and a run of it that gives up is a failure.
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
        missed: How many of them gave up.
        seconds: CPU seconds of training of all of them, where a failed one counts with the limit,
            which it may not have used.
        best: The best trial's seconds, which are the least of several and so too good; NaN where
            none reached the quality.
        params: The best trial's params, which lacked least where none reached the quality; None
            when all failed.
    """

    search: str
    seed: int
    trials: int
    missed: int
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
        "min time",
        storage=storage,
        name=f"{how.name}, search {seed}",
        seed=seed,
    )
    with study:
        if how.begin is not None and not study.trials:
            study.enqueue(dict(how.begin))
        study.run(training(seed, limit), trials, workers=1, max_failures=1.0)
        check_ended(study)
        done = [trial for trial in study.trials if trial.is_done]
        there = [trial for trial in done if trial.metrics["time"] <= trial.metrics["seconds"]]
        best = min(done, key=lambda trial: trial.metrics["time"], default=None)
        return Found(
            search=how.name,
            seed=seed,
            trials=len(study.trials),
            missed=len(study.trials) - len(there),
            seconds=sum(trial.metrics.get("seconds", limit.seconds) for trial in study.trials),
            best=best.metrics["seconds"] if best in there else math.nan,
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
