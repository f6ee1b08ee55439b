"""Every public name with its signature, as in ``signatures.txt``: what users' code rests on.

Where this differs and the change is meant, follow ``docs/policy.md``, then write the file anew::

    .venv/bin/python tests/test_signatures.py
"""

import difflib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import evotune

FILE = Path(__file__).with_name("signatures.txt")
ADDRESS = re.compile(r"<(function|class|bound method|member) ?'?([\w.<>]+)'?[^>]*>| at 0x[0-9a-f]+")


def of(found):
    """Return the parameters of a callable: names, kinds and defaults, without annotations."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return "(...)"
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    text = str(signature.replace(parameters=bare, return_annotation=signature.empty))
    return ADDRESS.sub(lambda m: m[2] or "", text)


def lines_of_class(name, cls):
    yield f"{name}{of(cls)}"
    for member, _ in inspect.getmembers_static(cls):
        home = next((c for c in cls.__mro__ if member in vars(c)), cls)
        if member.startswith("_") or not home.__module__.startswith("evotune"):
            continue
        raw = inspect.getattr_static(cls, member)
        if isinstance(raw, classmethod | staticmethod) or inspect.isfunction(raw):
            yield f"{name}.{member}{of(getattr(cls, member))}"
        else:
            yield f"{name}.{member}"


def lines_of(name, found):
    if isinstance(found, ModuleType):
        yield name
        for part in dir(found):
            inside = getattr(found, part)
            if not isinstance(inside, ModuleType):
                yield from lines_of(f"{name}.{part}", inside)
    elif isinstance(found, type):
        yield from lines_of_class(name, found)
    else:
        yield f"{name}{of(found) if callable(found) else ''}"


def written():
    lines = []
    for name in evotune.__all__:
        if name != "__version__":
            lines += lines_of(name, getattr(evotune, name))
    return lines


def test_public_signatures_are_those_of_the_file():
    pytest.importorskip("torch")
    before = FILE.read_text("utf-8").splitlines()
    names = {"fromfile": "signatures.txt", "tofile": "now"}
    different = list(difflib.unified_diff(before, written(), **names, lineterm="", n=0))
    assert not different, (
        "Public names or signatures changed. If that is not meant, undo it. If it is: what is "
        "removed, renamed or means something else is first deprecated (docs/policy.md); then run "
        "`.venv/bin/python tests/test_signatures.py`, and say it in CHANGELOG.md.\n"
        + "\n".join(different)
    )


if __name__ == "__main__":
    FILE.write_text("\n".join(written()) + "\n", "utf-8")
