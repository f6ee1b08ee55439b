"""Recorded studies as tables for a terminal."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from evotune.cli.console import STYLES
from evotune.cli.source import Record
from evotune.objectives import Objectives
from evotune.report.text import count, number
from evotune.trial import Trial

FRONT_AT_MOST = 20


def table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table; a column whose name starts with ``>`` is aligned to the right."""
    made = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        title=title and f"\n{title}",
        title_style="bold",
        title_justify="left",
    )
    for column in columns:
        name = column.removeprefix(">")
        made.add_column(name, justify="right" if name != column else "left", overflow="fold")
    return made


def score_texts(trial: Trial, objectives: Objectives) -> list[str]:
    """Return a trial's objectives as the user means them; empty texts where there are none."""
    if trial.values is None:
        return [""] * len(objectives.objectives)
    pairs = zip(objectives.objectives, trial.values, strict=True)
    texts = [number(objective.score(value)) for objective, value in pairs]
    return [f"{text} (infeasible)" for text in texts] if trial.violation else texts


def seconds_text(trial: Trial, now: float | None = None) -> str:
    """Return how long a trial took, or has been running at the Unix time ``now``."""
    end = trial.ended if trial.has_ended else now
    if trial.started is None or end is None:
        return ""
    return f"{max(end - trial.started, 0.0):.1f}"


def trials_table(
    trials: Iterable[Trial],
    objectives: Objectives,
    genes: Sequence[str],
    *,
    best: int | None = None,
    now: float | None = None,
) -> Table:
    """Return one row for each trial.

    Args:
        trials: In the order of the rows.
        objectives: Objectives of the study.
        genes: Names of the genes that are shown.
        best: Number of the trial to mark.
        now: Unix time in seconds up to which running trials have run.
    """
    names = [objective.metric for objective in objectives.objectives]
    right = [f">{name}" for name in (*names, *genes)]
    made = table(">trial", "state", *right, ">seconds")
    for trial in trials:
        cells = [number(trial.params[gene]) if gene in trial.params else "–" for gene in genes]
        state = Text(trial.state, STYLES[trial.state])
        scores = score_texts(trial, objectives)
        style = "bold" if trial.number == best else None
        seconds = seconds_text(trial, now)
        made.add_row(str(trial.number), state, *scores, *cells, seconds, style=style)
    return made


def best_table(record: Record) -> Table:
    """Return the best trial as two columns, or with several objectives the front as rows."""
    if len(record.objectives.objectives) > 1:
        front = record.ledger.front()
        shown = front[:FRONT_AT_MOST]
        made = trials_table(shown, record.objectives, record.space.variable)
        made.title = f"\nfront: {count(len(front), 'trial')} that no other beats in everything"
        if len(shown) < len(front):
            made.caption = f"and {len(front) - len(shown)} more"
        return made
    best = record.best
    made = table("", "", title=f"best: trial {best.number}")
    made.show_header = False
    repeats = f" (mean of {best.repeats})" if best.repeats > 1 else ""
    for name, value in best.metrics.items():
        spread = f" ± {number(best.spread[name])}" if name in best.spread else ""
        style = "bold green" if name in record.objectives.needed else "dim"
        made.add_row(name, f"{number(value)}{spread}{repeats}", style=style)
    for name, value in best.params.items():
        made.add_row(name, number(value))
    return made
