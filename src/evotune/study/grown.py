"""Beginning a study with the results of another, whose space may have been smaller."""

import logging
from collections.abc import Mapping
from typing import Any

from evotune.errors import GenomeError, StudyError
from evotune.evolution.survival import best_first
from evotune.trial import Trial

log = logging.getLogger("evotune")

#: Note of a trial that came from another study: which study and trial it was there.
NOTE = "start_from"
#: Trials that leave a gene open are tried again, so many of the best.
AGAIN = 10


def begin_from(study: Any, given: Any) -> None:
    """Give a study that has not begun the results of another one.

    Args:
        study: The study.
        given: The other study, or a pair of it and the values that its trials had for genes which
            its space did not have.

    Raises:
        StudyError: It is something else, or the study trains one population on and on.
    """
    old, values = _read(study, given)
    noted = [trial.notes.get(NOTE) for trial in study.trials]
    if None in noted:
        return  # it has begun, and goes on
    names = {trial.number: f"{old.name}, trial {trial.number}" for trial in old.trials}
    whole, open_, unfit = _sorted(study, old, values)
    # A repeat of this call adds what an earlier one, cut short, did not come to.
    for trial in whole:
        if names[trial.number] not in noted:
            result = {**trial.metrics, NOTE: names[trial.number]}
            study.add({**values, **trial.params}, result, budget=trial.budget)
    again = best_first(open_)[:AGAIN]
    for trial in again:
        if names[trial.number] not in noted:
            notes = {NOTE: names[trial.number]}
            study.enqueue({**values, **trial.params}, budget=trial.budget, notes=notes)
    _say(study, old, (whole, open_, again), unfit)


def _read(study: Any, given: Any) -> tuple[Any, Mapping[str, Any]]:
    old, values = given if isinstance(given, tuple) and len(given) == 2 else (given, {})
    if not hasattr(old, "trials") or not isinstance(values, Mapping):
        raise StudyError(
            "start_from= is a study, or a pair of a study and the values of genes that it did not "
            'have, such as (et.open("runs.db", "net"), {"dropout": 0.0}); '
            f"got {given!r}"
        )
    unknown = [name for name in values if name not in study.algorithm.space.entries]
    if unknown:
        raise StudyError(f"start_from= gives a value of {unknown[0]!r}, which is no gene here")
    return old, values


def _sorted(
    study: Any, old: Any, values: Mapping[str, Any]
) -> tuple[list[Trial], list[Trial], list[str]]:
    """Return the trials that have all genes, those that leave some open, and why others do not."""
    whole, open_, unfit = [], [], []
    space, needed = study.algorithm.space, set(study.objectives.needed)
    for trial in old.trials:
        if trial.state != "done":
            continue
        params = {**values, **trial.params}
        try:
            space.complete(params, space.decode([0.5] * len(space.names)))
        except GenomeError as error:
            unfit.append(f"trial {trial.number}: {error}")
            continue
        try:
            space.complete(params)
        except GenomeError:
            open_.append(trial)
            continue
        missing = needed - trial.metrics.keys()
        if missing:
            unfit.append(f"trial {trial.number} has no metric {min(missing)!r}")
        else:
            whole.append(trial)
    return whole, open_, unfit


def _say(
    study: Any, old: Any, found: tuple[list[Trial], list[Trial], list[Trial]], unfit: list[str]
) -> None:
    whole, open_, again = found
    log.info("study %r begins with %d results of study %r", study.name, len(whole), old.name)
    if open_:
        new = [name for name in study.algorithm.space.entries if name not in open_[0].params]
        log.warning(
            "study %r: %d trials of study %r do not say what %s was, so they are no results here; "
            "the best %d are tried again, with values of the search. If all had the same, write "
            "start_from=(study, {%r: ...})",
            *(study.name, len(open_), old.name, " and ".join(map(repr, new)), len(again), new[0]),
        )
    if unfit:
        log.warning(
            "study %r: %d trials of study %r do not fit this one and are left out; %s",
            *(study.name, len(unfit), old.name, unfit[0]),
        )
