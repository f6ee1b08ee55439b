"""A chain of layers: a list of records to the user, ordinary conditional genes inside.

Layer i of a chain is a *slot*: a gene for its block and one for each setting of its blocks, active
while the chain is that deep. So every algorithm, operator, surrogate and design that works on
conditional genes works on structures, and a slot that falls asleep keeps its tested genes.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evotune.checks import did_you_mean
from evotune.errors import GenomeError, SpaceError
from evotune.space.conditions import Range, When, normalise_when, when_to_json
from evotune.space.domains import Choice, Domain, Fixed, Int, domain_from_json
from evotune.space.domains.base import fill
from evotune.space.plain import whole

#: Name of a record's block; no setting of a block may have it.
BLOCK = "block"
#: Name of the gene that says how many layers there are.
DEPTH = "depth"
#: The kind of a chain in JSON and TOML, beside the kinds of domains.
KIND = "chain"


@dataclass(frozen=True, slots=True)
class _Setting:
    """One gene of every slot.

    Attributes:
        name: Its name in a record, such as ``filters``.
        key: Its name in the slot: with its block before it where blocks differ in its domain.
        domain: Its domain; conditions name settings of the same record, or genes of the space.
        blocks: The blocks that have it.
    """

    name: str
    key: str
    domain: Domain
    blocks: tuple[str, ...]


class Chain:
    """A list of min to max layers, each one of several blocks with settings of its own.

    In params a chain is a list of records, ``[{"block": "conv", "filters": 32}, ...]``. In the
    genome it is conditional genes: ``features.depth``, and for layer 1 ``features.1.block`` (none
    if there is a single block) and ``features.1.filters``. Blocks that name a setting with an equal
    domain share its gene, so that the value stays when the block changes; where domains differ,
    the block is part of the name: ``features.1.conv.filters``.

    Args:
        min: Fewest layers, at least 0.
        max: Most layers.
        when: Conditions under which there is a chain at all.
        **blocks: The settings of each block: names to domains, or to values for constants. A
            condition (``when=``) on a setting of the same block means that of the same layer.

    Raises:
        SpaceError: No block, numbers of layers out of order, settings that are no mapping of names
            to domains or plain values.

    Example:
        ``Chain(1, 7, conv=dict(filters=Int(8, 128, log=True), kernel=Ordinal(1, 3, 5)), pool={})``
    """

    def __init__(
        self,
        min: int,  # noqa: A002
        max: int,  # noqa: A002
        *,
        when: Mapping[str, Any] | None = None,
        **blocks: Mapping[str, Any],
    ) -> None:
        self.min, self.max = whole("Chain: min", min), whole("Chain: max", max)
        if not 0 <= self.min <= self.max or self.max == 0:
            low, high = sorted((abs(self.min), abs(self.max) or 1))
            raise SpaceError(
                f"Chain({min!r}, {max!r}, ...): the fewest layers come first, then the most; write "
                f"Chain({low}, {high}, ...)"
            )
        if not blocks:
            raise SpaceError(
                f"Chain({min}, {max}) has no block: write Chain({min}, {max}, "
                "conv=dict(filters=Int(8, 128, log=True)), pool={})"
            )
        self.when = normalise_when(when)
        self.blocks = {name: _settings(name, given) for name, given in blocks.items()}
        self._slot = tuple(self._merged())

    def __repr__(self) -> str:
        blocks = ", ".join(f"{name}={settings}" for name, settings in self.blocks.items())
        return f"Chain({self.min}, {self.max}, {blocks})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chain) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def _merged(self) -> Iterator[_Setting]:
        """Yield the settings of a slot, each once for all blocks that have an equal domain."""
        for name in dict.fromkeys(n for settings in self.blocks.values() for n in settings):
            having = {b: s[name] for b, s in self.blocks.items() if name in s}
            first = next(iter(having.values()))
            if all(domain.to_json() == first.to_json() for domain in having.values()):
                yield _Setting(name, name, first, tuple(having))
            else:
                for block, domain in having.items():
                    yield _Setting(name, f"{block}.{name}", domain, (block,))

    # -- genes --------------------------------------------------------------------------------

    def genes(self, name: str) -> dict[str, Domain]:
        """Return the genes of a chain of this name, in order: the depth, then slot by slot."""
        depth = f"{name}.{DEPTH}"
        span = self.max > self.min
        count = Int(self.min, self.max) if span else Fixed(self.max)
        genes: dict[str, Domain] = {depth: _with_when(count, self.when)}
        for k in range(1, self.max + 1):
            slot = f"{name}.{k}"
            awake: When = ((depth, Range(k)),) if k > self.min or self.when else ()
            if len(self.blocks) > 1:
                genes[f"{slot}.{BLOCK}"] = _with_when(Choice(*self.blocks), awake)
            for setting in self._slot:
                genes[f"{slot}.{setting.key}"] = self._placed(setting, slot, awake)
        return genes

    def _placed(self, setting: _Setting, slot: str, awake: When) -> Domain:
        """Return the domain of a setting in its slot, active with the slot and its blocks."""
        when = awake
        if len(setting.blocks) < len(self.blocks):
            when = (*when, (f"{slot}.{BLOCK}", setting.blocks))
        own = self.blocks[setting.blocks[0]]
        for other, allowed in setting.domain.when:
            near = next((s for s in self._slot if s.name == other and other in own), None)
            when = (*when, (other if near is None else f"{slot}.{near.key}", allowed))
        return _with_when(setting.domain, when)

    def slot(self, name: str, k: int) -> tuple[str, ...]:
        """Return the names of the genes of layer k, from 1 up, in an order common to all layers."""
        block = (BLOCK,) if len(self.blocks) > 1 else ()
        return tuple(f"{name}.{k}.{key}" for key in (*block, *(s.key for s in self._slot)))

    # -- lists of records ---------------------------------------------------------------------

    def layers(self, name: str, active: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the records of a chain of this name.

        Args:
            name: The name of the chain.
            active: The active genes of the space.
        """
        return [
            self._record(f"{name}.{k}", active) for k in range(1, active[f"{name}.{DEPTH}"] + 1)
        ]

    def _record(self, slot: str, active: Mapping[str, Any]) -> dict[str, Any]:
        block = active.get(f"{slot}.{BLOCK}", next(iter(self.blocks)))
        return {BLOCK: block} | {
            setting.name: active[f"{slot}.{setting.key}"]
            for setting in self._slot
            if block in setting.blocks and f"{slot}.{setting.key}" in active
        }

    def taken_apart(self, name: str, layers: Any) -> dict[str, Any]:
        """Return the genes of a list of records; slots beyond it have none.

        Raises:
            GenomeError: It is no list of records, too short or too long, or a record names a block
                or a setting that the chain does not have.
        """
        if isinstance(layers, str | Mapping) or not hasattr(layers, "__len__"):
            raise GenomeError(
                f"chain {name!r} is a list of layers such as {self._example()}, got {layers!r}"
            )
        if not self.min <= len(layers) <= self.max:
            raise GenomeError(
                f"chain {name!r} has {self.min} to {self.max} layers, got {len(layers)}: {layers!r}"
            )
        genes = {f"{name}.{DEPTH}": len(layers)}
        for k, record in enumerate(layers, start=1):
            genes |= self._taken_apart(f"{name}.{k}", record)
        return genes

    def _taken_apart(self, slot: str, record: Any) -> dict[str, Any]:
        if not isinstance(record, Mapping):
            raise GenomeError(f"{slot} is a record such as {self._example()[0]}, got {record!r}")
        only = next(iter(self.blocks)) if len(self.blocks) == 1 else None
        block = record.get(BLOCK, only)
        if block not in self.blocks:
            raise GenomeError(
                f"{slot} has the block {block!r}; its chain has {', '.join(self.blocks)}"
                f"{did_you_mean(str(block), self.blocks)}"
            )
        genes = {f"{slot}.{BLOCK}": block} if only is None else {}
        keys = {s.name: s.key for s in self._slot if block in s.blocks}
        for setting, value in record.items():
            if setting == BLOCK:
                continue
            if setting not in keys:
                raise GenomeError(
                    f"{slot}: block {block!r} has no {setting!r}, only "
                    f"{', '.join(keys) or 'its name'}{did_you_mean(str(setting), keys)}"
                )
            genes[f"{slot}.{keys[setting]}"] = value
        return genes

    def _example(self) -> list[dict[str, Any]]:
        block, settings = next(iter(self.blocks.items()))
        return [{BLOCK: block} | {name: d.from_unit(0.5) for name, d in settings.items()}]

    # -- JSON ---------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able description."""
        blocks = {
            block: {name: domain.to_json() for name, domain in settings.items()}
            for block, settings in self.blocks.items()
        }
        ends = {"type": KIND, "min": self.min, "max": self.max}
        return ends | {"blocks": blocks} | when_to_json(self.when)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Chain":
        """Build a chain from `to_json`, or from one written by hand in a file.

        Raises:
            SpaceError: Something is missing or unknown.
        """
        unknown = set(data) - {"type", "min", "max", "blocks", "when"}
        blocks = data.get("blocks")
        if unknown or not isinstance(blocks, Mapping) or not {"min", "max"} <= set(data):
            raise SpaceError(
                "a chain has a min, a max and blocks, such as {type = 'chain', min = 1, max = 5, "
                f"blocks = {{pool = {{}}}}}}; got {dict(data)!r}"
            )
        read = {block: _read(block, settings) for block, settings in blocks.items()}
        return cls(data["min"], data["max"], when=data.get("when"), **read)


def _read(block: str, settings: Any) -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        raise SpaceError(f"block {block!r} is a table of settings, got {settings!r}")
    return {
        name: domain_from_json(d) if isinstance(d, Mapping) else d for name, d in settings.items()
    }


def _settings(block: str, given: Any) -> dict[str, Domain]:
    """Return the settings of a block as domains; a plain value is a constant."""
    if not isinstance(given, Mapping):
        raise SpaceError(
            f"Chain: block {block!r} is a mapping of its settings, such as "
            f"{block}=dict(filters=Int(8, 128)), or {{}} if it has none; got {given!r}"
        )
    if BLOCK in given:
        raise SpaceError(f"Chain: a setting of {block!r} is called {BLOCK!r}, the key of its name")
    for name in given:
        if not isinstance(name, str) or not name or "." in name:
            raise SpaceError(f"Chain: settings of {block!r} are named by words, got {name!r}")
    return {
        name: value if isinstance(value, Domain) else Fixed(value) for name, value in given.items()
    }


def _with_when(domain: Domain, when: When) -> Domain:
    placed = copy.copy(domain)
    fill(placed, when=when)
    return placed
