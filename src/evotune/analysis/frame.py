"""The trials as a pandas table."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from evotune.printing import number
from evotune.trial import Trial

_OWN = (
    "number",
    "state",
    "generation",
    "budget",
    "weights_from",
    "parents",
    "repeat_of",
    "violation",
)
_LAST = ("started", "ended", "failure")


@pd.option_context("mode.string_storage", "python")  # Arrow's refuses lone surrogates
def to_frame(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return one row for each trial.

    Columns: ``number``, ``state``, ``generation`` (where the algorithm notes one), ``budget``,
    ``weights_from``, ``parents`` (a tuple of numbers), ``repeat_of``, ``violation`` (of all
    constraints, relative; 0 is feasible); then every metric under its
    own name (``metrics_`` goes before a name that is taken); then every gene as ``params_<gene>``,
    missing where it is not active, whole numbers as ``Int64`` then, the layers of a chain, or a
    schedule, as one text, so that rows can be grouped by it (`Trial.params` has the records); then
    what trials noted, as ``notes_<name>``; then ``started`` and ``ended`` (UTC) and ``failure``,
    the message.
    ``train_seconds`` and ``evaluation_seconds`` are metrics, in seconds.

    Args:
        trials: The trials of a study, in the order of the rows.
    """
    metrics = _names(trial.metrics for trial in trials)
    genes = _names(trial.params for trial in trials)
    notes = [_note(name) for name in _names(trial.notes for trial in trials)]
    columns = [*_OWN, *(_metric(name) for name in metrics), *map(_gene, genes), *notes, *_LAST]
    frame = pd.DataFrame([_row(trial) for trial in trials], columns=columns)
    whole = ("generation", "weights_from", "repeat_of")
    numbers = dict.fromkeys(("budget", "violation"), "float64")
    frame = frame.astype(dict.fromkeys(whole, "Int64") | numbers)
    for gene in genes:
        values = _whole_with_gaps(trials, gene)
        if values is not None:
            frame[_gene(gene)] = values
    return frame if frame["generation"].notna().any() else frame.drop(columns="generation")


def _row(trial: Trial) -> dict[str, Any]:
    own = {
        "number": trial.number,
        "state": trial.state,
        "generation": trial.origin.generation,
        "budget": trial.budget,
        "weights_from": trial.weights_from,
        "parents": trial.parents,
        "repeat_of": trial.repeat_of,
        "violation": trial.violation if trial.is_done else None,
        "started": _time(trial.started),
        "ended": _time(trial.ended),
        "failure": trial.failure.message if trial.failure else None,
    }
    metrics = {_metric(name): value for name, value in trial.metrics.items()}
    genes = {_gene(name): _plain(value) for name, value in trial.params.items()}
    return own | metrics | genes | {_note(name): value for name, value in trial.notes.items()}


def _plain(value: Any) -> Any:
    return number(value) if isinstance(value, list | Mapping) else value


def _whole_with_gaps(trials: Sequence[Trial], gene: str) -> pd.Series | None:
    """Return a gene's whole numbers as pandas' ``Int64``, or None for a gene of another kind."""
    found = [trial.params[gene] for trial in trials if gene in trial.params]
    if len(found) == len(trials) or any(type(value) is not int for value in found):
        return None
    values = [trial.params.get(gene, pd.NA) for trial in trials]
    return pd.Series(values, dtype="Int64" if all(-(2**63) <= v < 2**63 for v in found) else object)


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    found: dict[str, None] = {}
    for mapping in mappings:
        found.update(dict.fromkeys(mapping))
    return list(found)


def _metric(name: str) -> str:
    taken = name in _OWN or name in _LAST or name.startswith("params_")
    return f"metrics_{name}" if taken else name


def _gene(name: str) -> str:
    return f"params_{name}"


def _note(name: str) -> str:
    return f"notes_{name}"


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
