"""What became of each layer when weights were inherited."""

import re
from dataclasses import dataclass, field

from torch import nn


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a child has of its parent; prints as one line.

    Layers are named by their place, such as ``features.conv2`` or ``output``.

    Attributes:
        taken: (child's layer, parent's layer) whose weights were carried over through channel maps.
        inserted: New layers that pass their input on.
        removed: The parent's layers that the child does not have.
        fresh: New layers that keep the weights they were built with.
        corner: Layers, among the taken ones, of which only the common corner of equal-named
            tensors was copied, at least in part.
        whole: Nothing of the parent's function was lost: the child computes the same in evaluation
            mode, to rounding or, behind a new layer with a curved activation or gates, closely.
    """

    taken: tuple[tuple[str, str], ...] = ()
    inserted: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    corner: tuple[str, ...] = ()
    whole: bool = True

    def __str__(self) -> str:
        moved = [c if c == p else f"{c} from {p}" for c, p in self.taken]
        parts = {
            "taken": moved,
            "inserted": self.inserted,
            "removed": self.removed,
            "fresh": self.fresh,
            "only the common corner": self.corner,
        }
        said = "; ".join(f"{name}: {', '.join(names)}" for name, names in parts.items() if names)
        kept = "the parent's function is kept" if self.whole else "the function changes"
        return f"{said or 'no layer has weights'}; {kept}"


@dataclass(slots=True)
class Ledger:
    """Collects what became of each module, by its place.

    Attributes:
        child: The child.
        parent: The parent.
        marks: Parent's layer (or an empty text) and marks of each layer of the child.
        removed: The parent's layers that the child does not have.
    """

    child: nn.Module
    parent: nn.Module
    marks: dict[str, tuple[str, set[str]]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    _layers: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for network in (self.child, self.parent):
            for name, module in network.named_modules(remove_duplicate=False):
                self._layers.setdefault(id(module), _layer(name, network))

    def mark(self, module: nn.Module, what: str, source: nn.Module | None = None) -> None:
        """Note what became of a module of the child: taken, inserted, fresh or corner."""
        known, marks = self.marks.setdefault(self._layers[id(module)], ("", set()))
        layer = self._layers[id(source)] if source is not None and not known else known
        self.marks[self._layers[id(module)]] = (layer, marks | {what})

    def drop(self, module: nn.Module) -> None:
        """Note that the child lacks a module of the parent, if it is a layer or has weights."""
        layer = self._layers[id(module)]
        if layer not in self.removed and next(module.parameters(), None) is not None:
            self.removed.append(layer)

    def result(self, whole: bool) -> Inherited:
        """Return the record."""
        found = {what: [] for what in ("inserted", "fresh", "corner")}  # type: dict[str, list[str]]
        taken = []
        for layer, (source, marks) in self.marks.items():
            if source:
                taken.append((layer, source))
            elif "inserted" in marks:
                found["inserted"].append(layer)
            if "corner" in marks:
                found["corner"].append(layer)
            if marks == {"fresh"}:
                found["fresh"].append(layer)
        sources = {source for _, source in taken}
        removed = tuple(layer for layer in self.removed if layer not in sources)
        return Inherited(
            tuple(taken),
            tuple(found["inserted"]),
            removed,
            tuple(found["fresh"]),
            tuple(found["corner"]),
            whole,
        )


def _layer(name: str, network: nn.Module) -> str:
    """Return the layer of a module's name: that of a chain, such as ``conv2``, or itself."""
    path = name.split(".")
    for k, part in enumerate(path[1:], start=1):
        above = network.get_submodule(".".join(path[:k]))
        if isinstance(above, nn.Sequential) and re.fullmatch(r"[a-z]\w*\d", part):
            return ".".join(path[: k + 1])
    return name
