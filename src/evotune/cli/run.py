"""``evotune run``: create a study from a file, or go on with it."""

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

#: What the shell itself gives a program that Ctrl-C ended.
INTERRUPTED = 130
_REASONS = {
    "trials": "all trials are done",
    "timeout": "the time is up",
    "epochs": "all members have their epochs",
    "target": "the target is reached",
    "stagnation": "it no longer got better",
}


def run(file: Path, overrides: Mapping[str, Any], *, take_over: bool) -> int:
    """Run the study of a file to its end.

    Args:
        file: A TOML file; see `evotune.cli.config`.
        overrides: Values that go before those in its table ``[study]``.
        take_over: Become the driver although another process is.

    Returns:
        The exit code.
    """
    config = load(file, overrides)
    console = make_console()
    with config.open(take_over=take_over) as study:
        before = sum(trial.has_ended for trial in study.trials)
        if before:
            console.print(f"going on with study {study.name!r}: {count(before, 'trial')} so far")
        if hasattr(study.algorithm, "why"):
            console.print(f"algorithm {study.algorithm.why}")
        run_watched(study, config.evaluate, console, config.log, **config.of_run)
    if study.stop_reason == "interrupted":
        print_interrupted(console, study)
        return INTERRUPTED
    _print_end(console, study, str(file), before)
    return 1 if study.counts.keys() == {"failed"} else 0


def print_interrupted(console: Console, study: Study) -> None:
    """Say that nothing is lost."""
    ended = sum(trial.has_ended for trial in study.trials)
    console.print(f"interrupted: {count(ended, 'trial')} kept; run the same command to go on")


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
        return "all members had their epochs before; raise --epochs to go on"
    if study.stop_reason == "trials" and not news:
        return "all trials were done before; raise --trials to go on"
    return _REASONS.get(study.stop_reason, study.stop_reason)
