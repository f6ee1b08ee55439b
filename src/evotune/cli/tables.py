"""Recorded studies as tables for a terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evotune.analysis.lineage import weights_line
from evotune.analysis.steps import Step
from evotune.analysis.text import count
from evotune.cli.console import STYLES, params_text
from evotune.cli.source import Record
from evotune.evolution.hypervolume import knee
from evotune.objectives import Objectives
from evotune.printing import number, printable
from evotune.space import Domain, Space
from evotune.trial import Trial

FRONT_AT_MOST = 20
#: Tables of more rows are printed without colours.
PLAIN_FROM = 500
#: Room for the columns trial, state and seconds, and for a number with four digits and exponent.
_OWN_COLUMNS, _NUMBER = 28, 9
#: Room for the layers of a chain, or a schedule, which go on in further lines.
LAYERS_AT_LEAST = 36
#: Room for the columns epochs and weights.
_TRAINING_COLUMNS = 18
#: Of a longer line of inherited weights, only the last trials are shown.
LINE_AT_MOST = 12


def table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table; a column whose name starts with ``>`` is aligned to the right."""
    made = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        title=title,
        title_style="bold",
        title_justify="left",
    )
    for column in columns:
        name = column.removeprefix(">")
        right = name != column
        made.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    return made


def filled(
    columns: Iterable[str], rows: Iterable[Iterable[str | Text]], bold: Iterable[bool]
) -> Table:
    """Return a table with these columns, see `table`, and rows, some of them bold."""
    made = table(*columns)
    for row, stands_out in zip(rows, bold, strict=True):
        made.add_row(*row, style="bold" if stands_out else None)
    return made


def print_rows(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    bold: Sequence[bool] | None = None,
) -> None:
    """Print a table; a long one plainly, since laying it out would take most of a minute.

    Args:
        console: Where to.
        columns: See `table`.
        rows: The cells of each row.
        bold: Which rows stand out; none in a long table.
    """
    if len(rows) <= PLAIN_FROM:
        console.print(filled(columns, rows, [False] * len(rows) if bold is None else bold))
        return
    padded = []
    for column, *texts in zip(columns, *rows, strict=True):
        name = column.removeprefix(">")
        cells = _plain([name, *texts])
        pad = str.ljust if name == column else str.rjust
        if "".join(cells).isascii():
            width = max(map(len, cells))
            padded.append([pad(cell, width) for cell in cells])
        else:  # some characters take two places, some none
            widths = list(map(cell_len, cells))
            width = max(widths)
            pairs = zip(cells, widths, strict=True)
            padded.append([pad(cell, width - places + len(cell)) for cell, places in pairs])
    lines = ["  ".join(row).rstrip() for row in zip(*padded, strict=True)]
    rule = sum(len(cells[0]) for cells in padded) + 2 * len(padded) - 2
    lines.insert(1, "─" * rule)
    console.file.write("\n".join(lines) + "\n")


def _plain(cells: Iterable[str | Text]) -> list[str]:
    """Return cells as printable texts of one line."""
    texts = [str(cell) for cell in cells]
    whole = " ".join(texts)
    if printable(whole) == whole and "\n" not in whole:  # nearly always, and far faster
        return texts
    return [printable(text).replace("\n", " ") for text in texts]


def score_names(objectives: Objectives) -> list[str]:
    """Return the names of the objectives, and of the other metrics that constraints bound."""
    names = [objective.metric for objective in objectives.objectives]
    return list(dict.fromkeys([*names, *(bound.metric for bound in objectives.constraints)]))


def score_texts(trial: Trial, objectives: Objectives) -> list[str]:
    """Return what `score_names` names, in the sign of the metrics; empty texts without values."""
    names = score_names(objectives)
    if trial.values is None:
        return [""] * len(names)
    pairs = zip(objectives.objectives, trial.values, strict=True)
    scores = [number(objective.score(value)) for objective, value in pairs]
    return [*scores, *(number(trial.metrics[name]) for name in names[len(scores) :])]


def is_infeasible(trial: Trial) -> bool:
    """Return whether a trial that has values breaks a constraint."""
    return trial.is_done and trial.violation > 0


def state_text(trial: Trial) -> Text:
    """Return a trial's state in its colour, or "infeasible" if it breaks a constraint."""
    if is_infeasible(trial):
        return Text("infeasible", STYLES["stopped"])
    return Text(trial.state, STYLES[trial.state])


def seconds_text(trial: Trial, now: float | None = None) -> str:
    """Return how long a trial took, or has been running at the Unix time ``now``."""
    end = trial.ended if trial.has_ended else now
    if trial.started is None or end is None:
        return ""
    return f"{max(end - trial.started, 0.0):.1f}"


def genes_that_fit(
    space: Space, objectives: Objectives, width: int, own: int = _OWN_COLUMNS
) -> list[str]:
    """Return the first varied genes, chains and schedules, as many as fit in a table of this width.

    Args:
        space: The space.
        objectives: Objectives and constraints of the study, each metric a column.
        width: Characters in a line.
        own: Characters that the other columns take; by default those of a `trials_table`.
    """
    free = width - own - sum(max(len(name), _NUMBER) + 2 for name in score_names(objectives))
    fitting = []
    for name in varied_entries(space):
        widest = LAYERS_AT_LEAST if name in space.compounds else _widest(space[name])
        free -= max(len(name), widest) + 2
        if free < 0:
            break
        fitting.append(name)
    return fitting


