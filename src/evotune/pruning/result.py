"""What pruning gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from evotune.pruning import files
from evotune.pruning.compact import compact


@dataclass(frozen=True, slots=True)
class Pruned:
    """A pruned network.

    Attributes:
        model: A module like the given one; removed weights are zero, and stay zero in training.
        masks: Which weights stay, by the name of the parameter, of its shape.
        size: How many weights could have been removed.
        inputs: A few examples, as the network takes them.
        left_dense: Parts of the network with weights that stayed as they are, and why.
        losses: The loss on the calibration examples after each step of refinement.
        asked: The options of `prune` that made it, by name.
        scores: By which weights were chosen in the last round, as masks are: larger stays, and what
            had gone before has minus infinity. They are not written to files.
        measured: ``dense_loss`` and ``loss`` on the calibration examples, before and after, and the
            ``seconds`` that the call took.
    """

    model: nn.Module
    masks: Mapping[str, Tensor]
    size: int
    inputs: Any = None
    left_dense: Mapping[str, str] = field(default_factory=dict)
    losses: tuple[float, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def kept(self) -> int:
        """How many weights are left."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    @property
    def sparsity(self) -> float:
        """The share of the weights that went; a little more than asked for where some were dead."""
        return 1 - self.kept / self.size

    def compact(self) -> nn.Module:
        """Return a smaller plain network with the same outputs, without masks.

        Features and channels go that nobody reads, or that are constant. Where the graph of the
        network cannot be traced, the network is the same with zeros, and a warning says why.
        """
        return compact(self.model, self.inputs)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write it to one safetensors file, whole or not at all, and return the path.

        Without evotune, its weights are those tensors of the file whose names do not begin with
        ``evotune.``: the state dict of the network, with zeros.

        Raises:
            CheckpointError: The file cannot be written, or would end in another ending.
        """
        return files.save(
            path, {f.name: getattr(self, f.name) for f in fields(self) if f.name != "scores"}
        )

    @classmethod
    def load(cls, path: str | PathLike[str], model: nn.Module) -> "Pruned":
        """Return what `save` wrote.

        Args:
            path: The file.
            model: A network of the same class, with any weights; it stays as it is.

        Raises:
            CheckpointError: There is no such file, it is another or damaged, or of another network.

        Example::

            model = et.Pruned.load("pruned.safetensors", Net()).model
        """
        return files.load(path, model, cls)

    def report(self, path: str | PathLike[str]) -> Path:
        """Write one self-contained HTML page about it and return the path.

        Latencies are measured for it, which takes about two seconds.

        Raises:
            StudyError: The path ends in something else than ``.html``, or cannot be written.
        """
        from evotune.pruning import report  # it loads plotly

        return report.write(path, self)
