"""``[algorithm]`` of a file -> the algorithm, its operators, the algorithms inside it."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from evotune.algorithms.auto import ALGORITHMS, auto
from evotune.cli.registry import at, build, check_names
from evotune.errors import ConfigError
from evotune.protocols import Algorithm
from evotune.space import Space

#: Option of an algorithm -> the module of its operators, and the method that makes a class one.
OPERATORS = {
    "selection": ("evolution.selection", "__call__"),
    "crossover": ("space.crossover", "__call__"),
    "mutation": ("space.mutation", "__call__"),
    "mutation_rate": ("evolution.schedules", "next"),
    "refinement": ("space.refine", "refine"),
    "exploit": ("evolution.exploitation", "__call__"),
    "interval": ("algorithms.intervals", "fresh"),
}
#: Options for which the algorithm itself knows names, such as "quantile" and "auto".
_NAMED_THERE = ("exploit", "interval")

T = TypeVar("T")


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
    if table.get("name") == "Islands" and "recipe" not in table:
        return _make_islands(options, space, trials)
    if "recipe" in table or table.get("name", "auto") != "auto":
        maker = _algorithm_maker(table)
        return build(maker, _with_tuples(maker, options), space)
    if options:
        raise ConfigError(
            f'"auto" chooses its own options; name an algorithm to set {", ".join(options)}'
        )
    return auto(space, trials=trials)


def _make_islands(options: Mapping[str, Any], space: Space, trials: int | None) -> Algorithm:
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
            algorithms.append(make_algorithm(table, space, trials))
    rest = {name: value for name, value in options.items() if name != "islands"}
    return build(Islands, rest, algorithms)


def _with_tuples(maker: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Make lists tuples where tuples are wanted, for which TOML has no form of its own."""
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
        check_names("algorithm", [str(name)], ("auto", *ALGORITHMS, "Islands"))
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
        if option in _NAMED_THERE and isinstance(value, str) and value not in family:
            return value
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
