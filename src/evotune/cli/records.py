"""What the commands print as JSON: one schema, the same in each of them.

Every answer is an object with ``evotune``, the version, and ``format``, the version of the schema,
which grows by one when something that was there is gone or means something else. A trial is
always the same object, see `trial_json`; NaN and infinity are null.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from evotune import __version__
from evotune.analysis.lineage import weights_line
from evotune.analysis.ranking import Ranking
from evotune.cli.source import Record
from evotune.protocols import StudySummary
from evotune.trial import Checkpoint, Failure, Origin, Trial

FORMAT = 1

#: Of a trial: all but what only an executor gets.
_FIELDS = [name for name in Trial.__slots__ if name not in ("weights", "bar")]


def answer(**content: Any) -> str:
    """Return strict JSON with all digits of every float."""
    data = {"evotune": __version__, "format": FORMAT, **content}
    return json.dumps(_strict(data), indent=2, allow_nan=False)


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value


def trial_json(trial: Trial) -> dict[str, Any]:
    """Return all that is recorded of a trial, and ``feasible``."""
    fields = {name: getattr(trial, name) for name in _FIELDS}
    records = (Checkpoint, Failure, Origin)
    nested = {n: asdict(value) for n, value in fields.items() if isinstance(value, records)}
    return {**fields, **nested, "feasible": trial.violation == 0}


def study_json(record: Record) -> dict[str, Any]:
    """Return what a study is and how far it has come, without its trials."""
    best = record.ledger.best()
    return {
        "study": record.name,
        **{k: v for k, v in asdict(record.definition).items() if k != "name"},
        "driver": None if record.driver is None else asdict(record.driver),
        "counts": _counts(record.ledger.counts),
        "best": None if best is None else trial_json(best),
    }


def best_json(record: Record) -> dict[str, Any]:
    """Return the best trial; where there are several objectives, the front too."""
    data = {"study": record.name, **trial_json(record.best)}
    if record.inherits:
        line = weights_line(record.trials, record.best.number)
        data["epochs"] = record.steps[record.best.number].end
        data["weights_line"] = [trial.number for trial in line]
    if len(record.objectives.objectives) > 1:
        data["front"] = [trial_json(trial) for trial in record.ledger.front()]
    return data


def summary_json(summary: StudySummary) -> dict[str, Any]:
    """Return one study of a storage."""
    definition = summary.definition
    return {
        "study": definition.name,
        "objectives": definition.objectives,
        "created": definition.created,
        "driver": None if summary.driver is None else asdict(summary.driver),
        "counts": _counts(summary.counts),
        "damage": str(summary.damage) if summary.damage else None,
    }


def ranking_json(ranking: Ranking) -> dict[str, Any]:
    """Return a comparison: ranks and results of the methods, every pair with its test, verdicts.

    ``results`` are the best of each run by the end, in the order of ``seeds``, null for none.
    """
    return {
        "methods": list(ranking.methods),
        "unit": ranking.unit,
        "checkpoints": list(ranking.checkpoints),
        "ranks": {n: [ranking.rank(n, at) for at in ranking.checkpoints] for n in ranking.methods},
        "tasks": [
            {
                "task": task.task,
                "metric": task.metric,
                "direction": task.direction,
                "seeds": list(task.seeds),
                "results": {name: task.curves[name][:, -1].tolist() for name in ranking.methods},
            }
            for task in ranking.tasks
        ],
        "pairs": [asdict(pair) | {"is_sure": pair.is_sure} for pair in ranking.pairs],
        "friedman": ranking.friedman,
        "critical_difference": ranking.critical_difference,
        "verdicts": ranking.verdicts(),
        "notes": list(ranking.notes),
    }


def _counts(counts: Mapping[str, int]) -> dict[str, int]:
    return {state: number for state, number in counts.items() if number}
