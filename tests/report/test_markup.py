"""Markup of pages and pictures is made by Jinja2 templates that escape, never by strings in code.

So no name that a user chose can become markup. What the pages do with hostile names is tested in
test_page.py.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "evotune"
TEMPLATES = SOURCE / "report" / "templates"
#: Plotly lays out the texts of figures by these tags of its own; it knows no other way to break a
#: line. What users chose is escaped there by `evotune.analysis.text.label`.
IN_FIGURES = {"b", "br", "extra"}
ELEMENTS = (
    "a|article|aside|b|body|br|button|canvas|circle|code|dd|details|div|dl|doctype|dt|em|extra|"
    "fieldset|figcaption|figure|footer|form|g|h[1-6]|head|header|hr|html|i|iframe|img|input|label|"
    "li|line|link|main|meta|nav|object|ol|option|p|path|polygon|polyline|pre|rect|script|section|"
    "select|small|span|strong|style|sub|summary|sup|svg|table|tbody|td|text|textarea|th|thead|"
    "title|tr|tspan|ul|video"
)
TAG = re.compile(rf"<[/!]?({ELEMENTS}|\{{\}})(?=[\s/>{{]|$)", re.IGNORECASE)


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of all strings but docstrings; ``{}`` stands for a value inside."""
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            skipped.update(node.values)
            yield node.lineno, "".join(v.value if is_text(v) else "{}" for v in node.values)
        elif is_text(node) and node not in skipped:
            yield node.lineno, node.value


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def markup(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each HTML or SVG tag that Python source writes into a string."""
    for line, text in texts(ast.parse(source)):
        for name in TAG.findall(text):
            yield line, name.lower()


@pytest.mark.parametrize(
    "written",
    ["'<div>'", "f'<p class={x}>'", "f'<{tag}>'", "'<!DOCTYPE html>'", "['</td>']", "'''<svg\n'''"],
)
def test_markup_in_strings_is_found(written: str) -> None:
    assert list(markup(f"page = {written}"))


@pytest.mark.parametrize("written", ["'<method> 0'", "f'{a} < {b}'", "'p < 0.001'", "1\n'<p>'"])
def test_other_strings_are_left_alone(written: str) -> None:
    assert not list(markup(f"page = {written}"))


def test_no_markup_is_built_out_of_strings() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}: <{name}>"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, name in markup(path.read_text("utf-8"))
        if name not in IN_FIGURES or path.parent != SOURCE / "report" / "figures"
    ]
    assert not found, "write it in report/templates instead"


def test_only_templating_may_call_a_text_markup() -> None:
    users = {p.name for p in SOURCE.rglob("*.py") if "Markup" in p.read_text("utf-8")}
    assert users == {"templating.py"}


def test_no_template_turns_escaping_off() -> None:
    for path in TEMPLATES.glob("*.j2"):
        assert not re.search(r"\|\s*safe|autoescape", path.read_text("utf-8")), path.name
