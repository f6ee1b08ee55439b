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
from evotune.analysis.text import count, number
from evotune.checks import write_whole
from evotune.report.figures.ranking import anytime, critical_differences, ranks_over_time
from evotune.report.figures.theme import Section
from evotune.report.markup import escape, sentences, table
from evotune.report.page import card, document, figure

TASKS_AT_MOST = 12


def write_ranking(path: str | Path, ranking: Ranking) -> Path:
    """Write the page, complete in itself, and return its path.

    Args:
        path: Where to; a file that stands there is replaced at once, never half written.
        ranking: What `compare` has returned.

    Raises:
        StudyError: The path cannot be written.
    """
    title = " · ".join(ranking.methods[:4]) + (" · …" if len(ranking.methods) > 4 else "")
    body = sentences([*verdicts(ranking), *ranking.notes])
    body += "".join(map(figure, _sections(ranking))) + _pairs(ranking)
    return write_whole(path, document("evotune comparison", title, _facts(ranking), body))


def _facts(ranking: Ranking) -> str:
    goals = dict.fromkeys(f"{task.direction} {task.metric}" for task in ranking.tasks)
    parts = {
        "objective": ", ".join(goals),
        "methods": len(ranking.methods),
        "runs of each": ranking.runs,
        "compared at": f"{number(ranking.checkpoints[-1])} {ranking.unit}",
    }
    items = "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in parts.items())
    return f'<dl class="facts">{items}</dl>'


def _sections(ranking: Ranking) -> Iterator[Section]:
    yield Section(
        "differences",
        "Which differences are more than chance",
        "Each method stands at its mean rank over all runs; a bar joins methods whose ranks lie "
        f"within the critical difference. {friedman_text(ranking)}",
        critical_differences(ranking),
        table=_ranks(ranking),
    )
    yield Section(
        "ranks",
        "Who leads when",
        f"The mean rank of each method by its best so far, against the {ranking.unit} spent.",
        ranks_over_time(ranking),
    )
    for place, task in enumerate(ranking.tasks[:TASKS_AT_MOST]):
        left_out = len(ranking.tasks) - TASKS_AT_MOST
        last = place == TASKS_AT_MOST - 1 and left_out > 0
        yield Section(
            f"anytime-{place}",
            f"Best {task.metric} so far" + (f" on {task.task}" if task.task else ""),
            "Each line is the median of the runs, the band its 95 % interval (with fewer than six "
            "runs all that they found), drawn from where every run has a result.",
            anytime(ranking, task),
            (f"{count(left_out, 'more task')} not drawn.",) if last else (),
            table=_results(ranking, place),
        )


def _ranks(ranking: Ranking) -> str:
    head = ["method", *(f"mean rank at {number(point)}" for point in ranking.checkpoints)]
    rows = [
        [escape(m), *(f"{ranking.rank(m, point):.2f}" for point in ranking.checkpoints)]
        for m in ranking.methods
    ]
    return table(head, rows)


def _results(ranking: Ranking, place: int) -> str:
    rows = [[escape(m), *result_texts(ranking, m, place)] for m in ranking.methods]
    return table(["method", "median at the end", "worst to best"], rows)


def _pairs(ranking: Ranking) -> str:
    head = ["first", "second", escape(gain_name(ranking)), "95 % interval", "wins", "ties"]
    rows = []
    for pair in ranking.pairs:
        ties = ranking.runs - pair.wins - pair.losses
        tally = (str(pair.wins), str(ties), str(pair.losses))
        p = escape(p_text(pair.p))
        verdict = f"<b>{p}</b>" if pair.is_sure else p
        gain = gain_texts(ranking, pair)
        rows.append([escape(pair.first), escape(pair.second), *gain, *tally, verdict])
    caption = (
        "The gain is positive where the first is better; its interval is Student's, for this pair "
        "alone. p is Wilcoxon's signed-rank test, corrected for the number of pairs by Holm's "
        "method; bold where it is below 5 %."
    )
    body = table([*head, "losses", "p"], rows)
    return card("pairs", "Every two methods", escape(caption), body)
