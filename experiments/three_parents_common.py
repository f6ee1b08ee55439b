"""How the three-parents experiments are run: searches of equal cost, and what they found."""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tables import write_section
from three_parents_report import BASELINE, RANDOM, RESTARTS, Row, Story, section

import evotune as et

RUNS = Path(__file__).with_name("runs")


@dataclass(frozen=True, slots=True)
class Arm:
    """One search, run once for each seed.

    Attributes:
        name: What the tables call it.
        algorithm: Makes a new algorithm.
        lines: How many lines it trains from beginning to end, each with settings of its own; None
            where lines inherit from one another.
        accepted: Train as accepted practice does, with its own decay of the learning rate.
    """

    name: str
    algorithm: Callable[[], Any]
    lines: int | None = None
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is trained, what is searched, and how much.

    Attributes:
        story: What the report says about it.
        file: Beginning of the name of its study file.
        train: Makes the evaluate function from a seed and whether it is the accepted practice.
        arms: The searches.
        epochs: Epochs of every line.
        any_epoch: The best may be taken after any epoch, in all searches; else after the last.
        others: Makes the rows of searches that are no studies of ours, from a seed.
    """

    story: Story
    file: str
    train: Callable[[int, bool], Any]
    arms: Sequence[Arm]
    epochs: int
    any_epoch: bool = True
    others: Callable[[int], Sequence[Row]] | None = None


def accepted_arms(space: et.Space, accepted: Mapping[str, Any], population: int) -> tuple[Arm, ...]:
    """Return what the paper compares, and controls that it lacks; all know the accepted settings.

    Every search trains ``population`` lines, so that all have the same epochs in total.

    Args:
        space: What may be scheduled.
        accepted: The accepted settings, which every search begins with.
        population: Members of a population.
    """
    held = et.Space({name: et.Fixed(value) for name, value in accepted.items()})
    known = {"population_size": population, "seeds": [dict(accepted)]}
    return (
        Arm(BASELINE, lambda: et.RandomSearch(held), population, accepted=True),
        # The first generation of a genetic algorithm: the accepted settings, then random ones.
        Arm(RANDOM, lambda: et.Genetic(space, start="random", **known), population),
        Arm("PBT as in the paper", lambda: et.recipes.three_parent_training(space, **known)),
        Arm("PBT, ours", lambda: et.PopulationBasedTraining(space, **known)),
    )


# -- running --------------------------------------------------------------------------------------


def run_arm(
    experiment: Experiment, arm: Arm, seed: int, *, storage: str, workers: int
) -> list[Row]:
    """Run one search to its end, or go on with it.

    Args:
        experiment: What is trained.
        arm: The search.
        seed: Seed of split and search.
        storage: Where the study is kept.
        workers: Processes of one thread each; 1 runs in this process; 0 stacks the population
            into one model where that can be done.

    Returns:
        One row; for the accepted practice two: the mean of its lines, and the best of them.
    """
    with et.Study(
        arm.algorithm(),
        f"min {experiment.story.metric}",
        storage=storage,
        name=f"{arm.name}, seed {seed}",
        seed=seed,
        # Equal settings are trained again: they start from other weights.
        duplicates="allow",
    ) as study:
        study.run(
            experiment.train(seed, arm.accepted),
            arm.lines,
            epochs=experiment.epochs,
            executor=_executor(workers),
            max_failures=1.0,
        )
        if study.stop_reason not in ("trials", "epochs"):
            raise SystemExit(f"ended: {study.stop_reason}; run the same command to go on")
        return rows_of(experiment, arm, seed, study.trials)


def _executor(workers: int) -> Any:
    if workers == 0:
        return None  # a study stacks what it can by itself
    return et.InlineExecutor() if workers == 1 else et.ProcessExecutor(workers, threads=1)


@dataclass(frozen=True, slots=True)
class Point:
    """A model after one epoch.

    Attributes:
        trial: Number of the trial that trained it.
        epoch: Epochs that its line has behind it, from 1.
        validation: Validation metric, which chooses.
        test: Test metric, which is reported.
    """

    trial: int
    epoch: int
    validation: float
    test: float


def points(trials: Iterable[et.Trial], metric: str) -> Iterator[Point]:
    """Yield every measured model of a study whose metric is minimised."""
    ends: dict[int | None, int] = {None: 0}
    for trial in trials:
        ends[trial.number] = ends[trial.weights_from] + int(trial.budget or 0)
        if not trial.is_done:
            continue
        last = {"step": ends[trial.number] - 1, **trial.metrics}
        for measured in trial.reports or (last,):
            epoch = int(measured["step"]) + 1
            yield Point(trial.number, epoch, measured[metric], measured[f"test_{metric}"])


def schedule(trials: Sequence[et.Trial], point: Point) -> tuple[Mapping[str, Any], ...]:
    """Return the params of every epoch that has led to a model."""
    params: list[Mapping[str, Any]] = []
    number: int | None = point.trial
    while number is not None:
        trial = trials[number]
        params[:0] = [trial.params] * int(trial.budget or 0)
        number = trial.weights_from
    return tuple(params[: point.epoch])


def rows_of(experiment: Experiment, arm: Arm, seed: int, trials: Sequence[et.Trial]) -> list[Row]:
    """Return what one search found."""
    found = [
        point
        for point in points(trials, experiment.story.metric)
        if experiment.any_epoch or point.epoch == experiment.epochs
    ]
    if not found:
        raise SystemExit(f"{arm.name}, seed {seed}: no line was trained to its end")
    best = min(found, key=_validation)
    seconds = ("train_seconds", "evaluation_seconds")
    row = Row(
        arm=arm.name,
        seed=seed,
        epochs=sum(int(trial.budget or 0) for trial in trials),
        validation=best.validation,
        test=best.test,
        schedule=() if arm.accepted else schedule(trials, best),
        failed=sum(trial.failure is not None for trial in trials),
        seconds=sum(trial.metrics.get(name, 0.0) for trial in trials for name in seconds),
    )
    if not arm.accepted:
        return [row]
    return [_mean(row, found), replace(row, arm=RESTARTS.format(len(trials)))]


def _mean(row: Row, found: Sequence[Point]) -> Row:
    """Return the mean of the lines of a search, each at its own best."""
    numbers = {point.trial for point in found}
    lines = [min((p for p in found if p.trial == number), key=_validation) for number in numbers]
    return replace(
        row,
        epochs=row.epochs // len(lines),
        validation=sum(line.validation for line in lines) / len(lines),
        test=sum(line.test for line in lines) / len(lines),
        seconds=row.seconds / len(lines),
    )


def _validation(point: Point) -> float:
    return point.validation


def run_all(experiment: Experiment, seeds: Iterable[int], **where: Any) -> list[Row]:
    """Run every search with every seed and return all rows.

    Args:
        experiment: What is run.
        seeds: Seeds of split and search.
        **where: ``storage`` and ``workers`` of `run_arm`.
    """
    rows = []
    for seed in seeds:
        for arm in experiment.arms:
            began = time.perf_counter()
            found = run_arm(experiment, arm, seed, **where)
            rows += found
            print(
                f"seed {seed} · {found[-1].arm}: validation {found[-1].validation:.4g}, test "
                f"{found[-1].test:.4g}, {time.perf_counter() - began:.0f} s",
                flush=True,
            )
        if experiment.others is not None:
            rows += experiment.others(seed)
    return rows


# -- the command line -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """A script's command line.

    Attributes:
        script: Name of its file.
        what: What it does, in a line.
        scales: Names of the scales; the first one is the default.
        size: Population, epochs and seeds that the options stand for where they do not say.
        make: Makes the experiment from options, whose population and epochs are filled in.
        more: Adds options of the script's own.
        workers: Workers by default.
    """

    script: str
    what: str
    scales: Sequence[str]
    size: Callable[[argparse.Namespace], tuple[int, int, int]]
    make: Callable[[argparse.Namespace], Experiment]
    more: Callable[[argparse.ArgumentParser], None] | None = None
    workers: int = 2

    def parser(self) -> argparse.ArgumentParser:
        """Return the parser of all options."""
        parser = argparse.ArgumentParser(description=self.what)
        add = parser.add_argument
        add("--scale", choices=self.scales, default=self.scales[0], help="how large")
        add("--seeds", type=int, help="run seeds 1 to this")
        add("--population", type=int, help="members, and lines of each other search")
        add("--epochs", type=int, help="epochs of each line")
        add(
            "--workers",
            type=int,
            default=self.workers,
            help="processes of one thread each; 0 trains a population stacked, where it can "
            "(%(default)s)",
        )
        add("--data", help="directory of the data; see experiments/data.py")
        add("--runs", type=Path, default=RUNS, help="where the studies are kept")
        add("--markdown", type=Path, help="file whose section is replaced or added")
        if self.more is not None:
            self.more(parser)
        return parser

    def options(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Read a command line."""
        parser = self.parser()
        options = parser.parse_args(arguments)
        for name, value in zip(("population", "epochs", "seeds"), self.size(options), strict=True):
            if getattr(options, name) is None:
                setattr(options, name, value)
        if options.seeds < 1 or options.population < 2 or options.epochs < 1:
            parser.error("--seeds and --epochs must be 1 or more, --population 2 or more")
        if options.workers < 0:
            parser.error("--workers must be 0 or more")
        return options

    def run(self, arguments: Sequence[str] | None = None) -> None:
        """Run the experiment as the command line says, and print its tables and conclusions."""
        options = self.options(arguments)
        experiment = self.make(options)
        torch.set_num_threads(1)  # more slow so small networks down, badly so on a busy machine
        options.runs.mkdir(parents=True, exist_ok=True)
        # Another size is another experiment, which must not go on with the old trials.
        size = f"{options.scale}_{options.population}x{options.epochs}"
        rows = run_all(
            experiment,
            range(1, options.seeds + 1),
            storage=f"sqlite:///{options.runs / f'{experiment.file}_{size}.db'}",
            workers=options.workers,
        )
        self.report(experiment, rows, options, arguments)

    def report(
        self,
        experiment: Experiment,
        rows: Sequence[Row],
        options: argparse.Namespace,
        arguments: Sequence[str] | None,
    ) -> None:
        """Print the section of an experiment, and write it where the options say."""
        given = sys.argv[1:] if arguments is None else arguments
        text = section(
            experiment.story, rows, shlex.join(["python", f"experiments/{self.script}", *given])
        )
        print(f"\n{text}")
        if options.markdown:
            title = f"Three parents: {experiment.story.title}, scale {options.scale}"
            write_section(options.markdown, title, text)
