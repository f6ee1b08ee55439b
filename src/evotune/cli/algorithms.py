"""Builds the algorithm, its operators and inner algorithms from the table ``[algorithm]``."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import evotune
from evotune.algorithms.auto import auto
from evotune.checks import is_number
from evotune.cli.registry import at, build, check_names
from evotune.errors import ConfigError
from evotune.names import SEARCHES, WRAPPERS
from evotune.protocols import Algorithm
from evotune.space import Space

#: For each option of an algorithm or of a run: the module of its operators, and the method by
#: which a class there is recognised as one.
OPERATORS = {
    "selection": ("evolution.selection", "__call__"),
    "crossover": ("space.crossover", "__call__"),
    "mutation": ("space.mutation", "__call__"),
    "mutation_rate": ("evolution.rates", "next"),
    "refinement": ("space.refine", "refine"),
    "exploit": ("evolution.exploitation", "__call__"),
    "fitness": ("evolution.fitness", "__call__"),
    "interval": ("algorithms.intervals", "fresh"),
    "stopping": ("evolution.stopping", "fresh"),
}
#: Options for which the algorithm itself accepts names, such as "quantile" and "auto".
_NAMED_THERE = ("exploit", "fitness", "interval")
#: Options that may be plain numbers too.
_NUMBERS_TOO = ("mutation_rate", "interval")

T = TypeVar("T")


def make_algorithm(table: Mapping[str, Any], space: Space, setting: Mapping[str, Any]) -> Algorithm:
    """Return the algorithm that ``[algorithm]`` in a file describes.

    Args:
        table: ``name`` or ``recipe``, and options.
        space: The space to search.
        setting: Options of `auto`, which depend on the study.

    Raises:
        ConfigError: A name or option is unknown, or a value has the wrong type.
        AlgorithmError: The algorithm rejects an option.
    """
    options = {k: make_operator(k, v) for k, v in table.items() if k not in ("name", "recipe")}
    if table.get("name") == "Islands" and "recipe" not in table:
        return _make_islands(options, space, setting)
    if table.get("name") in WRAPPERS and "recipe" not in table:
        return _make_wrapper(table["name"], options, space, setting)
    if "recipe" in table or table.get("name", "auto") != "auto":
        maker = _algorithm_maker(table)
        return build(maker, _with_tuples(maker, options), space)
    if options:
        raise ConfigError(
            f'"auto" chooses its own options; to set {", ".join(options)}, name an algorithm'
        )
    return auto(space, **setting)


def _make_islands(
    options: Mapping[str, Any], space: Space, setting: Mapping[str, Any]
) -> Algorithm:
    from evotune.algorithms.islands import Islands

    tables = options.get("islands")
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise ConfigError(
            "Islands needs a list of algorithms: write islands = [{ name = "
            '"PopulationBasedTraining", interval = 1 }, { name = "PopulationBasedTraining", '
            "interval = 2 }]"
        )
    algorithms = []
    for number, table in enumerate(tables):
        with at(f"island {number}"):
            algorithms.append(make_algorithm(table, space, setting))
    rest = {name: value for name, value in options.items() if name != "islands"}
    return build(Islands, rest, algorithms)


def _make_wrapper(
    name: str, options: Mapping[str, Any], space: Space, setting: Mapping[str, Any]
) -> Algorithm:
    table = options.get("algorithm")
    if not isinstance(table, Mapping):
        raise ConfigError(
            f'{name} needs an algorithm inside: write algorithm = {{ name = "Genetic" }}'
        )
    with at("algorithm"):
        inside = make_algorithm(table, space, setting)
    maker = getattr(evotune, name)
    rest = {option: value for option, value in options.items() if option != "algorithm"}
    made: Algorithm = build(maker, rest, inside)
    return made


def _with_tuples(maker: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Convert lists to tuples where the maker needs tuples, which TOML does not have."""
    hints = get_type_hints(maker.__init__ if isinstance(maker, type) else maker)  # type: ignore[misc]
    wanted = {name for name, hint in hints.items() if _is_tuple(hint)}
    return {
        name: tuple(value) if isinstance(value, list) and name in wanted else value
        for name, value in options.items()
    }


def _is_tuple(hint: Any) -> bool:
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return any(get_origin(part) is tuple for part in parts)


def _algorithm_maker(table: Mapping[str, Any]) -> Callable[..., Algorithm]:
    if "recipe" not in table:
        name = table["name"]
        check_names("algorithm", [str(name)], ("auto", *SEARCHES, "Islands", *WRAPPERS))
        maker: Callable[..., Algorithm] = getattr(evotune, name)
        return maker
    if "name" in table:
        raise ConfigError("got both name and recipe; a recipe is a whole algorithm: keep only one")
    return _pick("recipe", table["recipe"], _recipes())


def algorithm_table(name: str) -> dict[str, str]:
    """Return the table ``[algorithm]`` for a recipe, or for an algorithm in upper or lower case.

    Raises:
        ConfigError: There is no algorithm or recipe of this name.
    """
    known = {algorithm.lower(): algorithm for algorithm in ("auto", *SEARCHES)}
    if name.lower() in known:
        return {"name": known[name.lower()]}
    check_names("algorithm or recipe", [name], [*known.values(), *_recipes()])
    return {"recipe": name}


def _recipes() -> dict[str, Callable[..., Algorithm]]:
    from evotune.algorithms import recipes

    functions = inspect.getmembers(recipes, inspect.isfunction)
    return {name: f for name, f in functions if f.__module__ == recipes.__name__}


def make_operator(option: str, value: Any) -> Any:
    """Return the operator given by its name, or by a table with its name and options.

    Args:
        option: The option that takes the operator; if it is not in `OPERATORS`, the value is
            returned as it is.
        value: The value in the file.

    Raises:
        ConfigError: A name or option is unknown, or a value has the wrong type.
        AlgorithmError: The operator rejects an option.
    """
    if option not in OPERATORS or (option in _NUMBERS_TOO and is_number(value)):
        return value
    if not isinstance(value, str | Mapping):
        known = ", ".join(_family(option))
        raise ConfigError(
            f"{option!r} must be a name or a table {{ name = ..., ... }}, got {value!r}. "
            f"Known: {known}"
        )
    with at(option):
        family = _family(option)
        if option in _NAMED_THERE and isinstance(value, str) and value not in family:
            return value
        options = {"name": value} if isinstance(value, str) else dict(value)
        if len(family) == 1:
            options.setdefault("name", next(iter(family)))
        if "name" not in options:
            raise ConfigError(f"needs a name: one of {', '.join(family)}")
        if "base" in options:  # an operator around another of its family
            options["base"] = make_operator(option, options["base"])
        maker = _pick(option, options.pop("name"), family)
        return build(maker, _with_tuples(maker, options))


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
