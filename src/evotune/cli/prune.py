"""``evotune prune``: most weights of a trained network removed, as files and a report."""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from tqdm import tqdm

from evotune.analysis.text import count, duration
from evotune.architectures.cost import Cost
from evotune.checks import user_path, write_whole
from evotune.cli.console import make_console
from evotune.cli.network import load_data, load_network
from evotune.cli.records import answer
from evotune.cli.run import INTERRUPTED
from evotune.cli.tables import table
from evotune.errors import ConfigError, TaskError
from evotune.printing import number
from evotune.pruning import report
from evotune.pruning.examples import Examples, examples_of
from evotune.pruning.prune import prune as pruned_by
from evotune.pruning.result import Pruned
from evotune.training.data import each
from evotune.training.losses import is_regression
from evotune.training.metrics import find_metrics, measure

#: The files in the folder.
NETWORK, REPORT, SUMMARY = "pruned.safetensors", "report.html", "summary.json"
CHECKPOINT = "refinement.safetensors"
#: Examples that a network is measured on at once.
_BATCH = 256


def prune(
    factory: str, output: Path, data: str, weights: str | None, options: Mapping[str, Any]
) -> int:
    """Prune a network and write what is left of it.

    Args:
        factory: See `load_network`.
        output: The folder.
        data: See `load_data`.
        weights: See `load_network`.
        options: Those of `evotune.prune`.

    Returns:
        The exit code.

    Raises:
        ConfigError: A file or a function is not there or is another, or the folder cannot be
            written.
        CheckpointError: The weights do not fit, or the folder has another pruning.
        TaskError: Something cannot be pruned.
    """
    model = load_network(factory, weights)
    given = load_data(data)
    folder = _folder(output)
    console = make_console()
    if weights is None:
        console.print(f"without --weights, the network has those that {factory} gives it")
    try:
        with _warnings_on(console):
            options = {"progress": not is_quiet(), **options}
            found = pruned_by(model, data=given, checkpoint=folder / CHECKPOINT, **options)
    except KeyboardInterrupt:
        console.print("interrupted; run the same command to go on")
        return INTERRUPTED
    quality = _qualities(model, found, examples_of(given, None, options.get("loss")), options)
    costs = report.costs_of(found)
    saved = found.save(folder / NETWORK)
    summary = _summary(found, costs, quality, saved)
    write_whole(folder / SUMMARY, answer(**summary) + "\n")
    report.write(folder / REPORT, found, costs=costs, quality=quality)
    _print(console, found, costs, quality)
    console.print(f"\nwrote {NETWORK}, {REPORT} and {SUMMARY} in {folder}")
    return 0


def _folder(output: Path) -> Path:
    """Return the folder, which can be written: that is known before anything is computed."""
    folder = user_path(output, ConfigError)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise ConfigError(
            f"{str(folder)!r} cannot be written: {error.strerror or error}; give -o a folder, or "
            "the name of a new one, where you may write"
        ) from error


class _Warnings(logging.Handler):
    """Prints the warnings of the log."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        with tqdm.external_write_mode():  # above a bar, which may be on the same terminal
            self._console.print(f"{record.levelname.lower()}: {record.getMessage()}")


@contextmanager
def _warnings_on(console: Console) -> Iterator[None]:
    log, handler = logging.getLogger("evotune"), _Warnings(console)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def is_quiet() -> bool:
    """Return whether ``evotune -q`` asked for nothing but errors."""
    return not logging.getLogger("evotune").isEnabledFor(logging.WARNING)


def _qualities(
    model: nn.Module, found: Pruned, examples: Examples, options: Mapping[str, Any]
) -> dict[str, dict[str, float]]:
    """Return metrics of both networks on all examples; {} without labels."""
    if examples.targets is None:
        return {}
    are_classes = all(not part.is_floating_point() for part in _parts(examples.targets))
    loss = options.get("loss") or ("cross_entropy" if are_classes else "mse")
    names = ("mae", "r2") if is_regression(loss) else ("accuracy", "f1")
    both = {"dense": model, "pruned": found.model}
    outputs = {form: outputs_of(network, examples) for form, network in both.items()}
    try:
        return _measured(find_metrics(names, loss), outputs, examples)
    except (TaskError, ValueError):  # outputs of another form, for which there is only the loss
        return _measured(find_metrics((), loss), outputs, examples)


def _measured(
    metrics: Mapping[str, Any], outputs: Mapping[str, Any], examples: Examples
) -> dict[str, dict[str, float]]:
    return {form: measure(metrics, output, examples.targets) for form, output in outputs.items()}


def _parts(part: Any) -> list[Tensor]:
    return list(part.values()) if isinstance(part, Mapping) else [part]


def outputs_of(network: nn.Module, examples: Examples) -> Any:
    """Return what a network answers in evaluation on all examples, on the CPU, in float32."""
    parameter = next(network.parameters())
    was_training = network.training
    network.eval()
    pieces = []
    with torch.no_grad():
        for first in range(0, len(examples), _BATCH):
            batch = each(
                lambda part: part[first : first + _BATCH].to(parameter.device),  # noqa: B023
                examples.inputs,
            )
            pieces.append(network(batch))
    network.train(was_training)
    if isinstance(pieces[0], Mapping):
        return {name: torch.cat([p[name] for p in pieces]).cpu().float() for name in pieces[0]}
    return torch.cat(pieces).cpu().float()


def _summary(
    found: Pruned,
    costs: Mapping[str, Cost],
    quality: Mapping[str, Mapping[str, float]],
    saved: Path,
) -> dict[str, Any]:
    return {
        "network": type(found.model).__name__,
        "sparsity": found.sparsity,
        "kept": found.kept,
        "size": found.size,
        "asked": dict(found.asked),
        "measured": dict(found.measured),
        "refined": len(found.losses),
        "quality": quality,
        "parameters": {form: cost.parameters for form, cost in costs.items()},
        "latency": {form: cost.latency for form, cost in costs.items()},
        "bytes": {NETWORK: saved.stat().st_size},
        "layers": {
            row.name: {"weights": row.size, "kept": row.kept} for row in report.rows_of(found.masks)
        },
        "left_dense": dict(found.left_dense),
    }


def _print(
    console: Console,
    found: Pruned,
    costs: Mapping[str, Cost],
    quality: Mapping[str, Mapping[str, float]],
) -> None:
    name = type(found.model).__name__
    console.print(
        f"{name}: {found.kept:,} of {count(found.size, 'weight')} left, sparsity "
        f"{found.sparsity:.6g}; {duration(found.measured['seconds'])}"
    )
    for part, why in found.left_dense.items():
        console.print(f"left dense: {part}, {why}")
    if quality:
        console.print()
        console.print(_quality_table(quality))
    if costs:
        console.print()
        console.print(_cost_table(costs))


def _quality_table(quality: Mapping[str, Mapping[str, float]]) -> Table:
    names = list(next(iter(quality.values())))
    made = table("network", *(f">{name}" for name in names))
    for form, metrics in quality.items():
        made.add_row(form, *(number(metrics[name]) for name in names))
    return made


def _cost_table(costs: Mapping[str, Cost]) -> Table:
    made = table("network", ">parameters", ">latency")
    for form, cost in costs.items():
        made.add_row(form, f"{cost.parameters:,}", f"{1000 * (cost.latency or 0.0):.3g} ms")
    return made
