"""A report as a file, in the form that its name asks for."""

from collections.abc import Sequence
from pathlib import Path

from evotune.protocols import StudyDefinition
from evotune.report.comparison import Comparison
from evotune.report.page import write_report
from evotune.report.picture import write_picture
from evotune.trial import Trial


def write(
    path: Path,
    definition: StudyDefinition,
    trials: Sequence[Trial],
    comparison: Comparison | None = None,
) -> Path:
    """Write an SVG picture to a path that ends in ``.svg``, a whole HTML page to any other.

    Args:
        path: Where to; missing folders are made.
        definition: The study.
        trials: Its trials.
        comparison: What came of comparing it with random search, for the page.

    Returns:
        The path.

    Raises:
        StudyError: The path cannot be written.
    """
    if path.suffix.lower() == ".svg":
        return write_picture(path, definition, trials)
    return write_report(path, definition, trials, comparison=comparison)
