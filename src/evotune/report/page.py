"""The report: one HTML page that needs no network and no other file."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from plotly.offline import get_plotlyjs

from evotune.analysis.comparison import Comparison
from evotune.analysis.data import StudyData, prepare
from evotune.analysis.text import count
from evotune.checks import write_whole
from evotune.protocols import StudyDefinition
from evotune.report.figures.theme import Section, template
from evotune.report.figures.versus import verdicts_of
from evotune.report.findings import findings
from evotune.report.markup import (
    ROWS_AT_MOST,
    best_params,
    best_table,
    escape,
    facts,
    failed_table,
    rung_table,
    sentences,
    tiles,
)
from evotune.report.picture import write_picture
from evotune.report.sections import sections
from evotune.trial import Trial

# The browser itself forbids every request. Plotly compiles its WebGL drawing code: unsafe-eval.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)


def write_report(
    path: str | Path,
    definition: StudyDefinition,
    trials: Sequence[Trial],
    *,
    title: str | None = None,
    comparison: Comparison | None = None,
) -> Path:
    """Write the report of a study as one self-contained HTML page.

    Args:
        path: Where to; a file that stands there is replaced at once, never half written.
        definition: The study.
        trials: Its trials, in any order and state.
        title: Headline; the study's name by default.
        comparison: What came of comparing it with random search, if that was done.

    Returns:
        The path that was written.

    Raises:
        StudyError: The path cannot be written.
    """
    data = prepare(definition, trials)
    return write_whole(path, render(data, title or definition.name, comparison))


def render(data: StudyData, title: str, comparison: Comparison | None = None) -> str:
    """Return the page as HTML."""
    shown = sections(data, comparison)
    body = (
        f"{tiles(data)}\n{sentences([*verdicts_of(comparison), *findings(data)])}\n"
        f"{best_params(data)}\n{''.join(map(figure, shown))}\n{_tables(data)}"
    )
    return document("evotune report", title, facts(data), body, with_figures=bool(shown))


def document(mark: str, title: str, below: str, body: str, *, with_figures: bool = True) -> str:
    """Return a whole page.

    Args:
        mark: A few words above the title.
        title: Headline, as plain text.
        below: What stands under it, as HTML.
        body: The rest, as HTML.
        with_figures: Whether ``body`` has figures, so that the page needs Plotly.
    """
    own = files("evotune.report")
    style = own.joinpath("page.css").read_text(encoding="utf-8")
    script = own.joinpath("page.js").read_text(encoding="utf-8")
    themes = {"light": template().to_plotly_json(), "dark": template(dark=True).to_plotly_json()}
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · evotune</title>
<style>{style}</style>
</head>
<body>
<main>
<header>
<p class="mark">{mark}</p>
<h1>{escape(title)}</h1>
{below}
</header>
{body}
<footer>Made by evotune. This page is complete in itself: it loads nothing.</footer>
</main>
{_plotly() if with_figures else ""}
<script type="application/json" id="themes">{_inert(json.dumps(themes))}</script>
<script>{script}</script>
</body>
</html>
"""


def _plotly() -> str:
    return f"<script>{get_plotlyjs()}</script>"


def figure(section: Section) -> str:
    """Return a section as HTML."""
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in section.notes)
    warning = f'<p class="warning">{escape(section.warning)}</p>' if section.warning else ""
    return (
        f'<section class="card" id="{section.key}"><h2>{escape(section.title)}</h2>'
        f'<p class="caption">{escape(section.caption)}</p>{warning}'
        f'<div class="plot" style="height:{section.figure.layout.height}px"></div>'
        f'<script type="application/json" class="figure">{_inert(section.figure.to_json())}'
        f"</script>{section.table}{notes}</section>\n"
    )


def _inert(text: str) -> str:
    """Return JSON that no text inside it can turn into markup."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _tables(data: StudyData) -> str:
    parts = []
    if data.failed:
        caption = (
            "Equal reasons stand together, the most frequent first; open one for its traceback."
        )
        parts.append(card("failed", "Failed trials", caption, failed_table(data)))
    rungs = rung_table(data)
    if rungs:
        caption = (
            "A rung is a budget, counted from fresh weights. The best of each are promoted to the "
            "next one, as trials of their own."
        )
        parts.append(card("rungs", "Rungs", caption, rungs))
    if data.done:
        several = len(data.objectives.objectives) > 1
        order = "the Pareto front first, then by the first objective" if several else "best first"
        title = f"Best {count(min(ROWS_AT_MOST, len(data.ranking)), 'trial')}"
        caption = f"All genes, {order}; “–” marks a gene that is not active."
        if data.inherits:
            caption += " Genes are those of the last step only; Schedules shows the earlier ones."
        parts.append(card("table", title, caption, best_table(data)))
    return "\n".join(parts)


def card(key: str, title: str, caption: str, body: str) -> str:
    """Return a part of the page that has no figure; all texts are HTML."""
    return (
        f'<section class="card" id="{key}"><h2>{title}</h2><p class="caption">{caption}</p>'
        f"{body}</section>"
    )


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
