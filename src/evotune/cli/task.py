"""Builds the evaluate function from the table ``[task]`` of a file."""

import importlib
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from evotune.checks import did_you_mean, user_path
from evotune.cli.registry import build, check_names
from evotune.errors import ConfigError
from evotune.execution.evaluate import describe_error
from evotune.protocols import Evaluate
from evotune.training.command import CommandTask


def make_task(table: Mapping[str, Any], folder: Path) -> Evaluate:
    """Return the evaluate function that ``[task]`` names.

    Args:
        table: ``function``, or ``command`` and options of `CommandTask`.
        folder: Folder of the file, in which modules are searched and commands run.

    Raises:
        ConfigError: Neither or both are given, or the function cannot be imported.
        TaskError: The command or one of its options is invalid.
    """
    if ("function" in table) == ("command" in table):
        raise ConfigError(
            'needs either function = "train:train" or command = "python train.py --lr {lr}"'
            + (", not both" if "function" in table else "")
        )
    if "command" in table:
        cwd = folder / user_path(str(table.get("cwd", ".")), ConfigError)
        task: Evaluate = build(CommandTask, {**table, "cwd": cwd})
        return task
    check_names("key", table, ["function"])
    function: Evaluate = import_function(table["function"], folder)
    return function


def import_function(spec: Any, folder: Path, what: str = "function", name: str = "train") -> Any:
    """Return the function, or another callable, that a text such as ``train.py:train`` names.

    Args:
        spec: The text; in front of the colon a module or the path of a file.
        folder: Where modules are searched, and where relative paths begin.
        what: What the text is given as, for messages.
        name: A name that such a function might have, for messages.

    Raises:
        ConfigError: It is no such text, or there is no such module or function.
    """
    example = f'"{name}:{name}" or "{name}.py:{name}"'
    where, _, wanted = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    if not where or not wanted:
        raise ConfigError(
            f"{what} must name a module and a function, got {spec!r}; write {example}"
        )
    module = (
        _import_file(folder / user_path(where, ConfigError))
        if where.endswith(".py")
        else _import(where, folder)
    )
    function = getattr(module, wanted, None)
    if not callable(function):
        names = [n for n, value in vars(module).items() if callable(value) and n[0] != "_"]
        raise ConfigError(f"{where} has no function {wanted!r}{did_you_mean(wanted, names)}")
    return function


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    module = _import(path.stem, path.parent)
    found = getattr(module, "__file__", None)
    if found is None or not Path(found).samefile(path):
        raise ConfigError(
            f"{path.name} cannot be imported: the name {path.stem!r} is that of "
            f"{found or 'a built-in module'}; rename the file"
        )
    return module


def _import(name: str, folder: Path) -> ModuleType:
    # The folder stays in sys.path, which worker processes inherit, so that they can import too.
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            modules = [path.stem for path in folder.glob("*.py")]
            raise ConfigError(
                f"there is no module {name!r} in {folder}{did_you_mean(name, modules)}"
            ) from error
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(
            f"module {name!r} cannot be imported: {describe_error(error)} "
            f"({frame.filename}, line {frame.lineno})"
        ) from error
