"""A running study on a terminal: progress, the best so far, the trials of the generation."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evotune.cli.console import is_live, params_text
from evotune.cli.tables import score_texts, trials_table
from evotune.errors import NoResultError
from evotune.protocols import Evaluate
from evotune.report.generations import generation_of
from evotune.report.text import count, duration, shorten
from evotune.study import Study
from evotune.trial import ENDED, Trial

#: Seconds between two looks for the best trial: it is a long search with several objectives.
PATIENCE = 0.25
_BAR = 40
#: Lines of the live view that are no trials.
_LINES = 11


def run_watched(study: Study, evaluate: Evaluate, console: Console, **options: Any) -> None:
    """Run a study to its end and show how it goes.

    Args:
        study: The study.
        evaluate: See `Study.run`.
        console: A terminal gets a live view, anything else one line for each trial.
        **options: Options of `Study.run`.
    """
    before = sum(trial.has_ended for trial in study.trials)
    progress = Progress(options.get("trials"), options.get("timeout"), before)
    if not is_live(console):
        study.run(evaluate, **options, callbacks=[Lines(progress, console)])
        return
    view = LiveView(study, progress, console)
    with Live(get_renderable=view.render, console=console, refresh_per_second=4, transient=True):
        study.run(evaluate, **options, callbacks=[view.take])


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come, and when it may end.

    Args:
        trials: Trials of the study after which it ends, if so.
        timeout: Seconds after which it ends, if so.
        before: Trials that had ended when it began.
    """

    trials: float | None
    timeout: float | None
    before: int
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    def seconds_left(self, ended: int) -> float | None:
        """Return the seconds until the run ends, or None when one cannot tell."""
        limits = [] if self.timeout is None else [self.timeout - self.seconds]
        if self.trials is not None and ended > self.before:
            each = self.seconds / (ended - self.before)
            limits.append(each * (self.trials - ended))
        return max(min(limits), 0.0) if limits else None

    def share(self, ended: int) -> float | None:
        """Return how much of the run is over, in [0, 1], or None when one cannot tell."""
        shares = [] if self.timeout is None else [self.seconds / self.timeout]
        if self.trials is not None:
            shares.append(ended / self.trials)
        return min(max(shares), 1.0) if shares else None

    def trials_text(self, ended: int) -> str:
        """Return ``"37/60"``, or ``"37"`` where no number of trials ends the run."""
        return f"{ended}" if self.trials is None else f"{ended}/{self.trials:g}"


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
            names = [objective.metric for objective in study.objectives.objectives]
            scores = zip(names, score_texts(trial, study.objectives), strict=True)
            parts += [f"{name}={score}" for name, score in scores]
        parts += [params_text(trial.params), duration((trial.ended or 0) - (trial.started or 0))]
        if len(study.objectives.objectives) == 1 and trial.is_done:
            parts += ["best so far"] * (study.best.number == trial.number)
        self.console.print("  ".join(parts), markup=False, soft_wrap=True)


class LiveView:
    """What a terminal shows while a study runs.

    `take` is called between two trials, `render` at any time by the thread that draws: it reads
    frozen records only.
    """

    def __init__(self, study: Study, progress: Progress, console: Console) -> None:
        self.study = study
        self.progress = progress
        self.console = console
        self._best: list[Trial] = []
        self._looked = 0.0
        self.take(study)

    def take(self, study: Study, trial: Trial | None = None) -> None:
        """Look for the best trials, unless that has just been done."""
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
        parts = [self._head(), self._bar(trials), *self._best_lines(best), self._states(trials)]
        if trials:
            parts += ["", *self._generation(trials, best)]
        return Group(*parts)

    def _head(self) -> RenderableType:
        about = f"  {self.study.objectives}  {self.study.algorithm!r}"
        line = Text(self.study.name, "bold") + Text(about, "dim")
        line.truncate(self.console.width, overflow="ellipsis")
        return line

    def _bar(self, trials: Sequence[Trial]) -> RenderableType:
        ended = sum(trial.has_ended for trial in trials)
        share, left = self.progress.share(ended), self.progress.seconds_left(ended)
        bar = ProgressBar(1.0, share or 0.0, width=_BAR, pulse=share is None)
        words = [
            f"{self.progress.trials_text(ended)} trials",
            duration(self.progress.seconds),
            "" if left is None else f"about {duration(left)} left",
        ]
        row = Table.grid(padding=(0, 2))
        row.add_row(bar, *words)
        return row

    def _best_lines(self, best: Sequence[Trial]) -> list[RenderableType]:
        if not best:
            return [Text("no result yet", "dim")]
        if len(best) > 1:
            return [Text(f"front: {len(best)} trials that no other beats in everything", "green")]
        scores = zip(self.study.objectives.objectives, score_texts(best[0], self.study.objectives))
        text = " ".join(f"{objective.metric} {score}" for objective, score in scores)
        line = Text(f"best {text}", "bold green")
        return [line + Text(f"  trial {best[0].number}: {params_text(best[0].params)}", "not bold")]

    def _states(self, trials: Sequence[Trial]) -> RenderableType:
        counts = Counter(trial.state for trial in trials)
        line = Text("  ".join(f"{n} {state}" for state, n in sorted(counts.items())))
        failed = next((t for t in reversed(trials) if t.failure is not None), None)
        if failed is not None and failed.failure is not None:
            line.append(f"  trial {failed.number}: {failed.failure.message}", "red")
        line.truncate(self.console.width, overflow="ellipsis")
        return line

    def _generation(self, trials: Sequence[Trial], best: Sequence[Trial]) -> list[RenderableType]:
        generation = generation_of(trials[-1])
        rows = [t for t in trials if generation_of(t) == generation]
        shown = rows[-max(self.console.height - _LINES, 3) :]
        title = "latest trials" if generation is None else f"generation {generation}"
        if len(shown) < len(rows) and generation is not None:
            title += f", the last {len(shown)} of {count(len(rows), 'trial')}"
        made = trials_table(
            shown,
            self.study.objectives,
            self._genes(),
            best=best[0].number if len(best) == 1 else None,
            now=time.time(),
        )
        return [Text(title), made]

    def _genes(self) -> list[str]:
        """Return the genes that fit beside the other columns."""
        metrics = [objective.metric for objective in self.study.objectives.objectives]
        free = self.console.width - 30 - sum(max(len(name), 8) + 2 for name in metrics)
        genes = []
        for name in self.study.algorithm.space.variable:
            free -= max(len(name), 9) + 2
            if free < 0:
                break
            genes.append(name)
        return genes
