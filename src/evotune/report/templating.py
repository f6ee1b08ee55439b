"""Pages and pictures as text, from Jinja2 templates with autoescape; no other module uses it."""

import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from os import PathLike, fspath
from os.path import relpath
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs, get_plotlyjs_version
from plotly.utils import PlotlyJSONEncoder

from evotune.checks import user_path, write_whole
from evotune.errors import StudyError
from evotune.printing import escaped, printable
from evotune.report.figures.theme import template
from evotune.report.parts import Page, TrialPage

#: Parallel axes for which a telephone has room.
_ABREAST = 4


@dataclass(frozen=True, slots=True)
class Library:
    """Where a page has plotly.js from.

    Attributes:
        inline: All of it, or empty.
        address: Where it is loaded from, or empty.
        digest: What the browser checks of what it loaded.
        origins: What the page's policy allows besides itself.
        words: A sentence for the foot of the page.
    """

    inline: str = ""
    address: str = ""
    digest: str = ""
    origins: str = ""
    words: str = "This page is complete in itself: it loads nothing."


def library(plotly: Any, page: Path) -> Library:
    """Return where a page is to have plotly.js from; a file of it is written if it is missing.

    Args:
        plotly: ``"inline"``, ``"cdn"``, or a path or URL that ends in ``.js``.
        page: The file of the page.

    Raises:
        StudyError: It is none of these, or the file cannot be written.
    """
    if isinstance(plotly, str) and plotly == "inline":
        return Library(Markup(get_plotlyjs()))
    if isinstance(plotly, str) and plotly == "cdn":
        digest = b64encode(sha256(get_plotlyjs().encode()).digest()).decode()
        address = f"https://cdn.plot.ly/plotly-{get_plotlyjs_version()}.min.js"
        return _elsewhere(address, "sha256-" + digest)
    if not isinstance(plotly, str | PathLike) or not fspath(plotly).endswith(".js"):
        raise StudyError(
            'plotly must be "inline" (all of plotly.js in the page), "cdn" (the page loads it from '
            f'the internet) or a file of it such as "plotly.min.js"; got {plotly!r}'
        )
    if isinstance(plotly, str) and plotly.startswith(("https://", "http://")):
        return _elsewhere(plotly)
    file = user_path(plotly, endings=(".js",))
    if not file.exists():
        write_whole(file, get_plotlyjs())
    try:
        near = relpath(file.resolve(), page.resolve().parent)
    except ValueError:  # on another drive
        return _elsewhere(file.resolve().as_uri(), origins=" file:")
    return _elsewhere(quote(Path(near).as_posix()), origins=" 'self' file:")


def _elsewhere(address: str, digest: str = "", origins: str = "") -> Library:
    if not origins:
        parts = urlsplit(address)
        origins = f" {parts.scheme}://{parts.netloc}"
        if not re.fullmatch(r" https?://[\w.:\[\]-]+", origins):
            raise StudyError(f"plotly={address!r} is no address of a file of plotly.js")
    words = f"This page loads plotly.js from {address}, and nothing else."
    return Library(address=address, digest=digest, origins=origins, words=words)


def render_page(page: Page, library: Library | None = None) -> str:
    """Return a page as HTML that needs no network and no other file but for its library."""
    drawn = any(section.figure for section in page.sections)
    return _render(
        "page.html.j2",
        page=page,
        style=own_file("page.css"),
        script=own_file("page.js"),
        library=(library or Library(Markup(get_plotlyjs()))) if drawn else Library(),
        themes={k: template(dark=k == "dark").to_plotly_json() for k in ("light", "dark")},
    )


def render_trial(page: TrialPage, style: str) -> str:
    """Return the page of a trial as HTML, which loads nothing but a file of styles beside it."""
    return _render("trial.html.j2", page=page, style=style)


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
    environment.tests["wide"] = _is_wide
    return environment


def _is_wide(figure: go.Figure) -> bool:
    """Tell whether a figure has panels, or axes, side by side: too many for a telephone."""
    places = {axis.domain for axis in figure.select_xaxes() if axis.domain}
    axes = (len(t.dimensions) for t in figure.data if t.type == "parcoords")
    return len(places) > 1 or max(axes, default=0) > _ABREAST


def _printable(value: Any) -> Any:
    """Return a text that every browser and every reader of XML takes; ours is left as it is."""
    return printable(value) if type(value) is str else value


def _figure_json(figure: go.Figure) -> Markup:
    """Return a figure as JSON, in which what several traces share is written only once.

    Numbers have the digits that can be seen. A trace with the same array as an earlier one has
    that trace's index instead; page.js puts the array back.
    """
    drawn = figure.to_plotly_json()
    places: dict[tuple[str, str], int] = {}
    for place, trace in enumerate(drawn["data"]):
        for owner in (trace, *(trace.get(name, ()) for name in _OWNERS)):
            for name, value in dict(owner).items():
                owner[name] = _light(value) if name in _NUMBERS else value
        for dimension in trace.get("dimensions", ()):
            dimension["values"] = _light(dimension["values"])
        for name in _SHARED:
            if name in trace and len(text := _json(trace[name])) > _LONG:
                first = places.setdefault((name, text), place)
                trace[name] = trace[name] if first == place else first
    return _inert_json(drawn)


#: Arrays that panels of one figure may have in common, if their JSON is longer than a few numbers.
_SHARED, _LONG = ("customdata", "x", "y"), 100
#: Arrays of numbers, and the parts of a trace that have some, too.
_NUMBERS, _OWNERS = ("x", "y", "z", "base", "customdata", "color"), ("marker", "line")
#: How far a number may be moved in a figure, as a share of the range of all.
_UNSEEN = 1e-4
#: Between lines there is None, for which Plotly takes NaN as well.
_GAPS = (float, int, type(None))


def _light(value: Any) -> Any:
    """Return an array of numbers in half the room where no eye sees the difference."""
    if isinstance(value, list) and len(value) > 20 and all(type(v) in _GAPS for v in value):
        value = {"dtype": "f8", "bdata": b64encode(np.array(value, dtype=float).tobytes()).decode()}
    if not isinstance(value, dict) or value.get("dtype") != "f8":
        return value
    exact = np.frombuffer(b64decode(value["bdata"]))
    with np.errstate(over="ignore", under="ignore"):
        short = exact.astype(np.float32)
    known = exact[np.isfinite(exact)]
    moved = np.abs(short[np.isfinite(exact)] - known)
    same = np.array_equal(np.isfinite(short), np.isfinite(exact)) and len(known)
    lost = np.any((short == 0) & (exact != 0))
    if not same or lost or np.any(moved > _UNSEEN * (known.max() / 2 - known.min() / 2)):
        return value
    return value | {"dtype": "f4", "bdata": b64encode(short.tobytes()).decode()}


#: What is written out in a script: all but the tags by which Plotly breaks lines, and bold ones.
_MARKUP = re.compile("<(?!br?>)")


def _json(value: Any) -> str:
    return json.dumps(value, cls=PlotlyJSONEncoder, ensure_ascii=False, separators=(",", ":"))


def _inert_json(value: Any) -> Markup:
    """Return JSON that no text inside it can turn into markup.

    The breaks and bold type of hovers stay: inside a script they are no markup either.
    """
    return Markup(_MARKUP.sub(r"\\u003c", escaped(_json(value))))
