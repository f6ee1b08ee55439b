"""Rerun Vose et al. (2019), section 4.2.1: CANDLE P3B1, time to fixed F1 scores.

    python experiments/three_parents_p3b1.py

Every search and every setting is a study in experiments/runs/, so the same command goes on where a
killed one ended.
"""

import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from data import pathology_reports
from searches import Script, check_ended
from sklearn.metrics import f1_score
from three_parents_models.topology import TASKS, Reports
from three_parents_targets import PASSES, Found, Limit, Run, Search, Setting, until
from three_parents_targets_report import (
    Paper,
    Scale,
    Target,
    fresh_runs,
    run_searches,
    run_settings,
    section,
)
from torch import Tensor, nn

import evotune as et

FEATURES = 400
#: Reports of each task.
REPORTS = (990, 860, 675)
FOLDS = 10
#: Validation fold of the first run of a setting; the folds before it belong to the searches.
FIRST = 3
BATCH_SIZE = 20

PAPER = et.Space(
    shared=et.Int(32, 8192, log=True),
    site=et.Int(32, 8192, log=True),
    laterality=et.Int(32, 8192, log=True),
    grade=et.Int(32, 8192, log=True),
    lr=et.Float(1e-8, 1.0, log=True),
    dropout=et.Float(0.0, 0.9),
)
#: The paper's genes, and two that it leaves alone.
WIDER = et.Space(
    {
        **PAPER.domains,
        "optimizer": et.Choice("sgd", "adam"),
        "batch_size": et.Ordinal(16, 32, 64, 128),
    }
)
SIZES = ("shared", "site", "laterality", "grade", "lr", "dropout")
REFERENCE = dict(zip(SIZES, (1200, 1200, 1200, 1200, 1e-2, 0.1), strict=True))
WIDER_REFERENCE = {**REFERENCE, "optimizer": "sgd", "batch_size": 16}
OPTIMIZED = dict(zip(SIZES, (459, 324, 279, 359, 2.1e-2, 8.8e-2), strict=True))
SMALL = {
    **dict(zip(SIZES, (256, 64, 32, 64, 3e-3, 0.1), strict=True)),
    "optimizer": "adam",
    "batch_size": 64,
}

#: F1 scores (macro, micro) of every task that the paper asks for.
Scores = Mapping[str, tuple[float, float]]
ASKED: Scores = {"site": (0.275, 0.506), "laterality": (0.907, 0.907), "grade": (0.485, 0.647)}

#: Features and classes of every task.
Part = Sequence[tuple[Tensor, Tensor]]


@functools.lru_cache(maxsize=2)
def parts(validation: int, directory: str | None) -> tuple[Part, Part, Part]:
    """Return training, validation and test part; the fold behind the validation fold tests."""
    test = (validation + 1) % FOLDS
    found: tuple[list[Any], ...] = ([], [], [])
    for task in pathology_reports(directory):
        x, y = torch.from_numpy(task.features), torch.from_numpy(task.classes)
        fold = torch.from_numpy(task.folds)
        held = (fold == validation, fold == test)
        for part, chosen in zip(found, (~(held[0] | held[1]), *held), strict=True):
            part.append((x[chosen], y[chosen]))
    return found


def scores(model: nn.Module, part: Part) -> dict[str, tuple[float, float]]:
    """Return the F1 scores (macro, micro) of every task."""
    model.eval()
    with torch.no_grad():
        guesses = [model(x, task).argmax(1).numpy() for task, (x, _) in enumerate(part)]
    model.train()
    return {
        name: tuple(f1_score(y, guess, average=how) for how in ("macro", "micro"))
        for name, guess, (_, y) in zip(TASKS, guesses, part, strict=True)
    }


def reached(got: Scores, asked: Scores) -> bool:
    """Return whether all scores are as high as asked."""
    return all(a >= b for name in asked for a, b in zip(got[name], asked[name], strict=True))


