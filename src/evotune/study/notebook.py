"""What a notebook shows of a study: a few tables, and a chart that follows it."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from evotune.analysis.text import duration, label
from evotune.checks import option
from evotune.errors import NoResultError, StudyError
from evotune.printing import html_table, number, shorten
from evotune.protocols import StudyDefinition
from evotune.study.lock import is_at_work
from evotune.study.progress import in_notebook
from evotune.trial import Trial, TrialList

#: Trials of a front that stand in a study's table.
FRONT_AT_MOST = 10
#: A look takes at most this share of the time, however many trials there are.
_SHARE = 0.2


def study_html(study: Any) -> str:
    """Return a study as HTML: what it is, how far it is, and its best trial or front."""
    trials = study.trials
    seconds = sum(_seconds(trial) for trial in trials)
    rows = [
        ("objective", study.objectives),
        ("algorithm", shorten(study.definition.algorithm, 120)),
        ("trials", _states(study.counts)),
        ("training time", duration(seconds)),
    ]
    parts = [html_table(("study", study.name), rows)]
    try:
        if len(study.objectives.objectives) > 1:
            front = study.front
            title = f"Pareto front: {len(front)} of {len(trials)} trials"
            parts.append(html_table((), (), title=title))
            parts.append(TrialList(front[:FRONT_AT_MOST])._repr_html_())
        else:
            best = study.best
            [objective] = study.objectives.objectives
            score = number(objective.score(best.values[0]), 5)
            params = [(name, number(value)) for name, value in best.params.items()]
            title = f"Best: {objective.metric} {score}, trial {best.number}"
            parts.append(html_table(("param", "value"), params, title=title))
    except NoResultError as nothing:
        parts.append(html_table((), (), notes=[str(nothing)]))
    return "".join(parts)


def _seconds(trial: Trial) -> float:
    seconds = trial.metrics.get("train_seconds", 0.0)
    return seconds if isinstance(seconds, int | float) and 0 < seconds < 1e12 else 0.0


def _states(counts: Any) -> str:
    return ", ".join(f"{amount:,} {state}" for state, amount in counts.items()) or "none yet"


@dataclass(frozen=True, slots=True)
class _Look:
    """A study as it is now."""

    definition: StudyDefinition
    trials: Sequence[Trial]
    is_running: bool


def watch(study: Any, every: float = 2.0) -> None:
    """See `Study.watch`."""
    every = option("every", every, "(0, inf)")
    if not in_notebook():
        raise StudyError(
            "study.watch() draws in a notebook, and this is none; elsewhere study.run(..., "
            'progress=True) shows how far it is, and study.report("report.html") writes a page '
            "for a browser"
        )
    ipython: Any = import_module("IPython.display")  # only notebooks have it

    waiting = ipython.HTML(
        html_table((), (), notes=[f"study {study.name!r}: no trial is done yet"])
    )
    handle = ipython.display(waiting, display_id=True)
    with suppress(KeyboardInterrupt):  # the way to end it early: nothing is lost
        _follow(study, every, handle)


def _follow(study: Any, every: float, handle: Any) -> None:
    """Draw a study anew whenever it has changed, until nobody runs it."""
    idle, drawn = 0, None
    while True:
        began = time.monotonic()
        look = _look(study)
        idle = 0 if look.is_running else idle + 1
        seen: Counter[str] = Counter(trial.state for trial in look.trials)
        if seen != drawn:
            figure = _chart(look, seen)
            if figure is not None:
                handle.update(_bundle(figure), raw=True)
            drawn = seen
        if idle > 1:  # a thread that was just started is not inside run() at once
            return
        time.sleep(max(every, (time.monotonic() - began) / _SHARE))


def _look(study: Any) -> _Look:
    if study._engine.is_driver:
        is_running = study._run is not None  # before the trials: what ended since is among them
        return _Look(study.definition, study.trials, is_running)
    storage, name = study.storage, study.name
    drivers = [each.driver for each in storage.studies() if each.definition.name == name]
    is_running = any(driver is not None and is_at_work(driver) for driver in drivers)
    return _Look(study.definition, storage.trials(name), is_running)


def _bundle(figure: Any) -> dict[str, Any]:
    """Return a figure as what a notebook shows: displayed as it is, it would not be replaced."""
    return {
        "application/vnd.plotly.v1+json": json.loads(figure.to_json()),
        "text/html": figure.to_html(include_plotlyjs="cdn", full_html=False),
    }


def _chart(look: _Look, seen: Mapping[str, int]) -> Any:
    """Return the figure, or None as long as there is nothing to draw."""
    from evotune.report import figures

    data = figures.prepare(look)
    if not data.done:
        return None
    several = data.has_several_objectives
    figure = figures.front(data) if several else figures.progress(data)
    place = data.ranking[0]
    best = "" if several else f"best {number(float(data.first_scores[place]))}, "
    title = label(f"{data.definition.name}: {best}{_states(seen)}", 110)
    top = figure.layout.margin.t or figure.layout.template.layout.margin.t
    title_at = {"text": title, "font": {"size": 14}}
    return figure.update_layout(title=title_at, margin={"t": top + 40})
