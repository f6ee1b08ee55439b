"""The live view of a running study: progress, best so far, trials of the generation."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evotune.analysis.steps import Step, latest, steps
from evotune.analysis.text import count, duration
from evotune.cli.console import STYLES, clock, is_live, make_console, params_text
from evotune.cli.members import OWN_COLUMNS, members_table
from evotune.cli.tables import (
    genes_that_fit,
    score_names,
    score_texts,
    trials_table,
    varied_entries,
)
from evotune.errors import NoResultError, StorageError
from evotune.printing import shorten
from evotune.protocols import Evaluate
from evotune.space import Space
from evotune.study.study import Study
from evotune.trial import ENDED, Trial

#: Seconds between two updates of the best trials: with several objectives these take time.
PATIENCE = 0.25
_BAR = 40
#: Lines of the live view besides the trials.
_LINES = 11


def run_watched(
    study: Study, evaluate: Evaluate, console: Console, log: Path, **options: Any
) -> None:
    """Run a study to its end and show its progress.

    Args:
        study: The study.
        evaluate: See `Study.run`.
        console: A terminal gets a live view, anything else one line for each trial.
        log: File for the output of the trials, which would disturb a live view.
        **options: Options of `Study.run`.

    Raises:
        StorageError: The log cannot be written.
    """
    before = sum(trial.has_ended for trial in study.trials)
    limits = (options.get("trials"), options.get("timeout"), options.get("epochs"))
    progress = Progress(*limits, before, trained(steps(study.trials)))
    if not is_live(console):
        study.run(evaluate, **options, callbacks=[Lines(progress, console)], progress=False)
        return
    with output_to(log) as terminal:
        view = LiveView(study, progress, terminal)
        live = Live(get_renderable=view.render, console=terminal, transient=True)
        with live:
            study.run(evaluate, **options, callbacks=[view.take], progress=False)
    if log.exists():
        console.print(f"the output of the trials is in {log}", soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run, and its limits.

    Args:
        trials: Trials of the study after which the run ends, or None.
        timeout: Seconds after which the run ends, or None.
        epochs: Epochs of each member after which the run ends, or None.
        before: Trials that had ended when the run began.
        trained: Mean epochs of the members when the run began.
    """

    trials: float | None
    timeout: float | None
    epochs: float | None
    before: int
    trained: float
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    def seconds_left(self, ended: int, age: float) -> float | None:
        """Return the estimated seconds until the run ends, or None if unknown.

        Args:
            ended: Trials that have ended.
            age: Mean epochs that the members have been trained for.
        """
        limits = [] if self.timeout is None else [self.timeout - self.seconds]
        if self.trials is not None and ended > self.before:
            each = self.seconds / (ended - self.before)
            limits.append(each * (self.trials - ended))
        if self.epochs is not None and age > self.trained:
            each = self.seconds / (age - self.trained)
            limits.append(each * (self.epochs - age))
        return max(min(limits), 0.0) if limits else None

    def share(self, ended: int, age: float) -> float | None:
        """Return the completed share of the run in [0, 1], or None if unknown.

        Args:
            ended: Trials that have ended.
            age: Mean epochs that the members have been trained for.
        """
        shares = [] if self.timeout is None else [self.seconds / self.timeout]
        if self.trials is not None:
            shares.append(ended / self.trials)
        if self.epochs is not None and age > 0:
            shares.append(age / self.epochs)
        return min(max(shares), 1.0) if shares else None

    def trials_text(self, ended: int) -> str:
        """Return ``"37/60"``, or ``"37"`` if the number of trials is not limited."""
        return f"{ended}" if self.trials is None else f"{ended}/{self.trials:g}"


def trained(made: Sequence[Step]) -> float:
    """Return the mean epochs that the members' weights were trained for; 0 without members."""
    ages = [s.end if s.trial.has_ended else s.start for s in latest(made)]
    return sum(ages) / len(ages) if ages else 0.0


@contextmanager
def output_to(log: Path) -> Iterator[Console]:
    """Append the output of this process and its child processes to a file.

    Yields:
        A console on the terminal to which they wrote before.

    Raises:
        StorageError: The file cannot be written.
    """
    try:
        file = log.open("ab")
    except OSError as error:
        raise StorageError(f"the log {log} cannot be written: {error.strerror}") from error
    sys.stdout.flush()
    sys.stderr.flush()
    output, errors = os.dup(1), os.dup(2)
    with file, os.fdopen(os.dup(output), "w", encoding=sys.stdout.encoding) as terminal:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield make_console(terminal)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(output, 1)
            os.dup2(errors, 2)
            os.close(output)
            os.close(errors)
            if file.tell() == 0:
                log.unlink()


