"""The space: named domains, their conditions, and operations on whole genomes."""

import math
import sys
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from evotune.checks import did_you_mean, is_number
from evotune.errors import GenomeError, SpaceError
from evotune.space.chain import KIND as CHAIN
from evotune.space.chain import Chain
from evotune.space.conditions import Range, When, in_common, in_order
from evotune.space.domains import Domain, domain_from_json
from evotune.space.domains.lattice import FINE
from evotune.space.scheduled import KIND as SCHEDULED
from evotune.space.scheduled import Scheduled
from evotune.space.words import code, table

Genome = Mapping[str, Any]

#: What is several genes in a genome and one value in params, by its kind in JSON.
Compound = Chain | Scheduled
_COMPOUNDS: dict[str, type[Chain] | type[Scheduled]] = {CHAIN: Chain, SCHEDULED: Scheduled}

#: Spaces of at most this many points are listed to find what has not been tried yet.
LISTED_AT_MOST = 4096
_INACTIVE = ...


def needed_space(given: Any) -> "Space":
    """Return the space that an algorithm was given.

    Raises:
        SpaceError: It is something else.
    """
    if not isinstance(given, Space):
        raise SpaceError(
            "an algorithm needs a space, such as Space(lr=Float(1e-4, 1.0, log=True)); "
            f"got {given!r}"
        )
    return given


def _instead(value: Any) -> str:
    """Return what may have been meant by a value that is no domain."""
    parts = list(value) if isinstance(value, list | tuple | set | frozenset) else []
    if isinstance(value, Mapping) or any(isinstance(part, Mapping | Domain) for part in parts):
        return "For layers write Chain(1, 5, conv=dict(filters=Int(8, 128)), pool={})"
    if len(parts) > 1:
        values = ", ".join(map(repr, parts))
        return f"For one of these write Choice({values}), for a constant Fixed({value!r})"
    return f"For a constant write Fixed({value!r})"


