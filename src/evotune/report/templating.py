"""Pages and pictures as text, from Jinja2 templates with autoescape; no other module uses it."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from evotune.printing import escaped, printable
from evotune.report.figures.theme import template
from evotune.report.parts import Page


def render_page(page: Page) -> str:
    """Return a page as HTML that needs no network and no other file."""
    drawn = any(section.figure for section in page.sections)
    return _render(
        "page.html.j2",
        page=page,
        style=own_file("page.css"),
        script=own_file("page.js"),
        plotly=Markup(get_plotlyjs()) if drawn else "",
        themes={k: template(dark=k == "dark").to_plotly_json() for k in ("light", "dark")},
    )


def render_picture(**content: Any) -> str:
    """Return a picture as SVG."""
    return _render("picture.svg.j2", style=own_file("picture.css"), **content)


def own_file(name: str) -> Markup:
    """Return one of the package's own files, which is not escaped."""
    return Markup(_templates().joinpath(name).read_text(encoding="utf-8"))


def _templates() -> Any:
    return files("evotune.report").joinpath("templates")


def _render(name: str, **content: Any) -> str:
    return _environment().get_template(name).render(**content)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("evotune.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        finalize=_printable,
    )
    environment.filters |= {"figure_json": _figure_json, "inert_json": _inert_json}
    return environment


def _printable(value: Any) -> Any:
    """Return a text that every browser and every reader of XML takes; ours is left as it is."""
    return printable(value) if type(value) is str else value


def _figure_json(figure: go.Figure) -> Markup:
    """Return a figure as JSON, where texts that several traces share are written only once.

    A trace with the same texts as an earlier one has that trace's index instead; page.js puts the
    texts back.
    """
    drawn = figure.to_plotly_json()
    places: dict[tuple[str, ...], int] = {}
    for place, trace in enumerate(drawn["data"]):
        texts = list(trace.get("customdata", ()))
        if texts and isinstance(texts[0], str):
            first = places.setdefault(tuple(texts), place)
            if first != place:
                trace["customdata"] = first
    return _inert_json(drawn)


def _inert_json(value: Any) -> Markup:
    """Return JSON that no text inside it can turn into markup."""
    text = json.dumps(value, cls=PlotlyJSONEncoder, ensure_ascii=False, separators=(",", ":"))
    return Markup(escaped(text).replace("<", "\\u003c"))
