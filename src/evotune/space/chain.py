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
from evotune.space.conditions import Range, When, in_common, normalise_when, when_to_json
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
            having = self._having(name)
            if self._is_shared(name):
                yield _Setting(name, name, next(iter(having.values())), tuple(having))
            else:
                for block, domain in having.items():
                    yield _Setting(name, f"{block}.{name}", domain, (block,))

    def _having(self, name: str) -> dict[str, Domain]:
        """Return the domain of a setting in each block that has it."""
        return {b: settings[name] for b, settings in self.blocks.items() if name in settings}

    def _is_shared(self, name: str, above: tuple[str, ...] = ()) -> bool:
        """Return whether all blocks that have a setting share its gene.

        Settings that its condition names must be shared by at least the same blocks: a gene cannot
        depend on one gene in one block and on another gene in the next.
        """
        having = self._having(name)
        first, *others = having.values()
        if any(domain.to_json() != first.to_json() for domain in others):
            return False
        inside = {n for n, _ in first.when if any(n in self.blocks[b] for b in having)}
        return all(
            having.keys() <= self._having(n).keys() and self._is_shared(n, (*above, name))
            for n in inside.difference(above, (name,))  # a circle is found by the space
        )

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
            near = self._near(other, setting.blocks) if other in own else None
            when = (*when, (other if near is None else f"{slot}.{near.key}", allowed))
        return _with_when(setting.domain, when)

    def _near(self, name: str, blocks: tuple[str, ...]) -> _Setting:
        """Return the setting of a name that all these blocks have."""
        return next(s for s in self._slot if s.name == name and set(blocks) <= set(s.blocks))

    def slot(self, name: str, k: int) -> tuple[str, ...]:
        """Return the names of the genes of layer k, from 1 up, in an order common to all layers."""
        block = (BLOCK,) if len(self.blocks) > 1 else ()
        return tuple(f"{name}.{k}.{key}" for key in (*block, *(s.key for s in self._slot)))

    # -- lists of records ---------------------------------------------------------------------

    def assembled(self, name: str, active: Mapping[str, Any]) -> list[dict[str, Any]]:
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
        if not isinstance(block, str) or block not in self.blocks:
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
        taken = next((b for b in blocks if b in ("self", "min", "max", "when")), None)
        if taken is not None:
            raise SpaceError(f"a chain has no block called {taken!r}: give it another name")
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
    if not block or "." in block:
        raise SpaceError(f"Chain: blocks are named by words, got {block!r}")
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
    return {name: _domain(f"{block}: {name}", value) for name, value in given.items()}


def _domain(where: str, value: Any) -> Domain:
    if isinstance(value, Domain):
        return value
    if isinstance(value, Chain):
        raise SpaceError(f"Chain: {where} is a chain; a layer has no layers inside of it")
    try:
        return Fixed(value)
    except SpaceError as error:
        several = isinstance(value, list | tuple) and len(value) > 1
        hint = f"; for one of these write Choice({', '.join(map(repr, value))})" if several else ""
        raise SpaceError(
            f"Chain: {where} is a domain such as Int(8, 128), or one plain value; got {value!r}"
            f"{hint}"
        ) from error


def _with_when(domain: Domain, when: When) -> Domain:
    """Return a domain with other conditions, those on the same gene as one."""
    parts: dict[str, list[Any]] = {}
    for gene, allowed in when:
        parts.setdefault(gene, []).append(allowed)
    placed = copy.copy(domain)
    fill(placed, when=tuple((gene, in_common(each)) for gene, each in parts.items()))
    return placed