class Space:
    """What may be searched.

    A genome holds a value for every gene. Genes whose condition fails are *dormant*: kept in the
    genome, absent from the params that the evaluation sees. A chain of layers is conditional genes
    in the genome and one list of records in the params, see `Chain`; a schedule is genes and one
    record, see `Scheduled`.

    Args:
        genes: A mapping of gene names to domains, chains or schedules, for names that are not
            identifiers.
        **domains: Gene names and domains, chains or schedules.

    Raises:
        SpaceError: No gene, a gene that is not a domain, a condition on a missing gene or on a
            value that gene never has, or a cycle of conditions.

    Attributes:
        domains: Domain of each gene, by name.
        chains: The chains, by name.
        compounds: The chains and the schedules, by name.
        names: Names of all genes.
        entries: Names in params, each with its genes: itself, or all those of a chain or schedule.
        variable: Names of the genes that have more than one value.
        conditions: Conditions of each gene that has some, in the values that other genes take.

    Example:
        ``Space(lr=Float(1e-4, 1.0, log=True), depth=Int(1, 9, when={"booster": "tree"}),
        booster=Choice("tree", "linear"))``
    """

    def __init__(
        self,
        genes: Mapping[str, Domain | Compound] | None = None,
        /,
        **domains: Domain | Compound,
    ) -> None:
        given = {**(genes or {}), **domains}
        if not given:
            raise SpaceError("a space needs a gene: write Space(lr=Float(1e-4, 1.0, log=True))")
        self.compounds = {name: each for name, each in given.items() if isinstance(each, Compound)}
        self.domains = _expanded(given)
        for name, domain in self.domains.items():
            if not isinstance(name, str) or not name:
                raise SpaceError(f"gene names must be non-empty strings, got {name!r}")
            if not isinstance(domain, Domain):
                raise SpaceError(
                    f"gene {name!r} must be a domain such as Float(0, 1) or Choice('a', 'b'); "
                    f"got {domain!r}. {_instead(domain)}"
                )
        self._index()
        for name, when in self.conditions.items():
            for other, allowed in when:
                _check_possible(name, other, self.domains[other], allowed)
        self._check_together()

    def _check_together(self) -> None:
        """Refuse a gene whose conditions, with those of the genes they name, never all hold."""
        required: dict[str, dict[str, list[Range | tuple[Any, ...]]]] = {}
        for name in self._order:
            needs = required[name] = {}
            for other, allowed in self.conditions.get(name, ()):
                for gene, parts in (*required[other].items(), (other, [allowed])):
                    needs.setdefault(gene, []).extend(parts)
            for gene, parts in needs.items():
                if not self.domains[gene].allows(in_common(parts)):
                    raise SpaceError(
                        f"gene {name!r} can never be active: together its conditions, and those of "
                        f"the genes that they name, want {gene!r} to be "
                        f"{' and '.join(map(repr, parts))}"
                    )

    def _index(self) -> None:
        self.names: tuple[str, ...] = tuple(self.domains)
        self._contains = [(name, domain.contains) for name, domain in self.domains.items()]
        self.variable: tuple[str, ...] = tuple(n for n, d in self.domains.items() if d.size > 1)
        self._order = in_order({name: d.when for name, d in self.domains.items()})
        self.conditions: dict[str, When] = {
            name: tuple((other, _canonical(self.domains[other], part)) for other, part in d.when)
            for name, d in self.domains.items()
            if d.when
        }
        self._conditional = tuple(self.conditions)
        self._with_members = tuple(n for n, d in self.domains.items() if d.members)
        self._keyed = tuple(k for k, d in enumerate(self.domains.values()) if d.keyed)
        self.chains = {name: c for name, c in self.compounds.items() if isinstance(c, Chain)}
        self._compound_of = {g: name for name, c in self.compounds.items() for g in c.genes(name)}
        self.entries: dict[str, tuple[str, ...]] = {}
        for name in self.names:
            entry = self._compound_of.get(name, name)
            self.entries[entry] = (*self.entries.get(entry, ()), name)
        # The unit interval is too coarse for these.
        self._fine = tuple(n for n, d in self.domains.items() if FINE < d.size < math.inf)

    def narrowed(self, domains: Mapping[str, Domain]) -> "Space":
        """Return this space with narrower domains, in which some conditions may never hold.

        Args:
            domains: A domain for every gene, with the same conditions as here.
        """
        space = Space.__new__(Space)
        space.domains = dict(domains)
        space.compounds = self.compounds
        space._index()
        return space

    def __repr__(self) -> str:
        return (
            f"Space({', '.join(f'{name}={code(made)}' for name, made in self.to_json().items())})"
        )

    def _repr_html_(self) -> str:
        return table(self.to_json())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, name: str) -> Domain:
        return self.domains[name]

    # -- active and dormant genes -------------------------------------------------------------

    @property
    def conditional(self) -> tuple[str, ...]:
        """Names of the genes that have a condition."""
        return self._conditional

    def dormant(self, genome: Genome) -> frozenset[str]:
        """Return the names of the genes that are not active in this genome."""
        if not self._conditional:
            return frozenset()
        asleep: set[str] = set()
        for name in self._order:
            if name in self.conditions and not _holds(self.conditions[name], genome, asleep):
                asleep.add(name)
        return frozenset(asleep)

    def params(self, genome: Genome) -> dict[str, Any]:
        """Return the active genes only, in the order of the space.

        Of an ``Enum`` they hold the members, of each chain one list of its layers, and of each
        schedule one record.
        """
        return self.assembled(self.active(genome))

    def assembled(self, active: Genome) -> dict[str, Any]:
        """Return active genes with one value in the place of those of each chain or schedule."""
        if not self.compounds:
            return dict(active)
        params: dict[str, Any] = {}
        for name, value in active.items():
            whole = self._compound_of.get(name)
            if whole is None:
                params[name] = value
            elif whole not in params:
                params[whole] = self.compounds[whole].assembled(whole, active)
        return params

    def active(self, genome: Genome) -> dict[str, Any]:
        """Return the active genes as `params` does, but those of compounds one by one."""
        asleep = self.dormant(genome)
        params = {name: genome[name] for name in self.names if name not in asleep}
        for name in self._with_members:
            if name in params:
                params[name] = self.domains[name].members.get(params[name], params[name])
        return params

    @property
    def has_members(self) -> bool:
        """True where params hold something that genomes, which are JSON, do not."""
        return bool(self._with_members)

    def key(self, genome: Genome) -> Hashable:
        """Return a key that two genomes share exactly when their active genes agree."""
        asleep = self.dormant(genome)
        if asleep:
            keys = [_INACTIVE if name in asleep else genome[name] for name in self.names]
        else:
            keys = [genome[name] for name in self.names]
        for place in self._keyed:
            if keys[place] is not _INACTIVE:
                keys[place] = self.domains[self.names[place]].key(keys[place])
        return tuple(keys)

    # -- genomes in ---------------------------------------------------------------------------

    def check(self, genome: Genome) -> None:
        """Check a whole genome, dormant genes included.

        Raises:
            GenomeError: A gene is missing, unknown or outside its domain.
        """
        if genome.keys() != self.domains.keys():
            self._check_names(genome)
            missing = next(name for name in self.names if name not in genome)
            raise GenomeError(f"gene {missing!r} is missing from {dict(genome)!r}")
        for name, contains in self._contains:
            if not contains(genome[name]):
                raise GenomeError(self._outside(name, genome[name]))

    def _outside(self, name: str, value: Any) -> str:
        domain = self.domains[name]
        is_text = isinstance(value, str) and is_number(domain.from_unit(0.5))
        kind = ", a text and not a number" if is_text else ""
        return f"gene {name!r} is {value!r}{kind}, outside its domain {domain!r}"

    def taken_apart(self, params: Genome) -> dict[str, Any]:
        """Return params with the genes of each chain, or schedule, in the place of its value.

        Raises:
            GenomeError: A list does not fit its chain, or a record its schedule.
        """
        genes: dict[str, Any] = {}
        for name, value in params.items():
            whole, inside = self.compounds.get(name), self._compound_of.get(name)
            if whole is None and inside in params:
                listed = "the list of its chain" if inside in self.chains else "its schedule"
                raise GenomeError(
                    f"gene {name!r} is given twice, by itself and in {listed}; leave either out"
                )
            genes |= {name: value} if whole is None else whole.taken_apart(name, value)
        return genes

    def _check_names(self, genome: Genome) -> None:
        for name in genome:
            if name not in self.domains:
                raise GenomeError(
                    f"gene {name!r} is not in the space, which has {', '.join(self.entries)}"
                    f"{did_you_mean(name, (*self.entries, *self.names))}"
                )

    def complete(self, params: Genome, rest: Genome | None = None) -> dict[str, Any]:
        """Make a genome of params: dormant genes get the middle of their domain.

        Args:
            params: At least every active gene that has a choice, e.g. ``study.best.params`` or one
                you know; a chain as a list of layers, a schedule as a record or one number.
            rest: A genome; it gives the active genes that are missing.

        Raises:
            GenomeError: An active gene is missing, or a gene is unknown or outside its domain.
        """
        params = self.taken_apart(params)
        self._check_names(params)
        genome = {
            name: domain.canonical(params[name])
            if name in params and domain.contains(params[name])
            else params.get(name, domain.from_unit(0.5))
            for name, domain in self.domains.items()
        }
        self.check(genome)
        chosen = (name for name in self.active(genome) if self.domains[name].size > 1)
        missing = [name for name in chosen if name not in params]
        if missing and rest is not None:
            genome = {name: params.get(name, rest[name]) for name in self.domains}
            self.check(genome)
        elif missing:
            raise GenomeError(
                f"{self._called(missing[0])} is active but missing from {dict(params)!r}"
            )
        return genome

    def _called(self, gene: str) -> str:
        chain = self._compound_of.get(gene)
        if chain is None:
            return f"gene {gene!r}"
        if chain not in self.chains:
            return f"{gene.removeprefix(f'{chain}.')!r} of schedule {chain!r}, gene {gene!r},"
        place, _, setting = gene.removeprefix(f"{chain}.").partition(".")
        if not setting:
            return f"chain {chain!r}"
        return f"{setting!r} of layer {place} of chain {chain!r}, gene {gene!r},"

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw a genome, every gene uniformly on its own scale."""
        genome = self._from_units(rng.random(len(self.names)).tolist())
        for name in self._fine:
            genome[name] = self.domains[name].draw(rng)
        return genome

    # -- unit cube ----------------------------------------------------------------------------

    def encode(self, genome: Genome) -> npt.NDArray[np.float64]:
        """Return the genome as a point of the unit cube, shape ``(genes,)``."""
        return np.array([d.to_unit(genome[n]) for n, d in self.domains.items()])

    def decode(self, units: Sequence[float] | npt.NDArray[np.float64]) -> dict[str, Any]:
        """Return the genome at a point of the unit cube, shape ``(genes,)``.

        Raises:
            GenomeError: The point has another length or leaves the cube.
        """
        point = np.asarray(units, dtype=float)
        if point.shape != (len(self.names),) or not np.all((point >= 0) & (point <= 1)):
            raise GenomeError(
                f"a point of this space's unit cube has {len(self.names)} numbers in [0, 1], "
                f"got {units!r}"
            )
        return self._from_units(point.tolist())

    def _from_units(self, units: Sequence[float]) -> dict[str, Any]:
        return {
            name: domain.from_unit(unit)
            for (name, domain), unit in zip(self.domains.items(), units, strict=True)
        }

    # -- finite spaces ------------------------------------------------------------------------

    def size(self) -> float:
        """Return the number of distinct params, ``inf`` for a continuous or uncountable space.

        Conditional spaces are counted by listing them, up to 100,000 points; ``inf`` beyond.
        """
        return self._size

    @cached_property
    def _size(self) -> float:
        sizes = [domain.size for domain in self.domains.values()]
        if math.inf in sizes:
            return math.inf
        if not self._conditional:
            size = math.prod(sizes)
            return size if size < sys.float_info.max else math.inf
        count = 0
        for count, _ in enumerate(self.points(), start=1):
            if count > 100_000:
                return math.inf
        return count

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield a genome for every distinct params of a finite space.

        Raises:
            SpaceError: A gene is continuous.
        """
        for name, domain in self.domains.items():
            if domain.size == math.inf:
                raise SpaceError(f"gene {name!r} is continuous: its space cannot be listed")
        yield from self._points({}, frozenset())

    def _points(self, genome: dict[str, Any], asleep: frozenset[str]) -> Iterator[dict[str, Any]]:
        if len(genome) == len(self._order):
            yield {name: genome[name] for name in self.names}
            return
        name = self._order[len(genome)]
        domain = self.domains[name]
        if _holds(self.conditions.get(name, ()), genome, asleep):
            for value in domain.values():
                yield from self._points({**genome, name: value}, asleep)
        else:
            yield from self._points({**genome, name: domain.from_unit(0.5)}, asleep | {name})

    def unseen(
        self, genome: Genome, seen: Collection[Hashable], rng: np.random.Generator
    ) -> dict[str, Any] | None:
        """Return a genome not yet seen that differs from the given one in as few genes as can be.

        Only for spaces of at most `LISTED_AT_MOST` points; None for larger ones, or when every
        point has been seen.
        """
        if self._size > LISTED_AT_MOST:
            return None
        left = [point for point in self._listed if self.key(point) not in seen]
        if not left:
            return None
        distance = np.array([self._distance(point, genome) for point in left])
        found: dict[str, Any] = left[rng.choice(np.flatnonzero(distance == distance.min()))]
        return found | {name: genome[name] for name in self.dormant(found)}

    def _distance(self, point: Genome, genome: Genome) -> int:
        asleep = self.dormant(point)
        keys = (
            (d.key(point[n]), d.key(genome[n])) for n, d in self.domains.items() if n not in asleep
        )
        return sum(a != b for a, b in keys)

    @cached_property
    def _listed(self) -> list[dict[str, Any]]:
        return list(self.points())

    # -- JSON ---------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able description: names in params to domains, chains or schedules.

        Genes of the latter stand there too where they are narrower than in the whole.
        """
        data: dict[str, Any] = {}
        own = {
            g: domain
            for name, whole in self.compounds.items()
            for g, domain in whole.genes(name).items()
        }
        for name, domain in self.domains.items():
            if name in own:
                entry = self._compound_of[name]
                data.setdefault(entry, self.compounds[entry].to_json())
            if name not in own or domain.to_json() != own[name].to_json():
                data[name] = domain.to_json()
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Mapping[str, Any]]) -> "Space":
        """Build a space from `to_json`.

        Raises:
            SpaceError: An unknown type or setting of a domain.
        """
        wholes: dict[str, Compound] = {
            n: _COMPOUNDS[d["type"]].from_json(d)
            for n, d in data.items()
            if isinstance(d, Mapping) and d.get("type") in _COMPOUNDS
        }
        inside = {gene for name, whole in wholes.items() for gene in whole.genes(name)}
        space = cls(
            {n: wholes.get(n) or domain_from_json(d) for n, d in data.items() if n not in inside}
        )
        narrower = {n: domain_from_json(d) for n, d in data.items() if n in inside}
        return space.narrowed(space.domains | narrower) if narrower else space


def _expanded(given: Mapping[str, Domain | Compound]) -> dict[str, Domain]:
    """Return the domains of all genes, those inside of chains and schedules included.

    Raises:
        SpaceError: A chain or schedule without a name, or with a gene of a name that is taken.
    """
    domains: dict[str, Any] = {}
    for name, each in given.items():
        whole, kind = isinstance(each, Compound), "chain" if isinstance(each, Chain) else "schedule"
        if whole and not (isinstance(name, str) and name):
            raise SpaceError(f"{kind}s are named by non-empty strings, got {name!r}")
        genes = each.genes(name) if isinstance(each, Compound) else {name: each}
        twice = next((g for g in genes if g in domains or (g != name and g in given)), None)
        if twice is not None:
            raise SpaceError(
                f"gene {twice!r} is there twice, once as a part of {kind} {name!r}; rename either"
            )
        domains |= genes
    return domains


def _holds(when: When, genome: Genome, asleep: Collection[str]) -> bool:
    # A plain loop is faster, and this runs for every gene of every proposal.
    for other, allowed in when:  # noqa: SIM110
        if other in asleep or genome[other] not in allowed:
            return False
    return True


def _canonical(domain: Domain, allowed: Range | tuple[Any, ...]) -> Range | tuple[Any, ...]:
    """Return the allowed values in the domain's own form; values outside it stay as they are."""
    if isinstance(allowed, Range):
        return allowed
    return tuple(domain.canonical(v) if domain.contains(v) else v for v in allowed)


