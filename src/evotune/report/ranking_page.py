"""A ranking of methods as one HTML page."""

from collections.abc import Iterator
from pathlib import Path

from evotune.analysis.ranking import (
    Ranking,
    friedman_text,
    gain_name,
    gain_texts,
    p_text,
    result_texts,
    verdicts,
)
from evotune.analysis.text import count
from evotune.checks import user_path, write_whole
from evotune.printing import number
from evotune.report.figures.ranking import anytime, critical_differences, ranks_over_time
from evotune.report.parts import Cell, Page, Section, Table
from evotune.report.templating import render_page

TASKS_AT_MOST = 12


def write_ranking(path: str | Path, ranking: Ranking) -> Path:
    """Write a ranking as one self-contained HTML page and return its path.

    Args:
        path: The file to write; an existing file is replaced atomically.
        ranking: The result of `compare`.

    Raises:
        StudyError: The path ends in something else than ``.html``, or cannot be written.
    """
    target = user_path(path, endings=(".html", ".htm"))
    title = " · ".join(ranking.methods[:4]) + (" · …" if len(ranking.methods) > 4 else "")
    page = Page(
        "evotune comparison",
        title,
        _facts(ranking),
        (*_sections(ranking), _pairs(ranking)),
        findings=(*verdicts(ranking), *ranking.notes),
    )
    return write_whole(target, render_page(page))


def _facts(ranking: Ranking) -> dict[str, str]:
    goals = dict.fromkeys(f"{task.direction} {task.metric}" for task in ranking.tasks)
    return {
        "objective": ", ".join(goals),
        "methods": str(len(ranking.methods)),
        "runs of each": str(ranking.runs),
        "compared at": f"{number(ranking.checkpoints[-1])} {ranking.unit}",
    }


def _sections(ranking: Ranking) -> Iterator[Section]:
    yield Section(
        "differences",
        "Which differences are more than chance",
        "Each method is placed at its mean rank over all runs; a bar joins methods whose ranks "
        f"differ by less than the critical difference. {friedman_text(ranking)}",
        critical_differences(ranking),
        table=_ranks(ranking),
    )
    yield Section(
        "ranks",
        "Which method leads when",
        f"The mean rank of each method by its best so far, against the {ranking.unit} spent.",
        ranks_over_time(ranking),
    )
    for place, task in enumerate(ranking.tasks[:TASKS_AT_MOST]):
        left_out = len(ranking.tasks) - TASKS_AT_MOST
        last = place == TASKS_AT_MOST - 1 and left_out > 0
        yield Section(
            f"anytime-{place}",
            f"Best {task.metric} so far" + (f" on {task.task}" if task.task else ""),
            "Each line is the median of the runs, the band its 95 % confidence interval (with "
            "fewer than six runs, their range), drawn from where every run has a result.",
            anytime(ranking, task),
            notes=(f"{count(left_out, 'more task')} not drawn.",) if last else (),
            table=_results(ranking, place),
        )


def _ranks(ranking: Ranking) -> Table:
    head = ("method", *(f"mean rank at {number(point)}" for point in ranking.checkpoints))
    rows = (
        (m, *(f"{ranking.rank(m, point):.2f}" for point in ranking.checkpoints))
        for m in ranking.methods
    )
    return Table(head, tuple(rows))


def _results(ranking: Ranking, place: int) -> Table:
    rows = ((m, *result_texts(ranking, m, place)) for m in ranking.methods)
    return Table(("method", "median at the end", "worst to best"), tuple(rows))


def _pairs(ranking: Ranking) -> Section:
    head = ("first", "second", gain_name(ranking), "95 % interval", "wins", "ties", "losses", "p")
    rows = []
    for pair in ranking.pairs:
        ties = ranking.runs - pair.wins - pair.losses
        tally = (str(pair.wins), str(ties), str(pair.losses))
        verdict = Cell(p_text(pair.p), strong=pair.is_sure)
        rows.append((pair.first, pair.second, *gain_texts(ranking, pair), *tally, verdict))
    caption = (
        "The gain is positive where the first method is better; its interval is Student's t, not "
        "corrected for the number of pairs. p is that of Wilcoxon's signed-rank test with Holm's "
        "correction for the number of pairs; bold below 5 %."
    )
    return Section("pairs", "All pairs of methods", caption, table=Table(head, tuple(rows)))
