"""``evotune run``: create or resume the study of a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from evotune.analysis.steps import inherits_weights
from evotune.analysis.text import count
from evotune.cli.config import load
from evotune.cli.console import make_console, print_next
from evotune.cli.source import Record
from evotune.cli.tables import best_table
from evotune.cli.watch import run_watched
from evotune.study.study import Study

#: The exit code that shells use for a program ended by Ctrl-C.
INTERRUPTED = 130
_REASONS = {
    "trials": "all trials are done",
    "timeout": "the time is up",
    "epochs": "all members have their epochs",
    "target": "the target is reached",
    "stagnation": "the best value stopped improving",
}


def run(file: Path, overrides: Mapping[str, Any], *, take_over: bool) -> int:
    """Run the study of a file to its end.

    Args:
        file: A TOML file; see `evotune.cli.config`.
        overrides: Values that replace those in its table ``[study]``.
        take_over: Become the driver even if another process drives the study.

    Returns:
        The exit code.
    """
    config = load(file, overrides)
    console = make_console()
    with config.open(take_over=take_over) as study:
        before = sum(trial.has_ended for trial in study.trials)
        if before:
            console.print(f"resuming study {study.name!r}: {count(before, 'trial')} so far")
        if hasattr(study.algorithm, "why"):
            console.print(f"algorithm {study.algorithm.why}")
        run_watched(study, config.evaluate, console, config.log, **config.of_run)
    if study.stop_reason == "interrupted":
        print_interrupted(console, study)
        return INTERRUPTED
    _print_end(console, study, str(file), before)
    return 1 if study.counts.keys() == {"failed"} else 0


def print_interrupted(console: Console, study: Study) -> None:
    """Print how many trials were kept and how to resume."""
    ended = sum(trial.has_ended for trial in study.trials)
    console.print(f"interrupted: {count(ended, 'trial')} kept; run the same command to resume")


def _print_end(console: Console, study: Study, file: str, before: int) -> None:
    record = Record(study.definition, study.trials)
    counts = ", ".join(f"{n} {state}" for state, n in study.counts.items())
    news = len(study.trials) - before
    console.print(f"study {study.name!r}: {counts}; {_why(study, news)}")
    console.print()
    console.print(best_table(record, console.width))
    schedule = [("schedule", file)] * inherits_weights(study.trials)
    print_next(console, [("show", file), *schedule, ("report", file), ("best", file, "--json")])


def _why(study: Study, news: int) -> str:
    if study.exhausted:
        return "every point of the space was tried"
    if study.stop_reason == "epochs" and not news:
        return "all members already had their epochs; raise --epochs to continue"
    if study.stop_reason == "trials" and not news:
        return "all trials were already done; raise --trials to continue"
    return _REASONS.get(study.stop_reason, study.stop_reason)
