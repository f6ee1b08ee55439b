"""The layers of a chain as whole records of genes, and edits of such a list.

A layer takes all genes of its slot along, those of its other blocks included, so that it keeps what
was tested in it. A value that the new slot does not allow, as ranges may have been refined there,
is left as it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evotune.space.chain import BLOCK, DEPTH
from evotune.space.space import Genome, Space

#: Values of all genes of a slot, in the order of `Chain.slot`.
Layer = tuple[Any, ...]

#: Settings of these names are widths, in blocks of a user's own too: a structure that is larger
#: than a limit allows gets smaller ones. All others, such as kernels, stay as they are.
WIDTHS = frozenset(
    ("filters", "units", "channels", "width", "hidden", "heads", "head_size", "feed_forward")
)
#: By how much a width grows or shrinks, as a factor.
STEP = 1.5


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of one chain in a genome.

    Attributes:
        space: The space.
        name: The name of the chain.
        genome: A genome in which the chain is active.
    """

    space: Space
    name: str
    genome: Genome

    @property
    def depth(self) -> int:
        """How many layers are active."""
        return int(self.genome[f"{self.name}.{DEPTH}"])

    @property
    def slots(self) -> list[Layer]:
        """All layers, the active ones first."""
        deepest = range(1, self.space.chains[self.name].max + 1)
        return [tuple(self.genome[gene] for gene in self.genes(k)) for k in deepest]

    def genes(self, k: int) -> tuple[str, ...]:
        """Return the names of the genes of layer k, from 1 up."""
        return self.space.chains[self.name].slot(self.name, k)

    def allows(self, depth: int) -> bool:
        """Return whether the chain may have this depth."""
        return self.space[f"{self.name}.{DEPTH}"].contains(depth)

    def fresh(self, k: int, rng: np.random.Generator) -> Layer:
        """Return a random layer for slot k, from 1 up."""
        return tuple(self.space[gene].draw(rng) for gene in self.genes(k))

    def awake(self, k: int) -> list[str]:
        """Return the settings of layer k, from 1 up, that are active and vary."""
        asleep = self.space.dormant(self.genome)
        named = (gene for gene in self.genes(k) if gene.rpartition(".")[2] != BLOCK)
        return [gene for gene in named if gene not in asleep and self.space[gene].size > 1]

    def replaced(self, layers: Sequence[Layer], depth: int) -> dict[str, Any]:
        """Return the genome with other layers, as many of them active as ``depth`` says."""
        child = {**self.genome, f"{self.name}.{DEPTH}": depth}
        for k, layer in enumerate(layers, start=1):
            for gene, value in zip(self.genes(k), layer, strict=True):
                inside = self.space[gene].clip(value)
                if self.space[gene].contains(inside):
                    child[gene] = inside
        return child


def active_chains(space: Space, genome: Genome) -> tuple[str, ...]:
    """Return the names of the chains that are active in a genome."""
    asleep = space.dormant(genome) if space.chains else ()
    return tuple(name for name in space.chains if f"{name}.{DEPTH}" not in asleep)


# -- edits: each returns the changed genome, or None where it is not possible -----------------

Edit = Callable[[Layers, np.random.Generator], dict[str, Any] | None]


def insert(layers: Layers, rng: np.random.Generator) -> dict[str, Any] | None:
    """Put a random layer anywhere; the last slot, which was asleep, is lost."""
    slots, depth = layers.slots, layers.depth
    if not layers.allows(depth + 1):
        return None
    place = int(rng.integers(depth + 1))
    new = layers.fresh(place + 1, rng)
    return layers.replaced([*slots[:place], new, *slots[place:-1]], depth + 1)


def delete(layers: Layers, rng: np.random.Generator) -> dict[str, Any] | None:
    """Take a layer out; it becomes the first of those that are asleep."""
    slots, depth = layers.slots, layers.depth
    if not layers.allows(depth - 1):
        return None
    out = int(rng.integers(depth))
    order = [*slots[:out], *slots[out + 1 : depth], slots[out], *slots[depth:]]
    return layers.replaced(order, depth - 1)


def duplicate(layers: Layers, rng: np.random.Generator) -> dict[str, Any] | None:
    """Repeat a layer behind itself; the last slot, which was asleep, is lost."""
    slots, depth = layers.slots, layers.depth
    if depth == 0 or not layers.allows(depth + 1):
        return None
    place = int(rng.integers(depth)) + 1
    return layers.replaced([*slots[:place], *slots[place - 1 : -1]], depth + 1)


def swap(layers: Layers, rng: np.random.Generator) -> dict[str, Any] | None:
    """Exchange two layers."""
    slots, depth = layers.slots, layers.depth
    if depth < 2:
        return None
    i, j = rng.choice(depth, 2, replace=False).tolist()
    slots[i], slots[j] = slots[j], slots[i]
    return layers.replaced(slots, depth)


def replace(layers: Layers, rng: np.random.Generator) -> dict[str, Any] | None:
    """Give a layer another block; settings that both blocks share stay."""
    if layers.depth == 0:
        return None
    gene = f"{layers.name}.{int(rng.integers(layers.depth)) + 1}.{BLOCK}"
    if gene not in layers.space.domains:  # a chain of a single block
        return None
    return {**layers.genome, gene: layers.space[gene].other(layers.genome[gene], rng)}


def widen(layers: Layers, rng: np.random.Generator) -> dict[str, Any] | None:
    """Make a layer wider or narrower by half; at a bound it goes the other way."""
    widths = [
        gene
        for k in range(1, layers.depth + 1)
        for gene in layers.awake(k)
        if gene.rpartition(".")[2] in WIDTHS and layers.space[gene].ordered
    ]
    if not widths:
        return None
    gene = widths[int(rng.integers(len(widths)))]
    domain, value = layers.space[gene], layers.genome[gene]
    ends = domain.ends()
    wider = rng.random() < 0.5 if ends is None or value not in ends else value == ends[0]
    return {**layers.genome, gene: domain.grow(value, STEP - 1 if wider else 1 / STEP - 1)}


def change(layers: Layers, rng: np.random.Generator) -> dict[str, Any] | None:
    """Change how a layer works: a setting without an order, such as its activation."""
    kinds = [
        gene
        for k in range(1, layers.depth + 1)
        for gene in layers.awake(k)
        if not layers.space[gene].ordered
    ]
    if not kinds:
        return None
    gene = kinds[int(rng.integers(len(kinds)))]
    return {**layers.genome, gene: layers.space[gene].other(layers.genome[gene], rng)}


#: All edits by name.
EDITS: dict[str, Edit] = {
    edit.__name__: edit for edit in (insert, delete, duplicate, swap, replace, widen, change)
}
