"""The report of a study: one HTML page that needs no network and no other file, or a picture."""

from pathlib import Path

from evotune.analysis.comparison import Comparison
from evotune.analysis.data import Recorded, StudyData, prepare
from evotune.checks import write_whole
from evotune.report.figures.versus import verdicts_of
from evotune.report.findings import findings
from evotune.report.parts import Page
from evotune.report.picture import write_picture
from evotune.report.sections import sections
from evotune.report.tables import best, facts, tiles
from evotune.report.templating import render_page


def write(
    path: str | Path,
    study: Recorded,
    comparison: Comparison | None = None,
    *,
    title: str | None = None,
) -> Path:
    """Write an SVG picture to a path that ends in ``.svg``, a whole HTML page to any other.

    Args:
        path: The file to write; missing folders are created, and an existing file is replaced
            atomically.
        study: The study, or another record of its definition and trials.
        comparison: Its comparison with random search, for the page.
        title: Headline of the page; the study's name by default.

    Returns:
        The path that was written.

    Raises:
        StudyError: The path cannot be written.
    """
    if Path(path).suffix.lower() == ".svg":
        return write_picture(path, study)
    data = prepare(study)
    return write_whole(path, render_page(_page(data, title or data.definition.name, comparison)))


def _page(data: StudyData, title: str, comparison: Comparison | None) -> Page:
    return Page(
        "evotune report",
        title,
        facts(data),
        sections(data, comparison),
        findings=(*verdicts_of(comparison), *findings(data)),
        tiles=tiles(data),
        best=best(data),
    )
