"""Rerun "Evolving Hyperparameters" on FashionMNIST, beside random search and our own settings.

    python experiments/genetic_fashion_mnist.py --scale small --seeds 5 --workers 2

Every search is a study in experiments/runs/, so the same command goes on where a killed one ended.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from data import Images, fashion_mnist
from genetic_report import Results, Row, comparisons, conclusions, questions, summary
from genetic_setting import PAPER_RUNS, SCALES, Arm, PaperRun, Scale, arms, task
from tables import machine, write_section

import evotune as et

RUNS = Path(__file__).with_name("runs")


def run_arm(arm: Arm, train: et.SupervisedTask, seed: int, storage: str, workers: int) -> list[Row]:
    """Run one search to its end, or go on with it.

    Args:
        arm: The search.
        train: The training of one trial.
        seed: Seed of the search; trial k of every search with this seed starts from equal weights.
        storage: Where the study is kept.
        workers: Processes of one thread each; 1 runs in this process.

    Returns:
        One row for each of its budgets.
    """
    executor = et.InlineExecutor() if workers == 1 else et.ProcessExecutor(workers, threads=1)
    with et.Study(
        arm.algorithm(),
        "min loss",
        storage=storage,
        name=f"{arm.name}, seed {seed}",
        seed=seed,
        duplicates=arm.duplicates,
    ) as study:
        # A learning rate near 1 makes many trainings diverge; that is part of the task.
        study.run(train, arm.trials, executor=executor, max_failures=1.0)
        if study.stop_reason != "trials":
            raise SystemExit(f"ended: {study.stop_reason}; run the same command to go on")
        return [_row(arm, study.trials[:n], seed, train.epochs) for n in arm.budgets]


def _row(arm: Arm, trials: Sequence[et.Trial], seed: int, epochs: int) -> Row:
    best = min((t for t in trials if t.values), key=lambda t: t.values or ())
    seconds = ("train_seconds", "evaluation_seconds")
    return Row(
        arm=arm.name,
        trials=len(trials),
        seed=seed,
        epochs=epochs * len(trials),
        distinct=len({tuple(sorted(t.params.items())) for t in trials}),
        failed=sum(t.failure is not None for t in trials),
        validation_loss=best.metrics["loss"],
        validation_accuracy=best.metrics["accuracy"],
        test_accuracy=best.metrics["test_accuracy"],
        seconds=sum(t.metrics.get(name, 0.0) for t in trials for name in seconds),
    )


def run_all(
    scale: Scale, images: Images, seeds: Iterable[int], searches: Sequence[Arm], **where: Any
) -> list[Row]:
    """Run every search with every seed and return all rows.

    Args:
        scale: How large one training is.
        images: FashionMNIST.
        seeds: Seeds of split and search.
        searches: What is compared.
        **where: ``storage`` and ``workers`` of `run_arm`.
    """
    rows = []
    for seed in seeds:
        train = task(scale, images, seed)
        for arm in searches:
            began = time.perf_counter()
            rows += run_arm(arm, train, seed, **where)
            best = rows[-len(arm.budgets)]
            print(
                f"seed {seed} · {arm.name}: {best.trials} trials, validation loss "
                f"{best.validation_loss:.4f}, {time.perf_counter() - began:.0f} s",
                flush=True,
            )
    return rows


def section(rows: Sequence[Row], scale: Scale, runs: Sequence[PaperRun], command: str) -> str:
    """Return what the rows say, as Markdown.

    Args:
        rows: All of them.
        scale: How large one training was.
        runs: The paper's runs among them.
        command: How it was started.
    """
    results = Results(rows)
    seeds = sorted({row.seed for row in rows})
    minutes = sum(r.seconds for r in rows if r.trials == _largest(rows, r.arm)) / 60
    head = (
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}. Seeds: {_listed(seeds)}; "
        f"{minutes:.0f} minutes of training and measuring in all. Command: `{command}`.\n\n"
        f"Each trial: {scale.train:,} training and {scale.validation:,} validation images drawn "
        f"anew for each seed, {scale.test:,} test images, {scale.epochs} epochs; convolutions of "
        f"{scale.channels[0]} and {scale.channels[1]} channels (stride {scale.stride} in the "
        f"first), dense layers of {scale.dense} and 10.\n\n"
        "Best trial of each search by validation loss, mean ± standard deviation over seeds; "
        "distinct are the different settings tried, failed the trainings that diverged:"
    )
    parts = [head, summary(results)]
    if len(seeds) == 1:
        parts.append("A pilot with one seed: differences cannot be told from chance.")
    else:
        parts += [
            "Paired differences over seeds: mean (95 % interval), Wilcoxon's two-sided p (which "
            f"{len(seeds)} seeds cannot bring below {2 / 2 ** len(seeds):.2g}); not corrected for "
            "the number of comparisons:",
            comparisons(results, questions(runs)),
            "Conclusions, written by the script from these figures:",
            "\n".join(f"- {line}" for line in conclusions(results, runs)),
        ]
    return "\n\n".join(parts)


def _largest(rows: Sequence[Row], arm: str) -> int:
    return max(row.trials for row in rows if row.arm == arm)


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='"Evolving Hyperparameters" rerun.')
    parser.add_argument("--scale", choices=SCALES, default="small", help="size of each training")
    parser.add_argument("--seeds", type=int, default=5, help="run seeds 1 to this (5)")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (2)")
    parser.add_argument("--data", help="directory of the idx files; see experiments/data.py")
    parser.add_argument("--runs", type=Path, default=RUNS, help="where the studies are kept")
    parser.add_argument("--markdown", type=Path, help="file whose section is replaced or added")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.workers < 1:
        parser.error("--seeds and --workers must be 1 or more")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment as the command line says, and print its tables and conclusions."""
    options = _options(arguments)
    torch.set_num_threads(1)  # with one worker the training runs here
    scale = SCALES[options.scale]
    options.runs.mkdir(parents=True, exist_ok=True)
    # Another size of training is another experiment, which must not go on with the old trials.
    file = f"genetic_{options.scale}_{scale.train}x{scale.epochs}.db"
    rows = run_all(
        scale,
        fashion_mnist(options.data),
        range(1, options.seeds + 1),
        arms(PAPER_RUNS),
        storage=f"sqlite:///{options.runs / file}",
        workers=options.workers,
    )
    given = sys.argv[1:] if arguments is None else arguments
    command = shlex.join(["python", "experiments/genetic_fashion_mnist.py", *given])
    text = section(rows, scale, PAPER_RUNS, command)
    print(f"\n{text}")
    if options.markdown:
        title = f"Genetic algorithm on FashionMNIST, scale {options.scale}"
        write_section(options.markdown, title, text)


if __name__ == "__main__":
    main()