def missing(got: Scores, asked: Scores) -> float:
    """Return the mean share of the scores that is missing; one check alone does not count."""
    lacks = [
        max(1 - a / b, 0.0) for name in asked for a, b in zip(got[name], asked[name], strict=True)
    ]
    return max(float(np.mean(lacks)), 1e-3)


def network(params: Mapping[str, Any]) -> Reports:
    """Return the network of some params."""
    own = (params["site"], params["laterality"], params["grade"])
    return Reports(FEATURES, params["shared"], own, params["dropout"])


def batches(part: Part, size: int) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Yield batches ``(x, y, task)`` for ever; the tasks take turns, each in proportion."""
    while True:
        order = [
            (chosen, task)
            for task, (x, _) in enumerate(part)
            for chosen in torch.randperm(len(x)).split(size)
        ]
        for number in torch.randperm(len(order)).tolist():
            chosen, task = order[number]
            x, y = part[task]
            yield x[chosen], y[chosen], task


def batches_an_epoch(part: Part, size: int) -> int:
    """Return how many batches go once through all tasks."""
    return sum(-(-len(x) // size) for x, _ in part)


def stepper(model: nn.Module, train: Part, params: Mapping[str, Any]) -> Any:
    """Return a function that trains one batch of one task."""
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[params.get("optimizer", "sgd")]
    optimizer = kind(model.parameters(), lr=params["lr"], fused=True)
    source = batches(train, params.get("batch_size", BATCH_SIZE))

    def step() -> Tensor:
        x, y, task = next(source)
        loss = F.cross_entropy(model(x, task), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def forward_cost(params: Mapping[str, Any]) -> float:
    """Return the multiply-adds of one report, weighted by the reports of each task."""
    own = [params[name] for name in TASKS]
    shared = FEATURES * params["shared"]
    costs = [
        shared + params["shared"] * units + units * units + units * classes
        for units, classes in zip(own, TASKS.values(), strict=True)
    ]
    return float(np.average(costs, weights=REPORTS))


@dataclass(frozen=True, slots=True)
class ToScores:
    """An evaluate function that trains until all scores of the validation fold are reached.

    One check an epoch. Metrics: ``seconds``, ``check_seconds``, ``batches``, ``multiply_adds``, and
    ``test``, the mean of the six scores on the test fold at that moment.

    Attributes:
        fold: Validation fold of a search; None takes one for each trial, from `FIRST` on, and one
            that gives up is a failure then.
        limit: When it gives up.
        asked: The scores, one for all folds or one for each trial.
        directory: Where the reports lie.
    """

    fold: int | None
    limit: Limit
    asked: Sequence[Scores] = (ASKED,)
    directory: str | None = None

    def __call__(self, trial: et.RunningTrial) -> dict[str, float]:
        """Train one trial."""
        fold = fold_of(trial.number) if self.fold is None else self.fold
        asked = self.asked[trial.number % len(self.asked)]
        train, validation, test = parts(fold, self.directory)
        model, step, epoch = _begun(trial, train)
        measured = until(
            step,
            lambda: reached(scores(model, validation), asked),
            every=epoch,
            limit=self.limit,
            missing=None
            if self.fold is None
            else lambda: missing(scores(model, validation), asked),
        )
        examples = measured["batches"] / epoch * sum(len(x) for x, _ in train)
        return {
            **measured,
            "multiply_adds": PASSES * forward_cost(trial.params) * examples,
            "test": mean_score(scores(model, test)),
        }


def fold_of(number: int) -> int:
    """Return the validation fold of the k-th run of a setting."""
    return (FIRST + number) % FOLDS


def mean_score(got: Scores) -> float:
    """Return the mean of the macro and micro scores of all tasks."""
    return float(np.mean(list(got.values())))


def _begun(trial: et.RunningTrial, train: Part) -> tuple[nn.Module, Any, int]:
    """Return a fresh model, its step, and the batches of an epoch."""
    torch.manual_seed(trial.seed)
    model = network(trial.params)
    size = trial.params.get("batch_size", BATCH_SIZE)
    return model, stepper(model, train, trial.params), batches_an_epoch(train, size)


@dataclass(frozen=True, slots=True)
class Converged:
    """An evaluate function that trains for a fixed number of epochs and reports every one.

    Attributes:
        epochs: How many.
        directory: Where the reports lie.
    """

    epochs: int
    directory: str | None = None

    def __call__(self, trial: et.RunningTrial) -> dict[str, float]:
        """Train one trial; validation scores are named ``site_macro`` and so on."""
        train, validation, test = parts(fold_of(trial.number), self.directory)
        model, step, epoch = _begun(trial, train)
        seconds = 0.0
        for number in range(self.epochs):
            began = time.process_time()
            for _ in range(epoch):
                step()
            seconds += time.process_time() - began
            trial.report(
                number,
                seconds=seconds,
                test=mean_score(scores(model, test)),
                **_named(scores(model, validation)),
            )
        return {"seconds": seconds, "epoch_batches": epoch}


def _named(got: Scores) -> dict[str, float]:
    return {
        f"{task}_{how}": value
        for task, pair in got.items()
        for how, value in zip(("macro", "micro"), pair, strict=True)
    }


# -- the reference --------------------------------------------------------------------------------


def converged(scale: "Reach", storage: str, directory: str | None) -> Sequence[et.Trial]:
    """Train the reference for a fixed number of epochs on every fold."""
    study = et.Study(
        et.RandomSearch(PAPER),
        "min seconds",
        storage=storage,
        name=f"reference, {scale.epochs} epochs",
        seed=1,
        duplicates="allow",
    )
    with study:
        for _ in range(scale.seeds - len(study.trials)):
            study.enqueue(dict(REFERENCE))
        study.run(Converged(scale.epochs, directory), scale.seeds, workers=1)
        check_ended(study)
        return study.trials


def first(trial: et.Trial, asked: Scores, name: str) -> Run:
    """Return what the reference needed until scores were met in two successive epochs."""
    met = [
        all(
            report[f"{task}_{how}"] >= value
            for task, pair in asked.items()
            for how, value in zip(("macro", "micro"), pair, strict=True)
        )
        for report in trial.reports
    ]
    epoch = next((k for k in range(1, len(met)) if met[k - 1] and met[k]), None)
    report = trial.reports[-1 if epoch is None else epoch]
    epochs = math.nan if epoch is None else epoch + 1
    per_epoch = PASSES * forward_cost(REFERENCE) * sum(REPORTS) * (FOLDS - 2) / FOLDS
    return Run(
        setting=name,
        seed=trial.number,
        reached=epoch is not None,
        batches=epochs * trial.metrics["epoch_batches"],
        billions=epochs * per_epoch / 1e9,
        seconds=report["seconds"],
        check_seconds=math.nan,
        test=100 * report["test"] if epoch is not None else math.nan,
    )


def demanded(trial: et.Trial, share: float) -> dict[str, tuple[float, float]]:
    """Return a share of what the reference has in the end, the mean of its last five epochs."""
    last = trial.reports[-5:]

    def mean(name: str) -> float:
        return share * float(np.mean([report[name] for report in last]))

    return {task: (mean(f"{task}_macro"), mean(f"{task}_micro")) for task in TASKS}


# -- the experiment -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reach(Scale):
    """How much is run.

    Attributes:
        epochs: Epochs of the reference, of which the last count as converged.
    """

    epochs: int = 100


SCALES = {
    "small": Reach(3, 3, 12, 2, Limit(6.0), epochs=60),
    "full": Reach(FOLDS, 10, 2_000, FOLDS, Limit(30.0, least=200), epochs=1_000),
}
GIVES_UP = Limit(60.0)
SHARE = 0.98
ABOUT = (
    "The ten test parts of P3B1 as a ten-fold split of 990, 860 and 675 reports: eight folds "
    "train, one validates, one tests. Three tasks share a dense layer of 1200; each has two "
    "dense layers of 1200 and an output; SGD, batches of 20 of one task at a time, weights that "
    "start as in Keras. One check an epoch, two in succession. Searches see the validation folds "
    "0 to 2 and begin with the reference; a trial that does not get there within its limit counts "
    "by the scores that it lacks. Settings are measured on folds 3 to 9. The reference trained for "
    "{epochs} epochs on each fold."
)


def target(scale: Reach, asked: Sequence[Scores], title: str, directory: str | None) -> Target:
    """Return the experiment for some scores."""

    def training(fold: int | None, limit: Limit) -> ToScores:
        return ToScores(None if fold is None else (fold - 1) % FIRST, limit, asked, directory)

    return Target(
        title=title,
        about=ABOUT.format(epochs=scale.epochs),
        quality="mean test F1, %",
        paper=Paper(reference=118.6, found=25.8),
        settings=(
            Setting("reference", PAPER, REFERENCE, GIVES_UP),
            Setting("the paper's optimum", PAPER, OPTIMIZED, GIVES_UP),
            Setting("small, Adam 3e-3", WIDER, SMALL, GIVES_UP),
        ),
        searches=(
            Search("random", PAPER, et.RandomSearch, begin=REFERENCE),
            Search("as in the paper", PAPER, _paper, "random", REFERENCE),
            Search("ours", PAPER, et.Hybrid, "random", REFERENCE),
            Search("random, two genes more", WIDER, et.RandomSearch, begin=WIDER_REFERENCE),
            Search(
                "ours, two genes more",
                WIDER,
                et.Hybrid,
                "random, two genes more",
                WIDER_REFERENCE,
            ),
        ),
        training=training,
    )


def _paper(space: et.Space) -> Any:
    return et.recipes.three_parent_search(space, population_size=4)


def listed(asked: Scores) -> str:
    """Return scores in words."""
    return ", ".join(f"{task} {macro:.3f}/{micro:.3f}" for task, (macro, micro) in asked.items())


def _part(
    target: Target,
    scale: Reach,
    reference: Sequence[Run],
    found: Sequence[Found],
    storage: str,
) -> list[Run]:
    """Return the runs of the reference, of the settings and of what the searches found."""
    others = replace(target, settings=target.settings[1:])
    runs = [*reference, *run_settings(others, scale, storage)]
    return runs + fresh_runs(target, scale, found, storage, GIVES_UP)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment as the command line says, and print its tables and conclusions."""
    script = Script("three_parents_p3b1.py", SCALES)
    options, scale = script.begin(arguments)
    if options.seeds is not None:
        scale = replace(scale, searches=options.seeds)
    lines = converged(scale, script.storage(options), options.data)
    title = "Three parents: CANDLE P3B1, time to F1 scores"
    easy = target(scale, (ASKED,), title, options.data)
    found = run_searches(easy, scale, script.storage(options))
    runs = [first(trial, ASKED, "reference") for trial in lines]
    runs = _part(easy, scale, runs, found, script.storage(options))
    texts = [
        f"### The paper's scores: {listed(ASKED)} (macro/micro)",
        section(easy, scale, runs, found, script.command(arguments)),
    ]
    asked = tuple(demanded(trial, SHARE) for trial in lines)
    hard = target(scale, asked, title, options.data)
    runs = [first(trial, demand, "reference") for trial, demand in zip(lines, asked, strict=True)]
    runs = _part(hard, scale, runs, found, script.storage(options, "converged"))
    texts += [
        f"### {SHARE:.0%} of the reference's own scores after {scale.epochs} epochs",
        "Scores asked on the validation folds in turn: " + "; ".join(map(listed, asked)) + ". "
        "The searches are those above: they searched for the paper's scores, not for these.",
        section(hard, scale, runs, (), ""),
    ]
    script.end(options, title, "\n\n".join(texts))


if __name__ == "__main__":
    main()
