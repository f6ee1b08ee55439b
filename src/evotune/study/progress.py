"""What a run shows while it goes on: a bar where someone looks, or one line a trial."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from evotune.checks import flag
from evotune.errors import EvotuneError, NoResultError, StudyError
from evotune.printing import number, printable, shorten
from evotune.trial import Trial

#: Seconds between two looks at the best trials: with several objectives these take time.
PATIENCE = 0.25

#: Called with a study and a trial that has ended.
Callback = Callable[[Any, Trial], None]

#: How progress is shown; "" not at all.
Way = Literal["bar", "lines", ""]


@contextmanager
def shown(study: Any, trials: float | None, progress: bool | None) -> Iterator[list[Callback]]:
    """Yield what is to be called after each trial, so that the run is seen.

    Args:
        study: The study that runs.
        trials: Trials of the whole study; None or infinity where they are not known.
        progress: Whether to show anything; None does where someone looks: in a notebook, and where
            the standard error is a terminal. Elsewhere True writes one line a trial to it.
    """
    way = way_of(progress)
    if way == "bar":
        with _Bar(study, trials) as bar:
            yield [bar]
    else:
        yield [_print_line] if way == "lines" else []


def way_of(progress: bool | None, error_type: type[EvotuneError] = StudyError) -> Way:
    """Return how progress is shown: as a bar, as lines, or not at all.

    Args:
        progress: What the user wrote, see `shown`.
        error_type: What is raised.

    Raises:
        EvotuneError: Of that type: it is none of True, False and None.
    """
    looked_at = in_notebook() or sys.stderr.isatty()
    wanted = looked_at if progress is None else flag("progress", progress, error_type)
    if not wanted:
        return ""
    return "bar" if looked_at else "lines"


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class _Bar:
    """A bar of the trials that have ended, with the best so far."""

    def __init__(self, study: Any, trials: float | None) -> None:
        from tqdm.auto import tqdm  # not needed where nobody looks

        is_known = trials is not None and math.isfinite(trials)
        self._study, self._looked = study, -math.inf
        self._bar = tqdm(
            desc=shorten(study.name, 30),
            total=trials if is_known else None,
            initial=sum(trial.has_ended for trial in study.trials),
            unit=" trials",
            dynamic_ncols=True,
        )

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._look()
        self._bar.close()

    def __call__(self, study: Any, trial: Trial) -> None:
        """Count a trial that has ended."""
        if time.monotonic() - self._looked > PATIENCE:
            self._look()
        self._bar.update()

    def _look(self) -> None:
        self._bar.set_postfix_str(best_text(self._study), refresh=False)
        self._looked = time.monotonic()


def best_text(study: Any) -> str:
    """Return the best so far, and how many trials have failed."""
    failed = study.counts.get("failed", 0)
    words = [f"{failed} failed"] * bool(failed)
    try:
        if len(study.objectives.objectives) > 1:
            words.insert(0, f"{len(study.front)} on the front")
        else:
            [objective], best = study.objectives.objectives, study.best
            words.insert(0, f"best {objective.metric} {number(objective.score(best.values[0]))}")
    except NoResultError:
        pass
    return ", ".join(words)


def line(study: Any, trial: Trial) -> str:
    """Return what became of a trial, and of which params."""
    params = "  ".join(f"{name}={number(value)}" for name, value in trial.params.items())
    if trial.failure is not None:
        return f"trial {trial.number} failed  {shorten(trial.failure.message, 200)}  {params}"
    metrics = [name for name in study.objectives.needed if name in trial.metrics]
    scores = "  ".join(f"{name}={number(trial.metrics[name])}" for name in metrics)
    return f"trial {trial.number} {trial.state}  {scores}  {params}"


def _print_line(study: Any, trial: Trial) -> None:
    parts = [line(study, trial), best_text(study)]
    print(printable("  ".join(filter(None, parts))), file=sys.stderr, flush=True)
