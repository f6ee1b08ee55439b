"""Names and options in a file -> objects, with the nearest name suggested for one not known."""

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from evotune.algorithms.auto import ALGORITHMS, auto
from evotune.checks import did_you_mean
from evotune.errors import ConfigError, EvotuneError
from evotune.protocols import Algorithm
from evotune.space import Domain, Space
from evotune.space.listed import KINDS, domain_from_json

#: Option of an algorithm -> the module of its operators, and the method that makes a class one.
OPERATORS = {
    "selection": ("evolution.selection", "__call__"),
    "crossover": ("space.crossover", "__call__"),
    "mutation": ("space.mutation", "__call__"),
    "mutation_rate": ("evolution.schedules", "next"),
    "refinement": ("space.refine", "refine"),
}

T = TypeVar("T")
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@contextmanager
def at(where: str) -> Iterator[None]:
    """Say where in the file an error was made.

    Raises:
        ConfigError: Any error of ours inside the block, with ``where`` before its text.
    """
    try:
        yield
    except EvotuneError as error:
        raise ConfigError(f"{where}: {error}") from error


def check_names(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ConfigError unless all given names are known.

    Args:
        what: What they name, for the error.
        given: Names in the file.
        known: Names that there are.
    """
    known = list(known)
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or "."
            raise ConfigError(f"unknown {what} {name!r}{hint} Known: {', '.join(known) or 'none'}")


def build(maker: Callable[..., T], options: Mapping[str, Any], *given: Any) -> T:
    """Call a class or function with options from a file.

    Args:
        maker: What to call.
        options: Its keyword arguments; `check_options` looks at them first.
        *given: Its first positional arguments, which do not come from the file.

    Raises:
        ConfigError: An unknown or missing option, or a value of another type.
    """
    check_options(maker, options, len(given))
    return maker(*given, **options)


def check_options(maker: Callable[..., Any], options: Mapping[str, Any], given: int = 0) -> None:
    """Check options from a file against what a class or function takes.

    Args:
        maker: Class or function.
        options: Its keyword arguments.
        given: How many of its first parameters do not come from the file.

    Raises:
        ConfigError: An unknown or missing option, or a value of another type.
    """
    parameters = list(inspect.signature(maker).parameters.values())[given:]
    check_names("option", options, [p.name for p in parameters])
    for parameter in parameters:
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
    return isinstance(value, origin or hint)


def _words(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        parts = [_words(part) for part in get_args(hint) if part is not NoneType]
        return " or ".join(dict.fromkeys(parts))
    if get_origin(hint) is Literal:
        return " or ".join(f'"{value}"' for value in get_args(hint))
    return _WORDS.get(hint, "left out (no file can write it)")


def make_domain(table: Any) -> Domain:
    """Return the domain that a gene's table in a file describes.

    Raises:
        ConfigError: An unknown type or option, or a value of another type.
        SpaceError: Options that no domain can have.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(
            'a gene is a table such as {type = "float", low = 0.0, high = 1.0}; got '
            f'{table!r}. For a constant write {{type = "fixed", value = ...}}'
        )
    if "type" not in table:
        raise ConfigError(f"a gene needs a type: one of {', '.join(KINDS)}")
    check_names("type", [str(table["type"])], KINDS)
    options = {name: value for name, value in table.items() if name != "type"}
    if not isinstance(options.get("values", []), list):
        raise ConfigError(f"'values' must be a list, got {options['values']!r}")
    check_options(KINDS[table["type"]], options)
    return domain_from_json(table)


def make_algorithm(table: Mapping[str, Any], space: Space, trials: int | None) -> Algorithm:
    """Return the algorithm that ``[algorithm]`` in a file describes.

    Args:
        table: ``name`` or ``recipe``, and options.
        space: What it searches.
        trials: Trials of the study, by which ``"auto"`` chooses.

    Raises:
        ConfigError: An unknown name or option, or a value of another type.
        AlgorithmError: Options that the algorithm cannot work with.
    """
    options = {k: _make_operator(k, v) for k, v in table.items() if k not in ("name", "recipe")}
    if "recipe" in table or table.get("name", "auto") != "auto":
        return build(_algorithm_maker(table), options, space)
    if options:
        raise ConfigError(
            f'"auto" chooses its own options; name an algorithm to set {", ".join(options)}'
        )
    return auto(space, trials=trials)


def _algorithm_maker(table: Mapping[str, Any]) -> Callable[..., Algorithm]:
    if "recipe" not in table:
        name = table["name"]
        check_names("algorithm", [str(name)], ("auto", *ALGORITHMS))
        module = importlib.import_module(f"evotune.algorithms.{ALGORITHMS[name]}")
        maker: Callable[..., Algorithm] = getattr(module, name)
        return maker
    if "name" in table:
        raise ConfigError("name and recipe exclude each other; a recipe is an algorithm by itself")
    return _pick("recipe", table["recipe"], _recipes())


def _recipes() -> dict[str, Callable[..., Algorithm]]:
    from evotune.algorithms import recipes

    functions = inspect.getmembers(recipes, inspect.isfunction)
    return {name: f for name, f in functions if f.__module__ == recipes.__name__}


def _make_operator(option: str, value: Any) -> Any:
    """Return the operator that a name, or a table with a name and options, stands for."""
    if option not in OPERATORS or not isinstance(value, str | Mapping):
        return value
    with at(option):
        family = _family(option)
        options = {"name": value} if isinstance(value, str) else dict(value)
        if len(family) == 1:
            options.setdefault("name", next(iter(family)))
        if "name" not in options:
            raise ConfigError(f"needs a name: one of {', '.join(family)}")
        maker = _pick(option, options.pop("name"), family)
        # An operator's pair of numbers is a tuple, for which TOML has no form of its own.
        pairs = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        return build(maker, pairs)


def _family(option: str) -> dict[str, type]:
    path, method = OPERATORS[option]
    module = importlib.import_module(f"evotune.{path}")
    return {
        name: kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__
        and method in vars(kind)
        and not getattr(kind, "_is_protocol", False)
    }


def _pick(what: str, name: Any, known: Mapping[str, T]) -> T:
    check_names(what, [str(name)], known)
    return known[name]