def varied_entries(space: Space) -> list[str]:
    """Return the names in params that have more than one value: genes, chains and schedules."""
    varied = set(space.variable)
    return [name for name, genes in space.entries.items() if varied.intersection(genes)]


def _widest(domain: Domain) -> int:
    listed = domain.values() if domain.size <= 100 else ()
    return max((len(number(value)) for value in listed), default=_NUMBER)


def trials_table(
    trials: Sequence[Trial],
    objectives: Objectives,
    genes: Sequence[str] | None,
    *,
    steps: Mapping[int, Step] | None = None,
    best: int | None = None,
    now: float | None = None,
) -> Table:
    """Return one row for each trial.

    Args:
        trials: In the order of the rows.
        objectives: Objectives of the study.
        genes: Names of the genes to show, one per column; None puts all into one column.
        steps: Each trial as a step of its member, by number, where weights are inherited.
        best: Number of the trial to mark.
        now: Current Unix time in seconds, for how long running trials have run.
    """
    columns, rows = _trial_rows(trials, objectives, genes, steps, now)
    return filled(columns, rows, bold=[trial.number == best for trial in trials])


def _trial_rows(
    trials: Sequence[Trial],
    objectives: Objectives,
    genes: Sequence[str] | None,
    steps: Mapping[int, Step] | None,
    now: float | None = None,
) -> tuple[list[str], Iterator[list[str | Text]]]:
    """Return the columns of `trials_table`, and the cells of each row."""
    names = [f">{name}" for name in score_names(objectives)]
    params = ["params"] if genes is None else param_columns(genes, trials)
    training = [">epochs", ">weights"] if steps else []
    rows = (
        [
            str(trial.number),
            state_text(trial),
            seconds_text(trial, now),
            *(_training_texts(steps[trial.number]) if steps else ()),
            *score_texts(trial, objectives),
            *_param_texts(trial.params, genes),
        ]
        for trial in trials
    )
    return [">trial", "state", ">seconds", *training, *names, *params], rows


def _param_texts(params: Mapping[str, Any], genes: Sequence[str] | None) -> list[str]:
    if genes is None:
        return [params_text(params)]
    return [number(params[gene]) if gene in params else "–" for gene in genes]


def param_columns(names: Sequence[str], trials: Iterable[Trial]) -> list[str]:
    """Return the columns of params: numbers on the right, what may wrap on the left."""
    params = [item for trial in trials for item in trial.params.items()]
    wraps = {name for name, value in params if isinstance(value, list | Mapping)}
    return [name if name in wraps else f">{name}" for name in names]


def _training_texts(step: Step) -> tuple[str, str]:
    """Return the epochs that a trial trained, and the donors of its weights."""
    return step.epochs, "+".join(map(str, step.trial.donors)) or "fresh"


def print_trials(
    console: Console, trials: Sequence[Trial], record: Record, *, best: int | None
) -> None:
    """Print one row for each trial with all its genes, one per column if they fit."""
    columns, rows = _trial_rows(trials, record.objectives, *_whole(record, console.width))
    print_rows(console, columns, list(rows), bold=[trial.number == best for trial in trials])


def _whole(record: Record, width: int) -> tuple[Sequence[str] | None, Mapping[int, Step] | None]:
    """Return all genes, if each fits in a column of its own, and the steps of a population."""
    own = _OWN_COLUMNS + _TRAINING_COLUMNS * record.inherits
    fitting = genes_that_fit(record.space, record.objectives, width, own)
    genes = fitting if len(fitting) == len(varied_entries(record.space)) else None
    return genes, record.steps if record.inherits else None


def best_table(record: Record, width: int) -> Table:
    """Return the best trial as two columns, or with several objectives the front as rows.

    Args:
        record: A study with a trial that is done.
        width: Characters in a line.
    """
    if len(record.objectives.objectives) > 1:
        front = record.ledger.front()
        shown = front[:FRONT_AT_MOST]
        middle = front[knee(np.array([t.values for t in front]))].number if len(front) > 2 else None
        genes, steps = _whole(record, width)
        made = trials_table(shown, record.objectives, genes, steps=steps, best=middle)
        made.title = f"front: {count(len(front), 'trial')} not dominated by any other"
        if middle is not None:
            made.title += f"; trial {middle} is the knee"
        if len(shown) < len(front):
            made.caption = f"and {len(front) - len(shown)} more"
        return made
    best = record.best
    infeasible = ", which breaks a constraint as all others do" if best.violation else ""
    made = table("", "", title=f"best: trial {best.number}{infeasible}")
    made.show_header = False
    repeats = f" (mean of {best.repeats})" if best.repeats > 1 else ""
    for name, value in best.metrics.items():
        spread = f" ± {number(best.spread[name])}" if name in best.spread else ""
        style = "bold green" if name in record.objectives.needed else "dim"
        made.add_row(name, f"{number(value)}{spread}{repeats}", style=style)
    for name, value in best.params.items():
        made.add_row(name, number(value))
    if record.inherits:
        made.add_row("epochs", f"{record.steps[best.number].end:g}", style="dim")
        made.add_row("weights from", _line_text(record, best), style="dim")
    return made


def _line_text(record: Record, trial: Trial) -> str:
    line = [str(t.number) for t in weights_line(record.trials, trial.number)[:-1]]
    cut = "… " * (len(line) > LINE_AT_MOST)
    return cut + " → ".join(line[-LINE_AT_MOST:]) if line else "fresh"