class Lines:
    """One line for each trial, for a log file or a pipe."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self.progress = progress
        self.console = console

    def __call__(self, study: Study, trial: Trial) -> None:
        """Print the line of a trial that has ended."""
        ended = sum(study.counts.get(state, 0) for state in ENDED)
        parts = [f"[{self.progress.trials_text(ended)}] trial {trial.number} {trial.state}"]
        if trial.failure is not None:
            parts.append(shorten(trial.failure.message, 200))
        else:
            names, texts = score_names(study.objectives), score_texts(trial, study.objectives)
            scores = zip(names, texts, strict=True)
            parts += [f"{name}={score}" for name, score in scores]
            parts += ["breaks a constraint"] * (trial.violation > 0)
        if trial.donors and trial.checkpoint is not None:
            donors = "+".join(map(str, trial.donors))
            parts.append(f"epoch {trial.checkpoint.epochs:g}, weights of {donors}")
        parts += [params_text(trial.params), duration((trial.ended or 0) - (trial.started or 0))]
        if len(study.objectives.objectives) == 1 and trial.is_done:
            parts += ["best so far"] * (study.best.number == trial.number)
        self.console.print("  ".join(parts), soft_wrap=True)


class LiveView:
    """What a terminal shows while a study runs.

    `take` is called between two trials; `render` may be called at any time by the drawing thread,
    as it reads only frozen records.
    """

    def __init__(self, study: Study, progress: Progress, console: Console) -> None:
        self.study = study
        self.progress = progress
        self.console = console
        self._best: list[Trial] = []
        self._looked = 0.0
        self.take(study)

    def take(self, study: Study, trial: Trial | None = None) -> None:
        """Update the best trials, unless this was just done."""
        if time.monotonic() - self._looked < PATIENCE:
            return
        try:
            self._best = study.front if len(study.objectives.objectives) > 1 else [study.best]
        except NoResultError:
            self._best = []
        self._looked = time.monotonic()

    def render(self) -> RenderableType:
        """Return what is shown now."""
        trials, best = self.study.trials, self._best
        lines = [self._head(), self._best_line(best), self._states(trials)]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        parts: list[RenderableType] = [lines[0], self._bar(trials), *lines[1:]]
        members = latest(steps(trials))
        if members:
            parts += ["", *self._members(members, best)]
        elif trials:
            parts += ["", *self._generation(trials, best)]
        return Group(*parts)

    def _head(self) -> Text:
        algorithm = type(self.study.algorithm).__name__
        return Text.assemble(
            (self.study.name, "bold"), (f"  {self.study.objectives}  {algorithm}", "dim")
        )

    def _bar(self, trials: Sequence[Trial]) -> RenderableType:
        ended = sum(trial.has_ended for trial in trials)
        age = trained(steps(trials))
        share, left = self.progress.share(ended, age), self.progress.seconds_left(ended, age)
        pulse = share is None
        bar = ProgressBar(1.0, share or 0.0, width=_BAR, pulse=pulse, complete_style="cyan")
        words = [f"{self.progress.trials_text(ended)} trials", clock(self.progress.seconds)]
        if self.progress.epochs is not None and age > 0:
            words.insert(1, f"epoch {age:.3g}/{self.progress.epochs:g}")
        if left is not None:
            words.append(f"about {clock(left)} left")
        row = Table.grid(padding=(0, 2))
        row.add_row(bar, *words)
        return row

    def _best_line(self, best: Sequence[Trial]) -> Text:
        if not best:
            return Text("no result yet", "dim")
        if len(self.study.objectives.objectives) > 1:
            return Text(f"front: {count(len(best), 'trial')}, not dominated", "bold green")
        metric = self.study.objectives.objectives[0].metric
        score, *_ = score_texts(best[0], self.study.objectives)
        variable = varied_entries(self.study.algorithm.space)
        params = {name: value for name, value in best[0].params.items() if name in variable}
        about = f"  trial {best[0].number}: {params_text(params)}"
        return Text.assemble((f"best {metric} {score}", "bold green"), about)

    def _states(self, trials: Sequence[Trial]) -> Text:
        counts = Counter(trial.state for trial in trials)
        line = Text("  ".join(f"{counts[state]} {state}" for state in STYLES if counts[state]))
        failed = next((t for t in reversed(trials) if t.failure is not None), None)
        if failed is not None and failed.failure is not None:
            line.append(f"  trial {failed.number} failed: {failed.failure.message}", "red")
        return line

    def _members(self, members: Sequence[Step], best: Sequence[Trial]) -> list[RenderableType]:
        shown = members[: max(self.console.height - _LINES, 3)]
        title = f"generation {max(step.generation for step in members)}"
        if len(shown) < len(members):
            title += f": {len(shown)} of {count(len(members), 'member')}"
        space, objectives = self.study.algorithm.space, self.study.objectives
        fitting = genes_that_fit(space, objectives, self.console.width, OWN_COLUMNS)
        title += _left_out(space, fitting)
        number = best[0].number if len(best) == 1 else None
        made = members_table(shown, objectives, fitting, best=number)
        return [Text(title, "bold", no_wrap=True, overflow="ellipsis"), made]

    def _generation(self, trials: Sequence[Trial], best: Sequence[Trial]) -> list[RenderableType]:
        generation = trials[-1].origin.generation
        rows = list(takewhile(lambda t: t.origin.generation == generation, reversed(trials)))[::-1]
        shown = rows[-max(self.console.height - _LINES, 3) :]
        title = "latest trials" if generation is None else f"generation {generation}"
        if len(shown) < len(rows) and generation is not None:
            title += f": the last {len(shown)} of {count(len(rows), 'trial')}"
        space = self.study.algorithm.space
        fitting = genes_that_fit(space, self.study.objectives, self.console.width)
        title += _left_out(space, fitting)
        made = trials_table(
            shown,
            self.study.objectives,
            fitting,
            best=best[0].number if len(best) == 1 else None,
            now=time.time(),
        )
        return [Text(title, "bold", no_wrap=True, overflow="ellipsis"), made]


def _left_out(space: Space, fitting: Sequence[str]) -> str:
    """Return the end of a title that names the genes for which there was no room."""
    left = varied_entries(space)[len(fitting) :]
    return f", without {', '.join(left)}" if left else ""
