"""The descent of trials: ancestors by genes, and lines of inherited weights."""

from collections.abc import Mapping, Sequence
from numbers import Integral

from evotune.errors import StudyError
from evotune.evolution.survival import by_first
from evotune.trial import Trial


def ancestors(trials: Sequence[Trial], number: int) -> list[Trial]:
    """Return a trial and all its ancestors, each once, oldest first.

    Args:
        trials: The trials of one study, in any order; parents not among them are left out.
        number: The trial; it is the last of the list.

    Raises:
        StudyError: No trial has this number.
    """
    known = _by_number(trials, number)
    found = {number}
    waiting = [number]
    while waiting:
        for parent in known[waiting.pop()].parents:
            if parent in known and parent not in found:
                found.add(parent)
                waiting.append(parent)
    return [known[n] for n in sorted(found - {number})] + [known[number]]


def winner(trials: Sequence[Trial]) -> Trial | None:
    """Return the best trial among those whose weights were trained for the most epochs.

    The best of many measurements along a run is partly luck; and a schedule should be as long as
    the run.
    """
    done = [trial for trial in trials if trial.is_done]
    epochs = {t.number: 0.0 if t.checkpoint is None else t.checkpoint.epochs for t in done}
    longest = max(epochs.values(), default=0.0)
    return min((t for t in done if epochs[t.number] == longest), key=by_first, default=None)


def weights_line(trials: Sequence[Trial], number: int) -> list[Trial]:
    """Return the trials that trained a trial's weights, oldest first, the trial itself last.

    Args:
        trials: The trials of one study, in any order.
        number: The trial whose weights are traced back.

    Raises:
        StudyError: No trial has this number.
    """
    known = _by_number(trials, number)
    line = [known[number]]
    while line[-1].weights_from in known:
        line.append(known[line[-1].weights_from])
    return line[::-1]


def main_line(line: Sequence[Trial]) -> list[Trial]:
    """Return the path from the last trial back through the best parent each time, oldest first.

    Args:
        line: What `ancestors` returned.
    """
    known = {trial.number: trial for trial in line if trial.is_done}
    path = [line[-1]]
    while parents := [known[n] for n in path[-1].parents if n in known and n < path[-1].number]:
        path.append(min(parents, key=_order))
    return path[::-1]


def _order(trial: Trial) -> tuple[float, tuple[float, ...]]:
    return trial.violation, trial.values or ()


def changes(child: Trial, parent: Trial) -> Mapping[str, tuple[object, object]]:
    """Return the active genes in which a child differs from a parent, as (parent's, child's).

    A gene that is dormant in one of them counts as None there.
    """
    names = dict.fromkeys((*parent.params, *child.params))
    pairs = {name: (parent.params.get(name), child.params.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _by_number(trials: Sequence[Trial], wanted: int) -> dict[int, Trial]:
    known = {trial.number: trial for trial in trials}
    if not isinstance(wanted, Integral) or wanted not in known:
        raise StudyError(
            f"there is no trial {wanted}; the study has {len(known)} trials, "
            f"take a number from study.trials"
        )
    return known
