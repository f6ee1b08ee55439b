"""PruningTask: pruning as an ordinary search, by any algorithm."""

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from evotune.checks import did_you_mean, option
from evotune.errors import TaskError
from evotune.pruning.calibration import OF_SEARCH, kept_of, ready
from evotune.pruning.compensation import check_biases
from evotune.pruning.examples import examples_of
from evotune.pruning.prune import check_compensation, prune
from evotune.pruning.result import Pruned
from evotune.pruning.rounds import Pruning
from evotune.pruning.search import CUT, DensityGenes, Genes, MaskGenes, ScoreGenes, tried
from evotune.running import RunningTrial
from evotune.space import Space

_KINDS = ("score", "densities", "masks")


@dataclass(eq=False)
class PruningTask:
    """An evaluate function that prunes a trained network by the genes of a trial.

    Metrics of a trial, on the calibration examples: ``loss`` (at a given sparsity 1,000 where
    nothing flows through the network any more), ``kept`` (weights), ``sparsity``, and ``synflow``,
    the logarithm of the synaptic flow through the whole network (Tanaka et al., "Pruning neural
    networks without any data by iteratively conserving synaptic flow" (2020), eq. 1).

    Args:
        model: The trained network; it stays as it is.
        data: Examples, as for `evotune.prune`.
        labels: Labels, where they are not in data.
        loss: As for `evotune.prune`.
        over: What is searched. ``"score"``: the coefficients of the score and an offset of each
            layer, as method ``"search"`` of `evotune.prune` does by CMA-ES. ``"densities"``: the
            share of its largest weights that each layer keeps. ``"masks"``: for each weight whether
            it stays, in networks of at most 20,000.
        sparsity: The share of the weights that go, in (0, 1). None, for densities and masks: as
            many as the genes say, so that ``"kept"`` is an objective beside the loss.
        compensation: How the weights that stay take over, as for `evotune.prune`; not of a score.
        examples: Most examples that are looked at.
        seed: Of the choice of examples.

    Attributes:
        space: The genes.

    Raises:
        TaskError: As for `evotune.prune`.

    Example::

        task = et.PruningTask(model, data=(x, y), over="densities", sparsity=None)
        study = et.tune(task, task.space, ["min loss", "min kept"], trials=300, seed=1)
        result = task.pruned(study.knee.params)
    """

    model: nn.Module
    _: KW_ONLY
    data: Any = field(repr=False)
    labels: Any = field(default=None, repr=False)
    loss: str | Callable[..., Tensor] | None = None
    over: Literal["score", "densities", "masks"] = "score"
    sparsity: float | None = 0.98
    compensation: str = "refit"
    examples: int = OF_SEARCH
    seed: int = 0
    space: Space = field(init=False, repr=False)
    _made: tuple[Pruning, Genes] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.over not in _KINDS:
            raise TaskError(
                f"over={self.over!r}; what can be searched is {', '.join(map(repr, _KINDS))}"
                f"{did_you_mean(str(self.over), _KINDS)}"
            )
        if self.sparsity is None and self.over == "score":
            raise TaskError(
                "a score says which weights are worth most, not how many stay: write sparsity= "
                "too, or over='densities'"
            )
        check_compensation(self.compensation, "auto" if self.over == "score" else "lamp", 0)
        self.space = self._ready()[1].space

    def _ready(self) -> tuple[Pruning, Genes]:
        """Return the network, and what becomes of genes."""
        if self._made is None:
            found = examples_of(self.data, self.labels, self.loss)
            pruning = ready(self.model, found, self.examples, self.seed)[1]
            check_biases(pruning.layers, self.compensation)
            if self.sparsity is not None:
                option("sparsity", self.sparsity, "(0, 1)", error_type=TaskError)
                kept_of(self.sparsity, pruning.size)
            is_exact = self.sparsity is not None
            genes: Genes = ScoreGenes(pruning.layers)
            if self.over == "densities":
                genes = DensityGenes(pruning.layers, is_exact=is_exact)
            elif self.over == "masks":
                genes = MaskGenes(pruning.layers, is_exact=is_exact)
            self._made = pruning, genes
        return self._made

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_made": None}  # another process makes it again

    def __call__(self, trial: RunningTrial) -> dict[str, float]:
        """Return the metrics of a trial."""
        return self._tried(trial.params)

    def _of(self, params: Mapping[str, Any]) -> tuple[Pruning, Genes]:
        """Return the network, and what becomes of genes, for params that have all of them."""
        pruning, genes = self._ready()
        missing = [name for name in genes.space.domains if name not in params]
        if missing:
            raise TaskError(
                f"the trial has no gene {missing[0]!r}; search the task's own space, as in "
                "et.tune(task, task.space, ...)"
            )
        return pruning, genes

    def _tried(self, params: Mapping[str, Any]) -> dict[str, float]:
        pruning, genes = self._of(params)
        keep = pruning.size if self.sparsity is None else kept_of(self.sparsity, pruning.size)
        loss = tried(pruning, genes.method(params), keep, self.compensation)
        if loss == CUT and self.sparsity is None:
            loss = min(CUT, pruning.measured())  # an end of the front, which 1,000 would stretch
        kept = sum(int(mask.sum()) for mask in pruning.masks.values())
        flow = pruning.flow()
        first = pruning.layers[0]
        through = first.weights.abs().double() * flow[first.name].out.unsqueeze(2)
        through = through * flow[first.name].into.unsqueeze(1)
        return {
            "loss": loss,
            "kept": kept,
            "sparsity": 1 - kept / pruning.size,
            "synflow": math.log(max(float(through.sum()), 1e-300)),
        }

    def pruned(self, params: Mapping[str, Any]) -> Pruned:
        """Return the network pruned by params, on as many examples as `evotune.prune` takes.

        Raises:
            TaskError: Params lack a gene, or leave no weight.
        """
        pruning, genes = self._of(params)
        sparsity = self.sparsity
        if sparsity is None:
            pruning.reset()
            genes.method(params)(pruning, pruning.size)
            kept = sum(int(mask.sum()) for mask in pruning.masks.values())
            if not kept:
                raise TaskError(
                    "these params leave no weight; take a trial that keeps more, such as study.knee"
                )
            sparsity = max(1 - kept / pruning.size, 1e-9)
        return prune(
            self.model,
            sparsity,
            data=self.data,
            labels=self.labels,
            loss=self.loss,
            method=genes.method(params, quick=False),
            seed=self.seed,
            compensation=self.compensation,
        )