def _check_possible(
    name: str, other: str, domain: Domain, allowed: Range | tuple[Any, ...]
) -> None:
    parts: list[Any] = [allowed] if isinstance(allowed, Range) else [(v,) for v in allowed]
    for part in parts:
        if not domain.allows(part):
            value = part if isinstance(part, Range) else part[0]
            raise SpaceError(
                f"gene {name!r} is active when {other!r} is {value!r}, "
                f"which {other!r} can never be: {domain.to_json()}"
            )


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return one line for each gene, or part of a chain, in which two spaces as JSON differ."""
    before, after = _with_parts_of_chains(old, new), _with_parts_of_chains(new, old)
    lines = [f"- {name}: {before[name]}" for name in before if name not in after]
    lines += [f"+ {name}: {after[name]}" for name in after if name not in before]
    lines += [
        f"~ {name}: {before[name]} -> {after[name]}"
        for name in before
        if name in after and before[name] != after[name]
    ]
    return lines


def _with_parts_of_chains(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return a space as JSON, with the chains that both have as their options, blocks, settings."""
    flat: dict[str, Any] = {}
    for name, made in one.items():
        if not (_is_chain(made) and _is_chain(other.get(name))):
            flat[name] = made
            continue
        flat |= {f"{name}, {part}": made[part] for part in made if part not in ("type", "blocks")}
        for block, settings in made["blocks"].items():
            if block not in other[name]["blocks"] or not settings:
                flat[f"{name}, block {block}"] = settings
            else:
                flat |= {f"{name}, block {block}, {n}": v for n, v in settings.items()}
    return flat


def _is_chain(made: Any) -> bool:
    return isinstance(made, Mapping) and made.get("type") == "chain"
