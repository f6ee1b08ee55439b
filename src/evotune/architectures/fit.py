"""Structures made to fit: layers without effect go behind the depth, and limits on size are met.

So an oversized network never costs a trial, and params, reports and the search for duplicates tell
of the layers that there are.
"""

import sys
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from evotune.architectures.build import Layers
from evotune.architectures.counting import Counter, DryRun
from evotune.checks import is_number
from evotune.errors import EvotuneError, TaskError
from evotune.protocols import Genome
from evotune.space import Domain, Space
from evotune.space.chain import BLOCK, DEPTH
from evotune.space.layers import WIDTHS


class Buildable(Protocol):
    """What `fit` needs of a template."""

    @property
    def genes(self) -> tuple[str, ...]:
        """Names of the params that it reads."""

    def __call__(self, params: Mapping[str, Any]) -> nn.Module:
        """Build the network."""

    def example(self, count: int = 1) -> tuple[Tensor, ...]:
        """Return inputs of a number of examples."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a network may be; None is no limit.

    Attributes:
        parameters: Most parameters.
        multiply_adds: Most multiplications with addition for one example.
    """

    parameters: int | None = None
    multiply_adds: int | None = None


@dataclass(frozen=True, slots=True)
class _Size:
    """The size of a network, and which layers of each chain it has, from 0.

    Attributes:
        parameters: How many it has.
        multiply_adds: For one example; 0 where no limit asks for it.
        kept: Of each chain the layers that fit.
    """

    parameters: int
    multiply_adds: int
    kept: Mapping[str, Collection[int]]


#: What cannot be built is too large for any limit.
_UNBUILDABLE = _Size(sys.maxsize, sys.maxsize, {})


def fit(template: Buildable, limits: Limits, space: Space, genome: Genome) -> dict[str, Any]:
    """Return a genome whose network has all its layers and keeps to the limits.

    First, layers that do not fit their input (a pool on 1 × 1) move behind the depth of their
    chain, as far as its fewest layers allow. Then, while the network is too large, all widths (the
    settings named in `evotune.space.layers.WIDTHS`) are scaled by √(limit/size), by one
    step at least. Where even the smallest widths are too much, one layer at a time is taken away,
    changed into another block, or added (such as a pool), whichever makes the network smallest.
    Where no layer helps any more, one other setting at a time is changed, such as a kernel, or a
    gene of the template, such as ``pooling``.

    It is a pure function: no randomness, and what it returns it returns as it is. Only active
    genes that the template reads change. Networks are built without memory for their weights.

    Args:
        template: The template.
        limits: How large its networks may be.
        space: The space.
        genome: A whole genome of it.

    Raises:
        TaskError: No network within the limits was found; it says how small they get.
    """
    fitting = _Fitting(template, limits, space)
    if fitting.size(genome) is _UNBUILDABLE:
        return dict(genome)  # its trial fails, and says why
    fitted = fitting.without_skipped(dict(genome))
    if fitting.excess(fitted) <= 1:
        return fitted
    while fitting.excess(fitting.narrowest(fitted)) > 1:
        fitted = fitting.smaller(fitted)
    while (excess := fitting.excess(fitted)) > 1:
        fitted = fitting.narrower(fitted, sqrt(1 / excess))
    return fitting.without_skipped(fitted)


def check_limits(template: Buildable, limits: Limits, params: Mapping[str, Any]) -> None:
    """Check that the network of params keeps to limits, where nothing makes it fit.

    Args:
        template: The template.
        limits: How large its networks may be.
        params: What it reads; a network has been built of them.

    Raises:
        TaskError: It is larger.
    """
    given = {n: getattr(limits, n) for n in ("parameters", "multiply_adds")}
    if all(limit is None for limit in given.values()):
        return
    with torch.random.fork_rng(devices=[]):
        try:
            size = _measured(template, limits, params, DryRun())
        except Exception:  # a block of a user's own may need its weights
            size = _measured(template, limits, params, Counter())
    for name, limit in given.items():
        if limit is not None and getattr(size, name) > limit:
            raise TaskError(
                f"these params make a network of {getattr(size, name):,} {name.replace('_', '-')}, "
                f"and its template allows {name}={limit}. A study makes params fit where model= of "
                "its task is the template itself, not a function around it; elsewhere write "
                "smaller widths, or a template with a higher limit"
            )


