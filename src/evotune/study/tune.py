"""A whole search in one call."""

import inspect
from collections.abc import Mapping
from os import PathLike
from typing import Any

from evotune.algorithms.auto import auto, named
from evotune.checks import did_you_mean
from evotune.errors import StudyError
from evotune.objectives import ObjectiveSpec, parse_objectives
from evotune.protocols import Algorithm, Evaluate, Storage
from evotune.space import Space
from evotune.study.run import executor_for
from evotune.study.study import Study

_RENAMED = {
    "n_trials": "; write trials=",
    "n_jobs": "; write workers=",
    "direction": '; write the objective with its metric, such as "max accuracy"',
    "directions": '; write the objectives with their metrics, such as ["max accuracy", "min size"]',
    "sampler": "; write algorithm=",
    "pruner": "; write stopping=et.MedianStopping()",
    "seeds": "; write algorithm=Hybrid(space, seeds=[{...}])",
}


def tune(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
    evaluate: Evaluate,
    space: Space,
    objectives: ObjectiveSpec,
    *,
    trials: int | None = None,
    algorithm: str | Algorithm = "auto",
    storage: str | PathLike[str] | Storage | None = None,
    name: str = "study",
    seed: int | None = None,
    **options: Any,
) -> Study:
    """Search a space for the best params in one call.

    Args:
        evaluate: Function of a running trial that returns a number or a dict of metrics.
        space: The search space.
        objectives: ``"max accuracy"``, ``"min loss"``, a `WeightedSum`, or a list of these.
        trials: Number of trials of the whole study, earlier calls included.
        algorithm: ``"auto"``, the name of a search algorithm, or an algorithm on this space.
        storage: None keeps the study in memory; a path or ``"sqlite:///runs.db"`` on disk.
        name: Name of the study in its storage.
        seed: Seed of all random streams.
        **options: Further options of `Study` (constraints, checkpoints, ...) and of `Study.run`
            (timeout, workers, callbacks, ...).

    Returns:
        The study, with ``best``, ``front``, ``trials`` and ``report(path)``.

    Raises:
        EvotuneError: As `Study` and `Study.run` do.
    """
    if not isinstance(space, Space):
        raise StudyError(
            f"tune() needs a space, such as Space(lr=Float(1e-4, 1.0, log=True)); got {space!r}"
        )
    own = inspect.signature(Study).parameters.keys() - inspect.signature(tune).parameters.keys()
    known = inspect.signature(Study.run).parameters.keys() | own
    for option in options:
        if option not in known:
            hint = _RENAMED.get(option) or did_you_mean(option, known) or ""
            raise StudyError(f"tune() has no option {option!r}{hint}")
    if isinstance(algorithm, str):
        is_auto = algorithm == "auto"
        algorithm = (
            _auto(space, objectives, trials, options) if is_auto else named(algorithm, space)
        )
    of_study = {name: options.pop(name) for name in own if name in options}
    study = Study(algorithm, objectives, storage=storage, name=name, seed=seed, **of_study)
    study.run(evaluate, trials, **options)
    if study.counts.keys() == {"failed"} and options.get("max_failures", 0.5) < 1:
        _ = study.best  # raises, and says why
    return study


def _auto(
    space: Space, objectives: ObjectiveSpec, trials: int | None, options: Mapping[str, Any]
) -> Algorithm:
    count = len(parse_objectives(objectives).objectives)
    given = (options.get(name) for name in ("executor", "workers", "trial_timeout", "devices"))
    return auto(space, trials=trials, objectives=count, workers=executor_for(*given).capacity)
