"""The report of a study: one HTML page that needs no network and no other file, or a picture."""

from itertools import chain
from os import PathLike
from pathlib import Path

from evotune.analysis.comparison import Comparison
from evotune.analysis.data import Recorded, StudyData, prepare
from evotune.checks import flag, user_path, write_whole
from evotune.errors import StudyError
from evotune.report.figures.versus import verdicts_of
from evotune.report.findings import findings
from evotune.report.parts import Page
from evotune.report.picture import write_picture
from evotune.report.sections import sections
from evotune.report.tables import best, facts, tiles
from evotune.report.templating import library, render_page
from evotune.report.trial_pages import address_of, write_pages

#: What the file of a report may end in.
ENDINGS = (".html", ".htm", ".svg")


def write(
    path: str | PathLike[str],
    study: Recorded,
    comparison: Comparison | None = None,
    replayed: Comparison | None = None,
    *,
    title: str | None = None,
    plotly: str | PathLike[str] = "inline",
    pages: bool = False,
) -> Path:
    """Write an SVG picture to a path that ends in ``.svg``, else a whole HTML page.

    Args:
        path: Where to: ``.svg``, ``.html``, ``.htm`` or no ending; missing folders are made, and a
            file that stands there is replaced at once, never half written.
        study: The study, or another record of its definition and trials.
        comparison: Its comparison with random search, for the page.
        replayed: The trainings with its schedule and without, for the page.
        title: Headline of the page; the study's name by default.
        plotly: Where the page has plotly.js from, which draws its figures: ``"inline"`` (in the
            page, which then needs no network and is 5 MB larger), ``"cdn"`` (from the internet,
            whenever the page is opened), or a file of it that several reports share, such as
            ``"plotly.min.js"``, which is written where it is missing.
        pages: Whether each trial gets a page of its own, in a folder beside the report:
            ``report.trials`` for ``report.html``. The table of the report then leads to these
            pages, and has all trials.

    Returns:
        The path that was written.

    Raises:
        StudyError: The path has another ending, or cannot be written; or ``plotly`` is none of
            these; or one of both was given for a picture, which has neither.
    """
    target = user_path(path, endings=ENDINGS)
    if target.suffix.lower() == ".svg":
        if plotly != "inline":
            raise StudyError(
                f"plotly={plotly!r} is for a page; a picture such as {target} has none"
            )
        if flag("pages", pages):
            raise StudyError(
                f"pages=True is for a page; a picture such as {target} leads nowhere: write "
                f"{target.with_suffix('.html').name!r}, or leave pages= out"
            )
        return write_picture(target, study)
    data = prepare(study)
    folder = address_of(target) if flag("pages", pages) else ""
    page = _page(data, title or data.definition.name, (comparison, replayed), folder)
    text = render_page(page, library(plotly, target))
    if folder:
        write_pages(data, target)  # first, so that no link of the report leads nowhere
    return write_whole(target, text)


def _page(
    data: StudyData, title: str, controls: tuple[Comparison | None, Comparison | None], pages: str
) -> Page:
    return Page(
        "evotune report",
        title,
        facts(data),
        sections(data, *controls, pages=pages),
        findings=(*chain(*map(verdicts_of, controls)), *findings(data)),
        tiles=tiles(data),
        best=best(data),
    )
