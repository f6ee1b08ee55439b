"""Builds objects from names and options in a file; suggests the nearest name for unknown ones."""

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from evotune.checks import did_you_mean
from evotune.errors import ConfigError, EvotuneError
from evotune.space import Chain, Domain, Scheduled
from evotune.space.chain import KIND as CHAIN
from evotune.space.domains import KINDS, domain_from_json
from evotune.space.scheduled import KIND as SCHEDULED

T = TypeVar("T")
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
_PLURALS = {
    "a whole number": "whole numbers",
    "a number": "numbers",
    "a text": "texts",
    "a table": "tables",
}
_LISTS = (Sequence, Collection, list, tuple)


@contextmanager
def at(where: str) -> Iterator[None]:
    """Add the place in the file to errors inside the block.

    Raises:
        ConfigError: Any EvotuneError inside the block, with ``where`` before its text.
    """
    try:
        yield
    except EvotuneError as error:
        raise ConfigError(f"{where}: {error}") from error


def check_names(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ConfigError unless all given names are known.

    Args:
        what: What the names stand for, for the error message.
        given: Names in the file.
        known: All valid names.
    """
    known = list(known)
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or "."
            raise ConfigError(f"unknown {what} {name!r}{hint} Known: {', '.join(known) or 'none'}")


def build(maker: Callable[..., T], options: Mapping[str, Any], *given: Any) -> T:
    """Call a class or function with options from a file.

    Args:
        maker: The class or function.
        options: Its keyword arguments, which are checked by `check_options`.
        *given: Its first positional arguments, which do not come from the file.

    Raises:
        ConfigError: An option is unknown or missing, or a value has the wrong type.
    """
    check_options(maker, options, len(given))
    try:
        return maker(*given, **options)
    except TypeError as error:  # about an option that the maker passes on in its **options
        if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(maker).parameters.values()):
            raise ConfigError(str(error)) from error
        raise


def check_options(maker: Callable[..., Any], options: Mapping[str, Any], given: int = 0) -> None:
    """Check options from a file against the parameters of a class or function.

    Args:
        maker: The class or function.
        options: Its keyword arguments.
        given: How many of its first parameters do not come from the file.

    Raises:
        ConfigError: An option is unknown or missing, or a value has the wrong type.
    """
    parameters = list(inspect.signature(maker).parameters.values())[given:]
    named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    if named == parameters:
        check_names("option", options, [p.name for p in parameters])
    for parameter in named:
        if parameter.default is parameter.empty and parameter.name not in options:
            raise ConfigError(f"{maker.__name__} needs {parameter.name!r}")
    check_types(maker, options)


def check_types(maker: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raise ConfigError unless each value has the type that ``maker`` declares."""
    hints = get_type_hints(maker.__init__ if isinstance(maker, type) else maker)  # type: ignore[misc]
    for name, value in options.items():
        hint = hints.get(name, Any)
        if not _fits(value, hint):
            raise ConfigError(f"{name!r} must be {_words(hint)}, got {value!r}")


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any or getattr(hint, "_is_protocol", False):
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return type(value) is int
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if origin in _LISTS and isinstance(value, str | Mapping):  # Python's lists, a file's not
        return False
    return isinstance(value, origin or hint)


def _words(hint: Any) -> str:
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    said = [words for part in parts if (words := _words_of_one(part))]
    return " or ".join(dict.fromkeys(said)) or "left out (no file can write it)"


def _words_of_one(hint: Any) -> str:
    """Return what a file writes for a type that is no union; "" for what it cannot write."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(f'"{value}"' for value in parts)
    if origin in _LISTS:
        items = _PLURALS.get(_words_of_one(parts[0]), "")
        length = f"{len(parts)} " if origin is tuple and parts[-1] is not Ellipsis else ""
        return f"a list of {length}{items}" if items else "a list"
    if origin is Mapping:
        return "a table"
    if isinstance(hint, type) and hint.__module__.startswith("evotune."):
        return f'{{ name = "{hint.__name__}", ... }}'
    return _WORDS.get(hint, "") if isinstance(hint, type) else ""


def make_gene(table: Any) -> Domain | Chain | Scheduled:
    """Return the domain, chain of layers or schedule that a gene's table in a file describes.

    Raises:
        ConfigError: The type or an option is unknown, or a value has the wrong type.
        SpaceError: The domain, chain or schedule rejects an option.
    """
    kind = table.get("type") if isinstance(table, Mapping) else None
    if kind == CHAIN:
        return _chain(table)
    if kind == SCHEDULED:
        return _scheduled(table)
    return make_domain(table, (*KINDS, CHAIN, SCHEDULED))


def _scheduled(table: Mapping[str, Any]) -> Scheduled:
    check_names("option", table, ["type", "domain", "shapes", "knots", "warmup"])
    with at("domain"):
        make_domain(table.get("domain"), ("float", "int"))
    return Scheduled.from_json(table)


def _chain(table: Mapping[str, Any]) -> Chain:
    check_names("option", table, ["type", "min", "max", "blocks", "when"])
    for name in ("min", "max"):
        if type(table.get(name)) is not int:
            raise ConfigError(
                f"a chain needs {name!r}, a whole number of layers; got {table.get(name)!r}"
            )
    blocks = table.get("blocks")
    if not isinstance(blocks, Mapping):
        raise ConfigError(
            'a chain needs blocks, a table of tables such as {conv = {filters = {type = "int", '
            f"low = 8, high = 64}}}}, pool = {{}}}}; got {blocks!r}"
        )
    with at("blocks"):
        taken = sorted({"min", "max", "when"}.intersection(blocks))
        if taken:
            raise ConfigError(f"no block can be named {taken[0]!r}; give it another name")
        made = {block: _settings(block, settings) for block, settings in blocks.items()}
    when = table.get("when")
    if not isinstance(when, Mapping | None):
        raise ConfigError(f"'when' must be a table, got {when!r}")
    return Chain(table["min"], table["max"], when=when, **made)


def _settings(block: str, settings: Any) -> dict[str, Any]:
    """Return the settings of a block: a table is a domain, anything else a constant."""
    with at(block):
        if not isinstance(settings, Mapping):
            raise ConfigError(f"a block is a table of its settings, {{}} if none; got {settings!r}")
        made = {}
        for name, value in settings.items():
            with at(name):
                made[name] = make_domain(value) if isinstance(value, Mapping) else value
        return made


def make_domain(table: Any, kinds: Iterable[str] = KINDS) -> Domain:
    """Return the domain that a table in a file describes.

    Args:
        table: The table.
        kinds: What the type may be, for error messages.

    Raises:
        ConfigError: The type or an option is unknown, or a value has the wrong type.
        SpaceError: The domain rejects an option.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(
            'a gene is a table such as {type = "float", low = 0.0, high = 1.0}; got '
            f'{table!r}. For a constant write {{type = "fixed", value = ...}}'
        )
    if "type" not in table:
        raise ConfigError(f"a gene needs a type: one of {', '.join(kinds)}")
    check_names("type", [str(table["type"])], kinds)
    options = {name: value for name, value in table.items() if name != "type"}
    if not isinstance(options.get("values", []), list):
        raise ConfigError(f"'values' must be a list, got {options['values']!r}")
    check_options(KINDS[table["type"]], options)
    return domain_from_json(table)
