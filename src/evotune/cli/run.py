"""``evotune run``: create or resume the study of a file."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from evotune.analysis.steps import inherits_weights
from evotune.analysis.text import count
from evotune.cli.config import load
from evotune.cli.console import make_console, print_next, this_command
from evotune.cli.source import Record
from evotune.cli.tables import best_table
from evotune.cli.watch import run_watched
from evotune.errors import ConfigError
from evotune.study.study import Study
from evotune.trial import Trial

#: The exit code that shells use for a program ended by Ctrl-C.
INTERRUPTED = 130
_REASONS = {
    "trials": "all trials are done",
    "timeout": "the time is up",
    "epochs": "all members have their epochs",
    "target": "the target is reached",
    "stagnation": "the best value stopped improving",
}


def run(
    file: Path, overrides: Mapping[str, Any], *, take_over: bool, retry_failed: bool = False
) -> int:
    """Run the study of a file to its end.

    Args:
        file: A TOML file; see `evotune.cli.config`.
        overrides: Values that replace those in its table ``[study]``.
        take_over: Become the driver even if another process drives the study.
        retry_failed: Try the params of failed trials again, beyond the trials of the file.

    Returns:
        The exit code.

    Raises:
        ConfigError: Failed trials cannot be tried again with this algorithm.
    """
    config = load(file, overrides)
    console = make_console()
    with config.open(take_over=take_over) as study:
        before = sum(trial.has_ended for trial in study.trials)
        if before:
            console.print(f"resuming study {study.name!r}: {count(before, 'trial')} so far")
        if hasattr(study.algorithm, "why"):
            console.print(f"algorithm {study.algorithm.why}")
        options = dict(config.of_run)
        if retry_failed:
            _retry(study, options, console)
        else:
            _tell_of_failed(study, options, console, file)
        run_watched(study, config.evaluate, console, config.log, **options)
    if study.stop_reason == "interrupted":
        print_interrupted(console, study)
        return INTERRUPTED
    _print_end(console, study, str(file), before)
    return 1 if study.counts.keys() == {"failed"} else 0


def _failed(study: Study) -> list[Trial]:
    """Return the failed trials whose params no other trial has that did not fail, each once."""
    space = study.algorithm.space
    keys = {t.number: (space.key(t.genome), t.budget) for t in study.trials}
    tried = {keys[t.number] for t in study.trials if t.state != "failed"}
    failed = {keys[t.number]: t for t in study.trials if t.state == "failed"}
    return [trial for key, trial in failed.items() if key not in tried]


def _takes_params(study: Study) -> bool:
    """Return whether a trial may have params that the algorithm did not choose."""
    traits = study.algorithm.traits
    return bool(not traits.inherits or traits.newcomers or traits.budgets)


def _tell_of_failed(study: Study, options: Mapping[str, Any], console: Console, file: Path) -> None:
    """Say that failed trials count, as a task that was mended may succeed now."""
    failed = len(_failed(study))
    if not failed or "trials" not in options or not _takes_params(study):
        return
    said = "1 failed trial counts" if failed == 1 else f"{failed} failed trials count"
    again = f"{this_command()} {shlex.join(['run', str(file), '--retry-failed'])}"
    console.print(
        f"{said} towards the {options['trials']} of the study; to try the same params again: "
        f"{again}",
        soft_wrap=True,
    )


def _retry(study: Study, options: dict[str, Any], console: Console) -> None:
    """Enqueue what failed; failed trials no longer count as trials of the study."""
    if not _takes_params(study):
        raise ConfigError(
            f"--retry-failed: {type(study.algorithm).__name__} trains one population on and on, in "
            "which params of failed trials have no weights to go on from; leave the option out"
        )
    failed = _failed(study)
    if "trials" in options:
        options["trials"] += study.counts.get("failed", 0)
    for trial in failed:
        study.enqueue(trial.params, budget=trial.budget, notes={"retry_of": trial.number})
    what = f"the params of {count(len(failed), 'failed trial')} are tried again"
    console.print(what if failed else "no failed trial is left to try again")


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
