"""The public names, read from the only list of them: the stub ``__init__.pyi``."""

import sys
from collections.abc import Callable
from pathlib import Path


def _listed() -> dict[str, tuple[str, str]]:
    """Return, for every public name, its module and its name in that module."""
    listed = {}
    stub = Path(__file__).with_name("__init__.pyi")
    for line in stub.read_text("utf-8").splitlines():
        if line.startswith("from "):  # from MODULE import NAME as PUBLIC
            _, module, _, name, _, public = line.split()
            listed[public] = (module, name)
    return listed


PUBLIC = _listed()

#: Public classes of `evotune.algorithms` that do not search a space by themselves: wrappers of one
#: algorithm, wrappers of several, and an option.
WRAPPERS = ("Drifting", "Hyperband", "Prescreened", "Racing", "SuccessiveHalving")
_OTHERS = ("GrowingInterval", "Islands", "Phases")

#: Public algorithms that take a space.
SEARCHES = tuple(
    name
    for name, (module, _) in PUBLIC.items()
    if module.startswith("evotune.algorithms.")
    and name[0].isupper()
    and name not in (*WRAPPERS, *_OTHERS)
)


def own_names(module: str) -> Callable[[], list[str]]:
    """Return the ``__dir__`` of a public module: what it defines, without what it imports.

    Args:
        module: Its ``__name__``.
    """

    def names() -> list[str]:
        found = vars(sys.modules[module]).items()
        return sorted(
            n for n, v in found if n[0] != "_" and getattr(v, "__module__", None) == module
        )

    return names