def _measured(
    template: Buildable, limits: Limits, params: Mapping[str, Any], counter: Counter
) -> _Size:
    with counter, torch.no_grad():
        network = template(params).eval()
        counter.multiply_adds = 0
        if limits.multiply_adds is not None:
            network(*template.example())
    kept: dict[str, set[int]] = {}
    for module in network.modules():
        if isinstance(module, Layers):
            kept.setdefault(module.chain, set()).update(module.kept)
    parameters = sum(p.numel() for p in network.parameters())
    return _Size(parameters, counter.multiply_adds, kept)


class _Fitting:
    """The steps of `fit` on the genomes of one space."""

    def __init__(self, template: Buildable, limits: Limits, space: Space) -> None:
        self.template = template
        self.limits = limits
        self.space = space
        self.chains = {n: space.chains[n] for n in template.genes if n in space.chains}
        self._sizes: dict[Hashable, _Size] = {}

    # -- sizes --------------------------------------------------------------------------------

    def size(self, genome: Genome) -> _Size:
        """Return the size of a genome's network; torch's global random state stays as it is."""
        key = self.space.key(genome)
        if key not in self._sizes:
            params = self.space.params(genome)
            with torch.random.fork_rng(devices=[]):
                try:
                    self._sizes[key] = _measured(self.template, self.limits, params, DryRun())
                except Exception:  # a block of a user's own may need its weights
                    is_built = self._is_built(params)
                    self._sizes[key] = (
                        _measured(self.template, self.limits, params, Counter())
                        if is_built
                        else _UNBUILDABLE
                    )
        return self._sizes[key]

    def _is_built(self, params: Mapping[str, Any]) -> bool:
        """Tell whether there is a network: a block of a user's own may fail on some shapes."""
        try:
            self.template(params)
        except EvotuneError:
            raise
        except Exception:
            return False
        return True

    def excess(self, genome: Genome) -> float:
        """Return by which factor the network is too large, at most 1 where it is not."""
        limits = {n: getattr(self.limits, n) for n in ("parameters", "multiply_adds")}
        if all(limit is None for limit in limits.values()):
            return 0.0
        size = self.size(genome)
        shares: list[float] = [getattr(size, n) / k for n, k in limits.items() if k is not None]
        return max(shares)

    # -- which layers there are ---------------------------------------------------------------

    def depths(self, genome: Genome) -> dict[str, int]:
        """Return the depth of each chain that there is."""
        active = self.space.active(genome)
        return {n: active[f"{n}.{DEPTH}"] for n in self.chains if f"{n}.{DEPTH}" in active}

    def without_skipped(self, genome: dict[str, Any]) -> dict[str, Any]:
        """Return the genome with layers that do not fit behind the depth; the network is equal."""
        kept = self.size(genome).kept
        for name, depth in self.depths(genome).items():
            for k in reversed(range(depth)):
                if name in kept and k not in kept[name]:
                    genome = self._without(genome, name, k + 1) or genome
        return genome

    def _without(self, genome: dict[str, Any], name: str, k: int) -> dict[str, Any] | None:
        """Return the genome with layer k as the first one behind the depth, if that can be."""
        chain, depth = self.chains[name], genome[f"{name}.{DEPTH}"]
        places = {j: j + 1 for j in range(k, depth)} | {depth: k}
        moved = {
            gene: genome[other]
            for place, source in places.items()
            for gene, other in zip(chain.slot(name, place), chain.slot(name, source), strict=True)
        }
        return self._valid(genome | moved | {f"{name}.{DEPTH}": depth - 1}, name)

    def _valid(self, genome: dict[str, Any], name: str) -> dict[str, Any] | None:
        """Return a genome if its chain lies in the space, which may be narrower than the chain."""
        genes = (g for g in self.space.domains if g.startswith(f"{name}."))
        return genome if all(self.space[g].contains(genome[g]) for g in genes) else None

    # -- widths -------------------------------------------------------------------------------

    def _with_widths(
        self, genome: dict[str, Any], change: Callable[[Domain, Any], Any]
    ) -> dict[str, Any]:
        """Return the genome with all its active widths changed."""
        active = self.space.active(genome)
        widths = (
            gene
            for name in self.depths(genome)
            for k in range(1, active[f"{name}.{DEPTH}"] + 1)
            for gene in self.chains[name].slot(name, k)
            if gene.rpartition(".")[2] in WIDTHS and is_number(active.get(gene))
        )
        return genome | {gene: change(self.space[gene], genome[gene]) for gene in widths}

    def narrower(self, genome: dict[str, Any], factor: float) -> dict[str, Any]:
        """Return the genome with all widths scaled, by one step at least."""
        return self._with_widths(genome, lambda domain, value: _scaled(domain, value, factor))

    def narrowest(self, genome: dict[str, Any]) -> dict[str, Any]:
        """Return the genome with the smallest widths."""
        return self._with_widths(genome, lambda domain, value: _smallest(domain, value))

    # -- other structures ---------------------------------------------------------------------

    def smaller(self, genome: dict[str, Any]) -> dict[str, Any]:
        """Return the genome with the one change that makes its network smallest.

        Raises:
            TaskError: No change makes it smaller.
        """
        excess = self.excess(self.narrowest(genome))
        for changed in (self._other_layers(genome), self._other_settings(genome)):
            found = [(self.excess(self.narrowest(g)), g) for g in changed]
            least, best = min(found, key=lambda each: each[0], default=(excess, genome))
            if least < excess:
                return best
        raise TaskError(self._impossible(genome))

    def _other_layers(self, genome: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield genomes with a layer less, another block, or a layer more."""
        for name, depth in self.depths(genome).items():
            changed = [self._without(genome, name, k) for k in range(1, depth + 1)]
            for k in range(1, min(depth + 1, self.chains[name].max) + 1):
                deeper = genome | {f"{name}.{DEPTH}": max(depth, k)}
                gene = f"{name}.{k}.{BLOCK}"
                blocks = self.space[gene].values() if gene in self.space.domains else (None,)
                changed += [
                    self._valid(deeper if b is None else deeper | {gene: b}, name) for b in blocks
                ]
            yield from (each for each in changed if each is not None)

    def _other_settings(self, genome: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield genomes with another value of one gene that is neither a width nor a layer."""
        active = self.space.active(genome)
        slots = [
            gene
            for name, depth in self.depths(genome).items()
            for k in range(1, depth + 1)
            for gene in self.chains[name].slot(name, k)
            if not gene.endswith(f".{BLOCK}")
        ]
        for gene in (*slots, *self.template.genes):
            if gene in active and gene in self.space.domains:
                domain = self.space[gene]
                values = domain.ends() or domain.values()
                yield from (genome | {gene: v} for v in values if v != active[gene])

    def _impossible(self, genome: dict[str, Any]) -> str:
        size = self.size(self.narrowest(genome))
        given = {n: getattr(self.limits, n) for n in ("parameters", "multiply_adds")}
        limits = " and ".join(f"{n}={limit}" for n, limit in given.items() if limit is not None)
        least = " and ".join(
            f"{getattr(size, n):,} {n.replace('_', '-')}" for n, v in given.items() if v is not None
        )
        return (
            f"the limit {limits} cannot be met: with the smallest widths, and the layers and "
            f"settings that help, the network still has {least}. Raise the limit, or give the "
            f"chains {', '.join(map(repr, self.chains))} smaller widths, or more layers that make "
            "their input smaller, such as a pool"
        )


def _smallest(domain: Domain, value: Any) -> Any:
    ends = domain.ends()
    return ends[0] if ends is not None else min(filter(is_number, domain.values()))


def _scaled(domain: Domain, value: Any, factor: float) -> Any:
    """Return the width nearest to the factor times a value, and below the value if there is one."""
    if value <= _smallest(domain, value):
        return value
    if domain.ends() is not None:
        return domain.grow(value, factor - 1)
    below = [v for v in domain.values() if is_number(v) and v < value]
    return max((v for v in below if v <= factor * value), default=min(below))
